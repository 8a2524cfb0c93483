/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "config/sse_mpm.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <stdlib.h>
#include <string.h>
#include "config/sse_config.h"

APLOG_USE_MODULE(sse);

static sse_mpm_t numbers; /* const after post_config */

const sse_mpm_t *sse_mpm(void) { return &numbers; }

/* -- Reading --------------------------------------------------------------- */

static int query(int what)
{
    int answer = 0;

    return ap_mpm_query(what, &answer) == APR_SUCCESS ? answer : 0;
}

static int at_least_one(int what)
{
    int n = query(what);

    return n > 1 ? n : 1;
}

/* The value of a directive outside of all sections, where the last one counts;
 * 0: it is not there. */
static int number_of(const char *name)
{
    const ap_directive_t *line;
    int n = 0;

    for (line = ap_conftree; line; line = line->next) {
        if (!strcasecmp(line->directive, name)) {
            n = atoi(line->args);
        }
    }
    return n;
}

/* As h2_get_workers_config() of mod_http2 computes it. */
static int h2_threads(int threads)
{
    int least = number_of("H2MinWorkers"), most = number_of("H2MaxWorkers");

    if (!ap_find_linked_module("mod_http2.c")) {
        return 0;
    }
    if (most > 0) {
        return most;
    }
    if (least <= 0) {
        least = threads;
    }
    return 3 * least / 2 > 4 ? 3 * least / 2 : 4;
}

/* event and worker raise the value when they start (event_run(), worker_run()),
 * so that one child too many is not ended at once. */
static int max_spare(const sse_mpm_t *mpm)
{
    int least = mpm->min_spare + mpm->threads + 1;
    int most = query(AP_MPMQ_MAX_SPARE_THREADS);

    return most > least ? most : least;
}

void sse_mpm_read(void)
{
    numbers.is_async = query(AP_MPMQ_IS_ASYNC) != 0;
    numbers.is_threaded = query(AP_MPMQ_IS_THREADED) != 0;
    numbers.children = at_least_one(AP_MPMQ_MAX_DAEMONS);
    numbers.threads = at_least_one(AP_MPMQ_MAX_THREADS);
    numbers.min_spare = at_least_one(AP_MPMQ_MIN_SPARE_THREADS);
    numbers.max_spare = numbers.is_threaded ? max_spare(&numbers) : 0;
    numbers.h2_threads = numbers.is_threaded ? h2_threads(numbers.threads) : 0;
}

/* -- Where streams are ----------------------------------------------------- */

/* RewriteRule a b [H=sse] */
static int rule_gives_streams(const char *args, sse_hosts_is_hub_fn *is_hub,
                              apr_pool_t *ptemp)
{
    const char *flags = strrchr(args, '[');
    char *last, *flag, *value;

    flag =
        flags ? apr_strtok(apr_pstrdup(ptemp, flags + 1), ",]", &last) : NULL;
    for (; flag; flag = apr_strtok(NULL, ",]", &last)) {
        value = strchr(flag, '=');
        if (value &&
            (!strncasecmp(flag, "H=", 2) ||
             !strncasecmp(flag, "handler=", 8)) &&
            is_hub(sse_hosts_handler(value + 1, ptemp))) {
            return 1;
        }
    }
    return 0;
}

/* By SetHandler sse, AddHandler sse .x or a RewriteRule.  What is in .htaccess
 * files is not known yet. */
static int gives_streams(const ap_directive_t *line,
                         sse_hosts_is_hub_fn *is_hub, apr_pool_t *ptemp)
{
    if (!strcasecmp(line->directive, "SetHandler") ||
        !strcasecmp(line->directive, "AddHandler")) {
        return is_hub(sse_hosts_handler(line->args, ptemp));
    }
    return !strcasecmp(line->directive, "RewriteRule") &&
           rule_gives_streams(line->args, is_hub, ptemp);
}

/* Whether a line of this section, or of one within it, gives streams; virtual
 * hosts apart. */
