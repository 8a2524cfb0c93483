/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The store's time.  Ages are differences of times in the store, so these must
 * pass as time does.  If the machine's clock is set back, nothing would expire
 * until it has caught up; if it is set far ahead, everything would at once.
 *
 * So within one boot of the machine the store's time is that of the newest
 * transaction plus the ticks since then, which cannot be set.  After a boot, or
 * on another machine, it is the clock's, but never before the newest
 * transaction, as times must be in the order of ids. */

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb.h"

/* Time that passes while the machine sleeps counts. */
#ifdef CLOCK_BOOTTIME
#define TICKS CLOCK_BOOTTIME
#else
#define TICKS CLOCK_MONOTONIC
#endif

void sse_lmdb_boot_name(char name[64])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, name, 63);

    name[n > 0 ? n : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* The name is a random number; FNV-1a shortens it. */
apr_uint64_t sse_lmdb_boot(void)
{
    apr_uint64_t hash = APR_UINT64_C(0xcbf29ce484222325);
    char name[64], *p;

    sse_lmdb_boot_name(name);
    for (p = name; *p; ++p) {
        hash = (hash ^ (unsigned char)*p) * APR_UINT64_C(0x100000001b3);
    }
    return *name ? hash | 1 : 0;
}

static apr_uint64_t ticks_now(void)
{
    struct timespec ts;

    if (clock_gettime(TICKS, &ts)) {
        return 0;
    }
    return (apr_uint64_t)ts.tv_sec * APR_USEC_PER_SEC +
           (apr_uint64_t)ts.tv_nsec / 1000;
}

static apr_time_t time_at(const sse_lmdb_t *store,
                          const sse_lmdb_state_t *state, apr_uint64_t ticks)
{
    apr_time_t clock;

    if (state->boot && state->boot == store->boot && ticks >= state->ticks) {
        return state->time + (apr_time_t)(ticks - state->ticks);
    }
    clock = apr_time_now();
    return clock > state->time ? clock : state->time;
}

apr_time_t sse_lmdb_now(const sse_lmdb_t *store, const sse_lmdb_state_t *state)
{
    return time_at(store, state, ticks_now());
}

apr_time_t sse_lmdb_clock_set(const sse_lmdb_t *store, sse_lmdb_state_t *state)
{
    apr_uint64_t ticks = ticks_now();

    state->time = time_at(store, state, ticks);
    state->ticks = ticks;
    state->boot = store->boot;
    return state->time;
}
