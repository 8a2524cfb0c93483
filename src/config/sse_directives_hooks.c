/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Webhooks: which URLs are told of what, how calls are signed and sent. */

#include <limits.h>
#include <stddef.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <httpd.h>
#include <http_log.h>

#include "config/sse_directives.h"
#include "config/sse_values.h"

APLOG_USE_MODULE(sse);

#define FIELD_NAME_MAX  64
#define FIELDS_MAX      32
#define BATCH_TIME_MAX  apr_time_from_sec(60)
#define QUEUE_MIN       10
#define QUEUE_BYTES_MIN (APR_INT64_C(64) * 1024)
#define QUEUE_BYTES_MAX (APR_INT64_C(1024) << 30)

#define EVENTS "open, close, publish, first and last"

/* -- Where these may stand ------------------------------------------------- */

/* Not in .htaccess: all targets and keys are known when the children are made,
 * as calls that an earlier server has left are compared with them. */

static int is_none(const char *word) { return !ap_cstr_casecmp(word, "none"); }

static void remember(const cmd_parms *cmd, apr_array_header_t **names,
                     const char *name)
{
    if (!*names) {
        *names = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*names, const char *) = name;
}

/* -- SSEHook --------------------------------------------------------------- */

static const char *check_url(const char *url, apr_pool_t *pool)
{
    apr_uri_t uri;
    const char *p;

    for (p = url; *p > ' ' && *p < 0x7f; ++p) {
    }
    if (*p || p - url > SSE_HOOK_URL_MAX) {
        return "it must be at most " APR_STRINGIFY(
            SSE_HOOK_URL_MAX) " ASCII characters without blanks, others "
                              "percent-encoded";
    }
    if (apr_uri_parse(pool, url, &uri) != APR_SUCCESS || !uri.scheme ||
        (ap_cstr_casecmp(uri.scheme, "http") &&
         ap_cstr_casecmp(uri.scheme, "https"))) {
        return "it must begin with http:// or https://";
    }
    if (!uri.hostname || !*uri.hostname) {
        return "it names no host";
    }
    if (uri.user || uri.password) {
        return "a password in it would stand in the logs; SSEHookSecret proves "
               "who calls";
    }
    return uri.fragment ? "a '#' and what follows it is never sent" : NULL;
}

/* @return the bit; 0: no such word */
static apr_uint32_t event_of(const char *word)
{
    static const char *const words[] = {"open", "close", "publish", "first",
                                        "last"};
    int i;

    for (i = 0; i < 5; ++i) {
        if (!ap_cstr_casecmp(word, words[i])) {
            return 1u << i;
        }
    }
    return 0;
}

static const char *read_events(const cmd_parms *cmd,
                               const apr_array_header_t *words,
                               apr_uint32_t *events)
{
    apr_uint32_t event;
    int i;

    *events = words->nelts > 1 ? 0 : SSE_HOOK_OPEN | SSE_HOOK_CLOSE;
    for (i = 1; i < words->nelts; ++i) {
        event = event_of(APR_ARRAY_IDX(words, i, const char *));
        if (!event) {
            return sse_directives_refuse(
                cmd, APR_ARRAY_IDX(words, i, const char *),
                EVENTS " after the URL, or none of them for open and close");
        }
        *events |= event;
    }
    return NULL;
}

/* A URL that this section has already is told of more. */
static void add_hook(const cmd_parms *cmd, sse_dir_conf_t *conf,
                     const char *url, apr_uint32_t events)
{
    sse_hook_conf_t *hook;
    int i;

    if (!conf->hooks) {
        conf->hooks = apr_array_make(cmd->pool, 2, sizeof(sse_hook_conf_t));
    }
    for (i = 0; i < conf->hooks->nelts; ++i) {
        hook = &APR_ARRAY_IDX(conf->hooks, i, sse_hook_conf_t);
        if (!strcmp(hook->url, url)) {
            hook->events |= events;
            return;
        }
    }
    hook = apr_array_push(conf->hooks);
    hook->url = url;
    hook->events = events;
}

