/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Is the store sound?  LMDB trusts its pages: a damaged one can make it abort,
 * or read outside of the map.  So this runs in a process of its own, and a
 * crash is one of its results.
 *
 * As a rule the two ends of every database are checked.  All of it is checked
 * after a boot, as with sync=off pages may not have reached the disk, and when
 * the file is shorter than it says. */

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb_presence.h"

#define SOME 256

typedef struct {
    MDB_env *env;
    const apr_uint32_t *lock;
    MDB_txn *txn;
    MDB_dbi db[SSE_DB_COUNT];
    sse_lmdb_state_t state;
    MDB_stat st;
    int all;
} walk_t;

static int is_damage(int rc)
{
    switch (rc) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_PANIC:
    case MDB_INCOMPATIBLE:
    case MDB_VERSION_MISMATCH:
    case MDB_NOTFOUND:
    case MDB_KEYEXIST:
    case MDB_BAD_VALSIZE:
        return 1;
    default:
        return 0;
    }
}

static int state_get(walk_t *k, volatile sse_lmdb_check_t *check)
{
    int rc = sse_lmdb_state_read(k->txn, k->db[SSE_DB_META], &k->state);

    if (rc) {
        return rc;
    }
    check->last = k->state.last;
    if (SSE_LMDB_IS_OLD(k->state.version)) {
        return 0; /* it is upgraded when its databases are opened */
    }
    if (k->state.version != SSE_LMDB_VERSION) {
        check->result = SSE_CHECK_VERSION;
        return MDB_VERSION_MISMATCH;
    }
    return k->state.last < k->state.origin ? MDB_CORRUPTED : 0;
}

static int event_ok(walk_t *k, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_event_t event;
    sse_id_t id;

    return sse_lmdb_id_get(key, &id) && id > k->state.origin &&
           id <= k->state.last && !sse_lmdb_event_parse(id, val, &event);
}

static int index_ok(walk_t *k, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_entry_t entry;
    apr_uint64_t number;
    sse_id_t id;
    MDB_val event_key = {sizeof(id), &id}, event;

    return sse_lmdb_pair_get(key, &number, &id) &&
           sse_lmdb_entry_get(val, &entry) &&
           !mdb_get(k->txn, k->db[SSE_DB_EVENTS], &event_key, &event);
}

static int value_ok(walk_t *k, int db, const MDB_val *key, const MDB_val *val)
{
    apr_uint64_t a, b, c;
    sse_lmdb_member_t member;
    sse_lmdb_mark_t mark;

    switch (db) {
    case SSE_DB_EVENTS:
        return event_ok(k, key, val);
    case SSE_DB_INDEX:
        return index_ok(k, key, val);
    case SSE_DB_CHANNELS:
        return val->mv_size == sizeof(sse_lmdb_channel_t);
    case SSE_DB_KEYS:
        return key->mv_size > 8 && sse_lmdb_id_get(val, &a);
    case SSE_DB_DUE:
        return sse_lmdb_pair_get(key, &a, &b) && val->mv_size > 0;
    case SSE_DB_GRAVES:
        return sse_lmdb_id_get(key, &a);
    case SSE_DB_DOOMED:
    case SSE_DB_FLOORS:
        return sse_lmdb_id_get(key, &a) && sse_lmdb_id_get(val, &b);
    case SSE_DB_OWNERS:
        return val->mv_size == sizeof(sse_lmdb_owner_t);
    case SSE_DB_WEIGHTS:
        return sse_lmdb_weight_get(key, &a, &b, &c) && val->mv_size > 0;
    case SSE_DB_PRESENCE:
        return val->mv_size == sizeof(sse_lmdb_presence_t);
    case SSE_DB_MEMBERS:
        return sse_lmdb_member_parse(key, val, &member);
    case SSE_DB_MARKS:
        return sse_lmdb_mark_get(key, &mark);
    default:
        return 1;
    }
}

/* From one end, max entries at most: values are sound, keys are in order, and
 * there are as many as the database says. */
