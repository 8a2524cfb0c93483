/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_h2_frames.h
 * Reads what a client sends over HTTP/2 (RFC 9113, 3.4 and 4.1): the preface,
 * then frames.  Reports when all headers of a request have come, and when a
 * request is reset; checks and keeps no frame.
 *
 * Threads: any, one at a time for each reader.
 */

#ifndef SSE_H2_FRAMES_H
#define SSE_H2_FRAMES_H

#include <apr.h>

/** All zero before the first byte. */
typedef struct {
    int preface;           /* bytes of it that have come */
    int have;              /* bytes of head that have come */
    unsigned char head[9]; /* the frame's that is being read */
    apr_uint32_t payload;  /* bytes of the last frame that are to come */
    apr_uint32_t id;       /* the last frame's */
    apr_uint32_t last;     /* the highest of a request */
    int is_new;            /* a request's headers are coming */
    int is_whole;          /* this frame has the last of them */
} sse_h2_frames_t;

typedef enum {
    SSE_H2_MORE,    /**< all was read */
    SSE_H2_PREFACE, /**< it is HTTP/2 */
    SSE_H2_OTHER,   /**< it is not: read no more */
    SSE_H2_REQUEST, /**< all headers of a request have come */
    SSE_H2_RESET    /**< the client has reset a stream */
} sse_h2_sign_e;

/**
 * Read up to the next thing to report.
 * @param bytes, len in and out: what has come, what is left of it
 * @param id out, with the last two: the stream's
 */
sse_h2_sign_e sse_h2_frames_read(sse_h2_frames_t *frames, const char **bytes,
                                 apr_size_t *len, apr_uint32_t *id);

#endif /* SSE_H2_FRAMES_H */
