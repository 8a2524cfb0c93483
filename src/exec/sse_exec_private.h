/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_private.h
 * The supervisor's inside: connections of children, programs, runs.
 *
 * A program is what a child has started, or what children have joined.  A run
 * is one process that was made for it, with all that descends from it.  A
 * shared program has one run after the other; a run outlives its program as
 * long as something of it is there.
 *
 * A run's process group is signalled only while it cannot be another's: as long
 * as its first process is not waited for, or a process is found in it that is
 * ours by parent or mark.
 *
 * Life: all malloc()ed.  A run is freed when nothing of it is left; a program
 * when it has ended and is not started again; a child's record when its
 * connection breaks, after its memberships.
 *
 * Threads: the supervisor's one thread.
 */

#ifndef SSE_EXEC_PRIVATE_H
#define SSE_EXEC_PRIVATE_H

#include <sys/queue.h>

#include "exec/sse_exec_loop.h"
#include "exec/sse_exec_orphans.h"
#include "exec/sse_exec_spawn.h"
#include "exec/sse_exec_wire.h"

typedef apr_int64_t sse_exec_msec_t; /* of the monotonic clock; 0: never */

typedef struct sse_exec_letter_t sse_exec_letter_t;
typedef struct sse_exec_child_t sse_exec_child_t;
typedef struct sse_exec_member_t sse_exec_member_t;
typedef struct sse_exec_program_rec_t sse_exec_program_rec_t;
typedef struct sse_exec_run_t sse_exec_run_t;

/* A message that waits, as its child does not read now. */
struct sse_exec_letter_t {
    STAILQ_ENTRY(sse_exec_letter_t) link;
    sse_exec_message_t message;
    int fds[SSE_EXEC_FDS], n;
};

/* A child's connection. */
struct sse_exec_child_t {
    LIST_ENTRY(sse_exec_child_t) link;
    STAILQ_HEAD(, sse_exec_letter_t) letters;
    int waiting; /* letters */
    int fd;
    int is_broken; /* to be dropped at the turn's end */
    short revents;
};

/* A child that has started or joined a program. */
struct sse_exec_member_t {
    TAILQ_ENTRY(sse_exec_member_t) link;
    sse_exec_child_t *child;
    apr_uint64_t id;
    int is_told;      /* STARTED or JOINED */
    int has_returned; /* does not want to read any more */
    int is_other;     /* shared: another one's order runs, unlike its own */
};

struct sse_exec_program_rec_t {
    TAILQ_ENTRY(sse_exec_program_rec_t) link;
    TAILQ_HEAD(, sse_exec_member_t) members; /* not shared: one, or none */
    sse_exec_order_t *order;                 /* by which it was started last */
    sse_exec_order_t *newer; /* shared: of who has joined since, or NULL */
    sse_exec_run_t *run;     /* NULL: it does not run (shared: for now) */
    int is_shared;
    /* shared: */
    sse_exec_member_t *owner; /* who reads */
    int out, err;             /* the last run's */
    int rest;                 /* what the reader before has returned */
    int how;                  /* sse_exec_own_e for the owner, or the next */
    int is_replaced;          /* ended by us, to be started again at once */
    int pause;                /* before the next restart, ms */
    sse_exec_msec_t linger_at, start_at, started;
};

struct sse_exec_run_t {
    TAILQ_ENTRY(sse_exec_run_t) link;
    sse_exec_program_rec_t *program; /* NULL: it has let go */
    char *limit_name;
    apr_uint64_t number; /* in its mark */
    sse_exec_spawn_t spawn;
    int is_reaped;  /* its first process was waited for */
    int is_counted; /* for the limits */
    int is_running; /* its first process has become the program */
    int was_found;  /* something of it, at the last look */
    sse_exec_msec_t term_at, kill_at;
};

typedef struct {
    const sse_exec_times_t *times;
    sse_exec_self_t self;
    sse_exec_msec_t now; /* this turn's */
    int door, signals;
    LIST_HEAD(, sse_exec_child_t) children;
    TAILQ_HEAD(, sse_exec_program_rec_t) programs;
    TAILQ_HEAD(, sse_exec_run_t) runs;
    apr_uint64_t last_number;
    apr_uint32_t running;             /* runs that are */
    sse_exec_count_fn *tell;          /* const: of that number; or NULL */
    sse_exec_msec_t scan_at, scanned; /* the next look, the last one */
    sse_exec_msec_t sweep_at;         /* what a dead supervisor left: SIGKILL */
    sse_exec_msec_t leave_at;         /* the supervisor ends then, at latest */
} sse_exec_super_t;

/* -- sse_exec_loop.c ------------------------------------------------------ */

/* Send, or have wait; descriptors remain the caller's. */
void sse_exec_child_send(sse_exec_child_t *child,
                         const sse_exec_message_t *message, const int *fds,
                         int n);

