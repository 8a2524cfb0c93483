/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>

#include "config/sse_values.h"
#include "http/sse/sse_post.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent escapes and "+", in place. @return OK, or 400 for a broken escape */
static int decode(sse_post_t *post, sse_slice_t *text)
{
    const char *p = text->ptr, *end = text->ptr + text->len;
    char *out = (char *)text->ptr;

    for (; p < end; ++p) {
        if (*p == '%') {
            int high = end - p > 2 ? hex(p[1]) : -1;
            int low = high >= 0 ? hex(p[2]) : -1;

            if (low < 0) {
                return sse_post_refuse(post, HTTP_BAD_REQUEST,
                                       "a %% must be followed by two "
                                       "hexadecimal digits");
            }
            *out++ = (char)(high << 4 | low);
            p += 2;
        }
        else {
            *out++ = *p == '+' ? ' ' : *p;
        }
    }
    text->len = (apr_size_t)(out - text->ptr);
    return OK;
}

static int repeated(sse_post_t *post, const char *field)
{
    return sse_post_refuse(post, HTTP_BAD_REQUEST, "%s is given twice", field);
}

static int set(sse_post_t *post, sse_slice_t *slot, const char *field,
               sse_slice_t value)
{
    if (slot->ptr) {
        return repeated(post, field);
    }
    *slot = value;
    return OK;
}

static int set_retry(sse_post_t *post, sse_fields_t *event, sse_slice_t value)
{
    const char *text = apr_pstrmemdup(post->pool, value.ptr, value.len);

    if (event->retry >= 0) {
        return repeated(post, "retry");
    }
    if (strlen(text) != value.len || !sse_values_count(text, &event->retry) ||
        event->retry > SSE_POST_RETRY_MAX) {
        return sse_post_refuse_retry(post);
    }
    return OK;
}

/* @param is_form whether data and id are fields, and others are not allowed;
 *        a query string may have others, which are not ours */
static int read_field(sse_post_t *post, sse_fields_t *event, int is_form,
                      sse_slice_t name, sse_slice_t value)
{
    if (sse_post_is_name(name, "event")) {
        return set(post, &event->event, "event", value);
    }
    if (sse_post_is_name(name, "retry")) {
        return set_retry(post, event, value);
    }
    if (!is_form) {
        return OK;
    }
    if (sse_post_is_name(name, "data")) {
        return set(post, &event->data, "data", value);
    }
    if (sse_post_is_name(name, "id")) {
        return set(post, &event->id, "id", value);
    }
    return sse_post_refuse(post, HTTP_BAD_REQUEST,
                           "there is no field %s; known are data, event, "
                           "retry and id",
                           sse_post_quote(post, name));
}

/* name=value, of which the "=" may be missing. */
static int read_pair(sse_post_t *post, sse_slice_t pair, int is_form,
                     sse_fields_t *event)
{
    const char *equals = memchr(pair.ptr, '=', pair.len);
    sse_slice_t name = pair, value = pair;
    int status;

    name.len = equals ? (apr_size_t)(equals - pair.ptr) : pair.len;
    value.ptr = equals ? equals + 1 : pair.ptr + pair.len;
    value.len = (apr_size_t)(pair.ptr + pair.len - value.ptr);
    status = decode(post, &name);
    if (status == OK) {
        status = decode(post, &value);
    }
    return status == OK ? read_field(post, event, is_form, name, value)
                        : status;
}

/* Decodes the text in place. */
static int pairs(sse_post_t *post, char *ptr, apr_size_t len, int is_form,
                 sse_fields_t *event)
{
    sse_slice_t text = {ptr, len};
    int status = OK;

    while (status == OK && text.len) {
        const char *end = memchr(text.ptr, '&', text.len);
        sse_slice_t pair = text;

        pair.len = end ? (apr_size_t)(end - text.ptr) : text.len;
        text.ptr += pair.len + (end ? 1 : 0);
        text.len -= pair.len + (end ? 1 : 0);
        if (pair.len) {
            status = read_pair(post, pair, is_form, event);
        }
    }
    return status;
}

int sse_form_read(sse_post_t *post)
{
    sse_fields_t event = SSE_FIELDS_NONE;
    /* Every byte may be escaped; the rest is for the other fields. */
    apr_size_t limit = 3 * post->max_event + 4096, len;
    char *body;
    int status;

    sse_post_begin(post);
    status = sse_body_whole(post->r, limit, sse_post_size_text(post),
                            post->pool, &body, &len, &post->problem);
    post->taken = len;
    if (status == OK) {
        status = pairs(post, body, len, 1, &event);
    }
    if (status == OK && !event.data.ptr) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "the form has no field data");
    }
    return status == OK ? sse_post_add(post, &event) : status;
}

int sse_plain_read(sse_post_t *post)
{
    sse_fields_t event = SSE_FIELDS_NONE;
    char *query = apr_pstrdup(post->pool, post->r->args ? post->r->args : "");
    char *body;
    int status;

    sse_post_begin(post);
    status = pairs(post, query, strlen(query), 0, &event);
    if (status == OK) {
        status =
            sse_body_whole(post->r, post->max_event, sse_post_size_text(post),
                           post->pool, &body, &event.data.len, &post->problem);
    }
    if (status != OK) {
        return status;
    }
    if (!event.data.len) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "the body is empty: it is the event's data");
    }
    event.data.ptr = body;
    return sse_post_add(post, &event);
}
