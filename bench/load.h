/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load.h
 * What the parts of the load generator share: connections that speak HTTP/1.1
 * over one epoll, subscribers and publishers on top of them, what /proc says of
 * the server, and figures.
 *
 * The generator is measured along with the server, on the same machine.  So it
 * is one thread, makes one read per readiness, and looks at each byte of an
 * event once.
 *
 * Whatever fails ends the program with a message: half a measurement is none.
 */

#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MSEC 1000000ull
#define SEC  (1000 * MSEC)

void die(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/** CLOCK_MONOTONIC, ns: one clock for all processes of a machine. */
uint64_t now_ns(void);

/* -- Connections (load_net.c) ---------------------------------------------- */

typedef struct conn_t conn_t;

/** What a connection tells; each may be NULL, but on_gone, without which a
 *  connection that the server closes is a failure. */
typedef struct {
    void (*on_head)(conn_t *conn);
    void (*on_body)(conn_t *conn, const char *bytes, size_t len);
    void (*on_reply)(conn_t *conn); /**< the response is whole */
    void (*on_gone)(conn_t *conn);  /**< closed by the server; fd is -1 */
} conn_events_t;

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
    void *baton;
    uint64_t received; /**< when the bytes told of now were read */
    const char *out;   /**< what of the request is not sent yet; not owned */
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
/** SO_RCVBUF of those that are opened from now; 0: the kernel's. */
void net_receive(int bytes);
void net_open(conn_t *conn, const conn_events_t *events, void *baton);
/** @param bytes must stay until the response has come */
void net_send(conn_t *conn, const char *bytes, size_t len);
void net_close(conn_t *conn);
/** Reads nothing from it until it is told to go on. */
void net_pause(conn_t *conn, int on);
/** One epoll_wait, and what it brings. */
void net_turn(int timeout_msec);
/** Turns for so long. */
void net_wait(uint64_t ns);

/* -- Subscribers (load_subs.c) --------------------------------------------- */

typedef struct subs_t subs_t;

typedef struct {
    conn_t conn;
    subs_t *all;
    uint64_t events;      /**< whole ones */
    uint64_t first;       /**< when the first event was whole; 0: none yet */
    char kind;            /**< the first byte of the block being read, or 0 */
    unsigned char inside; /**< a line of it has begun */
} sub_t;

struct subs_t {
    sub_t *subs;
    int n;
    int open;
    int gone;        /**< closed by the server */
    uint64_t events; /**< whole ones of all */
    uint64_t gaps;   /**< how often events were told to be missing */
    /** may be NULL; after so many more events of one subscriber */
    void (*on_events)(sub_t *sub, uint64_t more);
};

/** Returns when all heads have come. @param fields more header lines, or "" */
void subs_open(subs_t *subs, int n, const char *path, const char *fields);
void subs_close(subs_t *subs);
/** Turns until all have had this many events together. @return 0: time out */
int subs_await(subs_t *subs, uint64_t events, uint64_t timeout);

/* -- Publishers (load_pubs.c) ---------------------------------------------- */

typedef struct {
    conn_t conn;
    char *request;
    size_t len;
    int busy;
    uint64_t posted; /**< when the last request was sent */
    uint64_t answers;
    int again; /**< how often the server closed the connection */
    size_t body_len;
    char body[256]; /**< the beginning of the last answer's body */
} pub_t;

/** What is posted again and again. @param type Content-Type, or NULL: none */
void pub_open(pub_t *pub, const char *path, const char *type, const char *body,
              size_t len);
void pub_post(pub_t *pub);
/** Posts, and turns until the answer has come. */
void pub_post_wait(pub_t *pub);
void pub_close(pub_t *pub);
/** A text/event-stream body of n equal events; malloc'ed. */
char *pub_batch(int n, size_t *len);

/* -- The server as /proc shows it (load_proc.c) ---------------------------- */

#define PROC_CHILDREN_MAX 16

typedef struct {
    pid_t pids[PROC_CHILDREN_MAX];
    int n;
} proc_children_t;

void proc_children(pid_t parent, proc_children_t *children);
/** A line "key:  n ..." of /proc/pid/file. */
long proc_value(pid_t pid, const char *file, const char *key);
int proc_descriptors(pid_t pid);
/** User's and system's, ns, of all. */
uint64_t proc_cpu(const proc_children_t *children);

/* -- Figures (load_figures.c) ---------------------------------------------- */

typedef struct {
    double *values;
    size_t n, size;
    int sorted;
} samples_t;

void samples_add(samples_t *samples, double value);
/** @param q 0 to 1: 0.5 is the median, 1 the largest */
double samples_at(samples_t *samples, double q);
void samples_free(samples_t *samples);

/** The scenario whose figures follow. */
void figures_of(const char *scenario, const char *what);
void figure(const char *what, double value, const char *unit);
/** The same with a target, of which the line tells whether it was met. */
void figure_most(const char *what, double value, const char *unit,
                 double limit);
void figure_least(const char *what, double value, const char *unit,
                  double limit);
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* -- The scenarios --------------------------------------------------------- */

typedef struct {
    pid_t parent;       /**< httpd's */
    const char *closes; /**< the file of bench_close_log.h */
} target_t;

void scenario_idle(const target_t *target);
void scenario_close(const target_t *target);
void scenario_latency(const target_t *target);
void scenario_fanout(const target_t *target);
void scenario_publish(const target_t *target);
void scenario_long(const target_t *target);
void scenario_resume(const target_t *target);
void scenario_slow(const target_t *target);
void scenario_burst(const target_t *target);

/** What the server tells of closes (load_close.c). */
struct bench_close_log_t;
const struct bench_close_log_t *closes_map(const char *name);

#endif /* BENCH_LOAD_H */
