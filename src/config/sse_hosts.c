/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "config/sse_hosts.h"

#include <ap_listen.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <string.h>

#include "config/sse_config.h"
#include "config/sse_values.h"

APLOG_USE_MODULE(sse);

/* The most of each in one message. */
#define LOCATIONS_TOLD 3
#define HOSTS_TOLD     8

/* -- Where hubs are -------------------------------------------------------- */

const char *sse_hosts_handler(const char *args, apr_pool_t *ptemp)
{
    char *name = ap_getword_conf(ptemp, &args);

    ap_str_tolower(name);
    return name;
}

int sse_hosts_is_section(const ap_directive_t *line)
{
    return !strcasecmp(line->directive, "<VirtualHost");
}

const ap_directive_t *sse_hosts_lines(const server_rec *s)
{
    const ap_directive_t *line;

    if (!s->is_virtual) {
        return ap_conftree;
    }
    for (line = ap_conftree; line; line = line->next) {
        if (sse_hosts_is_section(line) && s->defn_name &&
            line->line_num == (int)s->defn_line_number &&
            !strcmp(line->filename, s->defn_name)) {
            return line->first_child;
        }
    }
    return NULL;
}

/* Add the sections with a hub, "<Location "/events/">" as they are written, but
 * none within a virtual host. */
static void add_hubs(apr_array_header_t *hubs, const ap_directive_t *line,
                     const char *section, sse_hosts_is_hub_fn *is_hub,
                     apr_pool_t *ptemp)
{
    for (; line; line = line->next) {
        if (!strcasecmp(line->directive, "SetHandler") &&
            is_hub(sse_hosts_handler(line->args, ptemp)) &&
            !sse_values_has_word(hubs, section)) {
            APR_ARRAY_PUSH(hubs, const char *) = section;
        }
        if (line->first_child && !sse_hosts_is_section(line)) {
            add_hubs(hubs, line->first_child,
                     apr_pstrcat(ptemp, line->directive, " ", line->args, NULL),
                     is_hub, ptemp);
        }
    }
}

/* -- Which hosts answer requests ------------------------------------------- */

static int takes(const server_rec *s, const ap_listen_rec *listener)
{
    const server_addr_rec *addr;
    apr_sockaddr_t *at = listener->bind_addr;

    for (addr = s->addrs; addr; addr = addr->next) {
        if ((!addr->host_port || addr->host_port == at->port) &&
            (!strcmp(addr->virthost, "*") ||
             !strcmp(addr->virthost, "_default_") ||
             apr_sockaddr_equal(addr->host_addr, at))) {
            return 1;
        }
    }
    return 0;
}

/* The main server answers on the addresses of no virtual host; most systems
 * have none. */
static int is_asked(const server_rec *s)
{
    const ap_listen_rec *listener;
    const server_rec *host;

    if (s->is_virtual) {
        return 1;
    }
    for (listener = ap_listeners; listener; listener = listener->next) {
        for (host = s->next; host && !takes(host, listener);
             host = host->next) {
        }
        if (!host) {
            return 1;
        }
    }
    return 0;
}

/* -- What they have in common ---------------------------------------------- */

typedef struct {
    const server_rec *s;
    const char *ns;
    apr_array_header_t *hubs; /* of const char * */
} host_t;

/* The main server, then the others in the order of the configuration: httpd
 * has put each at the front of its list.  The hubs of the main server are not
 * repeated for each host. */
static apr_array_header_t *all_hosts(const server_rec *main_server,
                                     sse_hosts_is_hub_fn *is_hub,
                                     apr_pool_t *ptemp)
{
    apr_array_header_t *hosts = apr_array_make(ptemp, 8, sizeof(host_t));
    const server_rec *s;
    host_t *all;
    int i, n = 0;

    for (s = main_server; s; s = s->next) {
        apr_array_push(hosts);
    }
    all = (host_t *)hosts->elts;
    for (s = main_server; s; s = s->next) {
        i = n ? hosts->nelts - n : 0;
        ++n;
        all[i].s = s;
        all[i].ns = sse_conf_namespace(s, ptemp);
        all[i].hubs = apr_array_make(ptemp, 4, sizeof(const char *));
        add_hubs(all[i].hubs, sse_hosts_lines(s), "the server", is_hub, ptemp);
    }
    return hosts;
}

