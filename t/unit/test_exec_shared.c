/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A child's part in shared programs: who joins and when, what becomes of the
 * output while the store takes nothing, the owner changes, the program or the
 * supervisor dies; over a real loop, with the supervisor played by the test. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "exec_shared.h"

/* -- The tests ------------------------------------------------------------- */

typedef struct {
    pthread_t thread;
    apr_pool_t *request;
    apr_status_t rv;
    sse_exec_message_t answer;
} asker_t;

static void *ask(void *baton)
{
    asker_t *asker = baton;

    LOCKED(++asked);
    asker->request = join("many", argv, &asker->rv, &asker->answer);
    return NULL;
}

#define ASKERS 8

static void ask_at_once(asker_t *askers)
{
    int i;

    LOCKED(start_msec = 100; asked = 0; awaited = ASKERS);
    for (i = 0; i < ASKERS; ++i) {
        pthread_create(&askers[i].thread, NULL, ask, &askers[i]);
    }
    for (i = 0; i < ASKERS; ++i) {
        pthread_join(askers[i].thread, NULL);
    }
    LOCKED(awaited = 0);
}

static void test_at_once(void)
{
    asker_t askers[ASKERS];
    int i, joined = 0, failed = 0;

    begin("many at once");
    ask_at_once(askers);
    for (i = 0; i < ASKERS; ++i) {
        joined += askers[i].rv == APR_SUCCESS;
    }
    is_num(joined, ASKERS, "all have the program");
    is_num(get(&starts), 1, "which was joined once");
    for (i = 0; i < ASKERS; ++i) {
        is_num(get(&stops), 0, "while one is left it is not stopped");
        apr_pool_destroy(askers[i].request);
    }
    ok(BECOMES(stops == 1), "then it is");
    is_num(get(&returns), 0, "this child never had its output");
    is_num(get(&declines), 1, "and says so, as that may be under way");

    begin("many at once, and it does not start");
    LOCKED(fails_with = SSE_EXEC_WHY_LIMIT);
    ask_at_once(askers);
    for (i = 0; i < ASKERS; ++i) {
        failed += askers[i].rv != APR_SUCCESS &&
                  askers[i].answer.type == SSE_EXEC_FAILED &&
                  askers[i].answer.why == SSE_EXEC_WHY_LIMIT;
        apr_pool_destroy(askers[i].request);
    }
    is_num(failed, ASKERS, "all are told why");
    ok(get(&starts) < ASKERS, "of a few attempts");
    LOCKED(fails_with = 0; starts = 0);
    apr_pool_destroy(subscribe("many"));
    is_num(get(&starts), 1, "the next request tries again");
    ok(BECOMES(stops == 1), "and is over");
}

static void test_output(void)
{
    apr_pool_t *request, *second;
    int out;

    begin("output");
    request = subscribe("out");
    ok(!sse_exec_shared_is_busy(), "another child may have the output");
    out = give(SSE_EXEC_FRESH, NULL);
    ok(sse_exec_shared_is_busy(), "now this one has");
    put(out, "one\ntwo\nthr");
    PUBLISHED("one|two|", "lines are published");
    put(out, "ee\n");
    PUBLISHED("one|two|three|", "also one that came in pieces");
    second = subscribe("out");
    is_num(get(&starts), 1, "a second request has the same program");
    apr_pool_destroy(request);
    put(out, "four\nhal");
    PUBLISHED("one|two|three|four|", "the first one may leave");
    on_loop(do_nothing, NULL);
    apr_pool_destroy(second);
    ok(BECOMES(stops == 1), "the last one stops it");
    is_num(get(&returns), 1, "when its output was returned");
    is_str(returned, "hal", "with what was no line yet");
    ok(!sse_exec_shared_is_busy(), "and keeps nobody");
    close(out);
}

static void test_taken_over(void)
{
    apr_pool_t *request;
    int out;

    begin("taken over");
    request = subscribe("over");
    out = give(SSE_EXEC_RETURNED, "a\nhal");
    put(out, "f\nb\n");
    PUBLISHED("a|half|b|", "from a child that has left, exactly");
    close(out);
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "over");

    begin("torn");
    request = subscribe("torn");
    out = give(SSE_EXEC_TORN, NULL);
    put(out, "alf\nb\n");
    PUBLISHED("b|", "from one that died, but for the first line");
    ok(BECOMES(strstr(logged, "is gone") != NULL), "the log says so");
    close(out);
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "over");
}

static void fill(int fd)
{
    char line[64];
    int i;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    memset(line, 'x', sizeof(line));
    line[63] = '\n';
    for (i = 0; i < 100000; ++i) {
        if (write(fd, line, sizeof(line)) < 0) {
            break;
        }
    }
    printf("# %d lines\n", i);
    LOCKED(starts = i);
}

