/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Close notification. */

#include <stddef.h>

#include <apr_strings.h>

#include "config/sse_directives.h"
#include "config/sse_values.h"

#define THREADS_MAX 256

static const char *set_callback_threads(cmd_parms *cmd, void *dir_conf,
                                        const char *arg)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_count(arg, &n) || n < 1 || n > THREADS_MAX) {
        return sse_directives_refuse(
            cmd, arg, "1 to " APR_STRINGIFY(THREADS_MAX) " threads");
    }
    conf->callback_threads = (int)n;
    return NULL;
}

/* In the order of sse_watch_mode_e. */
static const sse_directives_word_t watch = {offsetof(sse_dir_conf_t, watch),
                                            "On, Off or Abort",
                                            {"Off", "On", "Abort"}};

const command_rec sse_directives_notify[] = {
    AP_INIT_TAKE1("SSEWatch", sse_directives_set_word, (void *)&watch,
                  SSE_ANYWHERE,
                  "On, Off or Abort: close notification for requests of any "
                  "handler; Abort also ends the handler's reads and writes"),
    AP_INIT_TAKE1("SSECallbackThreads", set_callback_threads, NULL,
                  SSE_IN_SERVER,
                  "a count such as 4: the threads that tell of closes"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
