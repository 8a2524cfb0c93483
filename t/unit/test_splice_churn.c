/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file test_splice_churn.c
 * Random talks through the splice's frames.  Client and engine are models that
 * know nothing of it: each counts windows as RFC 9113 has it, a strict client
 * with its SETTINGS from their acknowledgement on.  No window is overdrawn, no
 * frame is lost, changed or out of order, each stream ends once; and what the
 * client has given of its window is with the engine or with us, to the byte.
 */

#include "splice_models.h"

#define TALKS 400
#define STEPS 700

static int engine_rests;

/* -- Ours ------------------------------------------------------------------ */

static unsigned id_of(const void *stream)
{
    return 2 * (unsigned)((const request_t *)stream - requests) + 1;
}

static void on_open(void *stream)
{
    request_t *request = stream;

    must(request->is_added && !request->is_open, "opened twice");
    request->is_open = 1;
    ++n_opened;
}

static void on_over(void *stream, sse_frames_over_e how)
{
    request_t *request = stream;

    must(how != SSE_FRAMES_BAD_WINDOW, "a window that was right");
    request->is_open = 0;
}

static void on_room(void *stream)
{
    must(((request_t *)stream)->is_open, "room for what is not open");
}

static void on_account(void *baton)
{
    must(!sse_frames_is_account_empty(frames), "room for none");
}

static const sse_frames_events_t events = {on_open, on_over, on_room,
                                           on_account};

static size_t send_ours(request_t *request, size_t most, int is_last)
{
    static char payload[SSE_FRAMES_DATA_MOST];
    char head[SSE_FRAMES_HEAD];
    size_t len = sse_frames_room(frames, id_of(request));

    len = len < most ? len : most;
    if (len || is_last) {
        memset(payload, OURS, len);
        sse_frames_data(frames, id_of(request), len, is_last, head);
        heap_add(&down, head, sizeof(head));
        heap_add(&down, payload, len);
        ++n_frames;
    }
    if (is_last) {
        request->is_open = 0;
    }
    return len;
}

static void our_act(void)
{
    unsigned which = n_requests ? any(n_requests) : 0;
    char frame[SSE_FRAMES_RESET];

    if (!n_requests || !requests[which].is_open ||
        !sse_frames_is_between(frames)) {
        return;
    }
    if (any(30)) {
        send_ours(&requests[which], any(4) ? any(500) : 100000, !any(12));
        return;
    }
    sse_frames_remove(frames, 2 * which + 1);
    sse_frames_reset(2 * which + 1, 8, frame);
    heap_add(&down, frame, sizeof(frame));
    requests[which].is_open = 0;
}

/* -- A talk ---------------------------------------------------------------- */

static void wake(void)
{
    sse_span_t give;

    engine_rests = 0;
    sse_frames_engine_rests(frames, 0);
    sse_frames_give_kept(frames, &give);
    heap_add(&up, give.bytes, give.len);
}

/* So many bytes go through the frames. */
static void pass(int is_client, size_t n)
{
    heap_t *heap = is_client ? &to_frames : &from_engine;
    sse_span_t bytes, give;
    char *copy;

    n = n < heap->len ? n : heap->len;
    copy = malloc(n + 1);
    memcpy(copy, heap->bytes ? heap->bytes : "", n);
    take(heap, n);
    bytes.bytes = copy;
    bytes.len = n;
    while (bytes.len) {
        if (is_client) {
            sse_frames_from_client(frames, &bytes, &give, now);
        }
        else {
            sse_frames_from_engine(frames, &bytes, &give);
        }
        heap_add(is_client ? &up : &down, give.bytes, give.len);
    }
    free(copy);
}

static void run_engine(unsigned acts)
{
    read_all(&up, engine_read);
    while (acts--) {
        engine_act();
    }
}

static void step(void)
{
    now += any(30);
    if (any(3)) {
        client_act();
    }
    pass(1, any(3) ? any(40) : any(2000));
    if (!any(50) && !engine_rests && !from_engine.len && !up.len) {
        engine_rests = 1;
        sse_frames_engine_rests(frames, 1);
    }
    else if (engine_rests && !any(5)) {
        wake();
    }
    if (!engine_rests) {
        run_engine(1 + any(6));
        pass(0, any(3) ? any(60) : any(40000));
    }
    our_act();
    read_all(&down, client_read);
}

