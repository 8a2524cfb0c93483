/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_registry.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "open."
/* How often the path is looked at. */
#define CHECK_EVERY apr_time_from_msec(100)
/* A file may grow by so much before it is written anew. */
#define GROWTH (256 * 1024)

struct sse_registry_t {
    const char *dir, *owner; /* const */
    const char *path;        /* const: the file's */
    const char *fresh;       /* const: the next file, until it is complete */
    pthread_mutex_t lock;
    int fd;             /* lock: all below */
    apr_off_t size;     /* of its whole lines */
    apr_off_t most;     /* the size at which it is written anew */
    apr_time_t checked; /* when the path was looked at */
};

/** An opening that has not been closed. */
typedef struct {
    const char *value;
    apr_off_t at; /* where its line begins */
} entry_t;

static apr_status_t last_error(void)
{
    return errno == EDQUOT || errno == EFBIG ? APR_ENOSPC : errno;
}

/* -- Reading --------------------------------------------------------------- */

/* "+name value" or "-name", anything behind. */
static void read_line(apr_hash_t *open, char *line, apr_off_t at)
{
    char *space = strchr(line, ' ');
    entry_t *entry = NULL;

    if (space) {
        *space++ = '\0';
    }
    if (*line == '+' && space) {
        entry = apr_palloc(apr_hash_pool_get(open), sizeof(*entry));
        entry->value = space;
        entry->at = at;
    }
    if (entry || *line == '-') {
        apr_hash_set(open, line + 1, APR_HASH_KEY_STRING, entry);
    }
}

/* What is open, by name. */
static apr_status_t read_open(int fd, apr_hash_t **open, apr_pool_t *pool)
{
    char *text, *line, *end;
    struct stat st;
    ssize_t len;

    *open = apr_hash_make(pool);
    if (fstat(fd, &st)) {
        return errno;
    }
    text = apr_palloc(pool, (apr_size_t)st.st_size + 1);
    len = pread(fd, text, (apr_size_t)st.st_size, 0);
    for (line = text;
         len > 0 && (end = memchr(line, '\n', (apr_size_t)(text + len - line)));
         line = end + 1) {
        *end = '\0';
        read_line(*open, line, line - text);
    }
    return len < 0 ? errno : APR_SUCCESS;
}

/* Close an entry in its place, which needs no room. */
static apr_status_t strike(int fd, const entry_t *entry)
{
    return pwrite(fd, "-", 1, (off_t)entry->at) == 1 ? APR_SUCCESS
                                                     : last_error();
}

/* -- Writing --------------------------------------------------------------- */

/* A line that could not be written whole is written over by the next one. */
static apr_status_t append(int fd, apr_off_t *size, const char *line,
                           apr_size_t len)
{
    ssize_t n = pwrite(fd, line, len, (off_t)*size);

    if (n == (ssize_t)len) {
        *size += n;
        return APR_SUCCESS;
    }
    return n < 0 ? last_error() : APR_ENOSPC;
}

static apr_status_t copy_open(const sse_registry_t *registry, int fd,
                              apr_off_t *size)
{
    apr_size_t len = (apr_size_t)registry->size + 1, used = 0;
    apr_pool_t *pool;
    apr_hash_t *open;
    apr_hash_index_t *i;
    const entry_t *entry;
    apr_status_t rv;
    char *lines;

    apr_pool_create(&pool, NULL);
    lines = apr_palloc(pool, len);
    rv = read_open(registry->fd, &open, pool);
    for (i = apr_hash_first(pool, open); i; i = apr_hash_next(i)) {
        entry = apr_hash_this_val(i);
        used += (apr_size_t)apr_snprintf(lines + used, len - used, "+%s %s\n",
                                         (const char *)apr_hash_this_key(i),
                                         entry->value);
    }
    rv = rv ? rv : append(fd, size, lines, used);
    apr_pool_destroy(pool);
    return rv;
}

