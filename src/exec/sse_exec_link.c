/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/sse_exec_supervisor.h"
#include "loop/sse_epoll.h"

/* How often a door that is full is tried again, or epoll. */
#define RETRY_MSEC 50
/* Messages that are taken in one turn of the loop. */
#define TURN_MOST 64

/* A message on its way out. */
typedef struct letter_t {
    STAILQ_ENTRY(letter_t) link;
    sse_exec_message_t message;
    int fd;      /* -1: none */
    int is_ours; /* to be closed */
} letter_t;

/* loop */
static struct {
    sse_loop_t *loop;                     /* const after child_init */
    const sse_exec_link_events_t *events; /* likewise */
    int fd;                               /* -1: not connected */
    uv_poll_t *poll;  /* malloc'ed, as it is closed later than the socket */
    int wanted;       /* what is watched for; 0: there was no room */
    uv_timer_t retry; /* for that, or as the door is full */
    STAILQ_HEAD(, letter_t) letters;
} here = {.fd = -1, .letters = STAILQ_HEAD_INITIALIZER(here.letters)};

/* -- What waits ------------------------------------------------------------ */

void sse_exec_link_add(apr_uint32_t type, apr_uint64_t id, int fd, int is_ours)
{
    letter_t *letter = calloc(1, sizeof(*letter));

    if (!letter) {
        abort();
    }
    letter->message.type = type;
    letter->message.id = id;
    letter->message.pid = getpid();
    letter->fd = fd;
    letter->is_ours = is_ours;
    STAILQ_INSERT_TAIL(&here.letters, letter, link);
}

static void remove_first(void)
{
    letter_t *letter = STAILQ_FIRST(&here.letters);

    STAILQ_REMOVE_HEAD(&here.letters, link);
    if (letter->is_ours) {
        close(letter->fd);
    }
    free(letter);
}

static void remove_all(void)
{
    while (!STAILQ_EMPTY(&here.letters)) {
        remove_first();
    }
}

void sse_exec_link_withdraw(apr_uint64_t id)
{
    letter_t *letter;

    STAILQ_FOREACH(letter, &here.letters, link)
    {
        if (letter->message.id == id) {
            STAILQ_REMOVE(&here.letters, letter, letter_t, link);
            free(letter);
            return;
        }
    }
}

/* -- Connecting ------------------------------------------------------------ */

static void on_ready(uv_poll_t *poll, int status, int events);

static apr_status_t go_through_door(int socket)
{
    sse_exec_message_t message = {0};
    int door = sse_exec_supervisor_door();

    message.type = SSE_EXEC_CONNECT;
    message.pid = getpid();
    return door < 0 ? APR_ENOENT
                    : sse_exec_message_send(door, &message, &socket, 1);
}

static void on_poll_closed(uv_handle_t *handle) { free(handle); }

static apr_status_t watch(int socket)
{
    apr_status_t rv;
    int err;

    here.poll = calloc(1, sizeof(*here.poll));
    if (!here.poll) {
        abort();
    }
    err = uv_poll_init(sse_loop_uv(here.loop), here.poll, socket);
    if (err) {
        free(here.poll);
        return -err;
    }
    rv = sse_epoll_watch(here.poll, UV_READABLE, on_ready);
    if (rv != APR_SUCCESS) {
        uv_close((uv_handle_t *)here.poll, on_poll_closed);
        return rv;
    }
    here.fd = socket;
    here.wanted = UV_READABLE;
    return APR_SUCCESS;
}

static apr_status_t connect_to_it(void)
{
    int pair[2];
    apr_status_t rv;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   pair)) {
        return errno;
    }
    rv = go_through_door(pair[1]);
    close(pair[1]);
    rv = rv == APR_SUCCESS ? watch(pair[0]) : rv;
    if (rv != APR_SUCCESS) {
        close(pair[0]);
    }
    return rv;
}

static void on_retry(uv_timer_t *timer);

/* @return whether there is a connection to send through */
static int is_connected(void)
{
    apr_status_t rv = here.fd < 0 ? connect_to_it() : APR_SUCCESS;

    if (APR_STATUS_IS_EAGAIN(rv)) {
        uv_timer_start(&here.retry, on_retry, RETRY_MSEC, 0);
    }
    else if (rv != APR_SUCCESS) {
        remove_all();
        here.events->on_unreachable(rv);
    }
    return rv == APR_SUCCESS;
}

int sse_exec_link_is_up(void) { return here.fd >= 0; }

/* -- Sending, receiving ---------------------------------------------------- */

/* Each change costs its place in epoll, which another process may take. */
static void want(int events)
{
    events |= UV_READABLE;
    if (events == here.wanted) {
        return;
    }
    here.wanted = sse_epoll_watch(here.poll, events, on_ready) == APR_SUCCESS
                      ? events
                      : 0;
    if (!here.wanted) {
        uv_timer_start(&here.retry, on_retry, RETRY_MSEC, 0);
    }
}

static void on_retry(uv_timer_t *timer)
{
    if (sse_exec_link_is_up()) {
        want(0);
        sse_exec_link_read(); /* it may not be watched yet */
    }
    sse_exec_link_flush();
}

/* What goes wrong shows as the end of the connection, too. */
void sse_exec_link_flush(void)
{
    letter_t *letter;
    apr_status_t rv;

    if (STAILQ_EMPTY(&here.letters) || !is_connected()) {
        return;
    }
    while ((letter = STAILQ_FIRST(&here.letters))) {
        rv = sse_exec_message_send(here.fd, &letter->message, &letter->fd,
                                   letter->fd >= 0);
        if (APR_STATUS_IS_EAGAIN(rv)) {
            want(UV_WRITABLE);
            return;
        }
        remove_first();
    }
    want(0);
}

static void on_broken(void)
{
    uv_close((uv_handle_t *)here.poll, on_poll_closed);
    close(here.fd);
    here.fd = -1;
    remove_all();
    here.events->on_broken();
}

/* @return whether there may be more */
static int take_one(void)
{
    sse_exec_message_t message;
    int fds[SSE_EXEC_FDS], n;
    apr_status_t rv = sse_exec_message_receive(here.fd, &message, fds, &n);

    if (rv == APR_SUCCESS || rv == EMFILE) {
        here.events->on_message(&message, fds, n);
        return 1;
    }
    if (!APR_STATUS_IS_EAGAIN(rv)) {
        on_broken();
    }
    return 0;
}

void sse_exec_link_read(void)
{
    int n = TURN_MOST;

    while (here.fd >= 0 && n-- && take_one()) {
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    sse_loop_begin_turn(here.loop);
    sse_exec_link_read();
    sse_exec_link_flush();
}

void sse_exec_link_init(sse_loop_t *loop, const sse_exec_link_events_t *events)
{
    here.loop = loop;
    here.events = events;
    uv_timer_init(sse_loop_uv(loop), &here.retry);
}
