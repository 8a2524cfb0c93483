/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file client.c
 * The clock, the limit on descriptors, a free port.
 */

#include "t/client/client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SEC + (uint64_t)now.tv_nsec;
}

void client_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* @return the port, or 0 */
static int is_free(int port)
{
    struct sockaddr_in sin = {0};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t)port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    port = fd >= 0 && !bind(fd, (struct sockaddr *)&sin, sizeof(sin)) &&
                   !getsockname(fd, (struct sockaddr *)&sin, &len)
               ? ntohs(sin.sin_port)
               : 0;
    close(fd);
    return port;
}

int client_print_free_port(int from)
{
    int i, port = 0;

    for (i = 0; i < 10 && !port; ++i) {
        port = is_free(from ? from + i : 0);
    }
    printf("%d\n", port);
    return port == 0;
}