static int walk_from(walk_t *k, int db, MDB_cursor_op first, MDB_cursor_op next,
                     apr_size_t max)
{
    MDB_cursor *cursor;
    MDB_val key, val, before = {0, NULL};
    apr_size_t n = 0;
    int order, rc = mdb_cursor_open(k->txn, k->db[db], &cursor);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &val, first);
    for (; !rc && n < max; ++n) {
        order = n ? mdb_cmp(k->txn, k->db[db], &before, &key) : 0;
        if (!value_ok(k, db, &key, &val) ||
            (n && (first == MDB_FIRST ? order >= 0 : order <= 0))) {
            rc = MDB_CORRUPTED;
            break;
        }
        before = key;
        rc = mdb_cursor_get(cursor, &key, &val, next);
    }
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) {
        rc = n == k->st.ms_entries ? 0 : MDB_CORRUPTED;
    }
    else if (!rc && n > k->st.ms_entries) {
        rc = MDB_CORRUPTED;
    }
    return rc;
}

static int free_entry_check(const MDB_val *val, apr_size_t last_page,
                            const char **why)
{
    apr_size_t count, page, i;
    const char *p = val->mv_data;

    if (val->mv_size < sizeof(count)) {
        *why = "a list of free pages that is none";
        return MDB_CORRUPTED;
    }
    memcpy(&count, p, sizeof(count));
    if (count > val->mv_size / sizeof(count) - 1) {
        *why = "a list of free pages that is too long";
        return MDB_CORRUPTED;
    }
    for (i = 1; i <= count; ++i) {
        memcpy(&page, p + i * sizeof(page), sizeof(page));
        if (page < 2 || page > last_page) {
            *why = "a free page that the file does not have";
            return MDB_CORRUPTED;
        }
    }
    return 0;
}

