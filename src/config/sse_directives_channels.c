/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Channels: their names, who may publish, what is kept, and where. */

#include <limits.h>
#include <stddef.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>

#include "config/sse_directives.h"
#include "config/sse_values.h"

APLOG_USE_MODULE(sse);

#define HISTORY_AGE_MAX   apr_time_from_sec(365 * 24 * 60 * 60)
#define HISTORY_BYTES_MAX (APR_INT64_C(1024) << 30)
#define EVENT_MAX         (APR_INT64_C(64) << 20)

#define NAMESPACE_ALLOWED                                                      \
    "a name of 1 to " APR_STRINGIFY(                                           \
        SSE_NAMESPACE_MAX) " ASCII characters without blanks"
#define CHANNEL_ALLOWED                                                        \
    "a name of 1 to " APR_STRINGIFY(                                           \
        SSE_CHANNEL_MAX) " bytes of UTF-8 without control characters"

/* In lower case, like a ServerName: names that differ only in case would be two
 * namespaces by mistake. */
static const char *set_namespace(cmd_parms *cmd, void *dir_conf,
                                 const char *name)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    char *ns = apr_pstrdup(cmd->pool, name);
    const char *p;

    if (wrong) {
        return wrong;
    }
    for (p = name; *p > ' ' && *p < 0x7f; ++p) {
    }
    if (*p || p == name || p - name > SSE_NAMESPACE_MAX) {
        return sse_directives_refuse(cmd, name, NAMESPACE_ALLOWED);
    }
    ap_str_tolower(ns);
    conf->ns = ns;
    return NULL;
}

static const char *add_channel(cmd_parms *cmd, sse_dir_conf_t *conf,
                               const char *text)
{
    const ap_expr_info_t *expr;
    const char *wrong;

    if (!sse_values_may_be_channel(text, SSE_CHANNEL_MAX)) {
        return sse_directives_refuse(cmd, text, CHANNEL_ALLOWED);
    }
    wrong = sse_directives_expr(cmd, text, &expr);
    if (wrong) {
        return wrong;
    }
    APR_ARRAY_PUSH(conf->channels, const ap_expr_info_t *) = expr;
    return NULL;
}

static const char *set_channel(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    apr_array_header_t *words;
    const char *wrong = sse_directives_words(cmd, args, INT_MAX, &words);
    int i;

    if (wrong) {
        return wrong;
    }
    if (!conf->channels) {
        conf->channels = apr_array_make(cmd->pool, words->nelts,
                                        sizeof(const ap_expr_info_t *));
    }
    for (i = 0; i < words->nelts && !wrong; ++i) {
        wrong = add_channel(cmd, conf, APR_ARRAY_IDX(words, i, const char *));
    }
    return wrong;
}

/* -- SSEAuthorize ---------------------------------------------------------- */

#define ASK_ALLOWED                                                            \
    "a path of this host that begins with one slash, an expression that "      \
    "gives "                                                                   \
    "one, or none alone"

/* What can be seen before there is a request. */
static int may_be_path(const char *text)
{
    return (text[0] == '/' && text[1] != '/') ||
           (text[0] == '%' && text[1] == '{');
}

/* An .htaccess file is read for each request; all of them complain as one. */
static sse_complaint_t *complaint_of(const cmd_parms *cmd)
{
    static sse_complaint_t shared;

    return cmd->pool == cmd->temp_pool
               ? &shared
               : apr_pcalloc(cmd->pool, sizeof(sse_complaint_t));
}

static const char *read_ask(cmd_parms *cmd, const char *text,
                            const sse_ask_conf_t **ask)
{
    sse_ask_conf_t *conf = apr_pcalloc(cmd->pool, sizeof(*conf));

    *ask = conf;
    conf->text = text;
    conf->complaint = complaint_of(cmd);
    if (sse_values_either(text, "none", "off") >= 0) {
        return NULL;
    }
    if (!may_be_path(text)) {
        return sse_directives_refuse(cmd, text, ASK_ALLOWED);
    }
    return sse_directives_expr(cmd, text, &conf->expr);
}

/* "none" alone ends both. */
static const char *set_authorize(cmd_parms *cmd, void *dir_conf,
                                 const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong, *what = NULL;
    apr_array_header_t *words;
    const sse_ask_conf_t *ask;

    wrong = sse_directives_words(cmd, args, 2, &words);
    if (!wrong) {
        wrong = read_ask(cmd, APR_ARRAY_IDX(words, 0, const char *), &ask);
    }
    if (wrong) {
        return wrong;
    }
    what = words->nelts > 1 ? APR_ARRAY_IDX(words, 1, const char *)
           : ask->expr      ? "subscribe"
                            : "all";
    if (ap_cstr_casecmp(what, "all") &&
        sse_values_either(what, "subscribe", "publish") < 0) {
        return sse_directives_refuse(cmd, what, "subscribe, publish or all");
    }
    if (ap_cstr_casecmp(what, "publish")) {
        conf->ask_subscribe = ask;
    }
    if (ap_cstr_casecmp(what, "subscribe")) {
        conf->ask_publish = ask;
    }
    return NULL;
}

