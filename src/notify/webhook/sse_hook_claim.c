/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_spool_private.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/** One run. */
typedef struct {
    sse_spool_t *spool;
    sse_spool_alive_fn *is_alive;
    sse_spool_orphan_fn *on_orphan;
    void *baton;
    apr_pool_t *pool;
    sse_hook_reader_t reader;
    sse_room_t room;
} claim_t;

/* -- Reading a dead owner's records ---------------------------------------- */

static void take(claim_t *claim, sse_hook_segment_t *segment,
                 const sse_hook_head_t *head)
{
    sse_spool_at_t at = {segment->number, segment->size};
    sigset_t before;

    sse_hook_lock(claim->spool, &before);
    sse_hook_count(claim->spool, segment, head);
    segment->size += head->size;
    if (head->pairing == SSE_HOOK_OPEN) {
        sse_hook_open_at(claim->spool, head->key, at);
    }
    else if (head->type == SSE_CALL_CLOSE && head->key) {
        sse_hook_close_open(claim->spool, head->key);
    }
    sse_hook_unlock(claim->spool, &before);
}

/* A record that is not whole, and what is behind it, were being written.
 * @return why it cannot be read */
static apr_status_t read_records(claim_t *claim, sse_hook_segment_t *segment,
                                 apr_uint32_t end)
{
    sse_hook_head_t head;
    sse_call_t call;
    apr_status_t rv;

    sse_hook_reader_forget(&claim->reader);
    while ((rv = sse_hook_reader_head(&claim->reader, segment, segment->size,
                                      end, &head)) == APR_SUCCESS &&
           (rv = sse_hook_reader_call(&claim->reader, segment, segment->size,
                                      &head, &call, &claim->room)) ==
               APR_SUCCESS) {
        take(claim, segment, &head);
    }
    return rv == APR_EOF || rv == APR_EINVAL ? APR_SUCCESS : rv;
}

static int compare(const void *a, const void *b)
{
    apr_uint32_t one = *(const apr_uint32_t *)a, two = *(const apr_uint32_t *)b;

    return one < two ? -1 : one > two;
}

/* The names of its segments, in order. */
static apr_status_t list_files(int fd, apr_array_header_t *files)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    char *end;

    if (!dir) {
        apr_status_t rv = errno;

        if (copy >= 0) {
            close(copy);
        }
        return rv;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0])) {
            APR_ARRAY_PUSH(files, apr_uint32_t) =
                (apr_uint32_t)strtoul(entry->d_name, &end, 10);
            files->nelts -= *end != '\0';
        }
    }
    closedir(dir);
    qsort(files->elts, (size_t)files->nelts, sizeof(apr_uint32_t), compare);
    return APR_SUCCESS;
}

/* Nothing has been counted yet, so that a failure changes nothing. */
static apr_status_t open_segments(sse_hook_queue_t *queue,
                                  sse_hook_segments_t *segments,
                                  apr_pool_t *pool)
{
    apr_array_header_t *files = apr_array_make(pool, 8, sizeof(apr_uint32_t));
    apr_status_t rv = list_files(queue->dir, files);
    char name[SSE_HOOK_FILE_SIZE];
    sse_hook_segment_t *segment;
    int i;

    for (i = 0; i < files->nelts && rv == APR_SUCCESS; ++i) {
        queue->last_file = APR_ARRAY_IDX(files, i, apr_uint32_t);
        rv = sse_hook_segment_open(&segment, queue->dir, queue->last_file);
        if (rv == APR_SUCCESS) {
            segment->queue = queue;
            ++queue->segments;
            TAILQ_INSERT_TAIL(segments, segment, link);
        }
        else if (rv == APR_EOF) { /* killed before its first bytes */
            unlinkat(queue->dir, sse_hook_segment_name(name, queue->last_file),
                     0);
            rv = APR_SUCCESS;
        }
        else if (rv == APR_EINVAL || rv == APR_ENOENT || rv == EISDIR ||
                 rv == ELOOP) {
            rv = APR_SUCCESS; /* none of ours */
        }
    }
    return rv;
}

/* Move the segments to those that are being claimed, one after the other, and
 * read them. */
