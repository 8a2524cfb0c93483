/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/wait/sse_h2_frames.h"

#include <string.h>

/* Frame types and a flag, RFC 9113, 6.2, 6.4 and 6.10. */
#define HEADERS      1
#define RST_STREAM   3
#define CONTINUATION 9
#define END_HEADERS  4

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE ((int)sizeof(preface) - 1)

static apr_uint32_t number(const unsigned char *bytes, int n)
{
    apr_uint32_t value = 0;
    int i;

    for (i = 0; i < n; ++i) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* Skip so many bytes, or as many as there are; how many. */
static apr_size_t skip(const char **bytes, apr_size_t *len, apr_size_t most)
{
    apr_size_t n = *len < most ? *len : most;

    *bytes += n;
    *len -= n;
    return n;
}

static sse_h2_sign_e read_preface(sse_h2_frames_t *frames, const char **bytes,
                                  apr_size_t *len)
{
    const char *from = *bytes;
    int n = (int)skip(bytes, len, (apr_size_t)(PREFACE - frames->preface));

    if (memcmp(from, preface + frames->preface, (apr_size_t)n) != 0) {
        return SSE_H2_OTHER;
    }
    frames->preface += n;
    return frames->preface == PREFACE ? SSE_H2_PREFACE : SSE_H2_MORE;
}

/* A request's headers may be followed by trailers, with the same id.  Nothing
 * comes between HEADERS and its CONTINUATIONs (4.3).  Whether it is a reset. */
static int take_head(sse_h2_frames_t *frames)
{
    int type = frames->head[3], flags = frames->head[4];

    frames->have = 0;
    frames->payload = number(frames->head, 3);
    frames->id = number(frames->head + 5, 4) & 0x7fffffff;
    if (type == HEADERS) {
        frames->is_new = frames->id > frames->last;
        frames->last = frames->is_new ? frames->id : frames->last;
    }
    frames->is_whole = frames->is_new && (flags & END_HEADERS) &&
                       (type == HEADERS || type == CONTINUATION);
    return type == RST_STREAM;
}

/* Whether the last of a request's headers has come; it is told once. */
static int take_request(sse_h2_frames_t *frames)
{
    if (frames->payload || !frames->is_whole) {
        return 0;
    }
    frames->is_whole = frames->is_new = 0;
    return 1;
}

static sse_h2_sign_e read_frame(sse_h2_frames_t *frames, const char **bytes,
                                apr_size_t *len)
{
    const int head = (int)sizeof(frames->head);
    const char *from;
    int n;

    frames->payload -= (apr_uint32_t)skip(bytes, len, frames->payload);
    if (take_request(frames)) {
        return SSE_H2_REQUEST;
    }
    from = *bytes;
    n = (int)skip(bytes, len, (apr_size_t)(head - frames->have));
    memcpy(frames->head + frames->have, from, (apr_size_t)n);
    frames->have += n;
    if (frames->have == head && take_head(frames)) {
        return SSE_H2_RESET;
    }
    return take_request(frames) ? SSE_H2_REQUEST : SSE_H2_MORE;
}

sse_h2_sign_e sse_h2_frames_read(sse_h2_frames_t *frames, const char **bytes,
                                 apr_size_t *len, apr_uint32_t *id)
{
    sse_h2_sign_e sign = SSE_H2_MORE;

    if (frames->preface < PREFACE) {
        return read_preface(frames, bytes, len);
    }
    while (*len && sign == SSE_H2_MORE) {
        sign = read_frame(frames, bytes, len);
    }
    *id = frames->id;
    return sign;
}
