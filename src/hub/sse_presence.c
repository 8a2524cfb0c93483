/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The queue of changes, and the worker that commits them. */

#include "hub/sse_presence.h"

#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub/sse_presence_private.h"
#include "loop/sse_complain.h"
#include "loop/sse_workers.h"
#include "notify/sse_ended.h"
#include "notify/sse_notes.h"
#include "process/sse_leave.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* Batches follow each other at this distance, so that what comes meanwhile is
 * one transaction, and one wake-up of all children. */
#define BATCH_TIME apr_time_from_msec(5)
/* How soon to try again what the store did not take. */
#define RETRY_MSEC 500
/* Who waits in another child: how long after his time this one looks, so that
 * not all do. */
#define OTHERS_MSEC 100
/* Before others join the worker looks whether a child is dying, of whose end
 * the parent has not told yet: as often as that takes one part of a CPU. */
#define CLAIM_PART 20
/* And once in so long at least. */
#define CLAIM_PAUSE apr_time_from_sec(1)
/* The longest between two looks while somebody waits. */
#define LOOK_MSEC 30000

/* How far an entry is. */
typedef enum {
    JOINING, /* its join is in the queue, or being committed */
    JOINED,  /* the store has it as a member; in no queue */
    LEAVING  /* as JOINING, its leaving */
} state_e;

struct sse_presence_entry_t {
    TAILQ_ENTRY(sse_presence_entry_t) link; /* lock */
    state_e state;                          /* lock */
    int is_queued;                          /* lock: not being committed */
    int has_left;              /* lock: it is to leave when it has joined */
    const char *reason;        /* lock, const once it has left */
    apr_interval_time_t grace; /* likewise */
    apr_time_t left;           /* likewise */
    sse_presence_who_t *who;   /* const, a reference */
    apr_time_t since;          /* const */
    char stream[40];           /* const: the stream's id */
    char *name; /* worker: of another one, whose place it took, malloc'ed; or
                   NULL: its stream's */
    apr_size_t len;
    char key[]; /* const: the channel's */
};

static struct {
    sse_store_t *store;   /* const after child_init; NULL: none has presence */
    sse_loop_t *loop;     /* const */
    server_rec *server;   /* const */
    sse_slice_t owner;    /* const: this child */
    pthread_mutex_t lock; /* a leaf */
    TAILQ_HEAD(, sse_presence_entry_t) queue; /* lock */
    int is_posted;        /* lock: the job waits for its worker, or runs */
    int is_failing;       /* lock: the store did not take the last batch */
    int must_claim;       /* lock: a child has ended */
    int must_look;        /* lock: somebody's time of grace may be over */
    apr_time_t due;       /* lock: when to look for that; 0: nobody waits */
    apr_uint32_t changes; /* atomic: entries that are not committed */
    apr_time_t last;      /* worker: when a batch was committed */
    apr_time_t claim_at;  /* worker: when to look for dead children again */
    int has_no_room;      /* worker: for those who join */
    int most;             /* worker: changes in one transaction */
    sse_job_t job;
    sse_task_t timer_task;
    uv_timer_t timer; /* loop: to try again, or to look */
    sse_complaint_t complaint;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .queue = TAILQ_HEAD_INITIALIZER(self.queue),
          .most = SSE_PRESENCE_BATCH};

int sse_presence_is_known(void) { return self.store != NULL; }

int sse_presence_is_busy(void) { return sse_atomic_load(&self.changes) != 0; }

/* -- The queue ------------------------------------------------------------- */

/* Have the worker look at what there is, unless it does already.  While the
 * store takes nothing, the timer does that. */
static void wake(int is_retry)
{
    int is_posted;

    pthread_mutex_lock(&self.lock);
    is_posted = self.is_posted || (self.is_failing && !is_retry);
    self.is_posted |= !is_posted;
    pthread_mutex_unlock(&self.lock);
    if (!is_posted &&
        sse_workers_try(SSE_WORKERS_PRESENCE, &self.job) != APR_SUCCESS) {
        pthread_mutex_lock(&self.lock);
        self.is_posted = 0;
        self.is_failing = 1;
        pthread_mutex_unlock(&self.lock);
        sse_loop_post(self.loop, &self.timer_task);
    }
}

/* Under the lock. */
static void put(sse_presence_entry_t *entry, state_e state)
{
    entry->state = state;
    entry->is_queued = 1;
    TAILQ_INSERT_TAIL(&self.queue, entry, link);
}

static void destroy(sse_presence_entry_t *entry)
{
    sse_presence_release(entry->who);
    free(entry->name);
    free(entry);
}

