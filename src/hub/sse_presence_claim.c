/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Members who leave without their child: it has died, or their time of grace is
 * over. */

#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/sse_presence_private.h"
#include "notify/sse_ended.h"
#include "notify/sse_notes.h"

APLOG_USE_MODULE(sse);

/* Members that were read from the store, and how they change. */
typedef struct {
    apr_pool_t *pool;
    apr_time_t now;
    int n;
    sse_presence_member_t members[SSE_PRESENCE_BATCH];
    sse_presence_settings_t settings[SSE_PRESENCE_BATCH];
    sse_presence_t changes[SSE_PRESENCE_BATCH];
} lot_t;

static void keep(sse_slice_t *slice, apr_pool_t *pool)
{
    slice->ptr = slice->len ? apr_pmemdup(pool, slice->ptr, slice->len) : "";
}

static apr_status_t on_member(void *baton, const sse_presence_member_t *member)
{
    lot_t *lot = baton;
    sse_presence_member_t *kept = &lot->members[lot->n];

    *kept = *member;
    keep(&kept->channel, lot->pool);
    keep(&kept->name, lot->pool);
    keep(&kept->stream, lot->pool);
    keep(&kept->user, lot->pool);
    keep(&kept->text, lot->pool);
    sse_presence_read(kept->text, &lot->settings[lot->n++]);
    return APR_SUCCESS;
}

static sse_presence_t *change_of(lot_t *lot, int i, sse_presence_e what)
{
    sse_presence_t *change = &lot->changes[i];

    memset(change, 0, sizeof(*change));
    change->what = what;
    change->channel = lot->members[i].channel;
    change->stream = lot->members[i].stream;
    return change;
}

static apr_status_t commit_lot(lot_t *lot, sse_store_t *store)
{
    apr_status_t rv = sse_store_presence_change(store, lot->changes, lot->n);
    int i;

    for (i = 0; rv == APR_SUCCESS && i < lot->n; ++i) {
        sse_presence_tell(&lot->changes[i], lot->settings[i].route,
                          lot->members[i].name, lot->now);
    }
    return rv;
}

static lot_t *make_lot(void)
{
    apr_pool_t *pool;
    lot_t *lot;

    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_presence_lot");
    lot = apr_pcalloc(pool, sizeof(*lot));
    lot->pool = pool;
    lot->now = apr_time_now();
    return lot;
}

/* -- Dead children --------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *dead; /* of const char * */
} owners_t;

/* PF_EXITING of the kernel's sched.h, which it shows in /proc/PID/stat. */
#define EXITING 0x4

/* Whether that child is about to be dead: its parent takes up to a second to
 * notice, and its clients may be back before that. */
static int is_dying(const char *owner, apr_pool_t *pool)
{
    const char *dot = strchr(owner, '.'), *path, *after;
    char text[512] = "", state;
    unsigned int flags;
    FILE *file;

    path = apr_psprintf(pool, "/proc/%lu/stat",
                        dot ? strtoul(dot + 1, NULL, 16) : 0);
    file = fopen(path, "re");
    if (!file) {
        return 0; /* sse_ended_is_alive() knows more */
    }
    if (!fgets(text, sizeof(text), file)) {
        *text = '\0';
    }
    fclose(file);
    after = strrchr(text, ')'); /* its name may have anything */
    return after &&
           sscanf(after, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 &&
           (state == 'Z' || state == 'X' || flags & EXITING);
}

static apr_status_t on_owner(void *baton, sse_slice_t owner)
{
    owners_t *owners = baton;
    const char *name = apr_pstrmemdup(owners->pool, owner.ptr, owner.len);

    if (!sse_ended_is_alive(NULL, name) || is_dying(name, owners->pool)) {
        APR_ARRAY_PUSH(owners->dead, const char *) = name;
    }
    return APR_SUCCESS;
}

/* Whichever child comes first: for the others they are no members any more.
 * @param n out: how many there were */
static apr_status_t claim_some(sse_store_t *store, const char *owner, int *n)
{
    const char *reason = sse_close_name(SSE_CLOSE_CRASH);
    lot_t *lot = make_lot();
    sse_presence_t *change;
    apr_status_t rv;
    int i;

    rv = sse_store_presence_of(store, sse_slice(owner), SSE_PRESENCE_BATCH,
                               on_member, lot);
    for (i = 0; rv == APR_SUCCESS && i < lot->n; ++i) {
        change = change_of(lot, i, SSE_PRESENCE_LEAVE);
        change->grace = sse_presence_grace(&lot->settings[i], SSE_CLOSE_CRASH);
        change->event = sse_presence_event(
            &lot->settings[i], change->channel, lot->members[i].name,
            lot->members[i].user, lot->now, reason, lot->pool);
    }
    if (rv == APR_SUCCESS && lot->n) {
        rv = commit_lot(lot, store);
    }
    *n = lot->n;
    apr_pool_destroy(lot->pool);
    return rv;
}

static apr_status_t claim(sse_store_t *store, server_rec *s, const char *owner)
{
    apr_status_t rv;
    int n, all = 0;

    do {
        rv = claim_some(store, owner, &n);
        all += n;
    } while (rv == APR_SUCCESS && n == SSE_PRESENCE_BATCH);
    if (rv == APR_SUCCESS && all) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                     "presence: child %s has died, with %d members of channels",
                     owner, all);
    }
    return rv;
}

apr_status_t sse_presence_claim(sse_store_t *store, server_rec *s)
{
    owners_t owners;
    apr_status_t rv;
    int i;

    apr_pool_create(&owners.pool, NULL);
    apr_pool_tag(owners.pool, "sse_presence_owners");
    owners.dead = apr_array_make(owners.pool, 4, sizeof(const char *));
    rv = sse_store_presence_owners(store, on_owner, &owners);
    for (i = 0; rv == APR_SUCCESS && i < owners.dead->nelts; ++i) {
        rv = claim(store, s, APR_ARRAY_IDX(owners.dead, i, const char *));
    }
    apr_pool_destroy(owners.pool);
    return rv;
}

/* -- Grace ----------------------------------------------------------------- */

static apr_status_t on_next(void *baton, const sse_presence_member_t *member)
{
    apr_time_t *due = baton;

    *due = member->due;
    return APR_SUCCESS;
}

static apr_status_t expire_some(sse_store_t *store, int *n)
{
    lot_t *lot = make_lot();
    apr_status_t rv;
    int i;

    rv = sse_store_presence_due(store, lot->now, SSE_PRESENCE_BATCH, on_member,
                                lot);
    for (i = 0; rv == APR_SUCCESS && i < lot->n; ++i) {
        change_of(lot, i, SSE_PRESENCE_EXPIRE);
    }
    if (rv == APR_SUCCESS && lot->n) {
        rv = commit_lot(lot, store);
    }
    *n = lot->n;
    apr_pool_destroy(lot->pool);
    return rv;
}

apr_status_t sse_presence_expire(sse_store_t *store, apr_time_t *due)
{
    apr_status_t rv;
    int n;

    do {
        rv = expire_some(store, &n);
    } while (rv == APR_SUCCESS && n == SSE_PRESENCE_BATCH);
    *due = 0;
    if (rv == APR_SUCCESS) {
        rv = sse_store_presence_due(store, APR_INT64_MAX, 1, on_next, due);
    }
    return rv;
}
