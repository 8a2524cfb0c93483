/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_private.h
 * What the files of src/stream and its folders share: the stream's members, and
 * the interface of its drives.
 *
 * Threads: tagged.  "const": set before the stream is shared; "lock": guarded
 * by the stream's lock; "writer": of the thread that writes to the connection,
 * the loop or the handler's.
 */

#ifndef SSE_STREAM_PRIVATE_H
#define SSE_STREAM_PRIVATE_H

#include <pthread.h>
#include <sys/queue.h>

#include "conn/sse_conn.h"
#include "loop/sse_peer.h"
#include "loop/sse_workers.h"
#include "notify/sse_callbacks.h"
#include "process/sse_leave.h"
#include "stream/sse_seal.h"
#include "stream/sse_limits.h"
#include "notify/sse_notes.h"
#include "stream/sse_queue.h"
#include "stream/sse_stream.h"

/** How far a stream is, as the loop sees it.  The transitions, all forward, are
 *  a table in sse_stream.c. */
typedef enum {
    SSE_PHASE_NEW,      /**< not attached to the loop yet */
    SSE_PHASE_OPEN,     /**< attached: fed and watched */
    SSE_PHASE_DRAINING, /**< ended by the server; what waits is still written */
    SSE_PHASE_CUT,      /**< ended; a thread has yet to leave its write */
    SSE_PHASE_TELLING,  /**< its end is being told */
    SSE_PHASE_DONE      /**< the request is released */
} sse_phase_e;

/** How a stream is written. */
typedef struct sse_drive_t {
    /** Whether a thread writes, which may hang and then report nothing. */
    int is_blocking;
    /** loop: begin to watch the client. */
    apr_status_t (*attach)(sse_stream_t *stream);
    /** Any thread: something waits to be written. */
    void (*kick)(sse_stream_t *stream);
    /** loop: write no more, whatever waits.
     *  @return whether a thread is still in a write, which fails now; how much
     *          it has written is known when it has returned */
    int (*cut)(sse_stream_t *stream);
    /** loop: the end was told, or needs no telling: release the request, then
     *  the drive's reference, then count the stream down. */
    void (*finish)(sse_stream_t *stream);
    /** loop: a number that grows with everything that reaches the client; NULL:
     *  what it has acknowledged, and the pieces that were written. */
    apr_uint64_t (*progress)(sse_stream_t *stream);
} sse_drive_t;

/** Whether a client reads what waits for it; see sse_stream_slow.c. */
typedef struct {
    apr_uint64_t look_at;  /* when to look again; 0: nothing waits */
    apr_uint64_t limit;    /* ms without progress, this stream's own */
    apr_uint64_t progress; /* at the last look */
    apr_uint64_t since;    /* when progress last changed */
} sse_slow_t;

/** What a client was sent. */
typedef struct {
    apr_uint64_t events;
    apr_off_t bytes;
    sse_id_t id; /* of the last event that has one */
    char *text;  /* instead, malloc'ed: an application's own id */
} sse_sent_t;

/** So many events were appended then, as of uv_hrtime(). */
typedef struct {
    apr_uint64_t time;
    apr_uint64_t events;
} sse_time_t;

/** When the events that are in flight were appended, those from before the
 *  stream began left out. */
typedef struct {
    apr_uint32_t n;
    apr_uint32_t size; /* of more */
    sse_time_t first;
    sse_time_t *more; /* malloc'ed; NULL: there is no other */
} sse_times_t;

struct sse_stream_t {
    apr_uint32_t refs; /* atomic; malloc'ed, freed with the last one */
    int reason;        /* atomic; sse_close_reason_e; set once */
    sse_phase_e phase; /* loop */
    int ended_early;   /* loop: it was ended before it was attached */

    request_rec *r;                /* const; valid until SSE_PHASE_DONE */
    server_rec *server;            /* const */
    sse_loop_t *loop;              /* const */
    sse_stream_opts_t opts;        /* const */
    const sse_format_t *format;    /* const */
    const sse_source_t *source;    /* const */
    void *source_baton;            /* const */
    const sse_drive_t *drive;      /* atomic; const once attached */
    int gauge;                     /* const: what counts it while it is open */
    struct sse_async_conn_t *conn; /* const; asynchronous drive only */
    struct sse_shadow_t *shadow; /* loop, once attached; spliced streams only */
    sse_notes_t *notes;          /* const; the values: lock */
    sse_callbacks_t *callbacks;  /* const; holds a reference */
    sse_seal_t *seal;            /* const; its inside: writer */
    sse_ready_fn *ready;         /* const; or NULL */
    void *ready_baton;           /* const */
    sse_job_t ready_job, log_job;
    int log_late; /* loop, then whoever ends the request: it logs the end */
    apr_time_t opened;       /* const */
    apr_uint64_t began;      /* const: uv_hrtime() then */
    sse_quota_claim_t claim; /* loop, once attached: what limits count */
    int polls;               /* loop, once attached: it ends when all that
                                   is due has been sent */
    int can_poll;            /* const: the plan's */
    int yields;              /* its thread's: it ends so that others start */
    sse_poll_t poll;         /* const: a long poll, where it has a limit */
    char now[24];            /* const: the id where it began, or "" */
    int is_readying;         /* atomic: "ready" has not returned */

