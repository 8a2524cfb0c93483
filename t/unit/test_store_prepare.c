/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What the parent does: the directory, its owner, and stores that are no good
 * any more. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "store/lmdb/sse_lmdb.h"
#include "store.h"

#define NOBODY 65534

static const char *path_of(apr_pool_t *pool, const char *name)
{
    return apr_pstrcat(pool, test_dir, "/", name, NULL);
}

/* @return how many files were moved aside */
static int aside(const char *name, const char *kind, apr_pool_t *pool)
{
    const char *prefix = apr_pstrcat(pool, "data.mdb.", kind, "-2", NULL);
    struct dirent *entry;
    DIR *dir = opendir(path_of(pool, name));
    int n = 0;

    while (dir && (entry = readdir(dir))) {
        n += !strncmp(entry->d_name, prefix, strlen(prefix));
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/* A store with something in it, closed.  @return its last id */
static sse_id_t make_store(const char *name, int events)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store(name, "16m", pool);
    sse_append_t a;
    sse_id_t last;
    char channel[32];
    int i;

    for (i = 0; i < events; ++i) {
        snprintf(channel, sizeof(channel), "channel-%d", i % 100);
        a = item(channel, "some data that takes a little room",
                 i % 3 ? NULL : channel, &keep_all);
        sse_store_append(store, &a, 1);
    }
    last = last_of(store);
    apr_pool_destroy(pool);
    return last;
}

/* Prepare has moved it aside, and there is a new one which works. */
static void is_replaced(const char *name, const char *kind, sse_id_t above,
                        const char *what)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, name, "16m", "off");
    const char *notice = NULL;
    sse_store_t *store;
    sse_id_t origin;

    printf("# %s\n", what);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "prepare goes on");
    ok(notice && strstr(notice, kind) && strstr(notice, LMDB_CONF(conf)->dir),
       "and tells");
    printf("# %s\n", notice ? notice : "no notice");
    is_num(aside(name, kind, pool), 1, "the old one is kept");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS,
           "the new one opens");
    origin = last_of(store);
    ok(origin > above, "its ids are above the old ones");
    is_num(publish(store, "c", "x", &keep_all), origin + 1, "and it works");
    apr_pool_destroy(pool);
    pool = test_pool();
    conf = test_conf(pool, name, "16m", "off");
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "prepare again");
    ok(!notice, "has nothing to tell");
    apr_pool_destroy(pool);
}

static void overwrite(const char *name, off_t from, const void *with,
                      apr_size_t len)
{
    apr_pool_t *pool = test_pool();
    int fd = open(path_of(pool, apr_pstrcat(pool, name, "/data.mdb", NULL)),
                  O_WRONLY | O_CREAT, 0600);

    if (pwrite(fd, with, len, from) != (ssize_t)len) {
        perror("pwrite");
    }
    close(fd);
    apr_pool_destroy(pool);
}

static void cut(const char *name, off_t size)
{
    apr_pool_t *pool = test_pool();

    if (truncate(path_of(pool, apr_pstrcat(pool, name, "/data.mdb", NULL)),
                 size)) {
        perror("truncate");
    }
    apr_pool_destroy(pool);
}

static void test_damage(void)
{
    static char junk[1 << 20];
    apr_uint32_t version = 99;
    apr_size_t i;
    apr_pool_t *pool = test_pool();

    for (i = 0; i < sizeof(junk); ++i) {
        junk[i] = (char)(i * 2654435761u >> 13);
    }
    mkdir(path_of(pool, "junk"), 0700);
    overwrite("junk", 0, junk, 100000);
    is_replaced("junk", "damaged", 0, "no store at all");

    mkdir(path_of(pool, "short"), 0700);
    overwrite("short", 0, junk, 10);
    is_replaced("short", "damaged", 0, "ten bytes");

    make_store("header", 1000);
    cut("header", 5000);
    is_replaced("header", "damaged", 0, "a second page that is cut off");

    make_store("half", 5000);
    cut("half", 100 * 4096);
    is_replaced("half", "damaged", 0, "cut in half");

    make_store("few", 1000);
    cut("few", 2 * 4096);
    is_replaced("few", "damaged", 0, "nothing but its first two pages");

    make_store("middle", 5000);
    overwrite("middle", 2 * 4096, junk, sizeof(junk));
    is_replaced("middle", "damaged", 0, "junk from the third page on");

    memset(junk, 0, sizeof(junk));
    make_store("zeros", 5000);
    overwrite("zeros", 2 * 4096, junk, sizeof(junk));
    is_replaced("zeros", "damaged", 0, "zeros from the third page on");

    make_store("lmdb", 10);
    overwrite("lmdb", 20, &version, sizeof(version));
    overwrite("lmdb", 4096 + 20, &version, sizeof(version));
    is_replaced("lmdb", "damaged", 0, "another version of LMDB");

    make_store("psize", 10);
    version = 0;
    overwrite("psize", 40, &version, sizeof(version));
    overwrite("psize", 4096 + 40, &version, sizeof(version));
    is_replaced("psize", "damaged", 0, "pages of size 0");
    apr_pool_destroy(pool);
}

