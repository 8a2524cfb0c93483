/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/splice/sse_splice_frames_private.h"

/* A window's size until something else is said, RFC 9113, 6.9.2. */
#define WINDOW_FIRST 65535
/* Of a window below that the engine has all. */
#define WHOLE_LEAST 131072
/* What a client must have given to our account, for streams. */
#define ACCOUNT_LEAST 65536
/* What the engine is to have, and what is left to streams, of any window. */
#define RESERVE_MOST (1024 * 1024)
#define FLOOR_MOST   (256 * 1024)

void sse_frames_start_windows(sse_frames_t *frames)
{
    frames->initial = frames->latest = WINDOW_FIRST;
    frames->engines = frames->whole = WINDOW_FIRST;
}

static apr_int64_t window_of(const sse_frames_t *frames,
                             const sse_frames_request_t *request)
{
    return frames->initial + request->balance;
}

/* -- The initial window ---------------------------------------------------- */

/* It has become more or less: so does each stream's (6.9.2). */
static void set_initial(sse_frames_t *frames, apr_int64_t initial)
{
    apr_int64_t more = initial - frames->initial, window;
    sse_frames_request_t *request;
    apr_uint32_t id;
    int i = 0;

    frames->initial = initial;
    while (i < frames->n) {
        request = &frames->requests[i++];
        id = request->id;
        window = window_of(frames, request);
        if (!sse_frames_is_ours(frames, request)) {
            continue;
        }
        if (window > SSE_FRAMES_WINDOW_MOST) {
            sse_frames_count_reset(frames);
            sse_frames_tell_over(frames, request, SSE_FRAMES_BAD_WINDOW);
            i = sse_frames_place_of(frames, id + 1);
        }
        else if (request->phase == SSE_REQUEST_OPEN && window > 0 &&
                 window - more <= 0) {
            frames->events->on_room(request->stream);
            i = sse_frames_place_of(frames, id + 1);
        }
    }
}

/* The client's SETTINGS.  A smaller window counts at once; a larger one when
 * the engine's acknowledgement has gone to the client, which need not have made
 * it larger before (6.5.3). */
void sse_frames_take_settings(sse_frames_t *frames)
{
    const sse_frames_flow_t *flow = &frames->client;

    ++frames->unacknowledged;
    if (!flow->has_value || flow->value > SSE_FRAMES_WINDOW_MOST) {
        return;
    }
    frames->latest = flow->value;
    if (frames->latest < frames->initial) {
        set_initial(frames, frames->latest);
    }
}

void sse_frames_take_acknowledgement(sse_frames_t *frames)
{
    if (frames->unacknowledged && !--frames->unacknowledged &&
        frames->latest != frames->initial) {
        set_initial(frames, frames->latest);
    }
}

/* -- The connection's window ----------------------------------------------- */

/* What the engine is to have: a quarter of the window, or what will do, as it
 * gets more when it has used half of that.  What it has not used is kept from
 * streams, also when a response that the client does not read takes much of the
 * window. */
static apr_int64_t reserve_of(const sse_frames_t *frames)
{
    return frames->whole / 4 < RESERVE_MOST ? frames->whole / 4 : RESERVE_MOST;
}

/* What is left to streams: an eighth, or what will do. */
static apr_int64_t floor_of(const sse_frames_t *frames)
{
    return frames->whole / 8 < FLOOR_MOST ? frames->whole / 8 : FLOOR_MOST;
}

/* Our share of an increment: what the engine does not lack. */
static apr_int64_t share_of(const sse_frames_t *frames, apr_int64_t increment)
{
    apr_int64_t lacks = reserve_of(frames) - frames->engines;

    if (frames->whole < WHOLE_LEAST) {
        return 0;
    }
    if (lacks <= 0) {
        return increment;
    }
    return lacks < increment ? increment - lacks : 0;
}

/* The engine has used half of what it is to have: it gets that again, of all
 * that we have but what is left to streams. */
static void refill(sse_frames_t *frames)
{
    apr_int64_t lacks = reserve_of(frames) - frames->engines;
    apr_int64_t most = frames->account - floor_of(frames);

    if (lacks > reserve_of(frames) / 2 && most > 0) {
        lacks = lacks < most ? lacks : most;
        frames->account -= lacks;
        frames->given -= (apr_uint64_t)lacks;
        frames->engines += lacks;
        frames->kept += lacks;
    }
}

