/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file tap.h
 * Just enough of the Test Anything Protocol for the C unit tests: a program
 * prints its results for prove, the plan last.
 *
 * Threads: ok() and friends on the main thread only.
 */

#ifndef SSE_TAP_H
#define SSE_TAP_H

#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

static inline int tap_ok(int ok, const char *what, const char *file, int line)
{
    printf("%sok %d - %s\n", ok ? "" : "not ", ++tap_count, what);
    if (!ok) {
        ++tap_failed;
        printf("#   at %s line %d\n", file, line);
    }
    fflush(stdout);
    return ok;
}

static inline int tap_is_mem(const char *got, size_t got_len, const char *want,
                             size_t want_len, const char *what,
                             const char *file, int line)
{
    int ok = got_len == want_len && !memcmp(got, want, want_len);

    tap_ok(ok, what, file, line);
    if (!ok) {
        printf("#   got  (%lu): '%.*s'\n#   want (%lu): '%.*s'\n",
               (unsigned long)got_len, (int)got_len, got,
               (unsigned long)want_len, (int)want_len, want);
    }
    return ok;
}

static inline int tap_is_num(long long got, long long want, const char *what,
                             const char *file, int line)
{
    int ok = got == want;

    tap_ok(ok, what, file, line);
    if (!ok) {
        printf("#   got  %lld\n#   want %lld\n", got, want);
    }
    return ok;
}

#define ok(cond, what) tap_ok(!!(cond), what, __FILE__, __LINE__)
#define is_mem(got, got_len, want, want_len, what)                             \
    tap_is_mem(got, got_len, want, want_len, what, __FILE__, __LINE__)
#define is_str(got, want, what)                                                \
    tap_is_mem(got, strlen(got), want, strlen(want), what, __FILE__, __LINE__)
#define is_num(got, want, what)                                                \
    tap_is_num((long long)(got), (long long)(want), what, __FILE__, __LINE__)

/** The program's last statement: return done_testing(); */
static inline int done_testing(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed ? 1 : 0;
}

#endif /* SSE_TAP_H */
