/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_wire.h
 * What children and the supervisor of programs say to each other.
 *
 * A child makes a pair of SOCK_SEQPACKET sockets and sends one of them through
 * the "door", a socket that the parent has made and that each child has.  From
 * then on the two have a connection of their own: when it breaks, the
 * supervisor knows that the child is gone, and ends what ran for it.
 *
 * A message is a sse_exec_message_t, with at most SSE_EXEC_FDS descriptors.
 * What has no fixed size (an order, the rest of a line) lies in a memfd.
 *
 * Threads: any; a message is one sendmsg() or recvmsg(), which does not block.
 */

#ifndef SSE_EXEC_WIRE_H
#define SSE_EXEC_WIRE_H

#include <apr_errno.h>
#include <apr_time.h>

/** To be raised when the meaning of the bytes changes, or the layout of
 *  sse_counters.c: a restart that loads another version has another
 *  supervisor. */
#define SSE_EXEC_VERSION 3

/** The most descriptors of one message. */
#define SSE_EXEC_FDS 3

/** The most bytes of an order: more than any kernel's execve() takes. */
#define SSE_EXEC_ORDER_MAX (8 * 1024 * 1024)

typedef enum {
    /* through the door */
    SSE_EXEC_CONNECT = 1, /**< fds[0]: the supervisor's end of a new connection.
                               pid: the child's */

    /* child to supervisor */
    SSE_EXEC_START,  /**< start a program for this child alone.  fds[0]: the
                          order.  Answered by STARTED or FAILED.  Over when
                          EXITED is told, or the connection breaks.  Without an
                          order FAILED comes at once, as from any that lives */
    SSE_EXEC_JOIN,   /**< the same for a shared program: this child has a
                          subscriber of its channel.  Answered by JOINED or
                          FAILED; OWN may come at any time after JOINED, and
                          more than once.  A program that runs already is not
                          started again; its next start is by the newest order,
                          and an order of a newer generation of httpd that has
                          another program, arguments or directory ends it and
                          starts that.  Over with STOP, which has no answer */
    SSE_EXEC_STOP,   /**< end it: SIGTERM to its group, SIGKILL 5 s later;
                          EXITED is told.  A shared one: this child has no
                          subscriber any more, and reads nothing any more (the
                          last child's starts the linger).  Nothing is told of
                          that id from then on, but what was under way */
    SSE_EXEC_RETURN, /**< this child no longer reads the shared program's output
                          (it leaves).  fds[0]: bytes that it has read beyond
                          the last whole event, or none.  Another child that
                          has joined gets OWN; this one does not again.  An
                          owner that sends STOP or goes without RETURN may have
                          read half a line: the next one is told TORN */
    SSE_EXEC_DECLINE, /**< the same, where it has read nothing: it was told OWN
                          and did not begin, or OWN may be under way.  The next
                          one is told what this one was */

    /* supervisor to child */
    SSE_EXEC_STARTED, /**< pid; fds: its output, its errors */
    SSE_EXEC_JOINED,  /**< pid, or 0: it is to be started, in value2 ms;
                          value: 1, its arguments are other ones */
    SSE_EXEC_FAILED,  /**< why, error */
    SSE_EXEC_OWN,     /**< a shared program: read its output from now on, and
                           publish it.  pid; value: sse_exec_own_e; fds: output,
                           errors, and the rest where there is one */
    SSE_EXEC_EXITED   /**< value: the status, as of waitpid().  Told once the
                           program's first process has ended; its output may
                           still have something: who reads it reads to its end.
                           A shared one: told to the child that has its output;
                           value2: ms until it is started again, when OWN comes
                           with new descriptors (0: the supervisor has ended
                           it, to start it anew); error: it could not be started
                           again, as execve() said (the status is that of exit
                           127) */
} sse_exec_type_e;

typedef enum {
    SSE_EXEC_FRESH = 1, /**< it has just been started: nobody has read */
    SSE_EXEC_RETURNED,  /**< who read before has stopped behind a whole event;
                             fds[2], if there: what else it has read */
    SSE_EXEC_TORN       /**< who read before is gone: the first line may be
                             the end of one */
} sse_exec_own_e;