/* What the client has added is too much of itself.  So that the engine finds
 * that as well, whatever it has: the first fills its window, if that is empty,
 * and the second is too much in any case. */
static int give_overflow(sse_frames_t *frames)
{
    sse_frames_put_window(&frames->client, 0, SSE_FRAMES_WINDOW_MOST);
    sse_frames_put_window(&frames->client, 0, 1);
    return 1;
}

static void add_to_account(sse_frames_t *frames, apr_int64_t share)
{
    int was_empty = frames->account <= 0;

    frames->account += share;
    frames->given += (apr_uint64_t)share;
    if (was_empty && frames->account > 0) {
        frames->events->on_account(frames->baton);
    }
}

/* @return whether the frame goes on changed, or not at all */
static int give_engine(sse_frames_t *frames, apr_int64_t rest,
                       apr_int64_t increment)
{
    frames->engines += rest;
    frames->kept += rest;
    if (frames->rests && !sse_frames_unanswered(frames)) {
        return 1;
    }
    rest = frames->kept;
    frames->kept = 0;
    if (rest == increment) {
        return 0;
    }
    if (rest) {
        sse_frames_put_window(&frames->client, 0, rest);
    }
    return 1;
}

/* An increment of 0 is the engine's to answer. */
static int take_connection_window(sse_frames_t *frames, apr_int64_t increment)
{
    apr_int64_t share, all = frames->account + frames->engines + increment;
    int is_changed;

    if (!increment) {
        return 0;
    }
    if (all > SSE_FRAMES_WINDOW_MOST) {
        return give_overflow(frames);
    }
    frames->whole = all > frames->whole ? all : frames->whole;
    share = share_of(frames, increment);
    is_changed = give_engine(frames, increment - share, increment);
    add_to_account(frames, share);
    return is_changed;
}

int sse_frames_has_account(const sse_frames_t *frames)
{
    return frames->given >= ACCOUNT_LEAST;
}

int sse_frames_has_kept(const sse_frames_t *frames)
{
    const sse_frames_flow_t *flow = &frames->client;

    return frames->kept && !flow->left && !flow->is_block &&
           sse_frames_unanswered(frames);
}

int sse_frames_is_account_empty(const sse_frames_t *frames)
{
    return frames->account <= 0;
}

/* -- A stream's window ----------------------------------------------------- */

void sse_frames_count_data(sse_frames_t *frames)
{
    const sse_frames_flow_t *flow = &frames->engine;
    int at = frames->hint;

    frames->engines -= flow->len;
    refill(frames);
    if (at >= frames->n || frames->requests[at].id != flow->id) {
        at = frames->hint = sse_frames_place_of(frames, flow->id);
    }
    if (at < frames->n && frames->requests[at].id == flow->id) {
        frames->requests[at].balance -= flow->len;
    }
}

/* A stream's that is not ours is the engine's to check. */
int sse_frames_take_window(sse_frames_t *frames, apr_int64_t increment)
{
    sse_frames_request_t *request;
    apr_int64_t window;

    if (!frames->client.id) {
        return take_connection_window(frames, increment);
    }
    request = sse_frames_find(frames, frames->client.id);
    if (!request) {
        return 0;
    }
    window = window_of(frames, request);
    if (!sse_frames_is_ours(frames, request)) {
        request->balance += increment;
        return 0;
    }
    if (!increment || window + increment > SSE_FRAMES_WINDOW_MOST) {
        sse_frames_count_reset(frames);
        sse_frames_tell_over(frames, request,
                             increment ? SSE_FRAMES_BAD_WINDOW
                                       : SSE_FRAMES_NO_INCREMENT);
        return 1;
    }
    request->balance += increment;
    if (request->phase == SSE_REQUEST_OPEN && window <= 0 &&
        window + increment > 0) {
        frames->events->on_room(request->stream);
    }
    return 1;
}

apr_size_t sse_frames_room(const sse_frames_t *frames, apr_uint32_t id)
{
    const sse_frames_request_t *request = sse_frames_find(frames, id);
    apr_int64_t room = SSE_FRAMES_DATA_MOST;

    if (!request || request->phase != SSE_REQUEST_OPEN) {
        return 0;
    }
    room = frames->account < room ? frames->account : room;
    room =
        window_of(frames, request) < room ? window_of(frames, request) : room;
    return room > 0 ? (apr_size_t)room : 0;
}
