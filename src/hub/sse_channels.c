/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_channels.h"

#include <apr_general.h>
#include <apr_hash.h>
#include <apr_siphash.h>
#include <stdlib.h>
#include <string.h>

typedef struct sse_node_t {
    LIST_HEAD(, sse_link_t) links;
    apr_size_t len;
    char key[];
} sse_node_t;

/* apr_hash_t reuses the entries of removed keys, and the keys are in the nodes:
 * the pool grows with the most channels at a time, not with all that ever were.
 */
struct sse_channels_t {
    apr_hash_t *nodes;
};

/* Subscribers may choose channel names such that APR's own hash function maps
 * thousands of them to one value, whatever its seed.  SipHash with a secret key
 * prevents that. */
static unsigned char hash_key[APR_SIPHASH_KSIZE]; /* const once it was made */

static unsigned int hash(const char *key, apr_ssize_t *len)
{
    return (unsigned int)apr_siphash24(key, (apr_size_t)*len, hash_key);
}

static void make_key(void)
{
    static int is_made;

    if (!is_made &&
        apr_generate_random_bytes(hash_key, sizeof(hash_key)) != APR_SUCCESS) {
        /* The best there is: time and an address. */
        apr_time_t now = apr_time_now();
        void *here = &now;

        memcpy(hash_key, &now, sizeof(now));
        memcpy(hash_key + sizeof(now), &here, sizeof(here));
    }
    is_made = 1;
}

sse_channels_t *sse_channels_create(apr_pool_t *pool)
{
    sse_channels_t *channels = apr_pcalloc(pool, sizeof(*channels));

    make_key();
    channels->nodes = apr_hash_make_custom(pool, hash);
    return channels;
}

static sse_node_t *find(sse_channels_t *channels, sse_slice_t key)
{
    return apr_hash_get(channels->nodes, key.ptr, (apr_ssize_t)key.len);
}

/* Its first link follows. */
static sse_node_t *create(sse_channels_t *channels, sse_slice_t key)
{
    sse_node_t *node = malloc(sizeof(*node) + key.len);

    if (!node) {
        abort();
    }
    LIST_INIT(&node->links);
    node->len = key.len;
    memcpy(node->key, key.ptr, key.len);
    apr_hash_set(channels->nodes, node->key, (apr_ssize_t)node->len, node);
    return node;
}

void sse_channels_add(sse_channels_t *channels, sse_slice_t key,
                      sse_link_t *link)
{
    sse_node_t *node = find(channels, key);

    if (!node) {
        node = create(channels, key);
    }
    link->node = node;
    LIST_INSERT_HEAD(&node->links, link, next);
}

void sse_channels_remove(sse_channels_t *channels, sse_link_t *link)
{
    sse_node_t *node = link->node;

    if (!node) {
        return;
    }
    LIST_REMOVE(link, next);
    link->node = NULL;
    if (LIST_EMPTY(&node->links)) {
        apr_hash_set(channels->nodes, node->key, (apr_ssize_t)node->len, NULL);
        free(node);
    }
}

sse_link_t *sse_channels_find(sse_channels_t *channels, sse_slice_t key)
{
    sse_node_t *node = find(channels, key);

    return node ? LIST_FIRST(&node->links) : NULL;
}

int sse_channels_is_empty(const sse_channels_t *channels)
{
    return !apr_hash_count(channels->nodes);
}

void sse_channels_each(sse_channels_t *channels,
                       void (*fn)(void *subscription, void *baton), void *baton)
{
    apr_hash_index_t *i;
    sse_node_t *node;
    sse_link_t *link;

    for (i = apr_hash_first(NULL, channels->nodes); i; i = apr_hash_next(i)) {
        node = apr_hash_this_val(i);
        LIST_FOREACH(link, &node->links, next)
        {
            fn(link->subscription, baton);
        }
    }
}
