/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load.c
 * The load generator: one scenario against one httpd.  run.sh starts both.
 */

#include "load_h2.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(const target_t *target);
} scenarios[] = {
    {"idle", scenario_idle},
    {"close", scenario_close},
    {"latency", scenario_latency},
    {"fanout", scenario_fanout},
    {"publish", scenario_publish},
    {"long", scenario_long},
    {"resume", scenario_resume},
    {"slow", scenario_slow},
    {"burst", scenario_burst},
    {"hooks", scenario_hooks},
    {"authorize", scenario_authorize},
    {"presence", scenario_presence},
    {"scrape", scenario_scrape},
    {"programs", scenario_programs},
    {"programs_shared", scenario_programs_shared},
    {"poll", scenario_poll},
    {"h2_idle", scenario_h2_idle},
    {"h2_cpu", scenario_h2_cpu},
    {"h2_close", scenario_h2_close},
    {"h2_pages", scenario_h2_pages},
    {"h2_site", scenario_h2_site},
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

int main(int argc, char **argv)
{
    target_t target;
    size_t i;

    if (argc == 2 && !strcmp(argv[1], "port")) {
        return client_print_free_port(0);
    }
    if (argc != 9) {
        die("usage: load port | load SCENARIO PORT PID CLOSES HOOKS TLS_PORT "
            "STOCK_PORT STOCK_PID");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    client_raise_limit();
    target.port = (int)strtol(argv[2], NULL, 10);
    net_start(target.port);
    target.parent = (pid_t)strtol(argv[3], NULL, 10);
    target.tls_port = (int)strtol(argv[6], NULL, 10);
    target.stock_port = (int)strtol(argv[7], NULL, 10);
    target.stock = (pid_t)strtol(argv[8], NULL, 10);
    target.closes = argv[4];
    target.hooks = argv[5];
    for (i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); ++i) {
        if (!strcmp(scenarios[i].name, argv[1])) {
            scenarios[i].run(&target);
            return 0;
        }
    }
    die("there is no scenario %s", argv[1]);
}
