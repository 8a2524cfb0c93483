/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Who is on a channel: joining, leaving, coming back within the grace, exact
 * counts, and what is found when the store is looked through. */

#include "clock.h"
#include "presence.h"

static void test_join_and_leave(apr_pool_t *pool)
{
    sse_store_t *store = test_store("plain", "16m", pool);

    is_str(who(store, "c"), "", "nobody is there");
    says(did(store, joins("c", "s1", "ann", "+s1")), "changed 1 1",
         "the first joins");
    says(did(store, joins("c", "s1", "ann", "+again")), "nothing 1 1",
         "who is there does not join");
    says(did(store, joins("c", "s2", "ann", "+s2")), "changed 2 1",
         "another stream of the same user");
    says(did(store, joins("c", "s3", "", "+s3")), "changed 3 1",
         "a stream of no user");
    says(did(store, joins("c", "s4", "bob", "+s4")), "changed 4 2",
         "another user");
    says(did(store, joins("d", "s1", "ann", NULL)), "changed 1 1",
         "another channel, without an event");
    is_str(who(store, "c"), "s1/s1=ann s2/s2=ann s3/s3= s4/s4=bob ",
           "in the order in which they came");
    is_str(events(store), "+s1 +s2 +s3 +s4 ", "an event for each change");
    says(did(store, leaves("c", "s9", 0, "-s9")), "nothing 4 2",
         "who is not there does not leave");
    says(did(store, leaves("e", "s1", 0, "-e")), "nothing 0 0",
         "nor from where nobody is");
    says(did(store, leaves("c", "s1", 0, "-s1")), "changed 3 2",
         "one of the user's streams leaves");
    says(did(store, leaves("c", "s1", 0, "-s1")), "nothing 3 2", "only once");
    says(did(store, leaves("c", "s2", 0, "-s2")), "changed 2 1",
         "the user's last one");
    is_str(check(store), "sound", "all is where it should be");
    says(did(store, leaves("c", "s4", 0, "-s4")), "changed 1 0", "and so on");
    says(did(store, leaves("c", "s3", 0, "-s3")), "changed 0 0", "the last");
    is_str(who(store, "c"), "", "nobody is left");
    is_str(who(store, "d"), "s1/s1=ann ", "but on the other channel");
    is_str(events(store), "+s1 +s2 +s3 +s4 -s1 -s2 -s4 -s3 ",
           "each was told once");
    says(did(store, joins("c", "s1", "ann", NULL)), "changed 1 1",
         "who comes now is the first again");
    is_str(check(store), "sound", "all is where it should be");
}

/* What a JOIN gave is given back. */
static apr_status_t check_parts(void *baton, const sse_presence_member_t *m)
{
    int *right = baton;

    *right = m->channel.len == 3 && !memcmp(m->channel.ptr, "n\0c", 3) &&
             m->person.len == 600 && m->person.ptr[599] == 'p' &&
             m->user.len == 600 && m->user.ptr[599] == 'u' &&
             m->owner.len == 48 && m->owner.ptr[0] == 'o' &&
             m->text.len == 65535 && m->text.ptr[65534] == 't' &&
             m->name.len == 255 && m->stream.len == 255 && m->since == 12345 &&
             !m->due;
    return APR_EINTR;
}

static void test_parts(apr_pool_t *pool)
{
    static char p[600], u[600], o[48], t[65536], s[256];
    sse_store_t *store = test_store("parts", "16m", pool);
    sse_presence_t c = joins("c", "s", NULL, NULL);
    apr_uint64_t streams, users;
    int right = 0;
    sse_id_t last;

    memset(p, 'p', sizeof(p));
    memset(u, 'u', sizeof(u));
    memset(o, 'o', sizeof(o));
    memset(t, 't', sizeof(t));
    memset(s, 's', sizeof(s));
    c.channel = (sse_slice_t){"n\0c", 3};
    c.stream = (sse_slice_t){s, 255};
    c.person = (sse_slice_t){p, 600};
    c.user = (sse_slice_t){u, 600};
    c.owner = (sse_slice_t){o, 48};
    c.text = (sse_slice_t){t, 65535};
    c.since = 12345;
    says(did(store, c), "changed 1 1", "as large as may be");
    is_num(sse_store_presence_list(store, c.channel, 9, check_parts, &right,
                                   &last, &streams, &users),
           APR_EINTR, "the callback ends the list");
    ok(right && streams == 1 && users == 1, "all is given back");
    is_str(check(store), "sound", "and sound");
    c.text.len++;
    says(did(store, c), apr_psprintf(pool, "error %d", APR_EINVAL),
         "a text that is too long");
    c.text.len = 0;
    c.stream.len++;
    says(did(store, c), apr_psprintf(pool, "error %d", APR_EINVAL),
         "a stream's id that is");
    c.stream.len = 1;
    c.owner.len = 0;
    says(did(store, c), apr_psprintf(pool, "error %d", APR_EINVAL), "no owner");
    is_num(sse_store_presence_list(store, c.channel, 0, check_parts, &right,
                                   &last, &streams, &users),
           APR_SUCCESS, "the counts alone");
    is_num(streams, 1, "nothing came of what was refused");
}

