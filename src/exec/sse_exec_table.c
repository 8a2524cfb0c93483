/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Programs: who has started or joined which, limits, what children are told. */

#include "exec/sse_exec_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- what children are told ----------------------------------------------- */

void sse_exec_member_send(const sse_exec_member_t *member,
                          sse_exec_message_t *message, const int *fds, int n)
{
    message->id = member->id;
    sse_exec_child_send(member->child, message, fds, n);
}

static void refuse(sse_exec_child_t *child, apr_uint64_t id, sse_exec_why_e why,
                   apr_status_t error, apr_uint32_t limit)
{
    sse_exec_message_t message = {0};

    message.type = SSE_EXEC_FAILED;
    message.id = id;
    message.why = why;
    message.error = error;
    message.value = limit;
    sse_exec_child_send(child, &message, NULL, 0);
}

void sse_exec_member_fail(const sse_exec_member_t *member, sse_exec_why_e why,
                          apr_status_t error)
{
    refuse(member->child, member->id, why, error, 0);
}

/* -- programs ------------------------------------------------------------- */

static sse_exec_program_rec_t *create(sse_exec_super_t *super,
                                      sse_exec_order_t *order, int is_shared)
{
    sse_exec_program_rec_t *program = sse_exec_alloc(sizeof(*program));

    TAILQ_INIT(&program->members);
    program->order = order;
    program->is_shared = is_shared;
    sse_exec_share_init(program);
    TAILQ_INSERT_TAIL(&super->programs, program, link);
    return program;
}

static sse_exec_member_t *add_member(sse_exec_program_rec_t *program,
                                     sse_exec_child_t *child, apr_uint64_t id)
{
    sse_exec_member_t *member = sse_exec_alloc(sizeof(*member));

    member->child = child;
    member->id = id;
    TAILQ_INSERT_TAIL(&program->members, member, link);
    return member;
}

void sse_exec_table_remove(sse_exec_super_t *super,
                           sse_exec_program_rec_t *program)
{
    sse_exec_member_t *member;

    if (program->run) {
        program->run->program = NULL;
    }
    while ((member = TAILQ_FIRST(&program->members))) {
        TAILQ_REMOVE(&program->members, member, link);
        free(member);
    }
    TAILQ_REMOVE(&super->programs, program, link);
    sse_exec_share_close(program);
    free(program->order);
    free(program->newer);
    free(program);
}

static sse_exec_program_rec_t *find_key(sse_exec_super_t *super,
                                        const sse_exec_order_t *order)
{
    sse_exec_program_rec_t *program;

    TAILQ_FOREACH(program, &super->programs, link)
    {
        if (program->is_shared && program->order->key_len == order->key_len &&
            !memcmp(program->order->key, order->key, order->key_len)) {
            return program;
        }
    }
    return NULL;
}

static sse_exec_member_t *find_member(sse_exec_super_t *super,
                                      const sse_exec_child_t *child,
                                      apr_uint64_t id,
                                      sse_exec_program_rec_t **out)
{
    sse_exec_program_rec_t *program;
    sse_exec_member_t *member;

    TAILQ_FOREACH(program, &super->programs, link)
    {
        TAILQ_FOREACH(member, &program->members, link)
        {
            if (member->child == child && member->id == id) {
                *out = program;
                return member;
            }
        }
    }
    return NULL;
}

/* -- limits ---------------------------------------------------------------- */

static int is_named(const char *name, const char *limit_name)
{
    return !limit_name || !strcmp(name, limit_name);
}

/* Programs that run, or have their place kept until they run again, and what is
 * left of others.  @param limit_name NULL: all */
static apr_uint32_t count(const sse_exec_super_t *super, const char *limit_name)
{
    const sse_exec_program_rec_t *program;
    const sse_exec_run_t *run;
    apr_uint32_t n = 0;

    TAILQ_FOREACH(program, &super->programs, link)
    {
        n += is_named(program->order->limit_name, limit_name);
    }
    TAILQ_FOREACH(run, &super->runs, link)
    {
        n += !run->program && sse_exec_run_counts(run) &&
             is_named(run->limit_name, limit_name);
    }
    return n;
}

