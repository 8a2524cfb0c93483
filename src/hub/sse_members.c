/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_members.h"

#include <stdlib.h>
#include <string.h>

apr_size_t sse_members_size(sse_slice_t key)
{
    return APR_ALIGN_DEFAULT(sizeof(sse_member_t) + key.len);
}

sse_member_t *sse_members_add(sse_members_t *members, void *subscription,
                              sse_slice_t key, sse_id_t since, void *room)
{
    sse_member_t *member = room ? room : malloc(sse_members_size(key));

    if (!member) {
        abort();
    }
    memset(member, 0, sizeof(*member));
    member->link.subscription = subscription;
    member->since = member->lost = since;
    member->is_inner = room != NULL;
    member->len = key.len;
    memcpy(member->key, key.ptr, key.len);
    SLIST_INSERT_HEAD(&members->list, member, next);
    ++members->n;
    return member;
}

void sse_members_remove(sse_members_t *members, sse_member_t *member)
{
    SLIST_REMOVE(&members->list, member, sse_member_t, next);
    --members->n;
    if (!member->is_inner) {
        free(member);
    }
}

sse_member_t *sse_members_find(const sse_members_t *members, sse_slice_t key)
{
    sse_member_t *member;

    SLIST_FOREACH(member, &members->list, next)
    {
        if (member->len == key.len && !memcmp(member->key, key.ptr, key.len)) {
            break;
        }
    }
    return member;
}

sse_slice_t sse_members_key(const sse_member_t *member)
{
    sse_slice_t key = {member->key, member->len};

    return key;
}

void sse_members_go_back(sse_members_t *members, sse_id_t last)
{
    sse_member_t *member;

    SLIST_FOREACH(member, &members->list, next)
    {
        member->since = sse_id_earlier(member->since, last);
        member->lost = sse_id_earlier(member->lost, last);
        member->again = sse_id_earlier(member->again, last);
    }
}

/* -- For the store --------------------------------------------------------- */

void sse_members_keys(const sse_members_t *members, sse_id_t upto,
                      sse_keys_t *keys)
{
    const sse_member_t *member;

    keys->n = 0;
    keys->keys = keys->few_keys;
    keys->lost = keys->few_lost;
    if (members->n > SSE_FEW_KEYS) {
        keys->keys = calloc((apr_size_t)members->n, sizeof(*keys->keys));
        keys->lost = calloc((apr_size_t)members->n, sizeof(*keys->lost));
        if (!keys->keys || !keys->lost) {
            abort();
        }
    }
    SLIST_FOREACH(member, &members->list, next)
    {
        if (member->since < upto) {
            keys->lost[keys->n] = member->lost;
            keys->keys[keys->n++] = sse_members_key(member);
        }
    }
}

void sse_members_free_keys(sse_keys_t *keys)
{
    if (keys->keys != keys->few_keys) {
        free(keys->keys);
        free(keys->lost);
    }
}

void sse_members_learn(sse_members_t *members, sse_id_t upto,
                       const sse_keys_t *keys)
{
    sse_member_t *member;
    int n = 0;

    SLIST_FOREACH(member, &members->list, next)
    {
        if (member->since < upto) {
            member->lost = keys->lost[n++];
        }
    }
}
