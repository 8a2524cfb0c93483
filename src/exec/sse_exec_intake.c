/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_intake.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <http_log.h>
#include <stdlib.h>
#include <string.h>

#include "event/sse_room.h"
#include "exec/sse_exec_errors.h"
#include "hub/sse_publish.h"
#include "loop/sse_complain.h"

APLOG_USE_MODULE(sse);

/* Events of one transaction of the store, between which others have their
 * turn. */
#define AT_ONCE 256
/* What is read before events are published: at worst each byte is one. */
#define PIECE 1024
/* Bytes without an event in them that are kept, besides the largest event's:
 * comments, events that are too large.  Of these nothing is missed. */
#define IDLE_MAX 65536

struct sse_exec_intake_t {
    const sse_exec_intake_conf_t *conf;
    sse_exec_parser_t *parser;
    sse_room_t raw;    /* bytes of which nothing was published */
    apr_size_t len;    /* of them */
    apr_size_t fed;    /* of these: the parser has them */
    apr_uint64_t base; /* of all bytes: those before raw */
    int is_over, is_finished;
    apr_pool_t *pool;          /* of the events that wait */
    apr_array_header_t *items; /* sse_append_t */
    apr_array_header_t *uptos; /* apr_uint64_t: where each event ends */
};

/* -- Reading --------------------------------------------------------------- */

static void no_memory_is_the_end(int is_there)
{
    if (!is_there) {
        abort();
    }
}

static sse_slice_t copy(apr_pool_t *pool, sse_slice_t slice)
{
    if (slice.ptr) {
        slice.ptr = apr_pstrmemdup(pool, slice.ptr, slice.len);
    }
    return slice;
}

static void complain_unfit(const sse_exec_intake_conf_t *conf, const char *why)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, conf->server,
                     "the program %s writes an event that cannot be published "
                     "and is left out: %s.  Not logged again for a minute",
                     conf->program, why);
    }
}

static void on_event(void *baton, const sse_fields_t *event, apr_uint64_t upto)
{
    sse_exec_intake_t *intake = baton;
    sse_fields_t fields = *event;
    const char *why;

    /* An empty id is how a stream takes its id back: no key. */
    fields.id = fields.id.len ? copy(intake->pool, fields.id) : sse_slice(NULL);
    fields.event = copy(intake->pool, fields.event);
    fields.data = copy(intake->pool, fields.data);
    fields.comment = sse_slice(NULL);
    why = sse_publish_check(&fields);
    if (why) {
        complain_unfit(intake->conf, why);
        return;
    }
    sse_publish_item(apr_array_push(intake->items), intake->conf->channel,
                     &fields, intake->conf->history);
    APR_ARRAY_PUSH(intake->uptos, apr_uint64_t) = upto;
}

static void on_trouble(void *baton, sse_exec_trouble_e trouble, const char *why)
{
    const sse_exec_intake_conf_t *conf = ((sse_exec_intake_t *)baton)->conf;

    sse_exec_tell_trouble(conf->server, conf->program, trouble, why);
}

static void forget_items(sse_exec_intake_t *intake)
{
    apr_pool_clear(intake->pool);
    intake->items = apr_array_make(intake->pool, AT_ONCE, sizeof(sse_append_t));
    intake->uptos = apr_array_make(intake->pool, AT_ONCE, sizeof(apr_uint64_t));
}

/* Bytes that are done with. */
static void drop(sse_exec_intake_t *intake, apr_size_t n)
{
    if (!n) {
        return;
    }
    memmove(intake->raw.ptr, intake->raw.ptr + n, intake->len - n);
    intake->len -= n;
    intake->fed -= n;
    intake->base += n;
}

static void finish(sse_exec_intake_t *intake)
{
    if (intake->is_over && !intake->is_finished) {
        intake->is_finished = 1;
        sse_exec_parser_finish(intake->parser);
    }
}