/* Change the state record, as an older or newer version would have it. */
static void set_state(const char *name, apr_uint32_t version, sse_id_t last)
{
    apr_pool_t *pool = test_pool();
    sse_lmdb_state_t state;
    MDB_val key = {5, (void *)"state"}, val;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 8);
    mdb_env_set_mapsize(env, 16 << 20);
    mdb_env_open(env, path_of(pool, name), MDB_NOTLS, 0600);
    mdb_txn_begin(env, NULL, 0, &txn);
    mdb_dbi_open(txn, "meta", 0, &dbi);
    mdb_get(txn, dbi, &key, &val);
    memcpy(&state, val.mv_data, sizeof(state));
    state.version = version;
    state.last = last ? last : state.last;
    val.mv_data = &state;
    mdb_put(txn, dbi, &key, &val, 0);
    mdb_txn_commit(txn);
    mdb_env_close(env);
    apr_pool_destroy(pool);
}

static void test_version(void)
{
    sse_id_t last = make_store("version", 10);
    sse_id_t ahead = (sse_id_t)apr_time_now() + 3600000000u;
    apr_pool_t *pool = test_pool();

    set_state("version", SSE_LMDB_VERSION + 1, 0);
    is_replaced("version", "version", last, "a newer version");
    make_store("clock", 10);
    set_state("clock", SSE_LMDB_VERSION + 1, ahead);
    is_replaced("clock", "version", ahead, "from when the clock was ahead");
    make_store("old", 10);
    set_state("old", 0, 0);
    is_replaced("old", "version", 0, "an older version");
    apr_pool_destroy(pool);
}

/* A child of the last generation has a store open that is moved aside. */
static void test_two_generations(void)
{
    apr_pool_t *pool = test_pool();
    int go[2], done[2];
    char byte = 0;
    pid_t pid;

    make_store("both", 100);
    if (pipe(go) || pipe(done)) {
        return;
    }
    if (!(pid = fork())) {
        apr_pool_t *own = test_pool();
        sse_store_conf_t *conf = test_conf(own, "both", "16m", "off");
        sse_store_t *store;
        int failed = sse_store_open(&store, conf, NULL, own) != APR_SUCCESS;

        failed |= write(done[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1;
        /* What is there now is the next generation's. */
        failed |= publish(store, "c", "x", &keep_all) != 0;
        failed |= !sse_store_report(store) || sse_store_report(store);
        apr_pool_destroy(own);
        _exit(failed);
    }
    is_num(read(done[0], &byte, 1), 1, "the old generation is there");
    set_state("both", SSE_LMDB_VERSION + 1, 0);
    is_replaced("both", "version", 0, "while it lives");
    is_num(write(go[1], &byte, 1), 1, "it goes on");
    is_num(wait_for(pid), 0, "and leaves the new one to those that come");
    close(go[0]);
    close(go[1]);
    close(done[0]);
    close(done[1]);
    apr_pool_destroy(pool);
}

static void is_refused(const char *dir, apr_uid_t uid, const char *word,
                       const char *what)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, dir, "1m", "off");
    const char *notice = NULL;
    apr_status_t rv = sse_store_prepare(conf, uid, uid, &notice, pool);

    printf("# %s: %s\n", what, notice ? notice : "no notice");
    ok(rv != APR_SUCCESS, "it is refused");
    ok(notice && strstr(notice, LMDB_CONF(conf)->dir) && strstr(notice, word) &&
           (strstr(notice, "dir=") || strstr(notice, "remove it")),
       "with what and what to do");
    apr_pool_destroy(pool);
}

