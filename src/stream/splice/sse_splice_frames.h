/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_frames.h
 * The frames and windows of one HTTP/2 connection (RFC 9113) whose engine,
 * mod_http2, does not know that some of its streams go on: the splice.
 *
 * All bytes of both directions pass through here.  From the engine's last frame
 * of a stream that was added, END_STREAM is taken off; to the engine the stream
 * has ended, to its client it goes on with DATA frames that are made here.
 * What the client then sends for it (WINDOW_UPDATE, RST_STREAM) stays here, and
 * so do resets of the last ones that are over, with which some clients answer
 * what was under way.  All other frames go on as they are, also those of wrong
 * length: to answer them is the engine's.
 *
 * A stream that is reset before it opens is ended by the engine, which does not
 * know.  If that might wait for the stream's window, it gets some in place of
 * the reset.
 *
 * Windows.  A stream's is counted from its request on; what SETTINGS add to it
 * counts when their acknowledgement goes to the client (6.5.3).  That of the
 * connection is shared: the engine has a quarter of it, 1 MB at most, which is
 * refilled as it sends, and our account has the rest, so neither can overdraw.
 * A client adds to its window again when it has consumed half of it, Chromium
 * when it has consumed more than half.  So each of the two must be able to use
 * more than half while the other sends nothing, or a client that reads could
 * wait for ever.  A client that leaves the window below 128 KB gives us too
 * little: its streams cannot be added.
 *
 * Pure: no I/O, no httpd.
 *
 * Threads: any, one at a time for each connection.
 */

#ifndef SSE_SPLICE_FRAMES_H
#define SSE_SPLICE_FRAMES_H

#include <apr.h>

/** What may be in one DATA frame: every client takes it (RFC 9113, 4.2). */
#define SSE_FRAMES_DATA_MOST 16384
/** A frame's head, and a whole RST_STREAM. */
#define SSE_FRAMES_HEAD  9
#define SSE_FRAMES_RESET 13

typedef struct sse_frames_t sse_frames_t;

/** How a stream of ours has ended without us. */
typedef enum {
    SSE_FRAMES_RESET_BY_CLIENT, /**< RST_STREAM */
    SSE_FRAMES_RESET_BY_ENGINE, /**< the same, from mod_http2 */
    /* sse_frames_reset() is due: */
    SSE_FRAMES_BAD_WINDOW,  /**< the client has made the window too large */
    SSE_FRAMES_NO_INCREMENT /**< the client's WINDOW_UPDATE was of 0 */
} sse_frames_over_e;

/** What is told of streams, from within the functions below.  They may call
 *  sse_frames_room() and sse_frames_remove(), nothing else here. */
typedef struct {
    /** The engine's last frame is about to go: ours may follow it. */
    void (*on_open)(void *stream);
    /** Nothing may be sent any more.  It is no longer known here. */
    void (*on_over)(void *stream, sse_frames_over_e how);
    /** More may be sent on it. */
    void (*on_room)(void *stream);
    /** More may be sent on any of this connection. */
    void (*on_account)(void *baton);
} sse_frames_events_t;

/** Some bytes. */
typedef struct {
    const char *bytes;
    apr_size_t len;
} sse_span_t;

/** @param baton for on_account() */
sse_frames_t *sse_frames_create(const sse_frames_events_t *events, void *baton);
/** Nothing is told. */
void sse_frames_destroy(sse_frames_t *frames);

/**
 * Bytes of the client, on their way to the engine.  Looks at the first of them.
 * To be called until none are left.
 * @param bytes in and out: what has come, what is left of it
 * @param give out: what goes to the engine in place of what was looked at: the
 *        same bytes, or others, which are valid until the next call; len 0:
 *        nothing
 * @param now in milliseconds, for the rate of resets; a clock that never goes
 *        back
 */
void sse_frames_from_client(sse_frames_t *frames, sse_span_t *bytes,
                            sse_span_t *give, apr_uint64_t now);

