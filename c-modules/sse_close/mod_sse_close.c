/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Calls mod_sse's C interface as a request's query string says, and has hooks
 * that log what they are told.  Requests without k in their query are left
 * alone. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>

#include "c-modules/sse_close/close_test.h"

extern module AP_MODULE_DECLARE_DATA sse_close_module;

static APR_OPTIONAL_FN_TYPE(sse_start) *start_fn;
static APR_OPTIONAL_FN_TYPE(sse_send) *send_fn;
static APR_OPTIONAL_FN_TYPE(sse_subscribe) *subscribe_fn;
static APR_OPTIONAL_FN_TYPE(sse_unsubscribe) *unsubscribe_fn;
static APR_OPTIONAL_FN_TYPE(sse_end) *end_fn;
static APR_OPTIONAL_FN_TYPE(sse_is_open) *is_open_fn;
static APR_OPTIONAL_FN_TYPE(sse_retain) *retain_fn;
static APR_OPTIONAL_FN_TYPE(sse_release) *release_fn;
static APR_OPTIONAL_FN_TYPE(sse_cancel) *cancel_fn;
static APR_OPTIONAL_FN_TYPE(sse_publish) *publish_fn;

static apr_uint32_t mask_of(const char *name)
{
    if (name && !strcmp(name, "client")) {
        return SSE_ON_CLIENT_GONE;
    }
    if (name && !strcmp(name, "server")) {
        return SSE_ON(SSE_CLOSE_SERVER);
    }
    return SSE_ON_ANY;
}

/* reg=3 registers 1, 2 and 3, with mask; sleep is the first one's; cancel=2
 * takes the second one back, twice. */
static void register_all(request_rec *r)
{
    char buf[TEXT_MAX], name[16];
    int i, n = number(r, "reg", 0), cancel = number(r, "cancel", 0);
    apr_uint32_t mask = mask_of(query(r, "mask", buf));
    callback_t *cb;

    for (i = 1; i <= n; ++i) {
        apr_snprintf(name, sizeof(name), "%d", i);
        cb = register_one(r, name, mask);
        if (i == 1) {
            cb->sleep_msec = number(r, "sleep", cb->sleep_msec);
            cb->nest = number(r, "nest", 0);
        }
        if (i == cancel) {
            note(cb->key, "cancelled name=%d rv=%d", i, cancel_fn(cb->watch));
            note(cb->key, "cancelled name=%d rv=%d", i, cancel_fn(cb->watch));
        }
    }
}

/* -- The socket ------------------------------------------------------------ */

/* What the kernel was told of the connection, an HTTP/2 stream's primary. */
static const char *options(request_rec *r, char *buf, apr_size_t size)
{
    conn_rec *c = r->connection->master ? r->connection->master
                                        : r->connection;
    apr_os_sock_t fd = -1;

    apr_os_sock_get(&fd, ap_get_conn_socket(c));
    apr_snprintf(buf, size,
                 "keep=%d idle=%d every=%d count=%d user=%d rto=%d",
                 get_option(fd, SOL_SOCKET, SO_KEEPALIVE),
                 get_option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
                 get_option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
                 get_option(fd, IPPROTO_TCP, TCP_KEEPCNT),
                 get_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
                 get_option(fd, IPPROTO_TCP, 44)); /* TCP_RTO_MAX_MS */
    return buf;
}

static int options_handler(request_rec *r)
{
    char buf[TEXT_MAX];

    if (!r->handler || strcmp(r->handler, "sse-close-options")) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    ap_rputs(options(r, buf, sizeof(buf)), r);
    return OK;
}

/* -- Hooks ----------------------------------------------------------------- */

static apr_status_t send_text(sse_stream_t *stream, const char *text)
{
    sse_event_t event = {0};

    event.data = text;
    event.data_len = strlen(text);
    event.retry = -1;
    return send_fn(stream, &event);
}

/* What other modules do when a request or its connection ends, while held:
 * tlog=1, tpool=1, tconn=1. */