    apr_status_t status; /* whoever ended it; read by the loop afterwards */
    apr_time_t closed;   /* likewise */
    apr_uint64_t seen;   /* likewise: uv_hrtime() then, or, if the server has
                            ended it, when all that waited was written */

    pthread_mutex_t lock;
    sse_queue_t queue;    /* lock */
    apr_size_t in_flight; /* lock: taken by the writer, not yet written out */
    apr_size_t gauged;    /* lock: of both, what the gauge of all has */
    apr_uint64_t moved;   /* lock: pieces that were written out */
    int has_written;      /* lock: since the last look */
    apr_uint64_t queued;  /* lock: events, of all that ever were */
    sse_id_t queued_id;   /* lock: the last id among them */
    int is_held; /* lock: of a long poll: the waiting drive's thread is not to
                    write before the loop has looked whether it ends here;
                    see sse_stream_poll_look() */

    int is_over;              /* lock: the response's last bytes were queued */
    int has_last;             /* writer: they are in what was taken */
    apr_bucket_brigade *bb;   /* writer: the one brigade, in r->pool */
    apr_bucket_brigade *rest; /* writer: of HTTP/2, what follows a piece */
    sse_sent_t begun;  /* writer, under lock: what is in flight included */
    sse_sent_t sent;   /* likewise: what has been written out */
    sse_times_t times; /* writer */

    int is_dead; /* atomic: nothing more can be written */

    /* kick: write what waits, or find that nothing does */
    sse_task_t attach_task, kick_task, end_task, told_task, free_task;
    sse_task_t poll_task;

    apr_uint64_t written;           /* loop: its clock at the last write */
    uv_timer_t timer;               /* loop: all that is due at some time */
    apr_uint64_t deadline;          /* loop: SSEMaxAge, or of a poll; 0: none */
    int is_age;                     /* loop: it is SSEMaxAge's */
    TAILQ_ENTRY(sse_stream_t) link; /* loop: all streams of the child */

    sse_peer_probing_t *probing; /* loop, once attached: the connection's; NULL:
                                    it is shared */
    int owed;                    /* loop: the client may owe an answer */
    apr_uint64_t ask_at;         /* loop: when to look for it */
    apr_uint64_t silent_since;   /* loop: see sse_peer_ask() */
    sse_slow_t slow;             /* loop */

    /* The waiting drive. */
    sse_peer_t peer;     /* loop */
    int peer_open;       /* loop */
    pthread_cond_t cond; /* lock */
    int check_input;     /* lock: bytes came that may be a close_notify */
    int finished;        /* lock */
    sse_task_t input_task;
};

/** Under the lock: hold what comes next back, where it has to be. */
void sse_stream_hold(sse_stream_t *stream);

/** Any thread: queue the last bytes of a stream that has ended.
 *  @param retry after how long to come back; 0: do not say
 *  @param upto the id to come back with; 0: the last one it was sent */
void sse_stream_add_last(sse_stream_t *stream, apr_int64_t retry,
                         sse_id_t upto);

/** writer: move some of the queue, oldest first, to the end of bb.  A little at
 *  a time: if the connection breaks, all of it counts as not sent.
 *  @return how many bytes */
apr_size_t sse_stream_take(sse_stream_t *stream, apr_bucket_brigade *bb);

/** writer: a piece of what was taken has been written. */
void sse_stream_moved(sse_stream_t *stream);

/** writer: what was taken has been written (is_out), or given up. */
void sse_stream_wrote(sse_stream_t *stream, int is_out);

/** Any thread: whether all of the response has been written, its last bytes
 *  included, or was given up by a thread that has found it dead. */
int sse_stream_is_complete(sse_stream_t *stream);

/** Whoever has ended it: nothing of what waits will be written.
 *  @param is_last nor is anything in flight */
void sse_stream_drop_queue(sse_stream_t *stream, int is_last);

/** Any thread: post one of its tasks, with a reference that the task drops. */
void sse_stream_post(sse_stream_t *stream, sse_task_t *task);

/** The descriptor of its connection, or -1; with HTTP/2 it is shared with other
 *  streams.  Whoever has the request. */
int sse_stream_fd(const sse_stream_t *stream);