static void test_grace(apr_pool_t *pool)
{
    sse_store_t *store = test_store("grace", "16m", pool);
    sse_presence_t c = joins("c", "s5", "ann", "+s5");

    did(store, joins("c", "s1", "ann", "+s1"));
    did(store, joins("c", "s2", "bob", "+s2"));
    says(did(store, leaves("c", "s1", GRACE, "-s1")), "waits 2 2",
         "who leaves with grace is counted");
    is_str(who(store, "c"), "s1/s1=ann? s2/s2=bob ", "and listed");
    is_str(events(store), "+s1 +s2 ", "and nobody is told");
    says(did(store, leaves("c", "s1", GRACE, "-x")), "nothing 2 2",
         "nobody leaves twice");
    says(did(store, leaves("c", "s1", 0, "-x")), "nothing 2 2",
         "not even at once");
    is_str(check(store), "sound", "sound with one who waits");
    is_str(whose(store, "child", 9), "s2/s2=bob ", "it is no child's");
    says(did(store, change(SSE_PRESENCE_EXPIRE, "c", "s1", NULL)),
         "nothing 2 2", "it is not due");
    is_str(who_is_due(store, 0, 9), "", "nobody is");
    is_str(who_is_due(store, GRACE, 9), "s1/s1=ann? ", "but later");
    c.owner = text("second");
    says(did(store, c), "returned 2 2", "the same person comes");
    is_str(who(store, "c"), "s1/s5=ann s2/s2=bob ", "and has its place");
    is_str(whose(store, "second", 9), "s1/s5=ann ", "on another child");
    says(did(store, change(SSE_PRESENCE_EXPIRE, "c", "s1", NULL)),
         "nothing 2 2", "who has returned does not expire");
    is_str(who_is_due(store, 2 * GRACE, 9), "", "nor is it due");
    says(did(store, joins("c", "s6", "ann", "+s6")), "changed 3 2",
         "one more of that person joins");
    is_str(check(store), "sound", "sound again");
    says(did(store, leaves("c", "s1", 0, "-x")), "nothing 3 2",
         "the stream that was is not there");
    says(did(store, leaves("c", "s5", 0, "-s5")), "changed 2 2",
         "the one that came is");
    is_str(events(store), "+s1 +s2 +s6 -s5 ", "who returns is not told of");
}

static void test_expire(apr_pool_t *pool)
{
    static const sse_history_t two = {2, 0, 0};
    sse_store_t *store = test_store("expire", "16m", pool);
    sse_append_t kept = item("told", "-s1", "key", &two);
    sse_presence_t c = leaves("c", "s1", 1000, NULL);
    seen_t seen = {{0}, 0, 0, 0, 0, 0};
    sse_slice_t key = text("told");
    sse_id_t next;
    int gap;

    kept.fields.event = text("leave");
    kept.fields.retry = 77;
    c.event = &kept;
    did(store, joins("c", "s1", "ann", "+s1"));
    did(store, joins("c", "s2", "bob", "+s2"));
    did(store, joins("c", "s3", "", "+s3"));
    says(did(store, c), "waits 3 2", "one waits");
    says(did(store, leaves("c", "s2", 1000, "-s2")), "waits 3 2", "two wait");
    says(did(store, leaves("c", "s3", 1000, NULL)), "waits 3 2", "and all");
    is_str(check(store), "sound", "sound");
    says(expired(store, "c", "s1", NULL), "changed 2 1", "the first is gone");
    is_str(events(store), "+s3 -s1 ", "with its event, and its history");
    ok(publish(store, "told", "x", &keep_all), "an event");
    says(expired(store, "c", "s2", "-now"), "changed 1 0", "the next");
    is_str(events(store), "+s3 -s1 x -now ", "with the event of its EXPIRE");
    says(expired(store, "c", "s3", NULL), "changed 0 0", "the last");
    is_str(events(store), "+s3 -s1 x -now ", "without any");
    says(did(store, change(SSE_PRESENCE_EXPIRE, "c", "s3", "-y")),
         "nothing 0 0", "once");
    kept.duplicate = 0;
    is_num(sse_store_append(store, &kept, 1), APR_SUCCESS, "the kept one's");
    is_num(kept.duplicate, 1, "idempotency key is known");
    sse_store_history(store, &key, 1, 0, ~(sse_id_t)0, 1 << 20, see, &seen,
                      NULL, &next, &gap);
    is_str(check(store), "sound", "sound at the end");
}

