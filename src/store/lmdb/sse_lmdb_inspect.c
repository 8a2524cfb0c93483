/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb_channels.h"
#include "store/lmdb/sse_lmdb_inspect.h"
#include "store/lmdb/sse_lmdb_presence.h"

#define CHANNELS_AT_ONCE 128
#define BYTES_AT_ONCE    262144

static sse_inspect_e refuse(sse_inspect_t *in, const char *words)
{
    snprintf(in->words, sizeof(in->words), "%s", words);
    return SSE_INSPECT_UNREADABLE;
}

sse_inspect_e sse_inspect_fail(sse_inspect_t *in, int rc, const char *what)
{
    switch (rc) {
    case EACCES:
    case EPERM:
        return refuse(in, "may not be read by this user: run sse-store as "
                          "root, or as the user of httpd's children");
    case MDB_READERS_FULL:
        return refuse(in, "too many are reading it: try again in a moment");
    case MDB_VERSION_MISMATCH:
        return refuse(in, "was written by another version of LMDB: use an "
                          "sse-store that is linked with that one");
    default:
        break;
    }
    if (rc > 0) {
        snprintf(in->words, sizeof(in->words), "%s: %s", what,
                 mdb_strerror(rc));
        return SSE_INSPECT_UNREADABLE;
    }
    /* Reading a sound file gives none of LMDB's other codes. */
    snprintf(in->words, sizeof(in->words), "damaged: %s: %s", what,
             mdb_strerror(rc));
    return SSE_INSPECT_DAMAGED;
}

/* @return 0: it is a plain file; EINVAL: it is another kind; or an errno */
static int look_for(const sse_lmdb_conf_t *conf, const char *name, off_t *size)
{
    char path[SSE_LMDB_PATH_MAX];
    struct stat st;
    int rc = sse_lmdb_path(conf, name, path);

    if (rc || lstat(path, &st)) {
        return rc ? rc : errno;
    }
    *size = st.st_size;
    return S_ISREG(st.st_mode) ? 0 : EINVAL;
}

static sse_inspect_e look_at_files(sse_inspect_t *in, int *lock)
{
    off_t size = 0;
    int rc = look_for(in->conf, "data.mdb", &size);

    if (rc == ENOENT) {
        return refuse(in, "there is no store in it (no file data.mdb): name "
                          "the directory that httpd's SSEStore uses");
    }
    if (rc == EINVAL) {
        return refuse(in, "its data.mdb is not a plain file");
    }
    if (rc) {
        return sse_inspect_fail(in, rc, "data.mdb");
    }
    if (!size) {
        return refuse(in, "its data.mdb is empty: no store was begun yet");
    }
    rc = look_for(in->conf, "lock.mdb", &size);
    if (rc && rc != ENOENT) {
        return rc == EINVAL ? refuse(in, "its lock.mdb is not a plain file")
                            : sse_inspect_fail(in, rc, "lock.mdb");
    }
    *lock = !rc;
    return SSE_INSPECT_OK;
}

static sse_inspect_e env_open(sse_inspect_t *in)
{
    sse_lmdb_t *store = in->store;
    sse_inspect_e result;
    int rc, fd, lock = 0;

    if ((rc = mdb_env_create(&store->env)) ||
        (rc = mdb_env_set_maxdbs(store->env, SSE_DB_COUNT)) ||
        (rc = mdb_env_set_maxreaders(store->env, SSE_LMDB_READERS)) ||
        (rc = sse_lmdb_opening_lock(in->conf->dir, SSE_LMDB_PATIENCE, &fd))) {
        return sse_inspect_fail(in, rc, "opening");
    }
    result = look_at_files(in, &lock);
    if (result == SSE_INSPECT_OK) {
        rc = mdb_env_open(store->env, in->conf->dir,
                          MDB_RDONLY | MDB_NOTLS | (lock ? 0 : MDB_NOLOCK),
                          0600);
    }
    close(fd);
    return rc ? sse_inspect_fail(in, rc, "data.mdb") : result;
}

/* Is this a store of this version?  Nothing else of it is trusted before. */
static sse_inspect_e version_check(sse_inspect_t *in, MDB_txn *txn)
{
    sse_lmdb_state_t state;
    MDB_dbi meta;
    int rc = mdb_dbi_open(txn, "meta", 0, &meta);

    if (!rc) {
        rc = sse_lmdb_state_read(txn, meta, &state);
    }
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE || rc == MDB_CORRUPTED) {
        snprintf(in->words, sizeof(in->words),
                 "damaged: its data.mdb does not say that it is a store of "
                 "mod_sse");
        return SSE_INSPECT_DAMAGED;
    }
    if (rc) {
        return sse_inspect_fail(in, rc, "state");
    }
    if (state.version != SSE_LMDB_VERSION) {
        snprintf(in->words, sizeof(in->words),
                 "is a store of version %u, and this sse-store reads version "
                 "%d: use the one that came with the module that wrote it",
                 (unsigned int)state.version, SSE_LMDB_VERSION);
        return SSE_INSPECT_UNREADABLE;
    }
    return SSE_INSPECT_OK;
}

