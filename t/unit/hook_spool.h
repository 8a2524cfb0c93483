/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file hook_spool.h
 * What the tests of the webhooks' queue share: calls with short names, what
 * waits as one text, a directory of their own.
 *
 * Threads: the main one, but for add().
 */

#ifndef SSE_TEST_HOOK_SPOOL_H
#define SSE_TEST_HOOK_SPOOL_H

#include <apr_general.h>
#include <apr_strings.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notify/webhook/sse_hook_spool.h"
#include "tap.h"

#define MANY_CALLS 1000000
#define MANY_BYTES (1u << 30)

static apr_pool_t *pool;
static char dir[] = "/tmp/sse-spool.XXXXXX";

static inline const char *path_of(const char *name)
{
    return apr_pstrcat(pool, dir, "/", name, NULL);
}

/* Names begin so in the directory. */
static inline int count_files(const char *in, const char *prefix)
{
    DIR *d = opendir(in);
    const struct dirent *entry;
    int n = 0;

    while (d && (entry = readdir(d)) != NULL) {
        n += entry->d_name[0] != '.' &&
             !strncmp(entry->d_name, prefix, strlen(prefix));
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static inline sse_spool_t *open_sized(const char *owner, apr_uint64_t calls,
                                      apr_uint64_t bytes, apr_pool_t *p)
{
    sse_spool_t *spool = NULL;

    if (sse_spool_open(&spool, dir, owner, calls, bytes, p) != APR_SUCCESS) {
        printf("Bail out! no queue\n");
        exit(1);
    }
    return spool;
}

static inline sse_spool_t *open_as(const char *owner, apr_pool_t *p)
{
    return open_sized(owner, MANY_CALLS, MANY_BYTES, p);
}

static inline sse_call_t call_of(sse_call_type_e type, const char *target,
                                 const char *id, const char *stream,
                                 const char *body)
{
    sse_call_t call = {.type = type, .time = 1000};

    call.target = sse_slice(target);
    call.id = sse_slice(id);
    call.stream = sse_slice(stream);
    call.body = sse_slice(body);
    return call;
}

static inline apr_status_t add(sse_spool_t *spool, sse_call_type_e type,
                               const char *target, const char *id,
                               const char *stream)
{
    sse_call_t call = call_of(type, target, id, stream, "{}");

    return sse_spool_add(spool, &call);
}

/** "open S", "close S", "silent S" or "publish ID", to target "t" or the one
 *  behind '@'. */
static inline apr_status_t say(sse_spool_t *spool, const char *words)
{
    char text[200], id[220], *target, *name;
    sse_call_t call;

    apr_cpystrn(text, words, sizeof(text));
    target = strchr(text, '@');
    if (target) {
        *target++ = '\0';
    }
    name = strchr(text, ' ');
    *name++ = '\0';
    apr_snprintf(id, sizeof(id), "%s.%s", name, text);
    call = call_of(SSE_CALL_OPEN, target ? target : "t", id, name, "{}");
    if (!strcmp(text, "close")) {
        call.type = SSE_CALL_CLOSE;
    }
    else if (!strcmp(text, "publish")) {
        call.type = SSE_CALL_PUBLISH;
        call.stream.len = 0;
    }
    call.is_silent = !strcmp(text, "silent");
    return sse_spool_add(spool, &call);
}

/** All that waits behind a position, "id id", with "@target" unless that is
 *  "t". */
static inline const char *waiting_from(sse_spool_t *spool, sse_spool_at_t *at,
                                       const char *target)
{
    sse_slice_t of = sse_slice(target);
    const char *all = "";
    sse_room_t room = {0};
    sse_call_t call;

    while (sse_spool_next(spool, target ? &of : NULL, at, &call, &room) ==
           APR_SUCCESS) {
        all = apr_psprintf(
            pool, "%s%s%.*s%s%.*s", all, *all ? " " : "", (int)call.id.len,
            call.id.ptr, call.target.len == 1 ? "" : "@",
            call.target.len == 1 ? 0 : (int)call.target.len, call.target.ptr);
    }
    sse_room_free(&room);
    return all;
}

static inline const char *waiting(sse_spool_t *spool)
{
    sse_spool_at_t at = {0, 0};

    return waiting_from(spool, &at, NULL);
}

/** Finish up to so many; -1: all. @return how many */
static inline int send_some(sse_spool_t *spool, int most)
{
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;
    int n = 0;

    while (n != most &&
           sse_spool_next(spool, NULL, &at, &call, &room) == APR_SUCCESS) {
        sse_spool_done(spool, at);
        ++n;
    }
    sse_room_free(&room);
    return n;
}

static inline apr_uint64_t calls_of(sse_spool_t *spool)
{
    apr_uint64_t calls, bytes;

    sse_spool_waiting(spool, &calls, &bytes);
    return calls;
}

/* -- Claiming -------------------------------------------------------------- */

/** An owner whose name begins with "dead" does not live. */
static inline int is_living(void *baton, const char *owner)
{
    return strncmp(owner, "dead", 4) != 0;
}

/** Adds the CLOSE of an orphan: what the listener does. */
static inline void on_orphan(void *baton, const sse_call_t *open)
{
    sse_spool_t *spool = baton;
    sse_call_t call = *open;
    char id[300];

    apr_snprintf(id, sizeof(id), "%.*s.close", (int)open->stream.len,
                 open->stream.ptr);
    call.type = SSE_CALL_CLOSE;
    call.is_silent = 0;
    call.id = sse_slice(id);
    call.body = sse_slice("{\"reason\":\"crash\"}");
    sse_spool_add(spool, &call);
}

static inline apr_status_t claim(sse_spool_t *spool)
{
    apr_pool_t *own;
    apr_status_t rv;

    apr_pool_create(&own, NULL);
    rv = sse_spool_claim(spool, is_living, on_orphan, spool, own);
    apr_pool_destroy(own);
    return rv;
}

/* -- The test's frame ------------------------------------------------------ */

static inline void begin(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (!mkdtemp(dir)) {
        exit(1);
    }
}

/** All is closed and sent: nothing may be left in the directory. */
static inline int end(void)
{
    is_num(count_files(dir, ""), 0, "no file is left");
    apr_pool_destroy(pool);
    rmdir(dir);
    return done_testing();
}

#endif /* SSE_TEST_HOOK_SPOOL_H */
