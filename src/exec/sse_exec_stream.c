/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_stream.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "event/sse_room.h"
#include "exec/sse_exec_errors.h"
#include "exec/sse_exec_output.h"
#include "loop/sse_complain.h"
#include "loop/sse_log.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* How far the end of the program has come. */
typedef enum {
    RUNS,
    EXITED, /* its first process has ended, or all of it with the supervisor */
    READ,   /* and all that it has written has been read */
    TOLD    /* and its status is on its way to the client */
} end_e;

struct sse_exec_stream_t {
    apr_uint32_t refs; /* atomic: the stream's, the program's, one for each
                          open handle */
    sse_exec_program_t program;
    server_rec *s;                 /* const */
    char *path;                    /* const */
    const sse_exec_order_t *order; /* request: until it was started */
    int fds[2]; /* request, then loop: its output and errors until these
                      have handles; -1 */
    sse_task_t drop_task;

    /* const: presence */
    sse_presence_who_t *who; /* NULL: its client is on no channel */
    const sse_slice_t *keys; /* as long as the stream */
    int n_keys;

    /* loop */
    sse_stream_t *stream;           /* NULL: not attached yet, or ended */
    int is_dropped;                 /* it has ended, or was never opened */
    sse_presence_entry_t **entries; /* for each key, while it is open; or
                                       NULL */
    end_e end;
    int status; /* as of waitpid() */
    int is_lost;
    int has_output; /* its handle is open */
    sse_exec_output_t output;
    sse_exec_errors_t *errors;
    sse_exec_parser_t *parser;

    sse_room_t batch; /* what was parsed, as it is written */
    apr_size_t len;
    int events;         /* in it */
    char *id;           /* of the last event that has one; malloc'ed */
    sse_buf_t *pending; /* the stream's queue had no room for it */
};

static sse_loop_t *child_loop; /* const after child_init */

static void release(sse_exec_stream_t *self)
{
    if (sse_atomic_sub(&self->refs, 1) == 0) {
        sse_exec_parser_destroy(self->parser);
        sse_presence_release(self->who);
        sse_room_free(&self->batch);
        free(self->id);
        free(self->path);
        free(self);
    }
}

/* -- Events ---------------------------------------------------------------- */

static void add_event(void *baton, const sse_fields_t *event, apr_uint64_t upto)
{
    sse_exec_stream_t *self = baton;
    apr_size_t size = sse_event_size(event);

    if (!sse_room_double(&self->batch, self->len + size)) {
        abort();
    }
    sse_event_write(event, self->batch.ptr + self->len);
    self->len += size;
    ++self->events;
    if (event->id.ptr) {
        free(self->id);
        self->id = strndup(event->id.ptr, event->id.len);
    }
}

static void on_trouble(void *baton, sse_exec_trouble_e trouble, const char *why)
{
    const sse_exec_stream_t *self = baton;

    sse_exec_tell_trouble(self->s, self->path, trouble, why);
}

static const sse_exec_parser_events_t parser_events = {add_event, on_trouble};

/* What was parsed, as one buffer. */
static sse_buf_t *take_batch(sse_exec_stream_t *self)
{
    apr_size_t id_len = self->id ? strlen(self->id) : 0;
    sse_buf_t *buf = sse_buf_create(self->len + id_len);

    memcpy(buf->data, self->batch.ptr, self->len);
    if (id_len) {
        memcpy(buf->data + self->len, self->id, id_len);
    }
    buf->len = self->len;
    buf->id_len = id_len;
    buf->events = self->events;
    free(self->id);
    self->id = NULL;
    self->len = 0;
    self->events = 0;
    if (self->batch.size > SSE_EXEC_OUTPUT_BYTES) {
        sse_room_free(&self->batch);
    }
    return buf;
}

/* @return whether there is room for more */
static int push(sse_exec_stream_t *self)
{
    while (self->pending || self->len) {
        if (!self->pending) {
            self->pending = take_batch(self);
        }
        if (APR_STATUS_IS_EAGAIN(sse_stream_push(self->stream, self->pending,
                                                 SSE_PUSH_BOUNDED))) {
            return 0;
        }
        sse_buf_release(self->pending);
        self->pending = NULL;
    }
    return 1;
}

/* -- The program's end ----------------------------------------------------- */

