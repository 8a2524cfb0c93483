/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The provider "lmdb": its table and its settings. */

#include <errno.h>

#include <apr_file_info.h>
#include <apr_lib.h>
#include <apr_shm.h>
#include <apr_strings.h>

#include "store/lmdb/sse_lmdb_channels.h"
#include "store/lmdb/sse_lmdb_presence.h"

/* Its settings: docs/directives.md, SSEStore. */
extern const sse_store_provider_t sse_store_lmdb;

#define SIZE_DEFAULT (APR_UINT64_C(1) << 30)
#define SIZE_MAX_    (APR_UINT64_C(1) << 44)

static int parse_size(const char *value, apr_uint64_t *size)
{
    static const char units[] = "kmg";
    apr_uint64_t n = 0;
    const char *p = value, *unit;

    if (!apr_isdigit(*p)) {
        return 0;
    }
    for (; apr_isdigit(*p); ++p) {
        n = n * 10 + (apr_uint64_t)(*p - '0');
        if (n > SIZE_MAX_) {
            return 0;
        }
    }
    if (*p) {
        unit = strchr(units, apr_tolower(*p));
        if (!unit || p[1]) {
            return 0;
        }
        n <<= 10 * (unit - units + 1);
    }
    if (n < SSE_LMDB_SIZE_MIN || n > SIZE_MAX_) {
        return 0;
    }
    /* LMDB wants whole pages, whatever their size is here. */
    *size = (n + 65535) & ~APR_UINT64_C(65535);
    return 1;
}

static int parse_share(const char *value, int *share)
{
    const char *p = value;
    int n = 0;

    for (; apr_isdigit(*p) && n <= 100; ++p) {
        n = n * 10 + (*p - '0');
    }
    *share = n;
    return n >= 1 && n <= 100 && !strcmp(p, "%");
}

static const char *set_dir(sse_lmdb_conf_t *conf, apr_pool_t *pool,
                           const char *value)
{
    char *path;

    if (strchr(value, '"')) {
        return apr_psprintf(pool,
                            "dir=%s has a quotation mark in it; put the marks "
                            "around the whole setting: \"dir=/a path\"",
                            value);
    }
    if (!*value || apr_filepath_merge(&path, conf->runtime, value,
                                      APR_FILEPATH_NOTRELATIVE, pool)) {
        return apr_psprintf(pool,
                            "dir=%s is not a path; give a directory, "
                            "absolute or relative to %s",
                            value, conf->runtime);
    }
    conf->dir = path;
    return NULL;
}

static const char *set_one(sse_lmdb_conf_t *conf, apr_pool_t *pool,
                           const char *arg)
{
    const char *value = strchr(arg, '=');

    if (value && !strncmp(arg, "dir=", 4)) {
        return set_dir(conf, pool, value + 1);
    }
    if (value && !strncmp(arg, "size=", 5)) {
        conf->is_sized = 1;
        return parse_size(value + 1, &conf->size)
                   ? NULL
                   : apr_psprintf(pool,
                                  "%s is not a size; allowed are bytes, "
                                  "with k, m or g if you like, from 1m to "
                                  "16384g",
                                  arg);
    }
    if (value && !strncmp(arg, "sync=", 5)) {
        conf->sync = !strcasecmp(value + 1, "on");
        return conf->sync || !strcasecmp(value + 1, "off")
                   ? NULL
                   : apr_psprintf(pool, "%s: allowed are sync=on and sync=off",
                                  arg);
    }
    if (value && !strncmp(arg, "namespace=", 10)) {
        return parse_share(value + 1, &conf->share)
                   ? NULL
                   : apr_psprintf(pool,
                                  "%s is not a part of the store; allowed are "
                                  "namespace=1%% to namespace=100%%",
                                  arg);
    }
    return apr_psprintf(pool,
                        "%s is no setting of the store lmdb; allowed are "
                        "dir=, size=, sync= and namespace=",
                        arg);
}

static const char *share_files(sse_lmdb_conf_t *conf, apr_pool_t *pool)
{
    apr_shm_t *shm;

    if (apr_shm_create(&shm, sizeof(*conf->files), NULL, pool)) {
        return "there is no shared memory: see the system's limits";
    }
    conf->files = apr_shm_baseaddr_get(shm); /* all zero */
    return NULL;
}

