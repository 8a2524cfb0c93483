/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* sse-store: what is in a store, for its administrator.  docs/sse-store.md.
 *
 * The store is read in a child process, since a damaged file may kill it.
 * Started by root, it becomes the store's user first: that user owns the
 * directory, and could have put anything there for root to open. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb_inspect.h"

/* And those of sse_inspect_e. */
#define EXIT_USAGE   2
#define EXIT_UNKNOWN 4

typedef struct {
    const char *dir;
    const char *ns;  /**< or NULL: any */
    const char *arg; /**< the command's, or NULL */
    int had_lock;    /**< there was a lock file at the start */
} job_t;

typedef int command_fn(const job_t *job, sse_inspect_t *in);

static const char help[] =
    "Usage: sse-store [-d DIR] COMMAND\n"
    "Look into the store of mod_sse, in use or at rest; nothing is changed.\n"
    "\n"
    "  list [PREFIX]    the channels whose names begin with PREFIX\n"
    "  dump CHANNEL     its kept events, as text/event-stream\n"
    "  members CHANNEL  who is on it, where httpd has SSEPresence\n"
    "  stat             version, ids, sizes, counts\n"
    "  check            walk all of it, and see whether it is sound\n"
    "\n"
    "  -d, --dir=DIR          the store's directory: that of dir= in httpd's\n"
    "                         SSEStore (default: environment SSE_STORE)\n"
    "  -n, --namespace=NAME   list, dump, members: only channels of this\n"
    "                         namespace\n"
    "  -h, --help\n"
    "\n"
    "Exit status: 0 done, and sound; 1 damaged; 2 wrong usage; 3 there is no\n"
    "store that can be read; 4 there is no such channel.\n";

static int complain(const char *dir, const char *words)
{
    fprintf(stderr, "sse-store: %s%s%s\n", dir ? dir : "", dir ? ": " : "",
            words);
    return SSE_INSPECT_UNREADABLE;
}

static int usage(const char *words, const char *what)
{
    fprintf(stderr, "sse-store: %s%s\nTry 'sse-store --help'.\n", words, what);
    return EXIT_USAGE;
}

static int complain_damage(const char *dir, const char *words)
{
    complain(dir, words);
    fputs("sse-store: stop httpd, move data.mdb and lock.mdb elsewhere, and "
          "start it: it begins a new one\n",
          stderr);
    return SSE_INSPECT_DAMAGED;
}

static int told(const job_t *job, const sse_inspect_t *in, sse_inspect_e result)
{
    if (result == SSE_INSPECT_DAMAGED) {
        return complain_damage(job->dir, in->words);
    }
    if (result != SSE_INSPECT_OK) {
        complain(job->dir, in->words);
    }
    return (int)result;
}

/* Names come from a file and go to a terminal: escape what could harm it. */
static void print_name(const char *name, apr_size_t len)
{
    int utf8 = sse_utf8_valid(name, len);
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        unsigned char c = (unsigned char)name[i];
        int c1 = c == 0xc2 && i + 1 < len && (unsigned char)name[i + 1] < 0xa0;

        if (c < 0x20 || c == 0x7f || c == '\\' || (c >= 0x80 && !utf8) || c1) {
            printf("\\x%02x", c);
            if (c1) {
                printf("\\x%02x", (unsigned char)name[++i]);
            }
        }
        else {
            putchar(c);
        }
    }
}

/* A key is a namespace, a NUL and a name. */
static void key_split(sse_slice_t key, sse_slice_t *ns, sse_slice_t *name)
{
    *name = sse_store_name(key);
    ns->ptr = key.ptr;
    ns->len = name->len < key.len ? key.len - name->len - 1 : 0;
}

static int is_same(sse_slice_t slice, const char *text)
{
    return slice.len == strlen(text) && !memcmp(slice.ptr, text, slice.len);
}