int sse_lmdb_free_check(MDB_txn *txn, const char **why)
{
    MDB_envinfo info;
    MDB_cursor *cursor;
    MDB_val key, val;
    int rc;

    if ((rc = mdb_env_info(mdb_txn_env(txn), &info)) ||
        (rc = mdb_cursor_open(txn, 0, &cursor))) {
        return rc;
    }
    while (!(rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) &&
           !(rc = free_entry_check(&val, info.me_last_pgno, why))) {
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int walk(walk_t *k, volatile sse_lmdb_check_t *check)
{
    apr_size_t max = k->all ? (apr_size_t)-1 : SOME;
    int db, rc = state_get(k, check);
    const char *why;

    if (!rc && k->all) {
        rc = sse_lmdb_free_check(k->txn, &why);
    }
    for (db = 0; db < SSE_DB_COUNT && k->db[db] && !rc; ++db) {
        rc = mdb_stat(k->txn, k->db[db], &k->st);
        if (!rc) {
            rc = walk_from(k, db, MDB_FIRST, MDB_NEXT, max);
        }
        if (!rc && !k->all) {
            rc = walk_from(k, db, MDB_LAST, MDB_PREV, max);
        }
    }
    return rc;
}

/* The pages that the file says it has must exist: touching others is a SIGBUS,
 * here and in the children.  Missing pages need not be damage, as free ones at
 * the end are not always written.  So extend the file, which then reads as
 * zeros, and leave the rest to the walk. */
static int fill_up(walk_t *k)
{
    MDB_envinfo info;
    MDB_stat st;
    struct stat file;
    off_t size;
    int fd, rc;

    if ((rc = mdb_env_info(k->env, &info)) ||
        (rc = mdb_env_stat(k->env, &st)) ||
        (rc = mdb_env_get_fd(k->env, &fd))) {
        return rc;
    }
    size = (off_t)(info.me_last_pgno + 1) * st.ms_psize;
    if (fstat(fd, &file)) {
        return errno;
    }
    if (file.st_size >= size) {
        return 0;
    }
    k->all = 1;
    return pwrite(fd, "", 1, size - 1) == 1 ? 0 : errno;
}

static int boot_is_new(walk_t *k, const char *name)
{
    MDB_val key = {4, (void *)"boot"}, val;
    int rc = mdb_get(k->txn, k->db[SSE_DB_META], &key, &val);

    return rc || val.mv_size != strlen(name) ||
           memcmp(val.mv_data, name, val.mv_size);
}

static int boot_note(walk_t *k, const char *name)
{
    MDB_val key = {4, (void *)"boot"}, val = {strlen(name), (void *)name};
    MDB_txn *txn;
    int rc = mdb_txn_begin(k->env, NULL, 0, &txn);

    if (rc) {
        return rc;
    }
    return sse_lmdb_txn_end(txn,
                            mdb_put(txn, k->db[SSE_DB_META], &key, &val, 0));
}

static int open_dbs(walk_t *k, volatile sse_lmdb_check_t *check)
{
    MDB_stat st;
    int rc = mdb_env_stat(k->env, &st);

    if (!rc && st.ms_entries) {
        /* The state first, as another version may have other databases. */
        rc = mdb_dbi_open(k->txn, "meta", 0, &k->db[SSE_DB_META]);
        if (!rc) {
            rc = state_get(k, check);
        }
    }
    if (rc) {
        return rc;
    }
    if (st.ms_entries && k->state.version != SSE_LMDB_VERSION) {
        check->is_long = 1; /* every channel is rewritten */
    }
    rc = sse_lmdb_dbs_open(k->txn, k->db, check->last);
    if (rc == MDB_MAP_FULL && SSE_LMDB_IS_OLD(k->state.version)) {
        /* There is no room for the upgrade. */
        check->result = SSE_CHECK_VERSION;
    }
    return rc;
}

/* The parent waits less for other processes than for this one. */
static int write_begin(walk_t *k, volatile sse_lmdb_check_t *check,
                       MDB_txn **txn)
{
    int rc;

    check->is_waiting = 1;
    rc = mdb_txn_begin(k->env, NULL, 0, txn);
    check->is_waiting = 0;
    return rc;
}

/* A store of this version, maybe without the databases that may be missing:
 * there is no room for these at present, so a child makes them later. */
static int open_as_it_is(walk_t *k, int why)
{
    int rc, is_room = why == MDB_MAP_FULL || why == ENOSPC || why == EDQUOT ||
                      why == EFBIG || why == EIO;

    if (!is_room || k->state.version != SSE_LMDB_VERSION) {
        return why;
    }
    rc = mdb_txn_begin(k->env, NULL, MDB_RDONLY, &k->txn);
    return rc ? rc : sse_lmdb_txn_end(k->txn, sse_lmdb_dbs_find(k->txn, k->db));
}

/* What takes the writer lock. */
static int begin(walk_t *k, volatile sse_lmdb_check_t *check)
{
    int word, rc = write_begin(k, check, &k->txn);

    if (rc) {
        return rc;
    }
    word = sse_lmdb_lock_find(k->lock);
    rc = fill_up(k);
    rc = sse_lmdb_txn_end(k->txn, rc ? rc : open_dbs(k, check));
    if (rc) {
        return open_as_it_is(k, rc);
    }
    sse_lmdb_lock_found(k->lock, word);
    check->lock = sse_lmdb_lock_place();
    return 0;
}

/* A snapshot, taken while no other process writes: sse_lmdb_read_begin() says
 * what it could be otherwise. */
static int walk_begin(walk_t *k, volatile sse_lmdb_check_t *check)
{
    MDB_txn *lock;
    int rc = write_begin(k, check, &lock);

    if (!rc) {
        rc = mdb_txn_begin(k->env, NULL, MDB_RDONLY, &k->txn);
        mdb_txn_abort(lock);
    }
    return rc;
}

static int check_env(walk_t *k, volatile sse_lmdb_check_t *check)
{
    char name[64];
    int rc, booted;

    if ((rc = begin(k, check)) || (rc = walk_begin(k, check))) {
        return rc;
    }
    sse_lmdb_boot_name(name);
    booted = boot_is_new(k, name);
    k->all |= booted;
    check->is_long |= k->all;
    rc = walk(k, check);
    mdb_txn_abort(k->txn);
    if (!rc && booted) {
        rc = boot_note(k, name);
        /* No reason to fail: the next start checks all of it again. */
        rc = is_damage(rc) ? rc : 0;
    }
    return rc;
}

void sse_lmdb_check(const sse_lmdb_conf_t *conf,
                    volatile sse_lmdb_check_t *check)
{
    walk_t k;
    int rc;

    memset(&k, 0, sizeof(k));
    rc = sse_lmdb_env_open(&k.env, conf, SSE_LMDB_PATIENCE, &k.lock);
    if (!rc) {
        rc = check_env(&k, check);
        mdb_env_close(k.env);
        sse_lmdb_lock_unmap(k.lock);
    }
    check->rc = rc;
    if (check->result == SSE_CHECK_UNDONE) {
        check->result = !rc             ? SSE_CHECK_SOUND
                        : is_damage(rc) ? SSE_CHECK_DAMAGED
                                        : SSE_CHECK_FAILED;
    }
}
