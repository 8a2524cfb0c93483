/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_record.h"

#include <string.h>

/* The largest record, so that sums of sizes fit 32 bits. */
#define MOST (1u << 30)

#define FACTOR 0x9E3779B97F4A7C15ull /* 2^64 / golden ratio */

static apr_uint64_t mix(apr_uint64_t hash, const void *data, apr_size_t len)
{
    const char *at = data;
    apr_uint64_t word;

    for (; len >= sizeof(word); len -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = (hash ^ word) * FACTOR;
        hash ^= hash >> 29;
        at += sizeof(word);
    }
    word = 0;
    if (len) {
        memcpy(&word, at, len);
    }
    hash = (hash ^ word ^ (apr_uint64_t)len << 56) * FACTOR;
    return hash ^ hash >> 32;
}

static apr_uint64_t mix_slice(apr_uint64_t hash, sse_slice_t slice)
{
    return mix(hash, slice.ptr, slice.len);
}

static apr_uint64_t sum_of(const sse_hook_head_t *head, const sse_call_t *call)
{
    sse_hook_head_t fixed = *head;
    apr_uint64_t hash;

    fixed.state = fixed.pairing = 0;
    fixed.sum = 0;
    hash = mix(1, &fixed, sizeof(fixed));
    hash = mix_slice(hash, call->target);
    hash = mix_slice(hash, call->id);
    hash = mix_slice(hash, call->stream);
    return mix_slice(hash, call->body);
}

apr_uint64_t sse_hook_hash(sse_slice_t target)
{
    apr_uint64_t hash = mix_slice(2, target);

    return hash ? hash : 1;
}

/* Whether an OPEN is to have a CLOSE. */
static int is_paired(const sse_call_t *call)
{
    return call->type == SSE_CALL_OPEN && call->stream.len;
}

apr_status_t sse_hook_record_make(sse_hook_head_t *head, const sse_call_t *call)
{
    apr_uint64_t size = sizeof(*head) + (apr_uint64_t)call->target.len +
                        call->id.len + call->stream.len + call->body.len +
                        SSE_HOOK_ALIGN - 1;

    memset(head, 0, sizeof(*head));
    if (size >= MOST) {
        return APR_ENOSPC;
    }
    head->state = call->is_silent ? SSE_HOOK_DONE : SSE_HOOK_WAITS;
    head->pairing = is_paired(call) ? SSE_HOOK_OPEN : SSE_HOOK_UNPAIRED;
    head->type = (apr_byte_t)call->type;
    head->is_silent = call->is_silent != 0;
    head->size = (apr_uint32_t)size & ~(SSE_HOOK_ALIGN - 1u);
    head->target_hash = sse_hook_hash(call->target);
    if (call->stream.len) {
        head->key = mix_slice(head->target_hash, call->stream);
        head->key += !head->key;
    }
    head->time = call->time;
    head->target = (apr_uint32_t)call->target.len;
    head->id = (apr_uint32_t)call->id.len;
    head->stream = (apr_uint32_t)call->stream.len;
    head->body = (apr_uint32_t)call->body.len;
    head->sum = sum_of(head, call);
    return APR_SUCCESS;
}

int sse_hook_record_may_be(const sse_hook_head_t *head, apr_uint32_t most)
{
    return head->size >= sizeof(*head) && head->size <= most &&
           head->size % SSE_HOOK_ALIGN == 0 &&
           sizeof(*head) + (apr_uint64_t)head->target + head->id +
                   head->stream + head->body <=
               head->size;
}

static sse_slice_t cut(const char **at, apr_uint32_t len)
{
    sse_slice_t slice = {*at, len};

    *at += len;
    return slice;
}

int sse_hook_record_read(const char *bytes, sse_call_t *call)
{
    sse_hook_head_t head;
    const char *at = bytes + sizeof(head);

    memcpy(&head, bytes, sizeof(head));
    call->type = (sse_call_type_e)head.type;
    call->is_silent = head.is_silent;
    call->time = head.time;
    call->target = cut(&at, head.target);
    call->id = cut(&at, head.id);
    call->stream = cut(&at, head.stream);
    call->body = cut(&at, head.body);
    return head.type <= SSE_CALL_LAST && head.sum == sum_of(&head, call);
}
