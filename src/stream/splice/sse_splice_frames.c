/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/splice/sse_splice_frames_private.h"

#include <stdlib.h>
#include <string.h>

/* Settings, RFC 9113, 6.5.2. */
#define MAX_CONCURRENT_STREAMS 3
#define INITIAL_WINDOW_SIZE    4

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE ((int)sizeof(preface) - 1)

/* -- Frames that are made here --------------------------------------------- */

static void put_number(unsigned char *out, apr_uint32_t value)
{
    out[0] = (unsigned char)(value >> 24);
    out[1] = (unsigned char)(value >> 16);
    out[2] = (unsigned char)(value >> 8);
    out[3] = (unsigned char)value;
}

void sse_frames_put_head(unsigned char *out, apr_size_t len, int type,
                         int flags, apr_uint32_t id)
{
    out[0] = (unsigned char)(len >> 16);
    out[1] = (unsigned char)(len >> 8);
    out[2] = (unsigned char)len;
    out[3] = (unsigned char)type;
    out[4] = (unsigned char)flags;
    put_number(out + 5, id);
}

void sse_frames_put_window(sse_frames_flow_t *flow, apr_uint32_t id,
                           apr_int64_t increment)
{
    unsigned char *out = flow->out + flow->out_len;

    sse_frames_put_head(out, 4, SSE_FRAME_WINDOW_UPDATE, 0, id);
    put_number(out + SSE_FRAMES_HEAD, (apr_uint32_t)increment);
    flow->out_len += SSE_FRAMES_SHORT;
}

void sse_frames_reset(apr_uint32_t id, apr_uint32_t code,
                      char frame[SSE_FRAMES_RESET])
{
    unsigned char *out = (unsigned char *)frame;

    sse_frames_put_head(out, 4, SSE_FRAME_RST_STREAM, 0, id);
    put_number(out + SSE_FRAMES_HEAD, code);
}

/* -- Passing on ------------------------------------------------------------ */

/* The next bytes go on as they are.  They follow those that do so already. */
static void pass(sse_span_t *bytes, sse_span_t *give, apr_size_t n)
{
    bytes->bytes += n;
    bytes->len -= n;
    give->len += n;
}

static void give_out(sse_frames_flow_t *flow, sse_span_t *give)
{
    give->bytes = (const char *)flow->out;
    give->len = flow->out_len;
}

static void give_held(sse_frames_flow_t *flow, sse_span_t *give)
{
    give->bytes = (const char *)flow->held;
    give->len = (apr_size_t)flow->have;
    flow->have = 0;
}

static void read_preface(sse_frames_t *frames, sse_span_t *bytes,
                         sse_span_t *give)
{
    apr_size_t n = (apr_size_t)(PREFACE - frames->preface);

    n = bytes->len < n ? bytes->len : n;
    if (memcmp(bytes->bytes, preface + frames->preface, n) != 0) {
        frames->is_other = 1;
        return;
    }
    frames->preface += (int)n;
    pass(bytes, give, n);
}

/* -- Payloads -------------------------------------------------------------- */

static void take_setting(sse_frames_t *frames, sse_frames_flow_t *flow)
{
    apr_uint32_t want =
        flow == &frames->client ? INITIAL_WINDOW_SIZE : MAX_CONCURRENT_STREAMS;

    if (sse_frames_number(flow->entry, 2) == want) {
        flow->has_value = 1;
        flow->value = sse_frames_number(flow->entry + 2, 4);
    }
}

static void read_settings(sse_frames_t *frames, sse_frames_flow_t *flow,
                          const char *bytes, apr_size_t n)
{
    const int size = (int)sizeof(flow->entry);

    for (; n; --n) {
        flow->entry[flow->have_entry++] = (unsigned char)*bytes++;
        if (flow->have_entry == size) {
            flow->have_entry = 0;
            take_setting(frames, flow);
        }
    }
}

static void end_frame(sse_frames_t *frames, sse_frames_flow_t *flow)
{
    if (flow == &frames->client) {
        sse_frames_end_client(frames);
    }
    else {
        sse_frames_end_engine(frames);
    }
}

/* Whether something is due as soon as the frame has passed, in one piece with
 * the last of it, since nothing may come for a long time: END_STREAM that was
 * taken off, of a stream that has been removed since; window that was kept when
 * the engine woke within a frame. */
static int has_tail(const sse_frames_t *frames, const sse_frames_flow_t *flow)
{
    return flow == &frames->engine ? frames->abandoned != 0
                                   : frames->kept && !frames->rests;
}

static void put_tail(sse_frames_t *frames, sse_frames_flow_t *flow)
{
    if (flow == &frames->client) {
        sse_frames_put_window(flow, 0, frames->kept);
        frames->kept = 0;
        return;
    }
    sse_frames_put_head(flow->out + flow->out_len, 0, SSE_FRAME_DATA,
                        SSE_FRAME_END_STREAM, frames->abandoned);
    flow->out_len += SSE_FRAMES_HEAD;
    frames->abandoned = 0;
}

