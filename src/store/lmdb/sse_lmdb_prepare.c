/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The parent's part: a directory that belongs to the children's user
 * (sse_lmdb_dir.c), and a sound store in it.
 *
 * The parent, often root, opens nothing that the children's user could have put
 * there.  A short-lived process under the children's user does; so it is known
 * whether that user may, and a damaged file may crash it.  It has two seconds
 * to get a lock that other processes hold and ten for the rest, since nothing
 * is served while a server starts, and no child is made while it restarts. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "store/lmdb/sse_lmdb_prepare.h"

/* For the checking process: to get a lock, for all else, and to check all of
 * the store where that is needed. */
#define LOCK_SECONDS 2
#define SOME_SECONDS 10
#define LONG_SECONDS 60
#define STEP_MIN     apr_time_from_msec(1)
#define STEP_MAX     apr_time_from_msec(20)

typedef sse_lmdb_prepare_t job_t;
typedef volatile sse_lmdb_check_t check_t;
/** Runs under the children's user; sets check->result and check->rc. */
typedef void task_fn(const job_t *job, check_t *check);

int sse_lmdb_prepare_is_root(const job_t *job)
{
    return geteuid() == 0 && job->uid != (apr_uid_t)-1;
}

const char *sse_lmdb_prepare_name(const job_t *job, apr_uid_t uid)
{
    char *name;

    return apr_uid_name_get(&name, uid, job->pool)
               ? apr_psprintf(job->pool, "#%lu", (unsigned long)uid)
               : name;
}

const char *sse_lmdb_prepare_user(const job_t *job)
{
    return sse_lmdb_prepare_name(job, job->uid == (apr_uid_t)-1 ? geteuid()
                                                                : job->uid);
}

static const char *why(const job_t *job, int rc)
{
    /* apr_strerror() does not know LMDB's. */
    return apr_pstrdup(job->pool, mdb_strerror(rc));
}

apr_status_t sse_lmdb_prepare_refuse(const job_t *job, int err,
                                     const char *what)
{
    *job->notice = apr_psprintf(
        job->pool,
        "the store's directory %s %s (%s): make it a directory that "
        "the user %s can write to, or name another one with dir= in SSEStore",
        job->conf->dir, what, why(job, err), sse_lmdb_prepare_user(job));
    return err;
}

/* Become the children's user for good, with all groups, as the children do. */
static int drop(const job_t *job)
{
    struct passwd *pw;

    if (!sse_lmdb_prepare_is_root(job)) {
        return 0;
    }
    if (job->gid != (apr_gid_t)-1) {
        pw = getpwuid(job->uid);
        if ((pw ? initgroups(pw->pw_name, job->gid)
                : setgroups(1, &job->gid)) ||
            setgid(job->gid)) {
            return errno;
        }
    }
    return setuid(job->uid) ? errno : 0;
}

static void as_user(const job_t *job, task_fn *task, check_t *check)
{
    static const int deadly[] = {SIGSEGV, SIGBUS,  SIGFPE,
                                 SIGILL,  SIGABRT, SIGALRM};
    static const struct rlimit no_core;
    apr_size_t i;

    for (i = 0; i < sizeof(deadly) / sizeof(deadly[0]); ++i) {
        signal(deadly[i], SIG_DFL);
    }
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_CORE, &no_core);
    /* In case the parent dies. */
    alarm(2 * LONG_SECONDS);
    if ((check->rc = drop(job))) {
        check->result = SSE_CHECK_FAILED;
    }
    else {
        task(job, check);
    }
}

static void check_store(const job_t *job, check_t *check)
{
    if ((job->is_missing && mkdir(job->conf->dir, 0700) && errno != EEXIST) ||
        access(job->conf->dir, R_OK | W_OK | X_OK)) {
        check->rc = errno;
    }
    if (check->rc) {
        check->result = SSE_CHECK_FAILED;
    }
    else {
        sse_lmdb_check(job->conf, check);
    }
}

/* Whether it could be used: for a test of the configuration. */
static void check_access(const job_t *job, check_t *check)
{
    int rc = job->is_missing ? access(job->at, W_OK | X_OK)
                             : access(job->conf->dir, R_OK | W_OK | X_OK);

    check->rc = rc ? errno : 0;
    check->result = rc ? SSE_CHECK_FAILED : SSE_CHECK_SOUND;
}

