/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/shared: what is found again after a restart, also
 * by another version of the module; and children without a slot. */

#include <apr_general.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/sse_counters.h"
#include "shared/sse_shared.h"
#include "tap.h"

#define SLOTS 4
/* Any but a crash. */
#define REASON 3

/* -- httpd's part ---------------------------------------------------------- */

static apr_pool_t *process;
static apr_hash_t *retained;

void *ap_retained_data_get(const char *key)
{
    return apr_hash_get(retained, key, APR_HASH_KEY_STRING);
}

void *ap_retained_data_create(const char *key, apr_size_t size)
{
    void *data = apr_pcalloc(process, size);

    apr_hash_set(retained, apr_pstrdup(process, key), APR_HASH_KEY_STRING,
                 data);
    return data;
}

/* -- Shared memory --------------------------------------------------------- */

static char *get(const char *name, apr_uint32_t layout, apr_size_t size,
                 int want)
{
    sse_shared_e how = SSE_SHARED_FOUND;
    void *memory = NULL;

    if (sse_shared_get(name, layout, size, process, &memory, &how) !=
            APR_SUCCESS ||
        (int)how != want) {
        printf("# %s: got %d, want %d\n", name, (int)how, want);
        return NULL;
    }
    return memory;
}

static int is_zero(const char *memory, apr_size_t size)
{
    apr_size_t i;

    for (i = 0; memory && i < size; ++i) {
        if (memory[i]) {
            return 0;
        }
    }
    return memory != NULL;
}

static void test_shared(void)
{
    char *a = get("a", 1, 5000, SSE_SHARED_NEW), *b;

    ok(is_zero(a, 5000), "new memory");
    memset(a, 'x', 5000);
    ok(get("a", 1, 5000, SSE_SHARED_FOUND) == a && a[4999] == 'x',
       "a restart finds it");
    b = get("b", 1, 5000, SSE_SHARED_NEW);
    ok(b && b != a && is_zero(b, 5000), "another name is another one");
    b = get("a", 2, 5000, SSE_SHARED_REPLACED);
    ok(is_zero(b, 5000), "another layout is not misread");
    memset(b, 'y', 5000);
    ok(get("a", 2, 5000, SSE_SHARED_FOUND) == b && *b == 'y',
       "and found from then on");
    b = get("a", 2, 9000, SSE_SHARED_REPLACED);
    ok(is_zero(b, 9000), "nor is another size");
}

/* An older child goes on with what it has. */
static void test_older(void)
{
    char *old = get("old", 1, 100, SSE_SHARED_NEW), *fresh;
    int go[2], back[2], status = -1;
    char byte = 'g';
    pid_t pid;

    if (pipe(go) || pipe(back)) {
        abort();
    }
    *old = 'o';
    pid = fork();
    if (!pid) {
        if (read(go[0], &byte, 1) != 1 || *old != 'o') {
            _exit(1);
        }
        old[1] = 'w';
        _exit(0);
    }
    fresh = get("old", 2, 100, SSE_SHARED_REPLACED);
    if (write(go[1], &byte, 1) != 1) {
        abort();
    }
    waitpid(pid, &status, 0);
    is_num(status, 0, "an older child uses what it has");
    ok(is_zero(fresh, 100), "and not what there is now");
}

/* -- The counters ---------------------------------------------------------- */

/** A child. */
typedef struct {
    apr_time_t born;
    pid_t pid;
    int entered, complains; /* what it found */
    int stop;               /* it ends when this is closed */
} child_t;

static void write_byte(int fd, char byte)
{
    if (write(fd, &byte, 1) != 1) {
        _exit(1);
    }
}

static char read_byte(int fd)
{
    char byte = 0;

    return read(fd, &byte, 1) == 1 ? byte : 0;
}

/* What each child counts. */
static void count(void)
{
    sse_counters_add(SSE_COUNTER_OPENED, 2);
    sse_counters_add(SSE_COUNTER_CLOSED + REASON, 1);
    sse_counters_add(SSE_COUNTER_STREAMS_ASYNC, 1);
    sse_counters_add(SSE_COUNTER_DELIVERED_BYTES, APR_INT64_C(5000000000));
    sse_counters_add(SSE_COUNTER_REFUSED_HOST, 1);
    sse_counters_add(SSE_COUNTER_REFUSED_COMMANDS, 2);
    sse_counters_set(SSE_COUNTER_HOOKS_WAITING, 3);
    sse_counters_observe(SSE_HISTOGRAM_CLOSE, 60 * 1000);
    sse_counters_observe(SSE_HISTOGRAM_CLOSE, 70 * 1000);
}

/* One stream is open, of two that were opened. */
static child_t start(apr_time_t born)
{
    child_t child = {0};
    int said[2], stop[2];
    char byte;

    if (pipe(said) || pipe(stop)) {
        abort();
    }
    fflush(stdout);
    child.born = born;
    child.pid = fork();
    if (!child.pid) {
        close(stop[1]);
        child.entered = sse_counters_enter(getpid(), born);
        child.complains = !child.entered && sse_counters_may_complain();
        write_byte(said[1], child.entered ? '1' : '0');
        write_byte(said[1], child.complains ? '1' : '0');
        count();
        write_byte(said[1], '.');
        _exit(read(stop[0], &byte, 1) != 0);
    }
    close(stop[0]);
    close(said[1]);
    child.entered = read_byte(said[0]) == '1';
    child.complains = read_byte(said[0]) == '1';
    read_byte(said[0]);
    close(said[0]);
    child.stop = stop[1];
    return child;
}

