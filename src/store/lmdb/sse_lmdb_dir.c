/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The store's directory, made by root for another user.
 *
 * A user who can write to a directory on the path can lead root elsewhere, by a
 * symbolic link or a renamed directory of root's.  So the path is walked name
 * by name, from descriptor to descriptor.  As long as each directory on it
 * belongs to root (or to the user who starts the server) and no other user can
 * change the entry that is used, symbolic links are the administrator's and are
 * followed, a missing directory is made, and it is given to the children's
 * user.  Behind a directory that others can change, nothing is made or given,
 * and no link is followed: a directory is used if it belongs to the children's
 * user already, or if that user can make it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <apr_strings.h>

#include "store/lmdb/sse_lmdb_prepare.h"

#define LINKS_MAX  40 /**< symbolic links in one path, as the kernel has it */
#define GROUPS_MAX 256

typedef sse_lmdb_prepare_t job_t;

/** The walk along the path. */
typedef struct {
    job_t *job;
    int fd;              /**< the directory reached so far */
    struct stat st;      /**< of it */
    const char *at;      /**< its name, without links */
    int is_top;          /**< it is the root */
    const char *rest;    /**< the rest of the path */
    int links;           /**< followed so far */
    const char *culprit; /**< NULL, or a directory that others can change */
    struct stat who;     /**< of the culprit */
    int made;            /**< the directory at fd is new */
    gid_t groups[GROUPS_MAX];
    int n_groups; /**< -1: they are too many */
} walk_t;

/* The groups of the children's user, which may write to a directory. */
static void find_groups(walk_t *walk)
{
    struct passwd *pw;

    walk->n_groups = GROUPS_MAX;
    pw = sse_lmdb_prepare_is_root(walk->job) ? getpwuid(walk->job->uid) : NULL;
    if (!pw) {
        walk->groups[0] = walk->job->gid;
        walk->n_groups = 1;
    }
    else if (getgrouplist(pw->pw_name, walk->job->gid, walk->groups,
                          &walk->n_groups) < 0) {
        walk->n_groups = -1;
    }
}

static int is_users_group(const walk_t *walk, gid_t gid)
{
    int i;

    for (i = 0; i < walk->n_groups; ++i) {
        if (walk->groups[i] == gid) {
            return 1;
        }
    }
    return walk->n_groups < 0;
}

/* Whether the directory has, or may have, an access control list: then the
 * group's bits are the mask of the list, and not the group's rights.  A
 * descriptor opened with O_PATH can be used by its name only. */
static int has_list(const walk_t *walk)
{
    char path[64];
    ssize_t n;

    apr_snprintf(path, sizeof(path), "/proc/self/fd/%d", walk->fd);
    n = getxattr(path, "system.posix_acl_access", NULL, 0);
    return n > 0 || (n < 0 && errno != ENODATA && errno != ENOTSUP);
}

/* Whether the children's user may write to the directory by its group. */
static int may_write_by_group(const walk_t *walk)
{
    return (walk->st.st_mode & S_IWGRP) &&
           sse_lmdb_prepare_is_root(walk->job) &&
           (is_users_group(walk, walk->st.st_gid) || has_list(walk));
}

static int is_trusted(uid_t uid) { return uid == 0 || uid == geteuid(); }

/* Whether no other user can replace this entry of the directory.
 * @param entry NULL: it does not exist yet */
static int is_safe(const walk_t *walk, const struct stat *entry)
{
    const struct stat *dir = &walk->st;

    if (!is_trusted(dir->st_uid)) {
        return 0;
    }
    if (!(dir->st_mode & S_IWOTH) && !may_write_by_group(walk)) {
        return 1;
    }
    return (dir->st_mode & S_ISVTX) && (!entry || is_trusted(entry->st_uid));
}

static apr_status_t refuse_way(const walk_t *walk, int err, const char *what)
{
    const job_t *job = walk->job;
    const char *user = sse_lmdb_prepare_user(job);

    *job->notice = apr_psprintf(
        job->pool,
        "the store's directory %s %s: %s, which its path leads through, can be "
        "changed by others than root (its owner is the user %s, its mode %04o),"
        " who could lead the server elsewhere; name with dir= in SSEStore a "
        "directory whose parents belong to root, or create it yourself: "
        "install -d -o '%s' -m 700 '%s'",
        job->conf->dir, what, walk->culprit,
        sse_lmdb_prepare_name(job, walk->who.st_uid),
        (unsigned)(walk->who.st_mode & 07777), user, job->conf->dir);
    return err;
}

static void step_to(walk_t *walk, int fd, const struct stat *st, const char *at)
{
    close(walk->fd);
    walk->fd = fd;
    walk->st = *st;
    walk->at = at;
    walk->is_top = 0;
}