static const char *set_hook(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    sse_server_conf_t *server = sse_directives_server(cmd);
    apr_array_header_t *words;
    apr_uint32_t events;
    const char *url, *wrong = sse_directives_check_config(cmd);

    wrong = wrong ? wrong : sse_directives_words(cmd, args, INT_MAX, &words);
    if (wrong) {
        return wrong;
    }
    url = APR_ARRAY_IDX(words, 0, const char *);
    if (words->nelts == 1 && is_none(url)) {
        conf->hooks = apr_array_make(cmd->pool, 1, sizeof(sse_hook_conf_t));
        return NULL;
    }
    wrong = check_url(url, cmd->temp_pool);
    if (wrong) {
        return apr_psprintf(cmd->pool, "%s: '%s' is not allowed: %s",
                            cmd->cmd->name, url, wrong);
    }
    wrong = read_events(cmd, words, &events);
    if (!wrong) {
        add_hook(cmd, conf, url, events);
        remember(cmd, &server->hook_urls, url);
        server->hook_events |= events;
    }
    return wrong;
}

/* -- SSEHookField ---------------------------------------------------------- */

static int is_field_name(const char *name)
{
    const char *p;

    for (p = name; apr_isalnum(*p) || (*p && strchr("_.-", *p)); ++p) {
    }
    return !*p && p > name && p - name <= FIELD_NAME_MAX;
}

static const char *read_field(const cmd_parms *cmd, sse_dir_conf_t *conf,
                              const char *name, const char *text)
{
    sse_hook_field_t *field;
    int i;

    for (i = 0; i < conf->hook_fields->nelts; ++i) {
        field = &APR_ARRAY_IDX(conf->hook_fields, i, sse_hook_field_t);
        if (!strcmp(field->name, name)) {
            return apr_psprintf(cmd->pool, "%s: the field '%s' is here twice",
                                cmd->cmd->name, name);
        }
    }
    if (conf->hook_fields->nelts == FIELDS_MAX) {
        return sse_directives_refuse(
            cmd, name, "at most " APR_STRINGIFY(FIELDS_MAX) " fields");
    }
    field = apr_array_push(conf->hook_fields);
    field->name = name;
    return sse_directives_expr(cmd, text, &field->expr);
}

static const char *set_field(cmd_parms *cmd, void *dir_conf, const char *name,
                             const char *text)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check_config(cmd);

    if (wrong) {
        return wrong;
    }
    if (!text && !is_none(name)) {
        return apr_psprintf(cmd->pool, "%s: '%s' has no expression; %s",
                            cmd->cmd->name, name, cmd->cmd->errmsg);
    }
    if (!conf->hook_fields || !text) {
        conf->hook_fields =
            apr_array_make(cmd->pool, 2, sizeof(sse_hook_field_t));
    }
    if (!text) {
        return NULL;
    }
    if (!is_field_name(name)) {
        return sse_directives_refuse(
            cmd, name,
            "a name of 1 to " APR_STRINGIFY(
                FIELD_NAME_MAX) " letters, digits, '_', '.' and '-'");
    }
    return read_field(cmd, conf, name, text);
}

/* -- Files ----------------------------------------------------------------- */

static const char *check_file(const cmd_parms *cmd, const char *path)
{
    apr_file_t *file;
    apr_status_t rv =
        apr_file_open(&file, path, APR_READ, APR_OS_DEFAULT, cmd->temp_pool);
    char byte, text[120];

    if (rv == APR_SUCCESS) {
        rv = apr_file_getc(&byte, file);
        apr_file_close(file);
    }
    if (rv == APR_SUCCESS) {
        return NULL;
    }
    return apr_psprintf(
        cmd->pool, "%s: '%s' cannot be read: %s", cmd->cmd->name, path,
        rv == APR_EOF ? "it is empty" : apr_strerror(rv, text, sizeof(text)));
}

/* @param path out: absolute; empty: none */
static const char *read_path(const cmd_parms *cmd, const char *arg,
                             apr_array_header_t **names, const char **path)
{
    const char *wrong = sse_directives_check_config(cmd);
    const char *full;

    if (wrong) {
        return wrong;
    }
    if (is_none(arg)) {
        *path = "";
        return NULL;
    }
    full = ap_server_root_relative(cmd->pool, arg);
    if (!full || strpbrk(full, "\r\n\t")) {
        return sse_directives_refuse(cmd, arg,
                                     "a file's path, or none without one");
    }
    wrong = check_file(cmd, full);
    if (!wrong) {
        *path = full;
        remember(cmd, names, full);
    }
    return wrong;
}

