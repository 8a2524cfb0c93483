/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_spool_private.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

/* Of full segments: a 64th of what may wait, which bounds the descriptors. */
#define SEGMENT_LEAST (64 * 1024)
#define SEGMENT_MOST  (256 * 1024 * 1024)
#define SEGMENTS      64

/* What files with calls that wait may take altogether, as a multiple of what
 * may wait: where one target is down and others are not, most of one is done.
 * Files of opens that were sent are bounded by the number of streams. */
#define FILES_MOST 4

/* A bit of an offset that was given out: the call there has been read. */
#define WAS_READ 1u

void sse_hook_lock(sse_spool_t *spool, sigset_t *before)
{
    sigset_t every;

    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, before);
    pthread_mutex_lock(&spool->lock);
}

void sse_hook_unlock(sse_spool_t *spool, const sigset_t *before)
{
    pthread_mutex_unlock(&spool->lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* -- Opening and closing --------------------------------------------------- */

static int is_needed(const sse_hook_segment_t *segment)
{
    return segment->waiting || segment->opens;
}

static void close_segments(sse_hook_segments_t *segments)
{
    sse_hook_segment_t *segment;

    while ((segment = TAILQ_FIRST(segments)) != NULL) {
        TAILQ_REMOVE(segments, segment, link);
        --segment->queue->segments;
        if (is_needed(segment)) {
            segment->queue->is_pending = 1; /* stays */
            sse_hook_segment_close(segment);
        }
        else {
            sse_hook_sweep_segment(segment);
        }
    }
}

/* Without the lock: a signal's handler may run this, and threads that add calls
 * are gone, or end with the process. */
static apr_status_t on_pool_gone(void *baton)
{
    sse_spool_t *spool = baton;
    sse_hook_queue_t *queue;

    close_segments(&spool->segments);
    close_segments(&spool->pending);
    while ((queue = TAILQ_FIRST(&spool->queues)) != NULL) {
        TAILQ_REMOVE(&spool->queues, queue, link);
        sse_hook_queue_close(spool, queue, !queue->is_pending);
    }
    sse_hook_reader_free(&spool->reader);
    sse_hook_opens_free(&spool->opens);
    free(spool->shares);
    spool->shares = NULL;
    pthread_mutex_destroy(&spool->lock);
    return APR_SUCCESS;
}

static apr_uint32_t segment_size(apr_uint64_t max_bytes)
{
    apr_uint64_t size = max_bytes / SEGMENTS;

    size = size > SEGMENT_LEAST ? size : SEGMENT_LEAST;
    return (apr_uint32_t)(size < SEGMENT_MOST ? size : SEGMENT_MOST);
}

apr_status_t sse_spool_open(sse_spool_t **out, const char *dir,
                            const char *owner, apr_uint64_t max_calls,
                            apr_uint64_t max_bytes, apr_pool_t *pool)
{
    sse_spool_t *spool = apr_pcalloc(pool, sizeof(*spool));
    apr_status_t rv;

    spool->dir = apr_pstrdup(pool, dir);
    spool->owner = apr_pstrdup(pool, owner);
    spool->max_calls = max_calls;
    spool->max_bytes = max_bytes;
    spool->segment_size = segment_size(max_bytes);
    TAILQ_INIT(&spool->queues);
    TAILQ_INIT(&spool->segments);
    TAILQ_INIT(&spool->pending);
    rv = sse_hook_queue_make(spool);
    if (rv == APR_SUCCESS) {
        pthread_mutex_init(&spool->lock, NULL);
        apr_pool_cleanup_register(pool, spool, on_pool_gone,
                                  apr_pool_cleanup_null);
        *out = spool;
    }
    return rv;
}

/* -- What waits ------------------------------------------------------------ */

static sse_hook_waiting_t *share_of(sse_spool_t *spool, apr_uint64_t target)
{
    sse_hook_waiting_t *shares;
    int i;

    for (i = 0; i < spool->share_count; ++i) {
        if (spool->shares[i].target == target) {
            return &spool->shares[i];
        }
    }
    shares = realloc(spool->shares, (apr_size_t)(spool->share_count + 1) *
                                        sizeof(*spool->shares));
    if (!shares) {
        abort();
    }
    spool->shares = shares;
    memset(&shares[i], 0, sizeof(shares[i]));
    shares[i].target = target;
    ++spool->share_count;
    return &shares[i];
}

static void more(sse_hook_waiting_t *waiting, apr_uint64_t bytes)
{
    ++waiting->calls;
    waiting->bytes += bytes;
}

/* Its first call that waits begins to hold a segment, its last one lets go. */
static apr_uint64_t held(const sse_hook_segment_t *segment)
{
    return segment->waiting ? segment->size - SSE_HOOK_FILE_HEAD : 0;
}

static void count_record(sse_hook_segment_t *segment,
                         const sse_hook_head_t *head)
{
    ++segment->records;
    segment->opens += head->pairing == SSE_HOOK_OPEN;
    if (head->state == SSE_HOOK_WAITS) {
        ++segment->waiting;
        segment->waiting_bytes += head->size;
    }
}

void sse_hook_count(sse_spool_t *spool, sse_hook_segment_t *segment,
                    const sse_hook_head_t *head)
{
    apr_uint64_t before = segment->waiting ? held(segment) - head->size : 0;

    count_record(segment, head);
    if (segment->queue == spool->own) {
        spool->file_bytes += held(segment) - before;
    }
    if (head->state != SSE_HOOK_WAITS) {
        return;
    }
    if (segment->queue == spool->own) {
        more(&spool->mine, head->size);
        more(share_of(spool, head->target_hash), head->size);
    }
    else {
        more(&spool->claimed, head->size);
    }
}

/* What could not be read was given up, and may be finished nevertheless. */
static void less(sse_hook_waiting_t *waiting, apr_uint64_t calls,
                 apr_uint64_t bytes)
{
    waiting->calls -= calls < waiting->calls ? calls : waiting->calls;
    waiting->bytes -= bytes < waiting->bytes ? bytes : waiting->bytes;
}

static void uncount(sse_spool_t *spool, sse_hook_segment_t *segment,
                    const sse_hook_head_t *head)
{
    apr_uint64_t before = held(segment);

    if (!segment->waiting) {
        return;
    }
    --segment->waiting;
    segment->waiting_bytes -= head->size;
    if (segment->queue == spool->own) {
        spool->file_bytes -= before - held(segment);
        less(&spool->mine, 1, head->size);
        less(share_of(spool, head->target_hash), 1, head->size);
    }
    else {
        less(&spool->claimed, 1, head->size);
    }
    spool->needs_sweep |= !segment->waiting;
}

/* Of so much that waits, and so much of it for one target. */
static int fits(const sse_spool_t *spool, apr_uint64_t all, apr_uint64_t share,
                apr_uint64_t most)
{
    return all <= most && (spool->share_count < 2 || share <= 3 * (most - all));
}

/* Whether one more may wait. */
static int has_room(sse_spool_t *spool, const sse_hook_head_t *head)
{
    const sse_hook_waiting_t *share = share_of(spool, head->target_hash);
    apr_uint64_t calls = spool->max_calls, bytes = spool->max_bytes;

    /* There are no more of these than openings that had room, and whose target
     * would wait for the end for ever. */
    if (head->type == SSE_CALL_CLOSE) {
        return 1;
    }
    if (spool->file_bytes >= FILES_MOST * bytes + 2 * spool->segment_size) {
        return 0;
    }
    if (head->type == SSE_CALL_PUBLISH) {
        calls /= 2;
        bytes /= 2;
    }
    return fits(spool, spool->mine.calls + 1, share->calls + 1, calls) &&
           fits(spool, spool->mine.bytes + head->size,
                share->bytes + head->size, bytes);
}

void sse_spool_waiting(sse_spool_t *spool, apr_uint64_t *calls,
                       apr_uint64_t *bytes)
{
    sigset_t before;

    sse_hook_lock(spool, &before);
    *calls = spool->mine.calls + spool->claimed.calls;
    *bytes = spool->mine.bytes + spool->claimed.bytes;
    sse_hook_unlock(spool, &before);
}

/* -- Adding ---------------------------------------------------------------- */

sse_hook_segment_t *sse_hook_find(const sse_spool_t *spool, apr_uint32_t number)
{
    sse_hook_segment_t *segment;

    TAILQ_FOREACH_REVERSE(
        segment, number & SSE_HOOK_PENDING ? &spool->pending : &spool->segments,
        sse_hook_segments_t, link)
    {
        if (segment->number <= number) {
            return segment->number == number ? segment : NULL;
        }
    }
    return NULL;
}

/* A mark that cannot be written is an end that is told twice after a crash. */
void sse_hook_close_open(sse_spool_t *spool, apr_uint64_t key)
{
    const sse_spool_at_t *at = sse_hook_opens_find(&spool->opens, key);
    sse_hook_segment_t *segment = at ? sse_hook_find(spool, at->segment) : NULL;

    if (segment) {
        sse_hook_segment_mark(segment, at->offset, SSE_HOOK_PAIRING_AT,
                              SSE_HOOK_CLOSED);
        --segment->opens;
        spool->needs_sweep |=
            !segment->waiting && 2 * segment->opens <= segment->records;
    }
    sse_hook_opens_remove(&spool->opens, key);
}

void sse_hook_open_at(sse_spool_t *spool, apr_uint64_t key, sse_spool_at_t at)
{
    sse_hook_close_open(spool, key);
    sse_hook_opens_add(&spool->opens, key, at);
}

/* Where a CLOSE is added, so that it is behind its OPEN and in the same queue:
 * that of a dead owner, while this is claimed. */
static sse_hook_queue_t *queue_for(const sse_spool_t *spool,
                                   const sse_spool_at_t *open)
{
    const sse_hook_segment_t *segment =
        open && open->segment & SSE_HOOK_PENDING
            ? sse_hook_find(spool, open->segment)
            : NULL;

    return segment ? segment->queue : spool->own;
}

/* Under the lock. */
static apr_status_t add(sse_spool_t *spool, const sse_hook_head_t *head,
                        const sse_call_t *call)
{
    int is_close = head->type == SSE_CALL_CLOSE && head->key;
    const sse_spool_at_t *open =
        is_close ? sse_hook_opens_find(&spool->opens, head->key) : NULL;
    sse_spool_at_t at;
    apr_status_t rv;

    if (is_close && !open) {
        return APR_NOTFOUND;
    }
    if (head->state == SSE_HOOK_WAITS && !has_room(spool, head)) {
        return APR_ENOSPC;
    }
    rv = sse_hook_queue_append(spool, queue_for(spool, open), head, call, &at);
    if (rv == APR_SUCCESS && is_close) {
        sse_hook_close_open(spool, head->key);
    }
    else if (rv == APR_SUCCESS && head->pairing == SSE_HOOK_OPEN) {
        sse_hook_open_at(spool, head->key, at);
    }
    return rv;
}

apr_status_t sse_spool_add(sse_spool_t *spool, const sse_call_t *call)
{
    sse_hook_head_t head;
    sigset_t before;
    apr_status_t rv = sse_hook_record_make(&head, call);

    if (rv == APR_SUCCESS) {
        sse_hook_lock(spool, &before);
        sse_hook_queue_look_after(spool);
        rv = add(spool, &head, call);
        sse_hook_unlock(spool, &before);
    }
    return rv;
}

/* -- Reading --------------------------------------------------------------- */

/* The segment to go on with, NULL: none has more.  One in which nothing waits
 * is passed over. */
static const sse_hook_segment_t *
segment_at(sse_spool_t *spool, sse_spool_at_t *at, apr_uint32_t *end)
{
    const sse_hook_segment_t *segment;
    sigset_t before;

    sse_hook_lock(spool, &before);
    sse_hook_queue_look_after(spool);
    TAILQ_FOREACH(segment, &spool->segments, link)
    {
        if (segment->number < at->segment) {
            continue;
        }
        if (segment->number > at->segment) {
            at->segment = segment->number;
            at->offset = SSE_HOOK_FILE_HEAD;
        }
        if (!segment->waiting) {
            at->offset = segment->size;
        }
        if (at->offset < segment->size) {
            *end = segment->size;
            break;
        }
    }
    sse_hook_unlock(spool, &before);
    return segment;
}

/* What cannot be read cannot be sent. */
static void give_up(sse_spool_t *spool, apr_uint32_t number)
{
    sse_hook_segment_t *segment;
    sigset_t before;

    sse_hook_lock(spool, &before);
    segment = sse_hook_find(spool, number);
    spool->file_bytes -= segment->queue == spool->own ? held(segment) : 0;
    less(segment->queue == spool->own ? &spool->mine : &spool->claimed,
         segment->waiting, segment->waiting_bytes);
    segment->waiting = 0;
    segment->waiting_bytes = 0;
    spool->needs_sweep = 1;
    sse_hook_unlock(spool, &before);
}

static int is_wanted(const sse_hook_head_t *head, apr_uint64_t target)
{
    return head->state == SSE_HOOK_WAITS &&
           (!target || head->target_hash == target);
}

/* The next one in a segment.  @return APR_EOF: none */
static apr_status_t next_in(sse_spool_t *spool,
                            const sse_hook_segment_t *segment, apr_uint32_t end,
                            apr_uint64_t target, sse_spool_at_t *at,
                            sse_call_t *call, sse_room_t *room)
{
    int was_read = (at->offset & WAS_READ) != 0;
    apr_uint32_t offset = at->offset & ~WAS_READ;
    sse_hook_head_t head;
    apr_status_t rv;

    while ((rv = sse_hook_reader_head(&spool->reader, segment, offset, end,
                                      &head)) == APR_SUCCESS) {
        if (!was_read && is_wanted(&head, target)) {
            at->offset = offset | WAS_READ;
            rv = sse_hook_reader_call(&spool->reader, segment, offset, &head,
                                      call, room);
            break;
        }
        was_read = 0;
        offset += head.size;
    }
    if (rv != APR_SUCCESS) {
        at->offset = end;
    }
    return rv;
}

apr_status_t sse_spool_next(sse_spool_t *spool, const sse_slice_t *target,
                            sse_spool_at_t *at, sse_call_t *call,
                            sse_room_t *room)
{
    apr_uint64_t hash = target ? sse_hook_hash(*target) : 0;
    const sse_hook_segment_t *segment;
    apr_status_t rv = APR_EOF;
    apr_uint32_t end;

    while (rv == APR_EOF && (segment = segment_at(spool, at, &end)) != NULL) {
        rv = next_in(spool, segment, end, hash, at, call, room);
    }
    if (rv == APR_EOF) {
        sse_hook_sweep(spool); /* of what was claimed, perhaps all was done */
    }
    if (rv != APR_SUCCESS && rv != APR_EOF) {
        give_up(spool, at->segment);
    }
    return rv;
}

void sse_spool_done(sse_spool_t *spool, sse_spool_at_t at)
{
    apr_uint32_t offset = at.offset & ~WAS_READ;
    sse_hook_segment_t *segment;
    sse_hook_head_t head;
    sigset_t before;
    int is_due;

    sse_hook_lock(spool, &before);
    segment = sse_hook_find(spool, at.segment);
    if (segment && at.offset & WAS_READ &&
        sse_hook_segment_head(segment, offset, &head) == APR_SUCCESS &&
        head.state == SSE_HOOK_WAITS) {
        sse_hook_segment_mark(segment, offset, SSE_HOOK_STATE_AT,
                              SSE_HOOK_DONE);
        sse_hook_reader_note(&spool->reader, segment, offset, SSE_HOOK_DONE);
        uncount(spool, segment, &head);
    }
    is_due = spool->needs_sweep;
    sse_hook_unlock(spool, &before);
    if (is_due) {
        sse_hook_sweep(spool);
    }
}
