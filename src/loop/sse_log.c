/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_log.h"

#include <apr_strings.h>
#include <pthread.h>
#include <stdlib.h>

#include "loop/sse_workers.h"

APLOG_USE_MODULE(sse);

/* So many may wait, and so long may each be. */
#define LINES_MOST 16
#define TEXT_MOST  1000

typedef struct line_t line_t;
struct line_t {
    line_t *next;
    const char *file;
    int number, index, level;
    apr_status_t status;
    const server_rec *s;
    char text[TEXT_MOST];
};

static void write_all(sse_job_t *job);

static struct {
    pthread_mutex_t lock; /* a leaf */
    line_t *first;        /* lock: all below */
    unsigned count, dropped;
    int is_writing; /* a worker, or it will be */
    sse_job_t job;
} lines = {PTHREAD_MUTEX_INITIALIZER, NULL, 0, 0, 0, {write_all, NULL}};

/* -- A worker -------------------------------------------------------------- */

static void write_line(const line_t *line, unsigned dropped)
{
    ap_log_error(line->file, line->number, line->index, line->level,
                 line->status, line->s, "%s", line->text);
    if (dropped) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, line->s,
                     "%u more lines were dropped, as the log took none: see "
                     "whether its disk or its program keeps up",
                     dropped);
    }
}

/* Under the lock, which is let go for the writing. */
static void write_first(void)
{
    line_t *line = lines.first;
    unsigned dropped = lines.dropped;

    lines.dropped = 0;
    lines.first = line->next;
    pthread_mutex_unlock(&lines.lock);
    write_line(line, dropped);
    free(line);
    pthread_mutex_lock(&lines.lock);
    --lines.count;
}

static void write_all(sse_job_t *job)
{
    pthread_mutex_lock(&lines.lock);
    while (lines.first) {
        write_first();
    }
    lines.is_writing = 0;
    pthread_mutex_unlock(&lines.lock);
}

/* -- Anybody --------------------------------------------------------------- */

/* Under the lock. */
static void add(line_t *line)
{
    line_t **last;

    for (last = &lines.first; *last; last = &(*last)->next) {
    }
    *last = line;
    ++lines.count;
    /* Without a thread it waits for the next line. */
    if (!lines.is_writing) {
        lines.is_writing =
            sse_workers_try(SSE_WORKERS_LOG, &lines.job) == APR_SUCCESS;
    }
}

void sse_log_later(const char *file, int number, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    line_t *line;
    va_list ap;

    if (!APLOG_MODULE_IS_LEVEL(s, index, level) ||
        !(line = malloc(sizeof(*line)))) {
        return;
    }
    line->next = NULL;
    line->file = file;
    line->number = number;
    line->index = index;
    line->level = level;
    line->status = status;
    line->s = s;
    va_start(ap, fmt);
    apr_vsnprintf(line->text, sizeof(line->text), fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&lines.lock);
    if (lines.count < LINES_MOST) {
        add(line);
        line = NULL;
    }
    else {
        ++lines.dropped;
    }
    pthread_mutex_unlock(&lines.lock);
    free(line);
}

void sse_log_drop(void)
{
    pthread_mutex_lock(&lines.lock);
    ++lines.dropped;
    pthread_mutex_unlock(&lines.lock);
}

int sse_log_is_done(void)
{
    int done;

    pthread_mutex_lock(&lines.lock);
    done = !lines.count;
    pthread_mutex_unlock(&lines.lock);
    return done;
}