static const char *set_secret(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;

    return read_path(cmd, arg, &sse_directives_server(cmd)->hook_secrets,
                     &conf->hook_secret);
}

static const char *set_ca(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;

    return read_path(cmd, arg, &sse_directives_server(cmd)->hook_cas,
                     &conf->hook_ca);
}

/* -- How calls are sent ---------------------------------------------------- */

static const char *set_batch(cmd_parms *cmd, void *dir_conf, const char *count,
                             const char *time)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check_config(cmd);
    apr_int64_t calls, wait;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_count(count, &calls) || calls < 1 ||
        calls > SSE_HOOK_BATCH_MAX) {
        return sse_directives_refuse(
            cmd, count,
            "1 to " APR_STRINGIFY(SSE_HOOK_BATCH_MAX) " calls in a request");
    }
    if (!sse_values_time(time, &wait) || wait > BATCH_TIME_MAX) {
        return sse_directives_refuse(cmd, time,
                                     "0 to 60s as the wait: " SSE_VALUES_TIME);
    }
    conf->hook_batch = (int)calls;
    conf->hook_batch_time = wait;
    return NULL;
}

static const char *set_connections(cmd_parms *cmd, void *dir_conf,
                                   const char *arg)
{
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_count(arg, &n) || n < 1 || n > SSE_HOOK_CONNECTIONS_MAX) {
        return sse_directives_refuse(
            cmd, arg,
            "1 to " APR_STRINGIFY(SSE_HOOK_CONNECTIONS_MAX) " connections");
    }
    sse_directives_server(cmd)->hook_connections = (int)n;
    return NULL;
}

static const char *set_queue(cmd_parms *cmd, void *dir_conf, const char *count,
                             const char *size)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_int64_t calls, bytes = SSE_HOOK_QUEUE_BYTES;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_count(count, &calls) || calls < QUEUE_MIN ||
        calls > SSE_COUNT_MAX) {
        return sse_directives_refuse(
            cmd, count, APR_STRINGIFY(QUEUE_MIN) " to 1000000000 calls");
    }
    if (size && (!sse_values_size(size, &bytes) || bytes < QUEUE_BYTES_MIN ||
                 bytes > QUEUE_BYTES_MAX)) {
        return sse_directives_refuse(
            cmd, size, "64k to 1024g as the bytes: " SSE_VALUES_SIZE);
    }
    conf->hook_queue_count = (apr_uint64_t)calls;
    conf->hook_queue_bytes = (apr_uint64_t)bytes;
    return NULL;
}

const command_rec sse_directives_hooks[] = {
    AP_INIT_RAW_ARGS("SSEHook", set_hook, NULL, SSE_ANYWHERE,
                     "http(s)://host/path [open] [close] [publish] [first] "
                     "[last]: what is told to that URL, or none alone"),
    AP_INIT_TAKE12("SSEHookField", set_field, NULL, SSE_ANYWHERE,
                   "a name and an expression such as \"%{REMOTE_ADDR}\": one "
                   "more member of what webhooks say, or none alone"),
    AP_INIT_TAKE1("SSEHookSecret", set_secret, NULL, SSE_ANYWHERE,
                  "a file with the key that webhooks are signed with, or none"),
    AP_INIT_TAKE2("SSEHookBatch", set_batch, NULL, SSE_ANYWHERE,
                  "a count and a time such as 100 50ms: the calls in one "
                  "request, and how long they may wait for that"),
    AP_INIT_TAKE1("SSEHookCA", set_ca, NULL, SSE_ANYWHERE,
                  "a file of certificates by which https targets are "
                  "verified, or none for the system's"),
    AP_INIT_TAKE1("SSEHookConnections", set_connections, NULL, SSE_IN_SERVER,
                  "a count such as 8: the connections to each target"),
    AP_INIT_TAKE12("SSEHookQueue", set_queue, NULL, SSE_IN_SERVER,
                   "count [bytes], such as 100000 256m: the calls that may "
                   "wait in each child"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
