/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A handler that blocks, as most do: a callback tells what its client does
 * meanwhile. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <httpd.h>
#include <http_core.h>
#include <http_protocol.h>

#include "c-modules/sse_close/close_test.h"

extern module AP_MODULE_DECLARE_DATA sse_block_module;

static void read_body(request_rec *r, const char *key)
{
    char buf[8192];
    apr_off_t all = 0;
    long n = -1;

    if (ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK) == OK) {
        while ((n = ap_get_client_block(r, buf, sizeof(buf))) > 0) {
            all += n;
        }
    }
    note(key, "read bytes=%d last=%d", (int)all, (int)n);
}

/* Writes until that fails, 20 ms between. */
static void write_on(request_rec *r, const char *key, int msec)
{
    int i, rv = 0;

    for (i = 0; i < msec / 20 && rv >= 0; ++i) {
        pause_msec(20);
        rv = ap_rputs("x", r) < 0 || ap_rflush(r) < 0 ? -1 : 0;
    }
    note(key, "wrote n=%d failed=%d aborted=%d", i, rv < 0,
         r->connection->aborted);
}

static int is_told(void *baton)
{
    callback_t *cb = baton;

    return cb && __atomic_load_n(&cb->told, __ATOMIC_ACQUIRE);
}

/* Registers one callback where reg is given, waits for "wait" milliseconds or
 * until it is told; then read, write or size say how to go on, and stall for
 * how long the handler stays when its response is out. */
static int block_handler(request_rec *r)
{
    char key[TEXT_MAX] = "-";
    apr_uint64_t began = now_usec();
    callback_t *cb = NULL;
    int left, size;

    if (!r->handler || strcmp(r->handler, "sse-close-block")) {
        return DECLINED;
    }
    query(r, "k", key);
    if (number(r, "early", 0)) {
        read_body(r, key);
    }
    if (number(r, "reg", 0)) {
        cb = register_one(r, "block", SSE_ON_ANY);
    }
    note(key, "blocks");
    for (left = number(r, "wait", 0); left > 0 && !is_told(cb); --left) {
        apr_sleep(1000);
    }
    if (number(r, "hold", 0)) {
        wait_while_held(is_told, cb);
    }
    note(key, "goes-on told=%d after=%d aborted=%d", is_told(cb),
         (int)(now_usec() - began), r->connection->aborted);
    if (number(r, "read", 0)) {
        read_body(r, key);
    }
    ap_set_content_type(r, "text/plain");
    if (number(r, "write", 0)) {
        write_on(r, key, number(r, "write", 0));
    }
    for (size = number(r, "size", 2); size > 0; size -= 10000) {
        ap_rprintf(r, "%*s", size < 10000 ? size : 10000, "ok");
    }
    if (number(r, "stall", 0)) {
        ap_finalize_request_protocol(r);
        for (left = number(r, "stall", 0); left > 0 && !r->connection->aborted;
             left -= 20) {
            pause_msec(20);
        }
        note(key, "stalled aborted=%d", r->connection->aborted);
    }
    if (number(r, "late", 0)) {
        register_one(r, "late", SSE_ON_ANY);
    }
    return OK;
}

static void retrieve(void)
{
    on_close_fn = APR_RETRIEVE_OPTIONAL_FN(sse_on_close);
    name_fn = APR_RETRIEVE_OPTIONAL_FN(sse_close_name);
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_optional_fn_retrieve(retrieve, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(open_log, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(block_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA sse_block_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
    AP_MODULE_FLAG_NONE};
