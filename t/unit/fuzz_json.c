/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A libFuzzer target for JSON as text: jansson must say the same of it, and
 * read the same in it. */

#include <stdint.h>
#include <stdio.h>

#include "t/unit/json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Also text that is not valid is walked over. */
static void walk_over(const char *text, size_t len)
{
    char *copy = oracle_copy(text, len);
    sse_json_walk_t walk = sse_json_walk((sse_slice_t){copy, len});

    sse_json_skip_value(&walk);
    if (walk.p > walk.end) {
        abort();
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *text = (const char *)bytes, *wrong;
    int accepted;

    json_object_seed(1);
    wrong = oracle_compare(text, len, &accepted);
    if (wrong) {
        fprintf(stderr, "jansson differs: %s\n", wrong);
        abort();
    }
    walk_over(text, len);
    return 0;
}
