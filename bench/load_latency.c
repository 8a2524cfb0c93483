/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_latency.c
 * Scenario "latency": from sending a POST to its event's receipt.
 */

#include "load.h"

#define SUBSCRIBERS 100
#define ROUNDS      500
#define WARM_UP     20

static const char path[] = "/events/latency";

static struct {
    uint64_t posted;
    uint64_t last;
    samples_t *receipts; /* NULL: not counted */
} round_now;

static void on_events(sub_t *sub, uint64_t more)
{
    round_now.last = sub->conn.received;
    if (round_now.receipts) {
        samples_add(round_now.receipts,
                    (double)(sub->conn.received - round_now.posted) / MSEC);
    }
}

static void post_and_await(pub_t *pub, subs_t *subs)
{
    uint64_t all = subs->events + (uint64_t)subs->n;

    round_now.posted = now_ns();
    pub_post_wait(pub);
    if (!subs_await(subs, all, 5 * SEC)) {
        die("an event did not come");
    }
}

/* Also with a pause, as sleeping threads of the server have to be woken. */
static void rounds(const char *what, uint64_t pause, int n, double limit)
{
    samples_t receipts = {0}, lasts = {0};
    subs_t subs = {0};
    pub_t pub;
    int i;

    subs.on_events = on_events;
    subs_open(&subs, SUBSCRIBERS, path, "");
    pub_open(&pub, path, "text/plain", "0123456789abcdef", 16);
    for (i = 0; i < WARM_UP; ++i) {
        post_and_await(&pub, &subs);
    }
    round_now.receipts = &receipts;
    for (i = 0; i < n; ++i) {
        net_wait(pause);
        post_and_await(&pub, &subs);
        samples_add(&lasts, (double)(round_now.last - round_now.posted) / MSEC);
    }
    round_now.receipts = NULL;
    remark("%s:", what);
    figure_most("POST to receipt, median", samples_at(&receipts, 0.5), "ms",
                limit);
    figure("POST to receipt, p99", samples_at(&receipts, 0.99), "ms");
    figure("POST to the last one's receipt, median", samples_at(&lasts, 0.5),
           "ms");
    figure("POST to the last one's receipt, p99", samples_at(&lasts, 0.99),
           "ms");
    pub_close(&pub);
    subs_close(&subs);
    samples_free(&receipts);
    samples_free(&lasts);
}

void scenario_latency(const target_t *target)
{
    figures_of("latency", "100 subscribers in two children, keep-alive POSTs");
    rounds("500 rounds, one after the other", 0, ROUNDS, 2);
    rounds("500 rounds with a pause of 5 ms", 5 * MSEC, ROUNDS, 2);
}
