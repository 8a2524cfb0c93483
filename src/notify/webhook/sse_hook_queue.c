/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often the path is looked at. */
#define CHECK_EVERY apr_time_from_msec(100)
/* How soon writing all anew is tried again, unless there is no directory at
 * all, which costs nothing to find. */
#define RENEW_EVERY apr_time_from_sec(5)

char *sse_hook_queue_path(const sse_spool_t *spool, apr_uint32_t n,
                          const char *suffix)
{
    apr_size_t size = strlen(spool->dir) + strlen(spool->owner) + 32;
    char *path = malloc(size);

    if (!path) {
        abort();
    }
    snprintf(path, size, "%s/" SSE_HOOK_PREFIX "%s.%u%s", spool->dir,
             spool->owner, n, suffix);
    return path;
}

/* -- Opening and closing --------------------------------------------------- */

apr_status_t sse_hook_queue_open(sse_hook_queue_t **out,
                                 const sse_spool_t *spool, apr_uint32_t n)
{
    char *path = sse_hook_queue_path(spool, n, "");
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    apr_status_t rv = dir < 0 ? errno : APR_SUCCESS;
    sse_hook_queue_t *queue;

    free(path);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    queue = calloc(1, sizeof(*queue));
    if (!queue) {
        abort();
    }
    queue->dir = dir;
    queue->n = n;
    *out = queue;
    return APR_SUCCESS;
}

/* @param n out: of a name that was free */
static apr_status_t make_dir(sse_spool_t *spool, const char *suffix,
                             apr_uint32_t *n)
{
    apr_status_t rv;
    char *path;

    do {
        *n = ++spool->last_queue;
        path = sse_hook_queue_path(spool, *n, suffix);
        rv = mkdir(path, 0700) ? sse_hook_last_error() : APR_SUCCESS;
        free(path);
    } while (rv == EEXIST);
    return rv;
}

apr_status_t sse_hook_queue_make(sse_spool_t *spool)
{
    apr_uint32_t n;
    apr_status_t rv = make_dir(spool, "", &n);

    if (rv == APR_SUCCESS) {
        rv = sse_hook_queue_open(&spool->own, spool, n);
    }
    if (rv == APR_SUCCESS) {
        TAILQ_INSERT_TAIL(&spool->queues, spool->own, link);
    }
    return rv;
}

void sse_hook_queue_close(sse_spool_t *spool, sse_hook_queue_t *queue,
                          int is_gone)
{
    char *path;

    if (is_gone) {
        path = sse_hook_queue_path(spool, queue->n, "");
        rmdir(path);
        free(path);
    }
    close(queue->dir);
    free(queue);
}

/* -- Adding ---------------------------------------------------------------- */

/* Begin a new segment.  In the list of those that the sender sees there is none
 * behind it, and so nothing is added to any other one. */
static apr_status_t begin_segment(sse_spool_t *spool, sse_hook_queue_t *queue)
{
    sse_hook_segment_t *segment;
    apr_status_t rv =
        sse_hook_segment_create(&segment, queue->dir, queue->last_file + 1);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    ++queue->last_file;
    ++queue->segments;
    segment->queue = queue;
    queue->tail = segment;
    if (queue->is_pending) {
        segment->number = SSE_HOOK_PENDING | ++spool->last_pending;
        TAILQ_INSERT_TAIL(&spool->pending, segment, link);
    }
    else {
        segment->number = ++spool->last_number;
        TAILQ_INSERT_TAIL(&spool->segments, segment, link);
    }
    spool->needs_sweep = 1; /* the one before may have been kept for this */
    return APR_SUCCESS;
}

apr_status_t sse_hook_queue_append(sse_spool_t *spool, sse_hook_queue_t *queue,
                                   const sse_hook_head_t *head,
                                   const sse_call_t *call, sse_spool_at_t *at)
{
    sse_hook_segment_t *tail = queue->tail;
    apr_status_t rv = APR_SUCCESS;

    if (!tail || (tail->records && tail->size + (apr_uint64_t)head->size >
                                       (apr_uint64_t)spool->segment_size)) {
        rv = begin_segment(spool, queue);
        tail = queue->tail;
    }
    if (rv == APR_SUCCESS) {
        at->segment = tail->number;
        at->offset = tail->size;
        rv = sse_hook_segment_append(tail, head, call);
    }
    if (rv == APR_SUCCESS) {
        sse_hook_count(spool, tail, head);
    }
    return rv;
}

/* -- A directory that was moved or removed --------------------------------- */

static sse_hook_segments_t *list_of(sse_spool_t *spool,
                                    const sse_hook_queue_t *queue)
{
    return queue->is_pending ? &spool->pending : &spool->segments;
}

static int is_at_path(const sse_spool_t *spool, const sse_hook_queue_t *queue)
{
    char *path = sse_hook_queue_path(spool, queue->n, "");
    struct stat mine, there;
    int is_there = !fstat(queue->dir, &mine) && !stat(path, &there) &&
                   mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;

    free(path);
    return is_there;
}