/* The first key of the namespace, or of all. */
static sse_slice_t start_of(const job_t *job)
{
    sse_slice_t from = {job->ns, job->ns ? strlen(job->ns) + 1 : 0};

    return from;
}

static int list_channel(void *baton, const sse_inspect_channel_t *channel)
{
    const job_t *job = baton;
    apr_size_t len = job->arg ? strlen(job->arg) : 0;
    apr_interval_time_t age =
        channel->last_time ? apr_time_now() - channel->last_time : 0;
    sse_slice_t ns, name;

    key_split(channel->key, &ns, &name);
    if (job->ns && !is_same(ns, job->ns)) {
        return 1; /* they are in order: the namespace ends here */
    }
    if (name.len < len || memcmp(name.ptr, job->arg ? job->arg : "", len)) {
        return 0;
    }
    print_name(ns.ptr, ns.len);
    putchar('\t');
    print_name(name.ptr, name.len);
    printf("\t%" APR_UINT64_T_FMT "\t%" APR_UINT64_T_FMT "\t%" APR_UINT64_T_FMT
           "\t%" APR_UINT64_T_FMT "\t%" APR_INT64_T_FMT "\t%" APR_UINT64_T_FMT
           "\n",
           channel->count, channel->bytes, channel->first, channel->last,
           apr_time_sec(age > 0 ? age : 0), channel->members);
    return ferror(stdout);
}

static int run_list(const job_t *job, sse_inspect_t *in)
{
    puts("namespace\tchannel\tevents\tbytes\tfirst\tlast\tage\tmembers");
    return told(
        job, in,
        sse_inspect_channels(in, start_of(job), list_channel, (void *)job));
}

/* Finds a channel by its name, in one or in all namespaces. */
typedef struct {
    const job_t *job;
    int count;
    char key[SSE_STORE_KEY_MAX];
    sse_slice_t found;
    char others[256];
} search_t;

static int search_channel(void *baton, const sse_inspect_channel_t *channel)
{
    search_t *search = baton;
    const job_t *job = search->job;
    apr_size_t len = strlen(search->others);
    sse_slice_t ns, name;

    key_split(channel->key, &ns, &name);
    if (job->ns && !is_same(ns, job->ns)) {
        return 1;
    }
    if (!is_same(name, job->arg)) {
        return 0;
    }
    if (!search->count++) {
        memcpy(search->key, channel->key.ptr, channel->key.len);
        search->found.ptr = search->key;
        search->found.len = channel->key.len;
    }
    snprintf(search->others + len, sizeof(search->others) - len, " %.*s",
             (int)ns.len, ns.ptr);
    return job->ns != NULL;
}

static int write_text(void *baton, const char *text, apr_size_t len)
{
    return fwrite(text, 1, len, stdout) != len;
}

/* The channel that the command names. @return 0, or the exit status */
static int find(const job_t *job, sse_inspect_t *in, search_t *search)
{
    sse_inspect_e result;

    memset(search, 0, sizeof(*search));
    search->job = job;
    result = sse_inspect_channels(in, start_of(job), search_channel, search);
    if (result != SSE_INSPECT_OK) {
        return told(job, in, result);
    }
    if (search->count > 1) {
        fprintf(stderr,
                "sse-store: %d namespaces have a channel of that name: say "
                "which with -n, one of:",
                search->count);
        fprintf(stderr, "%s\n", search->others);
        return EXIT_USAGE;
    }
    if (!search->count) {
        complain(job->dir, "there is no such channel: 'sse-store list' names "
                           "those there are");
        return EXIT_UNKNOWN;
    }
    return 0;
}

static int run_dump(const job_t *job, sse_inspect_t *in)
{
    search_t search;
    int status = find(job, in, &search);

    return status ? status
                  : told(job, in,
                         sse_inspect_dump(in, search.found, write_text, NULL));
}

static void print_seconds(apr_interval_time_t time)
{
    printf("\t%" APR_INT64_T_FMT, apr_time_sec(time > 0 ? time : 0));
}

