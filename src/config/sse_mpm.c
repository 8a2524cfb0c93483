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
#include <util_cfgtree.h>

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

/* What a directive says outside of all sections; the last one counts, as for
 * httpd.  0: nothing does. */
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

/* As h2_get_workers_config() of mod_http2 has it. */
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

/* event and worker raise it when they start (event_run(), worker_run()), so
 * that one child more than is needed does not end at once. */
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
    numbers.children = query(AP_MPMQ_MAX_DAEMONS);
    numbers.threads = query(AP_MPMQ_MAX_THREADS);
    if (numbers.children < 1) {
        numbers.children = 1;
    }
    if (numbers.threads < 1) {
        numbers.threads = 1;
    }
    numbers.min_spare = query(AP_MPMQ_MIN_SPARE_THREADS);
    if (numbers.min_spare < 1) {
        numbers.min_spare = 1;
    }
    numbers.max_spare = numbers.is_threaded ? max_spare(&numbers) : 0;
    numbers.h2_threads = numbers.is_threaded ? h2_threads(numbers.threads) : 0;
}

/* -- Where streams are ----------------------------------------------------- */

/* Whether a line makes something a stream: SetHandler sse, AddHandler sse .x,
 * RewriteRule a b [H=sse].  What stands in .htaccess nobody knows yet. */
static int gives_streams(const ap_directive_t *line, apr_pool_t *ptemp)
{
    const char *args = line->args;

    if (!strcasecmp(line->directive, "SetHandler") ||
        !strcasecmp(line->directive, "AddHandler")) {
        return !strcasecmp(ap_getword_conf(ptemp, &args), "sse");
    }
    return !strcasecmp(line->directive, "RewriteRule") &&
           (ap_strcasestr(args, "H=sse]") || ap_strcasestr(args, "H=sse,") ||
            ap_strcasestr(args, "handler=sse]") ||
            ap_strcasestr(args, "handler=sse,"));
}

static int is_host(const ap_directive_t *section)
{
    return !strcasecmp(section->directive, "<VirtualHost");
}

/* In a section, or with what follows it, and in all that is inside of them;
 * not in virtual hosts. */
static int have_streams(const ap_directive_t *line, apr_pool_t *ptemp)
{
    for (; line; line = line->next) {
        if (gives_streams(line, ptemp) ||
            (!is_host(line) && have_streams(line->first_child, ptemp))) {
            return 1;
        }
    }
    return 0;
}

static int is_section_of(const ap_directive_t *section, const server_rec *s)
{
    return is_host(section) && s->is_virtual && s->defn_name &&
           section->line_num == (int)s->defn_line_number &&
           !strcmp(section->filename, s->defn_name);
}

/* The main server's locations are every host's, too. */
static int host_has_streams(const server_rec *s, apr_pool_t *ptemp)
{
    const ap_directive_t *line;

    if (have_streams(ap_conftree, ptemp)) {
        return 1;
    }
    for (line = ap_conftree; line; line = line->next) {
        if (is_section_of(line, s) && have_streams(line->first_child, ptemp)) {
            return 1;
        }
    }
    return 0;
}

/* -- Warnings -------------------------------------------------------------- */

/* perform_idle_server_maintenance() of event and worker: once a second a child
 * is told to leave while more threads than these are idle, whatever streams it
 * has.  Where all threads may be idle, that never comes. */
static void warn_of_spare(const server_rec *s)
{
    int all = numbers.children * numbers.threads;

    if (numbers.max_spare < all) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "MaxSpareThreads: when the load drops and more than %d "
                     "threads are idle, httpd ends a child, and with it all of "
                     "its streams. Set MaxSpareThreads %d (all threads of "
                     "MaxRequestWorkers), so that it ends none",
                     numbers.max_spare, all);
    }
}

/* Meant against leaks; it cuts streams off in the same way. */
static void tell_of_turnover(const server_rec *s)
{
    int connections = query(AP_MPMQ_MAX_REQUESTS_DAEMON);

    if (connections > 0) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "MaxConnectionsPerChild %d: httpd ends a child after so "
                     "many connections, and with it all of its streams. "
                     "MaxConnectionsPerChild 0 keeps it",
                     connections);
    }
}

static int speaks_http2(server_rec *s)
{
    return numbers.h2_threads && (ap_is_allowed_protocol(NULL, NULL, s, "h2") ||
                                  ap_is_allowed_protocol(NULL, NULL, s, "h2c"));
}

/* mod_http2 lets go of neither its own thread nor the MPM's while a stream is
 * open. */
static void warn_of_http2(const server_rec *s, apr_pool_t *ptemp)
{
    int share = sse_conf_max_threads(s, numbers.threads);

    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, s,
        "HTTP/2 is on for %s, which has streams: over it each holds a thread "
        "of mod_http2, and its client one of the MPM. SSEMaxThreads %s lets a "
        "child hold %d of %d threads of the MPM (ThreadsPerChild) and %d of %d "
        "of mod_http2 (H2MaxWorkers), so that in the whole server %d clients "
        "have a stream that stays, four each at most. The others poll, every "
        "SSERetry. %s",
        s->server_hostname ? s->server_hostname : "the server",
        sse_conf_max_threads_text(s, ptemp), share, numbers.threads,
        sse_conf_max_threads_http2(s, numbers.h2_threads), numbers.h2_threads,
        share * numbers.children,
        numbers.is_async
            ? "Where streams have a host of their own with \"Protocols "
              "http/1.1\" they hold no thread"
            : "With the event MPM, and a host of their own for streams with "
              "\"Protocols http/1.1\", they hold no thread");
}

void sse_mpm_warn(server_rec *main_server, apr_pool_t *ptemp)
{
    server_rec *s, *first = NULL, *http2 = NULL;

    for (s = main_server; s; s = s->next) {
        if (host_has_streams(s, ptemp)) {
            first = first ? first : s;
            http2 = !http2 && speaks_http2(s) ? s : http2;
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
