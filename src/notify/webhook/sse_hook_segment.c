/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE 65536u

/* The last bytes show the order of the machine's numbers. */
static const struct {
    char text[SSE_HOOK_FILE_HEAD - sizeof(apr_uint32_t)];
    apr_uint32_t order;
} file_head = {"sse-hooks 1", 0x01020304};

apr_status_t sse_hook_last_error(void)
{
    return errno == EDQUOT || errno == EFBIG ? APR_ENOSPC : errno;
}

/* -- Files ----------------------------------------------------------------- */

const char *sse_hook_segment_name(char *name, apr_uint32_t file)
{
    snprintf(name, SSE_HOOK_FILE_SIZE, "%06u", file);
    return name;
}

static sse_hook_segment_t *make(int fd, apr_uint32_t file, apr_uint32_t size)
{
    sse_hook_segment_t *segment = calloc(1, sizeof(*segment));

    if (!segment) {
        abort();
    }
    segment->fd = fd;
    segment->file = file;
    segment->size = size;
    return segment;
}

apr_status_t sse_hook_segment_create(sse_hook_segment_t **segment, int dir,
                                     apr_uint32_t file)
{
    char name[SSE_HOOK_FILE_SIZE];
    int fd = openat(dir, sse_hook_segment_name(name, file),
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    apr_status_t rv;
    ssize_t n;

    if (fd < 0) {
        return sse_hook_last_error();
    }
    n = pwrite(fd, &file_head, SSE_HOOK_FILE_HEAD, 0);
    if (n != SSE_HOOK_FILE_HEAD) {
        rv = n < 0 ? sse_hook_last_error() : APR_ENOSPC;
        unlinkat(dir, name, 0);
        close(fd);
        return rv;
    }
    *segment = make(fd, file, SSE_HOOK_FILE_HEAD);
    return APR_SUCCESS;
}

static apr_status_t check_file(int fd, apr_uint32_t *size)
{
    char bytes[SSE_HOOK_FILE_HEAD];
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) ||
        (n = pread(fd, bytes, sizeof(bytes), 0)) < 0) {
        return errno;
    }
    if (n < SSE_HOOK_FILE_HEAD) {
        return APR_EOF;
    }
    if (memcmp(bytes, &file_head, sizeof(bytes)) != 0 ||
        st.st_size > (off_t)APR_UINT32_MAX) {
        return APR_EINVAL;
    }
    *size = (apr_uint32_t)st.st_size;
    return APR_SUCCESS;
}

