/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file splice_models.h
 * A client and an engine that speak HTTP/2 and count windows as RFC 9113 has
 * it, each for itself, for random talks through the splice's frames.
 *
 * Threads: one.
 */

#ifndef SSE_SPLICE_MODELS_H
#define SSE_SPLICE_MODELS_H

#include "splice_frames.h"

#define REQUESTS 400
#define FIRST    65535 /* a window */
#define OURS     0xee  /* the bytes of our DATA */

typedef struct {
    /* The client's view. */
    long long window; /* less the initial one */
    int is_sent, has_body, body_ended;
    int is_reset, got_reset, ends;
    /* The engine's. */
    long long engine_window; /* likewise */
    int is_live, has_end, has_head, is_done;
    /* Ours. */
    int is_added, is_open;
} request_t;

static request_t requests[REQUESTS];
static unsigned n_requests;
static sse_frames_t *frames;
static heap_t to_frames, from_engine; /* on their ways to the frames */
static heap_t up, down;               /* from there, and not read yet */
static long long client_window, client_initial, client_pending[64];
static unsigned n_pending, consumed;
static long long engine_window, engine_initial;
static unsigned client_block, engine_block; /* of stream, CONTINUATION next */
static apr_uint64_t now;
static unsigned long client_sum, engine_sum, client_got, engine_got;
static unsigned long n_frames, n_opened, n_ours;
static const char *fault;
static unsigned long long seed;

static inline unsigned any(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % below);
}

static inline void must(int is_so, const char *what)
{
    if (!is_so && !fault) {
        fault = what;
    }
}

static inline request_t *request_of(unsigned id)
{
    return id % 2 && id / 2 < n_requests ? &requests[id / 2] : NULL;
}

static inline void take(heap_t *heap, size_t n)
{
    if (heap->bytes) {
        memmove(heap->bytes, heap->bytes + n, heap->len - n);
        heap->len -= n;
    }
}

/* Of frames whose bytes and order must stay. */
static inline void sum(unsigned long *to, const unsigned char *bytes,
                       size_t len)
{
    size_t i;

    for (i = 0; i < len; ++i) {
        *to = (*to ^ (i == 4 ? bytes[i] & ~1u : bytes[i])) * 1099511628211ul;
    }
}

static inline int is_summed(const unsigned char *frame, size_t len)
{
    int type = frame[3];

    return type != 8 && type != 3 && !(type == 0 && len == 9);
}

static inline void send_frame(heap_t *heap, unsigned long *to, int type,
                              int flags, unsigned id,
                              const unsigned char *payload, size_t len)
{
    size_t at = heap->len;

    next_byte += next_byte == OURS;
    add_frame(heap, type, flags, id, payload, len);
    if (is_summed((unsigned char *)heap->bytes + at, heap->len - at)) {
        sum(to, (unsigned char *)heap->bytes + at, heap->len - at);
    }
    ++n_frames;
}

static inline void send_number(heap_t *heap, int type, unsigned id,
                               unsigned value)
{
    unsigned char payload[4];

    put_32(payload, value);
    send_frame(heap, &client_sum, type, 0, id, payload, 4);
}

/* A block of headers, in up to three frames. */
static inline void send_headers(heap_t *heap, unsigned long *to, int type,
                                int flags, unsigned id)
{
    unsigned more = any(4) ? 0 : any(3);

    send_frame(heap, to, type, flags | (more ? 0 : 4), id, NULL, 4 + any(60));
    while (more--) {
        send_frame(heap, to, 9, more ? 0 : 4, id, NULL, any(30));
    }
}

/* -- The client ------------------------------------------------------------ */

static inline void client_settings(void)
{
    unsigned char payload[12] = {0, 5, 0, 0, 64, 0, 0, 4};
    unsigned initial = any(4) ? any(4000) : any(100000);
    int has_window = any(3) != 0;

    if (n_pending == 64) {
        return;
    }
    put_32(payload + 8, initial);
    send_frame(&to_frames, &client_sum, 4, 0, 0, payload, has_window ? 12 : 6);
    client_pending[n_pending++] = has_window ? (long long)initial : -1;
}

static inline void client_ask(void)
{
    request_t *request = &requests[n_requests];
    unsigned id = 2 * n_requests + 1, live = 0, i;

    for (i = 0; i < n_requests; ++i) {
        live += !requests[i].ends && !requests[i].is_reset &&
                !requests[i].got_reset;
    }
    if (n_requests == REQUESTS || live > 40) {
        return;
    }
    ++n_requests;
    memset(request, 0, sizeof(*request));
    request->is_sent = 1;
    request->has_body = !any(4);
    request->body_ended = !request->has_body;
    send_headers(&to_frames, &client_sum, 1, request->has_body ? 0 : 1, id);
}

