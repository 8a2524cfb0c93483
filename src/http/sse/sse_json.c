/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "event/sse_json_text.h"
#include "http/sse/sse_post.h"

#define SSE_JSON_BODY_MAX ((apr_size_t)16 * 1024 * 1024)
#define SSE_JSON_BATCH    1000 /**< largest events that a body has room for */

/** Bytes of the longest retry. */
#define SSE_JSON_RETRY_TEXT 400

static const char *type_of(sse_slice_t value)
{
    switch (*value.ptr) {
    case '{':
        return "an object";
    case '[':
        return "an array";
    case '"':
        return "a string";
    case 'n':
        return "null";
    case 't':
    case 'f':
        return "a boolean";
    default:
        return "a number";
    }
}

/* In place: no string gets longer by being decoded. */
static sse_slice_t decode(sse_slice_t inside)
{
    inside.len = sse_json_unescape((char *)inside.ptr, inside.len);
    return inside;
}

/* A string's text, of which value has the quotes. */
static sse_slice_t read_string(sse_slice_t value)
{
    ++value.ptr;
    value.len -= 2;
    return decode(value);
}

static sse_slice_t read_data(sse_slice_t value)
{
    if (*value.ptr == '"') {
        return read_string(value);
    }
    value.len = sse_json_compact((char *)value.ptr, value.len);
    return value;
}

static int set(sse_post_t *post, sse_slice_t *slot, const char *name,
               sse_slice_t value)
{
    if (*value.ptr != '"') {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "%s must be a string, not %s", name,
                               type_of(value));
    }
    *slot = read_string(value);
    return OK;
}

static int set_retry(sse_post_t *post, sse_fields_t *event, sse_slice_t value)
{
    json_t *number;
    double ms;

    if (!strchr("-0123456789", *value.ptr)) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "retry must be a number, not %s",
                               type_of(value));
    }
    if (value.len > SSE_JSON_RETRY_TEXT) {
        return sse_post_refuse_retry(post);
    }
    number = json_loadb(value.ptr, value.len,
                        JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    ms = json_number_value(number);
    json_decref(number);
    /* The comparison first: casting what does not fit is undefined. */
    if (!(ms >= 0 && ms <= SSE_POST_RETRY_MAX) ||
        (double)(apr_int64_t)ms != ms) {
        return sse_post_refuse_retry(post);
    }
    event->retry = (apr_int64_t)ms;
    return OK;
}

static int set_member(sse_post_t *post, sse_fields_t *event, sse_slice_t name,
                      sse_slice_t value)
{
    if (sse_post_is_name(name, "data")) {
        event->data = read_data(value);
        return OK;
    }
    if (sse_post_is_name(name, "event")) {
        return set(post, &event->event, "event", value);
    }
    if (sse_post_is_name(name, "id")) {
        return set(post, &event->id, "id", value);
    }
    if (sse_post_is_name(name, "retry")) {
        return set_retry(post, event, value);
    }
    return sse_post_refuse(post, HTTP_BAD_REQUEST,
                           "there is no member %s; known are data, event, "
                           "retry and id",
                           sse_post_quote(post, name));
}

/* The text is valid. */
static int members(sse_post_t *post, sse_slice_t object, sse_fields_t *event)
{
    sse_json_walk_t walk = sse_json_walk(object);
    sse_slice_t name, value;
    int status = OK;

    while (status == OK && sse_json_next(&walk, &name, &value)) {
        status = set_member(post, event, decode(name), value);
    }
    return status;
}

static int read_event(sse_post_t *post, sse_slice_t text, sse_fields_t *event)
{
    sse_json_walk_t walk = sse_json_walk(text);
    sse_json_error_t error;
    apr_status_t rv = sse_json_check(text, &error);

    if (rv == APR_ENOMEM) {
        return sse_problem_no_memory(post->r, &post->problem);
    }
    if (rv != APR_SUCCESS) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "the JSON is not valid: %s (line "
                               "%" APR_SIZE_T_FMT ", column %" APR_SIZE_T_FMT
                               " of the event)",
                               error.text, error.line, error.column);
    }
    sse_json_skip_space(&walk);
    text.len -= (apr_size_t)(walk.p - text.ptr);
    text.ptr = walk.p;
    if (*text.ptr != '{') {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "an event must be an object such as "
                               "{\"data\":\"...\"}, not %s",
                               type_of(text));
    }
    return members(post, text, event);
}

/* The most text that one event may need, with each byte written as \u00xx. */
static apr_size_t event_max(const sse_post_t *post)
{
    return 6 * post->max_event + 4096;
}

static int add(sse_post_t *post, sse_slice_t text)
{
    sse_fields_t event = SSE_FIELDS_NONE;
    int status;

    status = sse_post_begin(post);
    if (status != OK) {
        return status;
    }
    if (text.len > event_max(post)) {
        return sse_post_too_large(post);
    }
    status = read_event(post, text, &event);
    return status == OK ? sse_post_add(post, &event) : status;
}

static int not_array(sse_post_t *post)
{
    return sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                           "the JSON is not valid: an array must be one "
                           "[event, event ...] and nothing after it");
}

static int elements(sse_post_t *post, sse_json_walk_t *text)
{
    apr_size_t max = SSE_POST_IDS_MAX / (apr_size_t)post->channels->nelts;
    int status = OK;
    int c;

    do {
        ++text->p; /* the bracket, or a comma */
        if (post->seen == max) {
            return sse_problem_set(
                &post->problem, post->r->pool, HTTP_REQUEST_ENTITY_TOO_LARGE,
                "an array may have at most %" APR_SIZE_T_FMT " events here",
                max);
        }
        status = add(post, sse_json_skip_value(text));
        c = sse_json_peek(text);
    } while (status == OK && c == ',');
    if (status == OK && c != ']') {
        status = not_array(post);
    }
    return status;
}

/* Check and decode event by event, in place. */
static int read_array(sse_post_t *post, sse_json_walk_t *text)
{
    sse_json_walk_t first = *text;
    int status;

    post->batch = 1;
    if (post->key.ptr) {
        return sse_post_refuse_key(post);
    }
    ++first.p;
    sse_json_skip_space(&first);
    if (sse_json_peek(&first) == ']') {
        return sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                               "the array has no event");
    }
    status = elements(post, text);
    if (status != OK) {
        return status;
    }
    ++text->p;
    sse_json_skip_space(text);
    return text->p == text->end ? OK : not_array(post);
}

static apr_size_t limit_of(const sse_post_t *post)
{
    apr_size_t limit = SSE_JSON_BODY_MAX;

    if (post->max_event < SSE_JSON_BODY_MAX / SSE_JSON_BATCH) {
        limit = SSE_JSON_BATCH * post->max_event;
    }
    return limit > event_max(post) ? limit : event_max(post);
}

int sse_json_read(sse_post_t *post)
{
    apr_size_t limit = limit_of(post);
    sse_json_walk_t text;
    sse_slice_t body;
    char *ptr;
    int status;

    status = sse_body_whole(post->r, limit,
                            apr_psprintf(post->r->pool,
                                         "the body is larger than the "
                                         "%" APR_SIZE_T_FMT
                                         " bytes that JSON may have here, "
                                         "which follow from SSEMaxEventSize",
                                         limit),
                            post->pool, &ptr, &body.len, &post->problem);
    post->taken = body.len;
    if (status != OK) {
        return status;
    }
    body.ptr = ptr;
    text = sse_json_walk(body);
    sse_json_skip_space(&text);
    if (text.p == text.end) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST, "the body is empty");
    }
    return *text.p == '[' ? read_array(post, &text) : add(post, body);
}
