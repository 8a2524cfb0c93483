/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Live streams whose clients read more slowly than events come: they fall
 * behind, read on from the store, and are live again.  Each event comes once
 * and in order, wherever that happens, or a gap is told. */

#include "clock.h"
#include "hub.h"

static const sse_history_t keep_two = {2, 0, 0};

static void delete_it(const char *channel)
{
    sse_id_t id;

    is_num(sse_store_forget(store, text(channel), &id), APR_SUCCESS,
           "it is deleted");
}

static void add_channel(sse_stream_t *stream, const char *channel)
{
    is_num(sse_subscription_change(stream, text(channel), 1), APR_SUCCESS,
           "a channel is added");
}

/* More of another channel's events than anybody reads through. */
static void publish_many(const char *channel)
{
    static sse_append_t items[4200];
    int i;

    for (i = 0; i < 4200; ++i) {
        items[i] = item(channel, "many", NULL, &keep_all);
    }
    is_num(sse_store_append(store, items, 4200), APR_SUCCESS, "many more");
}

/* Live, with room for so many events that wait. */
static void go_live(sse_stream_t *stream, const char *channels, int room)
{
    subscribe(stream, channels, last_of(store) - origin);
    stream->room = room;
}

static void publish_some(const char *channel, int n,
                         const sse_history_t *history)
{
    for (; n > 0; --n) {
        publish(store, channel, "x", history);
    }
}

/* -- Each moment ----------------------------------------------------------- */

static void test_behind(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("behind");
    go_live(&stream, "a", 2);
    sub = stream.sub;
    publish_some("a", 5, &keep_all);
    ring();
    has(&stream, "1=x 2=x ", "what its queue has room for");
    publish_some("a", 1, &keep_all);
    ring();
    has(&stream, "", "and nothing more");
    drain_once(&stream);
    has(&stream, "3=x 4=x 5=x 6=x ", "then a piece from the store");
    publish_some("a", 1, &keep_all);
    ring();
    has(&stream, "", "it is live again, and its queue is full");
    drain(&stream);
    has(&stream, "7=x ", "which waited in the store");
    publish_some("a", 2, &keep_all);
    ring();
    has(&stream, "8=x 9=x ", "live");
    drain(&stream);
    finish(&stream, sub);
    end();
}

/* Two channels, one of which is deleted meanwhile: before, at, and after the
 * event for which there is no room. */
static void test_ended(int before)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin(apr_psprintf(test_pool(), "ended-%d", before));
    go_live(&stream, "ab", 2);
    sub = stream.sub;
    publish_some("a", before, &keep_all);
    delete_it("a");
    publish_some("b", 4 - before, &keep_all);
    publish(store, "a", "again", &keep_all);
    ring();
    if (before <= 2) {
        drain(&stream);
        has(&stream,
            before == 0   ? "2=x 3=x 4=x 5=x "
            : before == 1 ? "1=x 3=x 4=x 5=x "
                          : "1=x 2=x 4=x 5=x ",
            "what came before its channel's end, and nothing after");
    }
    else {
        has(&stream, "1=x 2=x 2= end", "it is behind at its channel's end");
        sub = come_again(&stream, sub, "ab");
        drain(&stream);
        has(&stream,
            before == 3 ? "gap(2,5) 5=x 6=again " : "gap(2,6) 6=again ",
            "a gap, and what there is");
    }
    publish_some("b", 1, &keep_all);
    ring();
    has(&stream, "7=x ", "the other channel goes on");
    finish(&stream, sub);
    end();
}

/* Its only one: the stream ends. */
static void test_ended_last(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("last");
    go_live(&stream, "a", 1);
    sub = stream.sub;
    publish_some("a", 3, &keep_all);
    delete_it("a");
    publish(store, "a", "again", &keep_all);
    ring();
    has(&stream, "1=x 1= end", "last: it ends");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "gap(1,5) 5=again ", "last: then a gap");
    finish(&stream, sub);
    end();
}

/* The end comes first in that turn, and the other channel's event finds no
 * room: it has read up to the end all the same. */
