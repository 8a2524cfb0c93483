/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The parent's part: a directory that belongs to the children's user, and a
 * sound store in it.
 *
 * The parent, often root, touches no more than that directory and the owner of
 * the files.  It opens nothing that the children's user could have put there:
 * that is done by a short-lived process under the children's user, which also
 * shows whether that user may do it, and which may die of a damaged file. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "store/sse_lmdb.h"

#define CHECK_SECONDS 60

typedef struct {
    const sse_store_conf_t *conf;
    apr_uid_t uid;
    apr_gid_t gid;
    const char **notice;
    apr_pool_t *pool;
    int made; /**< the directory is ours */
} job_t;

static const char *user_name(const job_t *job)
{
    apr_uid_t uid = job->uid == (apr_uid_t)-1 ? geteuid() : job->uid;
    char *name;

    if (apr_uid_name_get(&name, uid, job->pool)) {
        return apr_psprintf(job->pool, "with the id %lu", (unsigned long)uid);
    }
    return name;
}

static const char *why(const job_t *job, int rc)
{
    /* apr_strerror() does not know LMDB's. */
    return apr_pstrdup(job->pool, mdb_strerror(rc));
}

static apr_status_t refuse(const job_t *job, int err, const char *what)
{
    *job->notice = apr_psprintf(
        job->pool,
        "the store's directory %s %s (%s): make it a directory that "
        "the user %s can write to, or name another one with dir= in SSEStore",
        job->conf->dir, what, why(job, err), user_name(job));
    return err;
}

/* Parents are made only inside the runtime directory, which is ours. */
static int make_parents(const job_t *job)
{
    apr_size_t len = strlen(job->conf->runtime);
    char *path = apr_pstrdup(job->pool, job->conf->dir), *p;

    while (len && job->conf->runtime[len - 1] == '/') {
        --len;
    }
    if (strncmp(path, job->conf->runtime, len) || path[len] != '/') {
        return 0;
    }
    for (p = strchr(path + len + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(path, 0755) && errno != EEXIST) {
            return errno;
        }
        *p = '/';
    }
    return 0;
}

static int is_ours(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..") ||
           !strncmp(name, "data.mdb", 8) || !strncmp(name, "lock.mdb", 8) ||
           !strncmp(name, "open.mdb", 8); /* sse_registry.h */
}

/* A directory that holds other things is not given away: somebody may have
 * named /tmp. */
static int only_ours(int fd)
{
    DIR *dir = fdopendir(dup(fd));
    struct dirent *entry;
    int ours = 1;

    if (!dir) {
        return 0;
    }
    while (ours && (entry = readdir(dir))) {
        ours = is_ours(entry->d_name);
    }
    closedir(dir);
    return ours;
}

/* Owner of a file in there; never through a link, of which ever kind. */
static int give_file(const job_t *job, int dir, const char *name)
{
    struct stat st;
    int rc = 0,
        fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
        ((st.st_uid != job->uid || st.st_gid != job->gid) &&
         fchown(fd, job->uid, job->gid))) {
        rc = errno ? errno : EINVAL;
    }
    close(fd);
    return rc;
}

static apr_status_t give(const job_t *job, int dir)
{
    struct stat st;
    int rc;

    if (job->uid == (apr_uid_t)-1 || geteuid() != 0) {
        return APR_SUCCESS;
    }
    if (fstat(dir, &st)) {
        return refuse(job, errno, "cannot be looked at");
    }
    if (st.st_uid != job->uid && (job->made || only_ours(dir)) &&
        fchown(dir, job->uid, job->gid)) {
        return refuse(job, errno, "cannot be given to its user");
    }
    errno = 0;
    if ((rc = give_file(job, dir, "data.mdb")) ||
        (rc = give_file(job, dir, "lock.mdb"))) {
        return refuse(job, rc,
                      "has a data.mdb or lock.mdb which is not a "
                      "plain file");
    }
    return APR_SUCCESS;
}

static apr_status_t make_dir(job_t *job)
{
    const char *dir = job->conf->dir;
    apr_status_t rv;
    int fd, rc = make_parents(job);

    if (!rc) {
        job->made = !mkdir(dir, 0700);
        rc = job->made || errno == EEXIST ? 0 : errno;
    }
    if (rc) {
        return refuse(job, rc, "cannot be made");
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return refuse(job, errno, "cannot be used");
    }
    rv = give(job, fd);
    close(fd);
    return rv;
}

/* Become the children's user, for good. */
static int drop(const job_t *job)
{
    if (geteuid() != 0 || job->uid == (apr_uid_t)-1) {
        return 0;
    }
    if ((job->gid != (apr_gid_t)-1 &&
         (setgroups(1, &job->gid) || setgid(job->gid))) ||
        setuid(job->uid)) {
        return errno;
    }
    return 0;
}

