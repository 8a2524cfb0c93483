/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What each directive takes.  A function per directive, but for the times,
 * which differ in their range only.  Messages name the directive, the value
 * and what is allowed; httpd puts the file and the line in front. */

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "config/sse_config.h"
#include "config/sse_context.h"
#include "config/sse_directives.h"
#include "config/sse_values.h"
#include "notify/sse_watcher.h"

APLOG_USE_MODULE(sse);

#define SSE_HISTORY_AGE_MAX   apr_time_from_sec(365 * 24 * 60 * 60)
#define SSE_HISTORY_BYTES_MAX (APR_INT64_C(1024) << 30)
#define SSE_CALLBACK_MAX      256
#define SSE_EVENT_MAX         (APR_INT64_C(64) << 20)

#define SSE_NAMESPACE_ALLOWED                                                  \
    "a name of 1 to " APR_STRINGIFY(                                           \
        SSE_NAMESPACE_MAX) " ASCII characters without blanks"
#define SSE_CHANNEL_ALLOWED                                                    \
    "a name of 1 to " APR_STRINGIFY(                                           \
        SSE_CHANNEL_MAX) " bytes of UTF-8 without control characters"

const char *sse_conf_refuse(const cmd_parms *cmd, const char *value,
                            const char *allowed)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is not allowed; allowed is %s",
                        cmd->cmd->name, value, allowed);
}

/* All words of a line: httpd's own readers of a varying number end at an empty
 * one in silence. */
static const char *sse_conf_words(const cmd_parms *cmd, const char *args,
                                  int max, apr_array_header_t **words)
{
    const char *word;

    *words = apr_array_make(cmd->pool, 4, sizeof(const char *));
    while (*args) {
        word = ap_getword_conf(cmd->pool, &args);
        if (!*word) {
            return apr_psprintf(cmd->pool, "%s: an argument is empty (''); %s",
                                cmd->cmd->name, cmd->cmd->errmsg);
        }
        APR_ARRAY_PUSH(*words, const char *) = word;
    }
    if (!(*words)->nelts || (*words)->nelts > max) {
        return apr_psprintf(cmd->pool, "%s takes %s, %s", cmd->cmd->name,
                            max == INT_MAX ? "at least one argument"
                                           : "one to three arguments",
                            cmd->cmd->errmsg);
    }
    return NULL;
}

/* The store */

static const char *sse_conf_set_store(cmd_parms *cmd, void *dir_conf,
                                      const char *args)
{
    sse_server_conf_t *conf =
        ap_get_module_config(cmd->server->module_config, &sse_module);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const sse_store_provider_t *provider;
    apr_array_header_t *words;
    sse_store_conf_t *ignored;
    const char *const *argv;
    const char *dir = sse_conf_store_base(cmd->temp_pool);

    if (!wrong) {
        wrong = sse_conf_words(cmd, args, INT_MAX, &words);
    }
    if (wrong) {
        return wrong;
    }
    argv = (const char *const *)words->elts;
    provider = sse_store_provider(argv[0]);
    if (!provider) {
        return sse_conf_refuse(cmd, argv[0],
                               "the store's name: lmdb [key=value ...]");
    }
    /* Read again once DefaultRuntimeDir is sure to be known: now is the time
     * when the line's number is. */
    wrong = provider->configure(&ignored, cmd->temp_pool, dir ? dir : "/",
                                words->nelts - 1, argv + 1);
    if (wrong) {
        return apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, argv[0],
                            wrong);
    }
    conf->provider = provider;
    conf->store_argc = words->nelts - 1;
    conf->store_argv = argv + 1;
    return NULL;
}

/* Channels */

/* Lower case, as a ServerName becomes: names that differ in case only would be
 * two namespaces by mistake. */
