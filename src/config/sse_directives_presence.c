/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Presence: who is on a channel. */

#include <stddef.h>

#include "config/sse_directives.h"
#include "config/sse_values.h"

#define GRACE_MIN apr_time_from_msec(100)
#define GRACE_MAX apr_time_from_sec(3600)

static const char *set_grace(cmd_parms *cmd, void *dir_conf, const char *time,
                             const char *word)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_time(time, &n) ||
        (n != 0 && (n < GRACE_MIN || n > GRACE_MAX))) {
        return sse_directives_refuse(
            cmd, time, "0 (none) or 100ms to 1h: " SSE_VALUES_TIME);
    }
    if (word && ap_cstr_casecmp(word, "all")) {
        return sse_directives_refuse(cmd, word,
                                     "a time, and after it 'all' or nothing");
    }
    conf->presence_grace = n;
    conf->presence_grace_all = word != NULL;
    return NULL;
}

static const sse_directives_word_t presence = {
    offsetof(sse_dir_conf_t, presence),
    "Off, Count or On",
    {"Off", "Count", "On"}};

const command_rec sse_directives_presence[] = {
    AP_INIT_TAKE1("SSEPresence", sse_directives_set_word, (void *)&presence,
                  SSE_ANYWHERE,
                  "Off, Count or On: whether the server knows how many "
                  "subscribers a channel has, and who they are"),
    AP_INIT_TAKE12("SSEPresenceGrace", set_grace, NULL, SSE_ANYWHERE,
                   "a time such as 5s: who is back within it never left; "
                   "'all': also who left by himself"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
