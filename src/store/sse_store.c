/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "store/sse_store.h"

#include <string.h>

#include <apr_strings.h>

#include "store/sse_store_provider.h"

/* -- The providers there are ----------------------------------------------- */

#define PROVIDERS_MAX 16

#define SSE_STORE_PROVIDER(provider) extern const sse_store_provider_t provider;
#include "store/sse_store_providers.h"
#undef SSE_STORE_PROVIDER

/* Ends at the first NULL; the first is the default. */
static const sse_store_provider_t *providers[PROVIDERS_MAX + 1] = {
#define SSE_STORE_PROVIDER(provider) &provider,
#include "store/sse_store_providers.h"
#undef SSE_STORE_PROVIDER
};

/* @return where that provider is, or the first free place */
static const sse_store_provider_t **find(const char *name)
{
    const sse_store_provider_t **at = providers;

    while (*at && strcmp((*at)->name, name)) {
        ++at;
    }
    return at;
}

apr_status_t sse_store_register(const sse_store_provider_t *provider)
{
    const sse_store_provider_t **at = find(provider->name);

    if (*at) {
        return *at == provider ? APR_SUCCESS : APR_EEXIST;
    }
    if (at == providers + PROVIDERS_MAX) {
        return APR_ENOSPC;
    }
    *at = provider;
    return APR_SUCCESS;
}

static const char *refuse(apr_pool_t *pool, const char *name)
{
    const sse_store_provider_t **at;
    const char *names = NULL;

    for (at = providers; *at; ++at) {
        names = names ? apr_pstrcat(pool, names, " or ", (*at)->name, NULL)
                      : (*at)->name;
    }
    return apr_psprintf(pool,
                        "'%s' is not allowed; allowed is the store's name: %s "
                        "[key=value ...]",
                        name, names);
}

/* -- The parent ------------------------------------------------------------ */

const char *sse_store_configure(sse_store_conf_t **conf, apr_pool_t *pool,
                                const char *dir, int argc,
                                const char *const *argv)
{
    const sse_store_provider_t *provider = argc ? *find(argv[0]) : providers[0];
    const char *wrong;

    if (!provider) {
        return refuse(pool, argv[0]);
    }
    wrong = provider->configure(conf, pool, dir, argc ? argc - 1 : 0,
                                argc ? argv + 1 : argv);
    if (wrong) {
        return apr_pstrcat(pool, provider->name, ": ", wrong, NULL);
    }
    (*conf)->provider = provider;
    return NULL;
}

apr_status_t sse_store_prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                               apr_gid_t gid, const char **notice,
                               apr_pool_t *pool)
{
    return conf->provider->prepare(conf, uid, gid, notice, pool);
}

const char *sse_store_test(const sse_store_conf_t *conf, apr_uid_t uid,
                           apr_gid_t gid, apr_pool_t *pool)
{
    return conf->provider->test(conf, uid, gid, pool);
}

const char *sse_store_remark(const sse_store_conf_t *conf, apr_pool_t *pool)
{
    return conf->provider->remark(conf, pool);
}

const char *sse_store_private_dir(const sse_store_conf_t *conf)
{
    return conf->provider->private_dir(conf);
}

/* -- A child --------------------------------------------------------------- */

apr_status_t sse_store_open(sse_store_t **store, const sse_store_conf_t *conf,
                            sse_store_announce_fn *announce, apr_pool_t *pool)
{
    const sse_store_t base = {conf->provider, announce};

    return conf->provider->open(store, &base, conf, pool);
}

void sse_store_announce(const sse_store_t *store)
{
    if (store->announce) {
        store->announce();
    }
}

sse_slice_t sse_store_name(sse_slice_t channel)
{
    const char *nul = memchr(channel.ptr, '\0', channel.len);
    sse_slice_t name = channel;

    if (nul) {
        name.ptr = nul + 1;
        name.len = (apr_size_t)(channel.ptr + channel.len - name.ptr);
    }
    return name;
}

int sse_store_are_keys(const sse_slice_t *channels, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        if (!channels[i].ptr || !channels[i].len ||
            channels[i].len > SSE_STORE_KEY_MAX) {
            return 0;
        }
    }
    return 1;
}

static int is_item(const sse_append_t *item)
{
    return sse_store_are_keys(&item->channel, 1) && item->history &&
           item->fields.data.ptr &&
           item->idempotency.len <= SSE_STORE_IDEMPOTENCY_MAX;
}