static const char *sse_conf_set_namespace(cmd_parms *cmd, void *dir_conf,
                                          const char *name)
{
    sse_server_conf_t *conf =
        ap_get_module_config(cmd->server->module_config, &sse_module);
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    char *ns = apr_pstrdup(cmd->pool, name);
    const char *p;

    if (wrong) {
        return wrong;
    }
    for (p = name; *p > ' ' && *p < 0x7f; ++p) {
    }
    if (*p || p == name || p - name > SSE_NAMESPACE_MAX) {
        return sse_conf_refuse(cmd, name, SSE_NAMESPACE_ALLOWED);
    }
    ap_str_tolower(ns);
    conf->ns = ns;
    return NULL;
}

static const char *sse_conf_add_channel(cmd_parms *cmd, sse_dir_conf_t *conf,
                                        const char *text)
{
    const ap_expr_info_t *expr;
    const char *wrong;

    if (!sse_conf_may_be_channel(text, SSE_CHANNEL_MAX)) {
        return sse_conf_refuse(cmd, text, SSE_CHANNEL_ALLOWED);
    }
    expr =
        ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_STRING_RESULT, &wrong, NULL);
    if (!expr) {
        return apr_psprintf(cmd->pool,
                            "%s: '%s' is no expression: %s; allowed is text "
                            "with %%{VARIABLE} or %%{function:argument} in it",
                            cmd->cmd->name, text, wrong);
    }
    APR_ARRAY_PUSH(conf->channels, const ap_expr_info_t *) = expr;
    return NULL;
}

static const char *sse_conf_set_channel(cmd_parms *cmd, void *dir_conf,
                                        const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    apr_array_header_t *words;
    const char *wrong = sse_conf_check_limit(cmd);
    int i;

    if (!wrong) {
        wrong = sse_conf_words(cmd, args, INT_MAX, &words);
    }
    if (wrong) {
        return wrong;
    }
    if (!conf->channels) {
        conf->channels = apr_array_make(cmd->pool, words->nelts,
                                        sizeof(const ap_expr_info_t *));
    }
    for (i = 0; i < words->nelts && !wrong; ++i) {
        wrong = sse_conf_add_channel(cmd, conf,
                                     APR_ARRAY_IDX(words, i, const char *));
    }
    return wrong;
}

/* Publishing and what is kept */

static const char *sse_conf_set_publish(cmd_parms *cmd, void *dir_conf,
                                        const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    int publish = sse_conf_parse_either(arg, "Off", "On");

    if (wrong) {
        return wrong;
    }
    if (publish < 0) {
        return sse_conf_refuse(cmd, arg, "On or Off");
    }
    conf->publish = publish;
    return NULL;
}

static const char *sse_conf_set_history(cmd_parms *cmd, void *dir_conf,
                                        const char *count, const char *age,
                                        const char *bytes)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    sse_history_t *history =
        apr_pmemdup(cmd->pool, &sse_default_history, sizeof(*history));
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_conf_parse_count(count, &n) || n > SSE_COUNT_MAX) {
        return sse_conf_refuse(cmd, count,
                               "0 to 1000000000 events as the count");
    }
    history->count = (apr_uint32_t)n;
    if (age) {
        if (!sse_conf_parse_time(age, &n) || n > SSE_HISTORY_AGE_MAX) {
            return sse_conf_refuse(cmd, age,
                                   "0 (any age) to 8760h as the "
                                   "age: " SSE_CONF_TIME_UNITS);
        }
        history->age = n;
    }
    if (bytes) {
        if (!sse_conf_parse_size(bytes, &n) || n > SSE_HISTORY_BYTES_MAX) {
            return sse_conf_refuse(cmd, bytes,
                                   "0 (any size) to 1024g as the "
                                   "bytes: " SSE_CONF_SIZE_UNITS);
        }
        history->bytes = (apr_uint64_t)n;
    }
    conf->history = history;
    return NULL;
}

