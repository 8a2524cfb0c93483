/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/format/sse_buf.h"

#include <stdlib.h>
#include <string.h>

#include "sse_atomic.h"

sse_buf_t *sse_buf_create(apr_size_t len)
{
    sse_buf_t *buf = malloc(sizeof(*buf) + len);

    if (!buf) {
        abort();
    }
    *buf = (sse_buf_t){.refs = 1, .len = len};
    return buf;
}

sse_buf_t *sse_buf_event(const sse_record_t *record, apr_size_t len)
{
    const sse_slice_t *own = &record->fields.id;
    apr_size_t own_len = record->id ? 0 : own->len;
    sse_buf_t *buf = sse_buf_create(len + own_len);

    if (own_len) {
        memcpy(buf->data + len, own->ptr, own_len);
    }
    buf->len = len;
    buf->id = record->id;
    buf->id_len = own_len;
    buf->events = record->fields.data.ptr != NULL;
    return buf;
}

sse_buf_t *sse_buf_text(const char *text)
{
    sse_buf_t *buf = sse_buf_create(strlen(text));

    memcpy(buf->data, text, buf->len);
    return buf;
}

sse_buf_t *sse_buf_acquire(sse_buf_t *buf)
{
    sse_atomic_add(&buf->refs, 1);
    return buf;
}

void sse_buf_release(sse_buf_t *buf)
{
    if (sse_atomic_sub(&buf->refs, 1) == 0) {
        free(buf);
    }
}

static void bucket_destroy(void *data) { sse_buf_release(data); }

static apr_status_t bucket_read(apr_bucket *b, const char **str,
                                apr_size_t *len, apr_read_type_e block)
{
    sse_buf_t *buf = b->data;

    *str = buf->data + b->start;
    *len = b->length;
    return APR_SUCCESS;
}

static apr_status_t bucket_copy(apr_bucket *a, apr_bucket **c)
{
    apr_status_t rv = apr_bucket_simple_copy(a, c);

    if (rv == APR_SUCCESS) {
        sse_buf_acquire(a->data);
    }
    return rv;
}

static apr_status_t bucket_split(apr_bucket *b, apr_size_t point)
{
    apr_status_t rv = apr_bucket_simple_split(b, point);

    if (rv == APR_SUCCESS) {
        sse_buf_acquire(b->data);
    }
    return rv;
}

static const apr_bucket_type_t bucket_type = {
    "SSE",          5,           APR_BUCKET_DATA,
    bucket_destroy, bucket_read, apr_bucket_setaside_noop,
    bucket_split,   bucket_copy};

apr_bucket *sse_buf_bucket(sse_buf_t *buf, apr_bucket_alloc_t *list)
{
    apr_bucket *b = apr_bucket_alloc(sizeof(*b), list);

    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = list;
    b->type = &bucket_type;
    b->data = buf;
    b->start = 0;
    b->length = buf->len;
    return b;
}
