/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "shared/sse_counters.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "sse_atomic.h"
#include "shared/sse_shared.h"

/* To be raised if the structures change. */
#define LAYOUT 5

typedef struct {
    pid_t pid;                         /* atomic; 0: free */
    apr_time_t born;                   /* atomic */
    apr_int64_t numbers[SSE_COUNTERS]; /* atomic */
    char pad[56 - sizeof(pid_t)];      /* a cache line of its own */
} slot_t;

typedef struct {
    apr_uint32_t slot_count; /* const */
    int has_complained;      /* atomic */
    apr_time_t replaced;     /* const: when older counters were; 0: never */
    slot_t ended;            /* the counts of ended children */
    slot_t slots[];
} counters_t;

static counters_t *counters; /* const after post_config */
static slot_t *mine;         /* const after child_init */

apr_status_t sse_counters_prepare(apr_pool_t *process_pool, apr_uint32_t slots)
{
    sse_shared_e how;
    void *memory;
    apr_status_t rv =
        sse_shared_get("counters", LAYOUT,
                       offsetof(counters_t, slots) + slots * sizeof(slot_t),
                       process_pool, &memory, &how);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    counters = memory;
    if (how != SSE_SHARED_FOUND) {
        counters->slot_count = slots;
    }
    if (how == SSE_SHARED_REPLACED) {
        counters->replaced = apr_time_now();
    }
    sse_atomic_store(&counters->has_complained, 0);
    return APR_SUCCESS;
}

static slot_t *find(pid_t pid)
{
    slot_t *slot, *end = counters->slots + counters->slot_count;

    for (slot = counters->slots; slot < end; ++slot) {
        if (sse_atomic_load(&slot->pid) == pid) {
            return slot;
        }
    }
    return NULL;
}

int sse_counters_enter(pid_t pid, apr_time_t born)
{
    if (counters && !mine) {
        do {
            mine = find(0);
        } while (mine && !sse_atomic_cas(&mine->pid, 0, pid));
        if (mine) {
            sse_atomic_store(&mine->born, born);
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
    slot_t *slot = counters ? find(pid) : NULL;

    if (slot) {
        return sse_atomic_load(&slot->born) == born;
    }
    return counters && born < counters->replaced && pid > 0 &&
           (!kill(pid, 0) || errno == EPERM);
}

/* What goes with its child. */
static int is_gauge(int number)
{
    return number == SSE_COUNTER_STREAMS || number == SSE_COUNTER_STALLED ||
           number == SSE_COUNTER_THREADS ||
           number == SSE_COUNTER_HOOKS_WAITING ||
           number == SSE_COUNTER_COMMANDS;
}

void sse_counters_leave(pid_t pid)
{
    slot_t *slot = counters ? find(pid) : NULL;
    int n;
    apr_int64_t value;

    if (!slot) {
        return;
    }
    for (n = 0; n < SSE_COUNTERS; ++n) {
        value = __atomic_exchange_n(&slot->numbers[n], 0, __ATOMIC_ACQ_REL);
        if (!is_gauge(n)) {
            sse_atomic_add(&counters->ended.numbers[n], value);
        }
    }
    sse_atomic_store(&slot->pid, 0);
}

void sse_counters_add(sse_counter_e number, int by)
{
    if (mine) {
        sse_atomic_add(&mine->numbers[number], by);
    }
}

void sse_counters_set(sse_counter_e number, apr_uint64_t value)
{
    if (mine) {
        sse_atomic_store(&mine->numbers[number], (apr_int64_t)value);
    }
}

apr_uint64_t sse_counters_sum(sse_counter_e number)
{
    apr_int64_t sum;
    apr_uint32_t i;

    if (!counters) {
        return 0;
    }
    sum = sse_atomic_load(&counters->ended.numbers[number]);
    for (i = 0; i < counters->slot_count; ++i) {
        sum += sse_atomic_load(&counters->slots[i].numbers[number]);
    }
    return sum > 0 ? (apr_uint64_t)sum : 0;
}

void sse_counters_each(sse_counters_fn *fn, void *baton)
{
    apr_int64_t streams;
    apr_uint32_t i;
    pid_t pid;

    for (i = 0; counters && i < counters->slot_count; ++i) {
        pid = sse_atomic_load(&counters->slots[i].pid);
        if (pid) {
            streams = sse_atomic_load(
                &counters->slots[i].numbers[SSE_COUNTER_STREAMS]);
            fn(baton, pid, streams > 0 ? (apr_uint64_t)streams : 0);
        }
    }
}
