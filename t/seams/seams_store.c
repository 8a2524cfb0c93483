/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A store of one child, in memory: its last events, for the hub's turns, and no
 * history; and how many are on each channel, without names or grace.  An event
 * "too much" is refused. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "store/sse_store_provider.h"

#define KEPT 64

typedef struct {
    sse_store_conf_t base;
    const char *dir;
} conf_t;

typedef struct {
    apr_pool_t *pool; /* of what the record points to */
    sse_record_t record;
} kept_t;

typedef struct {
    sse_store_t base;
    pthread_mutex_t lock;
    apr_pool_t *pool;
    sse_id_t last;
    kept_t kept[KEPT]; /* by id, modulo */
    apr_hash_t *on;    /* of apr_uint64_t *, by channel: who is there */
} memory_t;

/* -- The parent ------------------------------------------------------------ */

static const char *configure(sse_store_conf_t **conf, apr_pool_t *pool,
                             const char *dir, int argc, const char *const *argv)
{
    conf_t *made = apr_pcalloc(pool, sizeof(*made));

    made->dir = apr_pstrdup(pool, dir);
    *conf = &made->base;
    return argc ? "no setting is allowed" : NULL;
}

static apr_status_t prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                            apr_gid_t gid, const char **notice,
                            apr_pool_t *pool)
{
    *notice = NULL;
    return APR_SUCCESS;
}

static const char *test(const sse_store_conf_t *conf, apr_uid_t uid,
                        apr_gid_t gid, apr_pool_t *pool)
{
    return NULL;
}

static const char *remark(const sse_store_conf_t *conf, apr_pool_t *pool)
{
    return "the events of seams are in memory";
}

static const char *private_dir(const sse_store_conf_t *conf)
{
    return ((const conf_t *)conf)->dir;
}

/* -- A child --------------------------------------------------------------- */

static apr_status_t open_memory(sse_store_t **store, const sse_store_t *base,
                                const sse_store_conf_t *conf, apr_pool_t *pool)
{
    memory_t *memory = apr_pcalloc(pool, sizeof(*memory));

    memory->base = *base;
    memory->pool = pool;
    memory->last = 1000;
    memory->on = apr_hash_make(pool);
    pthread_mutex_init(&memory->lock, NULL);
    *store = &memory->base;
    return APR_SUCCESS;
}

static sse_slice_t copy(apr_pool_t *pool, sse_slice_t slice)
{
    if (slice.ptr) {
        slice.ptr = apr_pmemdup(pool, slice.ptr, slice.len);
    }
    return slice;
}

/* Under the lock. */
static sse_id_t add(memory_t *memory, sse_record_e kind, sse_slice_t channel,
                    const sse_fields_t *fields)
{
    kept_t *kept = &memory->kept[++memory->last % KEPT];
    sse_record_t *record = &kept->record;

    if (kept->pool) {
        apr_pool_destroy(kept->pool);
    }
    apr_pool_create_unmanaged_ex(&kept->pool, NULL, NULL);
    record->id = memory->last;
    record->time = apr_time_now();
    record->kind = kind;
    record->channel = copy(kept->pool, channel);
    record->fields = *fields;
    record->fields.event = copy(kept->pool, fields->event);
    record->fields.data = copy(kept->pool, fields->data);
    return record->id;
}

static int is_too_much(const sse_append_t *item)
{
    sse_slice_t data = item->fields.data;

    return data.len == 8 && !memcmp(data.ptr, "too-much", 8);
}

static apr_status_t append(sse_store_t *store, sse_append_t *items, int n)
{
    memory_t *memory = (memory_t *)store;
    int i;

    for (i = 0; i < n; ++i) {
        if (is_too_much(&items[i])) {
            return SSE_STORE_ESIZE;
        }
    }
    pthread_mutex_lock(&memory->lock);
    for (i = 0; i < n; ++i) {
        items[i].id =
            add(memory, SSE_RECORD_EVENT, items[i].channel, &items[i].fields);
        items[i].duplicate = 0;
    }
    pthread_mutex_unlock(&memory->lock);
    return APR_SUCCESS;
}

static apr_status_t forget(sse_store_t *store, sse_slice_t channel,
                           sse_id_t *id)
{
    memory_t *memory = (memory_t *)store;
    sse_fields_t none = SSE_FIELDS_NONE;

    pthread_mutex_lock(&memory->lock);
    *id = add(memory, SSE_RECORD_FORGET, channel, &none);
    pthread_mutex_unlock(&memory->lock);
    return APR_SUCCESS;
}

static apr_status_t last(sse_store_t *store, sse_id_t *id)
{
    memory_t *memory = (memory_t *)store;

    pthread_mutex_lock(&memory->lock);
    *id = memory->last;
    pthread_mutex_unlock(&memory->lock);
    return APR_SUCCESS;
}