static const char *host_text(const host_t *host, apr_pool_t *ptemp)
{
    const char *named =
        sse_conf_namespace_is_set(host->s) ? "SSENamespace" : "ServerName";

    if (!host->s->is_virtual) {
        return apr_psprintf(ptemp, "%s %s (the main server)", named, host->ns);
    }
    return apr_psprintf(ptemp, "%s %s (%s:%u)", named, host->ns,
                        host->s->defn_name, host->s->defn_line_number);
}

/* The first host of each namespace among those that have this hub. */
static apr_array_header_t *who_has(const char *hub,
                                   const apr_array_header_t *hosts,
                                   int *is_default, apr_pool_t *ptemp)
{
    const host_t *all = (const host_t *)hosts->elts;
    apr_array_header_t *names = apr_array_make(ptemp, 4, sizeof(const char *));
    apr_array_header_t *texts = apr_array_make(ptemp, 4, sizeof(const char *));
    int is_everywhere = sse_values_has_word(all[0].hubs, hub);
    int i;

    *is_default = 0;
    for (i = 0; i < hosts->nelts; ++i) {
        if ((!is_everywhere && !sse_values_has_word(all[i].hubs, hub)) ||
            !is_asked(all[i].s)) {
            continue;
        }
        *is_default |= !sse_conf_namespace_is_set(all[i].s);
        if (!sse_values_has_word(names, all[i].ns)) {
            APR_ARRAY_PUSH(names, const char *) = all[i].ns;
            APR_ARRAY_PUSH(texts, const char *) =
                apr_pstrcat(ptemp, texts->nelts ? " " : "",
                            host_text(&all[i], ptemp), NULL);
        }
    }
    return texts;
}

/* @return whether anything was logged */
static int tell_of(const char *hub, const apr_array_header_t *hosts,
                   apr_pool_t *ptemp)
{
    int is_default;
    apr_array_header_t *texts = who_has(hub, hosts, &is_default, ptemp);
    int n = texts->nelts;

    if (n < 2 || !is_default) {
        return 0;
    }
    if (n > HOSTS_TOLD) {
        texts->nelts = HOSTS_TOLD;
        APR_ARRAY_PUSH(texts, const char *) =
            apr_psprintf(ptemp, " and %d more", n - HOSTS_TOLD);
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, APR_ARRAY_IDX(hosts, 0, host_t).s,
                 "the hub in %s belongs to several hosts, which do not share "
                 "its channels: %s. What is published to one of them does not "
                 "reach the others' subscribers. Set the same SSENamespace "
                 "for hosts that are to share them, and a different one for "
                 "each of the others",
                 hub, apr_array_pstrcat(ptemp, texts, ','));
    return 1;
}

void sse_hosts_tell(server_rec *main_server, sse_hosts_is_hub_fn *is_hub,
                    apr_pool_t *ptemp)
{
    apr_array_header_t *hosts = all_hosts(main_server, is_hub, ptemp);
    apr_array_header_t *seen = apr_array_make(ptemp, 8, sizeof(const char *));
    const apr_array_header_t *hubs;
    const char *hub;
    int i, k, told = 0;

    for (i = 0; i < hosts->nelts; ++i) {
        hubs = APR_ARRAY_IDX(hosts, i, host_t).hubs;
        for (k = 0; k < hubs->nelts && told < LOCATIONS_TOLD; ++k) {
            hub = APR_ARRAY_IDX(hubs, k, const char *);
            if (!sse_values_has_word(seen, hub)) {
                APR_ARRAY_PUSH(seen, const char *) = hub;
                told += tell_of(hub, hosts, ptemp);
            }
        }
    }
}