static const char *configure(sse_store_conf_t **out, apr_pool_t *pool,
                             const char *dir, int argc, const char *const *argv)
{
    sse_lmdb_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));
    const char *err;
    int i;

    conf->runtime = apr_pstrdup(pool, dir);
    conf->size = SIZE_DEFAULT;
    conf->share = 100;
    err = share_files(conf, pool);
    err = err ? err : set_dir(conf, pool, "sse");
    for (i = 0; i < argc && !err; ++i) {
        err = set_one(conf, pool, argv[i]);
    }
    if (!err) {
        sse_lmdb_size_default(conf, pool);
    }
    *out = &conf->base;
    return err;
}

static const char *private_dir(const sse_store_conf_t *conf)
{
    return ((const sse_lmdb_conf_t *)conf)->dir;
}

static void limit(sse_store_t *store, int publishers,
                  sse_store_stay_fn *may_stay)
{
    sse_lmdb_writer_limit(((sse_lmdb_t *)store)->writer, publishers, may_stay);
}

static const char *report(sse_store_t *store)
{
    return __atomic_exchange_n(&((sse_lmdb_t *)store)->report, NULL,
                               __ATOMIC_ACQ_REL);
}

/* The last is for all others. */
static const struct words {
    apr_status_t status;
    const char *advice;
    const char *answer;
} words[] = {
    {APR_ENOSPC, "its disk is full: make room there",
     "the store is full, as its disk has no room"},
    {SSE_STORE_ESIZE,
     "its size is too small: give SSEStore a larger size=, or let SSEHistory "
     "keep less",
     "the store is full: SSEStore's size must grow, or SSEHistory keep less, "
     "or what is sent at once be smaller"},
    {SSE_STORE_EGONE,
     "its directory is gone, was replaced, or may not be used by the server's "
     "user: bring it back, or restart the server, which makes it again or uses "
     "the new one",
     "the store's directory is gone"},
    {EROFS,
     "its disk is read-only: see the kernel's log for why, and mount it for "
     "writing",
     "the store's disk is read-only"},
    {SSE_STORE_EDAMAGED,
     "it is damaged: restart the server, which moves it aside and begins a "
     "new one",
     "the event store failed"},
    {SSE_STORE_EBUSY,
     "another process has it locked and does not let go: find which one has "
     "lock.mdb in its directory (SSEStore dir=) open, and end what hangs",
     "the store takes too long, or another process has it locked"},
    {APR_SUCCESS,
     "see that its directory (SSEStore dir=) is there, belongs to the server's "
     "user, and is on a disk that works and can be written to",
     "the event store failed"}};

static const struct words *find_words(apr_status_t status)
{
    const struct words *at = words;

    while (at->status && at->status != status) {
        ++at;
    }
    return at;
}

static const char *advice(apr_status_t status)
{
    return find_words(status)->advice;
}

static const char *answer(apr_status_t status)
{
    return find_words(status)->answer;
}

const sse_store_provider_t sse_store_lmdb = {
    .name = "lmdb",
    .configure = configure,
    .prepare = sse_lmdb_prepare,
    .test = sse_lmdb_test,
    .remark = sse_lmdb_remark,
    .private_dir = private_dir,
    .open = sse_lmdb_open,
    .append = sse_lmdb_append,
    .forget = sse_lmdb_forget,
    .last = sse_lmdb_last,
    .now = sse_lmdb_time,
    .look = sse_lmdb_look,
    .tail = sse_lmdb_tail,
    .history = sse_lmdb_history,
    .follow = sse_lmdb_follow,
    .tidy = sse_lmdb_tidy,
    .limit = limit,
    .report = report,
    .advice = advice,
    .answer = answer,
    .change = sse_lmdb_presence_change,
    .members = sse_lmdb_members,
    .owners = sse_lmdb_owners,
    .members_of = sse_lmdb_members_of,
    .members_due = sse_lmdb_members_due,
    .channels = sse_lmdb_channels,
    .channel = sse_lmdb_channel,
    .sizes = sse_lmdb_sizes,
};
