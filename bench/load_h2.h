/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2.h
 * Clients that speak TLS, and HTTP/2 over it (RFC 9113), on top of t/client's
 * connections: as much as a load needs, with the windows of a browser.
 *
 * Threads: one.
 */

#ifndef BENCH_LOAD_H2_H
#define BENCH_LOAD_H2_H

#include "load.h"

/* -- TLS (load_tls.c) ------------------------------------------------------ */

/** For net_over(): "h2", or with 0 "http/1.1".  Its open() shakes hands, for
 *  10 s at most. */
const net_layer_t *tls_layer(int is_h2);

/* -- Connections and their streams (load_h2.c) ----------------------------- */

/** What Chromium gives a connection, and each stream. */
#define H2_CONN_WINDOW   (15 * 1024 * 1024)
#define H2_STREAM_WINDOW (6 * 1024 * 1024)

typedef struct h2_stream_t h2_stream_t;
typedef struct h2_t h2_t;

/** A stream's callbacks; each may be NULL.  What they need is around the
 *  stream, whose first member that is. */
typedef struct {
    void (*on_head)(h2_stream_t *stream);
    void (*on_data)(h2_stream_t *stream, const char *bytes, size_t len);
    void (*on_over)(h2_stream_t *stream); /**< it is no longer known */
} h2_events_t;

/** How it has ended. */
typedef enum { H2_OPEN, H2_ENDED, H2_RESET, H2_GONE } h2_over_e;

struct h2_stream_t {
    h2_t *h2;
    const h2_events_t *events;
    uint32_t id;
    int status; /**< 0: no head yet; -1: one that is rarely sent */
    h2_over_e over;
    uint64_t got;     /**< bytes of its body */
    uint32_t unacked; /**< not yet added to its window again */
    int is_slow;      /**< h2_stream_give() does; set after h2_get() */
    const char *body; /**< what is left to be sent; not owned */
    size_t body_len;
    int64_t window;    /**< for that */
    h2_stream_t *next; /**< of the connection */
};

struct h2_t {
    conn_t conn;
    h2_stream_t *streams;
    uint32_t next;      /**< stream id */
    uint32_t window_of; /**< of a stream, for what is sent to us */
    uint32_t unacked;
    int64_t window;         /**< the connection's, for what we send */
    int64_t initial_window; /**< a stream's, likewise */
    int goaway;             /**< -1: none; its error code */
    unsigned char head[9];
    size_t head_len;
    size_t left;   /**< of the frame's payload */
    char *payload; /**< what has come of it, where it is no DATA */
    size_t payload_len;
    char *out[2]; /**< what is being sent, and what comes after that */
    size_t out_size[2], out_len;
};

/** @param window a stream's, for what is sent to us
 *  @return 0: no handshake */
int h2_open(h2_t *h2, int port, uint32_t window);
/** Its streams are gone; nothing is told of them. */
void h2_close(h2_t *h2);

/** A GET. @param fields "name\0value\0...", ended by an empty name; or "" */
void h2_get(h2_t *h2, h2_stream_t *stream, const h2_events_t *events,
            const char *path, const char *fields);
/** A POST. @param body must stay until the answer has come */
void h2_post(h2_t *h2, h2_stream_t *stream, const h2_events_t *events,
             const char *path, const char *body, size_t len);
/** A GET of a page that must be answered 200 within 10 s. */
void h2_page(h2_t *h2, const char *path);
/** RST_STREAM; nothing is told of it any more. */
void h2_reset(h2_stream_t *stream);
/** Adds so much to a slow stream's window, of what has come. */
void h2_stream_give(h2_stream_t *stream, uint32_t most);

/* -- Subscribers (load_h2_subs.c) ------------------------------------------ */

typedef struct h2_subs_t h2_subs_t;

typedef struct {
    h2_stream_t stream;
    h2_subs_t *all;
    block_t block;
    uint64_t events;
    char number[12]; /**< see mod_bench_close.c */
} h2_sub_t;

struct h2_subs_t {
    h2_t *conns;
    int n; /**< connections */
    h2_sub_t *subs;
    int per; /**< streams of each */
    int open, gone;
    uint64_t events, gaps;
    void (*on_events)(h2_sub_t *sub, uint64_t more); /**< may be NULL */
};

/** One by itself. @param i its number */
void h2_sub_open(h2_t *h2, h2_sub_t *sub, h2_subs_t *all, const char *path,
                 int i);
/** Connections without a stream: each has loaded a small page.
 *  @param most streams that each will have */
void h2_subs_connect(h2_subs_t *subs, int port, int n, int most);
/** So many streams more on each of them; returns when all heads have come, or
 *  when none has come for five seconds.
 *  @return how many are open on all */
int h2_subs_open(h2_subs_t *subs, int more, const char *path);
/** Connections that the server has closed. */
int h2_subs_closed(const h2_subs_t *subs);
void h2_subs_close(h2_subs_t *subs);
/** Reads until all have had this many events together. @return 0: time-out */
int h2_subs_await(h2_subs_t *subs, uint64_t events, uint64_t timeout);

/* -- What the server says (load_h2_ask.c) ---------------------------------- */

/** A number of the server's, by HTTP/1.1 without TLS; -1: no answer within 3 s.
 *  @param path of sse-status, or "/server-status?auto"
 *  @param key as it is written before the number */
long h2_ask(const target_t *target, const char *path, const char *key);

void scenario_h2_idle(const target_t *target);
void scenario_h2_cpu(const target_t *target);
void scenario_h2_close(const target_t *target);
void scenario_h2_pages(const target_t *target);
void scenario_h2_site(const target_t *target);

#endif /* BENCH_LOAD_H2_H */