static int found_locked(const check_t *check)
{
    return check->is_waiting || check->rc == EAGAIN;
}

static int seconds(int is_long, int is_locked)
{
    return is_long ? LONG_SECONDS : is_locked ? LOCK_SECONDS : SOME_SECONDS;
}

/* @return whether it has ended */
static int wait_for(pid_t pid, int *status, check_t *check)
{
    apr_time_t now, since, start = apr_time_now(), waits = 0;
    apr_interval_time_t step = STEP_MIN;
    int is_long;
    pid_t got;

    for (;;) {
        got = waitpid(pid, status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR)) {
            return got == pid;
        }
        now = apr_time_now();
        is_long = check->is_long;
        waits = is_long || !check->is_waiting ? 0 : waits ? waits : now;
        since = waits ? waits : start;
        if (now - since >= apr_time_from_sec(seconds(is_long, waits != 0)) ||
            now < since) {
            return 0;
        }
        apr_sleep(step);
        step = step < STEP_MAX ? 2 * step : STEP_MAX;
    }
}

/* A process that hangs in the kernel, on a dead disk, is left there. */
static void give_up(pid_t pid)
{
    int i;

    kill(pid, SIGKILL);
    for (i = 0; i < 20 && !waitpid(pid, NULL, WNOHANG); ++i) {
        apr_sleep(STEP_MIN);
    }
}

/* Run a task in a process of its own, under the children's user.  Its results
 * are in shared memory, so that they are there if it dies. */
static int run_as_user(const job_t *job, task_fn *task, check_t *check)
{
    pid_t pid;
    int status = 0;

    check->result = SSE_CHECK_UNDONE;
    check->rc = check->is_waiting = check->is_long = 0;
    pid = fork();
    if (pid < 0) {
        return errno;
    }
    if (!pid) {
        as_user(job, task, check);
        _exit(0);
    }
    if (!wait_for(pid, &status, check)) {
        give_up(pid);
        if (check->result == SSE_CHECK_UNDONE) {
            check->rc = ETIMEDOUT;
            check->result = SSE_CHECK_FAILED;
        }
    }
    if (check->result != SSE_CHECK_UNDONE) {
        return 0;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
        WTERMSIG(status) != SIGTERM) {
        check->rc = MDB_CORRUPTED;
        check->result = SSE_CHECK_DAMAGED;
        return 0;
    }
    return ECHILD;
}

/* The name under which a store is kept aside in the directory. */
static const char *name_aside(const job_t *job, sse_lmdb_check_e result)
{
    const char *kind = result == SSE_CHECK_VERSION ? "version" : "damaged";
    const char *name;
    struct stat st;
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    int n = 1;

    strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", gmtime_r(&now, &tm));
    name = apr_psprintf(job->pool, "data.mdb.%s-%s", kind, stamp);
    while (
        !lstat(apr_pstrcat(job->pool, job->conf->dir, "/", name, NULL), &st)) {
        name = apr_psprintf(job->pool, "data.mdb.%s-%s-%d", kind, stamp, ++n);
    }
    return name;
}

/* data.mdb and lock.mdb go together: a lock file has the state of its data
 * file, and children of the last generation may still use both. */