static int go_to_root(walk_t *walk)
{
    walk->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    walk->at = "/";
    walk->is_top = 1;
    return walk->fd < 0 || fstat(walk->fd, &walk->st) ? errno : 0;
}

/* The next name of the path, or NULL. */
static const char *next_name(walk_t *walk)
{
    apr_size_t len;
    const char *name;

    walk->rest += strspn(walk->rest, "/");
    len = strcspn(walk->rest, "/");
    name = len ? apr_pstrmemdup(walk->job->pool, walk->rest, len) : NULL;
    walk->rest += len;
    walk->rest += strspn(walk->rest, "/");
    return name;
}

static const char *join(const walk_t *walk, const char *name)
{
    return apr_pstrcat(walk->job->pool, walk->is_top ? "" : walk->at, "/", name,
                       NULL);
}

static apr_status_t follow_link(walk_t *walk, const char *name)
{
    char target[4096];
    ssize_t len;

    if (walk->culprit) {
        return refuse_way(
            walk, ELOOP,
            apr_pstrcat(walk->job->pool, "is reached by the symbolic link ",
                        join(walk, name), ", which is not followed", NULL));
    }
    len = readlinkat(walk->fd, name, target, sizeof(target));
    if (len < 0 || len == sizeof(target) || ++walk->links > LINKS_MAX) {
        return sse_lmdb_prepare_refuse(walk->job, len < 0 ? errno : ELOOP,
                                       "cannot be reached");
    }
    walk->rest =
        apr_pstrcat(walk->job->pool,
                    apr_pstrmemdup(walk->job->pool, target, (apr_size_t)len),
                    "/", walk->rest, NULL);
    if (*target == '/') {
        close(walk->fd);
        return go_to_root(walk);
    }
    return APR_SUCCESS;
}

static apr_status_t enter(walk_t *walk, const char *name,
                          const struct stat *seen)
{
    int is_last = !*walk->rest;
    int fd = openat(walk->fd, name,
                    (is_last ? O_RDONLY : O_PATH) | O_DIRECTORY | O_NOFOLLOW |
                        O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st)) {
        apr_status_t rv = errno;

        if (fd >= 0) {
            close(fd);
        }
        return sse_lmdb_prepare_refuse(walk->job, rv, "cannot be used");
    }
    if (seen && (st.st_dev != seen->st_dev || st.st_ino != seen->st_ino)) {
        close(fd);
        return sse_lmdb_prepare_refuse(walk->job, ESTALE, "is being replaced");
    }
    step_to(walk, fd, &st, join(walk, name));
    return APR_SUCCESS;
}

/* Parents are made inside the runtime directory only. */
static int may_make(const walk_t *walk)
{
    const char *runtime = walk->job->conf->runtime;
    apr_size_t len = strlen(runtime);

    while (len && runtime[len - 1] == '/') {
        --len;
    }
    return !*walk->rest || (!strncmp(walk->job->conf->dir, runtime, len) &&
                            walk->job->conf->dir[len] == '/');
}

/* There is no such name. */
static apr_status_t make(walk_t *walk, const char *name)
{
    int is_last = !*walk->rest;
    apr_status_t rv;

    if (!may_make(walk)) {
        return sse_lmdb_prepare_refuse(walk->job, ENOENT, "cannot be made");
    }
    if (walk->culprit || walk->job->is_test) {
        walk->job->is_missing = 1;
        return APR_SUCCESS;
    }
    walk->made = !mkdirat(walk->fd, name, is_last ? 0700 : 0755);
    if (!walk->made && errno != EEXIST) {
        return sse_lmdb_prepare_refuse(walk->job, errno, "cannot be made");
    }
    if ((rv = enter(walk, name, NULL))) {
        return rv;
    }
    /* Nobody has replaced it since. */
    walk->made &= walk->st.st_uid == geteuid();
    return APR_SUCCESS;
}

static apr_status_t step(walk_t *walk, const char *name)
{
    struct stat st;
    int rc = fstatat(walk->fd, name, &st, AT_SYMLINK_NOFOLLOW) ? errno : 0;

    if (!walk->culprit && !is_safe(walk, rc ? NULL : &st)) {
        walk->culprit = walk->at;
        walk->who = walk->st;
    }
    if (rc == ENOENT) {
        return make(walk, name);
    }
    if (rc) {
        return sse_lmdb_prepare_refuse(walk->job, rc, "cannot be reached");
    }
    return S_ISLNK(st.st_mode) ? follow_link(walk, name)
                               : enter(walk, name, &st);
}

/* "open.", two hexadecimal numbers, and what a claimer or a renewal adds: see
 * sse_registry.h. */
static int is_of_registry(const char *name)
{
    static const char digits[] = "0123456789abcdef";
    apr_size_t n;

    if (strncmp(name, "open.", 5) || !(n = strspn(name + 5, digits)) ||
        name[5 + n] != '.') {
        return 0;
    }
    name += 5 + n + 1;
    n = strspn(name, digits);
    return n && (!name[n] || name[n] == '+' || name[n] == '~');
}