static void test_store(void)
{
    apr_pool_t *request;
    int out, lines;

    begin("a store that takes nothing");
    request = subscribe("store");
    out = give(SSE_EXEC_FRESH, NULL);
    LOCKED(takes = SSE_STORE_EBUSY);
    put(out, "one\ntwo\n");
    ok(BECOMES(refused > 0), "it is tried");
    fill(out);
    lines = get(&starts);
    ok(lines < 5000, "nothing is read meanwhile: the pipe fills");
    ok(BECOMES(refused > 1), "and tried again");
    ok(BECOMES(strstr(logged, "takes nothing") != NULL), "the log says so");
    is_num(get(&published_n), 0, "nothing was published");
    LOCKED(takes = APR_SUCCESS);
    ok(BECOMES(published_n == lines + 2), "all is once it works, once");
    ok(BECOMES(!strncmp(published, "one|two|xxx", 11)), "in order");
    close(out);

    LOCKED(takes = SSE_STORE_EBUSY; refused = 0);
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "kept\nkep");
    ok(BECOMES(refused > 0), "again");
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "who leaves waits for no store");
    is_str(returned, "kept\nkep", "what it took not is returned");
    close(out);
}

/* One is being read, and eight wait. */
static void test_often(void)
{
    apr_pool_t *request;
    char line[] = "a\n";
    int out;

    begin("it ends again and again, while the store takes nothing");
    request = subscribe("often");
    LOCKED(takes = SSE_STORE_EBUSY);
    for (; *line <= 'm'; ++*line) {
        out = give(SSE_EXEC_FRESH, NULL);
        put(out, line);
        close(out);
        on_loop(do_exit, get_program());
        ok(BECOMES(refused > 0), "the store takes nothing");
    }
    ok(BECOMES(strstr(logged, "has ended so often") != NULL), "the log tells");
    LOCKED(takes = APR_SUCCESS);
    PUBLISHED("a|f|g|h|i|j|k|l|m|", "of what it wrote the newest is kept");
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "it is stopped");
}

static void test_exit(void)
{
    apr_pool_t *request;
    int out, next;

    begin("its end");
    request = subscribe("exit");
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "a\nlast");
    close(out);
    PUBLISHED("a|last|", "the last line is one without its end, too");
    on_loop(do_exit, get_program());
    ok(BECOMES(strstr(logged, "ended by itself") != NULL), "the log tells");
    ok(BECOMES(!sse_exec_shared_is_busy()), "there is nothing to return");
    on_loop(do_exit_again, get_program());
    ok(BECOMES(strstr(logged, "cannot be started again") != NULL),
       "and that it cannot be started again, though nobody reads it");
    next = give(SSE_EXEC_FRESH, NULL);
    put(next, "b\n");
    PUBLISHED("a|last|b|", "the next one is read");

    LOCKED(logged[0] = 0);
    on_loop(do_end, get_program());
    ok(!strstr(logged, "by itself"), "who is started anew did not end itself");
    LOCKED(takes = SSE_STORE_EBUSY);
    put(next, "c\nd\n");
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "e\n");
    ok(BECOMES(refused > 0), "the store fails");
    LOCKED(takes = APR_SUCCESS);
    PUBLISHED("a|last|b|c|d|e|",
              "the one before comes first, though somebody has its pipe");
    close(out);
    close(next);
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "over");
}

static void test_lost(void)
{
    apr_pool_t *request;
    int out, n;

    begin("no supervisor");
    request = subscribe("lost");
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "a\nb");
    PUBLISHED("a|", "it ran");
    LOCKED(fails_with = SSE_EXEC_WHY_LEAVING);
    on_loop(do_lose, get_program());
    close(out);
    ok(!sse_exec_shared_is_busy(), "there is nobody to return anything to");
    PUBLISHED("a|b|", "what it wrote is published");
    ok(BECOMES(starts >= 2), "after a while the next one is asked");
    LOCKED(fails_with = 0; n = starts);
    ok(BECOMES(starts == n + 1), "and again");
    on_loop(do_nothing, NULL);
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "c\n");
    PUBLISHED("a|b|c|", "and it goes on");
    LOCKED(start_msec = 200);
    on_loop(do_lose, get_program());
    close(out);
    ok(BECOMES(starts == n + 2), "again");
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "and it is over as ever");

    begin("no supervisor, and nobody who needs it");
    request = subscribe("lost");
    on_loop(do_lose, get_program());
    apr_pool_destroy(request);
    apr_pool_destroy(subscribe("lost"));
    /* The second one may have found the first one's. */
    ok(BECOMES(stops == starts - 1), "nothing is stopped that is gone");
}

static void test_stuck(void)
{
    apr_pool_t *request;
    int out, next;

    begin("no room to watch its output");
    request = subscribe("stuck");
    sse_atomic_store(&no_room, 1);
    out = give(SSE_EXEC_RETURNED, "a");
    put(out, "\nb\n");
    ok(BECOMES(strstr(logged, "stuck") != NULL), "the log tells");
    close(out);
    on_loop(do_exit, get_program());
    next = give(SSE_EXEC_FRESH, NULL);
    put(next, "c\n");
    is_num(get(&published_n), 0, "nothing can be read");
    sse_atomic_store(&no_room, 0);
    PUBLISHED("a|b|c|", "when there is room all is");

    on_loop(do_exit, get_program());
    close(next);
    ok(BECOMES(!sse_exec_shared_is_busy()), "and its end is seen");
    sse_atomic_store(&no_room, 1);
    out = give(SSE_EXEC_FRESH, NULL);
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "who waits for room can leave");
    is_num(get(&returns), 0, "and has read nothing");
    sse_atomic_store(&no_room, 0);
    close(out);
}