static void push_status(sse_exec_stream_t *self)
{
    sse_fields_t event = SSE_FIELDS_NONE;
    char data[40];

    if (WIFSIGNALED(self->status)) {
        apr_snprintf(data, sizeof(data), "{\"signal\":%d}",
                     WTERMSIG(self->status));
    }
    else {
        apr_snprintf(data, sizeof(data), "{\"exit\":%d}",
                     WEXITSTATUS(self->status));
    }
    event.event = sse_slice("sse-error");
    event.data = sse_slice(data);
    add_event(self, &event, 0);
    self->pending = take_batch(self);
    sse_stream_push(self->stream, self->pending, SSE_PUSH_ALWAYS);
    sse_buf_release(self->pending);
    self->pending = NULL;
}

/* The stream ends when the client has been given all, however slowly it
 * reads. */
static void look_at_end(sse_exec_stream_t *self)
{
    if (!self->stream || self->end < READ || self->pending) {
        return;
    }
    if (self->is_lost) {
        sse_stream_end(self->stream, SSE_CLOSE_ERROR, APR_EOF);
        return;
    }
    if (self->end == READ) {
        self->end = TOLD;
        if (self->status) {
            push_status(self);
        }
    }
    if (sse_stream_is_drained(self->stream)) {
        sse_stream_end(self->stream, SSE_CLOSE_COMPLETE, APR_SUCCESS);
    }
}

static void close_output(sse_exec_stream_t *self)
{
    if (self->has_output) {
        self->has_output = 0;
        sse_exec_output_close(&self->output);
    }
}

/* The stream has ended: what it writes yet is of no use, but to end in an
 * orderly way it must be able to write. */
static void on_bytes(sse_exec_output_t *output, const char *bytes,
                     apr_size_t len)
{
    sse_exec_stream_t *self = sse_owner_of(output, sse_exec_stream_t, output);

    if (!self->stream) {
        return;
    }
    sse_exec_parser_feed(self->parser, bytes, len);
    if (!push(self)) {
        sse_exec_output_pause(output);
    }
}

/* A program may close its output and go on. */
static void on_output_end(sse_exec_output_t *output)
{
    sse_exec_stream_t *self = sse_owner_of(output, sse_exec_stream_t, output);

    if (self->stream) {
        sse_exec_parser_finish(self->parser);
        push(self);
    }
    if (self->end == EXITED) {
        self->end = READ;
    }
    look_at_end(self);
}

static void on_output_closed(sse_exec_output_t *output)
{
    release(sse_owner_of(output, sse_exec_stream_t, output));
}

static void on_output_stuck(sse_exec_output_t *output, apr_status_t rv)
{
    const sse_exec_stream_t *self =
        sse_owner_of(output, sse_exec_stream_t, output);

    sse_exec_tell_stuck(self->s, self->path, rv);
}

static const sse_exec_output_events_t output_events = {
    on_bytes, on_output_end, on_output_closed, on_output_stuck};

static void close_errors(sse_exec_stream_t *self)
{
    if (self->errors) {
        sse_exec_errors_close(self->errors);
        self->errors = NULL;
    }
}

/* Where the stream is not attached yet, there are no handles either. */
static void read_rest(sse_exec_stream_t *self)
{
    close_errors(self);
    if (self->is_dropped) {
        close_output(self);
    }
    else if (self->has_output && self->output.has_ended) {
        self->end = READ;
        look_at_end(self);
    }
    else if (self->has_output) {
        sse_exec_output_drain(&self->output);
    }
}

