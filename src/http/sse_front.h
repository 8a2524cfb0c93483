/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_front.h
 * Front ends: each gives a name that SetHandler may use, and the function that
 * answers the requests of such a location.  A protocol is a folder below
 * src/http whose front end registers itself; nothing else knows its name.
 *
 * Threads: sse_front_register() before the configuration is read; the list is
 * const afterwards, and the rest may be called by any thread.
 */

#ifndef SSE_FRONT_H
#define SSE_FRONT_H

#include <httpd.h>

/** A front end.  Its maker's, static. */
typedef struct sse_front_t sse_front_t;
struct sse_front_t {
    const char *name; /**< what SetHandler calls it */
    int is_hub;       /**< its locations have channels and streams */
    /** The content handler. @return what a handler hook returns */
    int (*answer)(request_rec *r);
    sse_front_t *next; /**< the registry's */
};

/** Add a front end.  Of two with the same name the first one stays. */
void sse_front_register(sse_front_t *front);

/** Whether a front end has this name; NULL is nobody's. */
int sse_front_is_name(const char *name);

/** The same for those with streams. */
int sse_front_is_hub(const char *name);

/** The content handler hook: DECLINED unless a front end has the name. */
int sse_front_handler(request_rec *r);

#endif /* SSE_FRONT_H */