typedef struct {
    const char *key, *what;
} sleeper_t;

static apr_status_t sleep_at_end(void *baton)
{
    sleeper_t *sleeper = baton;

    note(sleeper->key, "sleeps in=%s", sleeper->what);
    wait_while_held(NULL, NULL);
    note(sleeper->key, "slept in=%s", sleeper->what);
    return APR_SUCCESS;
}

static void add_sleeper(request_rec *r, apr_pool_t *pool, const char *key,
                        const char *what)
{
    sleeper_t *sleeper;

    if (number(r, what, 0)) {
        sleeper = apr_palloc(pool, sizeof(*sleeper));
        sleeper->key = apr_pstrdup(pool, key);
        sleeper->what = what;
        apr_pool_cleanup_register(pool, sleeper, sleep_at_end,
                                  apr_pool_cleanup_null);
    }
}

static int log_slowly(request_rec *r)
{
    char buf[TEXT_MAX];
    sleeper_t sleeper = {query(r, "k", buf), "tlog"};

    if (sleeper.key && number(r, "tlog", 0)) {
        sleep_at_end(&sleeper);
    }
    return DECLINED;
}

/* tclose=1: the connection's closing is noted, too. */
static void note_closing(request_rec *r, const char *key)
{
    if (number(r, "tclose", 0)) {
        apr_table_set(r->connection->notes, "sse-close-key", key);
    }
}

static int on_pre_close(conn_rec *c)
{
    const char *key = apr_table_get(c->notes, "sse-close-key");

    if (key) {
        note(key, "preclose");
    }
    return OK;
}

static void on_stream_open(sse_stream_t *stream, request_rec *r)
{
    char key_buf[TEXT_MAX], channel_buf[TEXT_MAX];
    const char *key = query(r, "k", key_buf);
    const char *channel = query(r, "osub", channel_buf);

    if (!key) {
        return;
    }
    note(key, "open stream=%d id=%s", stream != NULL,
         apr_table_get(r->notes, "sse-stream"));
    note_closing(r, key);
    add_sleeper(r, r->pool, key, "tpool");
    add_sleeper(r, r->connection->pool, key, "tconn");
    if (number(r, "oopt", 0)) {
        note(key, "oopt %s", options(r, channel_buf, sizeof(channel_buf)));
        channel = query(r, "osub", channel_buf);
    }
    if (stream && channel) {
        note(key, "osub rv=%d", subscribe_fn(stream, channel));
    }
    if (stream && number(r, "osend", 0)) {
        note(key, "osend rv=%d", send_text(stream, "from stream_open"));
    }
    if (number(r, "oreg", 0)) {
        register_one(r, "open", SSE_ON_ANY);
    }
    if (stream && number(r, "oend", 0)) {
        note(key, "oend rv=%d", end_fn(stream));
    }
    if (stream && number(r, "asend", 0)) {
        apr_pool_userdata_setn(retain_fn(stream), "started", NULL, r->pool);
    }
}

static void on_stream_close(sse_stream_t *stream, request_rec *r,
                            const sse_close_t *close)
{
    const apr_table_t *notes = r->notes;
    char buf[TEXT_MAX];
    const char *key = query(r, "k", buf);
    int open = -1, sent = -1, ended = -1;

    if (!key) {
        return;
    }
    if (stream) {
        open = is_open_fn(stream);
        sent = send_text(stream, "too late");
        ended = end_fn(stream);
    }
    note(key,
         "close stream=%d id=%s reason=%s by=%d status=%d events=%d bytes=%d "
         "last=%s life=%d open=%d send=%d end=%d note=%s header=%s",
         stream != NULL, apr_table_get(notes, "sse-stream"),
         name_fn(close->reason), close->by_client, close->status,
         (int)close->events, (int)close->bytes,
         close->last_event_id ? close->last_event_id : "-",
         (int)(close->closed - close->opened), open, sent, ended,
         apr_table_get(notes, "sse-close"),
         text_or_dash(apr_table_get(r->headers_out, "X-Close-Test")));
    if (number(r, "hreg", 0)) {
        register_one(r, "hook", SSE_ON_ANY);
    }
    pause_msec(number(r, "hsleep", 0));
}

