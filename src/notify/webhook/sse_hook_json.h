/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_json.h
 * What webhooks say: a JSON object for each call.
 *
 * Every member is always there; one that has no value is null.  Text that is
 * not UTF-8 (a URI, a user's name, a field) has U+FFFD in place of each byte
 * that is wrong, so that no client can break the JSON.  A body is written into
 * a room, as an event in it may be large.
 *
 * Threads: any; a text belongs to one at a time.
 */

#ifndef SSE_HOOK_JSON_H
#define SSE_HOOK_JSON_H

#include <apr_pools.h>

#include "mod_sse.h"
#include "notify/webhook/sse_hook_spool.h"
#include "store/sse_store.h"

/** A field that SSEHookField has asked for. */
typedef struct {
    const char *name;
    sse_slice_t value;
} sse_hook_value_t;

/** What a call is about.  A slice without a pointer is null. */
typedef struct {
    sse_slice_t host;
    const sse_slice_t *channels; /**< names */
    int n_channels;
    sse_slice_t stream, uri, remote, user, session;
    const sse_hook_value_t *values;
    int n_values;
} sse_hook_about_t;

/** A body being written.  All zero is an empty one. */
typedef struct {
    sse_room_t room;
    apr_size_t len;
} sse_hook_text_t;

/** "open", "close", "publish", "first", "last". */
const char *sse_hook_json_name(sse_call_type_e type);

/* Write a body over what is in text; call->body is set to it.  The call's type,
 * id and time are told. */
void sse_hook_json_plain(sse_hook_text_t *text, sse_call_t *call,
                         const sse_hook_about_t *about);
void sse_hook_json_close(sse_hook_text_t *text, sse_call_t *call,
                         const sse_hook_about_t *about,
                         const sse_close_t *close);
void sse_hook_json_publish(sse_hook_text_t *text, sse_call_t *call,
                           const sse_hook_about_t *about,
                           const sse_append_t *item);

/** The CLOSE that a dead child could not tell: about what its OPEN was. */
void sse_hook_json_crash(sse_hook_text_t *text, sse_call_t *call,
                         const sse_call_t *open);

/** Free it; it is an empty one again. */
void sse_hook_json_free(sse_hook_text_t *text);

#endif /* SSE_HOOK_JSON_H */
