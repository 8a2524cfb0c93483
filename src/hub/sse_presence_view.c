/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What readers are given: the key of a channel's presence, and who is there. */

#include <limits.h>
#include <string.h>

#include "hub/sse_hub_private.h"
#include "hub/sse_presence.h"
#include "hub/sse_presence_json.h"
#include "hub/sse_presence_text.h"

/* No channel's name begins with it. */
#define MARK 0x01

sse_slice_t sse_presence_key(sse_slice_t channel, apr_pool_t *pool)
{
    sse_slice_t name = sse_store_name(channel);
    apr_size_t before = channel.len - name.len;
    char *bytes = apr_palloc(pool, channel.len + 1);

    memcpy(bytes, channel.ptr, before);
    bytes[before] = MARK;
    memcpy(bytes + before + 1, name.ptr, name.len);
    return (sse_slice_t){bytes, channel.len + 1};
}

/* -- Who is there ---------------------------------------------------------- */

/* In front of the members there is room for what is known behind them. */
#define HEAD_ROOM 4096

typedef struct {
    apr_pool_t *pool; /* of one member, cleared after each */
    sse_room_t *room;
    apr_size_t len; /* bytes in the room */
    int n;          /* members that may be seen */
    int tells_away; /* whether they are away for a moment */
} list_t;

static apr_status_t add(list_t *list, sse_slice_t text)
{
    if (!sse_room_double(list->room, list->len + text.len)) {
        return APR_ENOMEM;
    }
    memcpy(list->room->ptr + list->len, text.ptr, text.len);
    list->len += text.len;
    return APR_SUCCESS;
}

static apr_status_t on_member(void *baton, const sse_presence_member_t *member)
{
    list_t *list = baton;
    sse_presence_settings_t settings;
    apr_status_t rv;

    if (!sse_presence_read(member->text, &settings) ||
        settings.mode != SSE_PRESENCE_ON) {
        return APR_SUCCESS;
    }
    rv = add(list, sse_slice(list->n++ ? "," : ",\"members\":["));
    if (rv == APR_SUCCESS) {
        rv = add(list, sse_presence_json_member(
                           member->name, member->user, member->since,
                           list->tells_away && member->due, list->pool));
    }
    apr_pool_clear(list->pool);
    return rv;
}

/* Who is only counted is not listed. */
static apr_status_t end_list(list_t *list, apr_uint64_t streams)
{
    return add(list, sse_slice(list->n   ? "]}"
                               : streams ? "}"
                                         : ",\"members\":[]}"));
}

apr_status_t sse_presence_document(sse_slice_t channel, int tells_away,
                                   sse_room_t *room, sse_slice_t *json,
                                   sse_id_t *last)
{
    list_t list = {.room = room, .len = HEAD_ROOM, .tells_away = tells_away};
    apr_uint64_t streams, users;
    apr_status_t rv;
    sse_slice_t head;

    if (!sse_room_grow(room, 2 * (apr_size_t)HEAD_ROOM)) {
        return APR_ENOMEM;
    }
    apr_pool_create(&list.pool, NULL);
    apr_pool_tag(list.pool, "sse_presence_list");
    rv = sse_store_presence_list(sse_hub()->store, channel, INT_MAX, on_member,
                                 &list, last, &streams, &users);
    if (rv == APR_SUCCESS) {
        rv = end_list(&list, streams);
    }
    if (rv == APR_SUCCESS) {
        head = sse_presence_json_head(sse_store_name(channel), streams, users,
                                      list.pool);
        json->ptr = room->ptr + HEAD_ROOM - head.len;
        json->len = head.len + list.len - HEAD_ROOM;
        memcpy(room->ptr + HEAD_ROOM - head.len, head.ptr, head.len);
    }
    apr_pool_destroy(list.pool);
    return rv;
}
