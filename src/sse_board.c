/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "sse_board.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "sse_atomic.h"
#include "sse_shared.h"

/* What these structures mean: to be raised when that changes. */
#define LAYOUT 3

typedef struct {
    pid_t pid;                              /* atomic; 0: free */
    apr_time_t born;                        /* atomic */
    apr_int64_t numbers[SSE_BOARD_NUMBERS]; /* atomic */
    char pad[56 - sizeof(pid_t)]; /* no two children write to one line */
} slot_t;

typedef struct {
    apr_uint32_t slot_count; /* const */
    int has_complained;      /* atomic */
    apr_time_t replaced;     /* const: there are older children; 0: none */
    slot_t ended;            /* what ended children had counted */
    slot_t slots[];
} board_t;

static board_t *board; /* const after post_config */
static slot_t *mine;   /* const after child_init */

apr_status_t sse_board_prepare(apr_pool_t *process_pool, apr_uint32_t slots)
{
    sse_shared_e how;
    void *memory;
    apr_status_t rv = sse_shared_get(
        "board", LAYOUT, offsetof(board_t, slots) + slots * sizeof(slot_t),
        process_pool, &memory, &how);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    board = memory;
    if (how != SSE_SHARED_FOUND) {
        board->slot_count = slots;
    }
    if (how == SSE_SHARED_REPLACED) {
        board->replaced = apr_time_now();
    }
    sse_atomic_store(&board->has_complained, 0);
    return APR_SUCCESS;
}

static slot_t *take(pid_t pid)
{
    slot_t *slot, *end = board->slots + board->slot_count;

    for (slot = board->slots; slot < end; ++slot) {
        if (sse_atomic_cas(&slot->pid, 0, pid)) {
            return slot;
        }
    }
    return NULL;
}

static slot_t *find(pid_t pid)
{
    slot_t *slot, *end = board->slots + board->slot_count;

    for (slot = board->slots; slot < end; ++slot) {
        if (sse_atomic_load(&slot->pid) == pid) {
            return slot;
        }
    }
    return NULL;
}

int sse_board_enter(pid_t pid, apr_time_t born)
{
    if (board && !mine) {
        mine = take(pid);
        if (mine) {
            sse_atomic_store(&mine->born, born);
        }
    }
    return mine != NULL;
}

int sse_board_may_complain(void)
{
    return board && sse_atomic_cas(&board->has_complained, 0, 1);
}

int sse_board_is_alive(pid_t pid, apr_time_t born)
{
    slot_t *slot = board ? find(pid) : NULL;

    if (slot) {
        return sse_atomic_load(&slot->born) == born;
    }
    return board && born < board->replaced && pid > 0 &&
           (!kill(pid, 0) || errno == EPERM);
}

static void empty(slot_t *slot)
{
    int n;
    apr_int64_t value;

    for (n = 0; n < SSE_BOARD_NUMBERS; ++n) {
        value = __atomic_exchange_n(&slot->numbers[n], 0, __ATOMIC_ACQ_REL);
        if (n != SSE_BOARD_STREAMS && n != SSE_BOARD_STALLED &&
            n != SSE_BOARD_THREADS) {
            sse_atomic_add(&board->ended.numbers[n], value);
        }
    }
    sse_atomic_store(&slot->pid, 0);
}

void sse_board_leave(pid_t pid)
{
    slot_t *slot = board ? find(pid) : NULL;

    if (slot) {
        empty(slot);
    }
}

void sse_board_add(sse_board_e number, int by)
{
    if (mine) {
        sse_atomic_add(&mine->numbers[number], by);
    }
}

apr_uint64_t sse_board_sum(sse_board_e number)
{
    apr_int64_t sum;
    apr_uint32_t i;

    if (!board) {
        return 0;
    }
    sum = sse_atomic_load(&board->ended.numbers[number]);
    for (i = 0; i < board->slot_count; ++i) {
        sum += sse_atomic_load(&board->slots[i].numbers[number]);
    }
    return sum > 0 ? (apr_uint64_t)sum : 0;
}

void sse_board_each(sse_board_fn *fn, void *baton)
{
    const slot_t *slot;
    apr_int64_t streams;
    apr_uint32_t i;
    pid_t pid;

    for (i = 0; board && i < board->slot_count; ++i) {
        slot = &board->slots[i];
        pid = sse_atomic_load(&slot->pid);
        if (pid) {
            streams = sse_atomic_load(&slot->numbers[SSE_BOARD_STREAMS]);
            fn(baton, pid, streams > 0 ? (apr_uint64_t)streams : 0);
        }
    }
}
