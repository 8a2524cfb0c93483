/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Runs: a program's processes, from the first one's start until nothing of them
 * is left. */

#include "exec/sse_exec_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Until the dead are waited for that were killed last. */
#define KILL_ROUNDS 100
#define KILL_PAUSE  10000 /* µs */

/* -- start and stop ------------------------------------------------------- */

sse_exec_run_t *sse_exec_run_start(sse_exec_super_t *super,
                                   sse_exec_program_rec_t *program,
                                   apr_status_t *error)
{
    sse_exec_run_t *run = sse_exec_alloc(sizeof(*run));
    char mark[128];

    run->number = ++super->last_number;
    sse_exec_mark_make(&super->self, run->number, mark, sizeof(mark));
    *error = sse_exec_spawn(program->order, mark, &run->spawn);
    if (*error != APR_SUCCESS) {
        free(run);
        return NULL;
    }
    run->limit_name = strdup(program->order->limit_name);
    if (!run->limit_name) {
        abort();
    }
    run->is_counted = 1;
    run->program = program;
    program->run = run;
    TAILQ_INSERT_TAIL(&super->runs, run, link);
    return run;
}

static void run_free(sse_exec_super_t *super, sse_exec_run_t *run)
{
    TAILQ_REMOVE(&super->runs, run, link);
    sse_exec_close(&run->spawn.out);
    sse_exec_close(&run->spawn.err);
    sse_exec_close(&run->spawn.result);
    free(run->limit_name);
    free(run);
}

static void want_scan(sse_exec_super_t *super)
{
    sse_exec_msec_t at = super->scanned + super->times->scan;

    sse_exec_sooner(&super->scan_at, at > super->now ? at : super->now);
}

void sse_exec_run_stop(sse_exec_super_t *super, sse_exec_run_t *run, int msec)
{
    int is_first = !run->kill_at;

    sse_exec_sooner(&run->kill_at, super->now + msec);
    run->term_at = 0;
    if (!is_first) {
        return;
    }
    if (run->is_reaped) {
        run->term_at = super->now;
        want_scan(super);
    }
    else {
        kill(-run->spawn.pid, SIGTERM);
        kill(-run->spawn.pid, SIGCONT); /* one that is stopped has to see it */
    }
}

/* -- ends ----------------------------------------------------------------- */

/* Before any child is told. */
static void set_running(sse_exec_super_t *super, sse_exec_run_t *run,
                        int is_running)
{
    if (run->is_running == is_running) {
        return;
    }
    run->is_running = is_running;
    super->running = is_running ? super->running + 1 : super->running - 1;
    if (super->tell) {
        super->tell(super->running);
    }
}

static void read_result(sse_exec_super_t *super, sse_exec_run_t *run)
{
    sse_exec_why_e why = SSE_EXEC_WHY_EXEC;
    apr_status_t rv = sse_exec_spawn_result(&run->spawn, &why);

    if (rv == APR_EAGAIN) {
        return;
    }
    sse_exec_close(&run->spawn.result);
    if (rv == APR_SUCCESS) {
        set_running(super, run, 1);
        sse_exec_table_started(super, run);
    }
    else {
        run->is_counted = 0;
        sse_exec_table_failed(super, run, why, rv);
    }
}

void sse_exec_runs_read(sse_exec_super_t *super)
{
    sse_exec_run_t *run;

    TAILQ_FOREACH(run, &super->runs, link)
    {
        if (run->spawn.result >= 0) {
            read_result(super, run);
        }
    }
}

int sse_exec_run_counts(const sse_exec_run_t *run)
{
    return run->is_counted &&
           (!run->is_reaped || !kill(-run->spawn.pid, 0) || errno != ESRCH);
}

/* What is left of it has a while, or the rest of its time. */
static void on_reaped(sse_exec_super_t *super, sse_exec_run_t *run, int status)
{
    if (run->spawn.result >= 0) {
        read_result(super, run);
    }
    run->is_reaped = 1;
    set_running(super, run, 0);
    run->is_counted = sse_exec_run_counts(run);
    if (!run->kill_at) {
        run->term_at = super->now + super->times->rest;
    }
    want_scan(super);
    if (run->program) {
        sse_exec_table_exited(super, run, status);
    }
}

static sse_exec_run_t *find_pid(sse_exec_super_t *super, pid_t pid)
{
    sse_exec_run_t *run;

    TAILQ_FOREACH(run, &super->runs, link)
    {
        if (run->spawn.pid == pid && !run->is_reaped) {
            return run;
        }
    }
    return NULL;
}

void sse_exec_runs_reap(sse_exec_super_t *super)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        sse_exec_run_t *run = find_pid(super, pid);

        if (run) {
            on_reaped(super, run, status);
        }
        else {
            want_scan(super); /* it may have been the last of a run */
        }
    }
}

/* -- what is left of runs whose first process has ended ------------------- */

static sse_exec_run_t *find_number(sse_exec_super_t *super, apr_uint64_t number)
{
    sse_exec_run_t *run;

    TAILQ_FOREACH(run, &super->runs, link)
    {
        if (run->number == number) {
            return run;
        }
    }
    return NULL;
}

static sse_exec_run_t *find_group(sse_exec_super_t *super, pid_t group)
{
    sse_exec_run_t *run;

    TAILQ_FOREACH(run, &super->runs, link)
    {
        if (run->spawn.pid == group && run->is_reaped) {
            return run;
        }
    }
    return NULL;
}

static void signal_process(const sse_exec_process_t *process, int signo,
                           int with_group)
{
    if (with_group || process->group == process->pid) {
        kill(-process->group, signo);
        if (signo == SIGTERM) {
            kill(-process->group, SIGCONT);
        }
    }
    kill(process->pid, signo);
}

