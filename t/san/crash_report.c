/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file crash_report.c
 * Writes where a process of the server has crashed: $SSE_CRASH_REPORT.PID, with
 * the signal and the stack of the thread that it came to.
 *
 * Preloaded for the server, where no sanitizer does the same.  httpd's own
 * handlers for these signals say less, and are not let in; the process ends by
 * the signal all the same, and so httpd logs it.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES 64

typedef int (*sigaction_fn)(int, const struct sigaction *, struct sigaction *);

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static sigaction_fn real;
static const char *path; /* without the process's number; NULL: no reports */
static pid_t reporting;  /* the thread that reports; atomic */

static int is_crash(int signum)
{
    size_t i;

    for (i = 0; i < SIGNALS; ++i) {
        if (signals[i] == signum) {
            return 1;
        }
    }
    return 0;
}

/* Where the stack is followed this may crash itself. */
static void report(int signum)
{
    void *frames[FRAMES];
    char text[512];
    int fd;

    snprintf(text, sizeof(text), "%s.%d", path, (int)getpid());
    fd = open(text, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0) {
        dprintf(fd, "signal %d\n", signum);
        backtrace_symbols_fd(frames, backtrace(frames, FRAMES), fd);
        close(fd);
    }
}

/* What has gone wrong makes several threads crash, at once: the first one ends
 * the process, when it has reported. */
static void on_crash(int signum)
{
    pid_t self = gettid(), none = 0;

    if (__atomic_compare_exchange_n(&reporting, &none, self, 0,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        report(signum);
    }
    else if (none != self) {
        for (;;) {
            pause();
        }
    }
    signal(signum, SIG_DFL);
    raise(signum);
}

int sigaction(int signum, const struct sigaction *act, struct sigaction *old)
{
    if (!real) {
        real = (sigaction_fn)dlsym(RTLD_NEXT, "sigaction");
    }
    return real(signum, path && is_crash(signum) ? NULL : act, old);
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction act;
    void *frames[1];
    size_t i;

    sigaction(SIGSEGV, NULL, NULL);
    backtrace(frames, 1); /* loads what it needs */
    memset(&act, 0, sizeof(act));
    act.sa_handler = on_crash;
    act.sa_flags = SA_NODEFER; /* a crash in report() */
    for (i = 0; i < SIGNALS; ++i) {
        real(signals[i], &act, NULL);
    }
    path = getenv("SSE_CRASH_REPORT");
}