static inline void client_body(request_t *request, unsigned id)
{
    if (request->body_ended || request->is_reset || request->got_reset) {
        return;
    }
    request->body_ended = !any(2);
    if (request->body_ended && any(2)) {
        send_headers(&to_frames, &client_sum, 1, 1, id); /* trailers */
    }
    else {
        send_frame(&to_frames, &client_sum, 0, request->body_ended, id, NULL,
                   any(300));
    }
}

static inline void client_add(request_t *request, unsigned id,
                              unsigned increment)
{
    if (request->is_reset || request->got_reset || request->ends) {
        return;
    }
    request->window += increment;
    send_number(&to_frames, 8, id, increment);
}

static inline void client_reset(request_t *request, unsigned id)
{
    if (request->is_reset || request->got_reset || request->ends) {
        return;
    }
    request->is_reset = 1;
    send_number(&to_frames, 3, id, 8);
}

static inline void client_add_consumed(void)
{
    if (consumed) {
        client_window += consumed;
        send_number(&to_frames, 8, 0, consumed);
        consumed = 0;
    }
}

static inline void client_act(void)
{
    unsigned which = n_requests ? any(n_requests) : 0;
    request_t *request = &requests[which];
    unsigned id = 2 * which + 1;

    if (!n_requests || !any(4)) {
        client_ask();
        return;
    }
    switch (any(10)) {
    case 0:
    case 1:
    case 2:
        client_add(request, id, 1 + any(3000));
        break;
    case 3:
        client_add(request, id, 1 + any(50000));
        break;
    case 4:
    case 5:
        client_add_consumed();
        break;
    case 6:
        client_body(request, id);
        break;
    case 7:
        if (!any(4)) {
            client_reset(request, id);
        }
        break;
    case 8:
        client_settings();
        break;
    default:
        send_frame(&to_frames, &client_sum, any(2) ? 6 : 2, 0, id, NULL, 8);
    }
}

static inline void client_acknowledged(void)
{
    must(n_pending > 0, "an acknowledgement of nothing");
    if (client_pending[0] >= 0) {
        client_initial = client_pending[0];
    }
    memmove(client_pending, client_pending + 1, sizeof(client_pending) - 8);
    --n_pending;
}

static inline void client_data(request_t *request, long long len)
{
    client_window -= len;
    consumed += (unsigned)len;
    must(client_window >= 0, "the connection's window is overdrawn");
    request->window -= len;
    must(request->is_reset || !len || client_initial + request->window >= 0,
         "a stream's window is overdrawn");
}

static inline void client_of_request(const unsigned char *frame, unsigned id,
                                     long long len)
{
    request_t *request = request_of(id);
    int type = frame[3];

    must(request != NULL, "a stream that was not asked for");
    if (!request) {
        return;
    }
    must(request->is_reset || (!request->ends && !request->got_reset) ||
             type == 9,
         "a frame of a stream that has ended");
    if (type == 0) {
        client_data(request, len);
    }
    request->got_reset |= type == 3;
    request->ends += (type == 0 || type == 1) && (frame[4] & 1);
    must(request->ends <= 1, "two ends");
}

static inline void client_block_of(const unsigned char *frame, unsigned id)
{
    int type = frame[3];

    must(client_block ? type == 9 && id == client_block : type != 9,
         "a block of headers is torn");
    if (type == 1 || type == 5 || type == 9) {
        client_block = frame[4] & 4 ? 0 : id;
    }
}

static inline size_t client_read(const unsigned char *frame, size_t len)
{
    unsigned id = get_32(frame + 5);

    client_block_of(frame, id);
    if (frame[3] == 0 && len > 9 && frame[9] == OURS) {
        n_ours += len - 9;
    }
    else if (is_summed(frame, len)) {
        sum(&client_got, frame, len);
    }
    if (frame[3] == 4 && (frame[4] & 1)) {
        client_acknowledged();
    }
    if (id && frame[3] != 5) {
        client_of_request(frame, id, (long long)len - 9);
    }
    return len;
}

