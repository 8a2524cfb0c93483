/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "exec/sse_exec_supervisor.h"

#include <ap_mpm.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_log.h>
#include <mpm_common.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unixd.h>

#include "exec/sse_exec_loop.h"
#include "exec/sse_exec_spawn.h"
#include "exec/sse_exec_wire.h"
#include "shared/sse_counters.h"

APLOG_USE_MODULE(sse);

/* What ps shows. */
#define NAME "sse-programs"
/* The supervisor's only descriptor but for the standard ones. */
#define DOOR_FD 3
/* How long it may need to end, beyond what programs get. */
#define END_WAIT apr_time_from_sec(2)
#define STEP     apr_time_from_msec(2)
/* One that dies sooner may do so again and again: then the monitor hook, which
 * runs every ten seconds, starts the next. */
#define SHORT_LIFE apr_time_from_sec(1)

/* The parent's record over restarts, which other versions of this module read:
 * if it changes, KEY must change. */
#define KEY "sse_exec_supervisor_1"
typedef struct {
    pid_t pid;   /* 0: there is none */
    int door[2]; /* the supervisor's end, the children's; -1: none */
    int version; /* SSE_EXEC_VERSION of the one that runs */
    uid_t user;
    gid_t group;
    apr_time_t started;
} kept_t;

static kept_t *kept;       /* parent; children: const after post_config */
static server_rec *server; /* the main one */
static apr_pool_t *conf;   /* this generation's */
static apr_proc_t proc;    /* the supervisor, as registered */
static int is_wanted;      /* by the configuration */
static pid_t parent;       /* the process that has prepared */

/* -- the supervisor's process --------------------------------------------- */

static void reset_handlers(void)
{
    int n;

    for (n = 1; n < NSIG; ++n) {
        signal(n, SIG_DFL);
    }
}

/* Nothing of httpd's stays open: no listening socket, no log. */
static void keep_only(int door)
{
    int null = open("/dev/null", O_RDWR);
    int out_of_the_way = fcntl(door, F_DUPFD, DOOR_FD + 1);

    if (null < 0 || out_of_the_way < 0) {
        _exit(1);
    }
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    dup2(out_of_the_way, DOOR_FD);
    fcntl(DOOR_FD, F_SETFD, FD_CLOEXEC);
    sse_exec_spawn_close_from(DOOR_FD + 1);
}

static void supervise(int door)
{
    setsid(); /* not to get what is meant for httpd's group */
    reset_handlers();
    /* As the children: root becomes User and Group. */
    if (ap_run_drop_privileges(conf, server)) {
        _exit(1);
    }
    prctl(PR_SET_NAME, NAME);
    keep_only(door);
    sse_exec_loop_run(DOOR_FD, parent, &sse_exec_times,
                      sse_counters_set_commands);
    _exit(0);
}

/* -- the parent ----------------------------------------------------------- */

static uid_t wanted_user(void)
{
    return geteuid() ? geteuid() : ap_unixd_config.user_id;
}

static gid_t wanted_group(void)
{
    return geteuid() ? getegid() : ap_unixd_config.group_id;
}

/* And all programs with it. */
static void forget(void)
{
    kept->pid = 0;
    sse_counters_set_commands(0);
}

static void on_change(int reason, void *baton, int status);

static apr_status_t start(void)
{
    sigset_t all, before;
    apr_status_t rv;
    pid_t pid;

    /* Handlers of httpd's must not run in the new process. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        supervise(kept->door[0]);
    }
    rv = pid < 0 ? errno : APR_SUCCESS;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    kept->pid = pid;
    kept->version = SSE_EXEC_VERSION;
    kept->user = wanted_user();
    kept->group = wanted_group();
    kept->started = apr_time_now();
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server,
                 "the supervisor of programs runs as process %ld", (long)pid);
    return APR_SUCCESS;
}

/* To be told of its death; until the configuration is read anew. */
static void watch(void)
{
    proc.pid = kept->pid;
    apr_proc_other_child_register(&proc, on_change, &proc, NULL, conf);
}

static apr_status_t start_again(void)
{
    apr_status_t rv = start();

    if (rv == APR_SUCCESS) {
        watch();
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, server,
                     "cannot start the supervisor of programs: sse-exec "
                     "answers 503; it is tried again every ten seconds");
    }
    return rv;
}