/* @return the limit that is reached, or 0 */
static apr_uint32_t reached(const sse_exec_super_t *super,
                            const sse_exec_order_t *order)
{
    const char *name = *order->limit_name ? order->limit_name : NULL;

    if (order->server_limit && count(super, NULL) >= order->server_limit) {
        return order->server_limit;
    }
    if (order->limit && count(super, name) >= order->limit) {
        return order->limit;
    }
    return 0;
}

/* -- orders --------------------------------------------------------------- */

/* @return the order, if it may be carried out; else the child has been told */
static sse_exec_order_t *take_order(sse_exec_super_t *super,
                                    sse_exec_child_t *child, apr_uint64_t id,
                                    const int *fds, int n)
{
    sse_exec_program_rec_t *program;
    sse_exec_order_t *order = NULL;

    if (super->leave_at) {
        refuse(child, id, SSE_EXEC_WHY_LEAVING, 0, 0);
        return NULL;
    }
    if (n != 1 || sse_exec_order_read(fds[0], &order) != APR_SUCCESS ||
        find_member(super, child, id, &program)) {
        refuse(child, id, SSE_EXEC_WHY_BAD, APR_EINVAL, 0);
        free(order);
        return NULL;
    }
    return order;
}

static void start(sse_exec_super_t *super, sse_exec_child_t *child,
                  apr_uint64_t id, sse_exec_order_t *order, int is_shared)
{
    apr_uint32_t limit = reached(super, order);
    sse_exec_program_rec_t *program;
    sse_exec_member_t *member;
    apr_status_t error;

    if (limit) {
        refuse(child, id, SSE_EXEC_WHY_LIMIT, 0, limit);
        free(order);
        return;
    }
    program = create(super, order, is_shared);
    member = add_member(program, child, id);
    if (!sse_exec_run_start(super, program, &error)) {
        sse_exec_member_fail(member, SSE_EXEC_WHY_FORK, error);
        sse_exec_table_remove(super, program);
    }
}

static void on_start(sse_exec_super_t *super, sse_exec_child_t *child,
                     apr_uint64_t id, const int *fds, int n)
{
    sse_exec_order_t *order = take_order(super, child, id, fds, n);

    if (order) {
        start(super, child, id, order, 0);
    }
}

static void on_join(sse_exec_super_t *super, sse_exec_child_t *child,
                    apr_uint64_t id, const int *fds, int n)
{
    sse_exec_order_t *order = take_order(super, child, id, fds, n);
    sse_exec_program_rec_t *program = order ? find_key(super, order) : NULL;

    if (program) {
        sse_exec_share_join(super, program, add_member(program, child, id),
                            order);
    }
    else if (order) {
        start(super, child, id, order, 1);
    }
}

static void stop_member(sse_exec_super_t *super,
                        sse_exec_program_rec_t *program,
                        sse_exec_member_t *member)
{
    if (program->is_shared) {
        sse_exec_share_stop(super, program, member);
    }
    else {
        sse_exec_run_stop(super, program->run, super->times->kill);
    }
}

/* @param fd kept, or closed; -1: none */
static void on_return(sse_exec_program_rec_t *program,
                      sse_exec_member_t *member, int fd)
{
    if (member && program->is_shared) {
        sse_exec_share_return(program, member, SSE_EXEC_RETURNED, fd);
    }
    else {
        sse_exec_close(&fd);
    }
}

void sse_exec_table_message(sse_exec_super_t *super, sse_exec_child_t *child,
                            const sse_exec_message_t *message, int *fds, int n)
{
    sse_exec_program_rec_t *program = NULL;
    sse_exec_member_t *member =
        find_member(super, child, message->id, &program);

    switch (message->type) {
    case SSE_EXEC_START:
        on_start(super, child, message->id, fds, n);
        break;
    case SSE_EXEC_JOIN:
        on_join(super, child, message->id, fds, n);
        break;
    case SSE_EXEC_STOP:
        if (member) { /* else it has ended meanwhile */
            stop_member(super, program, member);
        }
        break;
    case SSE_EXEC_RETURN:
        on_return(program, member, n == 1 ? fds[0] : -1);
        n = n == 1 ? 0 : n;
        break;
    case SSE_EXEC_DECLINE:
        if (member && program->is_shared) {
            sse_exec_share_decline(program, member);
        }
        break;
    default:
        break;
    }
    while (n) {
        sse_exec_close(&fds[--n]);
    }
}

