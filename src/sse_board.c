/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "sse_board.h"

#include <ap_mpm.h>
#include <apr_shm.h>
#include <httpd.h>
#include <http_config.h>

#include "sse_atomic.h"

/* Children of two generations; a larger server's last ones go uncounted. */
#define SLOTS 2048

typedef struct {
    pid_t pid;                              /* atomic; 0: free */
    apr_time_t born;                        /* atomic */
    apr_int64_t numbers[SSE_BOARD_NUMBERS]; /* atomic */
    char pad[56 - sizeof(pid_t)]; /* no two children write to one line */
} slot_t;

typedef struct {
    slot_t ended; /* what ended children had counted */
    slot_t slots[SLOTS];
} board_t;

static board_t *board; /* const after post_config */
static slot_t *mine;   /* const after child_init */

apr_status_t sse_board_prepare(apr_pool_t *process_pool)
{
    static const char key[] = "sse_board";
    void **kept = ap_retained_data_get(key);
    apr_shm_t *shm;
    apr_status_t rv = APR_SUCCESS;

    if (!kept) {
        rv = apr_shm_create(&shm, sizeof(board_t), NULL, process_pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        kept = ap_retained_data_create(key, sizeof(*kept));
        *kept = apr_shm_baseaddr_get(shm);
    }
    board = *kept;
    return rv;
}

void sse_board_enter(pid_t pid, apr_time_t born)
{
    int i;

    for (i = 0; board && !mine && i < SLOTS; ++i) {
        if (sse_atomic_cas(&board->slots[i].pid, 0, pid)) {
            mine = &board->slots[i];
            sse_atomic_store(&mine->born, born);
        }
    }
}

int sse_board_is_alive(pid_t pid, apr_time_t born)
{
    int i;

    for (i = 0; board && i < SLOTS; ++i) {
        if (sse_atomic_load(&board->slots[i].pid) == pid) {
            return sse_atomic_load(&board->slots[i].born) == born;
        }
    }
    return 0;
}

static void empty(slot_t *slot)
{
    int n;
    apr_int64_t value;

    for (n = 0; n < SSE_BOARD_NUMBERS; ++n) {
        value = __atomic_exchange_n(&slot->numbers[n], 0, __ATOMIC_ACQ_REL);
        if (n != SSE_BOARD_STREAMS) {
            sse_atomic_add(&board->ended.numbers[n], value);
        }
    }
    sse_atomic_store(&slot->pid, 0);
}

void sse_board_leave(pid_t pid)
{
    int i;

    for (i = 0; board && i < SLOTS; ++i) {
        if (sse_atomic_load(&board->slots[i].pid) == pid) {
            empty(&board->slots[i]);
            return;
        }
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
    int i;

    if (!board) {
        return 0;
    }
    sum = sse_atomic_load(&board->ended.numbers[number]);
    for (i = 0; i < SLOTS; ++i) {
        sum += sse_atomic_load(&board->slots[i].numbers[number]);
    }
    return sum > 0 ? (apr_uint64_t)sum : 0;
}
