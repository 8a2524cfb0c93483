/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_frames_private.h
 * What the files of a connection's frames share: sse_splice_frames.c reads
 * bytes as frames, sse_splice_frames_requests.c knows which requests there are
 * and decides what a frame becomes, sse_splice_frames_windows.c does the sums.
 *
 * Threads: as sse_splice_frames.h.
 */

#ifndef SSE_SPLICE_FRAMES_PRIVATE_H
#define SSE_SPLICE_FRAMES_PRIVATE_H

#include "stream/splice/sse_splice_frames.h"

/** Frame types, RFC 9113, 6. */
enum {
    SSE_FRAME_DATA = 0,
    SSE_FRAME_HEADERS = 1,
    SSE_FRAME_RST_STREAM = 3,
    SSE_FRAME_SETTINGS = 4,
    SSE_FRAME_PUSH_PROMISE = 5,
    SSE_FRAME_GOAWAY = 7,
    SSE_FRAME_WINDOW_UPDATE = 8,
    SSE_FRAME_CONTINUATION = 9
};

/** Flags. */
#define SSE_FRAME_ACK         1 /**< of SETTINGS */
#define SSE_FRAME_END_STREAM  1 /**< of DATA and HEADERS */
#define SSE_FRAME_END_HEADERS 4

/** The largest window (6.9.1). */
#define SSE_FRAMES_WINDOW_MOST 0x7fffffff

/** A WINDOW_UPDATE or RST_STREAM whose length is right. */
#define SSE_FRAMES_SHORT SSE_FRAMES_RESET

/** How many of those that are over are remembered. */
#define SSE_FRAMES_OVER_MOST 64

/** What has been asked for and is not answered whole, or is open. */
typedef enum {
    SSE_REQUEST_ASKED, /**< the engine's, so far */
    SSE_REQUEST_ADDED, /**< opens when the engine has ended it */
    SSE_REQUEST_OPEN,  /**< the engine has ended it: ours */
    SSE_REQUEST_LEFT,  /**< was added, is the engine's again, for good */
    SSE_REQUEST_RESET  /**< was added; reset by the client, which the engine
                            does not know: it ends it */
} sse_frames_phase_e;

typedef struct {
    apr_uint32_t id;
    sse_frames_phase_e phase;
    int has_end;         /* all of its body has come */
    void *stream;        /* ADDED, OPEN */
    apr_int64_t balance; /* its window, less the initial one, which may change
                            for all at once */
} sse_frames_request_t;

/** The bytes of one direction. */
typedef struct {
    /* The frame that was looked at last. */
    apr_uint32_t len, id;
    int type, flags;

    apr_uint32_t left;                    /* of its payload */
    int is_block;                         /* CONTINUATION must come next */
    int have;                             /* of held */
    unsigned char held[SSE_FRAMES_SHORT]; /* a frame's first bytes, until there
                                             are enough to decide */
    /* What goes in place of a frame. */
    unsigned char out[2 * SSE_FRAMES_SHORT];
    apr_size_t out_len;

    /* SETTINGS that pass. */
    int is_settings;
    int have_entry;
    unsigned char entry[6];
    int has_value; /* of the one setting that counts in this direction */
    apr_uint32_t value;
} sse_frames_flow_t;

struct sse_frames_t {
    const sse_frames_events_t *events; /* const */
    void *baton;                       /* const */
    apr_uint64_t now;                  /* in milliseconds */

    sse_frames_flow_t client, engine;
    int preface;    /* bytes of it that have come */
    int is_started; /* the engine's first frame has come */
    int is_other;   /* not HTTP/2 as expected */
    int is_leaving; /* the client has sent GOAWAY */

    sse_frames_request_t *requests; /* malloc'ed, by id */
    int n, size;                    /* of them */
    int hint;                       /* which the engine's last DATA was for */
    int open;                       /* how many are */
    apr_uint32_t last;              /* the highest id of a request */
    apr_uint32_t over[SSE_FRAMES_OVER_MOST]; /* ids of ours that are over */
    unsigned int n_over; /* in all; the last ones are kept */
    apr_uint32_t most;   /* the engine's MAX_CONCURRENT_STREAMS */

