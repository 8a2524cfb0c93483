/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_channels.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse_query.h"
#include "http/sse_reply.h"
#include "http/status/sse_status_page.h"
#include "hub/sse_hub.h"
#include "hub/sse_presence.h"
#include "hub/sse_start.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

/** What is asked for. */
typedef struct {
    const char *prefix; /**< of the names; may be empty */
    const char *after;  /**< NULL, or the name to go on after */
    int limit;
    sse_slice_t prefix_key, after_key; /**< in the store; the latter may be
                                            empty */
} asked_t;

/** A list, as JSON or as a page's rows. */
typedef struct {
    sse_text_t *text;
    apr_pool_t *pool;
    int as_page;
    int n;
    sse_slice_t last; /**< the name of the last one; in pool */
} list_t;

/* -- What is asked for ----------------------------------------------------- */

int sse_status_asks_for_channels(const request_rec *r)
{
    return sse_query_has(r, "channel") || sse_query_has(r, "channels");
}

/* @return NULL: it is not there, or is empty; what cannot be decoded is no
 *         name */
static const char *value_of(const request_rec *r, const char *name, int *is_bad)
{
    const char *names[] = {name, NULL};

    *is_bad = 0;
    return sse_query_value(r, names, is_bad);
}

static int refuse_name(request_rec *r)
{
    return sse_reply_error(r, HTTP_BAD_REQUEST,
                           "a channel's name must be 1 to %d bytes of UTF-8 "
                           "without control characters",
                           SSE_CHANNEL_MAX);
}

/* What cannot be read is a 0. */
static int number_of(const char *text)
{
    int n = 0;

    if (!*text) {
        return 0;
    }
    for (; *text; ++text) {
        if (!apr_isdigit(*text) || n > LIMIT_MAX) {
            return 0;
        }
        n = 10 * n + (*text - '0');
    }
    return n;
}

/* The key of no name: all keys of the host begin with it. */
static sse_slice_t host_key(request_rec *r)
{
    const char *ns = sse_conf_namespace(r->server, r->pool);

    return (sse_slice_t){ns, strlen(ns) + 1};
}

/* Keys of what is no channel of a user's, such as those of comings and goings,
 * have a control character behind the namespace, and stand before all names. */
static sse_slice_t before_names(request_rec *r)
{
    sse_slice_t key = host_key(r);
    char *bytes = apr_palloc(r->pool, key.len + 1);

    memcpy(bytes, key.ptr, key.len);
    bytes[key.len] = 0x1f;
    return (sse_slice_t){bytes, key.len + 1};
}

/* @return OK, or what the handler returns: it was answered */
static int read_limit(request_rec *r, int *limit)
{
    int is_bad;
    const char *text = value_of(r, "limit", &is_bad);

    *limit = text                        ? number_of(text)
             : sse_query_has(r, "limit") ? 0
                                         : LIMIT_DEFAULT;
    return *limit >= 1 && *limit <= LIMIT_MAX;
}

/* @return whether it is well-formed; else it was answered, and *rv says how */
static int read_asked(request_rec *r, asked_t *asked, int *rv)
{
    int bad_prefix, bad_after;

    asked->prefix = value_of(r, "channels", &bad_prefix);
    asked->after = value_of(r, "after", &bad_after);
    asked->prefix_key = host_key(r);
    asked->after_key = before_names(r);
    if (bad_prefix || bad_after ||
        (asked->prefix &&
         !sse_hub_key(r->server, asked->prefix, r->pool, &asked->prefix_key)) ||
        (asked->after &&
         !sse_hub_key(r->server, asked->after, r->pool, &asked->after_key))) {
        *rv = refuse_name(r);
        return 0;
    }
    if (!read_limit(r, &asked->limit)) {
        *rv = sse_reply_error(r, HTTP_BAD_REQUEST,
                              "limit must be a number from 1 to %d", LIMIT_MAX);
        return 0;
    }
    asked->prefix = asked->prefix ? asked->prefix : "";
    return 1;
}

/* -- One channel's numbers ------------------------------------------------- */

static void put_id(sse_text_t *text, const char *key, sse_id_t id)
{
    if (id) {
        sse_text_add(text, ",\"%s\":\"%" APR_UINT64_T_FMT "\"", key, id);
    }
    else {
        sse_text_add(text, ",\"%s\":null", key);
    }
}

static void put_seconds(sse_text_t *text, const char *key, apr_time_t time)
{
    if (time) {
        sse_text_add(text, ",\"%s\":%" APR_TIME_T_FMT ".%06d", key,
                     apr_time_sec(time), (int)apr_time_usec(time));
    }
    else {
        sse_text_add(text, ",\"%s\":null", key);
    }
}

