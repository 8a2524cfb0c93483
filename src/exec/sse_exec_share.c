/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Programs that children share: which of them reads, linger, restarts. */

#include "exec/sse_exec_private.h"

#include <stdlib.h>
#include <string.h>

void sse_exec_share_init(sse_exec_program_rec_t *program)
{
    program->out = program->err = program->rest = -1;
}

void sse_exec_share_close(sse_exec_program_rec_t *program)
{
    sse_exec_close(&program->out);
    sse_exec_close(&program->err);
    sse_exec_close(&program->rest);
}

/* Its run, where that can be read and joined: it is neither to be started, nor
 * ended by us. */
static const sse_exec_run_t *running(const sse_exec_program_rec_t *program)
{
    return program->run && program->out >= 0 && !program->run->kill_at
               ? program->run
               : NULL;
}

/* -- who reads ------------------------------------------------------------ */

static sse_exec_member_t *next_owner(const sse_exec_program_rec_t *program)
{
    sse_exec_member_t *member;

    TAILQ_FOREACH(member, &program->members, link)
    {
        if (member->is_told && !member->has_returned &&
            !member->child->is_broken) {
            return member;
        }
    }
    return NULL;
}

/* The last run's output has somebody who reads it, if anybody wants to. */
static void give(sse_exec_program_rec_t *program)
{
    sse_exec_member_t *member = next_owner(program);
    sse_exec_message_t message = {0};
    int fds[SSE_EXEC_FDS];

    if (program->owner || program->out < 0 || !member) {
        return;
    }
    message.type = SSE_EXEC_OWN;
    message.value = program->how;
    message.pid = program->run ? program->run->spawn.pid : 0;
    fds[0] = program->out;
    fds[1] = program->err;
    fds[2] = program->rest;
    program->owner = member;
    sse_exec_member_send(member, &message, fds, program->rest < 0 ? 2 : 3);
}

/* What the next one begins with. */
static void release(sse_exec_program_rec_t *program, sse_exec_own_e how,
                    int rest)
{
    program->owner = NULL;
    program->how = how;
    sse_exec_close(&program->rest);
    program->rest = rest;
}

void sse_exec_share_return(sse_exec_program_rec_t *program,
                           sse_exec_member_t *member, sse_exec_own_e how,
                           int rest)
{
    member->has_returned = 1;
    if (program->owner != member) {
        sse_exec_close(&rest);
        return;
    }
    release(program, how, rest);
    give(program);
}

void sse_exec_share_decline(sse_exec_program_rec_t *program,
                            sse_exec_member_t *member)
{
    member->has_returned = 1;
    if (program->owner == member) {
        program->owner = NULL;
        give(program);
    }
}

/* -- who has joined ------------------------------------------------------- */

static void tell_joined(const sse_exec_super_t *super,
                        const sse_exec_program_rec_t *program,
                        sse_exec_member_t *member)
{
    const sse_exec_run_t *run = running(program);
    sse_exec_message_t message = {0};

    message.type = SSE_EXEC_JOINED;
    message.value = member->is_other;
    if (run) {
        message.pid = run->spawn.pid;
    }
    else if (program->start_at > super->now) {
        message.value2 = program->start_at - super->now;
    }
    member->is_told = 1;
    sse_exec_member_send(member, &message, NULL, 0);
}

static void tell_all_joined(const sse_exec_super_t *super,
                            const sse_exec_program_rec_t *program)
{
    sse_exec_member_t *member;

    TAILQ_FOREACH(member, &program->members, link)
    {
        if (!member->is_told) {
            tell_joined(super, program, member);
        }
    }
}

static const sse_exec_order_t *
newest_order(const sse_exec_program_rec_t *program)
{
    return program->newer ? program->newer : program->order;
}

static int is_unlike(const sse_exec_order_t *a, const sse_exec_order_t *b)
{
    return strcmp(a->dir, b->dir) || !sse_exec_order_is_same_command(a, b);
}

/* A restart of httpd has changed what is to run. */
static int is_other(const sse_exec_order_t *old, const sse_exec_order_t *new)
{
    return new->generation > old->generation &&is_unlike(old, new);
}

static void take_order(sse_exec_super_t *super, sse_exec_program_rec_t *program,
                       sse_exec_order_t *order)
{
    const sse_exec_order_t *newest = newest_order(program);

    if (order->generation < newest->generation) {
        free(order); /* of a child that is about to leave */
        return;
    }
    if (is_other(program->order, order)) {
        if (program->run) {
            program->is_replaced = 1;
            sse_exec_run_stop(super, program->run, super->times->kill);
        }
        else {
            program->start_at = super->now;
        }
    }
    free(program->newer);
    program->newer = order;
}

void sse_exec_share_join(sse_exec_super_t *super,
                         sse_exec_program_rec_t *program,
                         sse_exec_member_t *member, sse_exec_order_t *order)
{
    program->linger_at = 0;
    member->is_other = order->generation == program->order->generation &&
                       is_unlike(program->order, order);
    take_order(super, program, order);
    if (program->run && program->run->kill_at) {
        program->is_replaced = 1; /* it has lingered, and comes back */
    }
    else if (program->run && program->out < 0) {
        return; /* it is told when it has been started */
    }
    tell_joined(super, program, member);
    give(program);
}

