/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_site.c
 * Scenario "h2_site": 500 browsers, each with one TLS connection and a stream,
 * that load pages; against the same without streams, and stock httpd.
 *
 * Each loads a page of five small files every two seconds: the time of a page
 * runs from when it was due, not from when its turn came, to its last file.
 * Some are slow instead: they take a file of 256 KB, 16 KB each fifth of a
 * second.  Then 12 load pages at a time, each time others, as fast as they are
 * answered.  (With more at a time stock httpd runs out of threads, and closes
 * most of the connections.)
 */

#include "load_h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROWSERS 500
#define SLOW     10
#define FILES    5
#define EVERY    (2 * SEC)
#define PACED    (8 * SEC)
#define SPEED    (4 * SEC)
#define AT_ONCE  12
/* Who is not answered for so long is told of. */
#define PATIENCE   (4 * SEC)
#define SLOW_PIECE 16384
#define SLOW_EVERY (200 * MSEC)

typedef struct browser_t browser_t;

typedef struct {
    h2_stream_t stream;
    browser_t *browser;
} file_t;

struct browser_t {
    h2_t h2;
    h2_sub_t sub;
    file_t files[FILES];
    int left;       /* files that have not come */
    uint64_t due;   /* when the next page is */
    uint64_t since; /* the present one's */
    int is_slow;
};

static struct {
    browser_t browsers[BROWSERS];
    h2_subs_t subs; /* counts; the browsers have the streams */
    samples_t pages, receipts;
    uint64_t loaded, published;
    int port, has_streams;
    int at_speed, failed;
    int again;         /* connections that the server had closed */
    int loading, next; /* at speed: how many do, and whose turn it is */
} site;

/* -- A page ---------------------------------------------------------------- */

static void page_is_whole(browser_t *browser)
{
    ++site.loaded;
    if (!browser->is_slow) {
        samples_add(&site.pages, (double)(now_ns() - browser->since) / MSEC);
    }
}

static void on_file(h2_stream_t *stream)
{
    browser_t *browser = ((file_t *)stream)->browser;

    site.failed += stream->over != H2_ENDED || stream->status != 200;
    if (!--browser->left) {
        site.loading -= !browser->is_slow;
        page_is_whole(browser);
    }
}

static const h2_events_t file_events = {NULL, NULL, on_file};

static void load_page(browser_t *browser, uint64_t due)
{
    char path[32];
    int i;

    site.loading += !browser->is_slow;
    browser->since = due;
    browser->left = browser->is_slow ? 1 : FILES;
    for (i = 0; i < browser->left; ++i) {
        snprintf(path, sizeof(path), "/file%d.txt", i);
        browser->files[i].browser = browser;
        h2_get(&browser->h2, &browser->files[i].stream, &file_events,
               browser->is_slow ? "/medium.bin" : path, "");
        browser->files[i].stream.is_slow = browser->is_slow;
    }
}

/* -- All ------------------------------------------------------------------- */

static void feed_slow(void)
{
    static uint64_t next;
    uint64_t now = now_ns();
    int i;

    if (now < next) {
        return;
    }
    next = now + SLOW_EVERY;
    for (i = 0; i < SLOW; ++i) {
        if (site.browsers[i].left) {
            h2_stream_give(&site.browsers[i].files[0].stream, SLOW_PIECE);
        }
    }
}

static void browser_open(browser_t *browser)
{
    int i = (int)(browser - site.browsers);

    if (!h2_open(&browser->h2, site.port,
                 browser->is_slow ? SLOW_PIECE : H2_STREAM_WINDOW)) {
        die("a TLS connection was not accepted");
    }
    if (site.has_streams) {
        h2_sub_open(&browser->h2, &browser->sub, &site.subs, "/events/h2_site",
                    i);
    }
}

/* When all its threads are busy httpd closes connections that have nothing to
 * do; browsers open others. */
static int can_load(browser_t *browser)
{
    if (!browser->left && browser->h2.conn.fd < 0) {
        ++site.again;
        h2_close(&browser->h2);
        browser_open(browser);
    }
    return !browser->left;
}

static void load_due(uint64_t now)
{
    browser_t *browser;
    int i;

    for (i = 0; i < BROWSERS; ++i) {
        browser = &site.browsers[i];
        if (browser->due <= now && can_load(browser)) {
            load_page(browser, browser->due);
            browser->due += EVERY;
        }
    }
}

static void load_at_speed(uint64_t now)
{
    browser_t *browser;
    int i;

    for (i = 0; i < BROWSERS && site.loading < AT_ONCE; ++i) {
        browser = &site.browsers[site.next++ % BROWSERS];
        if (can_load(browser)) {
            load_page(browser, now);
        }
    }
}

