/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <errno.h>
#include <httpd.h>

#include "config/sse_config.h"
#include "http/sse/sse_post.h"
#include "http/sse_reply.h"
#include "hub/sse_publish.h"
#include "process/sse_memory.h"

/** A body of so many bytes, or its events, is worth giving free memory back to
 *  the system: the C library keeps it. */
#define SSE_POST_LARGE 131072

#define SSE_POST_QUOTED 60 /**< bytes of a name in an error message */

static apr_status_t sse_ids_free(void *room)
{
    sse_room_free(room);
    return APR_SUCCESS;
}

sse_ids_t *sse_ids_create(request_rec *r)
{
    sse_ids_t *ids = apr_pcalloc(r->pool, sizeof(*ids));

    apr_pool_cleanup_register(r->pool, &ids->room, sse_ids_free,
                              apr_pool_cleanup_null);
    return ids;
}

static sse_id_t *sse_ids_at(const sse_ids_t *ids, apr_uint64_t n)
{
    return (sse_id_t *)(void *)ids->room.ptr + n % SSE_POST_IDS_MAX;
}

void sse_ids_add(sse_ids_t *ids, sse_id_t id)
{
    if (ids->made < SSE_POST_IDS_MAX &&
        !sse_room_double(&ids->room, (ids->made + 1) * sizeof(id))) {
        abort(); /* as httpd does */
    }
    *sse_ids_at(ids, ids->made++) = id;
}

int sse_ids_count(const sse_ids_t *ids)
{
    return ids->made < SSE_POST_IDS_MAX ? (int)ids->made : SSE_POST_IDS_MAX;
}

sse_id_t sse_ids_get(const sse_ids_t *ids, int i)
{
    return *sse_ids_at(ids, ids->made - (apr_uint64_t)sse_ids_count(ids) +
                                (apr_uint64_t)i);
}

sse_post_t *sse_post_create(request_rec *r, const apr_array_header_t *channels)
{
    sse_post_t *post = apr_pcalloc(r->pool, sizeof(*post));

    post->r = r;
    post->channels = channels;
    post->max_event = (apr_size_t)sse_conf_max_event(r);
    post->key = sse_slice(apr_table_get(r->headers_in, "Idempotency-Key"));
    post->ids = sse_ids_create(r);
    apr_pool_create(&post->pool, r->pool);
    apr_pool_tag(post->pool, "sse_post");
    return post;
}

void sse_post_clear(sse_post_t *post)
{
    apr_pool_clear(post->pool);
    post->n_waiting = 0;
}

void sse_post_finish(sse_post_t *post)
{
    int is_large = post->taken >= SSE_POST_LARGE ||
                   post->ids->made * sizeof(sse_append_t) >= SSE_POST_LARGE;

    apr_pool_destroy(post->pool);
    sse_room_free(&post->waiting);
    if (is_large) {
        sse_memory_trim();
    }
}

int sse_post_is_name(sse_slice_t name, const char *field)
{
    return name.len == strlen(field) && !memcmp(name.ptr, field, name.len);
}

const char *sse_post_quote(const sse_post_t *post, sse_slice_t name)
{
    if (name.len > SSE_POST_QUOTED) {
        name.len = SSE_POST_QUOTED;
        while (name.len && (name.ptr[name.len] & 0xC0) == 0x80) {
            --name.len; /* not within a character */
        }
    }
    return sse_reply_quote(post->r->pool, name);
}

int sse_post_refuse(sse_post_t *post, int status, const char *format, ...)
{
    const char *text;
    va_list args;

    va_start(args, format);
    text = apr_pvsprintf(post->r->pool, format, args);
    va_end(args);
    if (post->batch && post->seen) {
        return sse_problem_set(&post->problem, post->r->pool, status,
                               "event %" APR_SIZE_T_FMT ": %s", post->seen,
                               text);
    }
    return sse_problem_set(&post->problem, post->r->pool, status, "%s", text);
}

const char *sse_post_size_text(const sse_post_t *post)
{
    return apr_psprintf(post->r->pool,
                        "the event is larger than the %" APR_SIZE_T_FMT
                        " bytes that SSEMaxEventSize allows here",
                        post->max_event);
}

int sse_post_too_large(sse_post_t *post)
{
    return sse_post_refuse(post, HTTP_REQUEST_ENTITY_TOO_LARGE, "%s",
                           sse_post_size_text(post));
}