static void after_last(sse_exec_super_t *super, sse_exec_program_rec_t *program)
{
    program->is_replaced = 0;
    if (!program->run) {
        sse_exec_table_remove(super, program);
        return;
    }
    program->linger_at =
        super->now + apr_time_as_msec(newest_order(program)->linger) + 1;
}

void sse_exec_share_stop(sse_exec_super_t *super,
                         sse_exec_program_rec_t *program,
                         sse_exec_member_t *member)
{
    if (program->owner == member) {
        release(program, SSE_EXEC_TORN, -1); /* it may have read half a line */
    }
    TAILQ_REMOVE(&program->members, member, link);
    free(member);
    if (TAILQ_EMPTY(&program->members)) {
        after_last(super, program);
    }
    else {
        give(program);
    }
}

/* -- starts and ends ------------------------------------------------------ */

static void let_go(sse_exec_program_rec_t *program)
{
    program->run->program = NULL;
    program->run = NULL;
}

void sse_exec_share_started(sse_exec_super_t *super,
                            sse_exec_program_rec_t *program)
{
    sse_exec_run_t *run = program->run;

    program->out = run->spawn.out;
    program->err = run->spawn.err;
    run->spawn.out = run->spawn.err = -1;
    program->how = SSE_EXEC_FRESH;
    program->started = super->now;
    tell_all_joined(super, program);
    give(program);
}

/* Doubled, unless the program ran for long enough. */
static int next_pause(const sse_exec_super_t *super,
                      sse_exec_program_rec_t *program)
{
    const sse_exec_times_t *times = super->times;
    int pause = program->pause;

    if (!pause ||
        (program->started && super->now - program->started >= times->steady)) {
        pause = times->again;
    }
    program->pause =
        pause * 2 < times->again_most ? pause * 2 : times->again_most;
    return pause;
}

/* Its end is told to who reads it; then it waits to be started. */
static void start_later(sse_exec_super_t *super,
                        sse_exec_program_rec_t *program,
                        sse_exec_message_t *message)
{
    const sse_exec_member_t *reader =
        program->owner ? program->owner : next_owner(program);

    message->type = SSE_EXEC_EXITED;
    if (program->is_replaced) {
        program->pause = 0;
    }
    else {
        message->value2 = next_pause(super, program);
    }
    program->is_replaced = 0;
    program->started = 0;
    program->start_at = super->now + message->value2;
    if (reader) {
        sse_exec_member_send(reader, message, NULL, 0);
    }
}

void sse_exec_share_exited(sse_exec_super_t *super,
                           sse_exec_program_rec_t *program, int status)
{
    sse_exec_message_t message = {0};

    message.value = status;
    message.pid = program->run->spawn.pid;
    let_go(program);
    if (TAILQ_EMPTY(&program->members) || super->leave_at) {
        sse_exec_table_remove(super, program);
        return;
    }
    start_later(super, program, &message);
}

static int is_first_start(const sse_exec_program_rec_t *program)
{
    const sse_exec_member_t *member;

    TAILQ_FOREACH(member, &program->members, link)
    {
        if (member->is_told) {
            return 0;
        }
    }
    return 1;
}

void sse_exec_share_failed(sse_exec_super_t *super,
                           sse_exec_program_rec_t *program, sse_exec_why_e why,
                           apr_status_t error)
{
    sse_exec_message_t message = {0};
    sse_exec_member_t *member;

    if (program->run) {
        let_go(program);
    }
    if (is_first_start(program) || super->leave_at) {
        TAILQ_FOREACH(member, &program->members, link)
        {
            sse_exec_member_fail(member, why, error);
        }
        sse_exec_table_remove(super, program);
        return;
    }
    message.value = 127 << 8;
    message.error = error;
    message.why = why;
    start_later(super, program, &message);
    tell_all_joined(super, program);
}

/* -- times ---------------------------------------------------------------- */

/* Who read the last run's output reads this one's, too. */
static void start_again(sse_exec_super_t *super,
                        sse_exec_program_rec_t *program)
{
    apr_status_t error;

    program->start_at = 0;
    if (program->owner) {
        TAILQ_REMOVE(&program->members, program->owner, link);
        TAILQ_INSERT_HEAD(&program->members, program->owner, link);
        program->owner = NULL;
    }
    sse_exec_share_close(program);
    if (program->newer) {
        free(program->order);
        program->order = program->newer;
        program->newer = NULL;
    }
    if (!sse_exec_run_start(super, program, &error)) {
        sse_exec_share_failed(super, program, SSE_EXEC_WHY_FORK, error);
    }
}

void sse_exec_share_tick(sse_exec_super_t *super)
{
    sse_exec_program_rec_t *program, *next;

    for (program = TAILQ_FIRST(&super->programs); program; program = next) {
        next = TAILQ_NEXT(program, link);
        if (sse_exec_is_due(super, program->linger_at)) {
            program->linger_at = 0;
            sse_exec_run_stop(super, program->run, super->times->kill);
        }
        if (sse_exec_is_due(super, program->start_at)) {
            start_again(super, program);
        }
    }
}

void sse_exec_share_next(const sse_exec_super_t *super, sse_exec_msec_t *next)
{
    const sse_exec_program_rec_t *program;

    TAILQ_FOREACH(program, &super->programs, link)
    {
        sse_exec_sooner(next, program->linger_at);
        sse_exec_sooner(next, program->start_at);
    }
}