static apr_status_t look(sse_store_t *store, const sse_slice_t *channels, int n,
                         sse_id_t after, sse_position_t *position)
{
    memset(position, 0, sizeof(*position));
    last(store, &position->last);
    position->gap = after != position->last;
    return APR_SUCCESS;
}

static apr_status_t tail(sse_store_t *store, const sse_slice_t *channels, int n,
                         apr_int64_t count, sse_id_t *after)
{
    return last(store, after);
}

static apr_status_t history(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_id_t upto,
                            apr_size_t max_bytes, sse_store_fn *fn, void *baton,
                            sse_id_t *known, sse_id_t *next, int *gap)
{
    *gap = after < upto;
    *next = after < upto ? upto : after;
    return APR_SUCCESS;
}

static apr_status_t follow(sse_store_t *store, sse_id_t after, int max,
                           sse_store_fn *fn, void *baton, sse_id_t *next,
                           int *missing)
{
    memory_t *memory = (memory_t *)store;
    apr_status_t rv = APR_SUCCESS;

    *missing = 0;
    *next = after;
    pthread_mutex_lock(&memory->lock);
    while (rv == APR_SUCCESS && *next < memory->last && max--) {
        rv = fn(baton, &memory->kept[(*next + 1) % KEPT].record);
        *next += rv == APR_SUCCESS;
    }
    pthread_mutex_unlock(&memory->lock);
    return rv;
}

/* -- Presence -------------------------------------------------------------- */

/* Under the lock. */
static apr_uint64_t *count_of(memory_t *memory, sse_slice_t channel)
{
    apr_ssize_t len = (apr_ssize_t)channel.len;
    apr_uint64_t *n = apr_hash_get(memory->on, channel.ptr, len);

    if (!n) {
        n = apr_pcalloc(memory->pool, sizeof(*n));
        apr_hash_set(memory->on, copy(memory->pool, channel).ptr, len, n);
    }
    return n;
}

static apr_status_t change(sse_store_t *store, sse_presence_t *changes, int n)
{
    memory_t *memory = (memory_t *)store;
    apr_uint64_t *streams;
    int i;

    pthread_mutex_lock(&memory->lock);
    for (i = 0; i < n; ++i) {
        streams = count_of(memory, changes[i].channel);
        *streams += changes[i].what == SSE_PRESENCE_JOIN ? 1 : -1;
        changes[i].streams = *streams;
        changes[i].outcome = SSE_PRESENCE_CHANGED;
        if (changes[i].event) {
            add(memory, SSE_RECORD_EVENT, changes[i].event->channel,
                &changes[i].event->fields);
        }
    }
    pthread_mutex_unlock(&memory->lock);
    return APR_SUCCESS;
}

static apr_status_t members(sse_store_t *store, sse_slice_t channel, int max,
                            sse_store_member_fn *fn, void *baton,
                            sse_id_t *last, apr_uint64_t *streams,
                            apr_uint64_t *users)
{
    memory_t *memory = (memory_t *)store;

    pthread_mutex_lock(&memory->lock);
    *streams = *count_of(memory, channel);
    *users = 0;
    *last = memory->last;
    pthread_mutex_unlock(&memory->lock);
    return APR_SUCCESS;
}

static apr_status_t owners(sse_store_t *store, sse_store_owner_fn *fn,
                           void *baton)
{
    return APR_SUCCESS;
}

static apr_status_t members_of(sse_store_t *store, sse_slice_t owner, int max,
                               sse_store_member_fn *fn, void *baton)
{
    return APR_SUCCESS;
}

static apr_status_t members_due(sse_store_t *store, apr_time_t now, int max,
                                sse_store_member_fn *fn, void *baton)
{
    return APR_SUCCESS;
}

static apr_status_t tidy(sse_store_t *store, apr_time_t now, int *more)
{
    *more = 0;
    return APR_SUCCESS;
}

static void limit(sse_store_t *store, int publishers,
                  sse_store_stay_fn *may_stay)
{
}

static const char *report(sse_store_t *store) { return NULL; }

static const char *advice(apr_status_t status)
{
    return "publish less to seams";
}

static const char *answer(apr_status_t status) { return "seams has enough"; }

static const sse_store_provider_t provider = {.name = "seams",
                                              .configure = configure,
                                              .prepare = prepare,
                                              .test = test,
                                              .remark = remark,
                                              .private_dir = private_dir,
                                              .open = open_memory,
                                              .append = append,
                                              .forget = forget,
                                              .last = last,
                                              .look = look,
                                              .tail = tail,
                                              .history = history,
                                              .follow = follow,
                                              .tidy = tidy,
                                              .limit = limit,
                                              .report = report,
                                              .advice = advice,
                                              .answer = answer,
                                              .change = change,
                                              .members = members,
                                              .owners = owners,
                                              .members_of = members_of,
                                              .members_due = members_due};

__attribute__((constructor)) static void add_provider(void)
{
    if (sse_store_register(&provider) != APR_SUCCESS) {
        abort();
    }
}
