/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The example of docs/c-guide.md, which quotes it: a countdown, a room whose
 * members hear who comes and goes, and a long poll by hand. */

#if CONFIG_FOR_HTTPD_TEST

<IfModule mod_sse.c>
    <Location "/guide/count">
        SetHandler guide-count
    </Location>
    <Location "/guide/room">
        SetHandler guide-room
    </Location>
    <Location "/guide/say">
        SetHandler guide-say
    </Location>
    <Location "/guide/poll">
        SetHandler guide-poll
    </Location>
    <Location "/guide/post">
        SetHandler guide-post
    </Location>
</IfModule>

#endif

#include <httpd.h>
#include <ap_mpm.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <pthread.h>
#include <stdlib.h>

#include "mod_sse.h"

APLOG_USE_MODULE(sse_guide);
extern module AP_MODULE_DECLARE_DATA sse_guide_module;

static APR_OPTIONAL_FN_TYPE(sse_start) *start;
static APR_OPTIONAL_FN_TYPE(sse_send) *send_event;
static APR_OPTIONAL_FN_TYPE(sse_end) *end_stream;
static APR_OPTIONAL_FN_TYPE(sse_retain) *retain;
static APR_OPTIONAL_FN_TYPE(sse_release) *release;
static APR_OPTIONAL_FN_TYPE(sse_subscribe) *subscribe;
static APR_OPTIONAL_FN_TYPE(sse_on_close) *on_close;
static APR_OPTIONAL_FN_TYPE(sse_publish) *publish;
static APR_OPTIONAL_FN_TYPE(sse_close_name) *close_name;

static void get_functions(void)
{
    start = APR_RETRIEVE_OPTIONAL_FN(sse_start);
    send_event = APR_RETRIEVE_OPTIONAL_FN(sse_send);
    end_stream = APR_RETRIEVE_OPTIONAL_FN(sse_end);
    retain = APR_RETRIEVE_OPTIONAL_FN(sse_retain);
    release = APR_RETRIEVE_OPTIONAL_FN(sse_release);
    subscribe = APR_RETRIEVE_OPTIONAL_FN(sse_subscribe);
    on_close = APR_RETRIEVE_OPTIONAL_FN(sse_on_close);
    publish = APR_RETRIEVE_OPTIONAL_FN(sse_publish);
    close_name = APR_RETRIEVE_OPTIONAL_FN(sse_close_name);
}

/* -- A stream of 20 events ------------------------------------------------- */

static apr_status_t send_text(sse_stream_t *stream, const char *text)
{
    sse_event_t event = {0};

    event.data = text;
    event.data_len = strlen(text);
    event.retry = -1; /* 0 would be sent: reconnect at once */
    return send_event(stream, &event);
}

static void count_ready(sse_stream_t *stream, request_rec *r, void *baton)
{
    char text[16];
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 1; i <= 20 && rv == APR_SUCCESS; ++i) {
        apr_snprintf(text, sizeof(text), "%d", i);
        rv = send_text(stream, text);
        if (rv == APR_SUCCESS) {
            apr_sleep(apr_time_from_msec(100));
        }
    }
    if (rv == APR_ECONNABORTED) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "count: the client left before event %d", i - 1);
    }
    end_stream(stream);
}

static int count_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "guide-count")) {
        return DECLINED;
    }
    return start ? start(r, count_ready, NULL) : HTTP_SERVICE_UNAVAILABLE;
}

/* -- A room ---------------------------------------------------------------- */

typedef struct member_t {
    sse_stream_t *stream; /* a reference */
    char name[40];
    struct member_t *next;
} member_t;

static struct {
    apr_thread_mutex_t *lock;
    member_t *members;
} room; /* of this child */

/* sse_send() never blocks: it may be called with a lock held. */
static void room_tell(const char *text)
{
    member_t *member;

    apr_thread_mutex_lock(room.lock);
    for (member = room.members; member; member = member->next) {
        send_text(member->stream, text);
    }
    apr_thread_mutex_unlock(room.lock);
}

static void room_add(member_t *member)
{
    apr_thread_mutex_lock(room.lock);
    member->next = room.members;
    room.members = member;
    apr_thread_mutex_unlock(room.lock);
}

static void room_remove(member_t *member)
{
    member_t **p;

    apr_thread_mutex_lock(room.lock);
    for (p = &room.members; *p != member; p = &(*p)->next) {
    }
    *p = member->next;
    apr_thread_mutex_unlock(room.lock);
}

static void room_left(request_rec *r, const sse_close_t *close, void *baton)
{
    member_t *member = baton;

    room_remove(member);
    room_tell(apr_psprintf(close->pool, "%s has left: %s", member->name,
                           close_name(close->reason)));
    release(member->stream);
    free(member);
}

