/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file mod_soak.c
 * What the soak needs inside of the server: a listener to stream_open,
 * stream_close and stream_crashed that notes which stream each was told of.
 *
 *   SoakLog file
 */

#include "mod_sse.h"

#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "t/soak/soak_log.h"

extern module SSE_DECLARE_DATA soak_module;
APLOG_USE_MODULE(soak);

static const char *log_name; /* const after the configuration */
static soak_log_t *notes;    /* const after post_config */

static void note(const char *stream, soak_kind_e kind)
{
    soak_entry_t *entry;
    uint64_t place;

    if (!notes) {
        return;
    }
    place = __atomic_fetch_add(&notes->taken, 1, __ATOMIC_RELAXED);
    if (place < SOAK_ENTRIES_MAX) {
        entry = &notes->entries[place];
        snprintf(entry->stream, sizeof(entry->stream), "%s",
                 stream ? stream : "");
        entry->pid = (uint32_t)getpid();
        __atomic_store_n(&entry->kind, (uint32_t)kind, __ATOMIC_RELEASE);
    }
}

static void on_open(sse_stream_t *stream, request_rec *r)
{
    note(apr_table_get(r->notes, "sse-stream"), SOAK_OPEN);
}

static void on_close(sse_stream_t *stream, request_rec *r,
                     const sse_close_t *close)
{
    note(apr_table_get(r->notes, "sse-stream"), SOAK_CLOSE);
}

static void on_crash(const sse_crash_t *crash)
{
    note(crash->stream, SOAK_CRASH);
}

static apr_status_t unmap_log(void *mapping)
{
    return munmap(mapping, sizeof(*notes)) ? errno : APR_SUCCESS;
}

/* In the parent, so that the children inherit the mapping whatever their user.
 * Entries of an earlier generation stay. */
static apr_status_t map_log(const char *name, apr_pool_t *pool)
{
    void *mapping;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return errno;
    }
    if (ftruncate(fd, sizeof(*notes))) {
        close(fd);
        return errno;
    }
    mapping =
        mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapping == MAP_FAILED) {
        return errno;
    }
    notes = mapping;
    apr_pool_cleanup_register(pool, mapping, unmap_log, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    apr_status_t rv = APR_SUCCESS;

    if (log_name &&
        ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        rv = map_log(log_name, pconf);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, "SoakLog %s", log_name);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static const char *set_log(cmd_parms *cmd, void *conf, const char *name)
{
    log_name = ap_server_root_relative(cmd->pool, name);
    return log_name ? NULL : "SoakLog: not a usable file name";
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("SoakLog", set_log, NULL, RSRC_CONF,
                  "where it is noted which streams open and end"),
    {NULL}};

static void register_hooks(apr_pool_t *p)
{
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(sse, stream_open, on_open, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(sse, stream_close, on_close, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(sse, stream_crashed, on_crash, NULL, NULL,
                      APR_HOOK_MIDDLE);
}

module SSE_DECLARE_DATA soak_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, register_hooks,
    AP_MODULE_FLAG_NONE};
