/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_drive.c
 * The drive: not used yet.
 */

#include "stream/splice/sse_splice_private.h"

const sse_drive_t sse_splice_drive;

void sse_splice_init(sse_loop_t *loop, int is_on) {}

int sse_splice_may(request_rec *r) { return 0; }

void sse_splice_prepare(sse_stream_t *stream) {}

int sse_splice_run(sse_stream_t *stream) { return OK; }

void sse_splice_attach(sse_shadow_t *shadow) {}