/* Others may hold the pipe's end: a signal is surer. */
static void stop(child_t *child)
{
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    close(child->stop);
}

static int is_alive(const child_t *child)
{
    return sse_counters_is_alive(child->pid, child->born);
}

static child_t children[SLOTS + 3];

static long long number(int which)
{
    sse_board_t board;

    sse_counters_read(&board);
    return (long long)board.numbers[which];
}

/* What children have counted, of whom some are gone. */
static void is_board(int living, int gone)
{
    sse_board_t board;
    const sse_histogram_t *close = &board.histograms[SSE_HISTOGRAM_CLOSE];
    long long all = living + gone;

    sse_counters_read(&board);
    is_num(board.numbers[SSE_COUNTER_OPENED], 2 * all, "opened");
    is_num(board.numbers[SSE_COUNTER_CLOSED + REASON], all, "closed");
    is_num(board.numbers[SSE_COUNTER_CLOSED + SSE_COUNTER_CRASH], gone,
           "closed by a crash");
    is_num(board.numbers[SSE_COUNTER_STREAMS], living, "open");
    is_num(board.numbers[SSE_COUNTER_STREAMS_ASYNC], living, "by drive");
    is_num(board.numbers[SSE_COUNTER_HOOKS_WAITING], 3 * living, "a gauge");
    is_num(board.numbers[SSE_COUNTER_REFUSED], 3 * all, "refused");
    is_num(board.numbers[SSE_COUNTER_DELIVERED_BYTES], 5000000000LL * all,
           "a large number");
    is_num(close->counts[2], 2 * all, "times");
    is_num(close->sum, 130 * 1000 * all, "their sum");
    is_num(sse_counters_sum(SSE_COUNTER_OPENED), 2 * all, "a number alone");
}

static void note_streams(void *baton, pid_t pid, apr_uint64_t streams)
{
    long long *all = baton;

    *all += (long long)streams;
}

static long long streams_of_each(void)
{
    long long all = 0;

    sse_counters_each(note_streams, &all);
    return all;
}

static void test_slots(void)
{
    int i, n = 0;

    ok(!sse_counters_is_alive(getpid(), 1), "no board, nobody");
    is_num(number(SSE_COUNTER_OPENED), 0, "and nothing");
    is_num(sse_counters_prepare(process, SLOTS), APR_SUCCESS, "a board");
    for (i = 0; i < SLOTS; ++i) {
        children[i] = start(1000 + i);
        n += children[i].entered && is_alive(&children[i]);
    }
    is_num(n, SLOTS, "as many children as there are slots");
    is_board(SLOTS, 0);
    is_num(streams_of_each(), SLOTS, "the open ones of each child");
    ok(!sse_counters_is_alive(children[0].pid, 7), "a pid alone is no child");

    for (i = SLOTS; i < SLOTS + 2; ++i) {
        children[i] = start(1000 + i);
        ok(!children[i].entered, "one more is told that it has none");
        ok(!is_alive(&children[i]), "since the others do not know it");
    }
    ok(children[SLOTS].complains && !children[SLOTS + 1].complains,
       "the first of them says so");
    is_num(number(SSE_COUNTER_STREAMS), SLOTS, "and they do not count");

    stop(&children[1]);
    ok(is_alive(&children[1]), "one has ended, the parent does not know yet");
    sse_counters_leave(children[1].pid);
    ok(!is_alive(&children[1]), "and now it does");
    is_board(SLOTS - 1, 1);
    is_num(streams_of_each(), SLOTS - 1, "the open ones of each child");
    sse_counters_leave(children[1].pid);
    is_board(SLOTS - 1, 1);
    children[SLOTS + 2] = start(2000);
    ok(children[SLOTS + 2].entered && is_alive(&children[SLOTS + 2]),
       "the next one has its slot");
    is_board(SLOTS, 1);
    is_num(streams_of_each(), SLOTS, "the open ones of each child");
}

static void test_restart(void)
{
    child_t late;

    is_num(sse_counters_prepare(process, SLOTS), APR_SUCCESS, "a restart");
    ok(is_alive(&children[0]), "older children live");
    late = start(3000);
    ok(!late.entered && late.complains, "there may be a complaint again");
    stop(&late);

    is_num(sse_counters_prepare(process, SLOTS * 2), APR_SUCCESS,
           "another version");
    is_num(number(SSE_COUNTER_OPENED), 0, "counts anew");
    ok(is_alive(&children[0]), "older children live all the same");
    late = start(apr_time_now());
    ok(late.entered && is_alive(&late), "a newer one has a slot");
    ok(!sse_counters_is_alive(late.pid, 4), "which nobody else had");
    ok(!sse_counters_is_alive(getpid(), apr_time_now()),
       "a newer one without a slot is dead");
    stop(&children[0]);
    sse_counters_leave(children[0].pid);
    ok(!is_alive(&children[0]), "an older child ends");
    stop(&late);
}

int main(void)
{
    int i;

    apr_initialize();
    apr_pool_create(&process, NULL);
    retained = apr_hash_make(process);
    test_shared();
    test_older();
    test_slots();
    test_restart();
    for (i = 2; i < SLOTS + 3; ++i) {
        stop(&children[i]);
    }
    apr_terminate();
    return done_testing();
}