static void test_ended_same_turn(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("turn");
    go_live(&stream, "ab", 1);
    sub = stream.sub;
    publish_some("b", 1, &keep_all);
    delete_it("a");
    publish_some("b", 1, &keep_all);
    ring();
    delete_it("b");
    ring();
    has(&stream, "1=x 2= end", "one event, and its end");
    sub = come_again(&stream, sub, "ab");
    drain(&stream);
    has(&stream, "gap(2,0) ", "turn: then a gap");
    finish(&stream, sub);
    end();
}

static void test_added(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("added");
    go_live(&stream, "a", 1);
    sub = stream.sub;
    publish_some("a", 2, &keep_all);
    ring();
    publish_some("b", 1, &keep_all); /* before it was added */
    add_channel(&stream, "b");
    publish_some("b", 1, &keep_all);
    publish_some("a", 1, &keep_all);
    ring();
    drain(&stream);
    has(&stream, "1=x 2=x 4=x 5=x ", "a channel that is added while behind");
    publish_some("b", 1, &keep_all);
    ring();
    has(&stream, "6=x ", "and then live");
    finish(&stream, sub);
    end();
}

/* Its history has given up what it needs, and the log has it still; then that
 * has not, either. */
static void test_lost(void)
{
    sse_stream_t stream, late;
    sse_subscription_t *sub, *sub_late;

    begin("lost");
    go_live(&stream, "a", 1);
    go_live(&late, "a", 1);
    sub = stream.sub;
    sub_late = late.sub;
    publish_some("a", 4, &keep_two);
    publish_many("c");
    publish_some("a", 1, &keep_two);
    ring();
    drain(&stream);
    has(&stream, "1=x 2=x 3=x 4=x 4205=x ", "the log has what was evicted");
    forget_old();
    drain(&late);
    has(&late, "1=x gap(1,4) 4=x 4205=x ",
        "then it has not, and a gap is told");
    publish_some("a", 1, &keep_none);
    ring();
    has(&stream, "4206=x ", "live");
    has(&late, "4206=x ", "both");
    finish(&stream, sub);
    finish(&late, sub_late);
    end();
}

/* Nothing is kept, and the log is all there is. */
static void test_no_history(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("none");
    go_live(&stream, "a", 1);
    sub = stream.sub;
    publish_some("a", 2, &keep_none);
    publish_many("c");
    publish_some("a", 2, &keep_none);
    ring();
    drain(&stream);
    has(&stream, "1=x 2=x 4203=x 4204=x ", "none: all of it");
    publish_some("a", 3, &keep_none);
    ring();
    forget_old();
    drain(&stream);
    has(&stream, "4205=x gap(4205,0) ", "none: or a gap");
    finish(&stream, sub);
    end();
}

/* An earlier copy of the store is put back while it is behind: see
 * test_hub_earlier.c for what that is. */

/* -- Leaving out what is old ----------------------------------------------- */

#define OLD_USEC apr_time_from_sec(400)

static void test_drop(void)
{
    sse_stream_t stream, resumed;
    sse_subscription_t *sub, *sub_resumed;

    begin("drop");
    test_by_clock(store);
    go_live(&stream, "a", 1);
    sub = stream.sub;
    stream.opts.queue_drop = 1;
    stream.opts.queue_time = OLD_USEC;
    publish_some("a", 3, &keep_all);
    ring();
    drain(&stream);
    has(&stream, "1=x 2=x 3=x ", "drop: a burst is not old");
    publish_some("a", 4, &keep_all);
    ring();
    has(&stream, "4=x ", "drop: it falls behind");
    step += OLD_USEC + OLD_USEC / 4;
    publish(store, "a", "new", &keep_all);
    ring();
    drain(&stream);
    has(&stream, "gap(4,8) 8=new ",
        "drop: what has waited too long is left out");
    publish_some("a", 4, &keep_all);
    ring();
    has(&stream, "9=x ", "drop: live again");
    step += OLD_USEC + OLD_USEC / 4;
    drain(&stream);
    has(&stream, "gap(9,1) ", "drop: a gap that no event follows");

    attach(&resumed, ask("a", 0));
    sub_resumed = resumed.sub;
    resumed.opts = stream.opts;
    drain(&resumed);
    has(&resumed, "1=x 2=x 3=x 4=x 5=x 6=x 7=x 8=new 9=x 10=x 11=x 12=x ",
        "drop: who resumes has all, however old");
    stream.opts.queue_time = 0;
    publish_some("a", 3, &keep_all);
    ring();
    step += OLD_USEC;
    drain(&stream);
    has(&stream, "13=x 14=x 15=x ", "drop: with no limit all is sent");
    finish(&stream, sub);
    finish(&resumed, sub_resumed);
    step = 0;
    end();
}

