/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What waits for one client: shared buffers, the ring they wait in, and the
 * buckets they are written as. */

#include <apr_buckets.h>
#include <apr_strings.h>
#include <pthread.h>
#include <stdlib.h>

#include "sse_atomic.h"
#include "stream/format/sse_buf.h"
#include "stream/sse_queue.h"
#include "tap.h"

static apr_pool_t *pool;

static unsigned int refs(const sse_buf_t *buf)
{
    return sse_atomic_load(&buf->refs);
}

/* A buffer that says which one it is. */
static sse_buf_t *numbered(apr_uint64_t n)
{
    sse_buf_t *buf = sse_buf_create((apr_size_t)(n % 7) + 1);

    memset(buf->data, (int)('a' + n % 26), buf->len);
    buf->id = n;
    return buf;
}

/* One in, one out, and by and by more than one: the ring turns and grows. */
static void test_order(void)
{
    sse_queue_t queue = {0};
    apr_uint64_t in = 0, out = 0, bytes = 0;
    int i, wrong = 0, miscounted = 0;
    sse_buf_t *buf;

    for (i = 0; i < 20000; ++i) {
        if (i % 3 != 2 || i % 1000 < 300) {
            buf = numbered(++in);
            bytes += buf->len;
            sse_queue_add(&queue, buf);
        }
        else {
            wrong += sse_queue_first(&queue)->id != out + 1;
            buf = sse_queue_take(&queue);
            wrong += buf->id != ++out || buf->data[0] != (char)('a' + out % 26);
            bytes -= buf->len;
            sse_buf_release(buf);
        }
        miscounted += queue.count != in - out || queue.bytes != bytes;
    }
    is_num(wrong, 0, "first in, first out");
    is_num(miscounted, 0, "count and bytes are those of what waits");
    ok(queue.count > 1000, "with many waiting");

    while ((buf = sse_queue_take(&queue)) != NULL) {
        wrong += buf->id != ++out;
        sse_buf_release(buf);
    }
    ok(!wrong && out == in, "to the last one");
    is_num(queue.count, 0, "then it is empty");
    is_num(queue.bytes, 0, "without a byte");
    ok(!queue.ring, "and without the memory of the burst");
    ok(!sse_queue_first(&queue) && !sse_queue_take(&queue),
       "there is none to take");
    sse_queue_clear(&queue);
}

static void test_clear(void)
{
    sse_queue_t queue = {0};
    sse_buf_t *buf = sse_buf_text("x");
    int i;

    for (i = 0; i < 100; ++i) {
        sse_queue_add(&queue, sse_buf_acquire(buf));
    }
    is_num(refs(buf), 101, "the queue has a reference for each place");
    is_num(queue.bytes, 100, "and counts the same bytes each time");
    sse_queue_clear(&queue);
    is_num(refs(buf), 1, "clearing gives them back");
    ok(!queue.count && !queue.bytes && !queue.ring, "and leaves it empty");
    sse_queue_add(&queue, sse_buf_acquire(buf));
    ok(sse_queue_first(&queue) == buf, "it can be used again");
    sse_queue_clear(&queue);
    sse_queue_clear(&queue);
    is_num(refs(buf), 1, "clearing twice does no harm");
    sse_buf_release(buf);
}

/* As a string, from start to end of a brigade. */
static const char *flatten(apr_bucket_brigade *bb)
{
    char *text = NULL;
    apr_size_t len = 0;

    if (apr_brigade_pflatten(bb, &text, &len, pool) != APR_SUCCESS) {
        return "(failed)";
    }
    return apr_pstrmemdup(pool, text, len);
}

static void test_buckets(void)
{
    apr_bucket_alloc_t *list = apr_bucket_alloc_create(pool);
    apr_bucket_brigade *bb = apr_brigade_create(pool, list);
    apr_bucket_brigade *kept = apr_brigade_create(pool, list);
    sse_buf_t *buf = sse_buf_text("0123456789");
    apr_bucket *b, *copy, *tail;

    b = sse_buf_bucket(sse_buf_acquire(buf), list);
    APR_BRIGADE_INSERT_TAIL(bb, b);
    is_num(refs(buf), 2, "a bucket is a reference");
    is_num(b->length, 10, "over all bytes");
    is_str(flatten(bb), "0123456789", "which can be read");

    ok(apr_bucket_split(b, 4) == APR_SUCCESS, "it can be split");
    tail = APR_BUCKET_NEXT(b);
    is_num(refs(buf), 3, "each half has a reference");
    ok(b->length == 4 && tail->length == 6, "and its length");
    ok(apr_bucket_split(tail, 1) == APR_SUCCESS, "and again");
    is_str(flatten(bb), "0123456789", "the parts are the whole");

    ok(apr_bucket_copy(tail, &copy) == APR_SUCCESS, "it can be copied");
    APR_BRIGADE_INSERT_TAIL(kept, copy);
    is_num(refs(buf), 5, "the copy has a reference too");
    is_str(flatten(kept), "4", "and its part alone");
    ok(apr_bucket_setaside(copy, pool) == APR_SUCCESS &&
           copy->data == (void *)buf,
       "setting aside copies nothing");

    apr_brigade_cleanup(bb);
    is_num(refs(buf), 2, "what is written gives its reference back");
    sse_buf_release(buf);
    is_str(flatten(kept), "4", "the last bucket keeps the bytes");
    apr_brigade_cleanup(kept);
    apr_bucket_alloc_destroy(list);
}

#define SHARERS 4
#define SHARES  20000

static void *share(void *baton)
{
    sse_buf_t *buf = baton;
    sse_queue_t queue = {0};
    int i;

    for (i = 0; i < SHARES; ++i) {
        sse_queue_add(&queue, sse_buf_acquire(buf));
        if (i % 3) {
            sse_buf_release(sse_queue_take(&queue));
        }
    }
    sse_queue_clear(&queue);
    return NULL;
}

static void test_threads(void)
{
    sse_buf_t *buf = sse_buf_text("shared");
    pthread_t threads[SHARERS];
    int i;

    for (i = 0; i < SHARERS; ++i) {
        pthread_create(&threads[i], NULL, share, buf);
    }
    for (i = 0; i < SHARERS; ++i) {
        pthread_join(threads[i], NULL);
    }
    is_num(refs(buf), 1, "threads share a buffer, none is lost or left");
    sse_buf_release(buf);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_order();
    test_clear();
    test_buckets();
    test_threads();
    apr_terminate();
    return done_testing();
}
