/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_letter.h"

#include <stdlib.h>
#include <string.h>

/* Hex digits of a batch's id. */
#define BATCH_DIGITS 32

/* -- Items ----------------------------------------------------------------- */

static apr_uint32_t hash_of(sse_slice_t bytes)
{
    apr_uint32_t hash = 2166136261u;
    apr_size_t i;

    for (i = 0; i < bytes.len; ++i) {
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * 16777619u;
    }
    return hash;
}

static sse_slice_t put(char **to, sse_slice_t bytes)
{
    sse_slice_t copy = {*to, bytes.len};

    if (bytes.len) {
        memcpy(*to, bytes.ptr, bytes.len);
    }
    *to += bytes.len;
    return copy;
}

sse_item_t *sse_item_create(const sse_call_t *call)
{
    sse_item_t *item = malloc(sizeof(*item) + call->id.len + call->stream.len +
                              call->body.len);
    char *to = (char *)(item + 1);

    if (item) {
        memset(item, 0, sizeof(*item));
        item->type = call->type;
        item->id = put(&to, call->id);
        item->stream = put(&to, call->stream);
        item->body = put(&to, call->body);
        item->hash = hash_of(item->stream);
    }
    return item;
}

int sse_item_is_pair(const sse_item_t *open, const sse_item_t *close)
{
    return open->type == SSE_CALL_OPEN && close->type == SSE_CALL_CLOSE &&
           open->stream.len && open->hash == close->hash &&
           open->stream.len == close->stream.len &&
           !memcmp(open->stream.ptr, close->stream.ptr, open->stream.len);
}

/* -- Letters --------------------------------------------------------------- */

sse_letter_t *sse_letter_create(void)
{
    sse_letter_t *letter = calloc(1, sizeof(*letter));

    if (letter) {
        TAILQ_INIT(&letter->items);
    }
    return letter;
}

void sse_letter_add(sse_letter_t *letter, sse_item_t *item)
{
    TAILQ_INSERT_TAIL(&letter->items, item, next);
    ++letter->count;
}

void sse_letter_destroy(sse_letter_t *letter)
{
    sse_item_t *item;

    while ((item = TAILQ_FIRST(&letter->items))) {
        TAILQ_REMOVE(&letter->items, item, next);
        free(item);
    }
    free(letter->text);
    free(letter);
}

/* What may stand in a header. */
static char *clean_id(sse_slice_t id)
{
    char *text = malloc(id.len + 1);
    apr_size_t i;

    for (i = 0; text && i < id.len; ++i) {
        text[i] = id.ptr[i] > ' ' && id.ptr[i] < 0x7f ? id.ptr[i] : '_';
    }
    if (text) {
        text[id.len] = '\0';
    }
    return text;
}

static sse_slice_t id_of_part(const void *baton, int n)
{
    const sse_item_t *const *items = baton;

    return items[n]->id;
}

static int name_batch(sse_letter_t *letter)
{
    const sse_item_t **items = malloc(sizeof(*items) * (size_t)letter->count);
    const sse_item_t *item;
    int n = 0, is_good;

    if (!items) {
        return 0;
    }
    TAILQ_FOREACH(item, &letter->items, next) { items[n++] = item; }
    memcpy(letter->digest, "batch.", 6);
    is_good =
        sse_hook_signature_digest(letter->digest + 6, n, id_of_part, items);
    letter->digest[6 + BATCH_DIGITS] = '\0';
    letter->id = letter->digest;
    free(items);
    return is_good;
}

static int write_batch(sse_letter_t *letter)
{
    apr_size_t size = 2;
    const sse_item_t *item;
    char *to;

    TAILQ_FOREACH(item, &letter->items, next) { size += item->body.len + 1; }
    to = letter->text = malloc(size);
    if (!to) {
        return 0;
    }
    *to++ = '[';
    TAILQ_FOREACH(item, &letter->items, next)
    {
        put(&to, item->body);
        *to++ = TAILQ_NEXT(item, next) ? ',' : ']';
    }
    letter->body = (sse_slice_t){letter->text, (apr_size_t)(to - letter->text)};
    return name_batch(letter);
}

int sse_letter_write(sse_letter_t *letter, int is_batch)
{
    const sse_item_t *item = TAILQ_FIRST(&letter->items);

    if (is_batch) {
        return write_batch(letter);
    }
    letter->body = item->body;
    letter->text = clean_id(item->id);
    letter->id = letter->text;
    return letter->text != NULL;
}
