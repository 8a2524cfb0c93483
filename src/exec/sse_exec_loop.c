/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Messages of one child, one after the other, before others have their turn. */
#define TURN_MESSAGES 64
/* A child that has so many unread is taken for dead. */
#define LETTERS_MAX 20000
/* When what could not be sent is tried again, ms. */
#define SEND_AGAIN 50

const sse_exec_times_t sse_exec_times = {
    .kill = 5000,
    .leave = 2000,
    .rest = 1000,
    .again = 1000,
    .again_most = 60000,
    .steady = 60000,
    .scan = 200,
};

/* What is polled in a turn: two, then the children, then results of runs. */
enum { POLL_SIGNALS, POLL_DOOR, POLL_CHILDREN };
typedef struct {
    struct pollfd *fds;
    nfds_t n, room;
} polled_t;

void *sse_exec_alloc(apr_size_t size)
{
    void *memory = calloc(1, size);

    if (!memory) {
        abort();
    }
    return memory;
}

static sse_exec_msec_t clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (sse_exec_msec_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

/* -- children's connections ----------------------------------------------- */

static void close_fds(sse_exec_letter_t *letter)
{
    while (letter->n) {
        sse_exec_close(&letter->fds[--letter->n]);
    }
}

static void letter_free(sse_exec_letter_t *letter)
{
    close_fds(letter);
    free(letter);
}

/* Where there is no descriptor for it the child gets the message without any,
 * as it does where it has none itself. */
static void keep(sse_exec_child_t *child, const sse_exec_message_t *message,
                 const int *fds, int n)
{
    sse_exec_letter_t *letter = sse_exec_alloc(sizeof(*letter));

    letter->message = *message;
    for (; letter->n < n; ++letter->n) {
        letter->fds[letter->n] = dup(fds[letter->n]);
        if (letter->fds[letter->n] < 0) {
            close_fds(letter);
            break;
        }
    }
    STAILQ_INSERT_TAIL(&child->letters, letter, link);
    if (++child->waiting > LETTERS_MAX) {
        child->is_broken = 1;
    }
}

void sse_exec_child_send(sse_exec_child_t *child,
                         const sse_exec_message_t *message, const int *fds,
                         int n)
{
    apr_status_t rv = APR_EAGAIN;

    if (child->is_broken) {
        return;
    }
    if (!child->waiting) {
        rv = sse_exec_message_send(child->fd, message, fds, n);
    }
    if (rv == APR_EAGAIN) {
        keep(child, message, fds, n);
    }
    else if (rv != APR_SUCCESS) {
        child->is_broken = 1;
    }
}

static void send_letters(sse_exec_child_t *child)
{
    sse_exec_letter_t *letter;

    while ((letter = STAILQ_FIRST(&child->letters))) {
        apr_status_t rv = sse_exec_message_send(child->fd, &letter->message,
                                                letter->fds, letter->n);

        if (rv != APR_SUCCESS) {
            child->is_broken |= rv != APR_EAGAIN;
            return;
        }
        STAILQ_REMOVE_HEAD(&child->letters, link);
        --child->waiting;
        letter_free(letter);
    }
}

static void child_add(sse_exec_super_t *super, int fd)
{
    sse_exec_child_t *child = sse_exec_alloc(sizeof(*child));

    child->fd = fd;
    STAILQ_INIT(&child->letters);
    LIST_INSERT_HEAD(&super->children, child, link);
}

static void child_drop(sse_exec_super_t *super, sse_exec_child_t *child)
{
    sse_exec_letter_t *letter;

    sse_exec_table_gone(super, child);
    while ((letter = STAILQ_FIRST(&child->letters))) {
        STAILQ_REMOVE_HEAD(&child->letters, link);
        letter_free(letter);
    }
    LIST_REMOVE(child, link);
    sse_exec_close(&child->fd);
    free(child);
}

static void child_read(sse_exec_super_t *super, sse_exec_child_t *child)
{
    int fds[SSE_EXEC_FDS], n, turns = TURN_MESSAGES;
    sse_exec_message_t message;
    apr_status_t rv = APR_SUCCESS;

    while (turns-- && !child->is_broken) {
        rv = sse_exec_message_receive(child->fd, &message, fds, &n);
        if (rv == APR_SUCCESS) {
            sse_exec_table_message(super, child, &message, fds, n);
        }
        else if (rv == EMFILE) {
            sse_exec_table_truncated(super, child, &message);
            rv = APR_SUCCESS;
        }
        else {
            break;
        }
    }
    if (rv != APR_SUCCESS && rv != APR_EAGAIN) {
        child->is_broken = 1;
    }
}

/* Broken ones go at last, when nothing refers to them on the stack. */
static void children_turn(sse_exec_super_t *super)
{
    sse_exec_child_t *child, *next;

    LIST_FOREACH(child, &super->children, link)
    {
        if (child->waiting) {
            send_letters(child);
        }
        if (child->revents) {
            child_read(super, child);
        }
    }
    for (child = LIST_FIRST(&super->children); child; child = next) {
        next = LIST_NEXT(child, link);
        if (child->is_broken) {
            child_drop(super, child);
            next = LIST_FIRST(&super->children); /* it may have broken others */
        }
    }
}

static void door_read(sse_exec_super_t *super)
{
    int fds[SSE_EXEC_FDS], n;
    sse_exec_message_t message;

    while (sse_exec_message_receive(super->door, &message, fds, &n) ==
           APR_SUCCESS) {
        if (message.type == SSE_EXEC_CONNECT && n == 1) {
            child_add(super, fds[0]);
            continue;
        }
        while (n) {
            sse_exec_close(&fds[--n]);
        }
    }
}

/* -- signals -------------------------------------------------------------- */

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void leave(sse_exec_super_t *super)
{
    if (!super->leave_at) {
        super->leave_at = super->now + super->times->leave;
        sse_exec_table_leave(super);
    }
}

static void signals_read(sse_exec_super_t *super)
{
    struct signalfd_siginfo info;

    while (read(super->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGTERM) {
            leave(super);
        }
    }
}

/* -- turns ---------------------------------------------------------------- */

static struct pollfd *poll_add(polled_t *polled, int fd)
{
    struct pollfd *added;

    if (polled->n == polled->room) {
        polled->room = polled->room * 2 + 64;
        polled->fds = realloc(polled->fds, polled->room * sizeof(*polled->fds));
        if (!polled->fds) {
            abort();
        }
    }
    added = &polled->fds[polled->n++];
    added->fd = fd;
    added->events = POLLIN;
    added->revents = 0;
    return added;
}

static void poll_prepare(sse_exec_super_t *super, polled_t *polled)
{
    sse_exec_child_t *child;
    sse_exec_run_t *run;

    polled->n = 0;
    poll_add(polled, super->signals);
    /* What comes then waits for the next supervisor. */
    poll_add(polled, super->leave_at ? -1 : super->door);
    LIST_FOREACH(child, &super->children, link) { poll_add(polled, child->fd); }
    TAILQ_FOREACH(run, &super->runs, link)
    {
        if (run->spawn.result >= 0) {
            poll_add(polled, run->spawn.result);
        }
    }
}

static int timeout(const sse_exec_super_t *super)
{
    const sse_exec_child_t *child;
    sse_exec_msec_t next = 0, now = clock_now();

    sse_exec_runs_next(super, &next);
    sse_exec_share_next(super, &next);
    sse_exec_sooner(&next, super->leave_at);
    LIST_FOREACH(child, &super->children, link)
    {
        if (child->waiting) {
            sse_exec_sooner(&next, now + SEND_AGAIN);
        }
    }
    return !next ? -1 : next <= now ? 0 : (int)(next - now);
}

static void turn(sse_exec_super_t *super, polled_t *polled)
{
    sse_exec_child_t *child;
    nfds_t i = POLL_CHILDREN;

    poll_prepare(super, polled);
    if (poll(polled->fds, polled->n, timeout(super)) < 0 && errno != EINTR) {
        abort();
    }
    super->now = clock_now();
    LIST_FOREACH(child, &super->children, link)
    {
        child->revents = polled->fds[i++].revents;
    }
    signals_read(super);
    sse_exec_runs_read(super);
    sse_exec_runs_reap(super);
    if (polled->fds[POLL_DOOR].revents && !super->leave_at) {
        door_read(super);
    }
    children_turn(super);
    sse_exec_share_tick(super);
    sse_exec_runs_tick(super);
}

static int is_over(const sse_exec_super_t *super)
{
    return super->leave_at &&
           (TAILQ_EMPTY(&super->runs) || super->leave_at <= super->now);
}

void sse_exec_loop_run(int door, pid_t parent, const sse_exec_times_t *times,
                       sse_exec_count_fn *tell)
{
    sse_exec_super_t super = {0};
    polled_t polled = {NULL, 0, 0};

    super.times = times;
    super.tell = tell;
    super.door = door;
    super.signals = open_signals();
    super.now = clock_now();
    LIST_INIT(&super.children);
    TAILQ_INIT(&super.programs);
    TAILQ_INIT(&super.runs);
    sse_exec_self_get(&super.self);
    /* What programs leave without a parent becomes ours. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (super.signals < 0 || (parent && getppid() != parent)) {
        return;
    }
    sse_exec_runs_sweep(&super, SIGTERM);
    while (!is_over(&super)) {
        turn(&super, &polled);
    }
    /* To see all, whatever the limit on descriptors. */
    sse_exec_close(&super.signals);
    sse_exec_close(&super.door);
    sse_exec_runs_kill_all(&super);
    free(polled.fds);
}