sse_presence_entry_t *sse_presence_join(sse_presence_who_t *who,
                                        const char *stream, sse_slice_t key)
{
    sse_presence_entry_t *entry = calloc(1, sizeof(*entry) + key.len);

    if (!entry) {
        abort();
    }
    entry->who = sse_presence_acquire(who);
    entry->since = apr_time_now();
    apr_cpystrn(entry->stream, stream, sizeof(entry->stream));
    entry->len = key.len;
    memcpy(entry->key, key.ptr, key.len);
    sse_atomic_add(&self.changes, 1);
    pthread_mutex_lock(&self.lock);
    put(entry, JOINING);
    pthread_mutex_unlock(&self.lock);
    wake(0);
    return entry;
}

/* Under the lock.  Who comes and goes while the store takes nothing was never
 * there: the queue does not grow.  @return whether it is gone */
static int leave(sse_presence_entry_t *entry)
{
    if (entry->state == JOINED) {
        sse_atomic_add(&self.changes, 1);
        put(entry, LEAVING);
    }
    else if (entry->is_queued && self.is_failing) {
        TAILQ_REMOVE(&self.queue, entry, link);
        sse_atomic_sub(&self.changes, 1);
        return 1;
    }
    entry->has_left = 1;
    return 0;
}

void sse_presence_leave(sse_presence_entry_t *entry, sse_close_reason_e reason)
{
    int is_gone;

    pthread_mutex_lock(&self.lock);
    entry->left = apr_time_now();
    entry->reason =
        sse_close_name(reason == SSE_CLOSE_NONE ? SSE_CLOSE_SERVER : reason);
    entry->grace = sse_presence_grace(&entry->who->settings, reason);
    is_gone = leave(entry);
    pthread_mutex_unlock(&self.lock);
    if (is_gone) {
        destroy(entry);
    }
    wake(0);
}

/* -- A batch --------------------------------------------------------------- */

typedef struct {
    int n;
    sse_presence_entry_t *entries[SSE_PRESENCE_BATCH];
    sse_presence_t changes[SSE_PRESENCE_BATCH];
    char names[SSE_PRESENCE_BATCH][SSE_STORE_STREAM_MAX + 1];
} batch_t;

/* Where there is no room for more members, those who leave make some. */
static void take(batch_t *batch)
{
    sse_presence_entry_t *entry, *next;

    batch->n = 0;
    pthread_mutex_lock(&self.lock);
    for (entry = TAILQ_FIRST(&self.queue); entry && batch->n < self.most;
         entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (entry->state == LEAVING || !self.has_no_room) {
            TAILQ_REMOVE(&self.queue, entry, link);
            entry->is_queued = 0;
            batch->entries[batch->n++] = entry;
        }
    }
    pthread_mutex_unlock(&self.lock);
}

static void put_back(batch_t *batch)
{
    sse_presence_entry_t *entry;

    pthread_mutex_lock(&self.lock);
    while (batch->n > 0) {
        entry = batch->entries[--batch->n];
        entry->is_queued = 1;
        TAILQ_INSERT_HEAD(&self.queue, entry, link);
    }
    pthread_mutex_unlock(&self.lock);
}

/* The name by which others know the member. */
static sse_slice_t name_of(const sse_presence_entry_t *entry)
{
    return sse_slice(entry->name ? entry->name : entry->stream);
}

static void fill(const sse_presence_entry_t *entry, sse_presence_t *change,
                 char *name, apr_pool_t *pool)
{
    const sse_presence_who_t *who = entry->who;
    int leaves = entry->state == LEAVING;

    memset(change, 0, sizeof(*change));
    change->what = leaves ? SSE_PRESENCE_LEAVE : SSE_PRESENCE_JOIN;
    change->channel = (sse_slice_t){entry->key, entry->len};
    change->stream = sse_slice(entry->stream);
    change->person = who->person;
    change->user = who->user;
    change->owner = self.owner;
    change->text = who->text;
    change->since = entry->since;
    change->grace = leaves ? entry->grace : 0;
    change->name = name;
    change->event =
        sse_presence_event(&who->settings, change->channel, name_of(entry),
                           who->user, leaves ? entry->left : entry->since,
                           leaves ? entry->reason : NULL, pool);
}

/* Under the lock: somebody waits until then. */
static void wait_until(apr_time_t due)
{
    if (!self.due || due < self.due) {
        self.due = due;
    }
}

/* A stopping child waits while there are changes: so there is one all the time
 * until who is to leave next has left.
 * @return whether the entry is done with */
static int settle(sse_presence_entry_t *entry, const sse_presence_t *change)
{
    if (change->outcome == SSE_PRESENCE_WAITS) {
        wait_until(apr_time_now() + change->grace);
    }
    if (entry->state == JOINING && entry->has_left) {
        put(entry, LEAVING);
        return 0;
    }
    sse_atomic_sub(&self.changes, 1);
    if (entry->state == LEAVING) {
        return 1;
    }
    entry->state = JOINED;
    return 0;
}