static void test_directories(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "a/b/c", "1m", "off");
    const char *notice, *argv[2] = {"lmdb"};
    const char *elsewhere = path_of(pool, "elsewhere");
    struct stat st;
    FILE *file = fopen(path_of(pool, "file"), "w");

    fclose(file);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS,
           "parents are made inside the runtime directory");
    is_num(stat(LMDB_CONF(conf)->dir, &st), 0, "there it is");
    is_num(st.st_mode & 07777, 0700, "for its owner only");
    is_num(
        stat(apr_pstrcat(pool, LMDB_CONF(conf)->dir, "/data.mdb", NULL), &st),
        0, "with a store");
    is_num(st.st_mode & 07777, 0600, "for its owner only");
    argv[1] = apr_pstrcat(pool, "dir=", elsewhere, "/x", NULL);
    sse_store_configure(&conf, pool, path_of(pool, "runtime"), 2, argv);
    ok(test_prepare(conf, &notice, pool) != APR_SUCCESS && notice &&
           strstr(notice, "elsewhere"),
       "but not elsewhere");
    is_num(stat(elsewhere, &st), -1, "nothing is left there");
    mkdir(elsewhere, 0755);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "the last one is");
    is_refused("file", (apr_uid_t)-1, "file", "a file");
    is_refused("file/x", (apr_uid_t)-1, "file", "in a file");
    apr_pool_destroy(pool);
}

/* In a process that is nobody: what cannot be written is refused. */
static void test_unwritable(void)
{
    apr_pool_t *pool = test_pool();
    pid_t pid;

    mkdir(path_of(pool, "locked"), 0755);
    if (chmod(path_of(pool, "locked"), 0555)) {
        perror("chmod");
    }
    fflush(stdout);
    if (!(pid = fork())) {
        const char *notice = NULL;
        sse_store_conf_t *conf = test_conf(pool, "locked", "1m", "off");
        int failed;

        if (geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY))) {
            _exit(9);
        }
        failed = test_prepare(conf, &notice, pool) == APR_SUCCESS || !notice ||
                 !strstr(notice, "locked");
        printf("# %s\n", notice ? notice : "no notice");
        conf = test_conf(pool, "locked/x", "1m", "off");
        failed |= test_prepare(conf, &notice, pool) == APR_SUCCESS || !notice ||
                  !strstr(notice, "locked/x");
        printf("# %s\n", notice ? notice : "no notice");
        fflush(stdout);
        _exit(failed);
    }
    is_num(wait_for(pid), 0, "an unwritable directory is refused");
    apr_pool_destroy(pool);
}

static int owner(apr_pool_t *pool, const char *name)
{
    struct stat st;

    return lstat(path_of(pool, name), &st) ? -1 : (int)st.st_uid;
}

/* Root prepares for another user. */
static void test_given(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "given", "1m", "off");
    const char *notice;
    sse_store_t *store;
    FILE *file;
    pid_t pid;

    is_num(sse_store_prepare(conf, NOBODY, NOBODY, &notice, pool), APR_SUCCESS,
           "prepared for another user");
    is_num(owner(pool, "given"), NOBODY, "the directory is his");
    is_num(owner(pool, "given/data.mdb"), NOBODY, "the store is");
    is_num(owner(pool, "given/lock.mdb"), NOBODY, "the lock is");
    if (!(pid = fork())) {
        if (setgid(NOBODY) || setuid(NOBODY) ||
            sse_store_open(&store, conf, NULL, pool)) {
            _exit(9);
        }
        _exit(!publish(store, "c", "x", &keep_all));
    }
    is_num(wait_for(pid), 0, "he can publish");

    make_store("mine", 10);
    conf = test_conf(pool, "mine", "16m", "off");
    is_num(sse_store_prepare(conf, NOBODY, NOBODY, &notice, pool), APR_SUCCESS,
           "a store of another user's");
    ok(!notice && owner(pool, "mine/data.mdb") == NOBODY &&
           owner(pool, "mine") == NOBODY,
       "is given to him, whole");

    mkdir(path_of(pool, "shared"), 0755);
    file = fopen(path_of(pool, "shared/other"), "w");
    fclose(file);
    is_refused("shared", NOBODY, "shared",
               "a directory that holds other things");
    is_num(owner(pool, "shared"), 0, "is not given away");

    mkdir(path_of(pool, "link"), 0700);
    file = fopen(path_of(pool, "secret"), "w");
    fclose(file);
    if (symlink("../secret", path_of(pool, "link/data.mdb"))) {
        perror("symlink");
    }
    is_refused("link", NOBODY, "link", "a data.mdb that is a link");
    is_num(owner(pool, "secret"), 0, "leads nowhere");
    unlink(path_of(pool, "link/data.mdb"));
    if (link(path_of(pool, "secret"), path_of(pool, "link/data.mdb"))) {
        perror("link");
    }
    is_refused("link", NOBODY, "link", "nor does a hard link");
    is_num(owner(pool, "secret"), 0, "anywhere");
    apr_pool_destroy(pool);
}