static sse_inspect_e dbs_open(sse_inspect_t *in)
{
    sse_lmdb_t *store = in->store;
    sse_inspect_e result;
    MDB_envinfo info;
    MDB_txn *txn;
    MDB_stat st;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (rc) {
        return sse_inspect_fail(in, rc, "a snapshot");
    }
    mdb_env_info(store->env, &info);
    mdb_env_stat(store->env, &st);
    store->psize = st.ms_psize;
    store->soft = sse_lmdb_soft(info.me_mapsize / st.ms_psize);
    if (!st.ms_entries) {
        mdb_txn_abort(txn);
        return refuse(in, "its data.mdb is empty: no store was begun yet");
    }
    result = version_check(in, txn);
    if (result != SSE_INSPECT_OK) {
        mdb_txn_abort(txn);
        return result;
    }
    rc = sse_lmdb_txn_end(txn, sse_lmdb_dbs_find(txn, store->db));
    return rc ? sse_inspect_fail(in, rc, "its databases") : SSE_INSPECT_OK;
}

sse_inspect_e sse_inspect_open(sse_inspect_t *in, const char *dir)
{
    sse_inspect_e result;

    memset(in, 0, sizeof(*in));
    in->conf = calloc(1, sizeof(*in->conf));
    in->store = calloc(1, sizeof(*in->store));
    if (!in->conf || !in->store) {
        return sse_inspect_fail(in, ENOMEM, "opening");
    }
    in->conf->dir = in->conf->runtime = dir;
    in->store->conf = in->conf;
    in->store->boot = sse_lmdb_boot();
    pthread_mutex_init(&in->store->gate, NULL);
    sse_lmdb_cond_init(&in->store->gate_moved);
    result = env_open(in);
    return result == SSE_INSPECT_OK ? dbs_open(in) : result;
}

void sse_inspect_close(sse_inspect_t *in)
{
    sse_lmdb_t *store = in->store;

    if (store) {
        sse_lmdb_stop(store);
        free(store);
    }
    free(in->conf);
    in->store = NULL;
    in->conf = NULL;
}

/* LMDB lists readers as lines of text: process, thread, and the number of the
 * snapshot that the reader holds, or "-".  The first line is a heading. */
static int on_reader(const char *line, void *baton)
{
    sse_inspect_stat_t *stat = baton;
    char *end;
    long pid = strtol(line, &end, 10);

    if (end != line && pid > 0 && pid != (long)getpid()) {
        ++stat->readers;
        stat->reading += !strchr(line, '-');
    }
    return 0;
}

sse_inspect_e sse_inspect_stat(sse_inspect_t *in, sse_inspect_stat_t *stat)
{
    static const int dbs[] = {SSE_DB_CHANNELS, SSE_DB_EVENTS,   SSE_DB_DOOMED,
                              SSE_DB_GRAVES,   SSE_DB_PRESENCE, SSE_DB_MEMBERS};
    apr_uint64_t *counts[] = {&stat->channels,  &stat->events,
                              &stat->lingering, &stat->forgotten,
                              &stat->presence,  &stat->members};
    sse_lmdb_t *store = in->store;
    sse_lmdb_state_t state;
    MDB_envinfo info;
    MDB_stat st;
    MDB_txn *txn;
    apr_size_t i;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    memset(stat, 0, sizeof(*stat));
    if (rc) {
        return sse_inspect_fail(in, rc, "its state");
    }
    rc = sse_lmdb_pages_used(store, txn, &stat->used);
    for (i = 0; i < sizeof(dbs) / sizeof(dbs[0]) && !rc; ++i) {
        if (!store->db[dbs[i]]) {
            continue;
        }
        rc = mdb_stat(txn, store->db[dbs[i]], &st);
        *counts[i] = rc ? 0 : st.ms_entries;
    }
    sse_lmdb_read_end(store, txn);
    if (rc || mdb_reader_list(store->env, on_reader, stat) < 0 ||
        (rc = mdb_env_info(store->env, &info))) {
        return sse_inspect_fail(in, rc ? rc : EIO, "its statistics");
    }
    stat->version = state.version;
    stat->origin = state.origin;
    stat->last = state.last;
    stat->used *= store->psize;
    stat->limit = info.me_mapsize;
    stat->soft = sse_lmdb_soft(stat->limit / store->psize) * store->psize;
    return SSE_INSPECT_OK;
}

