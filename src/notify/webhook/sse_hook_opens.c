/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_opens.h"

#include <stdlib.h>

/* Slots at least: 4 KB. */
#define LEAST 256

static apr_uint32_t home_of(const sse_hook_opens_t *opens, apr_uint64_t key)
{
    return (apr_uint32_t)key & (opens->size - 1);
}

static apr_uint32_t after(const sse_hook_opens_t *opens, apr_uint32_t i)
{
    return (i + 1) & (opens->size - 1);
}

/* Its slot, or the free one where it would be. */
static apr_uint32_t slot_of(const sse_hook_opens_t *opens, apr_uint64_t key)
{
    apr_uint32_t i = home_of(opens, key);

    while (opens->slots[i].key && opens->slots[i].key != key) {
        i = after(opens, i);
    }
    return i;
}

static void resize(sse_hook_opens_t *opens, apr_uint32_t size)
{
    sse_hook_opens_t old = *opens;
    apr_uint32_t i;

    opens->size = size;
    opens->slots = calloc(size, sizeof(*opens->slots));
    if (!opens->slots) {
        abort();
    }
    for (i = 0; i < old.size; ++i) {
        if (old.slots[i].key) {
            opens->slots[slot_of(opens, old.slots[i].key)] = old.slots[i];
        }
    }
    free(old.slots);
}

sse_spool_at_t *sse_hook_opens_find(const sse_hook_opens_t *opens,
                                    apr_uint64_t key)
{
    sse_hook_open_t *slot =
        opens->size ? &opens->slots[slot_of(opens, key)] : NULL;

    return slot && slot->key ? &slot->at : NULL;
}

void sse_hook_opens_add(sse_hook_opens_t *opens, apr_uint64_t key,
                        sse_spool_at_t at)
{
    sse_hook_open_t *slot;

    if (!opens->size || opens->count >= opens->size / 4 * 3) {
        resize(opens, opens->size ? 2 * opens->size : LEAST);
    }
    slot = &opens->slots[slot_of(opens, key)];
    slot->key = key;
    slot->at = at;
    ++opens->count;
}

/* Those behind it move up, so that each is found from its home without passing
 * a free slot. */
void sse_hook_opens_remove(sse_hook_opens_t *opens, apr_uint64_t key)
{
    apr_uint32_t hole, i, mask = opens->size - 1;

    if (!sse_hook_opens_find(opens, key)) {
        return;
    }
    hole = slot_of(opens, key);
    for (i = after(opens, hole); opens->slots[i].key; i = after(opens, i)) {
        if (((i - home_of(opens, opens->slots[i].key)) & mask) >=
            ((i - hole) & mask)) {
            opens->slots[hole] = opens->slots[i];
            hole = i;
        }
    }
    opens->slots[hole].key = 0;
    --opens->count;
    if (opens->size > LEAST && opens->count < opens->size / 8) {
        resize(opens, opens->size / 2);
    }
}

void sse_hook_opens_free(sse_hook_opens_t *opens)
{
    free(opens->slots);
    opens->slots = NULL;
    opens->size = opens->count = 0;
}
