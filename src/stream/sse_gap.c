/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_gap.h"

#include <apr_strings.h>
#include <jansson.h>
#include <stdlib.h>

#define ID_TEXT 24

static void id_text(char *text, sse_id_t id)
{
    apr_snprintf(text, ID_TEXT, "%" APR_UINT64_T_FMT, id);
}

/* What the client gave may be no UTF-8 at all, and then no JSON string. */
static json_t *given(const char *text)
{
    json_t *string = json_string(text);

    return string ? string : json_string("(not UTF-8)");
}

sse_buf_t *sse_gap_create(const char *after, sse_id_t oldest)
{
    sse_fields_t fields = SSE_FIELDS_NONE;
    json_t *json = json_object();
    char id[ID_TEXT], *text;
    sse_buf_t *buf;

    id_text(id, oldest);
    json_object_set_new(json, "after", given(after));
    json_object_set_new(json, "oldest", oldest ? json_string(id) : json_null());
    text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(json);
    if (!text) {
        abort(); /* out of memory */
    }
    fields.event = sse_slice("sse-gap");
    fields.data = sse_slice(text);
    buf = sse_buf_format(&fields, 0);
    free(text);
    return buf;
}

sse_buf_t *sse_gap_after(sse_id_t after, sse_id_t oldest)
{
    char id[ID_TEXT];

    id_text(id, after);
    return sse_gap_create(id, oldest);
}
