/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load.c
 * The load generator: one scenario against one httpd.  run.sh starts both.
 */

#include "load.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static const struct {
    const char *name;
    void (*run)(const target_t *target);
} scenarios[] = {
    {"idle", scenario_idle},       {"close", scenario_close},
    {"latency", scenario_latency}, {"fanout", scenario_fanout},
    {"publish", scenario_publish}, {"long", scenario_long},
    {"resume", scenario_resume},   {"slow", scenario_slow},
    {"burst", scenario_burst},
};

void die(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SEC + (uint64_t)now.tv_nsec;
}

static void print_free_port(void)
{
    struct sockaddr_in sin = {0};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) ||
        getsockname(fd, (struct sockaddr *)&sin, &len)) {
        die("no free port on loopback");
    }
    printf("%d\n", ntohs(sin.sin_port));
}

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    target_t target;
    size_t i;

    if (argc == 2 && !strcmp(argv[1], "port")) {
        print_free_port();
        return 0;
    }
    if (argc != 5) {
        die("usage: load port | load SCENARIO PORT PID CLOSES");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    raise_limit();
    net_start((int)strtol(argv[2], NULL, 10));
    target.parent = (pid_t)strtol(argv[3], NULL, 10);
    target.closes = argv[4];
    for (i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); ++i) {
        if (!strcmp(scenarios[i].name, argv[1])) {
            scenarios[i].run(&target);
            return 0;
        }
    }
    die("there is no scenario %s", argv[1]);
}
