/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_config.h
 * The settings that directives make: members, defaults, merging, accessors.
 * For what a location may set, all of that is generated from SSE_DIR_MEMBERS;
 * for sse_server_conf_t it is written by hand.
 *
 * Threads: written while the configuration is read; const afterwards.
 */

#ifndef SSE_CONFIG_H
#define SSE_CONFIG_H

#include <httpd.h>
#include <http_config.h>
#include <ap_expr.h>

#include "loop/sse_complain.h"
#include "store/sse_store.h"

/** SSEReplay, besides counts. */
#define SSE_REPLAY_NONE 0
#define SSE_REPLAY_ALL  (-1)

/** SSEWatch. */
typedef enum {
    SSE_WATCH_OFF,
    SSE_WATCH_ON,   /**< log notes and hooks */
    SSE_WATCH_ABORT /**< also: the handler's next read or write fails */
} sse_watch_mode_e;

/** SSEHook: what a target is told of, as bits of a mask. */
typedef enum {
    SSE_HOOK_OPEN = 1 << 0,
    SSE_HOOK_CLOSE = 1 << 1,
    SSE_HOOK_PUBLISH = 1 << 2,
    SSE_HOOK_FIRST = 1 << 3,
    SSE_HOOK_LAST = 1 << 4
} sse_hook_e;

/** One target of SSEHook. */
typedef struct {
    const char *url;
    apr_uint32_t events; /**< of sse_hook_e */
} sse_hook_conf_t;

/** One SSEHookField. */
typedef struct {
    const char *name;
    const ap_expr_info_t *expr;
} sse_hook_field_t;

/** SSEHTTP2: how streams over HTTP/2 are written. */
typedef enum {
    SSE_HTTP2_SPLICE,  /**< without a thread, where that can be */
    SSE_HTTP2_THREADS, /**< each holds one */
    SSE_HTTP2_OFF      /**< they are refused */
} sse_http2_mode_e;

/** SSEPresence. */
typedef enum {
    SSE_PRESENCE_OFF,
    SSE_PRESENCE_COUNT, /**< how many are on a channel */
    SSE_PRESENCE_ON     /**< and who */
} sse_presence_mode_e;

/** SSEAuthorize: whom to ask. */
typedef struct {
    const char *text;           /**< as configured */
    const ap_expr_info_t *expr; /**< gives the path; NULL: nobody */
    sse_complaint_t *complaint; /**< of its log lines */
} sse_ask_conf_t;

/** SSECommand. */
typedef struct {
    const char *program;        /**< an absolute path; NULL: none */
    apr_array_header_t *args;   /**< of const ap_expr_info_t * */
    sse_complaint_t *complaint; /**< of its log lines */
    const char *file;           /**< where it is configured */
    int line;
} sse_command_t;

/** An int member that is not set.  Not -1, which is SSE_REPLAY_ALL. */
#define SSE_UNSET (-2)

/* type, member, unset, default */
#define SSE_DIR_MEMBERS(X)                                                     \
    X(apr_array_header_t *, channels, NULL, NULL)                              \
    X(const sse_ask_conf_t *, ask_subscribe, NULL, NULL)                       \
    X(const sse_ask_conf_t *, ask_publish, NULL, NULL)                         \
    X(int, publish, SSE_UNSET, 0)                                              \
    X(const sse_history_t *, history, NULL, &sse_default_history)              \
    X(int, replay, SSE_UNSET, SSE_REPLAY_NONE)                                 \
    X(apr_interval_time_t, heartbeat, SSE_UNSET, apr_time_from_sec(15))        \
    X(apr_interval_time_t, retry, SSE_UNSET, apr_time_from_sec(2))             \
    X(apr_interval_time_t, dead_peer, SSE_UNSET, apr_time_from_sec(30))        \
    X(int, half_close_keep, SSE_UNSET, 0)                                      \
    X(apr_off_t, queue_bytes, SSE_UNSET, APR_INT64_C(256) * 1024)              \
    X(int, queue_drop, SSE_UNSET, 0)                                           \
    X(apr_interval_time_t, queue_time, SSE_UNSET, apr_time_from_sec(30))       \
    X(apr_interval_time_t, max_age, SSE_UNSET, 0)                              \
    X(apr_interval_time_t, poll_wait, SSE_UNSET, apr_time_from_sec(25))        \
    X(int, max_per_client, SSE_UNSET, 0)                                       \
    X(apr_off_t, max_event, SSE_UNSET, APR_INT64_C(64) * 1024)                 \
    X(apr_array_header_t *, origins, NULL, NULL)                               \
    X(apr_array_header_t *, filters, NULL, NULL)                               \
    X(int, watch, SSE_UNSET, 0)                                                \
    X(int, hook_batch, SSE_UNSET, 1)                                           \
    X(apr_array_header_t *, hooks, NULL, NULL)                                 \
    X(apr_array_header_t *, hook_fields, NULL, NULL)                           \
    X(const char *, hook_secret, NULL, NULL)                                   \
    X(const char *, hook_ca, NULL, NULL)                                       \
    X(apr_interval_time_t, hook_batch_time, SSE_UNSET, 0)                      \
    X(int, presence, SSE_UNSET, SSE_PRESENCE_OFF)                              \
    X(int, presence_grace_all, SSE_UNSET, 0)                                   \
    X(apr_interval_time_t, presence_grace, SSE_UNSET, apr_time_from_sec(5))    \
    X(const sse_command_t *, command, NULL, NULL)                              \
    X(int, command_format, SSE_UNSET, 0)                                       \
    X(int, command_share, SSE_UNSET, 0)                                        \
    X(apr_interval_time_t, command_linger, SSE_UNSET, apr_time_from_sec(10))