static int are_items(const sse_append_t *items, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        if (!is_item(&items[i])) {
            return 0;
        }
    }
    return 1;
}

apr_status_t sse_store_append(sse_store_t *store, sse_append_t *items, int n)
{
    apr_status_t rv = APR_EINVAL;
    int i, added = 0;

    if (are_items(items, n)) {
        rv = n > 0 ? store->provider->append(store, items, n) : APR_SUCCESS;
    }
    for (i = 0; i < n; ++i) {
        if (rv != APR_SUCCESS) {
            items[i].id = 0;
            items[i].duplicate = 0;
        }
        else {
            added |= !items[i].duplicate;
        }
    }
    if (added) {
        sse_store_announce(store);
    }
    return rv;
}

apr_status_t sse_store_forget(sse_store_t *store, sse_slice_t channel,
                              sse_id_t *id)
{
    apr_status_t rv = APR_EINVAL;

    *id = 0;
    if (sse_store_are_keys(&channel, 1)) {
        rv = store->provider->forget(store, channel, id);
    }
    if (rv == APR_SUCCESS) {
        sse_store_announce(store);
    }
    else {
        *id = 0;
    }
    return rv;
}

apr_status_t sse_store_last(sse_store_t *store, sse_id_t *id)
{
    return store->provider->last(store, id);
}

apr_status_t sse_store_now(sse_store_t *store, apr_time_t *now)
{
    *now = apr_time_now();
    return store->provider->now ? store->provider->now(store, now)
                                : APR_SUCCESS;
}

apr_status_t sse_store_look(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_position_t *position)
{
    return sse_store_are_keys(channels, n)
               ? store->provider->look(store, channels, n, after, position)
               : APR_EINVAL;
}

apr_status_t sse_store_tail(sse_store_t *store, const sse_slice_t *channels,
                            int n, apr_int64_t count, sse_id_t *after)
{
    return sse_store_are_keys(channels, n)
               ? store->provider->tail(store, channels, n, count, after)
               : APR_EINVAL;
}

apr_status_t sse_store_history(sse_store_t *store, const sse_slice_t *channels,
                               int n, sse_id_t after, sse_id_t upto,
                               apr_size_t max_bytes, sse_store_fn *fn,
                               void *baton, sse_id_t *known, sse_id_t *next,
                               int *gap)
{
    *next = after;
    *gap = 0;
    return sse_store_are_keys(channels, n)
               ? store->provider->history(store, channels, n, after, upto,
                                          max_bytes, fn, baton, known, next,
                                          gap)
               : APR_EINVAL;
}

apr_status_t sse_store_follow(sse_store_t *store, sse_id_t after, int max,
                              sse_store_fn *fn, void *baton, sse_id_t *next,
                              int *missing)
{
    return store->provider->follow(store, after, max, fn, baton, next, missing);
}

apr_status_t sse_store_tidy(sse_store_t *store, apr_time_t now, int *more)
{
    return store->provider->tidy(store, now, more);
}

void sse_store_limit(sse_store_t *store, int publishers,
                     sse_store_stay_fn *may_stay)
{
    store->provider->limit(store, publishers, may_stay);
}

/* -- Presence -------------------------------------------------------------- */

static int is_change(const sse_presence_t *change)
{
    const sse_append_t *event = change->event;

    if (!sse_store_are_keys(&change->channel, 1) || !change->stream.ptr ||
        !change->stream.len || change->stream.len > SSE_STORE_STREAM_MAX ||
        (event && !is_item(event))) {
        return 0;
    }
    switch (change->what) {
    case SSE_PRESENCE_JOIN:
        return change->person.len <= SSE_STORE_PERSON_MAX &&
               change->user.len <= SSE_STORE_PERSON_MAX && change->owner.len &&
               change->owner.len <= SSE_STORE_OWNER_MAX &&
               change->text.len <= SSE_STORE_TEXT_MAX;
    case SSE_PRESENCE_LEAVE:
        return change->grace >= 0 &&
               (!event || !change->grace ||
                (event->fields.data.len <= SSE_STORE_TEXT_MAX &&
                 event->fields.event.len <= SSE_STORE_TEXT_MAX));
    default:
        return change->what == SSE_PRESENCE_EXPIRE;
    }
}

