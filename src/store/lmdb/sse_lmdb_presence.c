/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Changes of who is on a channel, and the databases for that. */

#include <apr_strings.h>
#include <errno.h>
#include <stdlib.h>

#include "store/lmdb/sse_lmdb_presence.h"

/* The part of the room that members may take. */
#define MEMBERS_PART 2
/* How long the databases' maker may keep all others from the store. */
#define MAKING_PATIENCE apr_time_from_msec(20)

/* -- The databases --------------------------------------------------------- */

/* Exclusive access: the handles of a transaction that is to end with rc. */
static int end_opening(sse_lmdb_t *store, MDB_txn *txn, int rc)
{
    rc = sse_lmdb_txn_end(txn, rc);
    if (rc) {
        memset(store->db + SSE_DB_PRESENCE, 0,
               sizeof(*store->db) * (SSE_DB_COUNT - SSE_DB_PRESENCE));
    }
    return rc;
}

/* Exclusive access: another process may have made them. */
static int find_dbs(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    MDB_txn *txn;
    int rc;

    if (!store->env || store->db[SSE_DB_MARKS]) {
        return 0;
    }
    rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    return rc ? rc : end_opening(store, txn, sse_lmdb_dbs_find(txn, store->db));
}

/* Exclusive access, and not for long. */
static int make_dbs(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    MDB_txn *txn;
    int rc = find_dbs(store, who);

    if (rc || !store->env || store->db[SSE_DB_MARKS]) {
        return rc;
    }
    rc = sse_lmdb_lock_wait(__atomic_load_n(&store->lock, __ATOMIC_ACQUIRE),
                            MAKING_PATIENCE)
             ? mdb_txn_begin(store->env, NULL, 0, &txn)
             : EAGAIN;
    return rc ? rc
              : end_opening(store, txn, sse_lmdb_dbs_open(txn, store->db, 0));
}

static int do_nothing(sse_lmdb_write_t *w, void *baton) { return 0; }

/* The writer's thread may wait for LMDB's lock, but nobody with exclusive
 * access: so see first whether it can be had.  Where its word in the lock file
 * was not known, it is known then. */
static int try_lock(sse_lmdb_t *store)
{
    sse_lmdb_request_t request = {.also = do_nothing, .is_alone = 1};

    return sse_lmdb_submit(store, &request, SSE_LMDB_TIDY);
}

int sse_lmdb_presence_open(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    int is_missing, rc = sse_lmdb_gate_enter(store, who, NULL);

    if (rc) {
        return rc;
    }
    is_missing = store->env && !store->db[SSE_DB_MARKS];
    sse_lmdb_gate_leave(store, NULL);
    if (!is_missing || who != SSE_LMDB_WRITER) {
        return is_missing ? sse_lmdb_alone(store, who, find_dbs) : 0;
    }
    rc = try_lock(store);
    return rc ? rc : sse_lmdb_alone(store, who, make_dbs);
}

/* -- A change -------------------------------------------------------------- */

/** A change that is being made. */
typedef struct {
    sse_lmdb_write_t *w;
    sse_presence_t *change;
    sse_lmdb_presence_t on; /**< who is on the channel; number 0: nobody */
    sse_lmdb_member_t was;  /**< the member that was found */
    char *copy;             /**< its bytes, as the map's may move; or NULL */
} doing_t;

static int presence_put(doing_t *doing)
{
    sse_slice_t key = doing->change->channel;

    return doing->on.streams
               ? sse_lmdb_set(doing->w, SSE_DB_PRESENCE, key.ptr, key.len,
                              &doing->on, sizeof(doing->on))
               : sse_lmdb_del(doing->w, SSE_DB_PRESENCE, (void *)key.ptr,
                              key.len);
}

