/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/sse_registry.c: what dead owners leave is claimed, by one. */

#include <apr_general.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <lmdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notify/sse_registry.h"
#include "store/sse_store.h"
#include "tap.h"

#define TRIES 20

static apr_pool_t *pool;
static char dir[] = "/tmp/sse-registry.XXXXXX";

/** What a claim found, as "key=value " each. */
typedef struct {
    const char *dead; /* the owner that does not live, or NULL: all are dead */
    char found[4096];
    int count;
} claim_t;

static int is_alive(void *baton, sse_slice_t owner)
{
    const claim_t *claim = baton;

    return claim->dead && (strlen(claim->dead) != owner.len ||
                           memcmp(claim->dead, owner.ptr, owner.len) != 0);
}

static void on_claimed(void *baton, sse_slice_t key, sse_slice_t value)
{
    claim_t *claim = baton;
    apr_size_t used = strlen(claim->found);

    ++claim->count;
    if (used + key.len + value.len + 3 < sizeof(claim->found)) {
        apr_snprintf(claim->found + used, sizeof(claim->found) - used,
                     "%.*s=%.*s ", (int)key.len, key.ptr, (int)value.len,
                     value.ptr);
    }
}

/* However long others on a slow machine have the lock. */
static apr_status_t claim_of(sse_registry_t *registry, claim_t *claim,
                             const char *dead)
{
    apr_status_t rv;
    int tries = 0;

    do {
        memset(claim, 0, sizeof(*claim));
        claim->dead = dead;
        rv = sse_registry_claim(registry, is_alive, on_claimed, claim, pool);
    } while (rv == SSE_STORE_EBUSY && ++tries < TRIES);
    return rv;
}

static sse_registry_t *open_registry(apr_pool_t *p)
{
    sse_registry_t *registry = NULL;

    is_num(sse_registry_open(&registry, dir, "1.a", p), APR_SUCCESS,
           "it opens");
    return registry;
}

static apr_status_t add_once(sse_registry_t *registry, const char *key,
                             const char *value)
{
    return sse_registry_add(registry, sse_slice(key), sse_slice(value));
}

/* As claim_of(). */
static apr_status_t add(sse_registry_t *registry, const char *key,
                        const char *value)
{
    apr_status_t rv;
    int tries = 0;

    do {
        rv = add_once(registry, key, value);
    } while (rv == SSE_STORE_EBUSY && ++tries < TRIES);
    return rv;
}

static void test_entries(void)
{
    sse_registry_t *registry = open_registry(pool);
    claim_t claim;

    is_num(claim_of(registry, &claim, NULL), APR_SUCCESS, "an empty one");
    is_num(claim.count, 0, "has nothing to claim");
    add(registry, "1.a/x", "one");
    add(registry, "1.a/y", "two");
    add(registry, "1.ab/x", "three");
    add(registry, "2.a/x", "four");
    add(registry, "2.a/z", "five");
    is_num(sse_registry_remove(registry, sse_slice("2.a/z")), APR_SUCCESS,
           "an entry is taken out");
    is_num(sse_registry_remove(registry, sse_slice("9.z/z")), APR_SUCCESS,
           "one that is not there is no error");
    claim_of(registry, &claim, "none");
    is_num(claim.count, 0, "nothing of the living is claimed");
    claim_of(registry, &claim, "1.a");
    is_str(claim.found, "1.a/x=one 1.a/y=two ",
           "what the dead one left, and not of one whose name begins alike");
    claim_of(registry, &claim, "1.a");
    is_num(claim.count, 0, "once");
    claim_of(registry, &claim, NULL);
    is_str(claim.found, "1.ab/x=three 2.a/x=four ", "the rest is still there");
}

/* Each child claims all and tells how many it got. */
static int claim_in_child(int fd)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    claim_t claim;

    apr_pool_create(&own, NULL);
    if (sse_registry_open(&registry, dir, "1.a", own) != APR_SUCCESS ||
        claim_of(registry, &claim, NULL) != APR_SUCCESS) {
        return 1;
    }
    return write(fd, &claim.count, sizeof(claim.count)) !=
           (ssize_t)sizeof(claim.count);
}

