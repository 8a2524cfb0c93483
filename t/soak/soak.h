/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak.h
 * The soak: numbered events through a server that is restarted and whose
 * children are killed, to subscribers that come and go.  Each subscriber checks
 * every event when it comes; the rest is checked at the end.
 *
 * What makes it exact: a publisher has one event in flight at a time, so its
 * numbers come to each subscriber as 1, 2, 3, ...; and an event has one id in
 * the answer to its publisher, the answer to a repetition, and every stream.
 *
 * One thread, one epoll (client_net.c).  What httpd does wrong is noted and the
 * soak goes on; what keeps the soak itself from working ends it (die()).
 */

#ifndef SSE_SOAK_H
#define SSE_SOAK_H

#include "t/client/client.h"

/* As many as soak.conf has in /soak-all. */
#define SOAK_CHANNELS_MAX 20
#define SOAK_ACTS_MAX     1000

/** The soak's parameters. */
typedef struct {
    int seconds;
    int subs;
    int pubs;
    int rate;     /**< events a second, of all publishers together */
    int channels; /**< publisher p publishes to channel p % channels */
    int wide;     /**< so many subscribers have all channels, the others one */
    long seed;
    pid_t parent;
    const char *dir; /**< with httpd's error_log and the file "notes" */
} soak_t;

extern soak_t soak; /* const after the start */

/* -- What went wrong (soak_check.c) ---------------------------------------- */

typedef enum {
    WRONG_MISSED,
    WRONG_DOUBLED,
    WRONG_ORDER,
    WRONG_GAP,
    WRONG_ID,      /**< one event, two ids */
    WRONG_STREAM,  /**< refused, or silent */
    WRONG_PUBLISH, /**< refused, or never answered */
    WRONG_KINDS
} wrong_e;

/** Counts a fault, and prints the first ones with what was done to the server
 *  last. */
void wrong(wrong_e kind, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int wrong_count(wrong_e kind);

/** A test of TAP. */
void check(int is_ok, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** The number of checks that failed. */
int checks_failed(void);

void check_opens(void);
void check_error_log(void);

/** Children and parent, at one moment. */
typedef struct {
    int children;
    long memory; /**< RssAnon of all children, kB */
    int most;    /**< descriptors of the child that has most */
    long parent_memory;
    int parent_descriptors;
} sample_t;

void sample_take(sample_t *sample);
void check_samples(const sample_t *idle, const sample_t *begin,
                   const sample_t *quiet, const sample_t *end,
                   const sample_t *after);

/* -- What is done to the server (soak_acts.c) ------------------------------ */

/** Plans them by the seed alone, before any other random number is drawn. */
void acts_plan(void);
void acts_start(uint64_t now);
/** Does what is due. */
void acts_turn(uint64_t now);
/** What was done last, in words. */
const char *acts_last(void);
void check_acts(void);

/* -- Publishers (soak_pubs.c) ---------------------------------------------- */

void pubs_start(void);
/** Publishes what is due by then, and repeats what was not answered. */
void pubs_turn(uint64_t now, int is_over);
/** Whether everything was answered. */
int pubs_are_done(void);
/** The newest id that was answered. */
uint64_t pubs_newest(void);
/** The id before all events. */
uint64_t pubs_origin(void);
/** The last number of publisher p. */
uint32_t pubs_last(int p);
/** Event n of publisher p; 0: not known yet. */
uint64_t pubs_id(int p, uint32_t n);
/** Notes an id that an answer or a stream gave it. */
void pubs_tell_id(int p, uint32_t n, uint64_t id, const char *who);
void pubs_close(void);
void check_pubs(void);

/* -- Subscribers (soak_subs.c) --------------------------------------------- */

void watchers_start(void);
/** @param is_over those that are away come back, and nobody leaves */
void watchers_turn(uint64_t now, int is_over);
/** Whether each has had a stream. */
int watchers_have_come(void);
/** A subscriber that begins now, with all events of all channels. */
void watchers_audit(void);
/** How many events have come, to all together. */
uint64_t watchers_events(void);
/** How many subscribers do not have all events yet. */
int watchers_behind(void);
void watchers_close(void);
void check_watchers(void);

#endif /* SSE_SOAK_H */