typedef enum {
    SSE_EXEC_WHY_LIMIT = 1, /**< SSECommandMax: value has the limit */
    SSE_EXEC_WHY_EXEC,      /**< execve(): error (ENOENT, EACCES, E2BIG...) */
    SSE_EXEC_WHY_DIR,       /**< its working directory: error */
    SSE_EXEC_WHY_FORK,      /**< fork(), pipes, memory: error */
    SSE_EXEC_WHY_LEAVING,   /**< the supervisor is about to end */
    SSE_EXEC_WHY_BAD        /**< the order cannot be read */
} sse_exec_why_e;

typedef struct {
    apr_uint32_t type; /**< sse_exec_type_e */
    apr_uint32_t why;  /**< sse_exec_why_e */
    apr_uint64_t id;   /**< the child's own number of that program, never used
                            again on the connection */
    apr_int32_t error; /**< an errno */
    apr_int32_t pid;
    apr_int64_t value;
    apr_int64_t value2;
} sse_exec_message_t;

/** What to run. */
typedef struct {
    const char *key; /**< shared: the channel's key; else "" */
    apr_size_t key_len;
    const char *const *argv;    /**< NULL at the end; [0] is the program, an
                                     absolute path */
    const char *const *env;     /**< likewise, "NAME=value" */
    const char *dir;            /**< working directory, an absolute path */
    const char *limit_name;     /**< what the limit counts: "" the server, else
                                     a host; see sse_limits.c */
    apr_uint32_t limit;         /**< SSECommandMax: that many may run */
    apr_uint32_t server_limit;  /**< the main server's, where limit_name is a
                                     host's; else 0: none */
    apr_uint32_t generation;    /**< httpd's (AP_SQ_CONFIG_GEN) */
    apr_interval_time_t linger; /**< SSECommandLinger */
} sse_exec_order_t;

/** Whether they name the same program with the same arguments. */
int sse_exec_order_is_same_command(const sse_exec_order_t *a,
                                   const sse_exec_order_t *b);

/** Close it, if there is one, and note that. */
void sse_exec_close(int *fd);

/** @param fd out: a memfd, the caller's to close
 *  @return APR_SUCCESS; E2BIG: more than SSE_EXEC_ORDER_MAX; an error of the
 *          system's */
apr_status_t sse_exec_order_write(const sse_exec_order_t *order, int *fd);

/** @param order out: one piece of memory, to be freed by free()
 *  @return APR_SUCCESS; APR_EINVAL: not what sse_exec_order_write() makes */
apr_status_t sse_exec_order_read(int fd, sse_exec_order_t **order);

/** Any bytes, for RETURN.  @param fd out: a memfd, the caller's to close */
apr_status_t sse_exec_bytes_write(const void *bytes, apr_size_t len, int *fd);

/** @param bytes out: to be freed by free(); there is a NUL behind them
 *  @return APR_SUCCESS; APR_EINVAL: no memfd, or more than most bytes */
apr_status_t sse_exec_bytes_read(int fd, apr_size_t most, void **bytes,
                                 apr_size_t *len);

/** @param fds n descriptors, which remain the caller's
 *  @return APR_SUCCESS; APR_EAGAIN: not now; an error: the other end is gone */
apr_status_t sse_exec_message_send(int socket,
                                   const sse_exec_message_t *message,
                                   const int *fds, int n);

/** @param fds out: room for SSE_EXEC_FDS; close-on-exec, the caller's to close
 *  @param n out: how many there are
 *  @return APR_SUCCESS; EMFILE: a message, whose descriptors are lost as this
 *          process can have no more; APR_EAGAIN: there is none; APR_EOF: the
 *          other end is gone; APR_EINVAL: not a message of ours; an error of
 *          the system's */
apr_status_t sse_exec_message_receive(int socket, sse_exec_message_t *message,
                                      int *fds, int *n);

#endif /* SSE_EXEC_WIRE_H */