static int is_ours(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..") ||
           !strncmp(name, "data.mdb", 8) || !strncmp(name, "lock.mdb", 8) ||
           !strncmp(name, "open.mdb", 8) || /* of earlier versions */
           is_of_registry(name);
}

/* A directory with other files is not given away: it may be /tmp. */
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

/* LMDB's, or empty?  The directory's owner may have moved a file of root's. */
static int is_lmdb(int fd, const struct stat *st)
{
    static const apr_uint32_t magic = 0xBEEFC0DE;
    char head[20];
    ssize_t len = pread(fd, head, sizeof(head), 0);

    return !st->st_size ||
           (len == sizeof(head) &&
            (!memcmp(head, &magic, 4) || !memcmp(head + 12, &magic, 4) ||
             !memcmp(head + 16, &magic, 4)));
}

static apr_status_t refuse_file(const job_t *job, const char *name, int err,
                                const char *what)
{
    *job->notice = apr_psprintf(
        job->pool,
        "the store's file %s/%s %s: remove it, or put the store's own in its "
        "place, as a plain file with one name that belongs to the user %s",
        job->conf->dir, name, what, sse_lmdb_prepare_user(job));
    return err;
}

static apr_status_t give_opened(const job_t *job, int fd, const char *name)
{
    struct stat st;

    if (fstat(fd, &st)) {
        return refuse_file(job, name, errno, "cannot be looked at");
    }
    if (!S_ISREG(st.st_mode)) {
        return refuse_file(job, name, EINVAL, "is not a plain file");
    }
    if (st.st_nlink != 1) {
        return refuse_file(job, name, EMLINK, "has other names (hard links)");
    }
    if (st.st_uid == job->uid && st.st_gid == job->gid) {
        return APR_SUCCESS;
    }
    if (!is_lmdb(fd, &st)) {
        return refuse_file(job, name, EPERM,
                           "belongs to another user and is not LMDB's");
    }
    return job->is_test || !fchown(fd, job->uid, job->gid)
               ? APR_SUCCESS
               : refuse_file(job, name, errno, "cannot be given to its user");
}

/* Give a file to its user; never through a symbolic or a hard link. */
static apr_status_t give_file(const job_t *job, int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    apr_status_t rv;

    if (fd < 0) {
        return errno == ENOENT ? APR_SUCCESS
               : errno == ELOOP
                   ? refuse_file(job, name, errno, "is a symbolic link")
                   : refuse_file(job, name, errno, "cannot be opened");
    }
    rv = give_opened(job, fd, name);
    close(fd);
    return rv;
}

static apr_status_t give(walk_t *walk)
{
    job_t *job = walk->job;
    int is_given = walk->st.st_uid == job->uid;
    apr_status_t rv;

    if (!is_given && walk->culprit) {
        return refuse_way(
            walk, EPERM,
            apr_psprintf(job->pool,
                         "belongs to the user %s and is not given to %s",
                         sse_lmdb_prepare_name(job, walk->st.st_uid),
                         sse_lmdb_prepare_user(job)));
    }
    if (!is_given && (walk->made || only_ours(walk->fd))) {
        if (!job->is_test && fchown(walk->fd, job->uid, job->gid)) {
            return sse_lmdb_prepare_refuse(job, errno,
                                           "cannot be given to its user");
        }
        is_given = job->is_given = 1;
    }
    if (!is_given) {
        return APR_SUCCESS;
    }
    rv = give_file(job, walk->fd, "data.mdb");
    return rv ? rv : give_file(job, walk->fd, "lock.mdb");
}

/* At the end of the path. */
static apr_status_t arrive(walk_t *walk)
{
    if (sse_lmdb_prepare_is_root(walk->job)) {
        return give(walk);
    }
    if (walk->culprit && walk->st.st_uid != geteuid()) {
        return refuse_way(walk, EPERM, "is not the server's user's");
    }
    return APR_SUCCESS;
}

apr_status_t sse_lmdb_dir_make(job_t *job)
{
    walk_t walk = {0};
    const char *name;
    apr_status_t rv;

    walk.job = job;
    walk.rest = job->conf->dir;
    walk.at = "/";
    find_groups(&walk);
    rv = go_to_root(&walk);
    while (!rv && !job->is_missing && (name = next_name(&walk))) {
        rv = step(&walk, name);
    }
    if (!rv && !job->is_missing) {
        rv = arrive(&walk);
    }
    else if (!rv && walk.culprit && !sse_lmdb_prepare_is_root(job)) {
        rv = refuse_way(&walk, EPERM, "is not made");
    }
    job->at = walk.at;
    job->is_safe = !walk.culprit;
    close(walk.fd);
    return rv;
}