/* Under the lock: write the file anew, with what is open in the present one.
 * If that fails, the present one stays in use. */
static apr_status_t renew(sse_registry_t *registry)
{
    int fd = open(registry->fresh,
                  O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    apr_off_t size = 0;
    apr_status_t rv = APR_SUCCESS;

    registry->most = registry->size + GROWTH;
    if (fd < 0) {
        return last_error();
    }
    if (registry->fd >= 0) {
        rv = copy_open(registry, fd, &size);
    }
    if (rv == APR_SUCCESS && rename(registry->fresh, registry->path)) {
        rv = last_error();
    }
    if (rv != APR_SUCCESS) {
        unlink(registry->fresh);
        close(fd);
        return rv;
    }
    if (registry->fd >= 0) {
        close(registry->fd);
    }
    registry->fd = fd;
    registry->size = size;
    registry->most = 2 * size + GROWTH;
    return APR_SUCCESS;
}

static int is_at_path(const sse_registry_t *registry)
{
    struct stat mine, there;

    return !fstat(registry->fd, &mine) && !stat(registry->path, &there) &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

/* Under the lock. */
static void look_after(sse_registry_t *registry)
{
    apr_time_t now = apr_time_now();
    int is_due = registry->size >= registry->most;

    if (now - registry->checked >= CHECK_EVERY || now < registry->checked) {
        registry->checked = now;
        is_due |= !is_at_path(registry);
    }
    if (is_due) {
        renew(registry);
    }
}

/* -- Opening and closing it ------------------------------------------------ */

static apr_status_t on_pool_gone(void *baton)
{
    sse_registry_t *registry = baton;
    apr_pool_t *pool;
    apr_hash_t *open;

    apr_pool_create(&pool, NULL);
    if (read_open(registry->fd, &open, pool) == APR_SUCCESS &&
        !apr_hash_count(open) && is_at_path(registry)) {
        unlink(registry->path);
    }
    apr_pool_destroy(pool);
    close(registry->fd);
    pthread_mutex_destroy(&registry->lock);
    return APR_SUCCESS;
}

apr_status_t sse_registry_open(sse_registry_t **out, const char *dir,
                               const char *owner, apr_pool_t *pool)
{
    sse_registry_t *registry = apr_pcalloc(pool, sizeof(*registry));
    apr_status_t rv;

    registry->dir = apr_pstrdup(pool, dir);
    registry->owner = apr_pstrdup(pool, owner);
    registry->path = apr_pstrcat(pool, dir, "/" PREFIX, owner, NULL);
    registry->fresh = apr_pstrcat(pool, registry->path, "+", NULL);
    registry->fd = -1;
    rv = renew(registry);
    if (rv == APR_SUCCESS) {
        pthread_mutex_init(&registry->lock, NULL);
        apr_pool_cleanup_register(pool, registry, on_pool_gone,
                                  apr_pool_cleanup_null);
        *out = registry;
    }
    return rv;
}

/* -- Entries --------------------------------------------------------------- */

apr_status_t sse_registry_add(sse_registry_t *registry, const char *name,
                              const char *value, apr_pool_t *pool)
{
    char *line = apr_pstrcat(pool, "+", name, " ", value, "\n", NULL), *c;
    apr_status_t rv;

    for (c = line; c[1]; ++c) {
        *c = *c == '\n' ? ' ' : *c;
    }
    pthread_mutex_lock(&registry->lock);
    look_after(registry);
    rv = append(registry->fd, &registry->size, line, strlen(line));
    pthread_mutex_unlock(&registry->lock);
    return rv;
}

/* Under the lock. */
static apr_status_t strike_name(const sse_registry_t *registry,
                                const char *name)
{
    apr_pool_t *pool;
    apr_hash_t *open;
    const entry_t *entry;
    apr_status_t rv;

    apr_pool_create(&pool, NULL);
    rv = read_open(registry->fd, &open, pool);
    entry = rv ? NULL : apr_hash_get(open, name, APR_HASH_KEY_STRING);
    if (entry) {
        rv = strike(registry->fd, entry);
    }
    apr_pool_destroy(pool);
    return rv;
}

apr_status_t sse_registry_remove(sse_registry_t *registry, const char *name)
{
    char line[SSE_REGISTRY_NAME_MAX + 3];
    apr_size_t len = apr_snprintf(line, sizeof(line), "-%s\n", name);
    apr_status_t rv;

    pthread_mutex_lock(&registry->lock);
    look_after(registry);
    rv = append(registry->fd, &registry->size, line, len);
    if (rv != APR_SUCCESS) {
        rv = strike_name(registry, name);
    }
    pthread_mutex_unlock(&registry->lock);
    return rv;
}

/* -- Claiming -------------------------------------------------------------- */

typedef struct {
    const sse_registry_t *registry;
    sse_registry_alive_fn *is_alive;
    sse_registry_fn *fn;
    void *baton;
    int dir; /* the directory's descriptor */
    apr_pool_t *pool;
} claim_t;

static apr_status_t tell(const claim_t *claim, int fd)
{
    apr_hash_t *open;
    apr_hash_index_t *i;
    const entry_t *entry;
    apr_status_t rv = read_open(fd, &open, claim->pool), failed;

    for (i = apr_hash_first(claim->pool, open); i; i = apr_hash_next(i)) {
        entry = apr_hash_this_val(i);
        failed = strike(fd, entry);
        if (failed) {
            rv = failed; /* it could be told of twice: later */
            continue;
        }
        claim->fn(claim->baton, apr_hash_this_key(i), entry->value);
    }
    return rv;
}

/* Where there is no such file any more, another process has claimed it. */
static apr_status_t take(const claim_t *claim, const char *name,
                         const char *owner)
{
    const char *mine = apr_pstrcat(claim->pool, PREFIX, owner, "~",
                                   claim->registry->owner, NULL);
    int fd = openat(claim->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    apr_status_t rv = APR_SUCCESS;

    if (fd < 0 || renameat(claim->dir, name, claim->dir, mine)) {
        rv = errno == ENOENT ? APR_SUCCESS : errno;
    }
    else if (!(rv = tell(claim, fd))) {
        unlinkat(claim->dir, mine, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

/* "open.OWNER", "open.OWNER~CLAIMER", or "open.OWNER+", which its owner did not
 * complete. */
static apr_status_t look_at(const claim_t *claim, const char *name)
{
    char *owner = apr_pstrdup(claim->pool, name + strlen(PREFIX));
    char *claimer = strchr(owner, '~'), *plus = strchr(owner, '+');

    if (claimer) {
        *claimer++ = '\0';
    }
    if (plus) {
        *plus = '\0';
    }
    if (claimer && !strcmp(claimer, claim->registry->owner)) {
        return take(claim, name, owner); /* it could not be read, or struck */
    }
    if (claim->is_alive(claim->baton, claimer ? claimer : owner)) {
        return APR_SUCCESS;
    }
    if (plus) {
        return unlinkat(claim->dir, name, 0) && errno != ENOENT ? errno
                                                                : APR_SUCCESS;
    }
    return take(claim, name, owner);
}

apr_status_t sse_registry_claim(sse_registry_t *registry,
                                sse_registry_alive_fn *is_alive,
                                sse_registry_fn *fn, void *baton,
                                apr_pool_t *pool)
{
    claim_t claim = {registry, is_alive, fn, baton, -1, pool};
    DIR *dir = opendir(registry->dir);
    struct dirent *entry;
    apr_status_t rv = APR_SUCCESS, failed;

    if (!dir) {
        return errno;
    }
    claim.dir = dirfd(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)) &&
            (failed = look_at(&claim, entry->d_name)) != APR_SUCCESS) {
            rv = failed;
        }
    }
    closedir(dir);
    return rv;
}
