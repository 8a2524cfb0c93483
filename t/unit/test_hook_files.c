/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/webhook/sse_hook_queue.c, sse_hook_segment.c: a disk that is full,
 * records that are torn, files and directories that go while they are used. */

#include "hook_spool.h"

#include <fcntl.h>
#include <sys/resource.h>

static void limit_files(rlim_t most)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = most;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* Until the path is looked at again. */
static void let_time_pass(void) { usleep(150000); }

/* What another child finds when this one is dead. */
static void claims(const char *want, const char *what)
{
    apr_pool_t *own;
    sse_spool_t *spool;

    apr_pool_create(&own, pool);
    spool = open_as("claimer", own);
    is_num(claim(spool), APR_SUCCESS, "another one claims");
    is_str(waiting(spool), want, what);
    send_some(spool, -1);
    apr_pool_destroy(own);
}

static void test_full(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    apr_status_t rv = APR_SUCCESS;
    int n;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(10000);
    for (n = 0; n < 10000 && rv == APR_SUCCESS; ++n) {
        rv = say(spool, apr_psprintf(own, "open s%d", n));
    }
    is_num(rv, APR_ENOSPC, "a full disk is told");
    is_num(say(spool, apr_psprintf(own, "close s%d", n - 1)), APR_NOTFOUND,
           "and the open was not added");
    is_num(say(spool, "close s1"), APR_ENOSPC, "nor is a close");
    is_num(calls_of(spool), n - 1, "what was added waits");
    is_num(send_some(spool, n - 3), n - 3, "and is sent, which needs no room");
    limit_files(RLIM_INFINITY);
    is_num(say(spool, "close s1"), APR_SUCCESS, "until there is room");
    for (n -= 2; n >= 0; --n) {
        say(spool, apr_psprintf(own, "close s%d", n));
    }
    ok(send_some(spool, -1) > 50, "all is sent");
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

static void test_no_directory(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;

    apr_pool_create(&own, pool);
    is_num(sse_spool_open(&spool, "/nowhere", "dead.1", 10, 10, own),
           APR_ENOENT, "a directory that is not there is told");
    apr_pool_destroy(own);
}

/* -- Torn records ---------------------------------------------------------- */

static const char *first_file(void) { return path_of("hooks.dead.1.1/000001"); }

/* A queue of three calls: an open that was sent, its close, a publish. */
static long make_queue(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    struct stat st;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    say(spool, "open a");
    send_some(spool, -1);
    say(spool, "close a");
    say(spool, "publish p");
    apr_pool_destroy(own);
    return stat(first_file(), &st) ? -1 : (long)st.st_size;
}

/* Cut off at every length that there is. */
static void test_torn(void)
{
    static const char *const want[] = {"", "a.close", "a.close p.publish"};
    apr_pool_t *own;
    sse_spool_t *spool;
    long size = make_queue(), at;
    int i = 0, failed = 0, next;

    for (at = 0; at <= size; ++at) {
        if (at) {
            make_queue();
        }
        failed += truncate(first_file(), at) != 0;
        apr_pool_create(&own, pool);
        spool = open_as("claimer", own);
        failed += claim(spool) != APR_SUCCESS;
        next = i;
        while (next < 2 && strcmp(waiting(spool), want[next]) != 0) {
            ++next;
        }
        failed += strcmp(waiting(spool), want[next]) != 0;
        i = next;
        send_some(spool, -1);
        apr_pool_destroy(own);
    }
    is_num(failed, 0, "cut off anywhere, whole records count, and no others");
    is_num(i, 2, "all of them at last");
}

/* One byte of it is changed. */
static void test_damaged(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    long size = make_queue(), at;
    int failed = 0, fd;
    const char *all;

    for (at = 0; at < size; ++at) {
        if (at) {
            make_queue();
        }
        fd = open(first_file(), O_RDWR);
        failed += pwrite(fd, "\xff", 1, at) != 1;
        close(fd);
        apr_pool_create(&own, pool);
        spool = open_as("claimer", own);
        failed += claim(spool) != APR_SUCCESS;
        all = waiting(spool);
        failed += strspn(all, "abcdefghijklmnopqrstuvwxyz. ") != strlen(all);
        send_some(spool, -1);
        apr_pool_destroy(own);
        /* A file of another kind is left alone. */
        failed += count_files(dir, "") != (at < 16);
        if (at < 16) {
            unlink(path_of("hooks.claimer.2/000001"));
            rmdir(path_of("hooks.claimer.2"));
        }
    }
    is_num(failed, 0, "no damage gives a call that was not there");
}

/* Its own file is cut off under a child that runs. */
static void test_cut(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    say(spool, "publish p");
    is_num(truncate(first_file(), 20), 0, "a file is cut off");
    is_num(sse_spool_next(spool, NULL, &at, &call, &room), APR_EINVAL,
           "which is told");
    is_num(calls_of(spool), 0, "what was in it does not wait any more");
    say(spool, "publish q");
    is_num(sse_spool_next(spool, NULL, &at, &call, &room), APR_SUCCESS,
           "others do");
    is_mem(call.id.ptr, call.id.len, "q.publish", 9, "and come");
    sse_spool_done(spool, at);
    sse_room_free(&room);
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

/* -- Moved and removed ----------------------------------------------------- */

static void test_removed(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    say(spool, "open a");
    say(spool, "open b");
    sse_spool_next(spool, NULL, &at, &call, &room);
    unlink(first_file());
    let_time_pass();
    is_num(say(spool, "publish p"), APR_SUCCESS, "without its file");
    sse_spool_done(spool, at);
    is_str(waiting(spool), "b.open p.publish", "nothing is lost");
    is_num(count_files(dir, "hooks.dead.1."), 1, "there is a new one");
    unlink(path_of("hooks.dead.1.2/000001"));
    is_num(rmdir(path_of("hooks.dead.1.2")), 0, "that one goes");
    let_time_pass();
    is_str(waiting(spool), "b.open p.publish",
           "and again without its directory");
    is_num(count_files(dir, "hooks.dead.1."), 1, "which is there again");
    sse_room_free(&room);
    apr_pool_destroy(own);
    claims("b.open p.publish a.close b.close", "with all that was in it");
    is_num(count_files(dir, ""), 0, "nothing is left");
}

static void test_moved(void)
{
    const char *aside = apr_pstrcat(pool, dir, ".aside", NULL);
    apr_pool_t *own;
    sse_spool_t *spool;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    say(spool, "open a");
    is_num(rename(dir, aside), 0, "the directory goes");
    let_time_pass();
    is_num(say(spool, "open b"), APR_SUCCESS, "it goes on");
    ok(claim(spool) != APR_SUCCESS, "nothing can be claimed");
    is_num(rename(aside, dir), 0, "the directory comes back");
    let_time_pass();
    say(spool, "close a");
    is_str(waiting(spool), "a.open b.open a.close", "as it was");
    is_num(count_files(dir, ""), 1, "in the same files");

    is_num(rename(dir, aside), 0, "it goes again");
    mkdir(dir, 0700);
    let_time_pass();
    say(spool, "publish p");
    is_num(count_files(dir, ""), 1, "in another directory all is there");
    is_str(waiting(spool), "a.open b.open a.close p.publish", "and here, once");
    send_some(spool, 1);
    apr_pool_destroy(own);
    claims("b.open a.close p.publish b.close", "also for others");
    rename(apr_pstrcat(pool, aside, "/hooks.dead.1.1", NULL),
           path_of("hooks.dead.1.1"));
    rmdir(aside);
    claims("", "in the old one nothing is left");
    is_num(count_files(dir, ""), 0, "nothing is left");
}

/* In what this child has claimed, as well. */
static void test_moved_claimed(void)
{
    const char *aside = apr_pstrcat(pool, dir, ".aside", NULL);
    apr_pool_t *own;
    sse_spool_t *spool;

    make_queue();
    apr_pool_create(&own, pool);
    spool = open_as("dead.2", own);
    claim(spool);
    say(spool, "publish mine");
    rename(dir, aside);
    mkdir(dir, 0700);
    let_time_pass();
    is_str(waiting(spool), "a.close p.publish mine.publish", "all waits");
    is_num(count_files(dir, ""), 2, "two queues are in the other directory");
    apr_pool_destroy(own);
    claims("mine.publish a.close p.publish", "where others find them");
    is_num(count_files(dir, ""), 0, "nothing is left");
    is_num(count_files(aside, ""), 2, "but the old directories");
    rmdir(apr_pstrcat(pool, aside, "/hooks.dead.2.1", NULL));
    rmdir(apr_pstrcat(pool, aside, "/hooks.dead.2.2", NULL));
    is_num(rmdir(aside), 0, "which are empty");
}

int main(void)
{
    begin();
    test_full();
    test_no_directory();
    test_torn();
    test_damaged();
    test_cut();
    test_removed();
    test_moved();
    test_moved_claimed();
    return end();
}
