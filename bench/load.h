/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load.h
 * What the parts of the load generator share: subscribers and publishers on top
 * of t/client's connections, and figures.
 *
 * Whatever fails ends the program with a message: half a measurement is none.
 *
 * Threads: one.
 */

#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "t/client/client.h"

/* -- Subscribers (load_subs.c) --------------------------------------------- */

/** Where a reader is in a stream of events. */
typedef struct {
    char kind;            /**< the first byte of the block being read, or 0 */
    unsigned char inside; /**< a line of it has begun */
} block_t;

/** @param gaps sse-gap events, to which those in these bytes are added
 *  @return how many events have become whole */
uint64_t block_scan(block_t *block, const char *p, const char *end,
                    uint64_t *gaps);

typedef struct subs_t subs_t;

typedef struct {
    conn_t conn;
    subs_t *all;
    uint64_t events; /**< whole ones */
    uint64_t first;  /**< when the first event was whole; 0: none yet */
    block_t block;
} sub_t;

struct subs_t {
    sub_t *subs;
    int n;
    int open;
    int gone;        /**< closed by the server */
    uint64_t events; /**< whole ones of all */
    uint64_t gaps;   /**< sse-gap events */
    /** may be NULL; after so many more events of one subscriber */
    void (*on_events)(sub_t *sub, uint64_t more);
};

/** Returns when all heads have come.
 *  @param path where it ends with a slash, each one's number follows
 *  @param fields more header lines, or "" */
void subs_open(subs_t *subs, int n, const char *path, const char *fields);
void subs_close(subs_t *subs);
/** Reads until all have had this many events together. @return 0: time-out */
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
/** Posts, and reads until the answer has come. */
void pub_post_wait(pub_t *pub);
void pub_close(pub_t *pub);
/** A text/event-stream body of n equal events; malloc'ed. */
char *pub_batch(int n, size_t *len);

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

/* -- Presence: members (load_members.c), followers (load_watch.c) ---------- */

/** A stream of a channel with its own user, whose name is a number. */
typedef struct {
    conn_t conn;
    uint32_t number;
} member_t;

typedef struct {
    const char *path;
    member_t *members;
    int n;
    uint64_t changes; /**< how many came and left */
} crowd_t;

typedef struct {
    const crowd_t *crowd;
    uint64_t came, left; /**< before connect() and close(); 0: not yet */
} person_t;

#define PEOPLE_MAX 200000
extern person_t people[PEOPLE_MAX]; /**< by number */
extern uint32_t people_n;           /**< numbers given */

/** Returns when all heads have come. */
void crowd_open(crowd_t *crowd, const char *path, int n);
/** One of them, at random, leaves, and a new one comes. */
void crowd_change(crowd_t *crowd);
void crowd_close(crowd_t *crowd);

/** A stream of ?presence, which must be told of each one once. */
typedef struct {
    conn_t conn;
    const crowd_t *crowd;
    unsigned char *seen;    /**< by number: what it was told */
    uint64_t before;        /**< changes of the crowd before it came */
    uint64_t told;          /**< changes, without the snapshot */
    uint64_t reads;         /**< that brought something */
    uint64_t begun, listed; /**< connect(), and when the snapshot was whole */
    size_t snapshot;        /**< bytes of its data */
    samples_t *joins;       /**< ms from connect() to the event; or NULL */
    samples_t *leaves;      /**< ms from close() to the event; or NULL */
    char kind;              /**< the first letter of the event's type, or 0 */
    char *line;             /**< what has come of it */
    size_t len, size;
} watch_t;

/** Returns when the snapshot has come.  Before it, others must have been told
 *  of all the crowd's changes. */
void watch_open(watch_t *watch, const crowd_t *crowd);
/** Reads until it has been told of all changes. */
void watch_await(const watch_t *watch);
/** It knows of those who are there now, and of nobody else. */
void watch_check(const watch_t *watch);
void watch_close(watch_t *watch);

/* -- The scenarios --------------------------------------------------------- */

typedef struct {
    pid_t parent;       /**< httpd's */
    int port;           /**< its */
    int tls_port;       /**< 0: none */
    int stock_port;     /**< over TLS, of another without mod_sse; 0: none */
    pid_t stock;        /**< its parent */
    const char *closes; /**< the file of bench_close_log.h */
    const char *hooks;  /**< the file of t/client/hook_target.c */
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
void scenario_hooks(const target_t *target);
void scenario_authorize(const target_t *target);
void scenario_presence(const target_t *target);
void scenario_scrape(const target_t *target);
void scenario_programs(const target_t *target);
void scenario_programs_shared(const target_t *target);
void scenario_poll(const target_t *target);

/* The server's record of closes (load_close.c). */
struct bench_close_log_t;
const struct bench_close_log_t *closes_map(const char *name);
/** Returns when there are so many; there must not be more. */
void closes_await(const struct bench_close_log_t *log, uint64_t entries);

/** 0 to n - 1 in random order; malloc'ed. */
int *shuffled(int n);
void sleep_until(uint64_t when);

#endif /* BENCH_LOAD_H */