/* The member that is found is copied to doing->was. */
static int find(doing_t *doing, sse_lmdb_mark_e kind,
                const sse_lmdb_member_t *like)
{
    sse_lmdb_write_t *w = doing->w;
    sse_lmdb_member_t *was = &doing->was;
    MDB_val val;
    int i, rc = sse_lmdb_member_like(w->store, w->txn, &w->state, kind, like,
                                     was, &val);

    if (rc) {
        return rc;
    }
    if (!(doing->copy = malloc(val.mv_size))) {
        return ENOMEM;
    }
    memcpy(doing->copy, val.mv_data, val.mv_size);
    for (i = 0; i < SSE_PART_COUNT; ++i) {
        was->parts[i].ptr =
            doing->copy + (was->parts[i].ptr - (const char *)val.mv_data);
    }
    return 0;
}

/* The member whose stream the change names. */
static int find_stream(doing_t *doing)
{
    sse_lmdb_member_t like = {.channel = doing->on.number};

    like.parts[SSE_PART_STREAM] = doing->change->stream;
    return doing->on.number ? find(doing, SSE_MARK_STREAM, &like)
                            : MDB_NOTFOUND;
}

/* Whether another member has the user of this one. @return LMDB's code */
static int find_user(doing_t *doing, const sse_lmdb_member_t *member)
{
    sse_lmdb_write_t *w = doing->w;
    sse_lmdb_member_t other;

    return sse_lmdb_member_like(w->store, w->txn, &w->state, SSE_MARK_USER,
                                member, &other, NULL);
}

/* Write the marks that only one of these has. */
static int write_marks(sse_lmdb_write_t *w, const sse_lmdb_mark_t *marks, int n,
                       const sse_lmdb_mark_t *others, int n_others, int is_put)
{
    unsigned char buf[SSE_LMDB_MARK_KEY];
    apr_size_t len;
    int i, j, rc = 0;

    for (i = 0; i < n && !rc; ++i) {
        for (j = 0; j < n_others && !sse_lmdb_mark_is(&marks[i], &others[j]);
             ++j) {
        }
        if (j == n_others) {
            len = sse_lmdb_mark_set(buf, &marks[i]);
            rc = is_put ? sse_lmdb_set(w, SSE_DB_MARKS, buf, len, "", 0)
                        : sse_lmdb_del(w, SSE_DB_MARKS, buf, len);
        }
    }
    return rc;
}

/* @param from,to the member before and after; or NULL */
static int move_marks(sse_lmdb_write_t *w, const sse_lmdb_member_t *from,
                      const sse_lmdb_member_t *to)
{
    sse_lmdb_mark_t old[SSE_LMDB_MARKS], new[SSE_LMDB_MARKS];
    int n_old = from ? sse_lmdb_marks_of(&w->state, from, old) : 0;
    int n_new = to ? sse_lmdb_marks_of(&w->state, to, new) : 0;
    int rc = write_marks(w, old, n_old, new, n_new, 0);

    return rc ? rc : write_marks(w, new, n_new, old, n_old, 1);
}

static int replace(doing_t *doing, const sse_lmdb_member_t *member)
{
    int rc = move_marks(doing->w, &doing->was, member);

    return rc ? rc : sse_lmdb_member_put(doing->w, member);
}

static int add_event(sse_lmdb_write_t *w, const sse_append_t *event)
{
    sse_append_t item = *event;

    return sse_lmdb_put_item(w, &item);
}

/* -- Joining --------------------------------------------------------------- */

/* @return MDB_TXN_FULL: to evict events would not help */
static int check_room(sse_lmdb_write_t *w)
{
    apr_uint64_t pages;
    int rc = sse_lmdb_pages_from(w->store, w->txn, SSE_DB_PRESENCE, &pages);

    return rc ? rc : pages > w->store->soft / MEMBERS_PART ? MDB_TXN_FULL : 0;
}