static void finish(batch_t *batch)
{
    sse_presence_entry_t *entry;
    const sse_presence_t *change;
    int i, leaves, is_done;

    for (i = 0; i < batch->n; ++i) {
        entry = batch->entries[i];
        change = &batch->changes[i];
        leaves = change->what == SSE_PRESENCE_LEAVE;
        if (change->outcome == SSE_PRESENCE_RETURNED) {
            entry->name = strdup(change->name);
            if (!entry->name) {
                abort();
            }
        }
        sse_presence_tell(change, entry->who->settings.route, name_of(entry),
                          leaves ? entry->left : entry->since);
        pthread_mutex_lock(&self.lock);
        is_done = settle(entry, change);
        pthread_mutex_unlock(&self.lock);
        if (is_done) {
            destroy(entry);
        }
    }
}

/* Those who follow at once wait for each other. */
static void keep_distance(void)
{
    apr_interval_time_t since = apr_time_now() - self.last;

    if (since >= 0 && since < BATCH_TIME && sse_leave_how() == SSE_STAY) {
        apr_sleep(BATCH_TIME - since);
    }
}

static apr_status_t commit_batch(batch_t *batch)
{
    apr_pool_t *pool;
    apr_status_t rv;
    int i;

    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_presence");
    for (i = 0; i < batch->n; ++i) {
        fill(batch->entries[i], &batch->changes[i], batch->names[i], pool);
    }
    rv = sse_store_presence_change(self.store, batch->changes, batch->n);
    apr_pool_destroy(pool);
    self.last = apr_time_now();
    return rv;
}

/* The store had no room for all of these: maybe it has for fewer, or else for
 * those who leave.
 * @return whether to go on with them */
static int make_smaller(int n)
{
    if (n > 1) {
        self.most = n / 2;
        return 1;
    }
    self.has_no_room = !self.has_no_room;
    return self.has_no_room;
}

/* @return as commit_some(); SSE_STORE_ESIZE: those who could not join may try
 *         again later */
static apr_status_t note_committed(int n)
{
    self.most =
        self.most < SSE_PRESENCE_BATCH / 2 ? 2 * self.most : SSE_PRESENCE_BATCH;
    if (!self.has_no_room) {
        return APR_SUCCESS;
    }
    self.has_no_room = n != 0;
    return n ? APR_INCOMPLETE : SSE_STORE_ESIZE;
}

/* @return APR_INCOMPLETE: not all of them have room, and the next ones are to
 *         be committed; another error: what could not be is in the queue again
 */
static apr_status_t commit_some(void)
{
    static batch_t batch; /* worker: there is one */
    apr_status_t rv = APR_SUCCESS;
    int n;

    keep_distance();
    take(&batch);
    n = batch.n;
    if (n) {
        rv = commit_batch(&batch);
    }
    if (rv == APR_SUCCESS) {
        finish(&batch);
        return note_committed(n);
    }
    put_back(&batch);
    if (rv == SSE_STORE_ESIZE && make_smaller(n)) {
        return APR_INCOMPLETE;
    }
    self.has_no_room = 0;
    return rv;
}

/* -- The worker ------------------------------------------------------------ */

/* The clock may have been set back. */
static int is_time_to_claim(apr_time_t now)
{
    return now >= self.claim_at || self.claim_at - now > CLAIM_PAUSE;
}

/* For how long this thread has run.  That the machine was busy with others must
 * not make it look less often. */
static apr_interval_time_t cpu_time(void)
{
    struct timespec ran;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
    return apr_time_from_sec(ran.tv_sec) + ran.tv_nsec / 1000;
}

/* @param took of cpu_time() */
static apr_time_t next_claim(apr_time_t now, apr_interval_time_t took)
{
    apr_interval_time_t pause = (CLAIM_PART + 1) * took;

    return now + (pause < CLAIM_PAUSE ? pause : CLAIM_PAUSE);
}

/* Members of dead children leave before others join, so that who comes back
 * takes his own place. */