static void begin(void)
{
    unsigned char payload[6] = {0, 3, 0, 0, 0, 60};

    n_requests = n_pending = consumed = 0;
    client_window = client_initial = engine_window = engine_initial = FIRST;
    client_sum = engine_sum = client_got = engine_got = 0;
    client_block = engine_block = 0;
    engine_rests = 0;
    frames = sse_frames_create(&events, NULL);
    send_frame(&from_engine, &engine_sum, 4, 0, 0, payload, 6);
    heap_add(&to_frames, PREFACE, PREFACE_LEN);
    pass(1, PREFACE_LEN);
    take(&up, PREFACE_LEN);
    client_settings();
    client_window += 150000;
    send_number(&to_frames, 8, 0, 150000);
}

/* Until nothing is left to say.  What the client has reset is not given any
 * window by it. */
static int settle_once(void)
{
    int is_left = 0;
    unsigned i;

    client_add_consumed();
    for (i = 0; i < n_requests; ++i) {
        if (requests[i].is_live || requests[i].is_open) {
            client_add(&requests[i], 2 * i + 1, 20000);
            is_left = 1;
        }
        requests[i].has_body = 0;
        while (!requests[i].body_ended && !requests[i].is_reset &&
               !requests[i].got_reset) {
            client_body(&requests[i], 2 * i + 1);
        }
    }
    pass(1, (size_t)-1);
    run_engine(2000);
    pass(0, (size_t)-1);
    for (i = 0; i < n_requests; ++i) {
        if (requests[i].is_open) {
            send_ours(&requests[i], 1000, 1);
        }
    }
    read_all(&down, client_read);
    return is_left;
}

/* With a stream more, whose window is as large as can be, all of our account
 * is sent. */
static void empty_account(void)
{
    request_t *request = &requests[n_requests];
    unsigned id = 2 * n_requests + 1;
    long long before, ours = 0;
    size_t len;

    memset(request, 0, sizeof(*request));
    ++n_requests;
    send_headers(&to_frames, &client_sum, 1, 1, id);
    request->body_ended = 1;
    client_add(request, id, 0x7fff0000 - 200000);
    pass(1, (size_t)-1);
    read_all(&up, engine_read);
    now += 100000;
    request->is_added = 1;
    must(sse_frames_add(frames, id, request) == SSE_FRAMES_ADDED,
         "the last stream is not added");
    request->has_head = 1;
    send_headers(&from_engine, &engine_sum, 1, 1, id);
    engine_end(request);
    pass(0, (size_t)-1);
    read_all(&down, client_read);
    before = client_window;
    while ((len = send_ours(request, (size_t)-1, 0)) > 0) {
        ours += (long long)len;
    }
    read_all(&down, client_read);
    must(ours == before - engine_window && client_window == engine_window,
         "what was given is not what there is");
    send_ours(request, 0, 1);
    read_all(&down, client_read);
}

static void end(void)
{
    unsigned i, rounds = 0;

    wake();
    while (settle_once() && ++rounds < 1000) {
    }
    must(rounds < 1000, "it does not settle");
    must(sse_frames_unanswered(frames) == 0, "requests that are not answered");
    if (n_requests < REQUESTS) {
        empty_account();
    }
    must(!up.len && !down.len && !client_block && !engine_block,
         "frames that are not whole");
    for (i = 0; i < n_requests; ++i) {
        must(requests[i].is_reset || requests[i].got_reset ||
                 requests[i].ends == 1,
             "a stream without an end");
    }
    must(client_sum == engine_got, "the client's frames are not the same");
    must(engine_sum == client_got, "the engine's frames are not the same");
    sse_frames_destroy(frames);
}

int main(void)
{
    unsigned talks, steps;

    for (talks = 0; talks < TALKS && !fault; ++talks) {
        seed = 0x9e3779b97f4a7c15ull * (talks + 1);
        begin();
        for (steps = 0; steps < STEPS && !fault; ++steps) {
            step();
        }
        end();
    }
    is_str(fault ? fault : "", "", "nothing is wrong");
    if (fault) {
        printf("# talk %u\n", talks);
    }
    printf("# %lu frames, %lu streams, %lu bytes of theirs\n", n_frames,
           n_opened, n_ours);
    ok(n_frames > 300000, "there were many frames");
    ok(n_opened > 5000, "and streams");
    ok(n_ours > 1000000, "on which something was sent");
    heap_clear(&to_frames);
    heap_clear(&from_engine);
    heap_clear(&up);
    heap_clear(&down);
    return done_testing();
}
