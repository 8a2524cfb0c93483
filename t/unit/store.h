/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file store.h
 * What the tests of the store share: a fresh directory, a store in it, and
 * short ways to append and read.
 *
 * Threads: as the store; test_dir is set once.
 */

#ifndef SSE_TEST_STORE_H
#define SSE_TEST_STORE_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "store/sse_store.h"
#include "tap.h"

/* The provider's own, for tests that look inside. */
#define LMDB(store)     ((sse_lmdb_t *)(store))
#define LMDB_CONF(conf) ((const sse_lmdb_conf_t *)(conf))

static char test_dir[256];

static inline void test_begin(void)
{
    const char *tmp = getenv("TMPDIR");

    apr_initialize();
    snprintf(test_dir, sizeof(test_dir), "%s/sse-store.XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(test_dir)) {
        perror(test_dir);
        exit(1);
    }
    chmod(test_dir, 0755);
}

static inline void test_remove(const char *path)
{
    struct dirent *entry;
    char sub[1024];
    DIR *dir = opendir(path);

    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            snprintf(sub, sizeof(sub), "%s/%s", path, entry->d_name) <
                (int)sizeof(sub) &&
            unlink(sub)) {
            test_remove(sub);
        }
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(path);
}

static inline int test_end(void)
{
    test_remove(test_dir);
    return done_testing();
}

/* By others, whom a slow machine holds up. */
static inline int is_held_up(apr_status_t rv)
{
    return rv == SSE_STORE_EBUSY || rv == SSE_STORE_ESIZE;
}

static inline apr_pool_t *test_pool(void)
{
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    return pool;
}

/** Settings for a store in that directory of its own. */
static inline sse_store_conf_t *test_conf(apr_pool_t *pool, const char *name,
                                          const char *size, const char *sync)
{
    sse_store_conf_t *conf = NULL;
    const char *argv[4], *err;

    argv[0] = "lmdb";
    argv[1] = apr_pstrcat(pool, "dir=", name, NULL);
    argv[2] = apr_pstrcat(pool, "size=", size, NULL);
    argv[3] = apr_pstrcat(pool, "sync=", sync, NULL);
    err = sse_store_configure(&conf, pool, test_dir, 4, argv);
    if (err) {
        printf("Bail out! %s\n", err);
        exit(1);
    }
    return conf;
}

/* A process that is forked while a thread of this one comes or goes may find
 * AddressSanitizer's allocator locked for ever: let those that end do so. */
static inline void let_threads_end(void)
{
#ifdef __SANITIZE_ADDRESS__
    int i, threads = 2;

    for (i = 0; i < 300 && threads > 1; ++i) {
        DIR *dir = opendir("/proc/self/task");

        if (!dir) {
            return;
        }
        for (threads = -2; readdir(dir); ++threads) {
        }
        closedir(dir);
        if (threads > 1) {
            usleep(1000);
        }
    }
#endif
}

static inline apr_status_t test_prepare(const sse_store_conf_t *conf,
                                        const char **notice, apr_pool_t *pool)
{
    let_threads_end();
    return sse_store_prepare(conf, (apr_uid_t)-1, (apr_gid_t)-1, notice, pool);
}

/** Prepared and opened; closed by destroying the pool. */
static inline sse_store_t *test_open(const sse_store_conf_t *conf,
                                     apr_pool_t *pool)
{
    sse_store_t *store = NULL;
    const char *notice = NULL;
    apr_status_t rv = test_prepare(conf, &notice, pool);

    rv = rv ? rv : sse_store_open(&store, conf, NULL, pool);
    if (rv || notice) {
        printf("Bail out! open: %d %s\n", (int)rv, notice ? notice : "");
        exit(1);
    }
    return store;
}

/** A new store of that name. */
static inline sse_store_t *test_store(const char *name, const char *size,
                                      apr_pool_t *pool)
{
    return test_open(test_conf(pool, name, size, "off"), pool);
}

static inline sse_slice_t text(const char *str)
{
    sse_slice_t slice = {str, str ? strlen(str) : 0};

    return slice;
}

static const sse_history_t keep_all = {1000000, 0, 0};
static const sse_history_t keep_none = {0, 0, 0};

static inline sse_append_t item(const char *channel, const char *data,
                                const char *idempotency,
                                const sse_history_t *history)
{
    static const sse_fields_t none = SSE_FIELDS_NONE;
    sse_append_t append;

    memset(&append, 0, sizeof(append));
    append.channel = text(channel);
    append.fields = none;
    append.fields.data = text(data);
    append.idempotency = text(idempotency);
    append.history = history;
    return append;
}

/** @return its id, 0 when that failed */
static inline sse_id_t publish(sse_store_t *store, const char *channel,
                               const char *data, const sse_history_t *history)
{
    sse_append_t append = item(channel, data, NULL, history);

    return sse_store_append(store, &append, 1) ? 0 : append.id;
}

/** What a reading gave. */
typedef struct {
    char text[4096]; /**< "data " each; "!" for a forget */
    int count;
    sse_id_t first, last;
    int stop_at; /**< refuse the record of that number, from 1 */
    int disorder;
} seen_t;

static inline apr_status_t see(void *baton, const sse_record_t *record)
{
    seen_t *seen = baton;
    apr_size_t len = strlen(seen->text);
    int room = (int)(sizeof(seen->text) - len);
    int size = (int)record->fields.data.len;

    if (seen->stop_at && seen->count + 1 == seen->stop_at) {
        return APR_EINTR;
    }
    if (size < room - 2) {
        if (record->kind == SSE_RECORD_FORGET) {
            snprintf(seen->text + len, (size_t)room, "! ");
        }
        else {
            snprintf(seen->text + len, (size_t)room, "%.*s ", size,
                     record->fields.data.ptr);
        }
    }
    seen->disorder |= seen->count && record->id <= seen->last;
    if (!seen->count++) {
        seen->first = record->id;
    }
    seen->last = record->id;
    return APR_SUCCESS;
}

/** All of a channel's history after that id, as text. */
static inline const char *history_of(sse_store_t *store, const char *channel,
                                     sse_id_t after, int *gap)
{
    static seen_t seen;
    sse_slice_t key = text(channel);
    sse_id_t next;
    int lost;
    apr_status_t rv;

    memset(&seen, 0, sizeof(seen));
    rv = sse_store_history(store, &key, 1, after, ~(sse_id_t)0, 1 << 30, see,
                           &seen, NULL, &next, gap ? gap : &lost);
    if (rv) {
        snprintf(seen.text, sizeof(seen.text), "error %d", (int)rv);
    }
    return seen.text;
}

static inline int gap_of(sse_store_t *store, const char *channel,
                         sse_id_t after)
{
    sse_position_t position;
    sse_slice_t key = text(channel);

    return sse_store_look(store, &key, 1, after, &position) ? -1 : position.gap;
}

static inline sse_id_t last_of(sse_store_t *store)
{
    sse_id_t id = 0;

    return sse_store_last(store, &id) ? 0 : id;
}

static inline int tidy_all(sse_store_t *store, apr_time_t now)
{
    int more, calls = 0;
    apr_status_t rv;

    do {
        rv = sse_store_tidy(store, now, &more);
        ++calls;
    } while (!rv && more && calls < 100000);
    return rv ? -1 : calls;
}

/** Wait for a child. @return its exit code, -signal */
static inline int wait_for(pid_t pid)
{
    int status = 0;

    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif /* SSE_TEST_STORE_H */
