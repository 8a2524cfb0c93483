/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_page.h
 * The page for people.  Plain tables without JavaScript; with it the numbers
 * change each second (sse_status_live.h).  All that is in it comes with it.
 *
 * Channels, users, namespaces are others' text, and escaped.
 *
 * Threads: the request's.
 */

#ifndef SSE_STATUS_PAGE_H
#define SSE_STATUS_PAGE_H

#include <httpd.h>

#include "http/status/sse_status_numbers.h"

/** A page that is being written. */
typedef struct {
    request_rec *r;
    sse_text_t text;
    char nonce[33]; /**< what lets its own style and script in, no others */
} sse_page_t;

/** Begin it, with a heading. @param query of its own address, escaped */
void sse_page_begin(sse_page_t *page, request_rec *r, const char *title,
                    const char *query);

/** End it. @return OK: it was sent */
int sse_page_end(sse_page_t *page);

/** The page of all numbers. @return OK */
int sse_status_page(request_rec *r, const sse_status_t *status);

/** The style of all pages, and the script of that one. */
extern const char sse_page_style[];
extern const char sse_page_script[];

#endif /* SSE_STATUS_PAGE_H */
