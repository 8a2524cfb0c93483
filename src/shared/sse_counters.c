/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "shared/sse_counters.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "sse_atomic.h"
#include "shared/sse_shared.h"

/* To be raised if the structures change, or what their numbers mean; and with
 * it SSE_EXEC_VERSION, as the supervisor of programs stays over restarts. */
#define LAYOUT 8

/* Two cache lines, as processors fetch them in pairs: no child's counting shall
 * take a line from another child. */
#define LINE 128

/* A child's numbers.  Those of the children before it in the slot stay. */
typedef struct {
    apr_int64_t numbers[SSE_COUNTER_KINDS];     /* atomic */
    sse_histogram_t histograms[SSE_HISTOGRAMS]; /* atomic */
} slot_t;

#define SLOT_SIZE ((sizeof(slot_t) + LINE - 1) / LINE * LINE)

/* Whose slot it is.  Apart from the slots: to look for a child reads little. */
typedef struct {
    apr_time_t born; /* atomic */
    pid_t pid;       /* atomic; 0: free */
} owner_t;

/* Followed by the owners, and the slots, each LINE after LINE. */
typedef struct {
    apr_uint32_t slot_count; /* const */
    apr_uint32_t used;       /* atomic: none behind so many was ever used */
    int has_complained;      /* atomic */
    apr_uint32_t commands;   /* atomic: programs that run */
    apr_time_t replaced;     /* const: when older counters were; 0: never */
    owner_t owners[];
} counters_t;

static counters_t *counters; /* const after post_config */
static char *slots;          /* likewise */
static slot_t *mine;         /* const after child_init */

static apr_size_t size_of(apr_uint32_t n)
{
    return sizeof(counters_t) + n * sizeof(owner_t) + LINE + n * SLOT_SIZE;
}

static slot_t *slot_at(apr_uint32_t i)
{
    return (slot_t *)(void *)(slots + i * SLOT_SIZE);
}

apr_status_t sse_counters_prepare(apr_pool_t *process_pool, apr_uint32_t n)
{
    sse_shared_e how;
    void *memory;
    apr_status_t rv = sse_shared_get("counters", LAYOUT, size_of(n),
                                     process_pool, &memory, &how);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    counters = memory;
    slots = (char *)&counters->owners[n];
    slots += LINE - (apr_uintptr_t)slots % LINE;
    if (how != SSE_SHARED_FOUND) {
        counters->slot_count = n;
    }
    if (how == SSE_SHARED_REPLACED) {
        counters->replaced = apr_time_now();
    }
    sse_atomic_store(&counters->has_complained, 0);
    return APR_SUCCESS;
}

/* -- Slots ----------------------------------------------------------------- */

static apr_uint32_t used(void) { return sse_atomic_load(&counters->used); }

/* @return its index and 1; 0: it has none */
static apr_uint32_t find(pid_t pid)
{
    apr_uint32_t i, n = used();

    for (i = 0; i < n; ++i) {
        if (sse_atomic_load(&counters->owners[i].pid) == pid) {
            return i + 1;
        }
    }
    return 0;
}

/* First, so that a child which dies between the two is found. */
static void note_use(apr_uint32_t n)
{
    apr_uint32_t had = used();

    while (had < n && !sse_atomic_cas(&counters->used, had, n)) {
        had = used();
    }
}

static int take(apr_uint32_t i, pid_t pid, apr_time_t born)
{
    owner_t *owner = &counters->owners[i];

    if (sse_atomic_load(&owner->pid)) {
        return 0;
    }
    note_use(i + 1);
    if (!sse_atomic_cas(&owner->pid, 0, pid)) {
        return 0;
    }
    sse_atomic_store(&owner->born, born);
    return 1;
}

int sse_counters_enter(pid_t pid, apr_time_t born)
{
    apr_uint32_t i;

    for (i = 0; counters && !mine && i < counters->slot_count; ++i) {
        if (take(i, pid, born)) {
            mine = slot_at(i);
        }
    }
    return mine != NULL;
}

int sse_counters_may_complain(void)
{
    return counters && sse_atomic_cas(&counters->has_complained, 0, 1);
}

int sse_counters_is_alive(pid_t pid, apr_time_t born)
{
    apr_uint32_t found = counters ? find(pid) : 0;

    if (found) {
        return sse_atomic_load(&counters->owners[found - 1].born) == born;
    }
    return counters && born < counters->replaced && pid > 0 &&
           (!kill(pid, 0) || errno == EPERM);
}

/* What a slot says is open.  Closed ones are read first: a stream that closes
 * meanwhile counts as open. */
