/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/splice/sse_splice_frames_private.h"

#include <stdlib.h>
#include <string.h>

/* Streams at a time, until the engine says. */
#define STREAMS_FIRST 100
/* Requests that are known: those that the engine is about to refuse count as
 * well.  Of more nothing is known, so that their streams cannot be added. */
#define REQUESTS_MOST(most) (4 * ((most) < 1000 ? (most) : 1000) + 64)

/* Resets that the engine does not see: twice what a browser resets at once when
 * a page goes that has all streams of a connection; then so many in a second.
 * Who resets more gets threads of the engine's for new streams; it sees the
 * resets of these, and slows such a client down. */
#define RESETS_BURST      200
#define RESETS_PER_SECOND 20
/* Credit is in thousandths of a reset, as time is of a second. */
#define RESET_COST 1000

/* A reset stream that has less window than this may be waiting for more. */
#define RESET_WINDOW (1 << 20)

/* -- Requests -------------------------------------------------------------- */

int sse_frames_place_of(const sse_frames_t *frames, apr_uint32_t id)
{
    int low = 0, high = frames->n, middle;

    while (low < high) {
        middle = (low + high) / 2;
        if (frames->requests[middle].id < id) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

sse_frames_request_t *sse_frames_find(const sse_frames_t *frames,
                                      apr_uint32_t id)
{
    int at = sse_frames_place_of(frames, id);

    return at < frames->n && frames->requests[at].id == id
               ? &frames->requests[at]
               : NULL;
}

static void grow(sse_frames_t *frames)
{
    frames->size = frames->size ? frames->size * 2 : 8;
    frames->requests = realloc(frames->requests, (apr_size_t)frames->size *
                                                     sizeof(*frames->requests));
    if (!frames->requests) {
        abort();
    }
}

/* The client's HEADERS.  With an id that is not new they are trailers. */
static void enter(sse_frames_t *frames, apr_uint32_t id)
{
    sse_frames_request_t *request;

    if (id % 2 == 0 || id <= frames->last) {
        return;
    }
    frames->last = id;
    if ((apr_uint32_t)frames->n >= REQUESTS_MOST(frames->most)) {
        return;
    }
    if (frames->n == frames->size) {
        grow(frames);
    }
    request = &frames->requests[frames->n++];
    memset(request, 0, sizeof(*request));
    request->id = id;
}

static void drop(sse_frames_t *frames, sse_frames_request_t *request)
{
    sse_frames_request_t *end = frames->requests + --frames->n;

    if (request->phase != SSE_REQUEST_ASKED &&
        request->phase != SSE_REQUEST_LEFT) {
        frames->over[frames->n_over++ % SSE_FRAMES_OVER_MOST] = request->id;
    }
    frames->open -= request->phase == SSE_REQUEST_OPEN;
    memmove(request, request + 1,
            (apr_size_t)(end - request) * sizeof(*request));
}

void sse_frames_tell_over(sse_frames_t *frames, sse_frames_request_t *request,
                          sse_frames_over_e how)
{
    void *stream = request->stream;

    drop(frames, request);
    frames->events->on_over(stream, how);
}

/* END_STREAM has been taken off, or will be with the next bytes. */
static int is_stripped(const sse_frames_t *frames,
                       const sse_frames_request_t *request)
{
    return frames->is_stripped && frames->ending == request->id;
}

static int was_ours(const sse_frames_t *frames, apr_uint32_t id)
{
    int i;

    for (i = 0; i < SSE_FRAMES_OVER_MOST; ++i) {
        if (frames->over[i] == id) {
            return id != 0;
        }
    }
    return 0;
}

int sse_frames_is_ours(const sse_frames_t *frames,
                       const sse_frames_request_t *request)
{
    return request->phase == SSE_REQUEST_OPEN || is_stripped(frames, request);
}

/* -- The client's frames --------------------------------------------------- */

static apr_uint64_t credit_of(const sse_frames_t *frames, apr_uint64_t now)
{
    const apr_uint64_t most = (apr_uint64_t)RESETS_BURST * RESET_COST;
    apr_uint64_t passed = now > frames->credit_at ? now - frames->credit_at : 0;

    if (passed >= most / RESETS_PER_SECOND) {
        return most;
    }
    passed = frames->credit + passed * RESETS_PER_SECOND;
    return passed < most ? passed : most;
}

void sse_frames_count_reset(sse_frames_t *frames)
{
    frames->credit = credit_of(frames, frames->now);
    frames->credit -= frames->credit < RESET_COST ? frames->credit : RESET_COST;
    if (frames->now > frames->credit_at) {
        frames->credit_at = frames->now;
    }
}

/* Reset while the engine is at work on it.  The engine ends it without knowing:
 * mod_http2 ends the whole connection if a reset comes between a response's
 * submission and its sending.  But if it waits for the stream's window, which
 * the client will not add to any more, it would wait for ever. */
static void reset_added(sse_frames_t *frames, sse_frames_request_t *request)
{
    void *stream = request->stream;

    request->phase = SSE_REQUEST_RESET;
    request->stream = NULL;
    if (frames->latest + request->balance < RESET_WINDOW) {
        request->balance += SSE_FRAMES_WINDOW_MOST / 2;
        sse_frames_put_window(&frames->client, request->id,
                              SSE_FRAMES_WINDOW_MOST / 2);
    }
    frames->events->on_over(stream, SSE_FRAMES_RESET_BY_CLIENT);
}

/* Some clients answer by a reset each frame that was under way when they reset
 * a stream, python3-h2 for one.  nghttp2 ends a connection that has 1000 resets
 * within short; and of these it knows no stream. */
static int take_reset(sse_frames_t *frames)
{
    sse_frames_request_t *request = sse_frames_find(frames, frames->client.id);

    if (!request || request->phase == SSE_REQUEST_RESET) {
        return request || was_ours(frames, frames->client.id);
    }
    if (request->phase == SSE_REQUEST_ASKED ||
        request->phase == SSE_REQUEST_LEFT) {
        drop(frames, request);
        return 0;
    }
    sse_frames_count_reset(frames);
    if (sse_frames_is_ours(frames, request)) {
        sse_frames_tell_over(frames, request, SSE_FRAMES_RESET_BY_CLIENT);
    }
    else if (request->phase == SSE_REQUEST_ADDED) {
        reset_added(frames, request);
    }
    return 1;
}

/* Within a block of headers only CONTINUATION may come (6.10): the engine has
 * to see whatever else does. */
int sse_frames_take_client(sse_frames_t *frames, const unsigned char *frame)
{
    const sse_frames_flow_t *flow = &frames->client;

    switch (flow->type) {
    case SSE_FRAME_HEADERS:
        enter(frames, flow->id);
        return 0;
    case SSE_FRAME_WINDOW_UPDATE:
        return flow->len == 4 && !flow->is_block &&
               sse_frames_take_window(
                   frames, sse_frames_number(frame + SSE_FRAMES_HEAD, 4) &
                               SSE_FRAMES_WINDOW_MOST);
    case SSE_FRAME_RST_STREAM:
        return flow->len == 4 && !flow->is_block && take_reset(frames);
    case SSE_FRAME_GOAWAY:
        frames->is_leaving = 1;
        return 0;
    default:
        return 0;
    }
}

static int has_end_stream(const sse_frames_flow_t *flow)
{
    return (flow->type == SSE_FRAME_DATA || flow->type == SSE_FRAME_HEADERS) &&
           (flow->flags & SSE_FRAME_END_STREAM);
}

void sse_frames_end_client(sse_frames_t *frames)
{
    const sse_frames_flow_t *flow = &frames->client;
    sse_frames_request_t *request;

    if (flow->is_settings) {
        sse_frames_take_settings(frames);
    }
    else if (has_end_stream(flow)) {
        request = sse_frames_find(frames, flow->id);
        if (request) {
            request->has_end = 1;
        }
    }
}

/* -- The engine's frames --------------------------------------------------- */

/* The last frame of a request. */
static int take_end(sse_frames_t *frames, const unsigned char *head)
{
    sse_frames_flow_t *flow = &frames->engine;
    const sse_frames_request_t *request = sse_frames_find(frames, flow->id);

    if (!request || request->phase == SSE_REQUEST_OPEN) {
        return 0;
    }
    frames->ending = flow->id;
    frames->is_stripped = request->phase == SSE_REQUEST_ADDED;
    if (!frames->is_stripped) {
        return 0;
    }
    memcpy(flow->out, head, SSE_FRAMES_HEAD);
    flow->out[4] = (unsigned char)(flow->flags & ~SSE_FRAME_END_STREAM);
    flow->out_len = SSE_FRAMES_HEAD;
    return 1;
}

static void take_engine_reset(sse_frames_t *frames)
{
    sse_frames_request_t *request = sse_frames_find(frames, frames->engine.id);

    if (!request) {
        return;
    }
    if (request->stream) {
        sse_frames_tell_over(frames, request, SSE_FRAMES_RESET_BY_ENGINE);
    }
    else {
        drop(frames, request);
    }
}

int sse_frames_take_engine(sse_frames_t *frames, const unsigned char *frame)
{
    const sse_frames_flow_t *flow = &frames->engine;

    if (flow->type == SSE_FRAME_DATA) {
        sse_frames_count_data(frames);
    }
    else if (flow->type == SSE_FRAME_RST_STREAM && flow->len == 4) {
        take_engine_reset(frames);
    }
    return has_end_stream(flow) && take_end(frames, frame);
}

static void open_ended(sse_frames_t *frames)
{
    sse_frames_request_t *request = sse_frames_find(frames, frames->ending);

    frames->ending = 0;
    if (!request) {
        return;
    }
    if (!frames->is_stripped) {
        drop(frames, request);
        return;
    }
    request->phase = SSE_REQUEST_OPEN;
    ++frames->open;
    frames->events->on_open(request->stream);
}

void sse_frames_end_engine(sse_frames_t *frames)
{
    const sse_frames_flow_t *flow = &frames->engine;

    if (flow->is_settings) {
        frames->most = flow->has_value ? flow->value : frames->most;
    }
    else if (flow->type == SSE_FRAME_SETTINGS && !flow->id && !flow->len &&
             (flow->flags & SSE_FRAME_ACK)) {
        sse_frames_take_acknowledgement(frames);
    }
    else if (frames->ending && !flow->is_block) {
        open_ended(frames);
    }
}

/* -- Both ------------------------------------------------------------------ */

int sse_frames_may_change(const sse_frames_t *frames,
                          const sse_frames_flow_t *flow)
{
    const sse_frames_request_t *request;

    if (flow == &frames->engine) {
        if (!has_end_stream(flow)) {
            return 0;
        }
        request = sse_frames_find(frames, flow->id);
        return request && request->phase == SSE_REQUEST_ADDED;
    }
    if (flow->len != 4 || (flow->type != SSE_FRAME_WINDOW_UPDATE &&
                           flow->type != SSE_FRAME_RST_STREAM)) {
        return 0;
    }
    if (!flow->id) {
        return 1;
    }
    request = sse_frames_find(frames, flow->id);
    return request ? request->phase != SSE_REQUEST_ASKED &&
                         request->phase != SSE_REQUEST_LEFT
                   : was_ours(frames, flow->id);
}

void sse_frames_end_all(sse_frames_t *frames)
{
    sse_frames_request_t *request;

    while (frames->n) {
        request = &frames->requests[frames->n - 1];
        if (request->stream) {
            sse_frames_tell_over(frames, request, SSE_FRAMES_RESET_BY_ENGINE);
        }
        else {
            drop(frames, request);
        }
    }
}

/* -- Streams --------------------------------------------------------------- */

int sse_frames_unanswered(const sse_frames_t *frames)
{
    return frames->n - frames->open;
}

static sse_frames_add_e can_add(const sse_frames_t *frames,
                                const sse_frames_request_t *request)
{
    if (!request || request->phase != SSE_REQUEST_ASKED ||
        frames->ending == request->id || frames->is_other) {
        return SSE_FRAMES_NO_REQUEST;
    }
    return request->has_end ? SSE_FRAMES_ADDED : SSE_FRAMES_NO_END;
}

sse_frames_add_e sse_frames_look(const sse_frames_t *frames, apr_uint32_t id,
                                 apr_uint64_t now)
{
    sse_frames_add_e can = can_add(frames, sse_frames_find(frames, id));

    if (can != SSE_FRAMES_ADDED) {
        return can;
    }
    if (!sse_frames_has_account(frames)) {
        return SSE_FRAMES_NO_ACCOUNT;
    }
    if ((apr_uint32_t)frames->n > frames->most) {
        return SSE_FRAMES_TOO_MANY;
    }
    return credit_of(frames, now) < RESET_COST ? SSE_FRAMES_RESETS
                                               : SSE_FRAMES_ADDED;
}

sse_frames_add_e sse_frames_add(sse_frames_t *frames, apr_uint32_t id,
                                void *stream)
{
    sse_frames_request_t *request = sse_frames_find(frames, id);
    sse_frames_add_e can = can_add(frames, request);

    if (can == SSE_FRAMES_ADDED) {
        request->phase = SSE_REQUEST_ADDED;
        request->stream = stream;
    }
    return can;
}

void sse_frames_remove(sse_frames_t *frames, apr_uint32_t id)
{
    sse_frames_request_t *request = sse_frames_find(frames, id);

    if (!request) {
        return;
    }
    if (request->phase == SSE_REQUEST_OPEN) {
        drop(frames, request);
    }
    else if (is_stripped(frames, request)) {
        frames->abandoned = id;
        drop(frames, request);
    }
    else if (request->phase == SSE_REQUEST_ADDED) {
        request->phase = SSE_REQUEST_LEFT;
        request->stream = NULL;
    }
}

void sse_frames_data(sse_frames_t *frames, apr_uint32_t id, apr_size_t len,
                     int is_last, char head[SSE_FRAMES_HEAD])
{
    sse_frames_request_t *request = sse_frames_find(frames, id);

    sse_frames_put_head((unsigned char *)head, len, SSE_FRAME_DATA,
                        is_last ? SSE_FRAME_END_STREAM : 0, id);
    frames->account -= (apr_int64_t)len;
    if (request) {
        request->balance -= (apr_int64_t)len;
        if (is_last) {
            drop(frames, request);
        }
    }
}

int sse_frames_is_leaving(const sse_frames_t *frames)
{
    return frames->is_leaving;
}

sse_frames_t *sse_frames_create(const sse_frames_events_t *events, void *baton)
{
    sse_frames_t *frames = calloc(1, sizeof(*frames));

    if (!frames) {
        abort();
    }
    frames->events = events;
    frames->baton = baton;
    frames->most = STREAMS_FIRST;
    sse_frames_start_windows(frames);
    frames->credit = (apr_uint64_t)RESETS_BURST * RESET_COST;
    return frames;
}

void sse_frames_destroy(sse_frames_t *frames)
{
    free(frames->requests);
    free(frames);
}
