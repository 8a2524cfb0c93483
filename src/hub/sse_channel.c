/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_channel.h"

#include <string.h>

#include "config/sse_config.h"

/* C0, DEL and C1 (U+0080 to U+009F); the name is valid UTF-8. */
static int has_control(const char *name)
{
    const unsigned char *s = (const unsigned char *)name;

    for (; *s; ++s) {
        if (*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) {
            return 1;
        }
    }
    return 0;
}

int sse_channel_key(const server_rec *s, const char *name, apr_pool_t *pool,
                    sse_slice_t *key)
{
    const char *ns = sse_conf_namespace(s, pool);
    apr_size_t ns_size = strlen(ns) + 1, name_len = strlen(name);
    char *bytes;

    if (!name_len || name_len > SSE_CHANNEL_MAX ||
        !sse_utf8_valid(name, name_len) || has_control(name)) {
        return 0;
    }
    bytes = apr_palloc(pool, ns_size + name_len);
    memcpy(bytes, ns, ns_size);
    memcpy(bytes + ns_size, name, name_len);
    key->ptr = bytes;
    key->len = ns_size + name_len;
    return 1;
}