static const char *sse_conf_set_replay(cmd_parms *cmd, void *dir_conf,
                                       const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    switch (sse_conf_parse_either(arg, "none", "all")) {
    case 0:
        conf->replay = SSE_REPLAY_NONE;
        return NULL;
    case 1:
        conf->replay = SSE_REPLAY_ALL;
        return NULL;
    default:
        break;
    }
    if (!sse_conf_parse_count(arg, &n) || n > SSE_COUNT_MAX) {
        return sse_conf_refuse(cmd, arg,
                               "none, all, or 0 to 1000000000 events");
    }
    conf->replay = (int)n;
    return NULL;
}

static const char *sse_conf_set_max_event(cmd_parms *cmd, void *dir_conf,
                                          const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_conf_parse_size(arg, &n) || n < 1 || n > SSE_EVENT_MAX) {
        return sse_conf_refuse(cmd, arg, "1 to 64m: " SSE_CONF_SIZE_UNITS);
    }
    conf->max_event = (apr_off_t)n;
    return NULL;
}

/* Streams */

/* Where 0 means something of its own, which all of them have. */
typedef struct {
    apr_size_t offset; /* of the member, an apr_interval_time_t */
    apr_interval_time_t min, max;
    const char *allowed;
} sse_conf_time_t;

#define SSE_TIME(member, min, max, allowed)                                    \
    {                                                                          \
        offsetof(sse_dir_conf_t, member), min, max,                            \
            allowed ": " SSE_CONF_TIME_UNITS                                   \
    }

/* More often than ten times a second is a mistaken unit. */
static const sse_conf_time_t sse_time_heartbeat =
    SSE_TIME(heartbeat, apr_time_from_msec(100), apr_time_from_sec(24 * 3600),
             "0 (off) or 100ms to 24h");

/* Browsers count it in milliseconds, in 32 bits. */
static const sse_conf_time_t sse_time_retry =
    SSE_TIME(retry, apr_time_from_msec(1), apr_time_from_sec(24 * 3600),
             "0 (none sent) or 1ms to 24h");

/* One lost packet takes the kernel some 200 ms to repair; and it counts the
 * time in milliseconds, in 32 bits. */
static const sse_conf_time_t sse_time_dead_peer =
    SSE_TIME(dead_peer, apr_time_from_sec(1), apr_time_from_sec(24 * 3600),
             "0 (left to the kernel) or 1s to 24h");

static const sse_conf_time_t sse_time_max_age = SSE_TIME(
    max_age, apr_time_from_msec(100), apr_time_from_sec(365 * 24 * 3600),
    "0 (no limit) or 100ms to 8760h");

static const char *sse_conf_set_time(cmd_parms *cmd, void *dir_conf,
                                     const char *arg)
{
    const sse_conf_time_t *range = cmd->info;
    const char *wrong = sse_conf_check_limit(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_conf_parse_time(arg, &n) ||
        (n != 0 && (n < range->min || n > range->max))) {
        return sse_conf_refuse(cmd, arg, range->allowed);
    }
    *(apr_interval_time_t *)((char *)dir_conf + range->offset) = n;
    return NULL;
}

static const char *sse_conf_set_half_close(cmd_parms *cmd, void *dir_conf,
                                           const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    int keep = sse_conf_parse_either(arg, "close", "keep");

    if (wrong) {
        return wrong;
    }
    if (keep < 0) {
        return sse_conf_refuse(cmd, arg, "close or keep");
    }
    conf->half_close_keep = keep;
    return NULL;
}

static const char *sse_conf_set_watch(cmd_parms *cmd, void *dir_conf,
                                      const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    int watch = !ap_cstr_casecmp(arg, "Abort")
                    ? SSE_WATCH_ABORT
                    : sse_conf_parse_either(arg, "Off", "On");

    if (wrong) {
        return wrong;
    }
    if (watch < 0) {
        return sse_conf_refuse(cmd, arg, "On, Off or Abort");
    }
    conf->watch = watch;
    return NULL;
}