static void put_kept(sse_text_t *text, const sse_store_channel_t *channel)
{
    sse_text_add(
        text, ",\"events\":%" APR_UINT64_T_FMT ",\"bytes\":%" APR_UINT64_T_FMT,
        channel->events, channel->bytes);
    put_id(text, "first", channel->first);
    put_id(text, "last", channel->last);
    put_seconds(text, "first_time", channel->first_time);
    put_seconds(text, "last_time", channel->last_time);
}

static void put_html_time(sse_text_t *text, apr_time_t time)
{
    apr_time_exp_t at;

    if (!time || apr_time_exp_gmt(&at, time) != APR_SUCCESS) {
        sse_text_add(text, "\xe2\x80\x93");
        return;
    }
    sse_text_add(text, "%04d-%02d-%02d %02d:%02d:%02d UTC", at.tm_year + 1900,
                 at.tm_mon + 1, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec);
}

/* -- A list ---------------------------------------------------------------- */

static void put_html_row(list_t *list, sse_slice_t name,
                         const sse_store_channel_t *channel)
{
    sse_text_t *text = list->text;

    sse_text_add(text, "<tr><th scope=\"row\"><a href=\"?channel=");
    sse_text_query(text, name);
    sse_text_add(text, "&amp;format=html\">");
    sse_text_html(text, name);
    sse_text_add(text,
                 "</a></th><td>%" APR_UINT64_T_FMT
                 "</td><td class=\"more\">%" APR_UINT64_T_FMT
                 "</td><td>%" APR_UINT64_T_FMT "</td><td>",
                 channel->events, channel->bytes, channel->streams);
    put_html_time(text, channel->last_time);
    sse_text_add(text, "</td></tr>\n");
}

static apr_status_t on_channel(void *baton, const sse_store_channel_t *channel)
{
    list_t *list = baton;
    sse_slice_t name = sse_store_name(channel->channel);

    list->n++;
    list->last.ptr = apr_pmemdup(list->pool, name.ptr, name.len);
    list->last.len = name.len;
    if (list->as_page) {
        put_html_row(list, name, channel);
        return APR_SUCCESS;
    }
    sse_text_add(list->text, "%s{\"channel\":", list->n > 1 ? "," : "");
    sse_text_json(list->text, name);
    sse_text_add(list->text,
                 ",\"streams\":%" APR_UINT64_T_FMT
                 ",\"users\":%" APR_UINT64_T_FMT,
                 channel->streams, channel->users);
    put_kept(list->text, channel);
    sse_text_add(list->text, "}");
    return APR_SUCCESS;
}

static int answer_unavailable(request_rec *r, apr_status_t rv)
{
    if (rv == APR_ENOTIMPL) {
        return sse_reply_error(r, HTTP_NOT_IMPLEMENTED,
                               "this event store cannot list its channels");
    }
    return sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                           "the event store cannot be read; the server's "
                           "error log says why");
}

/* What the store does not know is no trouble. */
static apr_status_t complain(apr_status_t rv)
{
    return rv == APR_ENOTIMPL ? rv : sse_start_complain(sse_hub(), rv);
}

static apr_status_t walk(const asked_t *asked, list_t *list, int *more)
{
    if (!sse_hub() || !sse_status_store()) {
        return APR_EGENERAL; /* which was logged as the child began */
    }
    return complain(sse_store_channels(sse_status_store(), asked->prefix_key,
                                       asked->after_key, asked->limit,
                                       on_channel, list, more));
}

static int list_as_json(request_rec *r, const asked_t *asked)
{
    sse_text_t text = {.pool = r->pool};
    list_t list = {.text = &text, .pool = r->pool};
    apr_status_t rv;
    int more;

    sse_text_add(&text, "{\"namespace\":");
    sse_text_json(&text, sse_slice(sse_conf_namespace(r->server, r->pool)));
    sse_text_add(&text, ",\"prefix\":");
    sse_text_json(&text, sse_slice(asked->prefix));
    sse_text_add(&text, ",\"channels\":[");
    rv = walk(asked, &list, &more);
    if (rv != APR_SUCCESS) {
        return answer_unavailable(r, rv);
    }
    sse_text_add(&text, "],\"next\":");
    if (more) {
        sse_text_json(&text, list.last);
    }
    else {
        sse_text_add(&text, "null");
    }
    sse_text_add(&text, "}");
    return sse_reply_json(r, HTTP_OK, text.ptr, text.len);
}

