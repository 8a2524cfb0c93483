/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_conn_record.h"

#include <http_config.h>

extern module AP_MODULE_DECLARE_DATA sse_module;

int sse_conn_record_create(conn_rec *c, void *csd)
{
    sse_conn_record_t *record;

    if (!c->master) {
        record = apr_pcalloc(c->pool, sizeof(*record));
        sse_threads_init_conn(&record->threads);
        ap_set_module_config(c->conn_config, &sse_module, record);
    }
    return OK;
}

sse_conn_record_t *sse_conn_record(conn_rec *c)
{
    return c->master ? NULL : ap_get_module_config(c->conn_config, &sse_module);
}
