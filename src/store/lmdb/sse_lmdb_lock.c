/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Whether LMDB's writer lock looks free, so that taking it will not block.
 *
 * LMDB has no such function, and the lock's place in the lock file is
 * private to it.  But the lock is a robust mutex: while a thread holds it, the
 * kernel wants the thread's id in it.  So the word is searched for that has
 * this thread's id during a transaction and no longer afterwards.  If none is
 * found, the lock never looks free, and the writer thread waits for it each
 * time, which costs some 20 us.
 *
 * The result is a hint, which decides what thread waits: if another process
 * takes the lock just then, and hangs, one publisher outwaits its time-out. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb.h"

/* No more than LMDB makes it, as processes have mapped that size. */
#define BYTES (SSE_LMDB_READERS * 64)
/* The lock lies before the readers' table, which begins in the first page. */
#define WORDS     256
#define WAIT_STEP apr_time_from_msec(5)
/* Beside the id: threads wait; the owner has died. */
#define FLAGS 0xC0000000u

/* The lock's word: atomic; the same in all files, as LMDB and the C library
 * decide on it.  -1: not known */
static int place = -1;

static int is_at(const apr_uint32_t *words, int i, apr_uint32_t number)
{
    return (__atomic_load_n(&words[i], __ATOMIC_RELAXED) & ~FLAGS) == number;
}

static apr_uint32_t thread_number(void)
{
    return (apr_uint32_t)syscall(SYS_gettid);
}

int sse_lmdb_lock_place(void)
{
    return __atomic_load_n(&place, __ATOMIC_RELAXED);
}

void sse_lmdb_lock_know(int i)
{
    __atomic_store_n(&place, i, __ATOMIC_RELAXED);
}

int sse_lmdb_lock_find(const apr_uint32_t *words)
{
    apr_uint32_t number;
    int i;

    if (!words || sse_lmdb_lock_place() >= 0) {
        return -1;
    }
    number = thread_number();
    for (i = 0; i < WORDS && !is_at(words, i, number); ++i) {
    }
    return i < WORDS ? i : -1;
}

void sse_lmdb_lock_found(const apr_uint32_t *words, int i)
{
    if (i >= 0 && !is_at(words, i, thread_number())) {
        sse_lmdb_lock_know(i);
    }
}

void sse_lmdb_lock_unmap(const apr_uint32_t *words)
{
    if (words) {
        munmap((void *)words, WORDS * sizeof(apr_uint32_t));
    }
}

int sse_lmdb_lock_reserve(const sse_lmdb_conf_t *conf,
                          const apr_uint32_t **lock)
{
    char path[SSE_LMDB_PATH_MAX];
    void *map;
    int fd, rc = sse_lmdb_path(conf, "lock.mdb", path);

    if (rc) {
        return rc;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    rc = posix_fallocate(fd, 0, BYTES);
    if (rc == EOPNOTSUPP || rc == EINVAL) {
        rc = 0;
    }
    else if (!rc) {
        map = mmap(NULL, WORDS * sizeof(apr_uint32_t), PROT_READ, MAP_SHARED,
                   fd, 0);
        *lock = map == MAP_FAILED ? NULL : map;
    }
    close(fd);
    return rc;
}

int sse_lmdb_lock_looks_free(const apr_uint32_t *words)
{
    int i = sse_lmdb_lock_place();

    return words && i >= 0 && !__atomic_load_n(&words[i], __ATOMIC_RELAXED);
}

int sse_lmdb_lock_wait(const apr_uint32_t *words, apr_interval_time_t patience)
{
    apr_interval_time_t waited = 0;
    int i = sse_lmdb_lock_place();

    if (!words || i < 0) {
        return 1;
    }
    while (!is_at(words, i, 0)) {
        if (waited >= patience) {
            return 0;
        }
        apr_sleep(WAIT_STEP);
        waited += WAIT_STEP;
    }
    return 1;
}