static void put_form(sse_text_t *text, const asked_t *asked)
{
    sse_text_add(text, "<form method=\"get\"><label>Names that begin with "
                       "<input name=\"channels\" value=\"");
    sse_text_html(text, sse_slice(asked->prefix));
    sse_text_add(text, "\"></label> <input type=\"hidden\" name=\"format\" "
                       "value=\"html\"><button>Show</button></form>\n");
}

static void put_table_head(sse_text_t *text, request_rec *r)
{
    sse_text_add(text, "<table>\n<caption>Channels of the namespace ");
    sse_text_html(text, sse_slice(sse_conf_namespace(r->server, r->pool)));
    sse_text_add(
        text, "</caption>\n<thead><tr><th scope=\"col\">Channel</th>"
              "<th scope=\"col\">Events</th><th scope=\"col\" class=\"more\">"
              "Bytes</th>"
              "<th scope=\"col\">Streams</th><th scope=\"col\">Last event"
              "</th></tr></thead>\n<tbody>\n");
}

/* The address of the page of that list. @return in pool, for an attribute */
static const char *own_query(request_rec *r, const asked_t *asked,
                             sse_slice_t after)
{
    sse_text_t text = {.pool = r->pool};

    sse_text_add(&text, "channels=");
    sse_text_query(&text, sse_slice(asked->prefix));
    sse_text_add(&text, "&amp;limit=%d", asked->limit);
    if (after.len) {
        sse_text_add(&text, "&amp;after=");
        sse_text_query(&text, after);
    }
    sse_text_add(&text, "&amp;format=html");
    return text.ptr;
}

static int list_as_page(request_rec *r, const asked_t *asked)
{
    list_t list = {.pool = r->pool, .as_page = 1};
    sse_page_t page;
    apr_status_t rv;
    int more;

    sse_page_begin(&page, r, "Channels",
                   own_query(r, asked, sse_slice(asked->after)));
    list.text = &page.text;
    put_form(&page.text, asked);
    put_table_head(&page.text, r);
    rv = walk(asked, &list, &more);
    if (rv != APR_SUCCESS) {
        return answer_unavailable(r, rv);
    }
    sse_text_add(&page.text, "</tbody>\n</table>\n");
    if (!list.n) {
        sse_text_add(&page.text, "<p>There is none.</p>\n");
    }
    if (more) {
        sse_text_add(&page.text,
                     "<p><a href=\"?%s\" rel=\"next\">More</a></p>\n",
                     own_query(r, asked, list.last));
    }
    sse_text_add(&page.text, "<p>Streams are counted where SSEPresence is "
                             "set.</p>\n");
    return sse_page_end(&page);
}

/* -- One channel ----------------------------------------------------------- */

/** What there is to tell. */
typedef struct {
    const char *name;
    sse_store_channel_t kept;
    int has_kept;
    const char *presence; /**< NULL, or a JSON object: who is there */
    apr_size_t presence_len;
} one_t;

/* @return APR_ENOTIMPL: the store knows nothing of that */
static apr_status_t read_presence(request_rec *r, sse_slice_t key, one_t *one)
{
    sse_room_t room = {0};
    sse_slice_t json;
    sse_id_t last;
    apr_status_t rv = sse_presence_document(key, 1, &room, &json, &last);

    if (rv == APR_SUCCESS) {
        one->presence = apr_pstrmemdup(r->pool, json.ptr, json.len);
        one->presence_len = json.len;
    }
    sse_room_free(&room);
    return rv;
}

static apr_status_t read_one(request_rec *r, sse_slice_t key, one_t *one)
{
    apr_status_t rv, kept;

    if (!sse_hub() || !sse_status_store()) {
        return APR_EGENERAL;
    }
    rv = read_presence(r, key, one);
    if (rv != APR_SUCCESS && rv != APR_ENOTIMPL) {
        return complain(rv);
    }
    kept = sse_store_channel(sse_status_store(), key, &one->kept);
    one->has_kept = kept == APR_SUCCESS;
    return kept == APR_SUCCESS || (kept == APR_ENOTIMPL && rv == APR_SUCCESS)
               ? APR_SUCCESS
               : complain(kept);
}

static int one_as_json(request_rec *r, const one_t *one)
{
    sse_text_t text = {.pool = r->pool};

    if (one->presence) {
        /* The brace at its end comes later. */
        sse_text_put(&text, one->presence, one->presence_len - 1);
    }
    else {
        sse_text_add(&text, "{\"channel\":");
        sse_text_json(&text, sse_slice(one->name));
    }
    sse_text_add(&text, ",\"namespace\":");
    sse_text_json(&text, sse_slice(sse_conf_namespace(r->server, r->pool)));
    if (one->has_kept) {
        put_kept(&text, &one->kept);
    }
    sse_text_add(&text, "}");
    return sse_reply_json(r, HTTP_OK, text.ptr, text.len);
}