static void check_as_user(const job_t *job, volatile sse_lmdb_check_t *check)
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
    alarm(CHECK_SECONDS);
    check->rc = drop(job);
    if (!check->rc && access(job->conf->dir, R_OK | W_OK | X_OK)) {
        check->rc = errno;
    }
    if (check->rc) {
        check->result = SSE_CHECK_FAILED;
        return;
    }
    sse_lmdb_check(job->conf, check);
}

/* A process that checks.  What it says is in shared memory, so that what it
 * knew when it died is not lost. */
static int run_check(const job_t *job, volatile sse_lmdb_check_t *check)
{
    pid_t pid, got;
    int status;

    check->result = SSE_CHECK_UNDONE;
    check->rc = 0;
    pid = fork();
    if (pid < 0) {
        return errno;
    }
    if (!pid) {
        check_as_user(job, check);
        _exit(0);
    }
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (check->result != SSE_CHECK_UNDONE) {
        return 0;
    }
    if (got == pid && WIFSIGNALED(status)) {
        if (WTERMSIG(status) == SIGALRM) {
            check->rc = ETIMEDOUT;
            check->result = SSE_CHECK_FAILED;
            return 0;
        }
        if (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM) {
            check->rc = MDB_CORRUPTED;
            check->result = SSE_CHECK_DAMAGED;
            return 0;
        }
    }
    return ECHILD;
}

/* data.mdb and its lock go together: a lock file knows the state of its data
 * file, and children of the last generation may still be using both. */
static apr_status_t move_aside(const job_t *job, sse_lmdb_check_e result,
                               const char **as)
{
    const char *dir = job->conf->dir, *lock, *data;
    const char *kind = result == SSE_CHECK_VERSION ? "version" : "damaged";
    struct stat st;
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    int n = 1;

    strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", gmtime_r(&now, &tm));
    *as = apr_psprintf(job->pool, "data.mdb.%s-%s", kind, stamp);
    while (!lstat(data = apr_pstrcat(job->pool, dir, "/", *as, NULL), &st)) {
        *as = apr_psprintf(job->pool, "data.mdb.%s-%s-%d", kind, stamp, ++n);
    }
    lock = apr_pstrcat(job->pool, dir, "/lock.mdb", NULL);
    if (rename(apr_pstrcat(job->pool, dir, "/data.mdb", NULL), data) ||
        (unlink(lock) && errno != ENOENT)) {
        return refuse(job, errno,
                      "has a data.mdb which is no good and "
                      "cannot be renamed");
    }
    return APR_SUCCESS;
}

static apr_status_t report(const job_t *job,
                           const volatile sse_lmdb_check_t *check)
{
    int rc = check->rc;

    switch (check->result) {
    case SSE_CHECK_SOUND:
        return APR_SUCCESS;
    case SSE_CHECK_FAILED:
        if (rc == ETIMEDOUT) {
            *job->notice = apr_psprintf(
                job->pool,
                "the store in %s gave no answer for %d s: another "
                "process has it locked, or it is damaged; stop what uses it, "
                "or move it away",
                job->conf->dir, CHECK_SECONDS);
            return APR_TIMEUP;
        }
        return refuse(job, rc > 0 ? rc : EIO, "cannot be used");
    default:
        return refuse(job, EIO, "cannot take a new store");
    }
}

static apr_status_t replace(const job_t *job, volatile sse_lmdb_check_t *check)
{
    const char *as, *what = check->result == SSE_CHECK_VERSION
                                ? "of another version"
                                : "damaged";
    apr_status_t rv;
    int rc, found = check->rc;

    if ((rv = move_aside(job, check->result, &as))) {
        return rv;
    }
    /* check->last, if it is known, keeps the new store's ids above. */
    if ((rc = run_check(job, check))) {
        return refuse(job, rc, "cannot be checked");
    }
    rv = report(job, check);
    if (!rv) {
        *job->notice = apr_psprintf(
            job->pool,
            "the store in %s was %s (%s): it is kept there as %s, "
            "and a new one is begun; what was published before is offered no "
            "more",
            job->conf->dir, what, why(job, found), as);
    }
    return rv;
}

apr_status_t sse_lmdb_prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                              apr_gid_t gid, const char **notice,
                              apr_pool_t *pool)
{
    job_t job = {conf, uid, gid, notice, pool, 0};
    volatile sse_lmdb_check_t *check;
    apr_status_t rv;
    int rc;

    *notice = NULL;
    if ((rv = make_dir(&job))) {
        return rv;
    }
    check = mmap(NULL, sizeof(*check), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check == MAP_FAILED) {
        return refuse(&job, errno, "cannot be checked");
    }
    if ((rc = run_check(&job, check))) {
        rv = refuse(&job, rc, "cannot be checked");
    }
    else if (check->result == SSE_CHECK_DAMAGED ||
             check->result == SSE_CHECK_VERSION) {
        rv = replace(&job, check);
    }
    else {
        rv = report(&job, check);
    }
    munmap((void *)check, sizeof(*check));
    return rv;
}
