/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_peer.h
 * The other end of a connection: is it still there?
 *
 * Watches a socket for its peer's end without reading from it: RDHUP, which is
 * told at once and also behind unread bytes, where a peek sees only the bytes.
 * An RST shows as an error of the socket.
 *
 * A peer that only vanishes answers no more.  While nothing is on its way the
 * kernel's keepalive probes find that out; otherwise there are none, and who
 * has written asks now and then.  TCP_USER_TIMEOUT would do both, but it also
 * ends the connection of a peer that answers, and only reads no more.
 *
 * Threads: the loop's, but for the functions of a descriptor, which only make
 * system calls.
 */

#ifndef SSE_PEER_H
#define SSE_PEER_H

#include "loop/sse_loop.h"
#include "mod_sse.h"

typedef struct sse_peer_t sse_peer_t;

/** What the owner wants to hear. */
typedef struct {
    /** The peer has ended or its connection broke; told once. */
    void (*on_gone)(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status);
    /** There may be something to read. Told again until it is read or no longer
     *  wanted. */
    void (*on_readable)(sse_peer_t *peer);
    void (*on_writable)(sse_peer_t *peer);
    /** After sse_peer_close(): the peer's memory may go. */
    void (*on_closed)(sse_peer_t *peer);
} sse_peer_events_t;

/** Part of its owner. */
struct sse_peer_t {
    uv_poll_t poll; /* loop: */
    const sse_peer_events_t *events;
    int fd;
    int is_own;    /* const: the descriptor is this peer's */
    int want;      /* loop: UV_READABLE, UV_WRITABLE */
    int half_keep; /* loop: a peer that only stopped sending is still there */
    int half_seen; /* loop: it has stopped sending */
    int told;      /* loop: on_gone was called */
};

/** Begin to watch.  The descriptor stays the caller's, and must stay open
 *  until sse_peer_close().
 *  @param half_keep SSEHalfClose keep */
apr_status_t sse_peer_open(sse_peer_t *peer, sse_loop_t *loop, int fd,
                           int half_keep, const sse_peer_events_t *events);

/** The same for a descriptor that others may close at any time, as the MPMs do
 *  with those of their threads when a child is to stop at once: the peer has
 *  one of its own, until on_closed. */
apr_status_t sse_peer_open_shared(sse_peer_t *peer, sse_loop_t *loop, int fd,
                                  int half_keep,
                                  const sse_peer_events_t *events);

/** Have both sides' reading and writing fail from now on, whoever does it. */
void sse_peer_shut(const sse_peer_t *peer);

/** Also watch for these (UV_READABLE, UV_WRITABLE), or no longer. */
void sse_peer_want(sse_peer_t *peer, int which, int on);

/** Stop watching; nothing is told any more but on_closed. */
void sse_peer_close(sse_peer_t *peer);

/** A socket's options as they were. */
typedef struct {
    int is_set; /* whether they were changed */
    int keepalive, idle, interval, count, rto_max;
} sse_peer_probing_t;

/**
 * Have the kernel probe a peer that is silent, and end the connection of one
 * that has not answered for so long.
 * @param timeout 0: leave it to the kernel's defaults
 * @param had out: for sse_peer_unprobe(); NULL: the connection is not this
 *        stream's alone, whoever wants it probed soonest has it so for good
 */
void sse_peer_probe(int fd, apr_interval_time_t timeout,
                    sse_peer_probing_t *had);

/** Put the options back, once. */
void sse_peer_unprobe(int fd, sse_peer_probing_t *had);

typedef enum {
    SSE_PEER_HAS_ALL, /**< it has acknowledged all that was written */
    SSE_PEER_WAITED,  /**< not yet: ask again */
    SSE_PEER_DEAD     /**< it has not answered for so long */
} sse_peer_answer_e;

/**
 * Whether the peer answers, as one does that acknowledges and reads no more.
 * @param now in milliseconds
 * @param dead likewise: how long it may be silent
 * @param since in and out: when it was sent what it has not answered, or 0
 */
sse_peer_answer_e sse_peer_ask(int fd, apr_uint64_t now, apr_uint64_t dead,
                               apr_uint64_t *since);

/** How many bytes the peer has acknowledged; 0 where that cannot be told. */
apr_uint64_t sse_peer_acknowledged(int fd);

/** How the peer has ended, or SSE_CLOSE_NONE.  Blocks nowhere. */
sse_close_reason_e sse_peer_look(int fd, int half_keep);

/**
 * What a failed write says of the peer.
 * @param status what the filters made of it: mod_ssl hides a time-out
 * @param dead what sse_peer_probe() was given
 */
sse_close_reason_e sse_peer_write_reason(int fd, apr_status_t status,
                                         apr_interval_time_t dead);

#endif /* SSE_PEER_H */