/* memory, or abort() */
void *sse_exec_alloc(apr_size_t size);

/* -- sse_exec_run.c ------------------------------------------------------- */

/* @return NULL: error */
sse_exec_run_t *sse_exec_run_start(sse_exec_super_t *super,
                                   sse_exec_program_rec_t *program,
                                   apr_status_t *error);
/* SIGTERM now, SIGKILL msec later; a second call may only shorten that. */
void sse_exec_run_stop(sse_exec_super_t *super, sse_exec_run_t *run, int msec);
/* For the limits: whether something runs, as far as its group tells. */
int sse_exec_run_counts(const sse_exec_run_t *run);
/* Wait for all processes that have ended. */
void sse_exec_runs_reap(sse_exec_super_t *super);
/* Whether they could be executed. */
void sse_exec_runs_read(sse_exec_super_t *super);
/* What is due. */
void sse_exec_runs_tick(sse_exec_super_t *super);
/* The earliest time at which something is. */
void sse_exec_runs_next(const sse_exec_super_t *super, sse_exec_msec_t *next);
/* End what dead supervisors have left. */
void sse_exec_runs_sweep(sse_exec_super_t *super, int signal);
/* The last act: whatever descends from here is killed. */
void sse_exec_runs_kill_all(sse_exec_super_t *super);

/* -- sse_exec_table.c ----------------------------------------------------- */

/* A message, whose descriptors this closes, or keeps. */
void sse_exec_table_message(sse_exec_super_t *super, sse_exec_child_t *child,
                            const sse_exec_message_t *message, int *fds, int n);
/* The same, where its descriptors could not be received. */
void sse_exec_table_truncated(sse_exec_super_t *super, sse_exec_child_t *child,
                              const sse_exec_message_t *message);
/* A child's connection has broken. */
void sse_exec_table_gone(sse_exec_super_t *super, sse_exec_child_t *child);
/* A run's program could be executed, or not. */
void sse_exec_table_started(sse_exec_super_t *super, sse_exec_run_t *run);
void sse_exec_table_failed(sse_exec_super_t *super, sse_exec_run_t *run,
                           sse_exec_why_e why, apr_status_t error);
/* A run's first process has ended. */
void sse_exec_table_exited(sse_exec_super_t *super, sse_exec_run_t *run,
                           int status);
/* Let go of the run, free the program. */
void sse_exec_table_remove(sse_exec_super_t *super,
                           sse_exec_program_rec_t *program);
/* The supervisor is about to end. */
void sse_exec_table_leave(sse_exec_super_t *super);
void sse_exec_member_send(const sse_exec_member_t *member,
                          sse_exec_message_t *message, const int *fds, int n);
void sse_exec_member_fail(const sse_exec_member_t *member, sse_exec_why_e why,
                          apr_status_t error);

/* -- sse_exec_share.c: the same for shared programs ----------------------- */

void sse_exec_share_init(sse_exec_program_rec_t *program);
/* This member has joined; the order becomes the program's. */
void sse_exec_share_join(sse_exec_super_t *super,
                         sse_exec_program_rec_t *program,
                         sse_exec_member_t *member, sse_exec_order_t *order);
void sse_exec_share_stop(sse_exec_super_t *super,
                         sse_exec_program_rec_t *program,
                         sse_exec_member_t *member);
/* @param how what the next one is told: RETURNED, or TORN
 * @param rest kept from now on; -1: none */
void sse_exec_share_return(sse_exec_program_rec_t *program,
                           sse_exec_member_t *member, sse_exec_own_e how,
                           int rest);
/* It has read nothing. */
void sse_exec_share_decline(sse_exec_program_rec_t *program,
                            sse_exec_member_t *member);
void sse_exec_share_started(sse_exec_super_t *super,
                            sse_exec_program_rec_t *program);
void sse_exec_share_failed(sse_exec_super_t *super,
                           sse_exec_program_rec_t *program, sse_exec_why_e why,
                           apr_status_t error);
void sse_exec_share_exited(sse_exec_super_t *super,
                           sse_exec_program_rec_t *program, int status);
/* The last run's output. */
void sse_exec_share_close(sse_exec_program_rec_t *program);
void sse_exec_share_tick(sse_exec_super_t *super);
void sse_exec_share_next(const sse_exec_super_t *super, sse_exec_msec_t *next);

static inline void sse_exec_sooner(sse_exec_msec_t *next, sse_exec_msec_t at)
{
    if (at && (!*next || at < *next)) {
        *next = at;
    }
}

static inline int sse_exec_is_due(const sse_exec_super_t *super,
                                  sse_exec_msec_t at)
{
    return at && at <= super->now;
}

#endif /* SSE_EXEC_PRIVATE_H */