static const char *sse_conf_set_callback_threads(cmd_parms *cmd, void *dir_conf,
                                                 const char *arg)
{
    sse_server_conf_t *conf =
        ap_get_module_config(cmd->server->module_config, &sse_module);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_conf_parse_count(arg, &n) || n < 1 || n > SSE_CALLBACK_MAX) {
        return sse_conf_refuse(
            cmd, arg, "1 to " APR_STRINGIFY(SSE_CALLBACK_MAX) " threads");
    }
    conf->callback_threads = (int)n;
    return NULL;
}

static const char *sse_conf_set_queue(cmd_parms *cmd, void *dir_conf,
                                      const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);
    sse_conf_queue_t queue = {0, 0, SSE_UNSET};
    apr_array_header_t *words;
    const char *allowed, *word;

    if (!wrong) {
        wrong = sse_conf_words(cmd, args, 3, &words);
    }
    if (wrong) {
        return wrong;
    }
    allowed = sse_conf_parse_queue((const char *const *)words->elts,
                                   words->nelts, &queue, &word);
    if (allowed) {
        return sse_conf_refuse(cmd, word, allowed);
    }
    conf->queue_bytes = (apr_off_t)queue.bytes;
    conf->queue_drop = queue.drop;
    conf->queue_time = queue.time;
    return NULL;
}

/* Other sites' pages */

static const char *sse_conf_add_origin(cmd_parms *cmd, sse_dir_conf_t *conf,
                                       const char *text)
{
    const char *origin;
    const char *wrong = sse_conf_parse_origin(cmd->pool, text, &origin);

    if (wrong) {
        return apr_psprintf(cmd->pool,
                            "%s: '%s' is not allowed: %s; allowed is "
                            "scheme://host[:port] or '*', once or more, or "
                            "none alone",
                            cmd->cmd->name, text, wrong);
    }
    if (!sse_conf_has_word(conf->origins, origin)) {
        APR_ARRAY_PUSH(conf->origins, const char *) = origin;
    }
    return NULL;
}

static const char *sse_conf_set_origins(cmd_parms *cmd, void *dir_conf,
                                        const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    apr_array_header_t *words;
    const char *wrong = sse_conf_check_limit(cmd);
    int i;

    if (!wrong) {
        wrong = sse_conf_words(cmd, args, INT_MAX, &words);
    }
    if (wrong) {
        return wrong;
    }
    if (words->nelts == 1 &&
        !ap_cstr_casecmp(APR_ARRAY_IDX(words, 0, const char *), "none")) {
        conf->origins = apr_array_make(cmd->pool, 1, sizeof(const char *));
        return NULL;
    }
    if (!conf->origins) {
        conf->origins =
            apr_array_make(cmd->pool, words->nelts, sizeof(const char *));
    }
    for (i = 0; i < words->nelts && !wrong; ++i) {
        wrong = sse_conf_add_origin(cmd, conf,
                                    APR_ARRAY_IDX(words, i, const char *));
    }
    return wrong;
}

/* "none" empties the list since no filter is called so. */
static const char *sse_conf_add_filter(cmd_parms *cmd, void *dir_conf,
                                       const char *name)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);

    if (wrong) {
        return wrong;
    }
    if (!conf->filters) {
        conf->filters = apr_array_make(cmd->pool, 1, sizeof(name));
    }
    APR_ARRAY_PUSH(conf->filters, const char *) = name;
    return NULL;
}

#define SSE_IN_SERVER RSRC_CONF
#define SSE_ANYWHERE  (RSRC_CONF | ACCESS_CONF | OR_ALL)

