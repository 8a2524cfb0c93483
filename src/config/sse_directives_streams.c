/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Streams, whose pages may use them, and close notification. */

#include <limits.h>
#include <stddef.h>

#include <apr_strings.h>

#include "config/sse_directives.h"
#include "config/sse_values.h"

/* The data of a directive that takes a time; 0, with a meaning of its own, is
 * always allowed. */
typedef struct {
    apr_size_t offset; /* of the member, an apr_interval_time_t */
    apr_interval_time_t min, max;
    const char *allowed;
} range_t;

#define SSE_TIME(member, min, max, allowed)                                    \
    {                                                                          \
        offsetof(sse_dir_conf_t, member), min, max,                            \
            allowed ": " SSE_VALUES_TIME                                       \
    }

/* Less than 100 ms is taken for a mistaken unit. */
static const range_t range_heartbeat =
    SSE_TIME(heartbeat, apr_time_from_msec(100), apr_time_from_sec(24 * 3600),
             "0 (off) or 100ms to 24h");

/* Browsers have it in milliseconds, in 32 bits. */
static const range_t range_retry =
    SSE_TIME(retry, apr_time_from_msec(1), apr_time_from_sec(24 * 3600),
             "0 (none sent) or 1ms to 24h");

/* The kernel takes some 200 ms to repeat a lost packet, and counts milliseconds
 * in 32 bits. */
static const range_t range_dead_peer =
    SSE_TIME(dead_peer, apr_time_from_sec(1), apr_time_from_sec(24 * 3600),
             "0 (left to the kernel) or 1s to 24h");

static const range_t range_max_age = SSE_TIME(
    max_age, apr_time_from_msec(100), apr_time_from_sec(365 * 24 * 3600),
    "0 (no limit) or 100ms to 8760h");

static const range_t range_poll_wait =
    SSE_TIME(poll_wait, apr_time_from_msec(100), apr_time_from_sec(3600),
             "0 (polls do not wait) or 100ms to 1h");

static const char *set_time(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    const range_t *range = cmd->info;
    const char *wrong = sse_directives_check(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_time(arg, &n) ||
        (n != 0 && (n < range->min || n > range->max))) {
        return sse_directives_refuse(cmd, arg, range->allowed);
    }
    *(apr_interval_time_t *)((char *)dir_conf + range->offset) = n;
    return NULL;
}

static const char *set_queue(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    sse_values_queue_t queue = {0, 0, SSE_UNSET};
    apr_array_header_t *words;
    const char *wrong = sse_directives_words(cmd, args, 3, &words);
    const char *allowed, *word;

    if (wrong) {
        return wrong;
    }
    allowed = sse_values_queue((const char *const *)words->elts, words->nelts,
                               &queue, &word);
    if (allowed) {
        return sse_directives_refuse(cmd, word, allowed);
    }
    conf->queue_bytes = (apr_off_t)queue.bytes;
    conf->queue_drop = queue.drop;
    conf->queue_time = queue.time;
    return NULL;
}

static const char *add_origin(cmd_parms *cmd, sse_dir_conf_t *conf,
                              const char *text)
{
    const char *origin;
    const char *wrong = sse_values_origin(cmd->pool, text, &origin);

    if (wrong) {
        return apr_psprintf(cmd->pool,
                            "%s: '%s' is not allowed: %s; allowed is "
                            "scheme://host[:port] or '*', once or more, or "
                            "none alone",
                            cmd->cmd->name, text, wrong);
    }
    if (!sse_values_has_word(conf->origins, origin)) {
        APR_ARRAY_PUSH(conf->origins, const char *) = origin;
    }
    return NULL;
}

static const char *set_origins(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    apr_array_header_t *words;
    const char *wrong = sse_directives_words(cmd, args, INT_MAX, &words);
    int i;

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
        wrong = add_origin(cmd, conf, APR_ARRAY_IDX(words, i, const char *));
    }
    return wrong;
}

/* No filter is called "none", so that the word stands for an empty list. */
static const char *add_filter(cmd_parms *cmd, void *dir_conf, const char *name)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check(cmd);

    if (wrong) {
        return wrong;
    }
    if (!conf->filters) {
        conf->filters = apr_array_make(cmd->pool, 1, sizeof(name));
    }
    APR_ARRAY_PUSH(conf->filters, const char *) = name;
    return NULL;
}

static const sse_directives_word_t half_close = {
    offsetof(sse_dir_conf_t, half_close_keep),
    "close or keep",
    {"close", "keep"}};

/* In the order of sse_watch_mode_e. */
static const sse_directives_word_t watch = {offsetof(sse_dir_conf_t, watch),
                                            "On, Off or Abort",
                                            {"Off", "On", "Abort"}};

const command_rec sse_directives_streams[] = {
    AP_INIT_TAKE1("SSEHeartbeat", set_time, (void *)&range_heartbeat,
                  SSE_ANYWHERE,
                  "a time such as 15s: the silence before a comment is sent; "
                  "0 is off"),
    AP_INIT_TAKE1("SSERetry", set_time, (void *)&range_retry, SSE_ANYWHERE,
                  "a time such as 2s: when clients come back; 0: as they like"),
    AP_INIT_TAKE1("SSEDeadPeer", set_time, (void *)&range_dead_peer,
                  SSE_ANYWHERE,
                  "a time such as 30s: when a peer that does not answer is "
                  "dead; 0 leaves it to the kernel"),
    AP_INIT_TAKE1("SSEHalfClose", sse_directives_set_word, (void *)&half_close,
                  SSE_ANYWHERE,
                  "close or keep: one that shut down its sending side"),
    AP_INIT_RAW_ARGS(
        "SSEQueue", set_queue, NULL, SSE_ANYWHERE,
        "bytes [close|drop] [time], such as 256k close 30s: what may wait in "
        "memory for one client, and what is done with one that is slow"),
    AP_INIT_TAKE1("SSEMaxAge", set_time, (void *)&range_max_age, SSE_ANYWHERE,
                  "a time such as 1h: a stream's longest life; 0 is no limit"),
    AP_INIT_TAKE1("SSEPollWait", set_time, (void *)&range_poll_wait,
                  SSE_ANYWHERE,
                  "a time such as 25s: the longest that a long poll waits"),
    AP_INIT_RAW_ARGS("SSEAllowOrigin", set_origins, NULL, SSE_ANYWHERE,
                     "scheme://host[:port] or '*' (to read), once or more, or "
                     "none alone: whose pages may use this"),
    AP_INIT_ITERATE("SSETrustFilter", add_filter, NULL, SSE_ANYWHERE,
                    "names of output filters that never wait, or none"),
    AP_INIT_TAKE1("SSEWatch", sse_directives_set_word, (void *)&watch,
                  SSE_ANYWHERE,
                  "On, Off or Abort: close notification for requests of any "
                  "handler; Abort also ends the handler's reads and writes"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
