/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_spool_private.h"

#include <unistd.h>

static int is_tail(const sse_hook_segment_t *segment)
{
    return segment == segment->queue->tail;
}

static int is_unneeded(const sse_hook_segment_t *segment)
{
    return !segment->waiting && !segment->opens && !segment->pins;
}

/* Opens that were sent are not the sender's any more, and may move. */
static int is_half_empty(const sse_spool_t *spool,
                         const sse_hook_segment_t *segment)
{
    return segment->queue == spool->own && !segment->waiting &&
           2 * segment->opens <= segment->records;
}

/* -- Segments with a few opens --------------------------------------------- */

/* Under the lock.  Copied first, closed where it was then: a crash between the
 * two leaves it twice, which is found when the queue is claimed. */
static apr_status_t move(sse_spool_t *spool, sse_hook_segment_t *segment,
                         apr_uint32_t offset, sse_hook_head_t *head,
                         const sse_call_t *call)
{
    const sse_spool_at_t *open = sse_hook_opens_find(&spool->opens, head->key);
    sse_spool_at_t at;
    apr_status_t rv;

    if (!open || open->segment != segment->number || open->offset != offset) {
        return APR_SUCCESS; /* closed meanwhile */
    }
    head->state = SSE_HOOK_DONE;
    head->pairing = SSE_HOOK_OPEN;
    rv = sse_hook_queue_append(spool, spool->own, head, call, &at);
    if (rv == APR_SUCCESS) {
        sse_hook_open_at(spool, head->key, at);
    }
    return rv;
}

static apr_status_t move_opens(sse_spool_t *spool, sse_hook_segment_t *segment,
                               sse_room_t *room)
{
    apr_uint32_t offset = SSE_HOOK_FILE_HEAD;
    sse_hook_head_t head;
    sse_call_t call;
    sigset_t before;
    apr_status_t rv;

    /* It is no tail, and does not grow. */
    while ((rv = sse_hook_reader_head(&spool->reader, segment, offset,
                                      segment->size, &head)) == APR_SUCCESS) {
        if (head.pairing == SSE_HOOK_OPEN) {
            rv = sse_hook_reader_call(&spool->reader, segment, offset, &head,
                                      &call, room);
            if (rv == APR_SUCCESS) {
                sse_hook_lock(spool, &before);
                rv = move(spool, segment, offset, &head, &call);
                sse_hook_unlock(spool, &before);
            }
        }
        if (rv != APR_SUCCESS) {
            break;
        }
        offset += head.size;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* -- What goes ------------------------------------------------------------- */

void sse_hook_sweep_segment(sse_hook_segment_t *segment)
{
    char name[SSE_HOOK_FILE_SIZE];

    unlinkat(segment->queue->dir, sse_hook_segment_name(name, segment->file),
             0);
    sse_hook_segment_close(segment);
}

/* Take those out of their list that nobody needs.
 * @return one whose opens are to be moved, or NULL */
static sse_hook_segment_t *sort_out(sse_spool_t *spool,
                                    sse_hook_segments_t *gone)
{
    sse_hook_segment_t *segment = TAILQ_FIRST(&spool->segments), *next;
    sse_hook_segment_t *sparse = NULL;

    for (; segment; segment = next) {
        next = TAILQ_NEXT(segment, link);
        if (is_tail(segment)) {
            continue;
        }
        if (is_unneeded(segment)) {
            TAILQ_REMOVE(&spool->segments, segment, link);
            TAILQ_INSERT_TAIL(gone, segment, link);
        }
        else if (!sparse && is_half_empty(spool, segment)) {
            sparse = segment;
        }
    }
    return sparse;
}

/* Files are removed without the lock. */
static void remove_segments(sse_spool_t *spool, sse_hook_segments_t *gone)
{
    sse_hook_segment_t *segment;
    sse_hook_queue_t *queue;
    sigset_t before;
    int is_last;

    while ((segment = TAILQ_FIRST(gone)) != NULL) {
        TAILQ_REMOVE(gone, segment, link);
        queue = segment->queue;
        sse_hook_sweep_segment(segment);
        sse_hook_lock(spool, &before);
        is_last = !--queue->segments && queue != spool->own;
        if (is_last) {
            TAILQ_REMOVE(&spool->queues, queue, link);
        }
        sse_hook_unlock(spool, &before);
        if (is_last) {
            sse_hook_queue_close(spool, queue, 1);
        }
    }
    sse_hook_reader_forget(&spool->reader);
}

void sse_hook_sweep(sse_spool_t *spool)
{
    sse_hook_segments_t gone = TAILQ_HEAD_INITIALIZER(gone);
    sse_hook_segment_t *sparse = NULL;
    sse_room_t room = {0};
    sigset_t before;
    int is_due;

    do {
        sse_hook_lock(spool, &before);
        is_due = spool->needs_sweep;
        spool->needs_sweep = 0;
        sparse = is_due ? sort_out(spool, &gone) : NULL;
        sse_hook_unlock(spool, &before);
        if (!TAILQ_EMPTY(&gone)) {
            remove_segments(spool, &gone);
        }
    } while (sparse && move_opens(spool, sparse, &room) == APR_SUCCESS);
    sse_room_free(&room);
}