static inline void
read_all(heap_t *heap, size_t (*read)(const unsigned char *frame, size_t len))
{
    const unsigned char *frame;
    size_t at = 0, len;

    while (at + 9 <= heap->len) {
        frame = (const unsigned char *)heap->bytes + at;
        len = 9 + (get_32(frame) >> 8);
        if (at + len > heap->len) {
            break;
        }
        at += read(frame, len);
    }
    take(heap, at);
}

/* -- The engine ------------------------------------------------------------ */

static inline void engine_settings(const unsigned char *payload, size_t len)
{
    for (; len; len -= 6, payload += 6) {
        if (payload[1] == 4) {
            engine_initial = get_32(payload + 2);
        }
    }
    send_frame(&from_engine, &engine_sum, 4, 1, 0, NULL, 0);
}

static inline void engine_window_update(unsigned id, unsigned increment)
{
    request_t *request = request_of(id);

    must(increment > 0, "an increment of 0");
    if (!id) {
        engine_window += increment;
        must(engine_window <= 0x7fffffff, "too large a window");
    }
    else if (request && request->is_live) {
        request->engine_window += increment;
        must(engine_initial + request->engine_window <= 0x7fffffff,
             "too large a stream's window");
    }
}

static inline void engine_of_request(const unsigned char *frame, unsigned id)
{
    request_t *request = request_of(id);
    int type = frame[3];

    must(request != NULL, "a request that was not made");
    if (!request || request->is_done) {
        return;
    }
    if (type == 1) {
        request->is_live = 1;
    }
    request->has_end |= (type == 0 || type == 1) && (frame[4] & 1);
    if (type == 3) {
        request->is_live = 0;
        request->is_done = 1;
    }
}

static inline size_t engine_read(const unsigned char *frame, size_t len)
{
    unsigned id = get_32(frame + 5);
    int type = frame[3];

    must(engine_block ? type == 9 && id == engine_block : type != 9,
         "a request's block of headers is torn");
    if (type == 1 || type == 9) {
        engine_block = frame[4] & 4 ? 0 : id;
    }
    if (is_summed(frame, len)) {
        sum(&engine_got, frame, len);
    }
    if (type == 8) {
        engine_window_update(id, get_32(frame + 9));
    }
    else if (type == 4) {
        engine_settings(frame + 9, len - 9);
    }
    else if (id) {
        engine_of_request(frame, id);
    }
    return len;
}

static inline void engine_end(request_t *request)
{
    request->is_live = 0;
    request->is_done = 1;
}

/* @param most bytes of DATA */
static inline void engine_answer(request_t *request, unsigned id,
                                 long long most)
{
    long long len = any(8) ? any(400) : any(20000);
    int is_last = !any(3);

    if (!request->has_head) {
        request->has_head = 1;
        is_last = is_last && request->has_end;
        send_headers(&from_engine, &engine_sum, 1, is_last, id);
    }
    else {
        len = len < most ? len : most;
        len = len < engine_window ? len : engine_window;
        if (len > engine_initial + request->engine_window) {
            len = engine_initial + request->engine_window;
            is_last = 0;
        }
        len = len < 0 ? 0 : len;
        is_last = is_last && request->has_end;
        engine_window -= len;
        request->engine_window -= len;
        send_frame(&from_engine, &engine_sum, 0, is_last, id, NULL,
                   (size_t)len);
    }
    if (is_last) {
        engine_end(request);
    }
}

static inline void maybe_add(request_t *request, unsigned id)
{
    if (!request->is_added && any(2) &&
        sse_frames_look(frames, id, now) == SSE_FRAMES_ADDED &&
        sse_frames_add(frames, id, request) == SSE_FRAMES_ADDED) {
        must(request->has_end || !request->is_live, "added without its end");
        request->is_added = 1;
    }
    else if (request->is_added && !request->is_open && !any(40)) {
        sse_frames_remove(frames, id);
    }
}

static inline void engine_act(void)
{
    unsigned which = n_requests ? any(n_requests) : 0;
    request_t *request = &requests[which];
    unsigned id = 2 * which + 1;

    if (!n_requests || !request->is_live || engine_block) {
        return;
    }
    maybe_add(request, id);
    if (!any(60)) {
        send_number(&from_engine, 3, id, 2);
        engine_end(request);
    }
    else if (!any(20)) {
        send_frame(&from_engine, &engine_sum, 6, 0, 0, NULL, 8);
    }
    else if (!any(40)) {
        send_headers(&from_engine, &engine_sum, 5, 0, id);
    }
    else {
        engine_answer(request, id, 16384);
    }
}

#endif /* SSE_SPLICE_MODELS_H */