static apr_status_t look_after_others(void)
{
    apr_time_t due = 0, now = apr_time_now();
    apr_interval_time_t began;
    int must_claim, must_look;
    apr_status_t rv = APR_SUCCESS;

    pthread_mutex_lock(&self.lock);
    must_look = self.must_look || self.must_claim;
    must_claim =
        self.must_claim || (!TAILQ_EMPTY(&self.queue) && is_time_to_claim(now));
    self.must_claim = self.must_look = 0;
    if (must_look) {
        self.due = 0;
    }
    pthread_mutex_unlock(&self.lock);
    if (must_claim) {
        began = cpu_time();
        rv = sse_presence_claim(self.store, self.server);
        self.claim_at = next_claim(now, cpu_time() - began);
    }
    if (rv == APR_SUCCESS && must_look) {
        rv = sse_presence_expire(self.store, &due);
    }
    pthread_mutex_lock(&self.lock);
    self.must_claim |= must_claim && rv != APR_SUCCESS;
    self.must_look |= must_look && rv != APR_SUCCESS;
    if (due) {
        wait_until(due + apr_time_from_msec(OTHERS_MSEC));
    }
    pthread_mutex_unlock(&self.lock);
    return rv;
}

static const char *advice(apr_status_t rv)
{
    return rv == SSE_STORE_ESIZE
               ? "members of channels have all the room that they may take, "
                 "which is half of the store's: give SSEStore a larger size="
               : sse_store_advice(self.store, rv);
}

static void note_failure(apr_status_t rv)
{
    pthread_mutex_lock(&self.lock);
    self.is_failing = 1;
    self.is_posted = 0;
    pthread_mutex_unlock(&self.lock);
    if (sse_complain_is_due(&self.complaint)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR,
            rv >= APR_OS_START_USERERR ? APR_SUCCESS : rv, self.server,
            "the event store does not take who is on a channel (SSEPresence): "
            "%s.  %u changes wait, and are tried again.  Not logged again for "
            "a minute",
            advice(rv), (unsigned)sse_atomic_load(&self.changes));
    }
}

static void note_success(void)
{
    pthread_mutex_lock(&self.lock);
    self.is_failing = 0;
    pthread_mutex_unlock(&self.lock);
    if (sse_complain_is_over(&self.complaint)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, self.server,
                     "the event store takes who is on a channel again");
    }
}

/* @return whether there is nothing left to do */
static int rest(void)
{
    int is_done;

    pthread_mutex_lock(&self.lock);
    is_done = TAILQ_EMPTY(&self.queue) && !self.must_claim && !self.must_look;
    self.is_posted = !is_done;
    pthread_mutex_unlock(&self.lock);
    return is_done;
}

static void work(sse_job_t *job)
{
    apr_status_t rv;

    do {
        rv = look_after_others();
        if (rv == APR_SUCCESS) {
            rv = commit_some();
        }
        if (rv == APR_SUCCESS) {
            note_success();
        }
        else if (rv != APR_INCOMPLETE) {
            note_failure(rv);
            break;
        }
    } while (!rest());
    sse_loop_post(self.loop, &self.timer_task);
}

/* -- The timer ------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    pthread_mutex_lock(&self.lock);
    self.must_look |= self.due != 0; /* the clock may have been set back */
    pthread_mutex_unlock(&self.lock);
    sse_loop_post(self.loop, &self.timer_task);
    wake(1);
}

static void on_timer_task(sse_task_t *task)
{
    apr_time_t now = apr_time_now(), due;
    apr_interval_time_t wait = apr_time_from_msec(LOOK_MSEC);
    int is_failing;

    pthread_mutex_lock(&self.lock);
    due = self.due;
    is_failing = self.is_failing;
    pthread_mutex_unlock(&self.lock);
    if (due && due - now < wait) {
        wait = due > now ? due - now : 0;
    }
    if (is_failing) {
        wait = apr_time_from_msec(RETRY_MSEC);
    }
    if (due || is_failing) {
        uv_timer_start(&self.timer, on_timer,
                       (apr_uint64_t)apr_time_as_msec(wait) + 1, 0);
    }
}

/* -- Making it ------------------------------------------------------------- */

/* On another worker, where somebody's callbacks may come next: the work is
 * ours. */
static apr_status_t on_ended(void *baton, apr_pool_t *pool)
{
    pthread_mutex_lock(&self.lock);
    self.must_claim = 1;
    pthread_mutex_unlock(&self.lock);
    wake(0);
    return APR_SUCCESS;
}

static apr_status_t on_owner(void *baton, sse_slice_t owner) { return APR_EOF; }

void sse_presence_init(sse_store_t *store, sse_loop_t *loop, server_rec *s)
{
    self.loop = loop;
    self.server = s;
    self.owner = sse_slice(sse_ended_owner());
    self.must_claim = 1;
    self.job.run = work;
    self.timer_task.run = on_timer_task;
    uv_timer_init(sse_loop_uv(loop), &self.timer);
    if (sse_store_presence_owners(store, on_owner, NULL) != APR_ENOTIMPL) {
        self.store = store;
        sse_ended_add(SSE_WORKERS_CLAIM, on_ended, NULL);
    }
}