/* The fields of an event that was kept. */
static apr_status_t check_kept(void *baton, const sse_record_t *record)
{
    int *right = baton;

    *right = record->fields.retry == 77 && record->fields.event.len == 5 &&
             !memcmp(record->fields.event.ptr, "leave", 5) &&
             record->fields.data.len == 3;
    return APR_SUCCESS;
}

static void test_kept_event(apr_pool_t *pool)
{
    sse_store_t *store = test_store("kept", "16m", pool);
    sse_append_t kept = item("told", "-s1", NULL, &keep_all);
    sse_presence_t c = leaves("c", "s1", 1000, NULL);
    sse_slice_t key = text("told");
    int right = 0, gap;
    sse_id_t next;

    kept.fields.event = text("leave");
    kept.fields.retry = 77;
    c.event = &kept;
    did(store, joins("c", "s1", "ann", NULL));
    did(store, c);
    says(expired(store, "c", "s1", NULL), "changed 0 0", "it waits no more");
    sse_store_history(store, &key, 1, 0, ~(sse_id_t)0, 1 << 20, check_kept,
                      &right, NULL, &next, &gap);
    ok(right, "its event has all of its fields");
}

/* Several streams of one person wait: each that comes takes one place. */
static void test_several_wait(apr_pool_t *pool)
{
    sse_store_t *store = test_store("several", "16m", pool);
    sse_presence_t c;

    did(store, joins("c", "s1", "ann", NULL));
    did(store, joins("c", "s2", "ann", NULL));
    did(store, joins("c", "s3", "ann", NULL));
    did(store, joins("d", "s1", "ann", NULL));
    did(store, leaves("c", "s2", GRACE, "-s2"));
    did(store, leaves("c", "s1", GRACE, "-s1"));
    did(store, leaves("d", "s1", GRACE, "-d"));
    says(did(store, joins("c", "n1", "ann", "+n1")), "returned 3 1", "one");
    says(did(store, joins("c", "n2", "ann", "+n2")), "returned 3 1", "two");
    says(did(store, joins("c", "n3", "ann", "+n3")), "changed 4 1", "three");
    is_str(who(store, "c"), "s1/n1=ann s2/n2=ann s3/s3=ann n3/n3=ann ",
           "two have come back");
    is_str(who(store, "d"), "s1/s1=ann? ", "the other channel's waits on");
    is_str(check(store), "sound", "sound");

    c = joins("e", "s1", "", NULL);
    c.person = text("192.0.2.1");
    did(store, c);
    did(store, leaves("e", "s1", GRACE, NULL));
    c.user = text("ann");
    c.stream = text("s2");
    says(did(store, c), "changed 2 1", "another user is another one");
    c.user = text("");
    c.stream = text("s3");
    says(did(store, c), "returned 2 1", "the same is the same");
    c.person = text("");
    c.stream = text("s4");
    did(store, c);
    did(store, leaves("e", "s4", GRACE, NULL));
    c.stream = text("s5");
    says(did(store, c), "changed 4 1", "who is nobody returns for nobody");
    c.stream = text("s4");
    says(did(store, c), "returned 4 1", "but a stream does for itself");
    is_str(check(store), "sound", "sound");
}

