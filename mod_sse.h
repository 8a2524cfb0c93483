/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file mod_sse.h
 * What other modules may use of mod_sse.
 *
 * Nothing here is linked against.  Hooks are taken with
 *     APR_OPTIONAL_HOOK(sse, stream_close, fn, NULL, NULL, APR_HOOK_MIDDLE);
 * in register_hooks, and functions with
 *     send = APR_RETRIEVE_OPTIONAL_FN(sse_send);
 * in an optional_fn_retrieve hook, in any load order.  Where mod_sse is not
 * loaded the hooks never run and the functions are NULL.
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
    SSE_CLOSE_NONE = 0,        /**< it has not ended */
    SSE_CLOSE_CLIENT = 1,      /**< FIN, or TLS close_notify */
    SSE_CLOSE_RESET = 2,       /**< TCP RST, HTTP/2 RST_STREAM */
    SSE_CLOSE_WRITE_ERROR = 3, /**< writing failed first */
    SSE_CLOSE_DEAD_PEER = 4,   /**< nothing acknowledged for SSEDeadPeer */
    SSE_CLOSE_SLOW_CLIENT = 5, /**< took nothing for SSEQueue's time */
    SSE_CLOSE_MAX_AGE = 6,     /**< SSEMaxAge */
    SSE_CLOSE_SERVER = 7,      /**< the application, or a deleted channel */
    SSE_CLOSE_COMPLETE = 8,    /**< a watched response ended normally, or the
                                    program whose output a stream was */
    SSE_CLOSE_SHUTDOWN = 9,    /**< graceful stop or restart */
    SSE_CLOSE_STOP = 10,       /**< stop at once */
    SSE_CLOSE_CRASH = 11,      /**< the child died; another process tells */
    SSE_CLOSE_ERROR = 12,      /**< anything else: see the status */
    SSE_CLOSE_POLL = 13 /**< a long poll was answered; or, by SSEMaxThreads,
                                    all that was due was sent: the client comes
                                    again for more */
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

/** One registration of sse_on_close(). Lives as long as its request. */
typedef struct sse_watch_t sse_watch_t;

/** An event to send or to publish.  Strings are NUL-terminated UTF-8; data is
 *  data_len bytes of UTF-8.  Everything is copied before the call returns. */
typedef struct {
    const char *id;    /**< sse_send: what goes on the wire; sse_publish: the
                              idempotency key; NULL: none */
    const char *event; /**< the type; NULL: "message" */
    const char *data;  /**< NULL: no data field */
    apr_size_t data_len;
    apr_interval_time_t retry; /**< microseconds; below 0: none */
    const char *comment;       /**< sse_send only; NULL: none */
} sse_event_t;

/** Masks for sse_on_close(): a bit for each reason. */
#define SSE_ON(reason) (1u << (reason))
/** The client left or vanished: the reasons with by_client. */
#define SSE_ON_CLIENT_GONE                                                     \
    (SSE_ON(SSE_CLOSE_CLIENT) | SSE_ON(SSE_CLOSE_RESET) |                      \
     SSE_ON(SSE_CLOSE_WRITE_ERROR) | SSE_ON(SSE_CLOSE_DEAD_PEER))
/** It is over, whoever ended it. */
#define SSE_ON_ANY (~0u)

/** The stream is open: send, subscribe, keep a handle.  On a thread of the
 *  callback pool; request and stream are whole until it returns. */
typedef void sse_ready_fn(sse_stream_t *stream, request_rec *r, void *baton);

/** The request has ended.  On a thread of the callback pool; the request and
 *  its response are whole until it returns. */
typedef void sse_close_fn(request_rec *r, const sse_close_t *close,
                          void *baton);

/**
 * Answer this request with a stream of your own.  From a content handler, as
 * its last act: what this returns is what the handler must return, and the
 * request may be gone by then.  Set response headers before; they are sent
 * here.  SSEHeartbeat and the like are taken from the request's location.
 *
 * On event MPM it returns at once and the stream costs no thread, but for some
 * filters and, over HTTP/2, some clients (docs/operations.md); elsewhere it
 * returns when the stream is over.  Where there is no response body (HEAD, 204,
 * 304), or the client is gone already, no stream opens and ready is not called.
 * @param ready called once the stream is open; or NULL
 * @return SUSPENDED, OK; HTTP_SERVICE_UNAVAILABLE: mod_sse is not running in
 *         this child (see the error log), SSEMaxStreams or SSEMaxThreads is
 *         reached, or it came over HTTP/2 and SSEHTTP2 is Off;
 *         HTTP_TOO_MANY_REQUESTS: SSEMaxStreamsPerClient is reached;
 *         HTTP_MISDIRECTED_REQUEST (421): it came over an HTTP/2 connection of
 *         another host, and its own has no HTTP/2 (RFC 9110, 15.5.20).  After
 *         these three no stream opens, ready is not called, nothing has been
 *         sent and the request is whole: return the status, or answer in a way
 *         of your own.  Where a limit is reached, Retry-After is set in
 *         err_headers_out
 */
APR_DECLARE_OPTIONAL_FN(int, sse_start,
                        (request_rec * r, sse_ready_fn *ready, void *baton));

