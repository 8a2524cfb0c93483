/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Streams of several formats in one hub: each event is formatted once for each
 * format, and each stream gets its own.  The second one is a list whose ids
 * have the channel in them. */

#include "hub.h"

static int made; /* events, in the list's format */

static sse_buf_t *list_event(const sse_record_t *record)
{
    const sse_slice_t *channel = &record->channel, *data = &record->fields.data;
    char text[BIG + 64];
    sse_buf_t *buf;

    ++made;
    buf = sse_buf_event(
        record,
        (apr_size_t)snprintf(text, sizeof(text), "{\"%d%.*s\":\"%.*s\"},",
                             (int)(record->id - origin), (int)channel->len,
                             channel->ptr, (int)data->len, data->ptr));
    memcpy(buf->data, text, buf->len);
    return buf;
}

static sse_buf_t *list_gap(const sse_gap_t *gap)
{
    return sse_buf_text("{\"gap\":true},");
}

static const sse_format_t list = {.event = list_event, .gap = list_gap};

static void subscribe_list(sse_stream_t *stream, const char *channels,
                           sse_id_t after)
{
    memset(stream, 0, sizeof(*stream));
    stream->format = &list;
    stream->sub = ask(channels, after);
    sse_subscription_source.on_attached(stream, stream->sub);
}

static void test_both(void)
{
    sse_stream_t one, two, lists[3];
    sse_subscription_t *subs[5];
    int i;

    begin("formats");
    made = 0;
    subscribe_list(&lists[0], "a", 0);
    subscribe(&one, "a", 0);
    subscribe_list(&lists[1], "ab", 0);
    subscribe(&two, "ab", 0);
    publish(store, "a", "x", &keep_all);
    publish(store, "b", "y", &keep_all);
    ring();
    has(&one, "1=x ", "a stream of events");
    has(&two, "1=x 2=y ", "and another one");
    has(&lists[0], "{\"1a\":\"x\"},", "a list of the same events");
    has(&lists[1], "{\"1a\":\"x\"},{\"2b\":\"y\"},", "and another list");
    is_num(made, 2, "each event was formatted once for all lists");

    subscribe_list(&lists[2], "ab", 0);
    has(&lists[2], "{\"1a\":\"x\"},{\"2b\":\"y\"},", "one that comes later");
    is_num(made, 2, "has what was formatted before");
    sse_formats_clear(&hub->formats);
    drain(&lists[2]);
    publish(store, "b", "z", &keep_all);
    ring();
    has(&two, "3=z ", "what is kept may go at any time");
    has(&lists[2], "{\"3b\":\"z\"},", "for both");
    subs[0] = one.sub;
    subs[1] = two.sub;
    for (i = 0; i < 3; ++i) {
        subs[i + 2] = lists[i].sub;
    }
    finish(&one, subs[0]);
    finish(&two, subs[1]);
    for (i = 0; i < 3; ++i) {
        finish(&lists[i], subs[i + 2]);
    }
    end();
}

/* More than all that is kept: still once. */
static void test_large(void)
{
    sse_record_t record = {.id = 1, .fields = SSE_FIELDS_NONE};
    char *data = calloc(1, 5 * 1024 * 1024);
    sse_buf_t *bufs[4];
    int i;

    begin("large");
    record.fields.data.ptr = data;
    record.fields.data.len = 5 * 1024 * 1024;
    for (i = 0; i < 4; ++i) {
        bufs[i] = sse_formats_get(&hub->formats,
                                  i % 2 ? &list : &sse_format_sse, &record);
    }
    ok(bufs[0] == bufs[2] && bufs[1] == bufs[3] && bufs[0] != bufs[1],
       "an event of more bytes than are kept is formatted once, too");
    for (i = 0; i < 4; ++i) {
        sse_buf_release(bufs[i]);
    }
    record.id = 2;
    record.fields.data.len = 1;
    sse_buf_release(sse_formats_get(&hub->formats, &sse_format_sse, &record));
    record.id = 1;
    bufs[0] = sse_formats_get(&hub->formats, &sse_format_sse, &record);
    is_num(bufs[0]->len, 15, "and goes when another one comes");
    sse_buf_release(bufs[0]);
    free(data);
    end();
}

/* When an event was appended, by its time in the store.
 * @return us since then; -1: not known */
static long long age_of(sse_formats_t *formats, apr_time_t time)
{
    static sse_id_t id;
    sse_record_t record = {.id = ++id, .time = time, .fields = SSE_FIELDS_NONE};
    sse_buf_t *buf = sse_formats_get(formats, &sse_format_sse, &record);
    apr_uint64_t now = uv_hrtime();
    long long age = (long long)(now - buf->appended) / 1000;

    if (!buf->appended) {
        age = -1;
    }
    sse_buf_release(buf);
    return age;
}

static void test_time(void)
{
    sse_formats_t formats = {.knows_time = 0};
    apr_time_t now = apr_time_from_sec(1000000);

    is_num(age_of(&formats, now), -1, "times mean nothing at first");
    sse_formats_set_time(&formats, now);
    is_num(age_of(&formats, now), 0, "appended now");
    is_num(age_of(&formats, now - 700), 700, "and before");
    is_num(age_of(&formats, now + 5000), 0, "nothing is from the future");
    is_num(age_of(&formats, now - apr_time_from_sec(9)), -1,
           "what is from before the machine's start has no such time");
    sse_formats_set_time(&formats, now - apr_time_from_sec(500));
    is_num(age_of(&formats, now - apr_time_from_sec(500) - 300), 300,
           "the store's clock was set back");
    sse_formats_clear(&formats);
}

static void test_gap(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("list-gap");
    publish(store, "a", "x", &keep_all);
    lost = "7";
    subscribe_list(&stream, "a", 0);
    lost = NULL;
    sub = stream.sub;
    has(&stream, "{\"gap\":true},{\"1a\":\"x\"},",
        "a gap is the format's, too");
    finish(&stream, sub);
    end();
}

int main(void)
{
    test_begin();
    test_both();
    test_large();
    test_gap();
    test_time();
    return test_end();
}