/* -- At random ------------------------------------------------------------- */

#define STREAMS  6
#define CHANNELS 3
#define EVENTS   6000

static struct {
    int channel; /* of the event of that number, from the origin; -1: an end */
    int ended;
} log_of[2 * EVENTS + 2];

typedef struct {
    sse_stream_t stream;
    sse_subscription_t *sub;
    char names[CHANNELS + 1];
    sse_id_t since[CHANNELS]; /* events of the channel after it are its */
    sse_id_t ended[CHANNELS]; /* up to here; 0: for ever */
    sse_id_t had[CHANNELS];   /* the last that came */
    int wrong, events, gaps, ends;
} model_t;

static model_t models[STREAMS];
static sse_id_t deleted[CHANNELS]; /* the last time */
static int is_all_kept;
static unsigned int seed = 4711;

static sse_id_t later(sse_id_t a, sse_id_t b) { return a > b ? a : b; }

static int roll(int n) { return rand_r(&seed) % n; }

static const char *name_of(int channel)
{
    static const char *const names[] = {"a", "b", "c"};

    return names[channel];
}

static int is_for(const model_t *m, sse_id_t id)
{
    int c = log_of[id].channel;

    return c >= 0 && id > m->since[c] && (!m->ended[c] || id < m->ended[c]);
}

/* The next event of that channel that is for it. */
static sse_id_t next_of(const model_t *m, int c, sse_id_t id)
{
    sse_id_t last = last_of(store) - origin;

    for (++id; id <= last; ++id) {
        if (log_of[id].channel == c && is_for(m, id)) {
            return id;
        }
    }
    return 0;
}

static void check(model_t *m, sse_id_t id)
{
    int c = log_of[id].channel;
    sse_id_t want;

    if (c < 0 || !is_for(m, id) || id <= m->had[c]) {
        ++m->wrong; /* not for it, or twice, or out of order */
        return;
    }
    want = next_of(m, c, later(m->had[c], m->since[c]));
    m->wrong += want != id && (is_all_kept || !m->gaps);
    m->had[c] = id;
    ++m->events;
}

/* What the stream was given since the last time. */
static void read_text(model_t *m)
{
    char *word, *rest = m->stream.text;
    unsigned int id;
    char data[16];

    while ((word = strsep(&rest, " ")) != NULL) {
        if (!strncmp(word, "gap", 3)) {
            ++m->gaps;
        }
        else if (sscanf(word, "%u=%15s", &id, data) == 2) {
            check(m, id);
        }
    }
    m->stream.text[0] = 0;
}

/* Its stream has ended: its client comes again for all its channels, and gets
 * what is kept of them, having all up to its last id. */
static void come_back(model_t *m)
{
    sse_id_t id = m->stream.last_id, next;
    int c, room = m->stream.room;

    ++m->ends;
    for (c = 0; c < CHANNELS; ++c) {
        if (strchr(m->names, *name_of(c))) {
            next = next_of(m, c, later(m->had[c], m->since[c]));
            m->wrong += next && next <= id && (is_all_kept || !m->gaps);
            m->since[c] = later(later(m->since[c], id), deleted[c]);
            m->ended[c] = 0;
        }
    }
    m->sub = come_again(&m->stream, m->sub, m->names);
    m->stream.room = room;
}

