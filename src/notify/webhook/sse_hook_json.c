/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_json.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "event/sse_json_text.h"
#include "notify/sse_notes.h"

/* -- Writing --------------------------------------------------------------- */

/* Room for so many bytes more. */
static char *room_for(sse_hook_text_t *text, apr_size_t len)
{
    if (text->len + len > text->room.size &&
        !sse_room_double(&text->room, text->len + len)) {
        abort(); /* as httpd does */
    }
    return text->room.ptr + text->len;
}

static void put(sse_hook_text_t *text, const char *ptr, apr_size_t len)
{
    if (len) {
        memcpy(room_for(text, len), ptr, len);
        text->len += len;
    }
}

static void put_text(sse_hook_text_t *text, const char *str)
{
    put(text, str, strlen(str));
}

static void put_number(sse_hook_text_t *text, apr_int64_t n)
{
    char digits[24];

    apr_snprintf(digits, sizeof(digits), "%" APR_INT64_T_FMT, n);
    put_text(text, digits);
}

/* Seconds, as JSON has no other numbers than decimal ones. */
static void put_time(sse_hook_text_t *text, apr_time_t time)
{
    char digits[40];

    apr_snprintf(digits, sizeof(digits), "%" APR_TIME_T_FMT ".%06d",
                 apr_time_sec(time), (int)apr_time_usec(time));
    put_text(text, digits);
}

static void put_string(sse_hook_text_t *text, sse_slice_t value)
{
    if (!value.ptr) {
        put_text(text, "null");
        return;
    }
    text->len +=
        sse_json_quote(value, room_for(text, sse_json_quoted_size(value)));
}

/* ,"name": */
static void put_name(sse_hook_text_t *text, const char *name)
{
    put_text(text, ",\"");
    put_text(text, name);
    put_text(text, "\":");
}

static void put_member(sse_hook_text_t *text, const char *name,
                       sse_slice_t value)
{
    put_name(text, name);
    put_string(text, value);
}

static void put_count(sse_hook_text_t *text, const char *name, apr_int64_t n)
{
    put_name(text, name);
    put_number(text, n);
}

/* -- The parts of a body --------------------------------------------------- */

const char *sse_hook_json_name(sse_call_type_e type)
{
    static const char *const names[] = {"open", "close", "publish", "first",
                                        "last"};

    return names[type];
}

static void begin(sse_hook_text_t *text, const sse_call_t *call)
{
    text->len = 0;
    put_text(text, "{\"type\":\"");
    put_text(text, sse_hook_json_name(call->type));
    put(text, "\"", 1);
    put_member(text, "id", call->id);
    put_name(text, "time");
    put_time(text, call->time);
}

static void end(sse_hook_text_t *text, sse_call_t *call)
{
    put(text, "}", 1);
    call->body.ptr = text->room.ptr;
    call->body.len = text->len;
}

static void put_channels(sse_hook_text_t *text, const sse_hook_about_t *about)
{
    int i;

    put_name(text, "channels");
    put(text, "[", 1);
    for (i = 0; i < about->n_channels; ++i) {
        if (i) {
            put(text, ",", 1);
        }
        put_string(text, about->channels[i]);
    }
    put(text, "]", 1);
}

static void put_values(sse_hook_text_t *text, const sse_hook_about_t *about)
{
    int i;

    put_name(text, "fields");
    put(text, "{", 1);
    for (i = 0; i < about->n_values; ++i) {
        if (i) {
            put(text, ",", 1);
        }
        put_string(text, sse_slice(about->values[i].name));
        put(text, ":", 1);
        put_string(text, about->values[i].value);
    }
    put(text, "}", 1);
}

static void put_about(sse_hook_text_t *text, const sse_hook_about_t *about)
{
    put_member(text, "host", about->host);
    put_channels(text, about);
    put_member(text, "stream", about->stream);
    put_member(text, "uri", about->uri);
    put_member(text, "remote", about->remote);
    put_member(text, "user", about->user);
    put_member(text, "session", about->session);
    put_values(text, about);
}

static void put_reason(sse_hook_text_t *text, const char *reason, int by_client,
                       apr_interval_time_t duration)
{
    put_member(text, "reason", sse_slice(reason));
    put_name(text, "by_client");
    put_text(text, by_client ? "true" : "false");
    put_count(text, "duration_ms",
              duration > 0 ? apr_time_as_msec(duration) : 0);
}

/* -- Bodies ---------------------------------------------------------------- */

void sse_hook_json_plain(sse_hook_text_t *text, sse_call_t *call,
                         const sse_hook_about_t *about)
{
    begin(text, call);
    put_about(text, about);
    end(text, call);
}

void sse_hook_json_close(sse_hook_text_t *text, sse_call_t *call,
                         const sse_hook_about_t *about,
                         const sse_close_t *close)
{
    begin(text, call);
    put_about(text, about);
    put_reason(text, sse_close_name(close->reason), close->by_client,
               close->closed - close->opened);
    put_count(text, "events", (apr_int64_t)close->events);
    put_count(text, "bytes", close->bytes);
    put_member(text, "last_event_id", sse_slice(close->last_event_id));
    end(text, call);
}

void sse_hook_json_publish(sse_hook_text_t *text, sse_call_t *call,
                           const sse_hook_about_t *about,
                           const sse_append_t *item)
{
    sse_slice_t type = item->fields.event;

    begin(text, call);
    put_about(text, about);
    put_name(text, "event");
    put_text(text, "{\"id\":\"");
    put_number(text, (apr_int64_t)item->id);
    put(text, "\"", 1);
    put_member(text, "event", type.len ? type : sse_slice("message"));
    put_member(text, "data", item->fields.data);
    put(text, "}", 1);
    end(text, call);
}

/* Its own members come first in the body of the OPEN, and are those of the
 * CLOSE. */
static int is_own(sse_slice_t name)
{
    static const char *const own[] = {"type", "id", "time"};
    int i;

    for (i = 0; i < 3; ++i) {
        if (name.len == strlen(own[i]) && !memcmp(name.ptr, own[i], name.len)) {
            return 1;
        }
    }
    return 0;
}

void sse_hook_json_crash(sse_hook_text_t *text, sse_call_t *call,
                         const sse_call_t *open)
{
    sse_json_walk_t walk = sse_json_walk(open->body);
    sse_slice_t name, value;

    begin(text, call);
    while (sse_json_next(&walk, &name, &value)) {
        if (!is_own(name)) {
            put(text, ",\"", 2);
            put(text, name.ptr, name.len);
            put(text, "\":", 2);
            put(text, value.ptr, value.len);
        }
    }
    put_reason(text, sse_close_name(SSE_CLOSE_CRASH), 0,
               call->time - open->time);
    put_text(text, ",\"events\":null,\"bytes\":null,\"last_event_id\":null");
    end(text, call);
}

void sse_hook_json_free(sse_hook_text_t *text)
{
    sse_room_free(&text->room);
    text->len = 0;
}
