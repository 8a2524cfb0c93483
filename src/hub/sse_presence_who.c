/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Who the client of a stream is, and what others are told of it. */

#include <apr_sha1.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

#include "hub/sse_presence_json.h"
#include "hub/sse_presence_private.h"
#include "loop/sse_complain.h"
#include "notify/sse_listeners.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* The longest that a client which polls waits, as its stream told it:
 * sse_stream_dismiss(); and the time for its request. */
#define POLL_RETRY_MAX apr_time_from_sec(5)
#define POLL_TRAVEL    apr_time_from_sec(1)
/* A user's name is cut there, and has room behind a letter in a person. */
#define USER_MAX 500

/* -- Who it is ------------------------------------------------------------- */

/* At most so many bytes, as UTF-8. */
static sse_slice_t clean(const char *text, apr_size_t most, apr_pool_t *pool)
{
    apr_size_t len = text ? strlen(text) : 0;
    char *bytes = apr_palloc(pool, 3 * len + 1);
    sse_slice_t out = {bytes, 0};

    if (len) {
        out.len = sse_utf8_replace(text, len, bytes);
    }
    if (out.len > most) {
        for (out.len = most; (bytes[out.len] & 0xc0) == 0x80; --out.len) {
        }
    }
    return out;
}

/* Texts of any length, told apart by their first letter. */
static sse_slice_t person_of(char kind, const char *text, apr_pool_t *pool)
{
    unsigned char digest[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t sha1;
    char *bytes;
    apr_size_t len = strlen(text);

    if (len > USER_MAX) {
        apr_sha1_init(&sha1);
        apr_sha1_update_binary(&sha1, (const unsigned char *)text,
                               (unsigned int)len);
        apr_sha1_final(digest, &sha1);
        kind = (char)(kind - 'a' + 'A');
        text = (const char *)digest;
        len = sizeof(digest);
    }
    bytes = apr_palloc(pool, len + 1);
    *bytes = kind;
    memcpy(bytes + 1, text, len);
    return (sse_slice_t){bytes, len + 1};
}

static sse_slice_t find_person(request_rec *r, const char *user)
{
    const char *session = apr_table_get(r->notes, "sse-session");

    if (user) {
        return person_of('u', user, r->pool);
    }
    if (session && *session) {
        return person_of('s', session, r->pool);
    }
    return person_of('a', r->useragent_ip, r->pool);
}

/* -- What is kept with it -------------------------------------------------- */

static void read_settings(request_rec *r, const char *route, int is_poll,
                          sse_presence_settings_t *settings)
{
    apr_interval_time_t retry = sse_conf_retry(r);
    apr_interval_time_t away =
        (retry < POLL_RETRY_MAX ? retry : POLL_RETRY_MAX) * 3 / 2 + POLL_TRAVEL;
    apr_interval_time_t polls = is_poll ? sse_conf_poll_wait(r) / 2 : 0;

    settings->mode = (sse_presence_mode_e)sse_conf_presence(r);
    settings->grace = sse_conf_presence_grace(r);
    settings->grace_all = sse_conf_presence_grace_all(r);
    away = away > polls ? away : polls;
    settings->poll_grace = settings->grace > away ? settings->grace : away;
    settings->history = *sse_conf_history(r);
    settings->route = sse_slice(route);
}

static sse_slice_t text_of(request_rec *r, sse_presence_settings_t *settings)
{
    static sse_complaint_t complaint;
    sse_slice_t text = sse_presence_write(settings, r->pool);

    if (text.len <= SSE_STORE_TEXT_MAX) {
        return text;
    }
    if (sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "the location has too many SSEHook, with too long URLs, "
                      "for first and last: these are not told.  Not logged "
                      "again for a minute");
    }
    settings->route.len = 0;
    return sse_presence_write(settings, r->pool);
}

static char *keep(char *to, sse_slice_t *slice)
{
    memcpy(to, slice->ptr, slice->len);
    slice->ptr = to;
    return to + slice->len;
}

/* As sse_notes_create() will have it. @return NULL: nobody in particular */
static const char *find_user(request_rec *r)
{
    const char *user = apr_table_get(r->notes, "sse-user");

    user = user ? user : r->user;
    return user && *user ? user : NULL;
}

/* @param route out, where it is wanted: for listeners; or "" */
static int is_wanted(request_rec *r, const char **route)
{
    static sse_complaint_t complaint;

    *route = sse_listeners_route(r);
    if (!*route && sse_conf_presence(r) == SSE_PRESENCE_OFF) {
        return 0;
    }
    *route = *route ? *route : "";
    if (!sse_presence_is_known() && sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "who is on a channel is not known, as the event store "
                      "does not keep that: SSEPresence, and first and last of "
                      "SSEHook, need another SSEStore.  Not logged again for a "
                      "minute");
    }
    return sse_presence_is_known();
}

sse_presence_who_t *sse_presence_who(request_rec *r, int is_poll)
{
    sse_presence_settings_t settings;
    sse_slice_t text, person, name;
    const char *route, *user;
    sse_presence_who_t *who;
    char *to;

    if (!is_wanted(r, &route)) {
        return NULL;
    }
    user = find_user(r);
    read_settings(r, route, is_poll, &settings);
    text = text_of(r, &settings);
    person = find_person(r, user);
    name = clean(user, USER_MAX, r->pool);
    who = malloc(sizeof(*who) + text.len + person.len + name.len);
    if (!who) {
        abort();
    }
    who->refs = 1;
    to = keep(who->bytes, &text);
    to = keep(to, &person);
    keep(to, &name);
    who->text = text;
    who->person = person;
    who->user = name;
    sse_presence_read(who->text, &who->settings);
    return who;
}

sse_presence_who_t *sse_presence_acquire(sse_presence_who_t *who)
{
    sse_atomic_add(&who->refs, 1);
    return who;
}

void sse_presence_release(sse_presence_who_t *who)
{
    if (who && sse_atomic_sub(&who->refs, 1) == 0) {
        free(who);
    }
}

/* -- What others are told -------------------------------------------------- */

const sse_append_t *sse_presence_event(const sse_presence_settings_t *settings,
                                       sse_slice_t channel, sse_slice_t name,
                                       sse_slice_t user, apr_time_t time,
                                       const char *reason, apr_pool_t *pool)
{
    sse_append_t *event;

    if (settings->mode != SSE_PRESENCE_ON) {
        return NULL;
    }
    event = apr_pcalloc(pool, sizeof(*event));
    event->channel = sse_presence_key(channel, pool);
    event->fields = (sse_fields_t)SSE_FIELDS_NONE;
    event->fields.event = sse_slice(reason ? "leave" : "join");
    event->fields.data = sse_presence_json_change(sse_store_name(channel), name,
                                                  user, time, reason, pool);
    event->history =
        apr_pmemdup(pool, &settings->history, sizeof(settings->history));
    return event;
}

void sse_presence_tell(const sse_presence_t *change, sse_slice_t route,
                       sse_slice_t name, apr_time_t time)
{
    sse_subscriber_t subscriber = {change->channel, route, name, time};

    if (change->outcome != SSE_PRESENCE_CHANGED) {
        return;
    }
    if (change->what == SSE_PRESENCE_JOIN && change->streams == 1) {
        sse_listeners_first(&subscriber);
    }
    else if (change->what != SSE_PRESENCE_JOIN && !change->streams) {
        sse_listeners_last(&subscriber);
    }
}