/* Until there are events enough, or no more bytes. */
static void read_on(sse_exec_intake_t *intake)
{
    apr_size_t n;

    while (intake->fed < intake->len && intake->items->nelts < AT_ONCE) {
        n = intake->len - intake->fed;
        n = n < PIECE ? n : PIECE;
        sse_exec_parser_feed(intake->parser, intake->raw.ptr + intake->fed, n);
        intake->fed += n;
    }
    if (intake->fed == intake->len) {
        finish(intake);
    }
}

/* -- Publishing ------------------------------------------------------------ */

static void forget_first(apr_array_header_t *array, int n)
{
    memmove(array->elts, array->elts + (apr_size_t)n * array->elt_size,
            (apr_size_t)(array->nelts - n) * array->elt_size);
    array->nelts -= n;
}

/* @return APR_EINVAL: the store will never take one of these */
static apr_status_t append(sse_exec_intake_t *intake, int n)
{
    sse_publisher_t by = {NULL, intake->conf->server};
    apr_status_t rv =
        sse_publish_append(&by, (sse_append_t *)(void *)intake->items->elts, n);

    if (rv == APR_EINVAL) {
        complain_unfit(intake->conf, sse_publish_reason(rv));
        rv = APR_SUCCESS;
    }
    return rv;
}

static apr_status_t publish_waiting(sse_exec_intake_t *intake)
{
    apr_status_t rv = APR_SUCCESS;
    apr_uint64_t upto;
    int n;

    while (rv == APR_SUCCESS && intake->items->nelts) {
        n = intake->items->nelts < AT_ONCE ? intake->items->nelts : AT_ONCE;
        rv = append(intake, n);
        if (rv == APR_SUCCESS) {
            upto = APR_ARRAY_IDX(intake->uptos, n - 1, apr_uint64_t);
            drop(intake, (apr_size_t)(upto - intake->base));
            forget_first(intake->items, n);
            forget_first(intake->uptos, n);
        }
    }
    if (rv == APR_SUCCESS) {
        forget_items(intake);
    }
    return rv;
}

/* No event waits, and the parser has all bytes. */
static void forget_idle(sse_exec_intake_t *intake)
{
    if (intake->is_finished ||
        intake->len > intake->conf->max_event + IDLE_MAX) {
        drop(intake, intake->len);
    }
}

apr_status_t sse_exec_intake_publish(sse_exec_intake_t *intake)
{
    apr_status_t rv;

    do {
        read_on(intake);
        rv = publish_waiting(intake);
    } while (rv == APR_SUCCESS && intake->fed < intake->len);
    if (rv == APR_SUCCESS) {
        forget_idle(intake);
    }
    return rv;
}

/* -- Its life -------------------------------------------------------------- */

void sse_exec_intake_add(sse_exec_intake_t *intake, const char *buf,
                         apr_size_t len)
{
    no_memory_is_the_end(sse_room_double(&intake->raw, intake->len + len));
    memcpy(intake->raw.ptr + intake->len, buf, len);
    intake->len += len;
}

void sse_exec_intake_end(sse_exec_intake_t *intake) { intake->is_over = 1; }

sse_slice_t sse_exec_intake_rest(const sse_exec_intake_t *intake)
{
    return (sse_slice_t){intake->raw.ptr, intake->len};
}

sse_exec_intake_t *sse_exec_intake_create(const sse_exec_intake_conf_t *conf,
                                          int is_torn)
{
    static const sse_exec_parser_events_t events = {on_event, on_trouble};
    sse_exec_intake_t *intake = calloc(1, sizeof(*intake));

    no_memory_is_the_end(intake != NULL);
    intake->conf = conf;
    apr_pool_create(&intake->pool, NULL);
    apr_pool_tag(intake->pool, "sse_exec_intake");
    forget_items(intake);
    intake->parser =
        sse_exec_parser_create(conf->format, conf->max_event, &events, intake);
    if (is_torn) {
        sse_exec_parser_skip(intake->parser);
    }
    return intake;
}

void sse_exec_intake_destroy(sse_exec_intake_t *intake)
{
    sse_exec_parser_destroy(intake->parser);
    apr_pool_destroy(intake->pool);
    sse_room_free(&intake->raw);
    free(intake);
}