/* -- What is kept ---------------------------------------------------------- */

static const char *set_history(cmd_parms *cmd, void *dir_conf,
                               const char *count, const char *age,
                               const char *bytes)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check(cmd);
    sse_history_t *history =
        apr_pmemdup(cmd->pool, &sse_default_history, sizeof(*history));
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_count(count, &n) || n > SSE_COUNT_MAX) {
        return sse_directives_refuse(cmd, count,
                                     "0 to 1000000000 events as the count");
    }
    history->count = (apr_uint32_t)n;
    if (age) {
        if (!sse_values_time(age, &n) || n > HISTORY_AGE_MAX) {
            return sse_directives_refuse(cmd, age,
                                         "0 (any age) to 8760h as the "
                                         "age: " SSE_VALUES_TIME);
        }
        history->age = n;
    }
    if (bytes) {
        if (!sse_values_size(bytes, &n) || n > HISTORY_BYTES_MAX) {
            return sse_directives_refuse(cmd, bytes,
                                         "0 (any size) to 1024g as the "
                                         "bytes: " SSE_VALUES_SIZE);
        }
        history->bytes = (apr_uint64_t)n;
    }
    conf->history = history;
    return NULL;
}

static const char *set_replay(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check(cmd);
    apr_int64_t n = SSE_REPLAY_NONE;
    int is_all = sse_values_either(arg, "none", "all");

    if (wrong) {
        return wrong;
    }
    if (is_all == 1) {
        n = SSE_REPLAY_ALL;
    }
    else if (is_all < 0 && (!sse_values_count(arg, &n) || n > SSE_COUNT_MAX)) {
        return sse_directives_refuse(cmd, arg,
                                     "none, all, or 0 to 1000000000 events");
    }
    conf->replay = (int)n;
    return NULL;
}

static const char *set_max_event(cmd_parms *cmd, void *dir_conf,
                                 const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_size(arg, &n) || n < 1 || n > EVENT_MAX) {
        return sse_directives_refuse(cmd, arg, "1 to 64m: " SSE_VALUES_SIZE);
    }
    conf->max_event = (apr_off_t)n;
    return NULL;
}

static const char *set_store(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_array_header_t *words;
    sse_store_conf_t *ignored;
    const char *dir = sse_conf_store_base(cmd->temp_pool);

    if (!wrong) {
        wrong = sse_directives_words(cmd, args, INT_MAX, &words);
    }
    if (wrong) {
        return wrong;
    }
    conf->store_argc = words->nelts;
    conf->store_argv = (const char *const *)words->elts;
    /* Read again once DefaultRuntimeDir is sure to be known: now is the time
     * when the line's number is. */
    wrong = sse_store_configure(&ignored, cmd->temp_pool, dir ? dir : "/",
                                conf->store_argc, conf->store_argv);
    return wrong ? apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, wrong)
                 : NULL;
}

static const sse_directives_word_t publish = {
    offsetof(sse_dir_conf_t, publish), "On or Off", {"Off", "On"}};

const command_rec sse_directives_channels[] = {
    AP_INIT_TAKE1("SSENamespace", set_namespace, NULL, SSE_IN_SERVER,
                  "a name: hosts with the same one share their channels"),
    AP_INIT_RAW_ARGS("SSEChannel", set_channel, NULL, SSE_ANYWHERE,
                     "the channels' names, each an expression string such as "
                     "\"user-%{REMOTE_USER}\""),
    AP_INIT_RAW_ARGS("SSEAuthorize", set_authorize, NULL, SSE_ANYWHERE,
                     "a path of this host that is asked who may subscribe, an "
                     "expression string; [subscribe|publish|all]; or none"),
    AP_INIT_TAKE1("SSEPublish", sse_directives_set_word, (void *)&publish,
                  SSE_ANYWHERE,
                  "On or Off: whether POST and DELETE are answered"),
    AP_INIT_TAKE123("SSEHistory", set_history, NULL, SSE_ANYWHERE,
                    "what a channel keeps: count [age] [bytes], such as "
                    "1000 1h 16m"),
    AP_INIT_TAKE1("SSEReplay", set_replay, NULL, SSE_ANYWHERE,
                  "none, all or a count: the events that a new subscriber "
                  "gets first"),
    AP_INIT_TAKE1("SSEMaxEventSize", set_max_event, NULL, SSE_ANYWHERE,
                  "a size such as 64k: the largest event that is taken"),
    AP_INIT_RAW_ARGS("SSEStore", set_store, NULL, SSE_IN_SERVER,
                     "where events live: a store's name [key=value ...]"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
