/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/sse_registry.c: what dead owners leave is claimed, by one. */

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notify/sse_registry.h"
#include "tap.h"

static apr_pool_t *pool;
static char dir[] = "/tmp/sse-registry.XXXXXX";

static const char *path_of(const char *name)
{
    return apr_pstrcat(pool, dir, "/", name, NULL);
}

static long size_of(const char *name)
{
    struct stat st;

    return stat(path_of(name), &st) ? -1 : (long)st.st_size;
}

/** What a claim found. */
typedef struct {
    const char *dead; /* the owner that does not live, or NULL: all are dead */
    const char *me;   /* but for this one */
    apr_array_header_t *found; /* "name=value" */
    int until;                 /* the process ends within the telling of this
                                  one; 0: never */
} claim_t;

static int is_alive(void *baton, const char *owner)
{
    const claim_t *claim = baton;

    return !strcmp(owner, claim->me) ||
           (claim->dead && strcmp(owner, claim->dead) != 0);
}

static void on_claimed(void *baton, const char *name, const char *value)
{
    claim_t *claim = baton;

    APR_ARRAY_PUSH(claim->found, const char *) =
        apr_pstrcat(pool, name, "=", value, NULL);
    if (claim->found->nelts == claim->until) {
        _exit(claim->found->nelts);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int count_of(sse_registry_t *registry, const char *me, const char *dead,
                    const char **found)
{
    claim_t claim = {dead, me, apr_array_make(pool, 16, sizeof(char *)), 0};

    is_num(sse_registry_claim(registry, is_alive, on_claimed, &claim, pool),
           APR_SUCCESS, "dead owners are looked for");
    qsort(claim.found->elts, (size_t)claim.found->nelts, sizeof(char *),
          compare);
    *found = apr_array_pstrcat(pool, claim.found, ' ');
    return claim.found->nelts;
}

/* "me" claims of that dead owner, or of all. */
static void claims(sse_registry_t *registry, const char *me, const char *dead,
                   const char *want, const char *what)
{
    const char *found;

    count_of(registry, me, dead, &found);
    is_str(found, want, what);
}

static sse_registry_t *open_as(const char *owner, apr_pool_t *p)
{
    sse_registry_t *registry = NULL;

    is_num(sse_registry_open(&registry, dir, owner, p), APR_SUCCESS,
           "it opens");
    return registry;
}

static apr_status_t add(sse_registry_t *registry, const char *name,
                        const char *value)
{
    return sse_registry_add(registry, name, value, pool);
}

static void test_entries(void)
{
    apr_pool_t *own;
    sse_registry_t *mine, *alike, *other;

    apr_pool_create(&own, pool);
    mine = open_as("1.a", own);
    claims(mine, "1.a", NULL, "", "an empty one: nothing to claim");
    alike = open_as("1.ab", own);
    other = open_as("2.a", own);
    add(mine, "m", "mine");
    add(alike, "x", "one");
    add(alike, "y", "two\n-x\n+z");
    add(other, "v", "three");
    add(other, "w", "four");
    is_num(sse_registry_remove(other, "w"), APR_SUCCESS,
           "an entry is taken out");
    is_num(sse_registry_remove(other, "z"), APR_SUCCESS,
           "one that is not there is no error");
    claims(mine, "1.a", "none", "", "nothing of the living is claimed");
    claims(mine, "1.a", "1.ab", "x=one y=two -x +z",
           "what the dead one left, each value one line");
    claims(mine, "1.a", "1.ab", "", "once");
    claims(other, "2.a", "1.a", "m=mine",
           "and not of one whose name begins alike");
    claims(mine, "1.a", NULL, "v=three", "the rest is still there");
    apr_pool_destroy(own);
}

/* Who ends in order leaves its file only for what is open. */
static void test_closed(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;

    apr_pool_create(&own, pool);
    registry = open_as("3.c", own);
    add(registry, "x", "one");
    sse_registry_remove(registry, "x");
    ok(size_of("open.3.c") > 0, "a file");
    apr_pool_clear(own);
    is_num(size_of("open.3.c"), -1, "goes when all is closed");
    registry = open_as("3.c", own);
    add(registry, "x", "one");
    apr_pool_clear(own);
    registry = open_as("4.d", own);
    claims(registry, "4.d", NULL, "x=one", "else it stays");
    apr_pool_destroy(own);
}

static int wait_for(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a child: claim all of the dead.  @return how many, or -1 */
static int claim_in_child(const char *me, int until)
{
    claim_t claim = {NULL, me, apr_array_make(pool, 16, sizeof(char *)), until};
    sse_registry_t *registry;

    if (sse_registry_open(&registry, dir, me, pool) ||
        sse_registry_claim(registry, is_alive, on_claimed, &claim, pool)) {
        return -1;
    }
    return claim.found->nelts;
}

static int is_living(void *baton, const char *owner)
{
    return strncmp(owner, "dead", 4) != 0;
}

/* Four claim at the same time, and all of them live. */
static int claim_together(const char *me, int fd)
{
    claim_t claim = {NULL, me, apr_array_make(pool, 16, sizeof(char *)), 0};
    sse_registry_t *registry;
    int n = -1;

    if (!sse_registry_open(&registry, dir, me, pool) &&
        !sse_registry_claim(registry, is_living, on_claimed, &claim, pool)) {
        n = claim.found->nelts;
    }
    return write(fd, &n, sizeof(n)) != (ssize_t)sizeof(n);
}

static void test_processes(void)
{
    enum { CHILDREN = 4, OWNERS = 50, ENTRIES = 500 };
    sse_registry_t *registry[OWNERS];
    int fds[2] = {-1, -1}, i, n, sum = 0, status = 0, failed = 0;

    for (i = 0; i < OWNERS; ++i) {
        failed += sse_registry_open(&registry[i], dir,
                                    apr_psprintf(pool, "dead.%d", i),
                                    pool) != APR_SUCCESS;
    }
    for (i = 0; i < ENTRIES; ++i) {
        failed += add(registry[i % OWNERS], apr_psprintf(pool, "n%d", i),
                      "value") != APR_SUCCESS;
    }
    is_num(failed, 0, "500 entries of 50 owners");
    ok(!pipe(fds), "a pipe");
    for (i = 0; i < CHILDREN; ++i) {
        if (fork() == 0) {
            _exit(claim_together(apr_psprintf(pool, "living.%d", i), fds[1]));
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

/* A claimer that dies while it tells is claimed in turn. */
static void test_claimer(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    int i;
    pid_t pid;

    apr_pool_create(&own, pool);
    registry = open_as("dead.1", own);
    for (i = 0; i < 20; ++i) {
        add(registry, apr_psprintf(pool, "n%d", i), "value");
    }
    for (i = 2; i < 4; ++i) {
        fflush(stdout);
        if (!(pid = fork())) {
            _exit(claim_in_child(apr_psprintf(pool, "dead.%d", i), 5));
        }
        is_num(wait_for(pid), 5, "one dies within the fifth");
    }
    fflush(stdout);
    if (!(pid = fork())) {
        _exit(claim_in_child("dead.4", 0));
    }
    is_num(wait_for(pid), 10, "the third gets all others");
    fflush(stdout);
    if (!(pid = fork())) {
        _exit(claim_in_child("dead.5", 0));
    }
    is_num(wait_for(pid), 0, "and leaves nothing");
    apr_pool_destroy(own);
}

static void test_killed(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    const char *found;
    int round, status, failed = 0;

    for (round = 0; round < 20; ++round) {
        pid_t pid = fork();

        if (pid == 0) {
            apr_pool_create(&own, NULL);
            if (!sse_registry_open(&registry, dir, "dead.1", own)) {
                for (;;) {
                    sse_registry_add(registry, "n1", "value", own);
                    sse_registry_remove(registry, "n1");
                    apr_pool_clear(pool);
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
    registry = open_as("1.a", own);
    ok(count_of(registry, "1.a", NULL, &found) <= 1,
       "and leave at most the one entry");
    apr_pool_destroy(own);
}

static void write_file(const char *name, const char *text)
{
    int fd = open(path_of(name), O_WRONLY | O_TRUNC | O_CREAT, 0600);

    is_num(write(fd, text, strlen(text)), strlen(text), "a file");
    close(fd);
}

static void test_damage(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;

    apr_pool_create(&own, pool);
    registry = open_as("1.a", own);
    write_file("open.2.b",
               "+x one\n+y two\n\n\xff\xfe junk\n+\n-\n+z\n-y\n+w thr");
    claims(registry, "1.a", NULL, "x=one", "whole lines count, and no others");
    write_file("open.2.b+", "+x one\n");
    claims(registry, "1.a", NULL, "", "nor a file that was begun");
    is_num(size_of("open.2.b+"), -1, "which is removed");
    write_file("open.2.b~3.c", "+x one\n");
    claims(registry, "1.a", "2.b", "", "a claimer that lives");
    claims(registry, "1.a", "3.c", "x=one", "and one that does not");
    apr_pool_destroy(own);
}

static void limit_files(rlim_t most)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = most;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void test_full(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;
    apr_status_t rv = APR_SUCCESS;
    const char *found;
    int n;

    apr_pool_create(&own, pool);
    registry = open_as("1.a", own);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(10000);
    for (n = 0; n < 10000 && rv == APR_SUCCESS; ++n) {
        rv = add(registry, apr_psprintf(own, "n%d", n), "value");
    }
    ok(rv == APR_ENOSPC, "a full disk is told");
    is_num(sse_registry_remove(registry, "n1"), APR_SUCCESS,
           "an entry is taken out all the same");
    limit_files(RLIM_INFINITY);
    is_num(add(registry, "x", "again"), APR_SUCCESS, "until there is room");
    is_num(sse_registry_remove(registry, "n2"), APR_SUCCESS, "for more");
    registry = open_as("2.b", own);
    is_num(count_of(registry, "2.b", NULL, &found), n - 2,
           "what was there was kept");
    ok(strstr(found, " x=again") && !strstr(found, "n1=") &&
           !strstr(found, "n2="),
       "and what came and went");
    apr_pool_destroy(own);
}

/* A child that lives for weeks. */
static void test_large(void)
{
    apr_pool_t *own, *each;
    sse_registry_t *registry;
    int i, failed = 0;
    long most = 0;

    apr_pool_create(&own, pool);
    apr_pool_create(&each, own);
    registry = open_as("1.a", own);
    add(registry, "old", "one");
    for (i = 0; i < 20000; ++i) {
        const char *name = apr_psprintf(each, "n%d", i);

        failed += sse_registry_add(registry, name, "some 20 bytes of it",
                                   each) != APR_SUCCESS ||
                  sse_registry_remove(registry, name) != APR_SUCCESS;
        apr_pool_clear(each);
        if (size_of("open.1.a") > most) {
            most = size_of("open.1.a");
        }
    }
    is_num(failed, 0, "many come and go");
    ok(most > 10000 && most < 300000, "and the file stays small");
    add(registry, "new", "two");
    registry = open_as("2.b", own);
    claims(registry, "2.b", NULL, "new=two old=one", "with all that is open");
    apr_pool_destroy(own);
}

/* Until the path is looked at again. */
static void let_time_pass(void) { usleep(150000); }

/* The directory is moved while it is open, and back after another was made. */
static void test_moved(void)
{
    const char *aside = apr_pstrcat(pool, dir, ".aside", NULL);
    apr_pool_t *own;
    sse_registry_t *registry, *other;
    const char *found;

    apr_pool_create(&own, pool);
    registry = open_as("1.a", own);
    add(registry, "x", "one");
    add(registry, "y", "two");
    other = open_as("2.b", own);
    add(other, "z", "another's");

    is_num(rename(dir, aside), 0, "the directory goes");
    let_time_pass();
    is_num(add(registry, "w", "three"), APR_SUCCESS, "it goes on");
    mkdir(dir, 0700);
    let_time_pass();
    is_num(sse_registry_remove(registry, "y"), APR_SUCCESS,
           "another directory");
    ok(size_of("open.1.a") > 0, "has another file");
    is_num(count_of(registry, "1.a", "2.b", &found), 0,
           "which others fill themselves");

    is_num(rename(apr_pstrcat(pool, aside, "/open.1.a", NULL),
                  path_of("open.1.a")),
           0, "the old one comes back");
    is_num(rename(apr_pstrcat(pool, aside, "/open.2.b", NULL),
                  path_of("open.2.b")),
           0, "and others' as well");
    let_time_pass();
    sse_registry_remove(registry, "nothing");
    other = open_as("3.c", own);
    claims(other, "3.c", "1.a", "w=three x=one",
           "in the old one, come back, is what is open now");
    claims(other, "3.c", NULL, "z=another's", "and what others have there");
    rmdir(aside);
    apr_pool_destroy(own);
}

static void test_removed(void)
{
    apr_pool_t *own;
    sse_registry_t *registry;

    apr_pool_create(&own, pool);
    registry = open_as("1.a", own);
    add(registry, "x", "one");
    unlink(path_of("open.1.a"));
    let_time_pass();
    is_num(add(registry, "y", "two"), APR_SUCCESS, "without its file");
    ok(size_of("open.1.a") > 0, "there is a new one");
    registry = open_as("2.b", own);
    claims(registry, "2.b", NULL, "x=one y=two", "with all entries");
    apr_pool_destroy(own);
}

/* What an opening and its end cost. */
static void report_cost(void)
{
    enum { TIMES = 20000 };
    apr_pool_t *own;
    sse_registry_t *registry;
    apr_time_t began;
    int i;

    apr_pool_create(&own, pool);
    registry = open_as("1.a", own);
    began = apr_time_now();
    for (i = 0; i < TIMES; ++i) {
        sse_registry_add(registry, "64b1f2e33aa10.1a2b.3c",
                         "1764396000000000 127.0.0.1 /some/channel", own);
        sse_registry_remove(registry, "64b1f2e33aa10.1a2b.3c");
    }
    printf("# %.1f us for both\n", (double)(apr_time_now() - began) / TIMES);
    apr_pool_destroy(own);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (!mkdtemp(dir)) {
        return 1;
    }
    test_processes();
    test_claimer();
    test_killed();
    test_entries();
    test_closed();
    test_damage();
    test_full();
    test_large();
    test_moved();
    test_removed();
    report_cost();
    apr_pool_destroy(pool);
    if (rmdir(dir)) {
        printf("# %s could not be removed\n", dir);
    }
    return done_testing();
}