static void put_fact(sse_text_t *text, const char *words, apr_uint64_t value)
{
    sse_text_add(text,
                 "<tr><th scope=\"row\">%s</th><td>%" APR_UINT64_T_FMT
                 "</td></tr>\n",
                 words, value);
}

static void put_fact_time(sse_text_t *text, const char *words, apr_time_t time)
{
    sse_text_add(text, "<tr><th scope=\"row\">%s</th><td>", words);
    put_html_time(text, time);
    sse_text_add(text, "</td></tr>\n");
}

static void put_facts(sse_text_t *text, const one_t *one)
{
    sse_text_add(text, "<table>\n<caption>What it has</caption>\n");
    if (one->presence) {
        put_fact(text, "Streams (with SSEPresence)", one->kept.streams);
        put_fact(text, "Users", one->kept.users);
    }
    if (one->has_kept) {
        put_fact(text, "Events kept", one->kept.events);
        put_fact(text, "Their bytes", one->kept.bytes);
        put_fact(text, "Id of the oldest (0: none)", one->kept.first);
        put_fact_time(text, "Its time", one->kept.first_time);
        put_fact(text, "Id of the newest (0: none)", one->kept.last);
        put_fact_time(text, "Its time", one->kept.last_time);
    }
    sse_text_add(text, "</table>\n");
}

static void put_member(sse_text_t *text, const json_t *member)
{
    const json_t *user = json_object_get(member, "user");
    const json_t *stream = json_object_get(member, "stream");
    double since = json_number_value(json_object_get(member, "since"));

    sse_text_add(text, "<tr><th scope=\"row\">");
    sse_text_html(text, sse_slice(json_string_value(user)));
    sse_text_add(text, "</th><td class=\"any\">");
    sse_text_html(text, sse_slice(json_string_value(stream)));
    sse_text_add(text, "</td><td>");
    put_html_time(text, (apr_time_t)(since * APR_USEC_PER_SEC));
    sse_text_add(text, "</td><td>%s</td></tr>\n",
                 json_is_true(json_object_get(member, "away")) ? "away" : "");
}

/* Where they are counted only, there is no list. */
static void put_members(sse_text_t *text, const one_t *one)
{
    json_t *object = json_loadb(one->presence, one->presence_len, 0, NULL);
    json_t *members = json_object_get(object, "members");
    apr_size_t i;

    if (members) {
        sse_text_add(text, "<h2>Who is there</h2>\n<table>\n<caption>Streams "
                           "on the channel</caption>\n<thead><tr>"
                           "<th scope=\"col\">User</th><th scope=\"col\">Stream"
                           "</th><th scope=\"col\">Since</th><th scope=\"col\">"
                           "</th></tr></thead>\n<tbody>\n");
        for (i = 0; i < json_array_size(members); ++i) {
            put_member(text, json_array_get(members, i));
        }
        sse_text_add(text, "</tbody>\n</table>\n");
    }
    json_decref(object);
}

static int one_as_page(request_rec *r, const one_t *one)
{
    sse_text_t query = {.pool = r->pool};
    sse_page_t page;

    sse_text_add(&query, "channel=");
    sse_text_query(&query, sse_slice(one->name));
    sse_text_add(&query, "&amp;format=html");
    sse_page_begin(&page, r, one->name, query.ptr);
    sse_text_add(&page.text, "<p>A channel of the namespace <b>");
    sse_text_html(&page.text,
                  sse_slice(sse_conf_namespace(r->server, r->pool)));
    sse_text_add(&page.text, "</b></p>\n");
    put_facts(&page.text, one);
    if (one->presence) {
        put_members(&page.text, one);
    }
    return sse_page_end(&page);
}

static int answer_one(request_rec *r, int as_page)
{
    one_t one = {0};
    int is_bad;
    sse_slice_t key;
    apr_status_t rv;

    one.name = value_of(r, "channel", &is_bad);
    if (!one.name || is_bad ||
        !sse_hub_key(r->server, one.name, r->pool, &key)) {
        return refuse_name(r);
    }
    rv = read_one(r, key, &one);
    if (rv != APR_SUCCESS) {
        return answer_unavailable(r, rv);
    }
    return as_page ? one_as_page(r, &one) : one_as_json(r, &one);
}

int sse_status_channels(request_rec *r, int as_page)
{
    asked_t asked;
    int rv;

    if (sse_query_has(r, "channel")) {
        return answer_one(r, as_page);
    }
    if (!read_asked(r, &asked, &rv)) {
        return rv;
    }
    return as_page ? list_as_page(r, &asked) : list_as_json(r, &asked);
}
