/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_programs_shared.c
 * Scenario "programs_shared": from what is written to a program's input to the
 * receipt by all subscribers of the channel whose program it is.
 */

#include "load.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUBSCRIBERS 1000
#define ROUNDS      300
#define WARM_UP     20
#define PAUSE       (10 * MSEC)
#define MOST_MSEC   20

static const char path[] = "/feed/shared";

static struct {
    uint64_t written;
    uint64_t last;
    samples_t *receipts; /* NULL: not counted */
} round_now;

static void on_events(sub_t *sub, uint64_t more)
{
    round_now.last = sub->conn.received;
    if (round_now.receipts) {
        samples_add(round_now.receipts,
                    (double)(sub->conn.received - round_now.written) / MSEC);
    }
}

/* What SSECommand reads, beside the server's other files: cat.  Both ends, so
 * that it never ends. */
static int make_pipe(const target_t *target, char *name, size_t size)
{
    const char *slash = strrchr(target->closes, '/');
    int fd;

    snprintf(name, size, "%.*s/program.in", (int)(slash - target->closes),
             target->closes);
    unlink(name);
    if (mkfifo(name, 0666) || chmod(name, 0666) ||
        (fd = open(name, O_RDWR | O_CLOEXEC)) < 0) {
        die("%s cannot be made", name);
    }
    return fd;
}

/* Whether this process is "cat" with that file. */
static int is_program(const char *pid, const char *name)
{
    char file[64], line[4096];
    ssize_t n;
    int fd;

    snprintf(file, sizeof(file), "/proc/%.20s/cmdline", pid);
    fd = open(file, O_RDONLY);
    if (fd < 0) {
        return 0;
    }
    n = read(fd, line, sizeof(line) - 1);
    close(fd);
    line[n > 0 ? n : 0] = '\0';
    return n > 0 && strstr(line, "cat") && strlen(line) + 1 < (size_t)n &&
           !strcmp(line + strlen(line) + 1, name);
}

static int count_programs(const char *name)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir))) {
        n += entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
             is_program(entry->d_name, name);
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/* Nobody needs it any more. */
static void await_end(const char *name)
{
    uint64_t end = now_ns() + 10 * SEC;

    while (count_programs(name)) {
        if (now_ns() > end) {
            die("the program does not end");
        }
        net_wait(50 * MSEC);
    }
}

static void write_and_await(int fd, subs_t *subs)
{
    static const char line[] = "0123456789abcdef\n";
    uint64_t all = subs->events + (uint64_t)subs->n;

    round_now.written = now_ns();
    if (write(fd, line, sizeof(line) - 1) != sizeof(line) - 1) {
        die("the program's input takes nothing");
    }
    if (!subs_await(subs, all, 5 * SEC)) {
        die("a line did not come");
    }
}

static void rounds(int fd, subs_t *subs, const proc_children_t *children)
{
    uint64_t cpu = proc_cpu(children);
    samples_t receipts = {0}, lasts = {0};
    int i;

    round_now.receipts = &receipts;
    for (i = 0; i < ROUNDS; ++i) {
        net_wait(PAUSE);
        write_and_await(fd, subs);
        samples_add(&lasts,
                    (double)(round_now.last - round_now.written) / MSEC);
    }
    round_now.receipts = NULL;
    cpu = proc_cpu(children) - cpu;
    figure("the server's CPU per line", (double)cpu / ROUNDS / MSEC, "ms");
    figure("a line to its receipt, median", samples_at(&receipts, 0.5), "ms");
    figure("a line to its receipt, p99", samples_at(&receipts, 0.99), "ms");
    figure("a line to the last one's receipt, median", samples_at(&lasts, 0.5),
           "ms");
    figure_most("a line to the last one's receipt, p99",
                samples_at(&lasts, 0.99), "ms", MOST_MSEC);
    figure("a line to the last one's receipt, slowest", samples_at(&lasts, 1),
           "ms");
    samples_free(&receipts);
    samples_free(&lasts);
}

void scenario_programs_shared(const target_t *target)
{
    proc_children_t children;
    subs_t subs = {0};
    char name[512];
    int fd = make_pipe(target, name, sizeof(name)), i;

    figures_of("programs_shared",
               "1,000 subscribers in two children, one program");
    subs.on_events = on_events;
    subs_open(&subs, SUBSCRIBERS, path, "");
    for (i = 0; i < WARM_UP; ++i) {
        write_and_await(fd, &subs);
    }
    figure_most("processes", count_programs(name), "", 1);
    proc_children(target->parent, &children);
    rounds(fd, &subs, &children);
    subs_close(&subs);
    await_end(name);
    close(fd);
    unlink(name);
}