static int is_stopping(void)
{
    int state = 0;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

/* The MPM tells the bare number, of a signal or of an exit; APR, where it looks
 * itself, what waitpid() says.  A supervisor that exits by itself says 0 or 1,
 * and blocks the signal 1. */
static void tell_death(int status)
{
    int is_signal = status != 1 && WIFSIGNALED(status);
    int exit_status = status == 1 ? 1 : WEXITSTATUS(status);

    ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
                 "the supervisor of programs has ended by %s %d, and with it "
                 "all programs of sse-exec; another one is started",
                 is_signal ? "signal" : "exit",
                 is_signal ? WTERMSIG(status) : exit_status);
}

static void on_death(int status)
{
    apr_interval_time_t life = apr_time_now() - kept->started;

    forget();
    if (is_stopping()) {
        return;
    }
    tell_death(status);
    if (life >= SHORT_LIFE) {
        start_again();
    }
}

static void on_change(int reason, void *baton, int status)
{
    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        apr_proc_other_child_unregister(baton);
        on_death(status);
    }
}

int sse_exec_supervisor_monitor(apr_pool_t *p, server_rec *s)
{
    if (is_wanted && kept && !kept->pid && !is_stopping()) {
        start_again();
    }
    return DECLINED;
}

/* -- its end -------------------------------------------------------------- */

static int has_ended(void)
{
    pid_t pid = waitpid(kept->pid, NULL, WNOHANG);

    return pid == kept->pid || (pid < 0 && errno == ECHILD);
}

/* Its programs get SIGTERM and some time; nothing of them is left then. */
static void end(void)
{
    apr_interval_time_t left =
        apr_time_from_msec(sse_exec_times.leave) + END_WAIT;

    kill(kept->pid, SIGTERM);
    for (; left > 0 && !has_ended(); left -= STEP) {
        apr_sleep(STEP);
    }
    if (left <= 0) {
        kill(kept->pid, SIGKILL);
        waitpid(kept->pid, NULL, 0);
    }
    forget();
}

/* The server stops.  A child that exits may come here, too. */
static apr_status_t on_process_end(void *baton)
{
    if (getpid() == parent && kept->pid) {
        end();
    }
    return APR_SUCCESS;
}

/* This code may be gone when the next generation has been configured. */
static apr_status_t on_conf_end(void *baton)
{
    apr_pool_cleanup_kill(server->process->pool, kept, on_process_end);
    return APR_SUCCESS;
}

/* -- preparation ---------------------------------------------------------- */

static void close_door(void)
{
    int i;

    for (i = 0; i < 2; ++i) {
        if (kept->door[i] >= 0) {
            close(kept->door[i]);
            kept->door[i] = -1;
        }
    }
}

static void find_kept(void)
{
    kept = ap_retained_data_get(KEY);
    if (!kept) {
        kept = ap_retained_data_create(KEY, sizeof(*kept));
        kept->door[0] = kept->door[1] = -1;
    }
}

static int fits(void)
{
    return is_wanted && kept->version == SSE_EXEC_VERSION &&
           kept->user == wanted_user() && kept->group == wanted_group();
}

/* One that runs on, or none. */
static void settle(void)
{
    if (kept->pid && has_ended()) {
        forget(); /* while nobody was there to be told */
    }
    if (kept->pid && !fits()) {
        end();
        close_door();
    }
    if (!is_wanted) {
        close_door();
    }
}

apr_status_t sse_exec_supervisor_prepare(apr_pool_t *pconf, server_rec *s,
                                         int is_needed)
{
    apr_status_t rv = APR_SUCCESS;

    server = s;
    conf = pconf;
    parent = getpid();
    is_wanted = is_needed;
    find_kept();
    settle();
    if (!is_wanted) {
        return APR_SUCCESS;
    }
    if (kept->door[1] < 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   kept->door)) {
        return errno;
    }
    if (!kept->pid) {
        rv = start();
    }
    if (rv == APR_SUCCESS) {
        watch();
    }
    /* Also where the monitor hook is to start it. */
    apr_pool_pre_cleanup_register(s->process->pool, kept, on_process_end);
    apr_pool_cleanup_register(pconf, NULL, on_conf_end, apr_pool_cleanup_null);
    return rv;
}

int sse_exec_supervisor_door(void) { return kept ? kept->door[1] : -1; }

void sse_exec_supervisor_forget(void)
{
    if (kept && kept->door[0] >= 0) {
        close(kept->door[0]);
        kept->door[0] = -1;
    }
}
