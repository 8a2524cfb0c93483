/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* How large a store may become that nobody gave a size: not so large that it
 * fills a small file system which others need as well. */

#include <sys/mount.h>

#include "store.h"
#include "store/lmdb/sse_lmdb.h"

static sse_store_conf_t *configure(apr_pool_t *pool, const char *dir,
                                   const char *setting)
{
    sse_store_conf_t *conf = NULL;
    const char *argv[3];

    argv[0] = "lmdb";
    argv[1] = apr_pstrcat(pool, "dir=", dir, NULL);
    argv[2] = setting;
    if (sse_store_configure(&conf, pool, test_dir, setting ? 3 : 2, argv)) {
        printf("Bail out! configure\n");
        exit(1);
    }
    return conf;
}

static int is_near(apr_uint64_t got, apr_uint64_t want)
{
    return got <= want && got >= want - want / 4;
}

static void test_small(apr_pool_t *pool)
{
    sse_store_conf_t *conf = configure(pool, "disk/a/store", NULL);
    const char *remark = sse_store_remark(conf, pool);

    ok(is_near(LMDB_CONF(conf)->size, 16 << 20), "a quarter of what is free");
    ok(remark && strstr(remark, "disk/a/store") && strstr(remark, "may take 1"),
       "and told, with the numbers");
    printf("# %s\n", remark ? remark : "nothing");
    conf = configure(pool, "disk/store", "size=32m");
    ok(LMDB_CONF(conf)->size == 32 << 20 && !sse_store_remark(conf, pool),
       "a size that was set is what was set");
    conf = configure(pool, "disk/store", "size=100m");
    remark = sse_store_remark(conf, pool);
    ok(LMDB_CONF(conf)->size == 100 << 20 && remark && strstr(remark, "100m"),
       "also where it does not fit, which is told");
    printf("# %s\n", remark ? remark : "nothing");
}

/* What it has taken already is not taken from it at the next start. */
static void test_again(apr_pool_t *pool)
{
    static char block[65536];
    sse_store_conf_t *conf = configure(pool, "disk/again", NULL);
    apr_uint64_t before = LMDB_CONF(conf)->size;
    const char *notice;
    sse_store_t *store;
    apr_pool_t *own = test_pool();
    int i;

    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "it is used");
    sse_store_open(&store, conf, NULL, own);
    memset(block, 'x', sizeof(block) - 1);
    for (i = 0; i < 400; ++i) {
        if (!publish(store, "c", block, &keep_all)) {
            break;
        }
    }
    is_num(i, 400, "and never full");
    apr_pool_destroy(own);
    conf = configure(pool, "disk/again", NULL);
    ok(is_near(LMDB_CONF(conf)->size, before + before / 16),
       "it keeps its size");
}

/* Others have filled the disk since: nothing is given up for that. */
static void test_filled(apr_pool_t *pool)
{
    static char block[65536];
    sse_store_conf_t *conf = configure(pool, "disk/filled", NULL);
    apr_uint64_t before = LMDB_CONF(conf)->size, size;
    const char *notice, *remark;
    const char *other = apr_pstrcat(pool, test_dir, "/disk/other", NULL);
    sse_store_t *store;
    apr_pool_t *own = test_pool();
    FILE *file = fopen(other, "w");
    sse_id_t from;
    int i, failed = 0;

    test_prepare(conf, &notice, pool);
    sse_store_open(&store, conf, NULL, own);
    memset(block, 'x', sizeof(block) - 1);
    from = last_of(store);
    for (i = 0; i < 80; ++i) {
        failed += !publish(store, "c", block, &keep_all);
    }
    is_num(gap_of(store, "c", from), 0, "events that fit");
    apr_pool_destroy(own);
    while (fwrite(block, sizeof(block), 1, file) == 1) {
    }
    fclose(file);
    if (truncate(other, 36 << 20)) {
        perror(other);
    }
    conf = configure(pool, "disk/filled", NULL);
    size = LMDB_CONF(conf)->size;
    remark = sse_store_remark(conf, pool);
    ok(size > before / 2 && size <= before, "it is not made too small");
    ok(remark && strstr(remark, "keeps what it has"), "and told");
    printf("# %ld of %ld: %s\n", (long)size, (long)before,
           remark ? remark : "nothing");
    own = test_pool();
    test_prepare(conf, &notice, pool);
    sse_store_open(&store, conf, NULL, own);
    for (i = 0; i < 5; ++i) {
        failed += !publish(store, "d", "x", &keep_all);
    }
    is_num(failed, 0, "all is taken");
    is_num(gap_of(store, "c", from), 0, "and what was there is kept");
    apr_pool_destroy(own);
    unlink(other);
}

int main(void)
{
    apr_pool_t *pool;
    const char *disk;
    sse_store_conf_t *conf;

    test_begin();
    pool = test_pool();
    disk = apr_pstrcat(pool, test_dir, "/disk", NULL);
    conf = configure(pool, "large", "size=1g");
    ok(LMDB_CONF(conf)->size == 1 << 30, "a size");
    mkdir(disk, 0755);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=64m")) {
        printf("# no tmpfs may be mounted here\n");
    }
    else {
        test_small(pool);
        test_again(pool);
        test_remove(apr_pstrcat(pool, disk, "/again", NULL));
        test_filled(pool);
        is_num(umount(disk), 0, "nobody holds it any more");
    }
    return test_end();
}