static int are_changes(const sse_presence_t *changes, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        if (!is_change(&changes[i])) {
            return 0;
        }
    }
    return n <= SSE_STORE_CHANGES_MAX;
}

/* Nothing came of them. */
static void changes_clear(sse_presence_t *changes, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        changes[i].outcome = SSE_PRESENCE_NOTHING;
        changes[i].streams = changes[i].users = 0;
    }
}

apr_status_t sse_store_presence_change(sse_store_t *store,
                                       sse_presence_t *changes, int n)
{
    apr_status_t rv = APR_EINVAL;
    int i, added = 0;

    changes_clear(changes, n);
    if (!store->provider->change) {
        return APR_ENOTIMPL;
    }
    if (are_changes(changes, n)) {
        rv = n > 0 ? store->provider->change(store, changes, n) : APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        changes_clear(changes, n);
        return rv;
    }
    for (i = 0; i < n; ++i) {
        added |= changes[i].outcome == SSE_PRESENCE_CHANGED &&
                 (changes[i].event || changes[i].what == SSE_PRESENCE_EXPIRE);
    }
    if (added) {
        sse_store_announce(store);
    }
    return APR_SUCCESS;
}

apr_status_t sse_store_presence_list(sse_store_t *store, sse_slice_t channel,
                                     int max, sse_store_member_fn *fn,
                                     void *baton, sse_id_t *last,
                                     apr_uint64_t *streams, apr_uint64_t *users)
{
    *last = *streams = *users = 0;
    if (!store->provider->members) {
        return APR_ENOTIMPL;
    }
    return sse_store_are_keys(&channel, 1)
               ? store->provider->members(store, channel, max, fn, baton, last,
                                          streams, users)
               : APR_EINVAL;
}

apr_status_t sse_store_presence_owners(sse_store_t *store,
                                       sse_store_owner_fn *fn, void *baton)
{
    return store->provider->owners ? store->provider->owners(store, fn, baton)
                                   : APR_ENOTIMPL;
}

apr_status_t sse_store_presence_of(sse_store_t *store, sse_slice_t owner,
                                   int max, sse_store_member_fn *fn,
                                   void *baton)
{
    if (!store->provider->members_of) {
        return APR_ENOTIMPL;
    }
    return owner.len && owner.len <= SSE_STORE_OWNER_MAX
               ? store->provider->members_of(store, owner, max, fn, baton)
               : APR_EINVAL;
}

apr_status_t sse_store_presence_due(sse_store_t *store, apr_time_t now, int max,
                                    sse_store_member_fn *fn, void *baton)
{
    return store->provider->members_due
               ? store->provider->members_due(store, now, max, fn, baton)
               : APR_ENOTIMPL;
}

/* -- What there is --------------------------------------------------------- */

apr_status_t sse_store_channels(sse_store_t *store, sse_slice_t prefix,
                                sse_slice_t after, int max,
                                sse_store_channel_fn *fn, void *baton,
                                int *more)
{
    *more = 0;
    if (!store->provider->channels) {
        return APR_ENOTIMPL;
    }
    return prefix.len <= SSE_STORE_KEY_MAX && after.len <= SSE_STORE_KEY_MAX
               ? store->provider->channels(store, prefix, after, max, fn, baton,
                                           more)
               : APR_EINVAL;
}

apr_status_t sse_store_channel(sse_store_t *store, sse_slice_t key,
                               sse_store_channel_t *channel)
{
    memset(channel, 0, sizeof(*channel));
    channel->channel = key;
    if (!store->provider->channel) {
        return APR_ENOTIMPL;
    }
    return sse_store_are_keys(&key, 1)
               ? store->provider->channel(store, key, channel)
               : APR_EINVAL;
}

apr_status_t sse_store_sizes(sse_store_t *store, sse_store_sizes_t *sizes)
{
    memset(sizes, 0, sizeof(*sizes));
    return store->provider->sizes ? store->provider->sizes(store, sizes)
                                  : APR_ENOTIMPL;
}

/* -- Words ----------------------------------------------------------------- */

const char *sse_store_report(sse_store_t *store)
{
    return store->provider->report(store);
}

const char *sse_store_advice(const sse_store_t *store, apr_status_t status)
{
    return store->provider->advice(status);
}

const char *sse_store_answer(const sse_store_t *store, apr_status_t status)
{
    return store->provider->answer(status);
}