static int has_lost_files(sse_spool_t *spool, const sse_hook_queue_t *queue)
{
    const sse_hook_segment_t *segment;
    struct stat st;

    TAILQ_FOREACH(segment, list_of(spool, queue), link)
    {
        if (segment->queue == queue && !fstat(segment->fd, &st) &&
            !st.st_nlink) {
            return 1;
        }
    }
    return 0;
}

/** A copy of a queue that is being made. */
typedef struct {
    sse_spool_t *spool;
    sse_hook_queue_t *queue;
    int dir;
    int *fds; /* of the copies, in the order of the segments */
    apr_uint32_t count;
} copy_t;

static apr_status_t copy_segments(copy_t *copy)
{
    const sse_hook_segment_t *segment;
    char name[SSE_HOOK_FILE_SIZE];
    apr_status_t rv = APR_SUCCESS;

    TAILQ_FOREACH(segment, list_of(copy->spool, copy->queue), link)
    {
        int fd;

        if (rv != APR_SUCCESS || segment->queue != copy->queue) {
            continue;
        }
        fd = openat(copy->dir, sse_hook_segment_name(name, segment->file),
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        rv =
            fd < 0 ? sse_hook_last_error() : sse_hook_segment_copy(segment, fd);
        if (fd >= 0) {
            copy->fds[copy->count++] = fd;
        }
    }
    return rv;
}

/* The sender may be reading: descriptors keep their numbers.  The old files
 * must not come back with the old directory. */
static void use_copy(copy_t *copy)
{
    const sse_hook_segment_t *segment;
    char name[SSE_HOOK_FILE_SIZE];
    apr_uint32_t i = 0;

    TAILQ_FOREACH(segment, list_of(copy->spool, copy->queue), link)
    {
        if (segment->queue == copy->queue) {
            unlinkat(copy->queue->dir,
                     sse_hook_segment_name(name, segment->file), 0);
            dup3(copy->fds[i++], segment->fd, O_CLOEXEC);
        }
    }
    dup3(copy->dir, copy->queue->dir, O_CLOEXEC);
}

static void remove_copy(const copy_t *copy, const char *path)
{
    const sse_hook_segment_t *segment;
    char name[SSE_HOOK_FILE_SIZE];

    TAILQ_FOREACH(segment, list_of(copy->spool, copy->queue), link)
    {
        if (segment->queue == copy->queue) {
            unlinkat(copy->dir, sse_hook_segment_name(name, segment->file), 0);
        }
    }
    rmdir(path);
}

static apr_status_t finish_copy(copy_t *copy, apr_uint32_t n)
{
    char *from = sse_hook_queue_path(copy->spool, n, "+");
    char *to = sse_hook_queue_path(copy->spool, n, "");
    char *old = sse_hook_queue_path(copy->spool, copy->queue->n, "");
    apr_status_t rv = copy_segments(copy);

    if (rv == APR_SUCCESS && rename(from, to)) {
        rv = sse_hook_last_error();
    }
    if (rv == APR_SUCCESS) {
        use_copy(copy);
        rmdir(old); /* if it is still there */
        copy->queue->n = n;
    }
    else {
        remove_copy(copy, from);
    }
    free(from);
    free(to);
    free(old);
    return rv;
}

/* Write a queue to a new directory, under the name that others look for only
 * when all is there. */
static apr_status_t renew(sse_spool_t *spool, sse_hook_queue_t *queue)
{
    copy_t copy = {spool, queue, -1, NULL, 0};
    char *path;
    apr_uint32_t n;
    apr_status_t rv = make_dir(spool, "+", &n);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    path = sse_hook_queue_path(spool, n, "+");
    copy.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    free(path);
    if (copy.dir < 0) {
        return errno;
    }
    copy.fds = calloc(queue->segments + 1, sizeof(*copy.fds));
    if (!copy.fds) {
        abort();
    }
    rv = finish_copy(&copy, n);
    while (copy.count) {
        close(copy.fds[--copy.count]);
    }
    free(copy.fds);
    close(copy.dir);
    return rv;
}

void sse_hook_queue_look_after(sse_spool_t *spool)
{
    apr_time_t now = apr_time_now();
    sse_hook_queue_t *queue;
    apr_status_t rv = APR_SUCCESS;

    if (now - spool->checked < CHECK_EVERY && now >= spool->checked) {
        return;
    }
    spool->checked = now;
    if (now - spool->failed < RENEW_EVERY && now >= spool->failed) {
        return;
    }
    TAILQ_FOREACH(queue, &spool->queues, link)
    {
        if (rv == APR_SUCCESS &&
            (!is_at_path(spool, queue) || has_lost_files(spool, queue))) {
            rv = renew(spool, queue);
        }
    }
    spool->failed = rv == APR_SUCCESS || rv == ENOENT ? 0 : now;
}
