/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak_check.c
 * What is checked at the end, and the output: TAP.
 */

#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "soak_log.h"

#define TOLD_MAX     60
#define ENDS_TIMEOUT (20 * SEC)
/* What an allocator may keep, kB, beside half of what was in use. */
#define MEMORY_MORE 16384
/* The parent has its configuration in new pools with each restart. */
#define PARENT_MORE      8192
#define DESCRIPTORS_MORE 8

static int counts[WRONG_KINDS];
static int checks, failed;

void wrong(wrong_e kind, const char *format, ...)
{
    static int told;
    va_list args;

    ++counts[kind];
    if (told++ >= TOLD_MAX) {
        return;
    }
    printf("# %s: ", acts_last());
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    if (told == TOLD_MAX) {
        printf("# what else went wrong is only counted\n");
    }
}

int wrong_count(wrong_e kind) { return counts[kind]; }

void check(int is_ok, const char *format, ...)
{
    va_list args;

    failed += !is_ok;
    printf("%s %d - ", is_ok ? "ok" : "not ok", ++checks);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

int checks_failed(void) { return failed; }

static FILE *open_error_log(void)
{
    char name[4096];
    FILE *file;

    snprintf(name, sizeof(name), "%s/error_log", soak.dir);
    file = fopen(name, "re");
    if (!file) {
        die("%s: %s", name, strerror(errno));
    }
    return file;
}

/* -- Every open has its end ------------------------------------------------ */

typedef struct {
    uint64_t opens, closes, crashes;
    uint64_t endless; /* streams without an end */
    uint64_t strange; /* opened or ended twice, or ended and never opened */
    uint64_t edges;   /* the child was killed within the telling */
} ends_t;

static const soak_log_t *map_notes(void)
{
    char name[4096];
    void *mapping;
    int fd;

    snprintf(name, sizeof(name), "%s/notes", soak.dir);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        die("%s: %s", name, strerror(errno));
    }
    mapping = mmap(NULL, sizeof(soak_log_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapping == MAP_FAILED) {
        die("mmap: %s", strerror(errno));
    }
    return mapping;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const soak_entry_t *)a)->stream,
                  ((const soak_entry_t *)b)->stream);
}

/* A child that is killed while it tells of a stream's beginning or end may be
 * done with that or not; another tells of the crash in either case. */
static void judge(ends_t *ends, const char *stream, const int *had,
                  int must_tell)
{
    int opens = had[SOAK_OPEN], closes = had[SOAK_CLOSE];
    int crashes = had[SOAK_CRASH];
    const char *what = NULL;

    ends->opens += (uint64_t)opens;
    ends->closes += (uint64_t)closes;
    ends->crashes += (uint64_t)crashes;
    if (opens == 1 && closes + crashes == 1) {
        return;
    }
    if (opens <= 1 && closes <= 1 && crashes == 1) {
        ++ends->edges;
        what = "its child was killed while it told of it";
    }
    else if (opens == 1 && !closes && !crashes) {
        ++ends->endless;
        what = "never ended";
    }
    else {
        ++ends->strange;
        what = "should be one beginning and one end";
    }
    if (must_tell && ends->edges + ends->endless + ends->strange < TOLD_MAX) {
        printf("# stream %s: opened %d, closed %d, crashed %d: %s\n", stream,
               opens, closes, crashes, what);
    }
}

static ends_t count_ends(const soak_log_t *notes, int must_tell)
{
    uint64_t n = __atomic_load_n(&notes->taken, __ATOMIC_ACQUIRE), i;
    soak_entry_t *copy;
    ends_t ends = {0};
    int had[4] = {0};

    if (n > SOAK_ENTRIES_MAX) {
        die("more streams than there is room for: SOAK_ENTRIES_MAX");
    }
    copy = malloc((size_t)(n + 1) * sizeof(*copy));
    if (!copy) {
        die("out of memory");
    }
    memcpy(copy, notes->entries, (size_t)n * sizeof(*copy));
    qsort(copy, (size_t)n, sizeof(*copy), compare);
    for (i = 0; i < n; ++i) {
        ++had[copy[i].kind & 3];
        if (i + 1 == n || compare(&copy[i], &copy[i + 1]) != 0) {
            if (had[1] || had[2] || had[3]) {
                judge(&ends, copy[i].stream, had, must_tell);
            }
            memset(had, 0, sizeof(had));
        }
    }
    free(copy);
    return ends;
}