static int print_member(void *baton, const sse_inspect_member_t *member)
{
    apr_time_t now = apr_time_now();

    print_name(member->name.ptr, member->name.len);
    putchar('\t');
    print_name(member->stream.ptr, member->stream.len);
    putchar('\t');
    print_name(member->user.ptr, member->user.len);
    putchar('\t');
    print_name(member->owner.ptr, member->owner.len);
    print_seconds(now - member->since);
    if (member->due) {
        print_seconds(member->due - now);
    }
    else {
        fputs("\t-", stdout);
    }
    putchar('\n');
    return ferror(stdout);
}

static int run_members(const job_t *job, sse_inspect_t *in)
{
    search_t search;
    int status = find(job, in, &search);

    if (status) {
        return status;
    }
    puts("name\tstream\tuser\tchild\tage\twaits");
    return told(job, in,
                sse_inspect_members(in, search.found, print_member, NULL));
}

static void print_id(const char *name, sse_id_t id)
{
    char when[APR_RFC822_DATE_LEN];

    apr_rfc822_date(when, (apr_time_t)id);
    printf("%s: %" APR_UINT64_T_FMT, name, id);
    printf(strcmp(name, "origin") ? "\n" : " (%s)\n", when);
}

static int run_stat(const job_t *job, sse_inspect_t *in)
{
    sse_inspect_stat_t stat;
    sse_inspect_e result = sse_inspect_stat(in, &stat);

    if (result != SSE_INSPECT_OK) {
        return told(job, in, result);
    }
    printf("version: %u\n", stat.version);
    print_id("origin", stat.origin);
    print_id("last", stat.last);
    printf("used: %" APR_UINT64_T_FMT "\n", stat.used);
    printf("soft: %" APR_UINT64_T_FMT "\n", stat.soft);
    printf("limit: %" APR_UINT64_T_FMT "\n", stat.limit);
    printf("channels: %" APR_UINT64_T_FMT "\n", stat.channels);
    printf("events: %" APR_UINT64_T_FMT "\n", stat.events);
    printf("lingering: %" APR_UINT64_T_FMT "\n", stat.lingering);
    printf("forgotten: %" APR_UINT64_T_FMT "\n", stat.forgotten);
    printf("presence: %" APR_UINT64_T_FMT "\n", stat.presence);
    printf("members: %" APR_UINT64_T_FMT "\n", stat.members);
    printf("readers: %d\n", stat.readers);
    printf("reading: %d\n", stat.reading);
    return SSE_INSPECT_OK;
}

static int run_check(const job_t *job, sse_inspect_t *in)
{
    sse_inspect_stat_t stat;
    sse_inspect_e result = sse_inspect_check(in);

    if (result == SSE_INSPECT_OK) {
        result = sse_inspect_stat(in, &stat);
    }
    if (result == SSE_INSPECT_OK) {
        printf("sound: %" APR_UINT64_T_FMT " channels, %" APR_UINT64_T_FMT
               " events in the log, %" APR_UINT64_T_FMT " members\n",
               stat.channels, stat.events, stat.members);
    }
    return told(job, in, result);
}

static int child(const job_t *job, command_fn *run)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    static const struct rlimit no_core;
    sse_inspect_t in;
    sse_inspect_e result;
    apr_size_t i;
    int status;

    for (i = 0; i < sizeof(deadly) / sizeof(deadly[0]); ++i) {
        signal(deadly[i], SIG_DFL);
    }
    setrlimit(RLIMIT_CORE, &no_core);
    result = sse_inspect_open(&in, ".");
    status = result == SSE_INSPECT_OK ? run(job, &in) : told(job, &in, result);
    sse_inspect_close(&in);
    if (fflush(stdout) || ferror(stdout)) {
        status = complain(NULL, "the output cannot be written: see whether "
                                "its disk is full");
    }
    return status;
}

static int has_lock(void)
{
    struct stat st;

    return !lstat("lock.mdb", &st);
}