static apr_status_t read_segments(claim_t *claim, sse_hook_segments_t *segments)
{
    sse_spool_t *spool = claim->spool;
    sse_hook_segment_t *segment;
    apr_status_t rv = APR_SUCCESS, failed;
    apr_uint32_t end;
    sigset_t before;

    while ((segment = TAILQ_FIRST(segments)) != NULL) {
        TAILQ_REMOVE(segments, segment, link);
        end = segment->size;
        sse_hook_lock(spool, &before);
        segment->size = SSE_HOOK_FILE_HEAD;
        segment->number = SSE_HOOK_PENDING | ++spool->last_pending;
        TAILQ_INSERT_TAIL(&spool->pending, segment, link);
        sse_hook_unlock(spool, &before);
        failed = read_records(claim, segment, end);
        rv = failed ? failed : rv;
    }
    return rv;
}

/* -- Telling of opens ------------------------------------------------------ */

/* Whether the OPEN there has no close yet. */
static int is_open(const claim_t *claim, const sse_hook_segment_t *segment,
                   apr_uint32_t offset, apr_uint64_t key)
{
    const sse_spool_at_t *at;
    sigset_t before;
    int is_there;

    sse_hook_lock(claim->spool, &before);
    at = sse_hook_opens_find(&claim->spool->opens, key);
    is_there = at && at->segment == segment->number && at->offset == offset;
    sse_hook_unlock(claim->spool, &before);
    return is_there;
}

/* @return how many are open afterwards */
static int tell_segment(claim_t *claim, const sse_hook_segment_t *segment,
                        apr_uint32_t end)
{
    apr_uint32_t offset = SSE_HOOK_FILE_HEAD;
    sse_hook_head_t head;
    sse_call_t call;
    int left = 0;

    sse_hook_reader_forget(&claim->reader);
    for (; sse_hook_reader_head(&claim->reader, segment, offset, end, &head) ==
           APR_SUCCESS;
         offset += head.size) {
        if (head.pairing == SSE_HOOK_OPEN &&
            is_open(claim, segment, offset, head.key) &&
            sse_hook_reader_call(&claim->reader, segment, offset, &head, &call,
                                 &claim->room) == APR_SUCCESS) {
            claim->on_orphan(claim->baton, &call);
            left += is_open(claim, segment, offset, head.key);
        }
    }
    return left;
}

/* The next segment of dead owners with opens, behind that number.  It stays
 * until unpin(). */
static sse_hook_segment_t *pin_next(sse_spool_t *spool,
                                    sse_hook_segments_t *segments,
                                    apr_uint32_t number, apr_uint32_t *end)
{
    sse_hook_segment_t *segment;
    sigset_t before;

    sse_hook_lock(spool, &before);
    TAILQ_FOREACH(segment, segments, link)
    {
        if (segment->number > number && segment->queue != spool->own &&
            segment->opens) {
            ++segment->pins;
            *end = segment->size;
            break;
        }
    }
    sse_hook_unlock(spool, &before);
    return segment;
}

static void unpin(sse_spool_t *spool, sse_hook_segment_t *segment)
{
    sigset_t before;

    sse_hook_lock(spool, &before);
    --segment->pins;
    spool->needs_sweep = 1;
    sse_hook_unlock(spool, &before);
}

static int tell(claim_t *claim, sse_hook_segments_t *segments)
{
    sse_hook_segment_t *segment;
    apr_uint32_t number = 0, end;
    int left = 0;

    while ((segment = pin_next(claim->spool, segments, number, &end)) != NULL) {
        number = segment->number;
        left += tell_segment(claim, segment, end);
        unpin(claim->spool, segment);
    }
    return left;
}

/* -- From pending to waiting ----------------------------------------------- */

/* Opens that have no close are where their segments are. */
static void renumber_opens(sse_spool_t *spool)
{
    apr_uint32_t i;

    for (i = 0; i < spool->opens.size; ++i) {
        if (spool->opens.slots[i].key &&
            spool->opens.slots[i].at.segment & SSE_HOOK_PENDING) {
            spool->opens.slots[i].at.segment =
                spool->last_number +
                (spool->opens.slots[i].at.segment & ~SSE_HOOK_PENDING);
        }
    }
}