/** Bytes of the engine, on their way to the client; as above. */
void sse_frames_from_engine(sse_frames_t *frames, sse_span_t *bytes,
                            sse_span_t *give);

/** While the engine does not run and has nothing to answer, keep what it is
 *  added of the connection's window, and give it between frames when it does:
 *  it need not be woken. */
void sse_frames_engine_rests(sse_frames_t *frames, int rests);

/** What the engine is still to be given before it reads what the client sends;
 *  when it runs again. @param give out, as above; len 0: nothing */
void sse_frames_give_kept(sse_frames_t *frames, sse_span_t *give);

/** Whether the engine, which has requests to answer, is to run for that. */
int sse_frames_has_kept(const sse_frames_t *frames);

/** Whether this is HTTP/2 as expected: a preface and frames from the client,
 *  SETTINGS as the engine's first frame.  If not, all is given on unchanged,
 *  for good. */
int sse_frames_is_usable(const sse_frames_t *frames);

/** Whether the client has sent GOAWAY: it wants nothing new; the engine ends
 *  the connection when it has nothing to do. */
int sse_frames_is_leaving(const sse_frames_t *frames);

/** Whether frames of ours may follow what has gone to the client: between
 *  frames, and not within a block of headers. */
int sse_frames_is_between(const sse_frames_t *frames);

/** How many requests of the client the engine has not answered whole, those
 *  that were added and are not open included. */
int sse_frames_unanswered(const sse_frames_t *frames);

/** Why a stream can not be added. */
typedef enum {
    SSE_FRAMES_ADDED,
    SSE_FRAMES_NO_REQUEST, /**< it is over already, or not known */
    SSE_FRAMES_NO_END,     /**< its body has not come to its end */
    SSE_FRAMES_NO_ACCOUNT, /**< the client gives too little window */
    SSE_FRAMES_TOO_MANY, /**< as many are open as the engine's SETTINGS allow */
    SSE_FRAMES_RESETS    /**< the client has reset too many of them lately, or
                              made us do so: let the engine see its resets */
} sse_frames_add_e;

/** Whether a stream can be added; it is not. */
sse_frames_add_e sse_frames_look(const sse_frames_t *frames, apr_uint32_t id,
                                 apr_uint64_t now);
/** From now on take END_STREAM off the engine's last frame of it.  What has
 *  come since sse_frames_look() does not matter, but that the client has reset
 *  it.
 *  @return SSE_FRAMES_ADDED, SSE_FRAMES_NO_REQUEST or SSE_FRAMES_NO_END */
sse_frames_add_e sse_frames_add(sse_frames_t *frames, apr_uint32_t id,
                                void *stream);

/** Forget a stream, open or not; nothing is told of it any more.  If it is not
 *  open, the engine's last frame ends it. */
void sse_frames_remove(sse_frames_t *frames, apr_uint32_t id);

/** How many bytes may be sent on a stream that is open, of both windows; at
 *  most SSE_FRAMES_DATA_MOST. */
apr_size_t sse_frames_room(const sse_frames_t *frames, apr_uint32_t id);
/** Whether it is the account, and not the stream's window, that leaves none. */
int sse_frames_is_account_empty(const sse_frames_t *frames);

/** The head of a DATA frame of ours, which is counted as sent.
 *  @param len at most what sse_frames_room() says
 *  @param is_last with END_STREAM: the stream is no longer known here */
void sse_frames_data(sse_frames_t *frames, apr_uint32_t id, apr_size_t len,
                     int is_last, char head[SSE_FRAMES_HEAD]);

/** A whole RST_STREAM for a stream that is over or was removed.
 *  @param code RFC 9113, 7 */
void sse_frames_reset(apr_uint32_t id, apr_uint32_t code,
                      char frame[SSE_FRAMES_RESET]);

#endif /* SSE_SPLICE_FRAMES_H */