static int waiting(void)
{
    int i, n = 0;

    for (i = SLOW; i < BROWSERS; ++i) {
        n += site.browsers[i].left != 0;
    }
    return n;
}

/* One event a second, whose receipts are measured. */
static void publish(pub_t *pub, uint64_t now)
{
    if (pub->request && !pub->busy && now >= site.published + SEC) {
        site.published = now;
        pub_post(pub);
    }
}

static void on_events(h2_sub_t *sub, uint64_t more)
{
    if (site.published) {
        samples_add(&site.receipts, (double)(now_ns() - site.published) / MSEC);
    }
}

/* @return seconds */
static double turn_for(pub_t *pub, uint64_t time)
{
    uint64_t begin = now_ns(), now;

    while ((now = now_ns()) < begin + time) {
        site.at_speed ? load_at_speed(now) : load_due(now);
        publish(pub, now);
        feed_slow();
        net_turn(2);
    }
    return (double)(now - begin) / SEC;
}

static void finish(void)
{
    uint64_t until = now_ns() + PATIENCE;

    while (waiting() && now_ns() < until) {
        feed_slow();
        net_turn(2);
    }
}

static void open_all(int port, int with_streams)
{
    uint64_t now;
    int i;

    memset(&site, 0, sizeof(site));
    site.subs.on_events = on_events;
    site.port = port;
    site.has_streams = with_streams;
    for (i = 0; i < BROWSERS; ++i) {
        browser_t *browser = &site.browsers[i];

        browser->is_slow = i < SLOW;
        browser_open(browser);
        h2_page(&browser->h2, "/small.txt");
    }
    net_wait(2 * SEC);
    now = now_ns();
    for (i = 0; i < BROWSERS; ++i) {
        site.browsers[i].due = now + (uint64_t)(drand48() * EVERY);
    }
}

/* -- Figures --------------------------------------------------------------- */

static void tell(const char *what, double seconds)
{
    figure(what, (double)site.loaded / seconds, "/s");
    figure("until a page is whole, median", samples_at(&site.pages, 0.5), "ms");
    figure("p99", samples_at(&site.pages, 0.99), "ms");
    figure("slowest", samples_at(&site.pages, 1), "ms");
    if (site.receipts.n) {
        figure("until an event is received, median",
               samples_at(&site.receipts, 0.5), "ms");
        figure("p99", samples_at(&site.receipts, 0.99), "ms");
    }
}

static void tell_failures(void)
{
    int waits = waiting();

    if (waits || site.again || site.failed) {
        figure_most("browsers that wait for files yet", waits, "", 0);
        figure_most("connections that the server has closed", site.again, "",
                    0);
        figure_most("files that failed", site.failed, "", 0);
    }
}

static void next_part(int at_speed)
{
    samples_free(&site.pages);
    samples_free(&site.receipts);
    site.loaded = 0;
    site.again = site.failed = 0;
    site.at_speed = at_speed;
}

static void measure(const char *name, int port, int with_streams, pub_t *pub,
                    const proc_children_t *children, double *at_speed)
{
    double seconds;
    uint64_t cpu;
    int i;

    open_all(port, with_streams);
    remark("%s:", name);
    if (with_streams) {
        figure_least("streams that are open", site.subs.open, "", BROWSERS);
    }
    cpu = proc_cpu(children);
    seconds = turn_for(pub, PACED);
    finish();
    figure("the server's CPU",
           (double)(proc_cpu(children) - cpu) / 1e7 / seconds, "%");
    tell("pages, each browser one in two seconds", seconds);
    tell_failures();
    next_part(1);
    seconds = turn_for(pub, SPEED);
    *at_speed = (double)site.loaded / seconds;
    finish();
    tell("pages, 12 at a time", seconds);
    tell_failures();
    next_part(0);
    for (i = 0; i < BROWSERS; ++i) {
        h2_close(&site.browsers[i].h2);
    }
    net_wait(SEC);
}

void scenario_h2_site(const target_t *target)
{
    proc_children_t children, of_stock;
    double stock, without, with;
    pub_t pub = {0}, none = {0};

    figures_of("h2_site", "500 browsers, 10 of them slow; one child of 32 "
                          "threads");
    srand48(1);
    proc_children(target->parent, &children);
    proc_children(target->stock, &of_stock);
    measure("stock httpd", target->stock_port, 0, &none, &of_stock, &stock);
    measure("no streams", target->tls_port, 0, &none, &children, &without);
    pub_open(&pub, "/events/h2_site", "text/plain", "0123456789abcdef", 16);
    measure("a stream each", target->tls_port, 1, &pub, &children, &with);
    figure_least("pages, 12 at a time, of those without streams",
                 with / without, "", 0.8);
    figure_least("of stock httpd's", with / stock, "", 0.8);
}