apr_status_t sse_hook_segment_open(sse_hook_segment_t **segment, int dir,
                                   apr_uint32_t file)
{
    char name[SSE_HOOK_FILE_SIZE];
    int fd = openat(dir, sse_hook_segment_name(name, file),
                    O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    apr_uint32_t size = 0;
    apr_status_t rv = check_file(fd, &size);

    if (rv == APR_SUCCESS) {
        *segment = make(fd, file, size);
    }
    else if (fd >= 0) {
        close(fd);
    }
    return rv;
}

void sse_hook_segment_close(sse_hook_segment_t *segment)
{
    close(segment->fd);
    free(segment);
}

static apr_status_t copy_bytes(int from, int to, apr_uint32_t size)
{
    char *piece = malloc(PIECE);
    apr_uint32_t done = 0;
    apr_status_t rv = piece ? APR_SUCCESS : APR_ENOMEM;
    ssize_t n;

    while (rv == APR_SUCCESS && done < size) {
        n = pread(from, piece, size - done < PIECE ? size - done : PIECE,
                  (off_t)done);
        if (n <= 0) {
            rv = n < 0 ? errno : APR_EOF;
        }
        else if ((n = pwrite(to, piece, (size_t)n, (off_t)done)) <= 0) {
            rv = n < 0 ? sse_hook_last_error() : APR_ENOSPC;
        }
        done += (apr_uint32_t)(n > 0 ? n : 0);
    }
    free(piece);
    return rv;
}

apr_status_t sse_hook_segment_copy(const sse_hook_segment_t *segment, int fresh)
{
    return copy_bytes(segment->fd, fresh, segment->size);
}

/* -- Writing --------------------------------------------------------------- */

static struct iovec part(const void *ptr, apr_size_t len)
{
    struct iovec iov;

    iov.iov_base = (void *)ptr;
    iov.iov_len = len;
    return iov;
}

apr_status_t sse_hook_segment_append(sse_hook_segment_t *segment,
                                     const sse_hook_head_t *head,
                                     const sse_call_t *call)
{
    static const char zeros[SSE_HOOK_ALIGN];
    struct iovec iov[6];
    ssize_t n;

    iov[0] = part(head, sizeof(*head));
    iov[1] = part(call->target.ptr, call->target.len);
    iov[2] = part(call->id.ptr, call->id.len);
    iov[3] = part(call->stream.ptr, call->stream.len);
    iov[4] = part(call->body.ptr, call->body.len);
    iov[5] = part(zeros, head->size - sizeof(*head) - head->target - head->id -
                             head->stream - head->body);
    n = pwritev(segment->fd, iov, 6, (off_t)segment->size);
    if (n == (ssize_t)head->size) {
        segment->size += head->size;
        return APR_SUCCESS;
    }
    if (n < 0) {
        return sse_hook_last_error();
    }
    /* Nothing of it may be taken for a record behind the next one. */
    return ftruncate(segment->fd, (off_t)segment->size) ? sse_hook_last_error()
                                                        : APR_ENOSPC;
}

apr_status_t sse_hook_segment_mark(const sse_hook_segment_t *segment,
                                   apr_uint32_t offset, int at, char byte)
{
    return pwrite(segment->fd, &byte, 1, (off_t)offset + at) == 1
               ? APR_SUCCESS
               : sse_hook_last_error();
}

apr_status_t sse_hook_segment_head(const sse_hook_segment_t *segment,
                                   apr_uint32_t offset, sse_hook_head_t *head)
{
    ssize_t n = pread(segment->fd, head, sizeof(*head), (off_t)offset);

    if (n == (ssize_t)sizeof(*head)) {
        return APR_SUCCESS;
    }
    return n < 0 ? errno : APR_EINVAL;
}

/* -- Reading --------------------------------------------------------------- */

/* Have so many bytes from offset on.  @return NULL: errno, or 0: there are not
 * so many */
static const char *fetch(sse_hook_reader_t *reader,
                         const sse_hook_segment_t *segment, apr_uint32_t offset,
                         apr_uint32_t len, apr_uint32_t end)
{
    apr_uint32_t want = end - offset < PIECE ? end - offset : PIECE;
    ssize_t n;

    if (reader->number == segment->number && reader->fd == segment->fd &&
        offset >= reader->from && offset + len <= reader->to) {
        return reader->room.ptr + (offset - reader->from);
    }
    want = want < len ? len : want;
    reader->from = reader->to = 0;
    errno = ENOMEM;
    if (!sse_room_grow(&reader->room, want)) {
        return NULL;
    }
    n = pread(segment->fd, reader->room.ptr, want, (off_t)offset);
    if (n < (ssize_t)len) {
        errno = n < 0 ? errno : 0;
        return NULL;
    }
    reader->fd = segment->fd;
    reader->number = segment->number;
    reader->from = offset;
    reader->to = offset + (apr_uint32_t)n;
    return reader->room.ptr;
}

static apr_status_t why(void) { return errno ? errno : APR_EINVAL; }

apr_status_t sse_hook_reader_head(sse_hook_reader_t *reader,
                                  const sse_hook_segment_t *segment,
                                  apr_uint32_t offset, apr_uint32_t end,
                                  sse_hook_head_t *head)
{
    const char *bytes;

    if (offset >= end) {
        return APR_EOF;
    }
    if (end - offset < sizeof(*head)) {
        return APR_EINVAL;
    }
    bytes = fetch(reader, segment, offset, sizeof(*head), end);
    if (!bytes) {
        return why();
    }
    memcpy(head, bytes, sizeof(*head));
    return sse_hook_record_may_be(head, end - offset) ? APR_SUCCESS
                                                      : APR_EINVAL;
}

apr_status_t sse_hook_reader_call(sse_hook_reader_t *reader,
                                  const sse_hook_segment_t *segment,
                                  apr_uint32_t offset,
                                  const sse_hook_head_t *head, sse_call_t *call,
                                  sse_room_t *room)
{
    ssize_t n;

    if (!sse_room_grow(room, head->size)) {
        return APR_ENOMEM;
    }
    if (reader->number == segment->number && reader->fd == segment->fd &&
        offset >= reader->from && offset + head->size <= reader->to) {
        memcpy(room->ptr, reader->room.ptr + (offset - reader->from),
               head->size);
        n = (ssize_t)head->size;
    }
    else {
        n = pread(segment->fd, room->ptr, head->size, (off_t)offset);
    }
    if (n != (ssize_t)head->size) {
        return n < 0 ? errno : APR_EINVAL;
    }
    /* What it was taken to be when its size was checked. */
    memcpy(room->ptr, head, sizeof(*head));
    return sse_hook_record_read(room->ptr, call) ? APR_SUCCESS : APR_EINVAL;
}

void sse_hook_reader_note(sse_hook_reader_t *reader,
                          const sse_hook_segment_t *segment,
                          apr_uint32_t offset, char byte)
{
    if (reader->number == segment->number && reader->fd == segment->fd &&
        offset >= reader->from && offset < reader->to) {
        reader->room.ptr[offset - reader->from] = byte;
    }
}

void sse_hook_reader_forget(sse_hook_reader_t *reader)
{
    reader->from = reader->to = 0;
}

void sse_hook_reader_free(sse_hook_reader_t *reader)
{
    sse_room_free(&reader->room);
    sse_hook_reader_forget(reader);
}