void sse_exec_table_truncated(sse_exec_super_t *super, sse_exec_child_t *child,
                              const sse_exec_message_t *message)
{
    sse_exec_program_rec_t *program = NULL;
    sse_exec_member_t *member =
        find_member(super, child, message->id, &program);

    if (message->type == SSE_EXEC_START || message->type == SSE_EXEC_JOIN) {
        refuse(child, message->id, SSE_EXEC_WHY_FORK, EMFILE, 0);
    }
    else if (message->type == SSE_EXEC_RETURN && member && program->is_shared) {
        sse_exec_share_return(program, member, SSE_EXEC_TORN, -1);
    }
}

void sse_exec_table_gone(sse_exec_super_t *super, sse_exec_child_t *child)
{
    sse_exec_program_rec_t *program, *next;
    sse_exec_member_t *member, *after;

    for (program = TAILQ_FIRST(&super->programs); program; program = next) {
        next = TAILQ_NEXT(program, link);
        for (member = TAILQ_FIRST(&program->members); member; member = after) {
            after = TAILQ_NEXT(member, link);
            if (member->child != child) {
                continue;
            }
            if (program->is_shared && !after &&
                member == TAILQ_FIRST(&program->members)) {
                sse_exec_share_stop(super, program, member);
                break; /* the program may be gone with its last member */
            }
            stop_member(super, program, member);
            if (!program->is_shared) {
                TAILQ_REMOVE(&program->members, member, link);
                free(member);
            }
        }
    }
}

/* -- runs ----------------------------------------------------------------- */

static void tell_started(sse_exec_program_rec_t *program, sse_exec_run_t *run)
{
    sse_exec_member_t *member = TAILQ_FIRST(&program->members);
    sse_exec_message_t message = {0};
    int fds[2];

    if (member) {
        message.type = SSE_EXEC_STARTED;
        message.pid = run->spawn.pid;
        fds[0] = run->spawn.out;
        fds[1] = run->spawn.err;
        sse_exec_member_send(member, &message, fds, 2);
    }
    sse_exec_close(&run->spawn.out);
    sse_exec_close(&run->spawn.err);
}

void sse_exec_table_started(sse_exec_super_t *super, sse_exec_run_t *run)
{
    if (run->program && run->program->is_shared) {
        sse_exec_share_started(super, run->program);
    }
    else if (run->program) {
        tell_started(run->program, run);
    }
}

void sse_exec_table_failed(sse_exec_super_t *super, sse_exec_run_t *run,
                           sse_exec_why_e why, apr_status_t error)
{
    sse_exec_program_rec_t *program = run->program;

    if (!program) {
        return;
    }
    if (program->is_shared) {
        sse_exec_share_failed(super, program, why, error);
        return;
    }
    if (TAILQ_FIRST(&program->members)) {
        sse_exec_member_fail(TAILQ_FIRST(&program->members), why, error);
    }
    sse_exec_table_remove(super, program);
}

void sse_exec_table_exited(sse_exec_super_t *super, sse_exec_run_t *run,
                           int status)
{
    sse_exec_program_rec_t *program = run->program;
    sse_exec_message_t message = {0};

    if (program->is_shared) {
        sse_exec_share_exited(super, program, status);
        return;
    }
    message.type = SSE_EXEC_EXITED;
    message.value = status;
    message.pid = run->spawn.pid;
    if (TAILQ_FIRST(&program->members)) {
        sse_exec_member_send(TAILQ_FIRST(&program->members), &message, NULL, 0);
    }
    sse_exec_table_remove(super, program);
}

void sse_exec_table_leave(sse_exec_super_t *super)
{
    sse_exec_program_rec_t *program, *next;
    sse_exec_run_t *run;

    for (program = TAILQ_FIRST(&super->programs); program; program = next) {
        next = TAILQ_NEXT(program, link);
        program->linger_at = program->start_at = 0;
        if (!program->run) {
            sse_exec_table_remove(super, program);
        }
    }
    TAILQ_FOREACH(run, &super->runs, link)
    {
        sse_exec_run_stop(super, run, super->times->leave);
    }
}