    /* The engine's last frame of a request, with its CONTINUATIONs, is passing;
     * 0: none. */
    apr_uint32_t ending;
    int is_stripped;        /* of END_STREAM */
    apr_uint32_t abandoned; /* likewise, but the stream was removed meanwhile:
                               END_STREAM is due; 0: none */

    /* The client's INITIAL_WINDOW_SIZE. */
    apr_int64_t initial; /* the least that may hold */
    apr_int64_t latest;  /* which holds when the engine has acknowledged */
    int unacknowledged;  /* SETTINGS frames */

    /* The connection's window. */
    apr_int64_t account; /* ours */
    apr_int64_t engines; /* the engine's, with what is kept */
    apr_int64_t whole;   /* the most that both have had together */
    apr_int64_t kept;
    apr_uint64_t given; /* to the account, in all, less what it gave back */
    int rests;          /* the engine does */

    /* For resets that the engine does not see. */
    apr_uint64_t credit, credit_at;
};

static inline apr_uint32_t sse_frames_number(const unsigned char *bytes, int n)
{
    apr_uint32_t value = 0;
    int i;

    for (i = 0; i < n; ++i) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* -- sse_splice_frames.c --------------------------------------------------- */

/** A frame's head, at least. */
void sse_frames_put_head(unsigned char *out, apr_size_t len, int type,
                         int flags, apr_uint32_t id);
/** Append a WINDOW_UPDATE to what goes to the engine. */
void sse_frames_put_window(sse_frames_flow_t *flow, apr_uint32_t id,
                           apr_int64_t increment);

/* -- sse_splice_frames_requests.c ------------------------------------------ */

/** Where the first is whose id is not below this one. */
int sse_frames_place_of(const sse_frames_t *frames, apr_uint32_t id);
/** Valid until one is entered or dropped.  NULL: not known. */
sse_frames_request_t *sse_frames_find(const sse_frames_t *frames,
                                      apr_uint32_t id);
/** Whether the engine has done with it: what the client says of it is ours. */
int sse_frames_is_ours(const sse_frames_t *frames,
                       const sse_frames_request_t *request);
/** The client has ended one of ours by a reset, or made us reset it: it may do
 *  so so many times (sse_frames_look()). */
void sse_frames_count_reset(sse_frames_t *frames);
/** It is ours and over: tell it, and drop it. */
void sse_frames_tell_over(sse_frames_t *frames, sse_frames_request_t *request,
                          sse_frames_over_e how);

/** Whether what was looked at last may go on changed, or not at all. */
int sse_frames_may_change(const sse_frames_t *frames,
                          const sse_frames_flow_t *flow);

/** A frame begins to pass: its head, all of it if it is short.
 *  @return whether flow->out goes in its place */
int sse_frames_take_client(sse_frames_t *frames, const unsigned char *frame);
int sse_frames_take_engine(sse_frames_t *frames, const unsigned char *frame);

/** All of it is passing. */
void sse_frames_end_client(sse_frames_t *frames);
void sse_frames_end_engine(sse_frames_t *frames);

/** Nothing will be taken off any more: no stream can open. */
void sse_frames_end_all(sse_frames_t *frames);

/* -- sse_splice_frames_windows.c ------------------------------------------- */

void sse_frames_start_windows(sse_frames_t *frames);

/** The client's SETTINGS have come; the engine's acknowledgement has. */
void sse_frames_take_settings(sse_frames_t *frames);
void sse_frames_take_acknowledgement(sse_frames_t *frames);

/** The client's WINDOW_UPDATE.
 *  @return whether flow->out goes in its place */
int sse_frames_take_window(sse_frames_t *frames, apr_int64_t increment);
/** The engine's DATA. */
void sse_frames_count_data(sse_frames_t *frames);

/** Whether the client gives enough for streams of ours. */
int sse_frames_has_account(const sse_frames_t *frames);

#endif /* SSE_SPLICE_FRAMES_PRIVATE_H */