/* -- Streams of our own ---------------------------------------------------- */

/* Again while the queue is full, for that many milliseconds. */
static apr_status_t send_patiently(sse_stream_t *stream,
                                   const sse_event_t *event, int patience)
{
    apr_status_t rv = send_fn(stream, event);

    while (APR_STATUS_IS_EAGAIN(rv) && patience-- > 0) {
        apr_sleep(1000);
        rv = send_fn(stream, event);
    }
    return rv;
}

/* rn events of rsize bytes, rgap milliseconds between, until one fails. */
static void send_events(sse_stream_t *stream, request_rec *r, const char *key)
{
    int i, n = number(r, "rn", 0), gap = number(r, "rgap", 0);
    int size = number(r, "rsize", 0), patience = number(r, "rpatience", 0);
    sse_event_t event = {0};
    char id[32];
    char *data = calloc(1, (apr_size_t)size + 20);
    apr_status_t rv = APR_SUCCESS;

    for (i = 1; i <= n && rv == APR_SUCCESS; ++i) {
        memset(data, 'x', (apr_size_t)size);
        event.data_len = (apr_size_t)(size + sprintf(data + size, "%d", i));
        event.data = data;
        event.retry = -1;
        sprintf(id, "own-%d", i);
        event.id = id;
        rv = send_patiently(stream, &event, patience);
        pause_msec(gap);
    }
    free(data);
    if (n) {
        note(key, "sent n=%d rv=%d", rv == APR_SUCCESS ? i - 1 : i - 2, rv);
    }
}

/* Each in turn: what a handle can still be used for after the end. */
static void use_after_end(sse_stream_t *stream, const char *key)
{
    apr_status_t sent = send_text(stream, "late"), ended = end_fn(stream);

    note(key, "used open=%d send=%d end=%d sub=%d unsub=%d",
         is_open_fn(stream), sent, ended, subscribe_fn(stream, "/late"),
         unsubscribe_fn(stream, "/late"));
}

typedef struct {
    sse_stream_t *stream;
    char key[64];
    int after_msec; /* use it so long after the end */
    int *go;        /* atomic: 1: it is there; 2: begin */
    int spin;
} helper_t;

static helper_t *helper_create(sse_stream_t *stream, const char *key)
{
    helper_t *helper = calloc(1, sizeof(*helper));

    helper->stream = retain_fn(stream);
    apr_cpystrn(helper->key, key, sizeof(helper->key));
    return helper;
}

/* Keeps a handle until long after the request. */
static void *keep_main(void *baton)
{
    helper_t *helper = baton;

    while (is_open_fn(helper->stream)) {
        apr_sleep(1000);
    }
    use_after_end(helper->stream, helper->key);
    pause_msec(helper->after_msec);
    use_after_end(helper->stream, helper->key);
    release_fn(helper->stream);
    free(helper);
    return NULL;
}

static void spin(int n)
{
    volatile int i;

    for (i = 0; i < n; ++i) {
    }
}

static void *end_main(void *baton)
{
    helper_t *helper = baton;

    __atomic_store_n(helper->go, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(helper->go, __ATOMIC_ACQUIRE) != 2) {
    }
    spin(helper->spin);
    note(helper->key, "ended rv=%d", end_fn(helper->stream));
    release_fn(helper->stream);
    free(helper);
    return NULL;
}

/* Short times as often as long ones: threads may meet within a microsecond.
 * But where there is one processor for both, the other one runs only if this
 * one does not. */
static void wait_at_random(unsigned int *seed)
{
    if (rand_r(seed) & 1) {
        spin(rand_r(seed) & ((1 << rand_r(seed) % 20) - 1));
    }
    else {
        apr_sleep(rand_r(seed) & ((1 << rand_r(seed) % 10) - 1));
    }
}