/* The last byte of a frame that has a tail.
 * @return whether to go on reading */
static int end_with_tail(sse_frames_t *frames, sse_frames_flow_t *flow,
                         sse_span_t *bytes, sse_span_t *give)
{
    if (give->len) {
        return 0;
    }
    if (flow->is_settings) {
        read_settings(frames, flow, bytes->bytes, 1);
    }
    flow->out[0] = (unsigned char)*bytes->bytes++;
    --bytes->len;
    flow->out_len = 1;
    flow->left = 0;
    put_tail(frames, flow);
    end_frame(frames, flow);
    give_out(flow, give);
    return 0;
}

/* @return whether to go on reading */
static int pass_payload(sse_frames_t *frames, sse_frames_flow_t *flow,
                        sse_span_t *bytes, sse_span_t *give)
{
    apr_size_t n = bytes->len < flow->left ? bytes->len : flow->left;

    if (n == flow->left && !flow->is_block && has_tail(frames, flow) &&
        --n == 0) {
        return end_with_tail(frames, flow, bytes, give);
    }
    if (flow->is_settings) {
        read_settings(frames, flow, bytes->bytes, n);
    }
    pass(bytes, give, n);
    flow->left -= (apr_uint32_t)n;
    if (!flow->left) {
        end_frame(frames, flow);
    }
    return 1;
}

/* -- Heads ----------------------------------------------------------------- */

/* How much of a frame is looked at before it passes, by its head: all of the
 * client's that may change a window or end a stream. */
static int needed(const sse_frames_t *frames, const sse_frames_flow_t *flow,
                  const unsigned char *head)
{
    int type = head[3];

    return flow == &frames->client &&
                   (type == SSE_FRAME_WINDOW_UPDATE ||
                    type == SSE_FRAME_RST_STREAM) &&
                   sse_frames_number(head, 3) == 4
               ? SSE_FRAMES_SHORT
               : SSE_FRAMES_HEAD;
}

/* @return whether enough has been collected */
static int collect(const sse_frames_t *frames, sse_frames_flow_t *flow,
                   sse_span_t *bytes)
{
    int want = SSE_FRAMES_HEAD, n;

    for (;;) {
        if (flow->have >= SSE_FRAMES_HEAD) {
            want = needed(frames, flow, flow->held);
        }
        if (flow->have == want) {
            return 1;
        }
        if (!bytes->len) {
            return 0;
        }
        n = want - flow->have;
        n = bytes->len < (apr_size_t)n ? (int)bytes->len : n;
        memcpy(flow->held + flow->have, bytes->bytes, (apr_size_t)n);
        flow->have += n;
        bytes->bytes += n;
        bytes->len -= (apr_size_t)n;
    }
}

static void look_at(sse_frames_flow_t *flow, const unsigned char *head)
{
    flow->len = sse_frames_number(head, 3);
    flow->type = head[3];
    flow->flags = head[4];
    flow->id = sse_frames_number(head + 5, 4) & 0x7fffffff;
}

static void begin_block(sse_frames_flow_t *flow)
{
    if (flow->type == SSE_FRAME_HEADERS ||
        flow->type == SSE_FRAME_PUSH_PROMISE ||
        flow->type == SSE_FRAME_CONTINUATION) {
        flow->is_block = !(flow->flags & SSE_FRAME_END_HEADERS);
    }
}

/* Only what counts on the whole connection. */
static void begin_settings(sse_frames_flow_t *flow)
{
    flow->is_settings = flow->type == SSE_FRAME_SETTINGS && !flow->id &&
                        !(flow->flags & SSE_FRAME_ACK) && flow->len % 6 == 0;
    flow->have_entry = flow->has_value = 0;
}

/* The engine's first frame says whether it is what we know. */
static void check_first(sse_frames_t *frames)
{
    const sse_frames_flow_t *flow = &frames->engine;

    frames->is_started = 1;
    if (flow->type != SSE_FRAME_SETTINGS || flow->id ||
        (flow->flags & SSE_FRAME_ACK)) {
        frames->is_other = 1;
        sse_frames_end_all(frames);
    }
}

/* @return whether flow->out goes in place of the frame's first bytes */
static int take_frame(sse_frames_t *frames, sse_frames_flow_t *flow,
                      const unsigned char *frame)
{
    if (flow == &frames->client) {
        return sse_frames_take_client(frames, frame);
    }
    if (!frames->is_started) {
        check_first(frames);
    }
    return frames->is_other ? 0 : sse_frames_take_engine(frames, frame);
}

