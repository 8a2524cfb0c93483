/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_peer.h
 * The other end of a connection: is it still there?
 *
 * Watches a socket for its peer's end without reading from it: RDHUP, which is
 * told at once and also behind unread bytes, where a peek sees only the bytes.
 * An RST shows as an error of the socket.  A peer that only vanishes is left to
 * the kernel: TCP_USER_TIMEOUT bounds how long sent bytes may stay
 * unacknowledged, keepalive probes make sure that there is something to
 * acknowledge (tcp(7)).
 *
 * Threads: the loop's, but for sse_peer_set_dead() and sse_peer_look(),
 * which only make system calls.
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

/** Have the kernel give up a peer that acknowledges nothing for so long, and
 *  probe one that is silent.  0: leave it to the kernel's defaults. */
void sse_peer_set_dead(int fd, apr_interval_time_t timeout);

/** How the peer has ended, or SSE_CLOSE_NONE.  Blocks nowhere. */
sse_close_reason_e sse_peer_look(int fd, int half_keep);

/**
 * What a failed write says of the peer.
 * @param status what the filters made of it: mod_ssl hides a time-out
 * @param dead what sse_peer_set_dead() was given
 */
sse_close_reason_e sse_peer_write_reason(int fd, apr_status_t status,
                                         apr_interval_time_t dead);

#endif /* SSE_PEER_H */
