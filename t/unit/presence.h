/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file presence.h
 * What the tests of presence in the store share: short ways to make a change
 * and to see who is there.
 *
 * Threads: the main thread only.
 */

#ifndef SSE_TEST_PRESENCE_H
#define SSE_TEST_PRESENCE_H

#include "store.h"
#include "store/lmdb/sse_lmdb_inspect.h"
#include "store/lmdb/sse_lmdb_presence.h"

#define GRACE apr_time_from_sec(3600)

/** is_str(), for what may be asked once only. */
#define says(call, want, what)                                                 \
    do {                                                                       \
        const char *said = (call);                                             \
        is_str(said, want, what);                                              \
    } while (0)

/* The event of a change. */
static sse_append_t told;

static inline sse_presence_t change(sse_presence_e what, const char *channel,
                                    const char *stream, const char *event)
{
    sse_presence_t c = {
        .what = what, .channel = text(channel), .stream = text(stream)};

    if (event) {
        told = item("told", event, NULL, &keep_all);
        c.event = &told;
    }
    return c;
}

static inline sse_presence_t joins(const char *channel, const char *stream,
                                   const char *user, const char *event)
{
    sse_presence_t c = change(SSE_PRESENCE_JOIN, channel, stream, event);

    c.person = c.user = text(user);
    c.owner = text("child");
    c.text = text("words");
    c.since = 7;
    return c;
}

static inline sse_presence_t leaves(const char *channel, const char *stream,
                                    apr_interval_time_t grace,
                                    const char *event)
{
    sse_presence_t c = change(SSE_PRESENCE_LEAVE, channel, stream, event);

    c.grace = grace;
    return c;
}

/* One change, as "outcome streams users". */
static inline const char *did(sse_store_t *store, sse_presence_t c)
{
    static const char *const outcomes[] = {"nothing", "changed", "waits",
                                           "returned"};
    static char words[80];
    apr_status_t rv = sse_store_presence_change(store, &c, 1);

    if (rv) {
        snprintf(words, sizeof(words), "error %d", (int)rv);
    }
    else {
        snprintf(words, sizeof(words), "%s %d %d", outcomes[c.outcome],
                 (int)c.streams, (int)c.users);
    }
    return words;
}

static inline apr_status_t see_member(void *baton,
                                      const sse_presence_member_t *member)
{
    char *words = baton;
    apr_size_t len = strlen(words);

    snprintf(words + len, 4096 - len, "%.*s/%.*s=%.*s%s ",
             (int)member->name.len, member->name.ptr, (int)member->stream.len,
             member->stream.ptr, (int)member->user.len, member->user.ptr,
             member->due ? "?" : "");
    return APR_SUCCESS;
}

/* The channel's members, "name/stream=user", and "?" if they wait. */
static inline const char *who(sse_store_t *store, const char *channel)
{
    static char words[4096];
    apr_uint64_t streams, users;
    apr_status_t rv;
    sse_id_t last;

    *words = '\0';
    rv = sse_store_presence_list(store, text(channel), 100, see_member, words,
                                 &last, &streams, &users);
    if (rv) {
        snprintf(words, sizeof(words), "error %d", (int)rv);
    }
    return words;
}

static inline const char *whose(sse_store_t *store, const char *owner, int max)
{
    static char words[4096];

    *words = '\0';
    return sse_store_presence_of(store, text(owner), max, see_member, words)
               ? "error"
               : words;
}

static inline const char *who_is_due(sse_store_t *store,
                                     apr_interval_time_t ahead, int max)
{
    static char words[4096];

    *words = '\0';
    return sse_store_presence_due(store, apr_time_now() + ahead, max,
                                  see_member, words)
               ? "error"
               : words;
}

/* All that has been told. */
static inline const char *events(sse_store_t *store)
{
    return history_of(store, "told", 0, NULL);
}

/* As sse-store's check sees it, with the store open. */
static inline const char *check(sse_store_t *store)
{
    static sse_inspect_t in;

    in.store = LMDB(store);
    return sse_inspect_check(&in) == SSE_INSPECT_OK ? "sound" : in.words;
}

/* Let its time pass. */
static inline const char *expired(sse_store_t *store, const char *channel,
                                  const char *stream, const char *event)
{
    sse_presence_t c = change(SSE_PRESENCE_EXPIRE, channel, stream, event);
    const char *words = "";
    int i;

    for (i = 0; i < 5000; ++i) {
        words = did(store, c);
        if (strncmp(words, "nothing", 7)) {
            break;
        }
        usleep(1000);
    }
    return words;
}

/* How many entries a database has. */
static inline apr_uint64_t entries(sse_store_t *store, int db)
{
    sse_lmdb_state_t state;
    MDB_stat st = {0};
    MDB_txn *txn;

    if (!sse_lmdb_read_begin(LMDB(store), &txn, &state)) {
        mdb_stat(txn, LMDB(store)->db[db], &st);
        sse_lmdb_read_end(LMDB(store), txn);
    }
    return st.ms_entries;
}

#endif /* SSE_TEST_PRESENCE_H */
