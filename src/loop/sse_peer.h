/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_peer.h
 * Whether the peer of a connection is still there.
 *
 * The socket is watched for the peer's end without being read: by RDHUP, which
 * comes at once, even behind unread bytes, where a peek would see only those.
 * An RST shows as an error of the socket.
 *
 * A peer that vanishes sends nothing any more.  While no data is in flight the
 * kernel's keepalive probes find that out.  With data in flight the kernel
 * sends none, and the stream asks from time to time.  TCP_USER_TIMEOUT would do
 * both, but it also ends the connection of a peer that acknowledges and does
 * not read.
 *
 * Threads: the loop's, but any for the functions that take a descriptor.
 */

#ifndef SSE_PEER_H
#define SSE_PEER_H

#include "loop/sse_loop.h"
#include "mod_sse.h"

typedef struct sse_peer_t sse_peer_t;

/** The owner's callbacks, on the loop. */
typedef struct {
    /** The peer has closed, or the connection has failed; called once. */
    void (*on_gone)(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status);
    /** There may be something to read.  Called until it has been read or is no
     *  longer wanted. */
    void (*on_readable)(sse_peer_t *peer);
    void (*on_writable)(sse_peer_t *peer);
    /** After sse_peer_close(): the peer's memory may be freed. */
    void (*on_closed)(sse_peer_t *peer);
} sse_peer_events_t;

/** Part of its owner. */
struct sse_peer_t {
    sse_loop_t *loop; /* const */
    uv_poll_t poll;   /* loop: */
    const sse_peer_events_t *events;
    int fd;
    int is_own;    /* const: on_closed closes the descriptor */
    int want;      /* loop: UV_READABLE, UV_WRITABLE */
    int half_keep; /* loop: SSEHalfClose keep */
    int half_seen; /* loop: it has stopped sending */
    int paused;    /* loop */
    int told;      /* loop: on_gone was called */
};

/** Begin to watch.  The descriptor remains the caller's and must stay open
 *  until sse_peer_close().
 *  @param half_keep SSEHalfClose keep */
apr_status_t sse_peer_open(sse_peer_t *peer, sse_loop_t *loop, int fd,
                           int half_keep, const sse_peer_events_t *events);

/** The same for a descriptor that others may close at any time, as an MPM does
 *  for its threads when a child is to stop at once: the peer duplicates it. */
apr_status_t sse_peer_open_shared(sse_peer_t *peer, sse_loop_t *loop, int fd,
                                  int half_keep,
                                  const sse_peer_events_t *events);

/** Shut the connection down: all reads and writes fail from now on. */
void sse_peer_shut(const sse_peer_t *peer);

/** Whether to watch for these as well (UV_READABLE, UV_WRITABLE). */
void sse_peer_want(sse_peer_t *peer, int which, int on);

/** Watch for nothing for a while: another thread has the descriptor, which
 *  stays open. */
void sse_peer_pause(sse_peer_t *peer);
void sse_peer_resume(sse_peer_t *peer);

/** Stop watching; only on_closed is called after this. */
void sse_peer_close(sse_peer_t *peer);

/** The options of a socket before sse_peer_probe(). */
typedef struct {
    int is_set;  /* whether they were changed */
    int seconds; /* for this time-out */
    int keepalive, idle, interval, count, rto_max;
} sse_peer_probing_t;

/** Have the kernel probe a silent peer, and end the connection if the peer does
 *  not answer within the time-out.
 *  @param timeout 0: leave it to the kernel's defaults
 *  @param had in and out, for sse_peer_unprobe(): nothing is to do where the
 *         stream before has left them set; NULL: several streams share the
 *         connection; the shortest time-out holds, for good */
void sse_peer_probe(int fd, apr_interval_time_t timeout,
                    sse_peer_probing_t *had);

/** Restore the options, once. */
void sse_peer_unprobe(int fd, sse_peer_probing_t *had);

typedef enum {
    SSE_PEER_HAS_ALL, /**< it has acknowledged everything */
    SSE_PEER_WAITED,  /**< not yet: ask again */
    SSE_PEER_DEAD     /**< it has not answered within the time-out */
} sse_peer_answer_e;

/** Whether the peer still acknowledges, be it only the probes of a full window.
 *  @param now in milliseconds
 *  @param dead the time-out, in milliseconds
 *  @param since in and out: since when the peer owes an answer, or 0 */
sse_peer_answer_e sse_peer_ask(int fd, apr_uint64_t now, apr_uint64_t dead,
                               apr_uint64_t *since);

/** The number of bytes that the peer has acknowledged; 0 if unknown. */
apr_uint64_t sse_peer_acknowledged(int fd);

/** How the peer has closed, or SSE_CLOSE_NONE.  Does not block. */
sse_close_reason_e sse_peer_look(int fd, int half_keep);

/** The close reason of a failed write.
 *  @param status as the filters returned it: mod_ssl hides a time-out
 *  @param dead what sse_peer_probe() was given */
sse_close_reason_e sse_peer_write_reason(int fd, apr_status_t status,
                                         apr_interval_time_t dead);

#endif /* SSE_PEER_H */