static void move_aside(const job_t *job, check_t *check)
{
    int dir = open(job->conf->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = dir < 0 || renameat(dir, "data.mdb", dir, job->aside) ||
                 (unlinkat(dir, "lock.mdb", 0) && errno != ENOENT);

    check->rc = failed ? errno : 0;
    check->result = failed ? SSE_CHECK_FAILED : SSE_CHECK_SOUND;
}

static apr_status_t report(const job_t *job, const check_t *check)
{
    int rc = check->rc;

    switch (check->result) {
    case SSE_CHECK_SOUND:
        return APR_SUCCESS;
    case SSE_CHECK_FAILED:
        if (rc == ETIMEDOUT || rc == EAGAIN) {
            *job->notice = apr_psprintf(
                job->pool,
                "the store in %s gave no answer for %d s: %s; stop what uses "
                "it, or move it away",
                job->conf->dir, seconds(check->is_long, found_locked(check)),
                found_locked(check)
                    ? "another process has it locked"
                    : "it is large, or damaged, or its disk is slow");
            return APR_TIMEUP;
        }
        return sse_lmdb_prepare_refuse(job, rc > 0 ? rc : EIO,
                                       "cannot be used");
    default:
        return sse_lmdb_prepare_refuse(job, EIO, "cannot take a new store");
    }
}

static apr_status_t replace(job_t *job, check_t *check)
{
    const char *what =
        check->result == SSE_CHECK_VERSION ? "of another version" : "damaged";
    apr_status_t rv;
    int rc, found = check->rc;

    job->aside = name_aside(job, check->result);
    if ((rc = run_as_user(job, move_aside, check)) ||
        (rc = check->result == SSE_CHECK_SOUND ? 0 : check->rc)) {
        return sse_lmdb_prepare_refuse(job, rc,
                                       "has a data.mdb which is no good and "
                                       "cannot be renamed");
    }
    /* check->last, if it is known, keeps the new store's ids above. */
    if ((rc = run_as_user(job, check_store, check))) {
        return sse_lmdb_prepare_refuse(job, rc, "cannot be checked");
    }
    rv = report(job, check);
    if (!rv) {
        *job->notice = apr_psprintf(
            job->pool,
            "the store in %s was %s (%s): it is kept there as %s, "
            "and a new one is begun; events published before are not available "
            "any more",
            job->conf->dir, what, why(job, found), job->aside);
    }
    return rv;
}

static apr_status_t check_and_replace(job_t *job, check_t *check)
{
    int rc;

    if (job->is_test && sse_lmdb_prepare_is_root(job) &&
        (job->is_missing ? job->is_safe : job->is_given)) {
        return APR_SUCCESS; /* it would be made, or given */
    }
    rc = run_as_user(job, job->is_test ? check_access : check_store, check);
    if (rc) {
        return sse_lmdb_prepare_refuse(job, rc, "cannot be checked");
    }
    if (check->result == SSE_CHECK_DAMAGED ||
        check->result == SSE_CHECK_VERSION) {
        return replace(job, check);
    }
    return report(job, check);
}

static apr_status_t prepare(job_t *job)
{
    check_t *check;
    apr_status_t rv;

    if ((rv = sse_lmdb_dir_make(job))) {
        return rv;
    }
    check = mmap(NULL, sizeof(*check), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check == MAP_FAILED) {
        return sse_lmdb_prepare_refuse(job, errno, "cannot be checked");
    }
    check->lock = -1;
    rv = check_and_replace(job, check);
    if (check->lock >= 0) {
        sse_lmdb_lock_know(check->lock);
    }
    munmap((void *)check, sizeof(*check));
    return rv;
}

apr_status_t sse_lmdb_prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                              apr_gid_t gid, const char **notice,
                              apr_pool_t *pool)
{
    job_t job = {.conf = (const sse_lmdb_conf_t *)conf,
                 .uid = uid,
                 .gid = gid,
                 .notice = notice,
                 .pool = pool};
    apr_status_t rv;

    *notice = NULL;
    rv = prepare(&job);
    if (rv == APR_SUCCESS) {
        sse_lmdb_files_set(job.conf);
    }
    return rv;
}

/* Not run by the user who starts the server: much cannot be told. */
static int cannot_tell(const job_t *job, apr_status_t rv)
{
    struct stat st;

    return geteuid() && (rv == EACCES || rv == EPERM) &&
           (stat(job->conf->dir, &st) || st.st_uid != geteuid());
}

const char *sse_lmdb_test(const sse_store_conf_t *conf, apr_uid_t uid,
                          apr_gid_t gid, apr_pool_t *pool)
{
    const char *notice = NULL;
    job_t job = {.conf = (const sse_lmdb_conf_t *)conf,
                 .uid = uid,
                 .gid = gid,
                 .notice = &notice,
                 .pool = pool,
                 .is_test = 1};
    apr_status_t rv = prepare(&job);

    return rv && !cannot_tell(&job, rv) ? notice : NULL;
}