extern const sse_history_t sse_default_history; /* 1000 events, 1h, 16m */

/** Per location.  channels: of const ap_expr_info_t *; NULL: the URL path.
 *  ask_subscribe, ask_publish: NULL: nobody is asked.
 *  origins: of const char *, lower case as browsers send them; "*": any may
 *  read; empty or NULL: none.  filters: of const char *, of SSETrustFilter.
 *  watch: sse_watch_mode_e.  hooks: of sse_hook_conf_t, hook_fields: of
 *  sse_hook_field_t; empty or NULL: none.  hook_secret, hook_ca: an absolute
 *  path; empty or NULL: none.  presence: sse_presence_mode_e.
 *  command_format: the index of the directive's word. */
typedef struct {
#define SSE_MEMBER(type, name, unset, fallback) type name;
    SSE_DIR_MEMBERS(SSE_MEMBER)
#undef SSE_MEMBER
} sse_dir_conf_t;

/** The settings of a request's location, such as sse_conf_heartbeat(r), or of
 *  a location, such as sse_dir_conf_heartbeat(conf): the default if the member
 *  is not set. */
#define SSE_MEMBER(type, name, unset, fallback)                                \
    type sse_conf_##name(const request_rec *r);                                \
    type sse_dir_conf_##name(const sse_dir_conf_t *conf);
SSE_DIR_MEMBERS(SSE_MEMBER)
#undef SSE_MEMBER

/** Per server.  The store's settings are the main server's alone. */
typedef struct {
    const char *ns; /**< SSENamespace, or NULL */
    int store_argc;
    const char *const *store_argv; /**< SSEStore, see sse_store_configure() */
    int callback_threads;          /**< SSECallbackThreads */
    int max_streams;               /**< SSEMaxStreams; not inherited */
    int max_threads;               /**< SSEMaxThreads; below 0: per cent;
                                        0: not set */
    int http2;                     /**< SSEHTTP2: sse_http2_mode_e; SSE_UNSET */
    int hook_connections;          /**< SSEHookConnections */
    apr_uint64_t hook_queue_count; /**< SSEHookQueue */
    apr_uint64_t hook_queue_bytes;
    /** What SSEHook, SSEHookSecret and SSEHookCA name, of const char *, in
     *  this host and all its locations; NULL: nothing. */
    apr_array_header_t *hook_urls, *hook_secrets, *hook_cas;
    apr_uint32_t hook_events; /**< sse_hook_e: of any SSEHook of this host */
    int command_max;          /**< SSECommandMax; 0: not set; not inherited */
    /** SSECommand of this host and its locations, of const sse_command_t *;
     *  NULL: none. */
    apr_array_header_t *commands;
} sse_server_conf_t;

/** The longest namespace, so that it and a channel fit a store's key, also with
 *  the mark of a channel's presence. */
#define SSE_NAMESPACE_MAX 109
/** The longest channel name, in bytes. */
#define SSE_CHANNEL_MAX 400

/** The namespace of this server, in lower case: SSENamespace, else its
 *  ServerName without a port. */
const char *sse_conf_namespace(const server_rec *s, apr_pool_t *pool);

/** Whether SSENamespace is set, for this host or for all. */
int sse_conf_namespace_is_set(const server_rec *s);

/** What a store's relative path is relative to; NULL: no path. */
const char *sse_conf_store_base(apr_pool_t *pool);