static void look_at(model_t *m)
{
    read_text(m);
    if (!m->stream.sub) {
        come_back(m);
        read_text(m);
    }
}

static void publish_one(int channel, const sse_history_t *history)
{
    if (roll(8)) {
        publish(store, name_of(channel), "x", history);
    }
    else {
        publish_big(name_of(channel), "x", history);
    }
    log_of[last_of(store) - origin].channel = channel;
}

static void delete_one(int channel)
{
    sse_id_t id = 0;
    int i;

    sse_store_forget(store, text(name_of(channel)), &id);
    id = last_of(store) - origin;
    log_of[id].channel = -1;
    deleted[channel] = id;
    for (i = 0; i < STREAMS; ++i) {
        if (!models[i].ended[channel] && models[i].since[channel] < id) {
            models[i].ended[channel] = id;
        }
    }
}

static void open_model(model_t *m, int channels)
{
    char *end = m->names;
    int c;

    memset(m, 0, sizeof(*m));
    for (c = 0; c < CHANNELS; ++c) {
        m->since[c] = ~(sse_id_t)0;
        if (channels & (1 << c)) {
            *end++ = *name_of(c);
            m->since[c] = last_of(store) - origin;
        }
    }
    go_live(&m->stream, m->names, 1 + roll(4));
    m->sub = m->stream.sub;
}

static void drain_some(void)
{
    model_t *m = &models[roll(STREAMS)];
    int n = 1 + roll(3);

    while (n-- > 0) {
        drain_once(&m->stream);
        run_tasks();
        look_at(m);
    }
}

/* @param deletes one in so many events is a channel's end; 0: none */
static void run_random(const char *name, const sse_history_t *history,
                       int deletes)
{
    int i, n, wrong = 0, missing = 0, gaps = 0, events = 0, ends = 0, c;

    begin(name);
    memset(deleted, 0, sizeof(deleted));
    is_all_kept = history == &keep_all;
    for (i = 0; i < STREAMS; ++i) {
        open_model(&models[i], i ? 1 + roll(7) : 7);
    }
    for (n = 0; n < EVENTS; ++n) {
        if (deletes && !roll(deletes)) {
            delete_one(roll(CHANNELS));
        }
        publish_one(roll(CHANNELS), history);
        if (!roll(4)) {
            ring();
        }
        if (!roll(6)) {
            drain_some();
        }
    }
    for (i = 0; i < STREAMS; ++i) {
        model_t *m = &models[i];

        for (n = 0; n < 20000; ++n) {
            ring();
            drain_once(&m->stream);
            if (m->stream.sub && !m->stream.text[0] && !m->stream.is_poked &&
                STAILQ_EMPTY(&tasks)) {
                break;
            }
            look_at(m);
        }
        for (c = 0; c < CHANNELS; ++c) {
            missing += next_of(m, c, later(m->had[c], m->since[c])) != 0;
        }
        wrong += m->wrong;
        gaps += m->gaps;
        ends += m->ends;
        events += m->events;
        finish(&m->stream, m->sub);
    }
    printf("# %s: %d events to %d streams, which ended %d times, and were told "
           "of %d gaps\n",
           name, events, STREAMS, ends, gaps);
    is_num(wrong, 0, "none twice, out of order or missing amid others");
    is_num(missing, 0, "none missing at the end");
    ok(gaps <= ends || (ends && !is_all_kept),
       "no gap, unless a stream has ended and come again");
    end();
}

int main(void)
{
    int i;

    test_begin();
    test_behind();
    for (i = 0; i <= 4; ++i) {
        test_ended(i);
    }
    test_ended_last();
    test_ended_same_turn();
    test_added();
    test_lost();
    test_no_history();
    test_drop();
    run_random("random", &keep_all, 0);
    run_random("random-deletes", &keep_all, 400);
    run_random("random-none", &keep_none, 0);
    run_random("random-two", &keep_two, 400);
    return test_end();
}