/**
 * Send an event to one stream.  Any thread; never blocks.
 * @return APR_SUCCESS: it waits to be written; APR_EAGAIN: SSEQueue is full,
 *         and nothing was queued; APR_EOF: the stream was ended by the server;
 *         APR_ECONNABORTED: the client is gone; APR_EINVAL: a line break in id
 *         or event, NUL, no UTF-8, or nothing to send (WHATWG HTML 9.2.5)
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_send,
                        (sse_stream_t * stream, const sse_event_t *event));

/**
 * Have a stream get what is published to one more channel of its host, or no
 * longer to this one.  Any thread.  What is published after sse_subscribe() has
 * returned is delivered; the first of it may come behind younger events of the
 * stream's other channels, and then a block with only an id follows, so that
 * the client comes back to the right place.  Twice is once.  What a stream has
 * not been sent yet of a channel that it leaves is not sent.
 * @return APR_SUCCESS; APR_EINVAL: no channel name; APR_EOF, APR_ECONNABORTED:
 *         as for sse_send; else why the store cannot be read
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_subscribe,
                        (sse_stream_t * stream, const char *channel));
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_unsubscribe,
                        (sse_stream_t * stream, const char *channel));

/** End a stream, after what waits was written.  Any thread.
 *  @return APR_SUCCESS the first time; APR_EOF: it has ended already */
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_end, (sse_stream_t * stream));

/** Whether the stream has not ended.  Any thread. */
APR_DECLARE_OPTIONAL_FN(int, sse_is_open, (sse_stream_t * stream));

/** Keep a handle beyond the request: functions above then fail cleanly however
 *  late.  Any thread.  @return stream */
APR_DECLARE_OPTIONAL_FN(sse_stream_t *, sse_retain, (sse_stream_t * stream));
APR_DECLARE_OPTIONAL_FN(void, sse_release, (sse_stream_t * stream));

/**
 * Be told when this request ends: any request, any handler, any phase.  The
 * callback runs at most once; those of a request run one after the other in the
 * order of registration.  After the end it runs at once, with the stored
 * reason.
 *
 * On the request's thread; for a stream also from any code that was given the
 * request by this module, while that runs.  A subrequest counts as the request
 * that the client sent, and the callback gets that one.
 * @param reasons a mask: SSE_ON_CLIENT_GONE, SSE_ON_ANY, or SSE_ON()s
 * @param watch out: for sse_cancel(); or NULL
 * @return APR_SUCCESS; APR_EOF: the request is being freed; APR_ENOTIMPL:
 *         mod_sse is not running in this child; another error: no thread can be
 *         made that would run it
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_on_close,
                        (request_rec * r, apr_uint32_t reasons,
                         sse_close_fn *fn, void *baton, sse_watch_t **watch));

/** Cancel a registration.  Any thread, while the request lives.
 *  @return APR_SUCCESS: the callback will not be called; APR_EOF: it was
 *          called, is running, or was cancelled before */
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_cancel, (sse_watch_t * watch));

/**
 * Publish an event to a channel of this host, for all its subscribers in all
 * children, as POST does.  Any thread; blocks until the store has the event,
 * but no longer than 5 s while another process keeps the store locked.
 * What the channel keeps is the host's SSEHistory.
 * @param id out: the event's id, in p; or NULL
 * @return APR_SUCCESS: it is stored; APR_EINVAL: no data, a type that begins
 *         with "sse-", no channel name, or as for sse_send; APR_ENOSPC: the
 *         store is full, or its disk is gone or read-only; APR_EAGAIN: another
 *         process keeps it locked, nothing was published; APR_ENOTIMPL: mod_sse
 *         is not running in this child
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, sse_publish,
                        (server_rec * s, const char *channel,
                         const sse_event_t *event, const char **id,
                         apr_pool_t *p));

/** The reason's name as logs have it ("client"); "none" for SSE_CLOSE_NONE,
 *  "unknown" for a value that is none.  Any thread. */
APR_DECLARE_OPTIONAL_FN(const char *, sse_close_name,
                        (sse_close_reason_e reason));

/**
 * Hook, run all: a stream's head has been sent and its client was there.
 * Every stream for which this ran gets exactly one stream_close.
 * On the request's thread, before any event.
 *
 * Runs for other requests too where SSEWatch says so, before their handler.
 * One of these that becomes a stream by sse_start() is not opened twice.
 * @param stream valid until this stream's stream_close hook has returned,
 *        unless kept by sse_retain(); NULL: a watched request
 */
APR_DECLARE_EXTERNAL_HOOK(sse, SSE, void, stream_open,
                          (sse_stream_t * stream, request_rec *r))

/**
 * Hook, run all: the stream has ended.  Request and response (headers_out,
 * notes, module configuration) are whole until it returns.
 * On a thread of the callback pool, before the request's own callbacks.
 * @param stream NULL: a watched request that is no stream
 */
APR_DECLARE_EXTERNAL_HOOK(sse, SSE, void, stream_close,
                          (sse_stream_t * stream, request_rec *r,
                           const sse_close_t *close))

/** What is known of a stream (or a request watched by SSEWatch) whose child
 *  process died. */
typedef struct {
    const char *stream;   /**< its id: the log note sse-stream */
    const char *channels; /**< the log note sse-channel */
    const char *client;   /**< its address */
    apr_time_t opened;    /**< microseconds since 1970 */
    apr_pool_t *pool;     /**< for the hook's own use, and of all the above */
} sse_crash_t;

/**
 * Hook, run all: a child process died (a crash, SIGKILL) with this stream open,
 * and could not run stream_close for it.  No request is left; the reason would
 * be SSE_CLOSE_CRASH.  Run once, in another child of the same server, soon
 * after the death; after the whole server died, in a child of its next start.
 *
 * On a thread of the callback pool.  Where a module takes this hook, each
 * stream is entered into a registry and taken out again, which costs 2 to 4
 * microseconds a stream in all.
 */
APR_DECLARE_EXTERNAL_HOOK(sse, SSE, void, stream_crashed,
                          (const sse_crash_t *crash))

#ifdef __cplusplus
}
#endif

#endif /* MOD_SSE_H */