static void tell_failed(const sse_exec_stream_t *self, int status)
{
    static sse_complaint_t complaint;
    int is_signal = WIFSIGNALED(status);

    if (sse_complain_is_due(&complaint)) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, self->s,
                      "%s: a program of one stream has ended with %s %d, as "
                      "its client is told. Not logged again for a minute",
                      self->path, is_signal ? "signal" : "exit status",
                      is_signal ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static void on_exited(sse_exec_program_t *program, int status,
                      apr_int64_t restart_msec, apr_status_t error)
{
    sse_exec_stream_t *self = sse_owner_of(program, sse_exec_stream_t, program);

    if (self->end == RUNS) {
        self->end = EXITED;
        self->status = status;
        if (status && !self->is_dropped) {
            tell_failed(self, status);
        }
        read_rest(self);
    }
    release(self); /* the program's */
}

static void on_lost(sse_exec_program_t *program)
{
    sse_exec_stream_t *self = sse_owner_of(program, sse_exec_stream_t, program);

    self->is_lost = 1;
    on_exited(program, 0, 0, 0);
}

static const sse_exec_program_events_t program_events = {NULL, on_exited,
                                                         on_lost, NULL};

/* -- Presence -------------------------------------------------------------- */

static void come(sse_exec_stream_t *self)
{
    int i;

    if (!self->who) {
        return;
    }
    self->entries = calloc((apr_size_t)self->n_keys, sizeof(*self->entries));
    if (!self->entries) {
        abort();
    }
    for (i = 0; i < self->n_keys; ++i) {
        self->entries[i] = sse_presence_join(
            self->who, sse_stream_id(self->stream), self->keys[i]);
    }
}

static void leave(sse_exec_stream_t *self)
{
    int i;

    for (i = 0; self->entries && i < self->n_keys; ++i) {
        sse_presence_leave(self->entries[i], sse_stream_reason(self->stream));
    }
    free(self->entries);
    self->entries = NULL;
}

/* -- The source ------------------------------------------------------------ */

static void open_handles(sse_exec_stream_t *self)
{
    apr_status_t rv;

    self->errors =
        sse_exec_errors_open(child_loop, self->fds[1], self->s, self->path);
    self->fds[1] = -1;
    rv = sse_exec_output_open(&self->output, child_loop, self->fds[0],
                              &output_events);
    if (rv == APR_SUCCESS) {
        self->fds[0] = -1;
        self->has_output = 1;
        sse_atomic_add(&self->refs, 1);
    }
    else {
        sse_exec_tell_stuck(self->s, self->path, rv);
        sse_stream_end(self->stream, SSE_CLOSE_ERROR, rv);
    }
}

static void on_attached(sse_stream_t *stream, void *baton)
{
    sse_exec_stream_t *self = baton;

    self->stream = stream;
    come(self);
    open_handles(self);
    if (self->end == EXITED) {
        read_rest(self);
    }
}

static void on_drained(sse_stream_t *stream, void *baton)
{
    sse_exec_stream_t *self = baton;

    if (self->has_output && push(self)) {
        sse_exec_output_resume(&self->output);
    }
    look_at_end(self);
}

/* It never is: what comes later is not to be had again. */
static int is_caught_up(sse_stream_t *stream, void *baton, sse_id_t *upto)
{
    return 0;
}

/* The loop lets go of the stream, or of one that was never opened. */
static void drop(sse_exec_stream_t *self)
{
    self->stream = NULL;
    self->is_dropped = 1;
    if (self->pending) {
        sse_buf_release(self->pending);
        self->pending = NULL;
    }
    if (self->end == RUNS) {
        sse_exec_client_stop(&self->program);
    }
    if (self->end != RUNS) {
        close_errors(self);
        close_output(self);
    }
    else if (self->has_output) {
        sse_exec_output_resume(&self->output);
    }
    sse_exec_close(&self->fds[0]);
    sse_exec_close(&self->fds[1]);
    release(self); /* the stream's */
}

static void on_drop(sse_task_t *task)
{
    drop(sse_owner_of(task, sse_exec_stream_t, drop_task));
}

static void on_ended(sse_stream_t *stream, void *baton)
{
    sse_exec_stream_t *self = baton;

    if (stream) {
        leave(self);
        drop(self);
    }
    else {
        sse_loop_post(child_loop, &self->drop_task); /* a request's thread */
    }
}

const sse_source_t sse_exec_stream_source = {on_attached, on_drained,
                                             is_caught_up, on_ended};

/* -- A request's thread ---------------------------------------------------- */

sse_exec_stream_t *sse_exec_stream_create(server_rec *s,
                                          const sse_exec_order_t *order,
                                          sse_exec_format_e format,
                                          apr_size_t max_event)
{
    sse_exec_stream_t *self = calloc(1, sizeof(*self));

    if (!self || !(self->path = strdup(order->argv[0]))) {
        abort();
    }
    self->refs = 1;
    self->program.events = &program_events;
    self->s = s;
    self->order = order;
    self->fds[0] = self->fds[1] = -1;
    self->drop_task.run = on_drop;
    self->parser =
        sse_exec_parser_create(format, max_event, &parser_events, self);
    return self;
}

void sse_exec_stream_join(sse_exec_stream_t *self, sse_presence_who_t *who,
                          const sse_slice_t *keys, int n)
{
    self->who = who;
    self->keys = keys;
    self->n_keys = n;
}

/* The program may end before this returns. */
apr_status_t sse_exec_stream_start(sse_exec_stream_t *self,
                                   sse_exec_message_t *answer)
{
    apr_status_t rv;

    sse_atomic_add(&self->refs, 1);
    rv = sse_exec_client_start(&self->program, self->order, 0, self->fds,
                               answer);
    if (rv != APR_SUCCESS || answer->type != SSE_EXEC_STARTED) {
        sse_atomic_sub(&self->refs, 1);
    }
    return rv;
}

void sse_exec_stream_init(sse_loop_t *loop) { child_loop = loop; }