static apr_int64_t open_in(const slot_t *slot)
{
    apr_int64_t closed = 0;
    int n;

    for (n = SSE_COUNTER_CLOSED; n <= SSE_COUNTER_CLOSED_END; ++n) {
        closed += sse_atomic_load(&slot->numbers[n]);
    }
    return sse_atomic_load(&slot->numbers[SSE_COUNTER_OPENED]) - closed;
}

/* Whatever it was doing when it died, what is open in its slot is 0 now. */
void sse_counters_leave(pid_t pid)
{
    apr_uint32_t found = counters ? find(pid) : 0;
    slot_t *slot;
    int n;

    if (!found) {
        return;
    }
    slot = slot_at(found - 1);
    for (n = 0; n < SSE_COUNTER_GAUGES; ++n) {
        sse_atomic_store(&slot->numbers[n], 0);
    }
    sse_atomic_add(&slot->numbers[SSE_COUNTER_CLOSED + SSE_COUNTER_CRASH],
                   open_in(slot));
    sse_atomic_store(&counters->owners[found - 1].pid, 0);
}

/* -- Counting -------------------------------------------------------------- */

void sse_counters_add(sse_counter_e number, apr_int64_t by)
{
    if (mine && number < SSE_COUNTER_KINDS) {
        sse_atomic_add(&mine->numbers[number], by);
    }
}

void sse_counters_set(sse_counter_e number, apr_uint64_t value)
{
    if (mine && number < SSE_COUNTER_KINDS) {
        sse_atomic_store(&mine->numbers[number], (apr_int64_t)value);
    }
}

void sse_counters_set_commands(apr_uint32_t n)
{
    if (counters) {
        sse_atomic_store(&counters->commands, n);
    }
}

void sse_counters_observe(sse_histogram_e which, apr_uint64_t nsec)
{
    sse_counters_observe_many(which, nsec, 1);
}

void sse_counters_observe_many(sse_histogram_e which, apr_uint64_t nsec,
                               apr_uint64_t many)
{
    if (mine) {
        sse_histogram_add(&mine->histograms[which], nsec, many);
    }
}

/* -- Reading --------------------------------------------------------------- */

/* Backwards, as in open_in(). */
static void read_slot(const slot_t *slot, apr_int64_t *sums, sse_board_t *board)
{
    int n;

    for (n = SSE_COUNTER_KINDS - 1; n >= 0; --n) {
        sums[n] += sse_atomic_load(&slot->numbers[n]);
    }
    for (n = 0; n < SSE_HISTOGRAMS; ++n) {
        sse_histogram_merge(&board->histograms[n], &slot->histograms[n]);
    }
}

static apr_uint64_t add_up(const sse_board_t *board, int from, int to)
{
    apr_uint64_t sum = 0;

    for (; from <= to; ++from) {
        sum += board->numbers[from];
    }
    return sum;
}

/* A gauge's parts may be read while something moves from one to another. */
static apr_uint64_t positive(apr_int64_t sum)
{
    return sum > 0 ? (apr_uint64_t)sum : 0;
}

void sse_counters_read(sse_board_t *board)
{
    apr_int64_t sums[SSE_COUNTER_KINDS] = {0};
    apr_uint32_t i, n = counters ? used() : 0;

    memset(board, 0, sizeof(*board));
    for (i = 0; i < n; ++i) {
        read_slot(slot_at(i), sums, board);
    }
    for (i = 0; i < SSE_COUNTER_KINDS; ++i) {
        board->numbers[i] = positive(sums[i]);
    }
    if (counters) {
        board->numbers[SSE_COUNTER_COMMANDS] =
            sse_atomic_load(&counters->commands);
    }
    board->numbers[SSE_COUNTER_STREAMS] =
        board->numbers[SSE_COUNTER_OPENED] -
        add_up(board, SSE_COUNTER_CLOSED, SSE_COUNTER_CLOSED_END);
    board->numbers[SSE_COUNTER_REFUSED] =
        add_up(board, SSE_COUNTER_REFUSED_SERVER, SSE_COUNTER_REFUSED_HTTP2);
}

apr_uint64_t sse_counters_sum(sse_counter_e number)
{
    apr_uint32_t i, n = counters ? used() : 0;
    apr_int64_t sum = 0;

    for (i = 0; i < n; ++i) {
        sum += sse_atomic_load(&slot_at(i)->numbers[number]);
    }
    return positive(sum);
}

void sse_counters_each(sse_counters_fn *fn, void *baton)
{
    apr_uint32_t i, n = counters ? used() : 0;
    pid_t pid;

    for (i = 0; i < n; ++i) {
        pid = sse_atomic_load(&counters->owners[i].pid);
        if (pid) {
            fn(baton, pid, positive(open_in(slot_at(i))));
        }
    }
}
