/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak_acts.c
 * What is done to the server: three graceful restarts and two SIGKILLs of a
 * child a minute, at random moments.
 */

#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last fifth is undisturbed, so that a leak shows. */
#define FROM  0.08
#define UPTO  0.75
#define DRAWS 8

typedef struct {
    double when; /* of the whole, 0 to 1 */
    int is_restart;
} act_t;

static struct {
    act_t acts[SOAK_ACTS_MAX];
    int n, done, restarts, kills;
    uint64_t begun, last;
    char what[64];
} acts;

static int compare(const void *a, const void *b)
{
    const act_t *x = a, *y = b;

    return (x->when > y->when) - (x->when < y->when);
}

static int a_minute(int n)
{
    int all = n * soak.seconds / 60;

    return all > 0 ? all : 1;
}

void acts_plan(void)
{
    int restarts = a_minute(3), i;

    acts.n = restarts + a_minute(2);
    if (acts.n > SOAK_ACTS_MAX) {
        die("at most %d s", SOAK_ACTS_MAX * 60 / 5);
    }
    for (i = 0; i < acts.n; ++i) {
        acts.acts[i].when = FROM + drand48() * (UPTO - FROM);
        acts.acts[i].is_restart = i < restarts;
    }
    qsort(acts.acts, (size_t)acts.n, sizeof(acts.acts[0]), compare);
}

void acts_start(uint64_t now)
{
    acts.begun = now;
    acts.last = now;
    snprintf(acts.what, sizeof(acts.what), "the start");
}

static void restart(void)
{
    if (kill(soak.parent, SIGUSR1)) {
        die("httpd (%d): %s", (int)soak.parent, strerror(errno));
    }
    ++acts.restarts;
    snprintf(acts.what, sizeof(acts.what), "graceful restart %d",
             acts.restarts);
}

/* One that ends by itself in this moment does not count. */
static void kill_child(void)
{
    proc_children_t children;
    pid_t pid;
    int i;

    for (i = 0; i < DRAWS; ++i) {
        proc_children(soak.parent, &children);
        pid = children.pids[(int)(drand48() * children.n)];
        if (!kill(pid, SIGKILL)) {
            ++acts.kills;
            snprintf(acts.what, sizeof(acts.what), "SIGKILL %d, of child %d",
                     acts.kills, (int)pid);
            return;
        }
    }
    die("no child to kill: %s", strerror(errno));
}

void acts_turn(uint64_t now)
{
    double at = (double)(now - acts.begun) / SEC / soak.seconds;

    if (acts.done == acts.n || at < acts.acts[acts.done].when) {
        return;
    }
    if (acts.acts[acts.done++].is_restart) {
        restart();
    }
    else {
        kill_child();
    }
    acts.last = now;
    printf("# %5.1f s: %s\n", (double)(now - acts.begun) / SEC, acts.what);
}

const char *acts_last(void)
{
    static char text[128];
    uint64_t now = now_ns();

    snprintf(text, sizeof(text), "at %.2f s, %.2f s after %s",
             (double)(now - acts.begun) / SEC, (double)(now - acts.last) / SEC,
             acts.what);
    return text;
}

void check_acts(void)
{
    check(acts.done == acts.n,
          "there were %d graceful restarts and %d SIGKILLs of a child",
          acts.restarts, acts.kills);
}