/* What prepare leaves behind in the parent: nothing open. */
static void test_nothing_held(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "held", "1m", "on");
    const char *notice;
    int before = dup(0), after;

    close(before);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "prepare");
    after = dup(0);
    close(after);
    is_num(after, before, "holds no descriptor");
    apr_pool_destroy(pool);
}

/* Beside others, who on a slow machine may have the lock for longer than it is
 * waited for: some times more. */
static apr_status_t prepare_beside(const sse_store_conf_t *conf,
                                   const char **notice, int *more,
                                   apr_pool_t *pool)
{
    apr_status_t rv;

    do {
        rv = test_prepare(conf, notice, pool);
    } while (rv == APR_TIMEUP && *notice &&
             strstr(*notice, "another process has it locked") && --*more >= 0);
    return rv;
}

/* At a graceful restart: while a child publishes and reads. */
static void test_in_use(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "in-use", "4m", "off");
    const char *notice, *noticed = NULL;
    sse_store_t *store;
    apr_time_t until;
    apr_status_t rv;
    sse_id_t id;
    pid_t pid;
    int i, more = 10, failed = 0;

    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "prepare");
    if (!(pid = fork())) {
        static const sse_history_t ten = {10, 0, 0};
        sse_append_t a = item("c", "x", NULL, &ten);

        if (sse_store_open(&store, conf, NULL, test_pool())) {
            _exit(9);
        }
        until = apr_time_now() + apr_time_from_sec(200);
        do {
            rv = sse_store_append(store, &a, 1);
        } while (apr_time_now() < until && (!rv || is_held_up(rv)));
        _exit(rv ? 8 : 7);
    }
    for (i = 0; i < 100; ++i) {
        failed |= prepare_beside(conf, &notice, &more, pool) != APR_SUCCESS;
        noticed = notice ? notice : noticed;
    }
    kill(pid, SIGKILL);
    is_num(wait_for(pid), -SIGKILL, "a child publishes meanwhile");
    ok(!failed && !noticed, "prepare while it does");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS, "open");
    id = last_of(store);
    is_num(publish(store, "c", "y", &keep_all), id + 1, "and go on");
    apr_pool_destroy(pool);
}

/* Another process has the first byte of lock.mdb for so long, as one that is
 * just opening the store does. */
static pid_t hold_opening(const char *name, int seconds)
{
    apr_pool_t *pool = test_pool();
    const char *file =
        apr_pstrcat(pool, path_of(pool, name), "/lock.mdb", NULL);
    struct flock lock = {0};
    int held[2];
    char byte = 0;
    pid_t pid;

    if (pipe(held)) {
        return -1;
    }
    if (!(pid = fork())) {
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_len = 1;
        if (fcntl(open(file, O_RDWR), F_SETLK, &lock) ||
            write(held[1], &byte, 1) != 1) {
            _exit(9);
        }
        apr_sleep(apr_time_from_sec(seconds));
        _exit(0);
    }
    close(held[1]);
    is_num(read(held[0], &byte, 1), 1, "another process is opening it");
    close(held[0]);
    apr_pool_destroy(pool);
    return pid;
}

/* Two seconds are for a lock that others have, not for what comes before. */
static void test_slow(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "slow", "1m", "off");
    const char *notice;
    sse_store_t *store;
    MDB_txn *txn;
    int held[2], go[2];
    char byte = 0;
    pid_t pid;

    make_store("slow", 10);
    pid = hold_opening("slow", 3);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS,
           "it takes three seconds to open");
    ok(!notice, "nothing is wrong");
    is_num(wait_for(pid), 0, "the other one has gone");

    if (pipe(held) || pipe(go)) {
        return;
    }
    if (!(pid = fork())) {
        if (sse_store_open(&store, conf, NULL, test_pool()) ||
            mdb_txn_begin(LMDB(store)->env, NULL, 0, &txn) ||
            write(held[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1) {
            _exit(9);
        }
        mdb_txn_abort(txn);
        _exit(0);
    }
    is_num(read(held[0], &byte, 1), 1, "another process has it locked");
    is_num(test_prepare(conf, &notice, pool), APR_TIMEUP, "it is refused");
    ok(notice && strstr(notice, "for 2 s: another process has it locked"),
       "in those words");
    is_num(write(go[1], &byte, 1), 1, "it is let go");
    is_num(wait_for(pid), 0, "by the other one");
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "and can be used");
    close(held[0]);
    close(held[1]);
    close(go[0]);
    close(go[1]);
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    test_damage();
    test_version();
    test_two_generations();
    test_directories();
    test_unwritable();
    if (geteuid() == 0) {
        test_given();
    }
    test_nothing_held();
    test_in_use();
    test_slow();
    return test_end();
}