/* What is added from now on is behind these. */
static void show(sse_spool_t *spool, sse_hook_queue_t *queue)
{
    sse_hook_segment_t *segment;
    sigset_t before;

    sse_hook_lock(spool, &before);
    renumber_opens(spool);
    while ((segment = TAILQ_FIRST(&spool->pending)) != NULL) {
        TAILQ_REMOVE(&spool->pending, segment, link);
        TAILQ_INSERT_TAIL(&spool->segments, segment, link);
        segment->number = ++spool->last_number;
    }
    spool->last_pending = 0;
    queue->is_pending = 0;
    queue->tail = spool->own->tail = NULL;
    spool->needs_sweep = 1;
    sse_hook_unlock(spool, &before);
}

/* -- Claiming -------------------------------------------------------------- */

static void drop(sse_spool_t *spool, sse_hook_queue_t *queue,
                 sse_hook_segments_t *segments, int is_gone)
{
    sse_hook_segment_t *segment;

    while ((segment = TAILQ_FIRST(segments)) != NULL) {
        TAILQ_REMOVE(segments, segment, link);
        sse_hook_segment_close(segment);
    }
    sse_hook_queue_close(spool, queue, is_gone);
}

static apr_status_t adopt(claim_t *claim, apr_uint32_t n)
{
    sse_hook_segments_t segments = TAILQ_HEAD_INITIALIZER(segments);
    sse_hook_queue_t *queue;
    apr_status_t rv = sse_hook_queue_open(&queue, claim->spool, n);
    sigset_t before;
    int left;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = open_segments(queue, &segments, claim->pool);
    if (rv != APR_SUCCESS || TAILQ_EMPTY(&segments)) {
        drop(claim->spool, queue, &segments, rv == APR_SUCCESS);
        return rv;
    }
    sse_hook_lock(claim->spool, &before);
    queue->is_pending = 1;
    TAILQ_INSERT_TAIL(&claim->spool->queues, queue, link);
    sse_hook_unlock(claim->spool, &before);
    rv = read_segments(claim, &segments);
    left = tell(claim, &claim->spool->pending);
    show(claim->spool, queue);
    return rv == APR_SUCCESS && left ? APR_EAGAIN : rv;
}

/* An owner that died was copying its queue to it, and has all elsewhere. */
static apr_status_t remove_incomplete(const claim_t *claim, const char *path)
{
    apr_array_header_t *files =
        apr_array_make(claim->pool, 8, sizeof(apr_uint32_t));
    int i, dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    char name[SSE_HOOK_FILE_SIZE];

    if (dir < 0) {
        return APR_SUCCESS;
    }
    list_files(dir, files);
    for (i = 0; i < files->nelts; ++i) {
        unlinkat(
            dir,
            sse_hook_segment_name(name, APR_ARRAY_IDX(files, i, apr_uint32_t)),
            0);
    }
    close(dir);
    rmdir(path);
    return APR_SUCCESS;
}

/* Under the lock. */
static int knows(const sse_spool_t *spool, apr_uint32_t n)
{
    const sse_hook_queue_t *queue;

    TAILQ_FOREACH(queue, &spool->queues, link)
    {
        if (queue->n == n) {
            return 1;
        }
    }
    return 0;
}

/* Of all claimers one can rename it. */
static apr_status_t rename_to_mine(const claim_t *claim, const char *path,
                                   apr_uint32_t *n)
{
    sigset_t before;
    apr_status_t rv;
    char *mine;

    do {
        sse_hook_lock(claim->spool, &before);
        *n = ++claim->spool->last_queue;
        sse_hook_unlock(claim->spool, &before);
        mine = sse_hook_queue_path(claim->spool, *n, "");
        rv = rename(path, mine) ? errno : APR_SUCCESS;
        free(mine);
    } while (rv == ENOTEMPTY || rv == EEXIST);
    return rv;
}

static int has_enough(sse_spool_t *spool)
{
    sigset_t before;
    int is_full;

    sse_hook_lock(spool, &before);
    is_full = spool->claimed.calls >= spool->max_calls ||
              spool->claimed.bytes >= spool->max_bytes;
    sse_hook_unlock(spool, &before);
    return is_full;
}

/* One of this owner's that is not in use: it was renamed, and then something
 * failed. */
