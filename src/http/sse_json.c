/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "http/sse_post.h"

#define SSE_JSON_BODY_MAX ((apr_size_t)16 * 1024 * 1024)
#define SSE_JSON_BATCH    1000 /**< largest events that a body has room for */
#define SSE_JSON_FLAGS                                                         \
    (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL |               \
     JSON_DECODE_INT_AS_REAL)

/* Text that is walked over: never past its end, whatever is in it. */
typedef struct {
    const char *p;
    const char *end;
} sse_json_text_t;

static int sse_json_peek(const sse_json_text_t *text)
{
    return text->p < text->end ? (unsigned char)*text->p : -1;
}

static int sse_json_is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void sse_json_skip_space(sse_json_text_t *text)
{
    while (sse_json_is_space(sse_json_peek(text))) {
        ++text->p;
    }
}

static void sse_json_skip_string(sse_json_text_t *text)
{
    for (++text->p; text->p < text->end && *text->p != '"'; ++text->p) {
        if (*text->p == '\\' && text->p + 1 < text->end) {
            ++text->p;
        }
    }
    if (text->p < text->end) {
        ++text->p;
    }
}

/* To the comma, colon or bracket that ends the value which begins here. */
static sse_slice_t sse_json_skip_value(sse_json_text_t *text)
{
    sse_slice_t value;
    int depth = 0;

    sse_json_skip_space(text);
    value.ptr = text->p;
    while (text->p < text->end) {
        int c = (unsigned char)*text->p;

        if (!depth && (c == ',' || c == ':' || c == ']' || c == '}')) {
            break;
        }
        if (c == '"') {
            sse_json_skip_string(text);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        ++text->p;
    }
    value.len = (apr_size_t)(text->p - value.ptr);
    return value;
}

/* The text of an object's nth member, the object being valid. */
static sse_slice_t sse_json_member(sse_slice_t object, int nth)
{
    sse_json_text_t text;
    sse_slice_t value;

    text.p = object.ptr;
    text.end = object.ptr + object.len;
    sse_json_skip_space(&text);
    do {
        ++text.p; /* the brace, or a comma */
        sse_json_skip_value(&text);
        ++text.p; /* the colon */
        value = sse_json_skip_value(&text);
    } while (nth--);
    return value;
}

/* The text without space between its tokens.  Not jansson's own writing, which
 * would make 1.1 into 1.1000000000000001. */
static sse_slice_t sse_json_compact(sse_post_t *post, sse_slice_t value)
{
    char *out = apr_palloc(post->pool, value.len + 1);
    sse_json_text_t text;
    sse_slice_t compact;

    compact.ptr = out;
    text.p = value.ptr;
    text.end = value.ptr + value.len;
    while (text.p < text.end) {
        const char *from = text.p;

        if (*from == '"') {
            sse_json_skip_string(&text);
        }
        else {
            ++text.p;
        }
        if (!sse_json_is_space(*from)) {
            memcpy(out, from, (apr_size_t)(text.p - from));
            out += text.p - from;
        }
    }
    compact.len = (apr_size_t)(out - compact.ptr);
    return compact;
}

static const char *sse_json_type(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_NULL:
        return "null";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "a number";
    }
}

static sse_slice_t sse_json_string(sse_post_t *post, const json_t *value)
{
    sse_slice_t slice;

    slice.len = json_string_length(value);
    slice.ptr =
        apr_pmemdup(post->pool, json_string_value(value), slice.len + 1);
    return slice;
}

static int sse_json_set(sse_post_t *post, sse_slice_t *slot, const char *name,
                        const json_t *value)
{
    if (!json_is_string(value)) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "%s must be a string, not %s", name,
                               sse_json_type(value));
    }
    *slot = sse_json_string(post, value);
    return OK;
}

static int sse_json_set_retry(sse_post_t *post, sse_fields_t *event,
                              const json_t *value)
{
    double ms = json_number_value(value);

    if (!json_is_number(value)) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "retry must be a number, not %s",
                               sse_json_type(value));
    }
    /* The comparison first: casting what does not fit is undefined. */
    if (!(ms >= 0 && ms <= SSE_POST_RETRY_MAX) ||
        (double)(apr_int64_t)ms != ms) {
        return sse_post_refuse_retry(post);
    }
    event->retry = (apr_int64_t)ms;
    return OK;
}

static int sse_json_unknown(sse_post_t *post, const char *name)
{
    return sse_post_refuse(post, HTTP_BAD_REQUEST,
                           "there is no member %.64s; known are data, event, "
                           "retry and id",
                           sse_http_quote(post->pool, sse_slice(name)));
}