/** The settings of the store in force. @return NULL, or what is wrong */
const char *sse_conf_store(const server_rec *main_server, apr_pool_t *pool,
                           sse_store_conf_t **conf);

#define SSE_CALLBACK_THREADS 4 /**< the default */

/** SSECallbackThreads. */
int sse_conf_callback_threads(const server_rec *main_server);

#define SSE_MAX_STREAMS 0 /**< the default: no limit */

/** SSEMaxStreams as this host has it, which is not inherited; 0: no limit. */
int sse_conf_max_streams(const server_rec *s);

#define SSE_MAX_THREADS_PERCENT 75 /**< the default */

/** SSEMaxThreads: how many of these threads (prefork: processes) streams may
 *  hold; at least one. */
int sse_conf_max_threads(const server_rec *s, int threads);

/** The same for the threads of mod_http2, of which a count leaves a quarter. */
int sse_conf_max_threads_http2(const server_rec *s, int threads);

/** SSEMaxThreads as configured, for messages. */
const char *sse_conf_max_threads_text(const server_rec *s, apr_pool_t *pool);

#define SSE_HTTP2_DEFAULT SSE_HTTP2_SPLICE

/** SSEHTTP2.  With splice the MPM and mod_http2 may still be such that every
 *  stream holds a thread. */
sse_http2_mode_e sse_conf_http2(const server_rec *s);

/** Whether any host has SSEHTTP2 splice. */
int sse_conf_any_http2_splice(const server_rec *main_server);

/** Of a URL, in bytes; of calls in one request; of connections to a target. */
#define SSE_HOOK_URL_MAX         2000
#define SSE_HOOK_BATCH_MAX       1000
#define SSE_HOOK_CONNECTIONS_MAX 256

#define SSE_HOOK_CONNECTIONS 8 /**< the default */
#define SSE_HOOK_QUEUE_COUNT 100000
#define SSE_HOOK_QUEUE_BYTES (APR_UINT64_C(256) * 1024 * 1024)

/** SSEHookConnections. */
int sse_conf_hook_connections(const server_rec *main_server);

/** SSEHookQueue. */
void sse_conf_hook_queue(const server_rec *main_server, apr_uint64_t *count,
                         apr_uint64_t *bytes);

/** The events that any SSEHook of any host names. */
apr_uint32_t sse_conf_hook_events(const server_rec *main_server);

/** Told of one URL or file; @return NULL, or what is wrong with it */
typedef const char *sse_conf_hook_fn(void *baton, const char *name);

/** Call a function for all that directives name in any host, some twice.  NULL:
 *  not for these.  Stops at the first that is wrong.
 *  @return NULL, or what that function returned */
const char *sse_conf_hook_names(const server_rec *main_server,
                                sse_conf_hook_fn *url, sse_conf_hook_fn *secret,
                                sse_conf_hook_fn *ca, void *baton);

#define SSE_COMMAND_MAX 100 /**< the default */
/** What may be configured. */
#define SSE_COMMAND_MAX_MOST 100000

/** SSECommandMax as this host has it, which is not inherited; 0: not set, but
 *  the main server's is the default then. */
int sse_conf_command_max(const server_rec *s);

/** What SSECommand names in this host and its locations, of
 *  const sse_command_t *; NULL: nothing. */
const apr_array_header_t *sse_conf_commands(const server_rec *s);

/** Whether SSECommand names a program anywhere. */
int sse_conf_has_commands(const server_rec *main_server);

/** The host's own settings (those of no location), for events that a C module
 *  publishes. */
const sse_dir_conf_t *sse_conf_server_dir(const server_rec *s);

/** The settings of a request's location. */
const sse_dir_conf_t *sse_conf_dir(const request_rec *r);

/** SSEHistory of the host, for channels of no location. */
const sse_history_t *sse_conf_server_history(const server_rec *s);

/** check_config (which "apache2 -t" runs as well) or post_config: check what
 *  needs the whole configuration (a ServerName that is too long for a
 *  namespace, the settings of the store).
 *  @return OK, or HTTP_INTERNAL_SERVER_ERROR: logged, with what to change */
int sse_conf_check(apr_pool_t *pool, apr_pool_t *ptemp,
                   server_rec *main_server);

/* For the module record. */
void *sse_conf_create_dir(apr_pool_t *pool, char *dir);
void *sse_conf_merge_dir(apr_pool_t *pool, void *base, void *add);
void *sse_conf_create_server(apr_pool_t *pool, server_rec *s);
void *sse_conf_merge_server(apr_pool_t *pool, void *base, void *add);

#endif /* SSE_CONFIG_H */