static void test_processes(void)
{
    enum { CHILDREN = 4, ENTRIES = 500 };
    apr_pool_t *own;
    sse_registry_t *registry;
    int fds[2], i, n, sum = 0, status = 0, failed = 0;

    apr_pool_create(&own, pool);
    registry = open_registry(own);
    for (i = 0; i < ENTRIES; ++i) {
        failed += add(registry, apr_psprintf(own, "dead.%d/%d", i % 7, i),
                      "value") != APR_SUCCESS;
    }
    is_num(failed, 0, "500 entries");
    apr_pool_destroy(own); /* no environment is held over a fork */
    ok(!pipe(fds), "a pipe");
    for (i = 0; i < CHILDREN; ++i) {
        if (fork() == 0) {
            _exit(claim_in_child(fds[1]));
        }
    }
    for (i = 0; i < CHILDREN; ++i) {
        wait(&n);
        status |= n;
        sum += read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : -1000;
    }
    is_num(status, 0, "four processes claim at the same time");
    is_num(sum, ENTRIES, "each entry goes to one of them");
    close(fds[0]);
    close(fds[1]);
}

static void test_killed(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    claim_t claim;
    int round, status, failed = 0;

    for (round = 0; round < 20; ++round) {
        pid_t pid = fork();

        if (pid == 0) {
            apr_pool_create(&own, NULL);
            if (sse_registry_open(&registry, dir, "1.a", own) == APR_SUCCESS) {
                for (;;) {
                    add(registry, "dead.x/1", "value");
                    sse_registry_remove(registry, sse_slice("dead.x/1"));
                }
            }
            _exit(1);
        }
        usleep(5000 + 500 * round);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        failed += !WIFSIGNALED(status);
    }
    is_num(failed, 0, "twenty writers are killed");
    apr_pool_create(&own, pool);
    registry = open_registry(own);
    is_num(claim_of(registry, &claim, NULL), APR_SUCCESS,
           "and nothing is locked or broken");
    ok(claim.count <= 1, "with at most the one entry");
    apr_pool_destroy(own);
}

/* A process that holds the lock until it is killed. */
static void hold_lock(int fd)
{
    MDB_env *env;
    MDB_txn *txn;

    mdb_env_create(&env);
    if (!mdb_env_open(env, apr_pstrcat(pool, dir, "/open.mdb", NULL),
                      MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600) &&
        !mdb_txn_begin(env, NULL, 0, &txn) && write(fd, "h", 1) == 1) {
        pause();
    }
}

/* Opens, and when it is told that the lock is held, looks for dead owners: one
 * answer when nobody is dead, and one when there is something to take. */
static void look_on(int in, int out)
{
    sse_registry_t *registry;
    claim_t claim;
    char c;

    if (sse_registry_open(&registry, dir, "1.a", pool) ||
        add(registry, "1.a/1", "mine") || add(registry, "2.b/1", "other's") ||
        write(out, "o", 1) != 1 || read(in, &c, 1) != 1) {
        return;
    }
    if (!claim_of(registry, &claim, "nobody") && !claim.count &&
        write(out, "n", 1) == 1 && !claim_of(registry, &claim, "2.b") &&
        claim.count == 1) {
        c = 't';
        (void)!write(out, &c, 1);
    }
}

/* @return what it said within that time; 0: nothing */
static char answer_of(int fd, int msec)
{
    struct pollfd in = {fd, POLLIN, 0};
    char c = 0;

    return poll(&in, 1, msec) == 1 && read(fd, &c, 1) == 1 ? c : 0;
}

/* Every child looks at every child's end: the lock is for who has something to
 * take. */
static void test_looks_first(void)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, held[2] = {-1, -1};
    pid_t looker, holder;

    ok(!pipe(in) && !pipe(out) && !pipe(held), "pipes");
    looker = fork();
    if (!looker) {
        look_on(in[0], out[1]);
        _exit(0);
    }
    is_num(answer_of(out[0], 20000), 'o', "one has opened");
    holder = fork();
    if (!holder) {
        hold_lock(held[1]);
        _exit(0);
    }
    is_num(answer_of(held[0], 20000), 'h', "another holds the lock");
    ok(write(in[1], "g", 1) == 1, "the first looks");
    is_num(answer_of(out[0], 20000), 'n', "and does not wait: nobody is dead");
    is_num(answer_of(out[0], 200), 0, "but where somebody is, it waits");
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    is_num(answer_of(out[0], 20000), 't', "until it has the lock");
    kill(looker, SIGKILL);
    waitpid(looker, NULL, 0);
}

