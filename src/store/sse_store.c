/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The providers there are, by name. */

#include <string.h>

#include "store/sse_store.h"

static const sse_store_provider_t *const providers[] = {&sse_store_lmdb};

const sse_store_provider_t *sse_store_provider(const char *name)
{
    apr_size_t i;

    for (i = 0; i < sizeof(providers) / sizeof(providers[0]); ++i) {
        if (!strcmp(providers[i]->name, name)) {
            return providers[i];
        }
    }
    return NULL;
}