int sse_post_refuse_retry(sse_post_t *post)
{
    return sse_post_refuse(post, HTTP_BAD_REQUEST,
                           "retry must be a number of milliseconds from 0 to "
                           "%" APR_INT64_T_FMT,
                           SSE_POST_RETRY_MAX);
}

int sse_post_refuse_key(sse_post_t *post)
{
    return sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                           "the header Idempotency-Key is for a single event: "
                           "give each event of a batch its own id");
}

/* The event's own key or the header's; if both are given they must be equal. */
static int read_key(sse_post_t *post, sse_fields_t *event)
{
    if (!post->key.ptr) {
        return OK;
    }
    if (event->id.ptr &&
        (event->id.len != post->key.len ||
         memcmp(event->id.ptr, post->key.ptr, post->key.len) != 0)) {
        return sse_post_refuse(post, HTTP_BAD_REQUEST,
                               "the event's id and the header "
                               "Idempotency-Key differ: give one of them");
    }
    event->id = post->key;
    return OK;
}

static int check(sse_post_t *post, sse_fields_t *event)
{
    const char *wrong;
    int status;

    if (event->data.len > post->max_event ||
        event->event.len > post->max_event - event->data.len) {
        return sse_post_too_large(post);
    }
    if (event->retry > SSE_POST_RETRY_MAX) {
        return sse_post_refuse_retry(post);
    }
    status = read_key(post, event);
    if (status != OK) {
        return status;
    }
    wrong = sse_publish_check(event);
    return wrong ? sse_post_refuse(post, HTTP_BAD_REQUEST, "%s", wrong) : OK;
}

int sse_post_begin(sse_post_t *post)
{
    ++post->seen;
    return post->seen > 1 && post->key.ptr ? sse_post_refuse_key(post) : OK;
}

int sse_post_add(sse_post_t *post, const sse_fields_t *event)
{
    const sse_history_t *history = sse_conf_history(post->r);
    sse_fields_t checked = *event;
    int i, channels = post->channels->nelts, status = check(post, &checked);
    sse_append_t *items;

    if (status != OK) {
        return status;
    }
    if (!sse_room_double(&post->waiting,
                         (apr_size_t)(post->n_waiting + channels) *
                             sizeof(*items))) {
        return sse_problem_no_memory(post->r, &post->problem);
    }
    items = (sse_append_t *)(void *)post->waiting.ptr;
    for (i = 0; i < channels; ++i) {
        sse_publish_item(&items[post->n_waiting++],
                         APR_ARRAY_IDX(post->channels, i, sse_channel_t).key,
                         &checked, history);
    }
    return OK;
}

int sse_post_store_failed(request_rec *r, apr_status_t rv, int some,
                          sse_problem_t *problem)
{
    const char *then = "; try again later";
    int status = HTTP_INSUFFICIENT_STORAGE;

    switch (rv) {
    case APR_ENOSPC:
    case SSE_STORE_EGONE:
    case EROFS:
        break;
    case SSE_STORE_ESIZE:
        then = "";
        break;
    case SSE_STORE_EBUSY:
        /* A client that just obeys Retry-After would repeat the first ones. */
        if (!some) {
            apr_table_setn(r->err_headers_out, "Retry-After",
                           SSE_POST_RETRY_AFTER);
            then = "; nothing was published, try again later";
        }
        status = HTTP_SERVICE_UNAVAILABLE;
        break;
    default:
        status = HTTP_INTERNAL_SERVER_ERROR;
        then = "; the server's error log says why";
    }
    return sse_problem_set(problem, r->pool, status, "%s%s%s",
                           some ? "what follows the ids named here was not "
                                  "published: "
                                : "",
                           sse_publish_reason(rv), then);
}

int sse_post_flush(sse_post_t *post)
{
    sse_append_t *items = (sse_append_t *)(void *)post->waiting.ptr;
    const sse_publisher_t by = {post->r, post->r->server};
    apr_status_t rv;
    int i;

    if (!post->n_waiting) {
        return OK;
    }
    rv = sse_publish_append(&by, items, post->n_waiting);
    if (rv != APR_SUCCESS) {
        return sse_post_store_failed(post->r, rv, post->ids->made > 0,
                                     &post->problem);
    }
    for (i = 0; i < post->n_waiting; ++i) {
        sse_ids_add(post->ids, items[i].id);
    }
    sse_post_clear(post);
    return OK;
}