static void test_damage(void)
{
    apr_pool_t *own;
    sse_registry_t *registry = NULL;
    claim_t claim;
    char junk[8192];
    int fd = open(apr_pstrcat(pool, dir, "/open.mdb", NULL),
                  O_WRONLY | O_TRUNC | O_CREAT, 0600);

    memset(junk, 'x', sizeof(junk));
    is_num(write(fd, junk, sizeof(junk)), sizeof(junk), "a damaged file");
    close(fd);
    apr_pool_create(&own, pool);
    registry = open_registry(own);
    is_num(add(registry, "1.a/x", "new"), APR_SUCCESS, "is begun anew");
    claim_of(registry, &claim, NULL);
    is_str(claim.found, "1.a/x=new ", "and works");
    apr_pool_destroy(own);
}

static void test_full(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    claim_t claim;
    char *value;
    apr_status_t rv = APR_SUCCESS;
    int n;

    apr_pool_create(&own, pool);
    registry = open_registry(own);
    value = apr_palloc(own, 1 << 20);
    memset(value, 'v', (1 << 20) - 1);
    value[(1 << 20) - 1] = '\0';
    for (n = 0; n < 100 && rv == APR_SUCCESS; ++n) {
        rv = add(registry, apr_psprintf(own, "1.a/%d", n), value);
    }
    ok(rv == APR_ENOSPC, "a full one says so");
    claim_of(registry, &claim, NULL);
    is_num(claim.count, n - 1, "and keeps what it has");
    is_num(add(registry, "1.a/x", "again"), APR_SUCCESS, "until there is room");
    claim_of(registry, &claim, NULL);
    is_str(claim.found, "1.a/x=again ", "for more");
    apr_pool_destroy(own);
}

/* Until the path is looked at again. */
static void let_time_pass(void) { usleep(150000); }

static void move_files(const char *from, const char *to)
{
    static const char *const names[] = {"open.mdb", "open.mdb-lock"};
    int i;

    for (i = 0; i < 2; ++i) {
        rename(apr_pstrcat(pool, from, "/", names[i], NULL),
               apr_pstrcat(pool, to, "/", names[i], NULL));
    }
}

/* The file goes while it is open, and comes back after another was made. */
static void test_moved(void)
{
    const char *aside = apr_pstrcat(pool, dir, ".aside", NULL);
    apr_pool_t *own;
    sse_registry_t *registry;
    claim_t claim;

    apr_pool_create(&own, pool);
    registry = open_registry(own);
    claim_of(registry, &claim, NULL);
    add(registry, "1.a/x", "one");
    add(registry, "1.a/y", "two");
    add(registry, "2.b/z", "another's");

    is_num(rename(dir, aside), 0, "the directory goes");
    let_time_pass();
    is_num(add(registry, "1.a/w", "three"), APR_SUCCESS, "it goes on");
    mkdir(dir, 0700);
    let_time_pass();
    is_num(sse_registry_remove(registry, sse_slice("1.a/y")), APR_SUCCESS,
           "another directory");
    is_num(access(apr_pstrcat(pool, dir, "/open.mdb", NULL), F_OK), 0,
           "has another file");
    claim_of(registry, &claim, "2.b");
    is_num(claim.count, 0, "which others fill themselves");

    move_files(aside, dir);
    let_time_pass();
    claim_of(registry, &claim, "1.a");
    is_str(claim.found, "1.a/w=three 1.a/x=one ",
           "in the old one, come back, is what is open now");
    claim_of(registry, &claim, NULL);
    is_str(claim.found, "2.b/z=another's ", "and what others have there");
    rmdir(aside);
    apr_pool_destroy(own);
}

/* @return whether another process could lock the first byte of the lock file,
 *         as LMDB does when nobody has it open */
