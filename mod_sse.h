/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file mod_sse.h
 * What other modules may use of mod_sse.
 *
 * Nothing here is linked against.  Hooks are taken with
 *     APR_OPTIONAL_HOOK(sse, stream_close, fn, NULL, NULL, APR_HOOK_MIDDLE);
 * in register_hooks, in any load order; they never run where mod_sse is not
 * loaded.
 *
 * Threads: each declaration says where it may run.  Hooks that tell of an end
 * run on a small pool of threads, never on a thread that serves other streams,
 * and never with a lock held; they may block, at the cost of that pool.
 */

#ifndef MOD_SSE_H
#define MOD_SSE_H

#include <httpd.h>
#include <apr_hooks.h>
#include <apr_optional.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SSE_DECLARE_DATA __attribute__((visibility("default")))
#else
#define SSE_DECLARE_DATA
#endif
#define SSE_DECLARE(type)        SSE_DECLARE_DATA type
#define SSE_DECLARE_NONSTD(type) SSE_DECLARE_DATA type

/** One open response.  Counted: see the stream_open hook for its life. */
typedef struct sse_stream_t sse_stream_t;

/** Why a stream (or a watched request) ended.  The values are stable. */
typedef enum {
    SSE_CLOSE_NONE = 0,         /**< it has not ended */
    SSE_CLOSE_CLIENT = 1,       /**< FIN, or TLS close_notify */
    SSE_CLOSE_RESET = 2,        /**< TCP RST, HTTP/2 RST_STREAM */
    SSE_CLOSE_WRITE_ERROR = 3,  /**< writing failed first */
    SSE_CLOSE_DEAD_PEER = 4,    /**< nothing acknowledged for SSEDeadPeer */
    SSE_CLOSE_SLOW_CLIENT = 5,  /**< SSEQueue overran */
    SSE_CLOSE_MAX_AGE = 6,      /**< SSEMaxAge */
    SSE_CLOSE_SERVER = 7,       /**< the application, or a deleted channel */
    SSE_CLOSE_COMPLETE = 8,     /**< a watched response ended normally */
    SSE_CLOSE_SHUTDOWN = 9,     /**< graceful stop or restart */
    SSE_CLOSE_STOP = 10,        /**< stop at once */
    SSE_CLOSE_CRASH = 11,       /**< the child died; another process tells */
    SSE_CLOSE_ERROR = 12        /**< anything else: see the status */
} sse_close_reason_e;

/** What is told of an end. */
typedef struct {
    sse_close_reason_e reason;
    int by_client;             /**< the client left or vanished; reasons 1-4 */
    apr_status_t status;       /**< of the failed operation, or APR_SUCCESS */
    apr_time_t opened;         /**< microseconds since 1970 */
    apr_time_t closed;         /**< when the end was decided */
    apr_uint64_t events;       /**< handed to the socket, whole */
    apr_off_t bytes;           /**< of events and comments, before any filter */
    const char *last_event_id; /**< of the last of these events, or NULL */
    apr_pool_t *pool;          /**< for the callback's own use; lives as long as
                                    the call.  Do not allocate from r->pool */
} sse_close_t;

/** The reason's name as logs have it ("client"); "none" for SSE_CLOSE_NONE,
 *  "unknown" for a value that is none.  Any thread. */
APR_DECLARE_OPTIONAL_FN(const char *, sse_close_name,
                        (sse_close_reason_e reason));

/**
 * Hook, run all: a stream's head has been sent and its client was there.
 * Every stream for which this ran gets exactly one stream_close.
 * On the request's thread, before any event.
 * @param stream valid until this stream's stream_close hook has returned
 */
APR_DECLARE_EXTERNAL_HOOK(sse, SSE, void, stream_open,
                          (sse_stream_t *stream, request_rec *r))

/**
 * Hook, run all: the stream has ended.  Request and response (headers_out,
 * notes, module configuration) are whole until it returns.
 * On a thread of the callback pool.
 */
APR_DECLARE_EXTERNAL_HOOK(sse, SSE, void, stream_close,
                          (sse_stream_t *stream, request_rec *r,
                           const sse_close_t *close))

#ifdef __cplusplus
}
#endif

#endif /* MOD_SSE_H */