/* Likewise. */
static int begin_frame(sse_frames_t *frames, sse_frames_flow_t *flow,
                       const unsigned char *frame, int n)
{
    int is_changed;

    flow->left = flow->len - (apr_uint32_t)(n - SSE_FRAMES_HEAD);
    flow->out_len = 0;
    begin_block(flow);
    begin_settings(flow);
    is_changed = take_frame(frames, flow, frame);
    if (flow->left || flow->is_block || !has_tail(frames, flow)) {
        return is_changed;
    }
    if (!is_changed) {
        memcpy(flow->out, frame, (apr_size_t)n);
        flow->out_len = (apr_size_t)n;
    }
    put_tail(frames, flow);
    return 1;
}

/* The next frame's first bytes have been collected. */
static void give_collected(sse_frames_t *frames, sse_frames_flow_t *flow,
                           sse_span_t *give)
{
    look_at(flow, flow->held);
    if (begin_frame(frames, flow, flow->held, flow->have)) {
        flow->have = 0;
        give_out(flow, give);
    }
    else {
        give_held(flow, give);
    }
    if (!flow->left) {
        end_frame(frames, flow);
    }
}

/* The next frame's first bytes are all there.
 * @return whether to go on reading */
static int give_frame(sse_frames_t *frames, sse_frames_flow_t *flow,
                      sse_span_t *bytes, sse_span_t *give)
{
    const unsigned char *frame = (const unsigned char *)bytes->bytes;
    int n = needed(frames, flow, frame), is_changed;

    look_at(flow, frame);
    if (give->len &&
        (sse_frames_may_change(frames, flow) || has_tail(frames, flow))) {
        return 0;
    }
    is_changed = begin_frame(frames, flow, frame, n);
    pass(bytes, give, (apr_size_t)n);
    if (!flow->left) {
        end_frame(frames, flow);
    }
    if (is_changed) {
        give_out(flow, give);
    }
    return !is_changed;
}

/* @return whether to go on reading */
static int read_frame(sse_frames_t *frames, sse_frames_flow_t *flow,
                      sse_span_t *bytes, sse_span_t *give)
{
    if (flow == &frames->client && frames->kept && !frames->rests &&
        !flow->is_block) {
        if (!give->len) {
            sse_frames_give_kept(frames, give);
        }
        return 0;
    }
    if (!flow->have && bytes->len >= SSE_FRAMES_HEAD &&
        bytes->len >= (apr_size_t)needed(frames, flow,
                                         (const unsigned char *)bytes->bytes)) {
        return give_frame(frames, flow, bytes, give);
    }
    if (!give->len && collect(frames, flow, bytes)) {
        give_collected(frames, flow, give);
    }
    return 0;
}

/* -- Both directions ------------------------------------------------------- */

static void read_bytes(sse_frames_t *frames, sse_frames_flow_t *flow,
                       sse_span_t *bytes, sse_span_t *give)
{
    int more = 1;

    while (bytes->len && !frames->is_other && more) {
        more = flow->left ? pass_payload(frames, flow, bytes, give)
                          : read_frame(frames, flow, bytes, give);
    }
}

/* For good. */
static void pass_all(sse_frames_flow_t *flow, sse_span_t *bytes,
                     sse_span_t *give)
{
    if (flow->have) {
        give_held(flow, give);
    }
    else {
        pass(bytes, give, bytes->len);
    }
}

void sse_frames_from_client(sse_frames_t *frames, sse_span_t *bytes,
                            sse_span_t *give, apr_uint64_t now)
{
    give->bytes = bytes->bytes;
    give->len = 0;
    frames->now = now;
    if (!frames->is_other && frames->preface < PREFACE) {
        read_preface(frames, bytes, give);
    }
    if (frames->is_other) {
        pass_all(&frames->client, bytes, give);
    }
    else {
        read_bytes(frames, &frames->client, bytes, give);
    }
}

void sse_frames_from_engine(sse_frames_t *frames, sse_span_t *bytes,
                            sse_span_t *give)
{
    give->bytes = bytes->bytes;
    give->len = 0;
    if (frames->is_other) {
        pass_all(&frames->engine, bytes, give);
    }
    else {
        read_bytes(frames, &frames->engine, bytes, give);
    }
}

void sse_frames_engine_rests(sse_frames_t *frames, int rests)
{
    frames->rests = rests;
}

void sse_frames_give_kept(sse_frames_t *frames, sse_span_t *give)
{
    sse_frames_flow_t *flow = &frames->client;

    flow->out_len = 0;
    if (frames->kept && !flow->left && !flow->is_block) {
        sse_frames_put_window(flow, 0, frames->kept);
        frames->kept = 0;
    }
    give_out(flow, give);
}

int sse_frames_is_usable(const sse_frames_t *frames)
{
    return !frames->is_other;
}

int sse_frames_is_between(const sse_frames_t *frames)
{
    return frames->is_started && !frames->is_other && !frames->engine.left &&
           !frames->engine.is_block;
}