static int add(doing_t *doing, sse_lmdb_member_t *member)
{
    sse_lmdb_write_t *w = doing->w;
    sse_presence_t *change = doing->change;
    int rc = check_room(w);

    if (rc) {
        return rc;
    }
    if (!doing->on.number) {
        doing->on.number = w->state.next_number++;
    }
    member->channel = doing->on.number;
    member->number = w->state.next_number++;
    if (member->parts[SSE_PART_USER].len) {
        rc = find_user(doing, member);
        doing->on.users += rc == MDB_NOTFOUND;
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    doing->on.streams++;
    change->outcome = SSE_PRESENCE_CHANGED;
    if (rc || (rc = sse_lmdb_member_put(w, member)) ||
        (rc = move_marks(w, NULL, member)) || (rc = presence_put(doing))) {
        return rc;
    }
    return change->event ? add_event(w, change->event) : 0;
}

/* It takes the place of the one that was found. */
static int take_place(doing_t *doing, const sse_lmdb_member_t *as)
{
    sse_lmdb_member_t member = doing->was;
    int i;

    member.due = 0;
    member.parts[SSE_PART_STREAM] = as->parts[SSE_PART_STREAM];
    member.parts[SSE_PART_OWNER] = as->parts[SSE_PART_OWNER];
    member.parts[SSE_PART_TEXT] = as->parts[SSE_PART_TEXT];
    for (i = SSE_PART_TO; i < SSE_PART_COUNT; ++i) {
        member.parts[i].len = 0;
    }
    member.has_event = 0;
    doing->change->outcome = SSE_PRESENCE_RETURNED;
    if (doing->change->name) {
        apr_cpystrn(doing->change->name, member.parts[SSE_PART_NAME].ptr,
                    member.parts[SSE_PART_NAME].len + 1);
    }
    return replace(doing, &member);
}

static int join(doing_t *doing)
{
    sse_presence_t *change = doing->change;
    sse_lmdb_member_t member = {.channel = doing->on.number,
                                .since = change->since};
    int rc = find_stream(doing);

    if (!rc && !doing->was.due) {
        return 0;
    }
    member.parts[SSE_PART_CHANNEL] = change->channel;
    member.parts[SSE_PART_NAME] = change->stream;
    member.parts[SSE_PART_STREAM] = change->stream;
    member.parts[SSE_PART_PERSON] = change->person;
    member.parts[SSE_PART_USER] = change->user;
    member.parts[SSE_PART_OWNER] = change->owner;
    member.parts[SSE_PART_TEXT] = change->text;
    if (rc == MDB_NOTFOUND && doing->on.number && change->person.len) {
        rc = find(doing, SSE_MARK_PERSON, &member);
    }
    return !rc                  ? take_place(doing, &member)
           : rc == MDB_NOTFOUND ? add(doing, &member)
                                : rc;
}

/* -- Leaving --------------------------------------------------------------- */

/* The event that was kept while it waited. */
static int add_kept(doing_t *doing)
{
    const sse_lmdb_member_t *was = &doing->was;
    const sse_slice_t *parts = was->parts;
    sse_append_t item = {.channel = parts[SSE_PART_TO],
                         .fields = SSE_FIELDS_NONE,
                         .idempotency = parts[SSE_PART_KEY],
                         .history = &was->history};

    item.fields.data = parts[SSE_PART_DATA];
    item.fields.retry = was->retry;
    if (was->has_event) {
        item.fields.event = parts[SSE_PART_EVENT];
    }
    return parts[SSE_PART_TO].len ? sse_lmdb_put_item(doing->w, &item) : 0;
}

static int leave_now(doing_t *doing)
{
    sse_lmdb_write_t *w = doing->w;
    sse_lmdb_member_t *was = &doing->was;
    sse_presence_t *change = doing->change;
    unsigned char buf[16];
    int rc;

    sse_lmdb_pair_set(buf, was->channel, was->number);
    if ((rc = sse_lmdb_del(w, SSE_DB_MEMBERS, buf, sizeof(buf))) ||
        (rc = move_marks(w, was, NULL))) {
        return rc;
    }
    if (was->parts[SSE_PART_USER].len) {
        rc = find_user(doing, was);
        doing->on.users -= rc == MDB_NOTFOUND;
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    doing->on.streams--;
    change->outcome = SSE_PRESENCE_CHANGED;
    if (rc || (rc = presence_put(doing))) {
        return rc;
    }
    return change->event ? add_event(w, change->event) : add_kept(doing);
}

static int wait_for_return(doing_t *doing)
{
    const sse_append_t *event = doing->change->event;
    apr_interval_time_t grace = doing->change->grace;
    sse_lmdb_member_t member = doing->was;
    apr_time_t now = doing->w->now;

    member.due = grace < APR_INT64_MAX - now ? now + grace : APR_INT64_MAX;
    if (event) {
        member.parts[SSE_PART_TO] = event->channel;
        member.parts[SSE_PART_EVENT] = event->fields.event;
        member.parts[SSE_PART_DATA] = event->fields.data;
        member.parts[SSE_PART_KEY] = event->idempotency;
        member.has_event = event->fields.event.ptr != NULL;
        member.retry = event->fields.retry;
        member.history = *event->history;
    }
    doing->change->outcome = SSE_PRESENCE_WAITS;
    return replace(doing, &member);
}

static int leave(doing_t *doing)
{
    int rc = find_stream(doing);

    if (rc || doing->was.due) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    return doing->change->grace ? wait_for_return(doing) : leave_now(doing);
}

static int expire(doing_t *doing)
{
    int rc = find_stream(doing);

    if (rc || !doing->was.due || doing->was.due > doing->w->now) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    return leave_now(doing);
}

/* -- All changes of a call ------------------------------------------------- */

static int put_change(sse_lmdb_write_t *w, sse_presence_t *change)
{
    doing_t doing = {.w = w, .change = change};
    int rc =
        sse_lmdb_presence_get(w->store, w->txn, change->channel, &doing.on);

    change->outcome = SSE_PRESENCE_NOTHING;
    if (rc && rc != MDB_NOTFOUND) {
        return rc;
    }
    switch (change->what) {
    case SSE_PRESENCE_JOIN:
        rc = join(&doing);
        break;
    case SSE_PRESENCE_LEAVE:
        rc = leave(&doing);
        break;
    default:
        rc = expire(&doing);
        break;
    }
    free(doing.copy);
    change->streams = doing.on.streams;
    change->users = doing.on.users;
    return rc;
}

typedef struct {
    sse_presence_t *changes;
    int n;
} all_t;

/* In the writer's transaction. */
static int put_all(sse_lmdb_write_t *w, void *baton)
{
    all_t *all = baton;
    int i, rc = 0;

    if (!w->store->db[SSE_DB_MARKS]) {
        return EBUSY; /* the environment was opened again just now */
    }
    for (i = 0; i < all->n && !rc; ++i) {
        rc = put_change(w, &all->changes[i]);
    }
    return rc ? rc : sse_lmdb_bound(w);
}

/* Bytes of the map that a member takes, about. */
static apr_uint64_t member_room(const sse_presence_t *change)
{
    return 512 + 2 * change->channel.len + 2 * change->stream.len +
           change->person.len + change->user.len + 2 * change->owner.len +
           change->text.len;
}

static apr_status_t measure(const sse_lmdb_t *store,
                            const sse_presence_t *changes, int n,
                            apr_uint64_t *pages)
{
    apr_uint64_t room = 0;
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < n && !rv; ++i) {
        room += member_room(&changes[i]);
        rv = changes[i].event
                 ? sse_lmdb_measure(store, changes[i].event, 1, &room)
                 : APR_SUCCESS;
    }
    return rv ? rv : sse_lmdb_pages_of(store, room, pages);
}

apr_status_t sse_lmdb_presence_change(sse_store_t *base,
                                      sse_presence_t *changes, int n)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    all_t all = {changes, n};
    sse_lmdb_request_t request = {.also = put_all, .baton = &all, .n = n};
    apr_status_t rv = measure(store, changes, n, &request.pages);
    int rc;

    if (rv) {
        return rv;
    }
    rc = sse_lmdb_presence_open(store, SSE_LMDB_WRITER);
    return sse_lmdb_status(
        rc ? rc : sse_lmdb_submit(store, &request, SSE_LMDB_PUBLISHER));
}