/* @return its exit status */
static int wait_for(const job_t *job, pid_t pid)
{
    char words[128];
    int status = 0;
    pid_t got;

    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (!job->had_lock && has_lock()) {
        return complain(job->dir, "httpd began to use it just now, so what was "
                                  "read may be wrong: run this again");
    }
    if (got == pid && WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    switch (got == pid ? WTERMSIG(status) : 0) {
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGABRT:
        snprintf(words, sizeof(words),
                 "damaged: reading it ended with a signal (%s)",
                 strsignal(WTERMSIG(status)));
        return complain_damage(job->dir, words);
    case SIGPIPE: /* the reader of the output has closed it */
        return 128 + SIGPIPE;
    default:
        return complain(job->dir, "the reading process was stopped");
    }
}

/* Become the user who may have put files into the current directory. */
static int drop(void)
{
    struct stat dir, data;
    uid_t uid;
    gid_t gid;

    if (geteuid() != 0) {
        return 0;
    }
    if (stat(".", &dir)) {
        return errno;
    }
    uid = dir.st_uid;
    gid = dir.st_gid;
    if (!uid && (dir.st_mode & 022) && !lstat("data.mdb", &data)) {
        uid = data.st_uid;
        gid = data.st_gid;
    }
    if (uid && (setgroups(1, &gid) || setgid(gid) || setuid(uid))) {
        return errno;
    }
    return 0;
}

static int run(job_t *job, command_fn *command)
{
    char words[256];
    pid_t pid;
    int rc;

    rc = chdir(job->dir) ? errno : drop();
    if (rc) {
        snprintf(words, sizeof(words), "%s: %s", strerror(rc),
                 rc == EACCES ? "run sse-store as root, or as the user of "
                                "httpd's children"
                              : "name the directory that httpd's SSEStore "
                                "uses");
        return complain(job->dir, words);
    }
    job->had_lock = has_lock();
    pid = fork();
    if (pid < 0) {
        return complain(NULL, strerror(errno));
    }
    if (!pid) {
        exit(child(job, command));
    }
    return wait_for(job, pid);
}

static const struct {
    const char *name;
    command_fn *run;
    int min, max; /**< arguments */
    int has_ns;
} commands[] = {
    {"list", run_list, 0, 1, 1},       {"dump", run_dump, 1, 1, 1},
    {"members", run_members, 1, 1, 1}, {"stat", run_stat, 0, 0, 0},
    {"check", run_check, 0, 0, 0},
};

static int dispatch(job_t *job, int argc, char **argv)
{
    apr_size_t i;

    if (argc < 1) {
        return usage("say what to do: list, dump, members, stat or check", "");
    }
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); ++i) {
        if (strcmp(commands[i].name, argv[0])) {
            continue;
        }
        if (argc - 1 < commands[i].min) {
            return usage("name a channel after ", argv[0]);
        }
        if (argc - 1 > commands[i].max) {
            return usage("too many arguments for ", argv[0]);
        }
        if (job->ns && !commands[i].has_ns) {
            return usage("-n is not for ", argv[0]);
        }
        if (!job->dir || !*job->dir) {
            return usage("name the store's directory with -d, or in the "
                         "environment as SSE_STORE",
                         "");
        }
        job->arg = argc > 1 ? argv[1] : NULL;
        return run(job, commands[i].run);
    }
    return usage("there is no command ", argv[0]);
}

/* Namespaces are kept in lower case. */
static const char *lower(char *name)
{
    char *p;

    for (p = name; *p; ++p) {
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    }
    return name;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},
        {"namespace", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    job_t job = {getenv("SSE_STORE"), NULL, NULL, 0};
    int c;

    while ((c = getopt_long(argc, argv, "d:n:h", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            job.dir = optarg;
            break;
        case 'n':
            job.ns = lower(optarg);
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs("Try 'sse-store --help'.\n", stderr);
            return EXIT_USAGE;
        }
    }
    return dispatch(&job, argc - optind, argv + optind);
}
