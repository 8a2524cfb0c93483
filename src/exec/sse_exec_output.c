/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* loop: one read at a time */
static char bytes[SSE_EXEC_OUTPUT_BYTES];

static void on_readable(uv_poll_t *poll, int status, int events);

static void watch(sse_exec_output_t *output)
{
    if (output->fd < 0 || output->is_paused || output->has_ended) {
        return;
    }
    uv_poll_start(&output->poll, UV_READABLE, on_readable);
}

static void end(sse_exec_output_t *output)
{
    if (!output->has_ended) {
        output->has_ended = 1;
        uv_poll_stop(&output->poll);
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
    watch(output);
    return APR_SUCCESS;
}

void sse_exec_output_pause(sse_exec_output_t *output)
{
    output->is_paused = 1;
    if (output->fd >= 0) {
        uv_poll_stop(&output->poll);
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
    uv_close((uv_handle_t *)&output->poll, on_closed);
    close(fd);
}