static void test_batch(apr_pool_t *pool)
{
    sse_store_t *store = test_store("batch", "16m", pool);
    static sse_presence_t c[SSE_STORE_CHANGES_MAX + 1];
    sse_id_t last = last_of(store);
    int i;

    for (i = 0; i <= SSE_STORE_CHANGES_MAX; ++i) {
        c[i] = joins("c", apr_psprintf(pool, "s%d", i / 2),
                     apr_psprintf(pool, "u%d", i / 4), NULL);
        if (i % 2) {
            c[i].what = SSE_PRESENCE_LEAVE;
            c[i].grace = i % 4 == 1 ? GRACE : 0;
        }
        c[i].event = &told;
    }
    told = item("told", "x", NULL, &keep_all);
    is_num(sse_store_presence_change(store, c, SSE_STORE_CHANGES_MAX + 1),
           APR_EINVAL, "too many");
    is_num(sse_store_presence_change(store, c, SSE_STORE_CHANGES_MAX),
           APR_SUCCESS, "as many as may be");
    ok(c[0].outcome == SSE_PRESENCE_CHANGED && c[0].streams == 1 &&
           c[1].outcome == SSE_PRESENCE_WAITS &&
           c[2].outcome == SSE_PRESENCE_RETURNED && c[2].streams == 1 &&
           c[3].outcome == SSE_PRESENCE_CHANGED && c[3].streams == 0 &&
           c[4].outcome == SSE_PRESENCE_CHANGED && c[4].streams == 1,
       "each sees those before it");
    is_num(last_of(store), last + SSE_STORE_CHANGES_MAX / 2,
           "and their events");
    is_str(who(store, "c"), "", "who came has gone");
    is_num(sse_store_presence_change(store, c, 0), APR_SUCCESS, "none at all");

    /* All or none. */
    c[0] = joins("c", "s1", "ann", "+s1");
    c[1] = joins("c", "s2", "ann", NULL);
    c[1].owner.len = 0;
    last = last_of(store);
    is_num(sse_store_presence_change(store, c, 2), APR_EINVAL, "one is wrong");
    is_num(c[0].outcome, SSE_PRESENCE_NOTHING, "nothing came of the others");
    ok(!*who(store, "c") && last_of(store) == last, "none of them");
    is_str(check(store), "sound", "sound");
}

/* -- Children -------------------------------------------------------------- */

static apr_status_t see_owner(void *baton, sse_slice_t owner)
{
    char *words = baton;
    apr_size_t len = strlen(words);

    snprintf(words + len, 4096 - len, "%.*s ", (int)owner.len, owner.ptr);
    return strstr(words, "stop") ? APR_EINTR : APR_SUCCESS;
}

static const char *owners(sse_store_t *store)
{
    static char words[4096];

    *words = '\0';
    return sse_store_presence_owners(store, see_owner, words) ? "error" : words;
}

static void test_owners(apr_pool_t *pool)
{
    static const char *const children[] = {"b", "a", "ab", "b", "a\xff", "b"};
    sse_store_t *store = test_store("owners", "16m", pool);
    char words[4096] = "";
    sse_presence_t c;
    int i;

    is_str(owners(store), "", "no child has members");
    for (i = 0; i < 6; ++i) {
        c = joins(i % 2 ? "c" : "d", apr_psprintf(pool, "s%d", i), "", NULL);
        c.owner = text(children[i]);
        did(store, c);
    }
    is_str(owners(store), "a b ab a\xff ", "each child once");
    is_str(whose(store, "b", 9),
           "s0/s0= s3/s3= s5/s5= ", "a child's members on all channels");
    is_str(whose(store, "b", 2), "s0/s0= s3/s3= ", "some of them");
    is_str(whose(store, "a", 9), "s1/s1= ", "and no other's");
    is_str(whose(store, "aa", 9), "", "who has none");
    is_str(whose(store, "b", 0), "", "none are asked for");
    did(store, leaves("d", "s0", GRACE, NULL));
    did(store, leaves("c", "s1", 0, NULL));
    is_str(owners(store), "b ab a\xff ", "a child whose last one has left");
    c = joins("d", "s9", "", NULL);
    c.owner = text("stop");
    did(store, c);
    is_num(sse_store_presence_owners(store, see_owner, words), APR_EINTR,
           "the callback ends it");
    is_str(check(store), "sound", "sound");
}

/* Of a child that was killed: in pieces, as the next child takes them out. */
typedef struct {
    sse_presence_t *changes;
    apr_pool_t *pool;
    int n;
} piece_t;

static apr_status_t take(void *baton, const sse_presence_member_t *member)
{
    piece_t *piece = baton;

    sse_presence_t *to = &piece->changes[piece->n++];

    *to = leaves(
        apr_pstrmemdup(piece->pool, member->channel.ptr, member->channel.len),
        apr_pstrmemdup(piece->pool, member->stream.ptr, member->stream.len),
        piece->n % 2 ? GRACE : 0, "-");
    return APR_SUCCESS;
}

static void test_pieces(apr_pool_t *pool)
{
    sse_store_t *store = test_store("pieces", "16m", pool);
    sse_presence_t changes[100];
    piece_t piece = {changes, pool, 0};
    int i, pieces = 0, taken = 0;

    for (i = 0; i < 950; ++i) {
        did(store, joins(i % 3 ? "c" : "d", apr_psprintf(pool, "s%d", i),
                         i % 2 ? "ann" : "bob", NULL));
    }
    do {
        piece.n = 0;
        sse_store_presence_of(store, text("child"), 100, take, &piece);
        if (piece.n && sse_store_presence_change(store, changes, piece.n)) {
            break;
        }
        taken += piece.n;
    } while (piece.n && ++pieces < 100);
    is_num(pieces, 10, "in pieces of a hundred");
    is_num(taken, 950, "all of them");
    is_str(owners(store), "", "the child has none left");
    is_str(check(store), "sound", "sound");
}

