/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_log.h"

#include <apr_strings.h>
#include <pthread.h>
#include <stdlib.h>

#include "loop/sse_workers.h"

APLOG_USE_MODULE(sse);

/* Lines that may wait, and the length of each.  Some programs of sse-exec may
 * have ten to say at the same moment. */
#define LINES_MOST 64
#define TEXT_MOST  1000

typedef struct line_t {
    STAILQ_ENTRY(line_t) link;
    const char *file;
    int number, index, level;
    apr_status_t status;
    const server_rec *s;
    char text[TEXT_MOST];
} line_t;

static void write_all(sse_job_t *job);

static struct {
    pthread_mutex_t lock;          /* a leaf */
    STAILQ_HEAD(, line_t) waiting; /* lock: all below */
    unsigned count, dropped;
    int is_writing; /* a worker writes, or is about to */
    sse_job_t job;
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .waiting = STAILQ_HEAD_INITIALIZER(lines.waiting),
           .job.run = write_all};

/* -- A worker -------------------------------------------------------------- */

static void write_line(const line_t *line, unsigned dropped)
{
    ap_log_error(line->file, line->number, line->index, line->level,
                 line->status, line->s, "%s", line->text);
    if (dropped) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, line->s,
                     "%u more lines were dropped, because the log was not "
                     "written in time: check whether its disk or program keeps "
                     "up",
                     dropped);
    }
}

/* Under the lock, which is released while writing. */
static void write_first(void)
{
    line_t *line = STAILQ_FIRST(&lines.waiting);
    unsigned dropped = lines.dropped;

    lines.dropped = 0;
    STAILQ_REMOVE_HEAD(&lines.waiting, link);
    pthread_mutex_unlock(&lines.lock);
    write_line(line, dropped);
    free(line);
    pthread_mutex_lock(&lines.lock);
    --lines.count;
}

static void write_all(sse_job_t *job)
{
    pthread_mutex_lock(&lines.lock);
    while (!STAILQ_EMPTY(&lines.waiting)) {
        write_first();
    }
    lines.is_writing = 0;
    pthread_mutex_unlock(&lines.lock);
}

/* -- Anybody --------------------------------------------------------------- */

/* Under the lock.  If there is no thread, the lines wait for the next one. */
static void add(line_t *line)
{
    STAILQ_INSERT_TAIL(&lines.waiting, line, link);
    ++lines.count;
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