/* The end comes from another thread while this one registers, or cancels what
 * it registered before. */
static void race(sse_stream_t *stream, request_rec *r, const char *key)
{
    helper_t *helper = helper_create(stream, key);
    unsigned int seed = (unsigned int)now_usec();
    pthread_t thread;
    int go = 0;
    int cancels = number(r, "rrace", 0) == 2;
    callback_t *cb = cancels ? register_one(r, "race", SSE_ON_ANY) : NULL;

    helper->go = &go;
    helper->spin = rand_r(&seed) % 4000;
    if (pthread_create(&thread, NULL, end_main, helper)) {
        abort();
    }
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
    __atomic_store_n(&go, 2, __ATOMIC_RELEASE);
    wait_at_random(&seed);
    if (cancels) {
        note(key, "cancelled rv=%d", cancel_fn(cb->watch));
    }
    else {
        register_one(r, "race", SSE_ON_ANY);
    }
    pthread_join(thread, NULL);
}

static void change_headers(request_rec *r)
{
    apr_table_setn(r->headers_out, "X-Late", "1");
    apr_table_setn(r->headers_out, "X-Changed", "2");
    apr_table_unset(r->headers_out, "X-Removed");
}

static void wait_for_end(sse_stream_t *stream, int msec)
{
    while (msec-- > 0 && is_open_fn(stream)) {
        apr_sleep(1000);
    }
}

static int has_ended(void *stream) { return !is_open_fn(stream); }

static void change_channels(sse_stream_t *stream, request_rec *r,
                            const char *key)
{
    char buf[TEXT_MAX];
    const char *channel = query(r, "rsub", buf);

    if (channel) {
        note(key, "rsub rv=%d", subscribe_fn(stream, channel));
        note(key, "rsub rv=%d", subscribe_fn(stream, channel));
    }
    channel = query(r, "runsub", buf);
    if (channel) {
        wait_while_held(has_ended, stream);
        note(key, "runsub rv=%d", unsubscribe_fn(stream, channel));
    }
}

static void start_keeper(sse_stream_t *stream, request_rec *r,
                         const char *key)
{
    helper_t *helper = helper_create(stream, key);
    pthread_t thread;

    helper->after_msec = number(r, "rkeep", 0);
    if (pthread_create(&thread, NULL, keep_main, helper)) {
        abort();
    }
    pthread_detach(thread);
}

/* baton: the key, which a request without a query does not have. */
static void on_ready(sse_stream_t *stream, request_rec *r, void *baton)
{
    const char *key = baton;
    int late = number(r, "rlate", -1);

    note(key, "ready open=%d", is_open_fn(stream));
    if (number(r, "rkeep", 0)) {
        start_keeper(stream, r, key);
    }
    change_channels(stream, r, key);
    if (number(r, "rhdr", 0)) {
        change_headers(r);
    }
    if (number(r, "rrace", 0)) {
        race(stream, r, key);
    }
    send_events(stream, r, key);
    pause_msec(number(r, "rsleep", 0));
    apr_sleep(number(r, "rusec", 0));
    if (number(r, "rend", 0)) {
        note(key, "rend rv=%d", end_fn(stream));
        note(key, "rend rv=%d", end_fn(stream));
    }
    wait_for_end(stream, number(r, "rwait", 0));
    if (late >= 0) {
        wait_for_end(stream, 5000);
        pause_msec(late);
        register_one(r, "late", SSE_ON_ANY);
    }
}

/* asend=1: what the handler may still do when sse_start has returned. */
static void send_and_end(request_rec *r)
{
    char buf[TEXT_MAX];
    void *stream = NULL;
    apr_status_t sent;

    apr_pool_userdata_get(&stream, "started", r->pool);
    if (stream) {
        sent = send_text(stream, "from the handler");
        note(query(r, "k", buf), "asend send=%d end=%d", sent, end_fn(stream));
        release_fn(stream);
    }
}