const command_rec sse_conf_commands[] = {
    AP_INIT_RAW_ARGS("SSEStore", sse_conf_set_store, NULL, SSE_IN_SERVER,
                     "where events live: lmdb [dir=path] [size=bytes] "
                     "[sync=on|off]"),
    AP_INIT_TAKE1("SSENamespace", sse_conf_set_namespace, NULL, SSE_IN_SERVER,
                  "a name: hosts with the same one share their channels"),
    AP_INIT_RAW_ARGS("SSEChannel", sse_conf_set_channel, NULL, SSE_ANYWHERE,
                     "the channels' names, each an expression string such as "
                     "\"user-%{REMOTE_USER}\""),
    AP_INIT_TAKE1("SSEPublish", sse_conf_set_publish, NULL, SSE_ANYWHERE,
                  "On or Off: whether POST and DELETE are answered"),
    AP_INIT_TAKE123("SSEHistory", sse_conf_set_history, NULL, SSE_ANYWHERE,
                    "what a channel keeps: count [age] [bytes], such as "
                    "1000 1h 16m"),
    AP_INIT_TAKE1("SSEReplay", sse_conf_set_replay, NULL, SSE_ANYWHERE,
                  "none, all or a count: the events that a new subscriber "
                  "gets first"),
    AP_INIT_TAKE1("SSEHeartbeat", sse_conf_set_time,
                  (void *)&sse_time_heartbeat, SSE_ANYWHERE,
                  "a time such as 15s: the silence before a comment is sent; "
                  "0 is off"),
    AP_INIT_TAKE1("SSERetry", sse_conf_set_time, (void *)&sse_time_retry,
                  SSE_ANYWHERE,
                  "a time such as 2s: when clients come back; 0: as they like"),
    AP_INIT_TAKE1("SSEDeadPeer", sse_conf_set_time, (void *)&sse_time_dead_peer,
                  SSE_ANYWHERE,
                  "a time such as 30s: when a peer that does not answer is "
                  "dead; 0 leaves it to the kernel"),
    AP_INIT_TAKE1("SSEHalfClose", sse_conf_set_half_close, NULL, SSE_ANYWHERE,
                  "close or keep: one that shut down its sending side"),
    AP_INIT_RAW_ARGS(
        "SSEQueue", sse_conf_set_queue, NULL, SSE_ANYWHERE,
        "bytes [close|drop] [time], such as 256k close 30s: what may wait in "
        "memory for one client, and what is done with one that is slow"),
    AP_INIT_TAKE1("SSEMaxAge", sse_conf_set_time, (void *)&sse_time_max_age,
                  SSE_ANYWHERE,
                  "a time such as 1h: a stream's longest life; 0 is no limit"),
    AP_INIT_TAKE1("SSEMaxStreams", sse_conf_set_max_streams, NULL,
                  SSE_IN_SERVER,
                  "a count: the streams that may be open; 0 is no limit"),
    AP_INIT_TAKE1("SSEMaxStreamsPerClient", sse_conf_set_max_per_client, NULL,
                  SSE_ANYWHERE,
                  "a count: the streams that one client may have; 0: no limit"),
    AP_INIT_TAKE1("SSEMaxThreads", sse_conf_set_max_threads, NULL,
                  SSE_IN_SERVER,
                  "a count or a share such as 75%: the threads that streams "
                  "may hold"),
    AP_INIT_TAKE1("SSEMaxEventSize", sse_conf_set_max_event, NULL, SSE_ANYWHERE,
                  "a size such as 64k: the largest event that is taken"),
    AP_INIT_RAW_ARGS("SSEAllowOrigin", sse_conf_set_origins, NULL, SSE_ANYWHERE,
                     "scheme://host[:port] or '*' (to read), once or more, or "
                     "none alone: whose pages may use this"),
    AP_INIT_ITERATE("SSETrustFilter", sse_conf_add_filter, NULL, SSE_ANYWHERE,
                    "names of output filters that never wait, or none"),
    AP_INIT_TAKE1("SSEWatch", sse_conf_set_watch, NULL, SSE_ANYWHERE,
                  "On, Off or Abort: close notification for requests of any "
                  "handler; Abort also ends the handler's reads and writes"),
    AP_INIT_TAKE1("SSECallbackThreads", sse_conf_set_callback_threads, NULL,
                  SSE_IN_SERVER,
                  "a count such as 4: the threads that tell of closes"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
