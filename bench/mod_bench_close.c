/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file mod_bench_close.c
 * What the benchmarks need inside of the server: a listener to stream_close
 * that notes when it was called, and a handler that does nothing but read the
 * body and answer, as the measure of what httpd itself costs.  A request's
 * header Bench-User says who its user is, Bench-Stream which of a connection's
 * streams it is.
 *
 *   BenchCloseLog file         where closes are noted
 *   SetHandler    bench-floor  200 and three bytes
 *   SetHandler    bench-read   the same when all of the body was read (over
 *                              HTTP/2 discarding it would not read it)
 */

#include "mod_sse.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench_close_log.h"

extern module SSE_DECLARE_DATA bench_close_module;
APLOG_USE_MODULE(bench_close);

static const char *log_name;      /* const after the configuration */
static bench_close_log_t *closes; /* const after post_config */

static void on_close(sse_stream_t *stream, request_rec *r,
                     const sse_close_t *close)
{
    const char *number;
    bench_close_t *entry;
    struct timespec now;
    uint64_t place;

    clock_gettime(CLOCK_MONOTONIC, &now); /* before anything else */
    if (!closes) {
        return;
    }
    place = __atomic_fetch_add(&closes->taken, 1, __ATOMIC_RELAXED);
    if (place < BENCH_CLOSE_MAX) {
        entry = &closes->entries[place];
        entry->addr = r->connection->client_addr->sa.sin.sin_addr.s_addr;
        entry->port = r->connection->client_addr->sa.sin.sin_port;
        entry->reason = (uint16_t)close->reason;
        number = apr_table_get(r->headers_in, "Bench-Stream");
        entry->number = number ? (uint32_t)strtoul(number, NULL, 10) : 0;
        __atomic_store_n(&entry->when,
                         (uint64_t)now.tv_sec * 1000000000u +
                             (uint64_t)now.tv_nsec,
                         __ATOMIC_RELEASE);
    }
}

static int set_user(request_rec *r)
{
    const char *user = apr_table_get(r->headers_in, "Bench-User");

    if (user) {
        r->user = apr_pstrdup(r->pool, user);
    }
    return DECLINED;
}

static int read_body(request_rec *r)
{
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    char bytes[16384];
    long n = 0;

    if (status == OK && ap_should_client_block(r)) {
        while ((n = ap_get_client_block(r, bytes, sizeof(bytes))) > 0) {
        }
    }
    return n < 0 ? HTTP_BAD_REQUEST : status;
}

static int floor_handler(request_rec *r)
{
    int status, reads;

    reads = r->handler && !strcmp(r->handler, "bench-read");
    if (!reads && (!r->handler || strcmp(r->handler, "bench-floor"))) {
        return DECLINED;
    }
    status = reads ? read_body(r) : ap_discard_request_body(r);
    if (status != OK) {
        return status;
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, 3);
    ap_rputs("ok\n", r);
    return OK;
}

/* In the parent, so that children of any user inherit the mapping. */
static apr_status_t map_log(const char *name)
{
    void *mapping;
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        return errno;
    }
    if (ftruncate(fd, sizeof(*closes))) {
        close(fd);
        return errno;
    }
    mapping =
        mmap(NULL, sizeof(*closes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapping == MAP_FAILED) {
        return errno;
    }
    closes = mapping;
    return APR_SUCCESS;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    apr_status_t rv = APR_SUCCESS;

    if (log_name &&
        ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        rv = map_log(log_name);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, "BenchCloseLog %s",
                     log_name);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static const char *set_log(cmd_parms *cmd, void *conf, const char *name)
{
    log_name = ap_server_root_relative(cmd->pool, name);
    return log_name ? NULL : "BenchCloseLog: not a usable file name";
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("BenchCloseLog", set_log, NULL, RSRC_CONF,
                  "where the times of stream_close are noted"),
    {NULL}};

static void register_hooks(apr_pool_t *p)
{
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(set_user, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(floor_handler, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(sse, stream_close, on_close, NULL, NULL, APR_HOOK_MIDDLE);
}

module SSE_DECLARE_DATA bench_close_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks,
    AP_MODULE_FLAG_NONE};
