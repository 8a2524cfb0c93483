/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "loop/sse_epoll.h"

/* When what could not be watched is tried again. */
#define AGAIN_MSEC 1000

/* loop: one read at a time */
static char bytes[SSE_EXEC_OUTPUT_BYTES];

/* loop: what there was no room to watch; the timer is there while there is
 * something */
static LIST_HEAD(, sse_exec_output_t) stuck = LIST_HEAD_INITIALIZER(stuck);
static uv_timer_t *again;

static void on_readable(uv_poll_t *poll, int status, int events);
static void stick(sse_exec_output_t *output);

static void watch(sse_exec_output_t *output)
{
    apr_status_t rv;

    if (output->fd < 0 || output->is_paused || output->has_ended) {
        return;
    }
    rv = sse_epoll_watch(&output->poll, UV_READABLE, on_readable);
    if (rv != APR_SUCCESS) {
        stick(output);
        if (output->events->on_stuck) {
            output->events->on_stuck(output, rv);
        }
    }
}

static void stop(sse_exec_output_t *output)
{
    uv_poll_stop(&output->poll);
    if (output->is_stuck) {
        output->is_stuck = 0;
        LIST_REMOVE(output, link);
    }
}

static void on_again_closed(uv_handle_t *handle) { free(handle); }

static void on_again(uv_timer_t *timer)
{
    sse_exec_output_t *output, *next;

    for (output = LIST_FIRST(&stuck); output; output = next) {
        next = LIST_NEXT(output, link);
        stop(output);
        watch(output); /* if need be it comes to the head */
    }
    if (LIST_EMPTY(&stuck)) {
        again = NULL;
        uv_close((uv_handle_t *)timer, on_again_closed);
    }
}

static void stick(sse_exec_output_t *output)
{
    output->is_stuck = 1;
    LIST_INSERT_HEAD(&stuck, output, link);
    if (again) {
        return;
    }
    again = calloc(1, sizeof(*again));
    if (!again) {
        abort();
    }
    uv_timer_init(sse_loop_uv(output->loop), again);
    uv_timer_start(again, on_again, AGAIN_MSEC, AGAIN_MSEC);
}

static void end(sse_exec_output_t *output)
{
    if (!output->has_ended) {
        output->has_ended = 1;
        stop(output);
        output->events->on_end(output);
    }
}

static int is_empty(const sse_exec_output_t *output)
{
    int n = 0;

    return ioctl(output->fd, FIONREAD, &n) || !n;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    sse_exec_output_t *output = sse_owner_of(poll, sse_exec_output_t, poll);
    ssize_t n;

    sse_loop_begin_turn(output->loop);
    n = read(output->fd, bytes, sizeof(bytes));
    if (n > 0) {
        output->events->on_bytes(output, bytes, (apr_size_t)n);
    }
    else if (!n || (errno != EAGAIN && errno != EINTR)) {
        end(output);
        return;
    }
    if (output->drains && output->fd >= 0 && !output->is_paused &&
        is_empty(output)) {
        end(output);
    }
}

apr_status_t sse_exec_output_open(sse_exec_output_t *output, sse_loop_t *loop,
                                  int fd,
                                  const sse_exec_output_events_t *events)
{
    int err = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ? errno : 0;

    if (!err) {
        err = -uv_poll_init(sse_loop_uv(loop), &output->poll, fd);
    }
    if (err) {
        return err;
    }
    output->loop = loop;
    output->fd = fd;
    output->events = events;
    output->is_paused = output->drains = output->has_ended = 0;
    output->is_stuck = 0;
    watch(output);
    return APR_SUCCESS;
}

void sse_exec_output_pause(sse_exec_output_t *output)
{
    output->is_paused = 1;
    if (output->fd >= 0) {
        stop(output);
    }
}

/* Drained and empty, nothing may become readable any more: that is the end. */
void sse_exec_output_resume(sse_exec_output_t *output)
{
    if (output->is_paused) {
        output->is_paused = 0;
        watch(output);
        if (output->drains && output->fd >= 0 && is_empty(output)) {
            end(output);
        }
    }
}

void sse_exec_output_drain(sse_exec_output_t *output)
{
    output->drains = 1;
    if (output->fd >= 0 && !output->is_paused && is_empty(output)) {
        end(output);
    }
}

static void on_closed(uv_handle_t *handle)
{
    sse_exec_output_t *output = sse_owner_of(handle, sse_exec_output_t, poll);

    output->events->on_closed(output);
}

void sse_exec_output_close(sse_exec_output_t *output)
{
    int fd = output->fd;

    output->fd = -1;
    output->has_ended = 1;
    stop(output);
    uv_close((uv_handle_t *)&output->poll, on_closed);
    close(fd);
}
