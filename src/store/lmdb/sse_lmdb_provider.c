/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The provider "lmdb": its table and its settings. */

#include <apr_file_info.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "store/lmdb/sse_lmdb.h"

#define SIZE_DEFAULT (APR_UINT64_C(1) << 30)
#define SIZE_MIN     SSE_LMDB_SIZE_MIN
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
    if (n < SIZE_MIN || n > SIZE_MAX_) {
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

static const char *sse_lmdb_configure(sse_lmdb_conf_t **out, apr_pool_t *pool,
                                      const char *dir, int argc,
                                      const char *const *argv)
{
    sse_lmdb_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));
    const char *err;
    int i;

    conf->runtime = apr_pstrdup(pool, dir);
    conf->size = SIZE_DEFAULT;
    conf->share = 100;
    conf->files = apr_pcalloc(pool, SSE_LMDB_FILES * sizeof(*conf->files));
    err = set_dir(conf, pool, "sse");
    for (i = 0; i < argc && !err; ++i) {
        err = set_one(conf, pool, argv[i]);
    }
    if (!err) {
        sse_lmdb_size_default(conf, pool);
    }
    *out = conf;
    return err;
}

static const char *sse_lmdb_directory(const sse_lmdb_conf_t *conf)
{
    return conf->dir;
}

static void sse_lmdb_limit(sse_lmdb_t *store, int publishers,
                           sse_store_stay_fn *may_stay)
{
    sse_lmdb_writer_limit(store->writer, publishers, may_stay);
}

static const char *sse_lmdb_news(sse_lmdb_t *store)
{
    return __atomic_exchange_n(&store->news, NULL, __ATOMIC_ACQ_REL);
}

const sse_store_provider_t sse_store_lmdb = {
    "lmdb",           sse_lmdb_configure, sse_lmdb_prepare, sse_lmdb_test,
    sse_lmdb_remark,  sse_lmdb_directory, sse_lmdb_open,    sse_lmdb_append,
    sse_lmdb_forget,  sse_lmdb_last,      sse_lmdb_look,    sse_lmdb_tail,
    sse_lmdb_history, sse_lmdb_follow,    sse_lmdb_tidy,    sse_lmdb_limit,
    sse_lmdb_news,
};