void check_opens(void)
{
    const soak_log_t *notes = map_notes();
    uint64_t until = now_ns() + ENDS_TIMEOUT;
    ends_t ends;

    do {
        ends = count_ends(notes, 0);
        net_wait(ends.endless ? 500 * MSEC : 0);
    } while (ends.endless && now_ns() < until);
    ends = count_ends(notes, 1);
    check(ends.opens && !ends.endless && !ends.strange,
          "streams opened: %llu; closed %llu, crashed %llu, of them told by a "
          "child that was killed meanwhile %llu; without an end %llu, with "
          "more than one beginning or end %llu",
          (unsigned long long)ends.opens, (unsigned long long)ends.closes,
          (unsigned long long)ends.crashes, (unsigned long long)ends.edges,
          (unsigned long long)ends.endless, (unsigned long long)ends.strange);
}

/* -- The error log --------------------------------------------------------- */

/* For a moment all threads may be busy, or leaving children take all slots:
 * AH00484, AH03490, AH10159. */
static int is_bad(const char *line)
{
    static const char *const bad[] = {":error]",  ":crit]",      ":alert]",
                                      ":emerg]",  "exit signal", "Sanitizer",
                                      "ssertion", "sse:warn]",   "corrupt"};
    static const char *const known[] = {"AH00484", "AH03490", "AH10159"};
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); ++i) {
        if (strstr(line, known[i])) {
            return 0;
        }
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        if (strstr(line, bad[i])) {
            return 1;
        }
    }
    return 0;
}

/* Another process was stopped with the store locked.  That it is used
 * afterwards is what publishers and subscribers see. */
static int is_locked(const char *line)
{
    return strstr(line, "the event store cannot be opened") ||
           ((strstr(line, "the event store takes nothing") ||
             strstr(line, "gave no answer for 2 s")) &&
            strstr(line, "another process has it locked"));
}

void check_error_log(void)
{
    FILE *file = open_error_log();
    char line[4096];
    int n = 0, locked = 0;

    while (fgets(line, sizeof(line), file)) {
        if (is_locked(line)) {
            ++locked;
        }
        else if (is_bad(line) && ++n <= 20) {
            printf("# %s", line);
        }
    }
    fclose(file);
    printf("# the store was locked for long: %d times\n", locked);
    check(n == 0, "the error log has no crash and no complaint (%d)", n);
}

/* -- Memory and descriptors ------------------------------------------------ */

/* A child that has ended meanwhile is none. */
static void add_child(sample_t *sample, pid_t pid)
{
    long memory = proc_find(pid, "status", "RssAnon");
    int n = proc_count_descriptors(pid);

    if (memory < 0 || n < 0) {
        return;
    }
    ++sample->children;
    sample->memory += memory;
    sample->most = n > sample->most ? n : sample->most;
}

void sample_take(sample_t *sample)
{
    proc_children_t children;
    int i;

    memset(sample, 0, sizeof(*sample));
    proc_children(soak.parent, &children);
    for (i = 0; i < children.n; ++i) {
        add_child(sample, children.pids[i]);
    }
    sample->parent_memory = proc_value(soak.parent, "status", "RssAnon");
    sample->parent_descriptors = proc_descriptors(soak.parent);
}

static void print_sample(const char *when, const sample_t *sample)
{
    printf("# %s: %d children, RssAnon %ld kB, at most %d descriptors; parent "
           "%ld kB, %d descriptors\n",
           when, sample->children, sample->memory, sample->most,
           sample->parent_memory, sample->parent_descriptors);
}

static int is_flat(long before, long after, long more)
{
    return after <= before + before / 2 + more;
}

void check_samples(const sample_t *idle, const sample_t *begin,
                   const sample_t *quiet, const sample_t *end,
                   const sample_t *after)
{
    print_sample("before", idle);
    print_sample("when all had come", begin);
    print_sample("after the last restart or SIGKILL", quiet);
    print_sample("at the end, under the same load", end);
    print_sample("when all had left", after);
    check(after->children == idle->children, "as many children as before");
    check(is_flat(begin->memory, end->memory, MEMORY_MORE) &&
              is_flat(quiet->memory, end->memory, MEMORY_MORE),
          "memory is flat: %ld kB, then %ld kB, then %ld kB", begin->memory,
          quiet->memory, end->memory);
    check(after->most <= idle->most + DESCRIPTORS_MORE,
          "descriptors are flat: %d, then %d", idle->most, after->most);
    check(is_flat(idle->parent_memory, after->parent_memory, PARENT_MORE) &&
              after->parent_descriptors <=
                  idle->parent_descriptors + DESCRIPTORS_MORE,
          "the parent is as before: %ld kB and %d descriptors, then %ld kB and "
          "%d",
          idle->parent_memory, idle->parent_descriptors, after->parent_memory,
          after->parent_descriptors);
}