/* Channels copied from a snapshot. */
typedef struct {
    int count;
    apr_time_t until;
    struct {
        sse_inspect_channel_t channel;
        char key[SSE_STORE_KEY_MAX];
    } items[CHANNELS_AT_ONCE];
} channels_t;

/* @return APR_EOF: that is enough of this snapshot */
static apr_status_t channel_take(void *baton, const sse_store_channel_t *from)
{
    channels_t *to = baton;
    sse_inspect_channel_t *out;

    if (to->count == CHANNELS_AT_ONCE ||
        (to->count && apr_time_now() >= to->until)) {
        return APR_EOF;
    }
    out = &to->items[to->count].channel;
    memcpy(to->items[to->count].key, from->channel.ptr, from->channel.len);
    out->key = (sse_slice_t){to->items[to->count].key, from->channel.len};
    out->count = from->events;
    out->bytes = from->bytes;
    out->first = from->first;
    out->last = from->last;
    out->last_time = from->last_time;
    out->members = from->streams;
    ++to->count;
    return APR_SUCCESS;
}

/* The channels from this key on, or after it. */
static int channels_read(sse_lmdb_t *store, sse_slice_t from, int after,
                         channels_t *to, int *more)
{
    sse_lmdb_walk_t walk = {from, after, APR_UINT64_MAX};
    apr_status_t stopped;
    int rc;

    to->count = 0;
    to->until = apr_time_now() + SSE_INSPECT_MOMENT;
    rc = sse_lmdb_channels_walk(store, &walk, channel_take, to, &stopped);
    *more = !rc && stopped == APR_EOF;
    return rc;
}

sse_inspect_e sse_inspect_channels(sse_inspect_t *in, sse_slice_t from,
                                   sse_inspect_channel_fn *fn, void *baton)
{
    channels_t *some = malloc(sizeof(*some));
    char last[SSE_STORE_KEY_MAX];
    int i, after = 0, more, rc;

    if (!some) {
        return sse_inspect_fail(in, ENOMEM, "channels");
    }
    do {
        rc = channels_read(in->store, from, after, some, &more);
        for (i = 0; i < some->count && !rc; ++i) {
            if (fn(baton, &some->items[i].channel)) {
                more = 0;
                break;
            }
        }
        if (!rc && more) {
            from = some->items[some->count - 1].channel.key;
            memcpy(last, from.ptr, from.len);
            from.ptr = last;
            after = 1;
        }
    } while (!rc && more);
    free(some);
    return rc ? sse_inspect_fail(in, rc, "channels") : SSE_INSPECT_OK;
}

typedef struct {
    char *text;
    apr_size_t len, size;
} text_t;

static apr_status_t on_event(void *baton, const sse_record_t *record)
{
    text_t *to = baton;
    sse_fields_t fields = record->fields;
    char id[24], *text;
    apr_size_t need;

    snprintf(id, sizeof(id), "%" APR_UINT64_T_FMT, record->id);
    fields.id = sse_slice(id);
    need = to->len + sse_event_size(&fields);
    if (need > to->size) {
        if (!(text = realloc(to->text, need + BYTES_AT_ONCE))) {
            return APR_ENOMEM;
        }
        to->text = text;
        to->size = need + BYTES_AT_ONCE;
    }
    to->len += sse_event_write(&fields, to->text + to->len);
    return APR_SUCCESS;
}

sse_inspect_e sse_inspect_dump(sse_inspect_t *in, sse_slice_t key,
                               sse_inspect_text_fn *fn, void *baton)
{
    text_t some = {NULL, 0, 0};
    sse_id_t upto, next = 0, after;
    int gap, stop = 0;
    apr_status_t rv = sse_lmdb_last(&in->store->base, &upto);

    while (!rv && !stop && next < upto) {
        after = next;
        some.len = 0;
        rv =
            sse_lmdb_history(&in->store->base, &key, 1, after, upto,
                             BYTES_AT_ONCE, on_event, &some, NULL, &next, &gap);
        if (!rv && next <= after) {
            rv = SSE_STORE_EDAMAGED;
        }
        stop = !rv && some.len && fn(baton, some.text, some.len);
    }
    free(some.text);
    if (rv) {
        return sse_inspect_fail(in,
                                rv == SSE_STORE_EDAMAGED ? MDB_CORRUPTED : rv,
                                "the channel's history");
    }
    return SSE_INSPECT_OK;
}
