/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_front.h"

#include <string.h>

#include "http/sse_ask.h"
#include "stream/splice/sse_splice.h"

static sse_front_t *fronts; /* const once the configuration is read */

static const sse_front_t *find(const char *name)
{
    const sse_front_t *front = fronts;

    while (front && name && strcmp(front->name, name)) {
        front = front->next;
    }
    return name ? front : NULL;
}

void sse_front_register(sse_front_t *front)
{
    if (!find(front->name)) {
        front->next = fronts;
        fronts = front;
        sse_splice_handler_add(front->name);
    }
}

int sse_front_is_name(const char *name) { return find(name) != NULL; }

int sse_front_is_hub(const char *name)
{
    const sse_front_t *front = find(name);

    return front && front->is_hub;
}

int sse_front_handler(request_rec *r)
{
    const sse_front_t *front = find(r->handler);

    if (!front) {
        return DECLINED;
    }
    if (front->is_hub && sse_ask_refuses_stream(r)) {
        return HTTP_LOOP_DETECTED;
    }
    return front->answer(r);
}