static int is_unlocked(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int status = -1, fd;
    pid_t pid;

    fflush(stdout);
    if (!(pid = fork())) {
        fd = open(apr_pstrcat(pool, dir, "/open.mdb-lock", NULL), O_RDWR);
        _exit(fd < 0 ? 2 : !fcntl(fd, F_SETLK, &lock));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One of the two files goes: the other one's lock is still this process's. */
static void test_half_removed(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    claim_t claim;

    apr_pool_create(&own, pool);
    registry = open_registry(own);
    claim_of(registry, &claim, NULL);
    is_num(is_unlocked(), 0, "the lock file is locked");
    unlink(apr_pstrcat(pool, dir, "/open.mdb", NULL));
    let_time_pass();
    is_num(add(registry, "1.a/x", "one"), APR_SUCCESS, "without its file");
    let_time_pass();
    is_num(add(registry, "1.a/y", "two"), APR_SUCCESS, "it goes on");
    is_num(is_unlocked(), 0, "and is locked");
    unlink(apr_pstrcat(pool, dir, "/open.mdb-lock", NULL));
    let_time_pass();
    is_num(add(registry, "1.a/z", "three"), APR_SUCCESS, "both go");
    is_num(access(apr_pstrcat(pool, dir, "/open.mdb", NULL), F_OK), 0,
           "and are made anew");
    is_num(is_unlocked(), 0, "and locked");
    claim_of(registry, &claim, NULL);
    is_str(claim.found, "1.a/x=one 1.a/y=two 1.a/z=three ", "with all entries");
    apr_pool_destroy(own);
}

static void hold_until_end(int in, int out)
{
    MDB_env *env;
    MDB_txn *txn;
    char c;

    if (mdb_env_create(&env) ||
        mdb_env_open(env, apr_pstrcat(pool, dir, "/open.mdb", NULL),
                     MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600) ||
        mdb_txn_begin(env, NULL, 0, &txn) || write(out, "h", 1) != 1) {
        _exit(1);
    }
    while (read(in, &c, 1) > 0) {
    }
    mdb_txn_abort(txn);
    _exit(0);
}

/* Another process has the lock: who opens a stream waits for a moment, and who
 * closes one not at all. */
static void test_locked(void)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, status;
    apr_pool_t *own, *other;
    sse_registry_t *registry, *second;
    apr_time_t began;
    apr_interval_time_t took;
    int tries = 0;
    claim_t claim;
    pid_t pid;
    char c;

    apr_pool_create(&own, pool);
    apr_pool_create(&other, pool);
    registry = open_registry(own);
    claim_of(registry, &claim, NULL);
    add(registry, "1.a/x", "one");
    add(registry, "1.a/y", "two");
    if (pipe(in) || pipe(out)) {
        perror("pipe");
    }
    fflush(stdout);
    if (!(pid = fork())) {
        close(in[1]);
        hold_until_end(in[0], out[1]);
    }
    close(in[0]);
    ok(read(out[0], &c, 1) == 1, "another process holds the lock");

    began = apr_time_now();
    is_num(add_once(registry, "1.a/z", "three"), SSE_STORE_EBUSY,
           "an entry is refused");
    ok(apr_time_now() - began < apr_time_from_sec(10), "in time");
    do { /* the machine may be slow once, or twice */
        apr_pool_clear(other);
        began = apr_time_now();
        is_num(sse_registry_remove(registry, sse_slice("1.a/y")), APR_SUCCESS,
               "one is taken out, some time");
        is_num(claim_of(registry, &claim, "none"), APR_SUCCESS,
               "nobody is dead");
        is_num(sse_registry_open(&second, dir, "3.c", other), APR_SUCCESS,
               "another child opens it");
        took = apr_time_now() - began;
    } while (took >= apr_time_from_sec(1) && ++tries < 3);
    ok(tries < 3, "without waiting");
    apr_pool_destroy(other);

    close(in[1]);
    is_num(waitpid(pid, &status, 0), pid, "it lets go");
    is_num(add(registry, "1.a/w", "four"), APR_SUCCESS, "it goes on");
    claim_of(registry, &claim, NULL);
    is_str(claim.found, "1.a/w=four 1.a/x=one ",
           "with what was wanted before, but for what was refused");
    apr_pool_destroy(own);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (!mkdtemp(dir)) {
        return 1;
    }
    test_processes(); /* first: nothing is open yet */
    test_killed();
    test_looks_first();
    test_damage();
    test_full();
    test_entries();
    test_moved();
    test_half_removed();
    test_locked();
    apr_pool_destroy(pool);
    if (chdir(dir) || unlink("open.mdb") || unlink("open.mdb-lock") ||
        chdir("/") || rmdir(dir)) {
        printf("# %s could not be removed\n", dir);
    }
    return done_testing();
}