static int sse_json_set_member(sse_post_t *post, sse_fields_t *event,
                               const char *name, const json_t *value,
                               sse_slice_t object, int nth)
{
    if (!strcmp(name, "data")) {
        event->data =
            json_is_string(value)
                ? sse_json_string(post, value)
                : sse_json_compact(post, sse_json_member(object, nth));
        return OK;
    }
    if (!strcmp(name, "event")) {
        return sse_json_set(post, &event->event, name, value);
    }
    if (!strcmp(name, "id")) {
        return sse_json_set(post, &event->id, name, value);
    }
    if (!strcmp(name, "retry")) {
        return sse_json_set_retry(post, event, value);
    }
    return sse_json_unknown(post, name);
}

/* jansson gives the members in the order of the text (since 2.8): so the nth
 * here is the nth there. */
static int sse_json_members(sse_post_t *post, json_t *object, sse_slice_t text,
                            sse_fields_t *event)
{
    const char *name;
    json_t *value;
    int status;
    int nth = 0;

    json_object_foreach(object, name, value)
    {
        status = sse_json_set_member(post, event, name, value, text, nth++);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

static int sse_json_malformed(sse_post_t *post, const json_error_t *error)
{
    return sse_post_refuse(
        post, HTTP_BAD_REQUEST,
        "the JSON is not valid: %s (line %d, column %d of the event)",
        error->text, error->line, error->column);
}

static int sse_json_event(sse_post_t *post, sse_slice_t text,
                          sse_fields_t *event)
{
    json_error_t error;
    json_t *object;
    int status;

    object = json_loadb(text.ptr, text.len, SSE_JSON_FLAGS, &error);
    if (!object) {
        return sse_json_malformed(post, &error);
    }
    if (json_is_object(object)) {
        status = sse_json_members(post, object, text, event);
    }
    else {
        status = sse_post_refuse(post, HTTP_BAD_REQUEST,
                                 "an event must be an object such as "
                                 "{\"data\":\"...\"}, not %s",
                                 sse_json_type(object));
    }
    json_decref(object);
    return status;
}

/* The most text one event can need, each of its bytes written as \u00xx: no
 * more than that becomes a tree, which takes twenty times its text. */
static apr_size_t sse_json_event_max(const sse_post_t *post)
{
    return 6 * post->max_event + 4096;
}

static int sse_json_add(sse_post_t *post, sse_slice_t text)
{
    sse_fields_t event = SSE_FIELDS_NONE;
    int status;

    status = sse_post_begin(post);
    if (status != OK) {
        return status;
    }
    if (text.len > sse_json_event_max(post)) {
        return sse_post_too_large(post);
    }
    status = sse_json_event(post, text, &event);
    return status == OK ? sse_post_add(post, &event) : status;
}

static int sse_json_not_array(sse_post_t *post)
{
    return sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                           "the JSON is not valid: an array must be one "
                           "[event, event ...] and nothing after it");
}

static int sse_json_elements(sse_post_t *post, sse_json_text_t *text)
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
        status = sse_json_add(post, sse_json_skip_value(text));
        c = sse_json_peek(text);
    } while (status == OK && c == ',');
    if (status == OK && c != ']') {
        status = sse_json_not_array(post);
    }
    return status;
}

/* Event by event, so that no more than one is a tree of values at a time. */
static int sse_json_array(sse_post_t *post, sse_json_text_t *text)
{
    sse_json_text_t first = *text;
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
    status = sse_json_elements(post, text);
    if (status != OK) {
        return status;
    }
    ++text->p;
    sse_json_skip_space(text);
    return text->p == text->end ? OK : sse_json_not_array(post);
}

static apr_size_t sse_json_limit(const sse_post_t *post)
{
    apr_size_t limit = SSE_JSON_BODY_MAX;

    if (post->max_event < SSE_JSON_BODY_MAX / SSE_JSON_BATCH) {
        limit = SSE_JSON_BATCH * post->max_event;
    }
    return limit > sse_json_event_max(post) ? limit : sse_json_event_max(post);
}

int sse_json_read(sse_post_t *post)
{
    apr_size_t limit = sse_json_limit(post);
    sse_json_text_t text;
    sse_slice_t body;
    int status;

    status = sse_body_whole(post->r, limit,
                            apr_psprintf(post->r->pool,
                                         "the body is larger than the "
                                         "%" APR_SIZE_T_FMT
                                         " bytes that JSON may have here, "
                                         "which follow from SSEMaxEventSize",
                                         limit),
                            post->pool, &body, &post->problem);
    if (status != OK) {
        return status;
    }
    text.p = body.ptr;
    text.end = body.ptr + body.len;
    sse_json_skip_space(&text);
    if (text.p == text.end) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST, "the body is empty");
    }
    return *text.p == '[' ? sse_json_array(post, &text)
                          : sse_json_add(post, body);
}
