/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file client.h
 * What the benchmarks (bench/load*.c) and the soak (t/soak) share: connections
 * that speak HTTP/1.1 over one epoll, what /proc says of the server, the clock,
 * a free port.
 *
 * A client is measured along with the server, on the same machine.  So it is
 * one thread, makes one read per readiness, and looks at each byte of an event
 * once.
 *
 * Threads: one.
 */

#ifndef SSE_TEST_CLIENT_H
#define SSE_TEST_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MSEC 1000000ull
#define SEC  (1000 * MSEC)

/** Ends the program with a message.  Each program has its own. */
void die(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/** CLOCK_MONOTONIC, ns: one clock for all processes of a machine. */
uint64_t now_ns(void);
/** Raises this process's limit on descriptors to what the system allows. */
void client_raise_limit(void);
/** Prints a free port of loopback: the first of ten from this one on, or any
 *  (0).  @return what to exit with: 1 if there is none */
int client_print_free_port(int from);

/* -- Connections (client_net.c) -------------------------------------------- */

typedef struct conn_t conn_t;

/** A connection's callbacks; each may be NULL.  Without on_gone, a connection
 *  that the server closes is a failure. */
typedef struct {
    void (*on_head)(conn_t *conn);
    void (*on_body)(conn_t *conn, const char *bytes, size_t len);
    void (*on_reply)(conn_t *conn); /**< the response is whole */
    void (*on_gone)(conn_t *conn);  /**< closed by the server; fd is -1 */
} conn_events_t;

/** For who speaks another protocol than HTTP/1.1. */
typedef struct {
    void (*on_bytes)(conn_t *conn, const char *bytes, size_t len);
    void (*on_sent)(conn_t *conn); /**< all of what net_send() was given */
} conn_raw_t;

/** What is between a connection and its socket, as TLS is.  read() and write()
 *  are as recv() and send() of a socket that does not block. */
typedef struct {
    /** It is connected and blocks yet.  @return 0: that has failed */
    int (*open)(conn_t *conn);
    ssize_t (*read)(conn_t *conn, char *to, size_t size);
    ssize_t (*write)(conn_t *conn, const char *bytes, size_t len);
    /** Whether there are bytes that the socket does not tell of. */
    int (*has_more)(conn_t *conn);
    void (*close)(conn_t *conn);
} net_layer_t;

typedef enum {
    READ_HEAD,
    READ_LENGTH, /**< a body of known length */
    READ_CHUNK_SIZE,
    READ_CHUNK_NAME, /**< the rest of the size's line */
    READ_CHUNK,
    READ_CHUNK_END,
    READ_TRAILER
} read_state_e;

struct conn_t {
    int fd; /**< -1: closed */
    const conn_events_t *events;
    const conn_raw_t *raw;    /**< NULL: HTTP/1.1; may be set once it is open */
    const net_layer_t *layer; /**< NULL: none */
    void *session;            /**< the layer's */
    void *baton;
    uint64_t received; /**< when the present bytes were read */
    const char *out;   /**< the rest of the request; not owned */
    size_t out_len;
    uint32_t addr; /**< ours, network order */
    uint16_t port;
    int status; /**< of the last response */
    read_state_e state;
    uint64_t left; /**< of the body or chunk */
    size_t head_len;
    char head[768];
};

void net_start(int port);
/** Where those go that are opened from now.  @return where they went before */
int net_to(int port);
/** And over what; NULL: the socket itself.  A layer that cannot be opened
 *  leaves the connection's fd at -1. */
void net_over(const net_layer_t *layer);
/** SO_RCVBUF of those that are opened from now; 0: the kernel's. */
void net_receive(int bytes);
void net_open(conn_t *conn, const conn_events_t *events, void *baton);
/** @param bytes must stay until the response has come */
void net_send(conn_t *conn, const char *bytes, size_t len);
void net_close(conn_t *conn);
/** Stop reading from it, or go on. */
void net_pause(conn_t *conn, int on);
/** One epoll_wait() and the callbacks for its events. */
void net_turn(int timeout_msec);
/** Calls net_turn() for so long. */
void net_wait(uint64_t ns);

/* -- The server as /proc shows it (client_proc.c) -------------------------- */

#define PROC_CHILDREN_MAX 16

typedef struct {
    pid_t pids[PROC_CHILDREN_MAX];
    int n;
} proc_children_t;

void proc_children(pid_t parent, proc_children_t *children);
/** A line "key:  n ..." of /proc/pid/file; -1: the process has ended. */
long proc_find(pid_t pid, const char *file, const char *key);
/** The same of one that must be there. */
long proc_value(pid_t pid, const char *file, const char *key);
/** -1: the process has ended. */
int proc_count_descriptors(pid_t pid);
/** The same of one that must be there. */
int proc_descriptors(pid_t pid);
/** User's and system's, ns, of all. */
uint64_t proc_cpu(const proc_children_t *children);

#endif /* SSE_TEST_CLIENT_H */
