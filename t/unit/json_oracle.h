/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file json_oracle.h
 * What jansson says of a text, and whether src/event says the same.
 *
 * Threads: one.
 */

#ifndef SSE_JSON_ORACLE_H
#define SSE_JSON_ORACLE_H

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "event/sse_json_text.h"

#define ORACLE_FLAGS                                                           \
    (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL |               \
     JSON_DECODE_INT_AS_REAL)

/* A copy to the end of its memory, so that one byte too far is seen. */
static char *oracle_copy(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);

    if (!copy) {
        abort();
    }
    memcpy(copy, text, len);
    return copy;
}

static int oracle_has_blanks(const char *text, size_t len)
{
    int inside = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        if (inside && text[i] == '\\') {
            i++;
        }
        else if (text[i] == '"') {
            inside = !inside;
        }
        else if (!inside && strchr(" \t\r\n", text[i])) {
            return 1;
        }
    }
    return 0;
}

/* A value as it is published, against jansson's. @return what differs */
static const char *oracle_value(sse_slice_t text, const json_t *want)
{
    char *copy = oracle_copy(text.ptr, text.len);
    const char *wrong = NULL;
    json_t *again;
    size_t len;

    if (json_is_string(want)) {
        len = sse_json_unescape(copy + 1, text.len - 2);
        if (len != json_string_length(want) ||
            memcmp(copy + 1, json_string_value(want), len) != 0) {
            wrong = "a string";
        }
    }
    else {
        len = sse_json_compact(copy, text.len);
        again = json_loadb(copy, len, ORACLE_FLAGS, NULL);
        if (!again || !json_equal(again, want)) {
            wrong = "a compact value";
        }
        else if (oracle_has_blanks(copy, len)) {
            wrong = "a compact value with blanks";
        }
        json_decref(again);
    }
    free(copy);
    return wrong;
}

/* The members of an object, in their order. */
static const char *oracle_members(const char *text, size_t len, json_t *object)
{
    sse_json_walk_t walk = sse_json_walk((sse_slice_t){text, len});
    const char *key, *wrong;
    sse_slice_t name, value;
    json_t *want;
    char *copy;
    size_t n;

    sse_json_skip_space(&walk);
    json_object_foreach(object, key, want)
    {
        if (!sse_json_next(&walk, &name, &value)) {
            return "too few members";
        }
        copy = oracle_copy(name.ptr, name.len);
        n = sse_json_unescape(copy, name.len);
        wrong = n == strlen(key) && !memcmp(copy, key, n) ? NULL : "a name";
        free(copy);
        wrong = wrong ? wrong : oracle_value(value, want);
        if (wrong) {
            return wrong;
        }
    }
    return sse_json_next(&walk, &name, &value) ? "too many members" : NULL;
}

/* @param accepted out: what both say
 * @return NULL: they agree; else about what they do not */
static const char *oracle_compare(const char *given, size_t len, int *accepted)
{
    char *text = oracle_copy(given, len);
    sse_json_error_t error = {NULL, 0, 0};
    apr_status_t rv = sse_json_check((sse_slice_t){text, len}, &error);
    /* jansson passes by a NUL that follows a number. */
    json_t *value = memchr(given, '\0', len)
                        ? NULL
                        : json_loadb(given, len, ORACLE_FLAGS, NULL);
    const char *wrong = NULL;

    *accepted = rv == APR_SUCCESS;
    if ((rv == APR_SUCCESS) != (value != NULL)) {
        wrong = value ? "refused what is valid" : "accepted what is not";
    }
    else if (rv != APR_SUCCESS) {
        wrong = error.text && error.line && error.column ? NULL : "no words";
    }
    else if (json_is_object(value)) {
        wrong = oracle_members(text, len, value);
    }
    json_decref(value);
    free(text);
    return wrong;
}

#endif /* SSE_JSON_ORACLE_H */