/* -- Time ------------------------------------------------------------------ */

/* The machine's clock is set; the grace passes as time does. */
static void test_clock(apr_pool_t *pool)
{
    static const apr_interval_time_t day = APR_TIME_C(86400000000);
    sse_store_t *store = test_store("clock", "16m", pool);

    did(store, joins("c", "s1", "ann", NULL));
    did(store, leaves("c", "s1", GRACE, NULL));
    step = day;
    is_str(who_is_due(store, 0, 9), "", "the clock is set ahead: not due");
    says(did(store, change(SSE_PRESENCE_EXPIRE, "c", "s1", NULL)),
         "nothing 1 1", "nor does it expire");
    is_str(who_is_due(store, GRACE, 9), "s1/s1=ann? ", "in an hour it is");
    step = -day;
    is_str(who_is_due(store, GRACE, 9), "s1/s1=ann? ",
           "the clock is set back: the same");
    is_str(who_is_due(store, GRACE - apr_time_from_sec(60), 9), "",
           "and not before");
    did(store, joins("c", "s2", "bob", NULL));
    did(store, leaves("c", "s2", 1000, NULL));
    says(expired(store, "c", "s2", NULL), "changed 1 1",
         "a short grace is over soon");
    step = 0;
}

static apr_status_t see_due(void *baton, const sse_presence_member_t *member)
{
    *(apr_time_t *)baton = member->due;
    return APR_SUCCESS;
}

/* The time that a member has left is told by the machine's clock. */
static void test_due(apr_pool_t *pool)
{
    sse_store_t *store = test_store("due", "16m", pool);
    sse_presence_t c = leaves("c", "s1", APR_INT64_MAX, NULL);
    apr_uint64_t streams, users;
    apr_time_t due = 0, before;
    sse_id_t last;

    did(store, joins("c", "s1", "ann", NULL));
    step = apr_time_from_sec(1000000);
    before = apr_time_now();
    did(store, leaves("c", "s1", GRACE, NULL));
    sse_store_presence_list(store, text("c"), 1, see_due, &due, &last, &streams,
                            &users);
    ok(due >= before + GRACE - apr_time_from_sec(1) &&
           due <= apr_time_now() + GRACE + apr_time_from_sec(1),
       "as the clock is set now");
    step = 0;
    did(store, joins("c", "s2", "ann", NULL));
    c.stream = text("s2");
    says(did(store, c), "waits 1 1", "one that waits for ever");
    is_str(who_is_due(store, 100 * GRACE, 9), "", "is never due");
    due = 0;
    is_num(sse_store_presence_due(store, APR_INT64_MAX, 1, see_due, &due),
           APR_SUCCESS, "whoever is the next, at any time");
    ok(due > apr_time_now() + 100 * GRACE, "is it, and not before long");
    did(store, joins("c", "s3", "bob", NULL));
    did(store, leaves("c", "s3", GRACE, NULL));
    sse_store_presence_due(store, APR_INT64_MAX, 1, see_due, &due);
    ok(due > apr_time_now() && due <= apr_time_now() + GRACE,
       "but who is due before it");
    is_str(check(store), "sound", "sound");
}

/* -- Other parts of the store ---------------------------------------------- */

static void test_forget(apr_pool_t *pool)
{
    sse_store_t *store = test_store("forget", "16m", pool);
    sse_id_t id;

    did(store, joins("c", "s1", "ann", NULL));
    publish(store, "c", "x", &keep_none);
    is_num(sse_store_forget(store, text("c"), &id), APR_SUCCESS,
           "the channel is deleted");
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
    tidy_all(store, apr_time_now() + 4 * SSE_STORE_LINGER);
    is_str(who(store, "c"), "s1/s1=ann ", "its members stay");
    says(did(store, leaves("c", "s1", 0, NULL)), "changed 0 0",
         "until they leave");
    is_str(check(store), "sound", "sound");
}

int main(void)
{
    static void (*const tests[])(apr_pool_t *) = {
        test_join_and_leave, test_parts,        test_grace, test_expire,
        test_kept_event,     test_several_wait, test_batch, test_owners,
        test_pieces,         test_clock,        test_due,   test_forget};
    apr_size_t i;

    test_begin();
    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); ++i) {
        apr_pool_t *pool = test_pool();

        tests[i](pool);
        apr_pool_destroy(pool);
    }
    return test_end();
}