/** loop: something was written: the client owes an acknowledgement. */
void sse_stream_written(sse_stream_t *stream);

/** loop: the connection does not take what waits. */
void sse_stream_stuck(sse_stream_t *stream);

/* sse_stream_count.c */

/** It is open: count it.  Its request's thread. */
void sse_stream_count_opened(sse_stream_t *stream);
/** Its end has been told.  loop. */
void sse_stream_count_closed(sse_stream_t *stream);
/** Under its lock: set what the gauge of all children has of what waits. */
void sse_stream_count_waiting(sse_stream_t *stream);
/** writer: this is in flight from now on. */
void sse_stream_count_begun(sse_stream_t *stream, const sse_buf_t *buf);
/** writer: what was in flight has been written out: so many events and
 *  bytes. */
void sse_stream_count_written(sse_stream_t *stream, apr_uint64_t events,
                              apr_off_t bytes);
/** writer: nothing is in flight. */
void sse_stream_drop_times(sse_stream_t *stream);

/* sse_stream_slow.c: loop */

/** Watch from now on whether what waits goes out.
 *  @return whether it was not watched before */
int sse_slow_watch(sse_stream_t *stream);
/** Look, if it is time to.
 *  @return whether nothing has gone out for the queue's time */
int sse_slow_look(sse_stream_t *stream, apr_uint64_t now);

/** What an ended stream still has to write goes out, be it slowly: look again
 *  in a few seconds.  @return 0: it does not, or not for the queue's time */
int sse_slow_drains(sse_stream_t *stream);

/** loop: do not wait for what an ended stream still has to write: tell its end
 *  now. */
void sse_stream_cut_short(sse_stream_t *stream);

/** loop: the writer has nothing left to write. */
void sse_stream_drained(sse_stream_t *stream);

/** What a failed write says of its client.  The writer. */
sse_close_reason_e sse_stream_write_reason(const sse_stream_t *stream,
                                           apr_status_t status);

/** loop: the client is gone, whether or not the stream was ended before. */
void sse_stream_broken(sse_stream_t *stream, sse_close_reason_e reason,
                       apr_status_t status);

/** loop: whether what waits is still written when a stream ends for this. */
int sse_reason_drains(sse_close_reason_e reason);

/** loop: set its timer to the next thing that is due. */
void sse_stream_arm(sse_stream_t *stream);

/* sse_stream_poll.c: loop */

/** The poll_task's. */
void sse_stream_on_poll(sse_task_t *task);
/** It opens: where it polls, set its deadline. */
void sse_stream_poll_open(sse_stream_t *stream);
/** Something was queued or written, or "ready" has returned: a stream that
 *  polls may be complete.  Before a long poll's queue is written, so that its
 *  last bytes go with it. */
void sse_stream_poll_look(sse_stream_t *stream);
/** Where it stands, to come back with; 0: the last id it was sent. */
sse_id_t sse_stream_poll_upto(sse_stream_t *stream);
/** After how long its client is to come back; 0: as it likes. */
apr_int64_t sse_stream_poll_retry(sse_stream_t *stream,
                                  sse_close_reason_e reason);
/** It has ended: count it, if that was an answer. */
void sse_stream_poll_count(sse_stream_t *stream);
/** Whether it is a long poll.  Any thread. */
int sse_stream_is_long(const sse_stream_t *stream);
/** Its queue may be written now. */
void sse_stream_let_out(sse_stream_t *stream);

/* sse_streams.c: loop, but for sse_streams_init() */
void sse_streams_init(sse_loop_t *loop); /* child_init */
void sse_streams_add(sse_stream_t *stream);
void sse_streams_remove(sse_stream_t *stream);
/** loop: random, from 0 to 1, to spread what would happen all at once. */
double sse_streams_spread(void);
/** sse_stream.c: request thread, once for each stream. */
void sse_stream_init_tasks(sse_stream_t *stream);

/* sse_wait_drive.c */

extern const sse_drive_t sse_wait_drive;
/** Before anybody else has the stream: what may be posted as soon as somebody
 *  sends.  Request thread. */
void sse_wait_prepare(sse_stream_t *stream);
/** Have the loop run the stream, write what it is fed, and return when its end
 *  was told.  Request thread. */
void sse_wait_run(sse_stream_t *stream);

/* sse_stream_log.c */

/** Request thread, before the stream is shared. */
void sse_stream_log_prepare(request_rec *r);
/** loop: have a worker log how it ended. */
void sse_stream_log_end(sse_stream_t *stream);
/** Whoever ends its request: log it, if the loop could not have it logged. */
void sse_stream_log_late(const sse_stream_t *stream);

#endif /* SSE_STREAM_PRIVATE_H */