static int due_signal(const sse_exec_super_t *super, const sse_exec_run_t *run)
{
    return sse_exec_is_due(super, run->kill_at)   ? SIGKILL
           : sse_exec_is_due(super, run->term_at) ? SIGTERM
                                                  : 0;
}

/* A process whose parent we are, but which we have not made, or one in the
 * group of a run that has ended. */
static void look_at(sse_exec_super_t *super, const sse_exec_process_t *process,
                    int is_adopted)
{
    sse_exec_run_t *of_group = find_group(super, process->group), *run;
    apr_uint64_t number = sse_exec_process_number(&super->self, process->pid);
    int signo;

    run = number ? find_number(super, number) : NULL;
    if (!run && is_adopted) {
        run = of_group;
    }
    if (!run) {
        if (number) { /* its run was thought to be over */
            signal_process(process, SIGKILL, 0);
        }
        return;
    }
    if (run->is_reaped) {
        run->was_found = 1;
        signo = due_signal(super, run);
        if (signo) {
            signal_process(process, signo, run == of_group);
        }
    }
}

static void on_process(void *baton, const sse_exec_process_t *process)
{
    sse_exec_super_t *super = baton;
    int is_adopted =
        process->parent == super->self.pid && !find_pid(super, process->pid);

    if (process->state != 'Z' && process->state != 'X' &&
        (is_adopted || find_group(super, process->group))) {
        look_at(super, process, is_adopted);
    }
}

static void after_scan(sse_exec_super_t *super, sse_exec_run_t *run)
{
    if (!run->was_found) {
        run_free(super, run);
        return;
    }
    if (sse_exec_is_due(super, run->term_at)) {
        run->term_at = 0;
        sse_exec_sooner(&run->kill_at, super->now + super->times->kill);
    }
    if (sse_exec_is_due(super, run->kill_at)) {
        want_scan(super); /* until they are gone */
    }
}

static int is_rest(const sse_exec_run_t *run)
{
    return run->is_reaped && !run->program;
}

static void scan(sse_exec_super_t *super)
{
    sse_exec_run_t *run, *next;

    TAILQ_FOREACH(run, &super->runs, link) { run->was_found = 0; }
    super->scan_at = 0;
    super->scanned = super->now;
    if (!sse_exec_processes_each(on_process, super)) {
        want_scan(super); /* who was not seen may be there */
        return;
    }
    for (run = TAILQ_FIRST(&super->runs); run; run = next) {
        next = TAILQ_NEXT(run, link);
        if (is_rest(run)) {
            after_scan(super, run);
        }
    }
}

/* -- times ---------------------------------------------------------------- */

static void tick(sse_exec_super_t *super, sse_exec_run_t *run)
{
    if (is_rest(run)) {
        if (due_signal(super, run)) {
            want_scan(super);
        }
    }
    else if (sse_exec_is_due(super, run->kill_at)) {
        kill(-run->spawn.pid, SIGKILL);
        kill(run->spawn.pid, SIGKILL); /* it may have left its group */
        /* Once more should it not do, as with a debugger's. */
        run->kill_at = super->now + super->times->kill;
    }
}

void sse_exec_runs_tick(sse_exec_super_t *super)
{
    sse_exec_run_t *run;

    TAILQ_FOREACH(run, &super->runs, link) { tick(super, run); }
    if (sse_exec_is_due(super, super->sweep_at)) {
        super->sweep_at = 0;
        sse_exec_runs_sweep(super, SIGKILL);
    }
    if (sse_exec_is_due(super, super->scan_at)) {
        scan(super);
    }
}

void sse_exec_runs_next(const sse_exec_super_t *super, sse_exec_msec_t *next)
{
    const sse_exec_run_t *run;

    TAILQ_FOREACH(run, &super->runs, link)
    {
        /* Where they are due, a look is wanted, which has a time. */
        if (!due_signal(super, run)) {
            sse_exec_sooner(next, run->term_at);
            sse_exec_sooner(next, run->kill_at);
        }
    }
    sse_exec_sooner(next, super->scan_at);
    sse_exec_sooner(next, super->sweep_at);
}

/* -- others' -------------------------------------------------------------- */

typedef struct {
    sse_exec_super_t *super;
    int signo, found;
} sweep_t;

static void sweep_process(void *baton, const sse_exec_process_t *process)
{
    sweep_t *sweep = baton;

    if (process->state != 'Z' &&
        sse_exec_process_is_left(&sweep->super->self, process->pid)) {
        ++sweep->found;
        kill(process->pid, sweep->signo);
    }
}

void sse_exec_runs_sweep(sse_exec_super_t *super, int signo)
{
    sweep_t sweep = {super, signo, 0};

    sse_exec_processes_each(sweep_process, &sweep);
    if (sweep.found && signo != SIGKILL) {
        super->sweep_at = super->now + super->times->kill;
    }
}

static void kill_adopted(void *baton, const sse_exec_process_t *process)
{
    sse_exec_super_t *super = baton;

    if (process->parent == super->self.pid && process->state != 'Z') {
        signal_process(process, SIGKILL, 0);
    }
}

void sse_exec_runs_kill_all(sse_exec_super_t *super)
{
    sse_exec_run_t *run;
    int rounds = KILL_ROUNDS;

    TAILQ_FOREACH(run, &super->runs, link)
    {
        if (!run->is_reaped) {
            kill(-run->spawn.pid, SIGKILL);
        }
    }
    while (rounds--) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid < 0) {
            return; /* there is none */
        }
        if (pid == 0) {
            sse_exec_processes_each(kill_adopted, super);
            usleep(KILL_PAUSE);
        }
    }
}
