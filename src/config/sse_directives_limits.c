/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* How many streams there may be, and what of the server they may take. */

#include "config/sse_directives.h"
#include "config/sse_values.h"

#define CALLBACK_THREADS_MAX 256

static const char *read_count(const cmd_parms *cmd, const char *arg,
                              apr_int64_t least, apr_int64_t most,
                              const char *allowed, int *count)
{
    apr_int64_t n;

    if (!sse_values_count(arg, &n) || n < least || n > most) {
        return sse_directives_refuse(cmd, arg, allowed);
    }
    *count = (int)n;
    return NULL;
}

static const char *read_limit(const cmd_parms *cmd, const char *arg, int *limit)
{
    return read_count(cmd, arg, 0, SSE_COUNT_MAX,
                      "0 (no limit) to 1000000000 open streams", limit);
}

static const char *set_max_streams(cmd_parms *cmd, void *dir_conf,
                                   const char *arg)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);

    return wrong
               ? wrong
               : read_limit(cmd, arg, &sse_directives_server(cmd)->max_streams);
}

static const char *set_callback_threads(cmd_parms *cmd, void *dir_conf,
                                        const char *arg)
{
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return wrong ? wrong
                 : read_count(
                       cmd, arg, 1, CALLBACK_THREADS_MAX,
                       "1 to " APR_STRINGIFY(CALLBACK_THREADS_MAX) " threads",
                       &sse_directives_server(cmd)->callback_threads);
}

static const char *set_max_threads(cmd_parms *cmd, void *dir_conf,
                                   const char *arg)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    int is_percent;
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_share(arg, &n, &is_percent) || n < 1 ||
        n > (is_percent ? 100 : SSE_COUNT_MAX)) {
        return sse_directives_refuse(cmd, arg,
                                     "1 to 1000000000 threads, or 1% to 100%");
    }
    conf->max_threads = is_percent ? -(int)n : (int)n;
    return NULL;
}

/* In the order of sse_http2_mode_e. */
static const char *set_http2(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    static const char *const words[] = {"splice", "threads", "Off"};
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    int i;

    for (i = 0; !wrong && i < 3; ++i) {
        if (!ap_cstr_casecmp(arg, words[i])) {
            sse_directives_server(cmd)->http2 = i;
            return NULL;
        }
    }
    return wrong ? wrong
                 : sse_directives_refuse(cmd, arg, "splice, threads or Off");
}

static const char *set_max_per_client(cmd_parms *cmd, void *dir_conf,
                                      const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check(cmd);

    return wrong ? wrong : read_limit(cmd, arg, &conf->max_per_client);
}

const command_rec sse_directives_limits[] = {
    AP_INIT_TAKE1("SSEMaxStreams", set_max_streams, NULL, SSE_IN_SERVER,
                  "a count: the streams that may be open; 0 is no limit"),
    AP_INIT_TAKE1("SSEMaxStreamsPerClient", set_max_per_client, NULL,
                  SSE_ANYWHERE,
                  "a count: the streams that one client may have; 0: no limit"),
    AP_INIT_TAKE1("SSEMaxThreads", set_max_threads, NULL, SSE_IN_SERVER,
                  "a count or a share such as 75%: the threads that streams "
                  "may hold"),
    AP_INIT_TAKE1("SSEHTTP2", set_http2, NULL, SSE_IN_SERVER,
                  "splice, threads or Off: streams over HTTP/2 without a "
                  "thread, with one each, or none"),
    AP_INIT_TAKE1("SSECallbackThreads", set_callback_threads, NULL,
                  SSE_IN_SERVER,
                  "a count such as 4: the threads that tell of closes"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