static int have_streams(const ap_directive_t *line, sse_hosts_is_hub_fn *is_hub,
                        apr_pool_t *ptemp)
{
    for (; line; line = line->next) {
        if (gives_streams(line, is_hub, ptemp) ||
            (!sse_hosts_is_section(line) &&
             have_streams(line->first_child, is_hub, ptemp))) {
            return 1;
        }
    }
    return 0;
}

/* -- Warnings -------------------------------------------------------------- */

/* perform_idle_server_maintenance() of event and worker ends a child, once a
 * second, while more threads than these are idle, whatever streams the child
 * has.  If all threads may be idle, it never does. */
static void warn_of_spare(const server_rec *s)
{
    int all = numbers.children * numbers.threads;

    if (numbers.max_spare < all) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "MaxSpareThreads: when the load drops and more than %d "
                     "threads are idle, httpd ends a child and all of its "
                     "streams. Set MaxSpareThreads %d (all threads of "
                     "MaxRequestWorkers) to avoid that",
                     numbers.max_spare, all);
    }
}

/* Meant against memory leaks; it ends streams in the same way. */
static void tell_of_turnover(const server_rec *s)
{
    int connections = query(AP_MPMQ_MAX_REQUESTS_DAEMON);

    if (connections > 0) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "MaxConnectionsPerChild %d: httpd ends a child and all of "
                     "its streams after that many connections. Set "
                     "MaxConnectionsPerChild 0 to avoid that",
                     connections);
    }
}

static int speaks_http2(server_rec *s)
{
    return numbers.h2_threads && (ap_is_allowed_protocol(NULL, NULL, s, "h2") ||
                                  ap_is_allowed_protocol(NULL, NULL, s, "h2c"));
}

/* Whether each stream over HTTP/2 holds a thread. */
static int has_http2_threads(server_rec *s)
{
    sse_http2_mode_e mode = sse_conf_http2(s);

    return speaks_http2(s) && (mode == SSE_HTTP2_THREADS ||
                               (mode == SSE_HTTP2_SPLICE && !numbers.is_async));
}

/* While such a stream is open mod_http2 releases neither its own thread nor the
 * MPM's. */
static void warn_of_http2(const server_rec *s, apr_pool_t *ptemp)
{
    int share = sse_conf_max_threads(s, numbers.threads);

    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, s,
        "HTTP/2 is on for %s, which has streams: over HTTP/2 each stream holds "
        "a thread of mod_http2, and each client one of the MPM. With "
        "SSEMaxThreads %s, streams may hold %d of %d threads of the "
        "MPM (ThreadsPerChild) and %d of %d of mod_http2 (H2MaxWorkers) in "
        "each child, so that in the whole server %d clients have streams that "
        "stay open, at most four each. The others poll, every SSERetry. %s",
        s->server_hostname ? s->server_hostname : "the server",
        sse_conf_max_threads_text(s, ptemp), share, numbers.threads,
        sse_conf_max_threads_http2(s, numbers.h2_threads), numbers.h2_threads,
        share * numbers.children,
        numbers.is_async
            ? "With SSEHTTP2 splice streams hold no thread"
            : "With the event MPM and SSEHTTP2 splice streams hold no thread");
}

void sse_mpm_warn(server_rec *main_server, sse_hosts_is_hub_fn *is_hub,
                  apr_pool_t *ptemp)
{
    server_rec *s, *first = NULL, *http2 = NULL;
    int everywhere = have_streams(ap_conftree, is_hub, ptemp);

    for (s = main_server; s; s = s->next) {
        if (everywhere || have_streams(sse_hosts_lines(s), is_hub, ptemp)) {
            first = first ? first : s;
            http2 = !http2 && has_http2_threads(s) ? s : http2;
        }
    }
    if (first && numbers.is_threaded) {
        warn_of_spare(main_server);
        tell_of_turnover(main_server);
    }
    if (http2) {
        warn_of_http2(http2, ptemp);
    }
}