static void room_ready(sse_stream_t *stream, request_rec *r, void *baton)
{
    member_t *member = calloc(1, sizeof(*member));

    if (!member) {
        end_stream(stream);
        return;
    }
    apr_cpystrn(member->name, r->args ? r->args : "somebody",
                sizeof(member->name));
    member->stream = retain(stream);
    room_add(member);
    subscribe(stream, "/guide/room");
    /* If the client is gone by now, this runs at once: no one is left over. */
    on_close(r, SSE_ON_ANY, room_left, member, NULL);
}

static int room_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "guide-room")) {
        return DECLINED;
    }
    return start ? start(r, room_ready, NULL) : HTTP_SERVICE_UNAVAILABLE;
}

static int say_handler(request_rec *r)
{
    sse_event_t event = {0};

    if (!r->handler || strcmp(r->handler, "guide-say")) {
        return DECLINED;
    }
    event.event = "said";
    event.data = r->args ? r->args : "";
    event.data_len = strlen(event.data);
    event.retry = -1;
    if (!publish || publish(r->server, "/guide/room", &event, NULL, r->pool)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    return HTTP_NO_CONTENT;
}

/* -- A long poll by hand --------------------------------------------------- */

/* In shared memory: whoever posts may be in another child. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int is_full;
    char letter[200];
} box_t;

static box_t *box; /* const after post_config */

typedef struct {
    int is_gone; /* under the box's lock */
} poll_t;

static void poll_gone(request_rec *r, const sse_close_t *close, void *baton)
{
    poll_t *poll = baton;

    pthread_mutex_lock(&box->lock);
    poll->is_gone = 1;
    pthread_cond_broadcast(&box->changed);
    pthread_mutex_unlock(&box->lock);
}

static int is_leaving(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS
           && state == AP_MPMQ_STOPPING;
}

/* Under the lock.  A little at a time, as nobody wakes us when the server
 * begins to leave. */
static void wait_a_little(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&box->changed, &box->lock, &until);
}

static int poll_handler(request_rec *r)
{
    const char *answer = "keepalive\n";
    apr_time_t end = apr_time_now() + apr_time_from_sec(5);
    poll_t *poll;

    if (!r->handler || strcmp(r->handler, "guide-poll")) {
        return DECLINED;
    }
    poll = apr_pcalloc(r->pool, sizeof(*poll));
    if (!on_close || on_close(r, SSE_ON_CLIENT_GONE | SSE_ON(SSE_CLOSE_STOP),
                              poll_gone, poll, NULL)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "poll: waits");
    pthread_mutex_lock(&box->lock);
    while (!poll->is_gone && !box->is_full && !is_leaving()
           && apr_time_now() < end) {
        wait_a_little();
    }
    if (poll->is_gone) {
        answer = NULL; /* and the letter stays where it is */
    }
    else if (box->is_full) {
        answer = apr_pstrcat(r->pool, "letter: ", box->letter, "\n", NULL);
        box->is_full = 0;
    }
    else if (is_leaving()) {
        answer = "leaving\n";
    }
    pthread_mutex_unlock(&box->lock);

    if (answer) {
        ap_set_content_type(r, "text/plain");
        ap_rputs(answer, r);
    }
    return OK;
}

static int post_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "guide-post")) {
        return DECLINED;
    }
    pthread_mutex_lock(&box->lock);
    apr_cpystrn(box->letter, r->args ? r->args : "", sizeof(box->letter));
    box->is_full = 1;
    pthread_cond_broadcast(&box->changed);
    pthread_mutex_unlock(&box->lock);
    return HTTP_NO_CONTENT;
}

/* -- The module ------------------------------------------------------------ */

static int make_box(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                    server_rec *s)
{
    pthread_mutexattr_t lock;
    pthread_condattr_t cond;
    apr_shm_t *shm;

    if (apr_shm_create(&shm, sizeof(box_t), NULL, pconf) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    box = apr_shm_baseaddr_get(shm);
    memset(box, 0, sizeof(*box));
    pthread_mutexattr_init(&lock);
    pthread_mutexattr_setpshared(&lock, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&box->lock, &lock);
    pthread_condattr_init(&cond);
    pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&box->changed, &cond);
    return OK;
}

static void make_room(apr_pool_t *pchild, server_rec *s)
{
    apr_thread_mutex_create(&room.lock, APR_THREAD_MUTEX_DEFAULT, pchild);
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_optional_fn_retrieve(get_functions, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(make_box, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(make_room, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(count_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(room_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(say_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(poll_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(post_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA sse_guide_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
    AP_MODULE_FLAG_NONE};