static int app_handler(request_rec *r)
{
    char buf[TEXT_MAX];
    const char *key;
    int rv;

    if (!r->handler || strcmp(r->handler, "sse-close-app")) {
        return DECLINED;
    }
    key = apr_pstrdup(r->pool, query(r, "k", buf));
    apr_table_setn(r->headers_out, "X-Close-Test", "yes");
    apr_table_setn(r->headers_out, "X-Changed", "1");
    apr_table_setn(r->headers_out, "X-Removed", "1");
    if (number(r, "status", 0)) {
        r->status = number(r, "status", 0);
    }
    if (number(r, "fail", 0)) {
        return number(r, "fail", 0);
    }
    if (number(r, "hold", 0)) {
        note(key, "holds");
        wait_while_held(NULL, NULL);
    }
    register_all(r);
    rv = start_fn(r, key ? on_ready : NULL, (void *)key);
    if (number(r, "asend", 0)) {
        send_and_end(r);
    }
    return number(r, "ret", rv);
}

/* -- Publishing ------------------------------------------------------------ */

static int publish_handler(request_rec *r)
{
    char texts[4][TEXT_MAX];
    sse_event_t event = {0};
    const char *channel, *id = "-";
    apr_status_t rv;

    if (!r->handler || strcmp(r->handler, "sse-close-publish")) {
        return DECLINED;
    }
    channel = query(r, "channel", texts[0]);
    event.id = query(r, "id", texts[1]);
    event.event = query(r, "event", texts[2]);
    event.data = query(r, "data", texts[3]);
    event.data_len = event.data ? strlen(event.data) : 0;
    event.retry = -1;
    rv = publish_fn(r->server, channel ? channel : "", &event, &id, r->pool);
    ap_set_content_type(r, "text/plain");
    ap_rprintf(r, "%d %s\n", rv, id);
    return OK;
}

/* -- The module ------------------------------------------------------------ */

static void retrieve(void)
{
    start_fn = APR_RETRIEVE_OPTIONAL_FN(sse_start);
    send_fn = APR_RETRIEVE_OPTIONAL_FN(sse_send);
    subscribe_fn = APR_RETRIEVE_OPTIONAL_FN(sse_subscribe);
    unsubscribe_fn = APR_RETRIEVE_OPTIONAL_FN(sse_unsubscribe);
    end_fn = APR_RETRIEVE_OPTIONAL_FN(sse_end);
    is_open_fn = APR_RETRIEVE_OPTIONAL_FN(sse_is_open);
    retain_fn = APR_RETRIEVE_OPTIONAL_FN(sse_retain);
    release_fn = APR_RETRIEVE_OPTIONAL_FN(sse_release);
    on_close_fn = APR_RETRIEVE_OPTIONAL_FN(sse_on_close);
    cancel_fn = APR_RETRIEVE_OPTIONAL_FN(sse_cancel);
    publish_fn = APR_RETRIEVE_OPTIONAL_FN(sse_publish);
    name_fn = APR_RETRIEVE_OPTIONAL_FN(sse_close_name);
}

/* preg=1: a registration in a phase before the handler's. */
static int register_early(request_rec *r)
{
    if (r->args && !r->main && !r->prev && number(r, "preg", 0)) {
        register_one(r, "early", SSE_ON_ANY);
    }
    return DECLINED;
}

/* sreg=1: in a subrequest, which mod_include and mod_dir make. */
static int register_in_subrequest(request_rec *r)
{
    if (r->main && r->args && number(r, "sreg", 0)) {
        register_one(r, "sub", SSE_ON_ANY);
    }
    return DECLINED;
}

static void register_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(sse, stream_open, on_stream_open, NULL, NULL,
                      APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(sse, stream_close, on_stream_close, NULL, NULL,
                      APR_HOOK_MIDDLE);
    ap_hook_optional_fn_retrieve(retrieve, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(open_log, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(register_early, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(register_in_subrequest, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(app_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(options_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(publish_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(log_slowly, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_close_connection(on_pre_close, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA sse_close_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
    AP_MODULE_FLAG_NONE};
