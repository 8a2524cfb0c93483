/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_presence_json.h"

#include <apr_strings.h>
#include <jansson.h>
#include <stdlib.h>

/* Microseconds of a time that has ten digits before the point. */
#define FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(16))

static json_t *text_of(sse_slice_t text, apr_pool_t *pool)
{
    char *clean;

    if (text.len && !sse_utf8_valid(text.ptr, text.len)) {
        clean = apr_palloc(pool, 3 * text.len);
        text.len = sse_utf8_replace(text.ptr, text.len, clean);
        text.ptr = clean;
    }
    return json_stringn(text.len ? text.ptr : "", text.len);
}

static json_t *user_of(sse_slice_t user, apr_pool_t *pool)
{
    return user.len ? text_of(user, pool) : json_null();
}

static json_t *time_of(apr_time_t time)
{
    return json_real((double)time / APR_USEC_PER_SEC);
}

/* Takes the object over. */
static sse_slice_t dump(json_t *object, apr_pool_t *pool)
{
    char *text = json_dumps(object, FLAGS);
    sse_slice_t out;

    if (!text) {
        abort(); /* out of memory */
    }
    out = sse_slice(apr_pstrdup(pool, text));
    free(text);
    json_decref(object);
    return out;
}

sse_slice_t sse_presence_json_change(sse_slice_t channel, sse_slice_t stream,
                                     sse_slice_t user, apr_time_t time,
                                     const char *reason, apr_pool_t *pool)
{
    json_t *object = json_object();

    json_object_set_new(object, "channel", text_of(channel, pool));
    json_object_set_new(object, "stream", text_of(stream, pool));
    json_object_set_new(object, "user", user_of(user, pool));
    json_object_set_new(object, "time", time_of(time));
    if (reason) {
        json_object_set_new(object, "reason", json_string(reason));
    }
    return dump(object, pool);
}

sse_slice_t sse_presence_json_member(sse_slice_t stream, sse_slice_t user,
                                     apr_time_t since, int is_away,
                                     apr_pool_t *pool)
{
    json_t *object = json_object();

    json_object_set_new(object, "stream", text_of(stream, pool));
    json_object_set_new(object, "user", user_of(user, pool));
    json_object_set_new(object, "since", time_of(since));
    if (is_away) {
        json_object_set_new(object, "away", json_true());
    }
    return dump(object, pool);
}

sse_slice_t sse_presence_json_head(sse_slice_t channel, apr_uint64_t streams,
                                   apr_uint64_t users, apr_pool_t *pool)
{
    json_t *object = json_object();
    sse_slice_t out;

    json_object_set_new(object, "channel", text_of(channel, pool));
    json_object_set_new(object, "streams", json_integer((json_int_t)streams));
    json_object_set_new(object, "users", json_integer((json_int_t)users));
    out = dump(object, pool);
    --out.len; /* the brace */
    return out;
}