static void test_unread(void)
{
    apr_pool_t *request;
    int out, next;

    begin("no descriptor for its output");
    request = subscribe("unread");
    on_loop(do_unread, get_program());
    ok(BECOMES(strstr(logged, "has no descriptor for the output") != NULL),
       "the log tells");
    ok(BECOMES(starts == 2), "after a while it is joined again");
    on_loop(do_nothing, NULL);
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "a\n");
    PUBLISHED("a|", "and then it is read");
    put(out, "b\nc");
    on_loop(do_exit, get_program());
    on_loop(do_unread, get_program());
    ok(!sse_exec_shared_is_busy(), "that of the next process is not");
    close(out);
    PUBLISHED("a|b|c|", "what the one before has written is published yet");
    ok(BECOMES(starts == 3), "it is joined again");
    on_loop(do_nothing, NULL);
    next = give(SSE_EXEC_FRESH, NULL);
    put(next, "d\n");
    PUBLISHED("a|b|c|d|", "and goes on");
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "over");
    close(next);
}

static void test_other(void)
{
    apr_pool_t *first, *second;
    sse_exec_message_t answer;
    apr_status_t rv;

    begin("another command");
    first = subscribe("other");
    second = join("other", other_argv, &rv, &answer);
    is_num(rv, APR_SUCCESS, "it has the program of the first");
    is_num(get(&starts), 1, "which is the only one");
    ok(BECOMES(strstr(logged, "other arguments") != NULL), "the log says so");
    apr_pool_destroy(first);
    apr_pool_destroy(second);
    ok(BECOMES(stops == 1), "over");
}

/* -- Races ----------------------------------------------------------------- */

#define RACERS 6
#define ROUNDS 300

static void *race(void *baton)
{
    const char *keys[] = {"r1", "r2", "r3"};
    sse_exec_message_t answer;
    apr_status_t rv;
    unsigned seed = (unsigned)(apr_uintptr_t)baton;
    int i;

    for (i = 0; i < ROUNDS; ++i) {
        apr_pool_t *request = join(keys[rand_r(&seed) % 3], argv, &rv, &answer);

        if (rand_r(&seed) % 3) {
            apr_sleep(rand_r(&seed) % 300);
        }
        apr_pool_destroy(request);
    }
    return NULL;
}

static void test_races(void)
{
    pthread_t threads[RACERS];
    sse_exec_message_t answer;
    apr_pool_t *request;
    apr_status_t rv;
    long i;

    begin("races of joining and leaving");
    LOCKED(gives = 1);
    for (i = 0; i < RACERS; ++i) {
        pthread_create(&threads[i], NULL, race, (void *)(i + 1));
    }
    /* One that stays until it has seen something. */
    request = join("r1", argv, &rv, &answer);
    ok(BECOMES(published_n > 0), "some have published");
    apr_pool_destroy(request);
    for (i = 0; i < RACERS; ++i) {
        pthread_join(threads[i], NULL);
    }
    ok(BECOMES(starts == stops), "each program that was joined was stopped");
    LOCKED(gives = 0);
    printf("# %d times, %d lines\n", get(&starts), get(&published_n));
    ok(!sse_exec_shared_is_busy(), "nothing is left");
}

static void test_leave(void)
{
    apr_pool_t *request;
    int out, again;

    begin("the child leaves");
    request = subscribe("leave");
    out = give(SSE_EXEC_FRESH, NULL);
    put(out, "a\nhal");
    PUBLISHED("a|", "it publishes");
    sse_atomic_store(&leaving, 1);
    on_loop(do_leave, NULL);
    ok(BECOMES(returns == 1), "it returns the output");
    is_str(returned, "hal", "with what is left");
    is_num(get(&stops), 0, "and does not stop it while a request is open");
    again = give(SSE_EXEC_RETURNED, "hal");
    ok(BECOMES(declines == 1), "should it get it again, it declines");
    apr_pool_destroy(request);
    ok(BECOMES(stops == 1), "then it is stopped");
    ok(!sse_exec_shared_is_busy(), "and the child may go");
    close(out);
    close(again);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    sse_workers_init(1);
    sse_loop_create(&loop);
    sse_exec_shared_init(loop);
    sse_loop_start(loop, pool);

    test_at_once();
    test_output();
    test_taken_over();
    test_store();
    test_often();
    test_exit();
    test_lost();
    test_stuck();
    test_unread();
    test_other();
    test_races();
    test_leave();

    ok(sse_loop_stop(loop, apr_time_from_sec(WAIT_SEC)), "the loop ends");
    return done_testing();
}