static int is_unused(const claim_t *claim, apr_uint32_t n)
{
    sigset_t before;
    int is_known;

    sse_hook_lock(claim->spool, &before);
    is_known = knows(claim->spool, n);
    if (n > claim->spool->last_queue) {
        claim->spool->last_queue = n;
    }
    sse_hook_unlock(claim->spool, &before);
    return !is_known;
}

static apr_status_t claim_queue(claim_t *claim, const char *path, int is_mine,
                                apr_uint32_t n)
{
    apr_status_t rv = APR_SUCCESS;

    if (is_mine && !is_unused(claim, n)) {
        return APR_SUCCESS;
    }
    if (has_enough(claim->spool)) {
        return APR_EAGAIN;
    }
    if (!is_mine) {
        rv = rename_to_mine(claim, path, &n);
    }
    rv = rv ? rv : adopt(claim, n);
    return rv == APR_ENOENT ? APR_SUCCESS : rv; /* another claimer's */
}

/* "hooks.OWNER.n", or "hooks.OWNER.n+", which was not completed.  Most belong
 * to the living, and cost no look at the disk: all children do this. */
static apr_status_t look_at(claim_t *claim, const char *name)
{
    char *owner = apr_pstrdup(claim->pool, name + strlen(SSE_HOOK_PREFIX));
    char *dot = strrchr(owner, '.'), *end;
    const char *path;
    struct stat st;
    apr_uint32_t n;
    int is_mine;

    if (!dot || !isdigit((unsigned char)dot[1])) {
        return APR_SUCCESS;
    }
    *dot = '\0';
    n = (apr_uint32_t)strtoul(dot + 1, &end, 10);
    is_mine = !strcmp(owner, claim->spool->owner);
    if (!is_mine && claim->is_alive(claim->baton, owner)) {
        return APR_SUCCESS;
    }
    path = apr_pstrcat(claim->pool, claim->spool->dir, "/", name, NULL);
    if (lstat(path, &st) || !S_ISDIR(st.st_mode)) {
        return APR_SUCCESS;
    }
    if (!strcmp(end, "+") && !is_mine) {
        return remove_incomplete(claim, path);
    }
    return *end ? APR_SUCCESS : claim_queue(claim, path, is_mine, n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int is_name(const char *name)
{
    return !strncmp(name, SSE_HOOK_PREFIX, strlen(SSE_HOOK_PREFIX));
}

int sse_spool_is_left(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int is_left = 0;

    while (dir && !is_left && (entry = readdir(dir)) != NULL) {
        is_left = is_name(entry->d_name);
    }
    if (dir) {
        closedir(dir);
    }
    return is_left;
}

static apr_status_t list_queues(const claim_t *claim, apr_array_header_t *names)
{
    DIR *dir = opendir(claim->spool->dir);
    struct dirent *entry;

    if (!dir) {
        return errno;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (is_name(entry->d_name)) {
            APR_ARRAY_PUSH(names, const char *) =
                apr_pstrdup(claim->pool, entry->d_name);
        }
    }
    closedir(dir);
    qsort(names->elts, (size_t)names->nelts, sizeof(char *), by_name);
    return APR_SUCCESS;
}

apr_status_t sse_spool_claim(sse_spool_t *spool, sse_spool_alive_fn *is_alive,
                             sse_spool_orphan_fn *on_orphan, void *baton,
                             apr_pool_t *pool)
{
    claim_t claim = {.spool = spool,
                     .is_alive = is_alive,
                     .on_orphan = on_orphan,
                     .baton = baton,
                     .pool = pool};
    apr_array_header_t *names = apr_array_make(pool, 16, sizeof(char *));
    apr_status_t rv = list_queues(&claim, names), failed;
    int i;

    if (tell(&claim, &spool->segments)) { /* those left by an earlier run */
        rv = rv ? rv : APR_EAGAIN;
    }
    for (i = 0; i < names->nelts; ++i) {
        failed = look_at(&claim, APR_ARRAY_IDX(names, i, const char *));
        rv = rv && rv != APR_EAGAIN ? rv : failed ? failed : rv;
    }
    sse_hook_reader_free(&claim.reader);
    sse_room_free(&claim.room);
    return rv;
}
