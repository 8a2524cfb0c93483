/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_page.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse_reply.h"
#include "sse_version.h"

APLOG_USE_MODULE(sse);

/* What is known of a number that is not known. */
#define NONE "\xe2\x80\x93"

/* -- Any page -------------------------------------------------------------- */

static void put(sse_page_t *page, const char *text)
{
    sse_text_put(&page->text, text, strlen(text));
}

/* Without random bytes there is no nonce, and so neither style nor script. */
static void make_nonce(sse_page_t *page)
{
    unsigned char bytes[16];
    apr_status_t rv = apr_generate_random_bytes(bytes, sizeof(bytes));
    apr_size_t i;

    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, page->r,
                      "no random bytes: the status page has no style");
        page->nonce[0] = '\0';
        return;
    }
    for (i = 0; i < sizeof(bytes); ++i) {
        apr_snprintf(page->nonce + 2 * i, 3, "%02x", bytes[i]);
    }
}

static const char *policy(const sse_page_t *page)
{
    const char *own =
        page->nonce[0] ? apr_psprintf(page->r->pool, "'nonce-%s'", page->nonce)
                       : "'none'";

    return apr_psprintf(page->r->pool,
                        "default-src 'none'; style-src %s; script-src %s; "
                        "connect-src 'self'; form-action 'self'; "
                        "base-uri 'none'; frame-ancestors 'none'",
                        own, own);
}

static void put_link(sse_page_t *page, const char *query, const char *words)
{
    sse_text_add(&page->text, "<a href=\"?%s\">%s</a>\n", query, words);
}

void sse_page_begin(sse_page_t *page, request_rec *r, const char *title,
                    const char *query)
{
    memset(page, 0, sizeof(*page));
    page->r = r;
    page->text.pool = r->pool;
    make_nonce(page);
    put(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
              "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
              "content=\"width=device-width, initial-scale=1\">\n<title>");
    sse_text_html(&page->text, sse_slice(title));
    sse_text_add(&page->text, "</title>\n<style nonce=\"%s\">\n", page->nonce);
    put(page, sse_page_style);
    put(page, "</style>\n</head>\n<body>\n<header>\n<h1>");
    sse_text_html(&page->text, sse_slice(title));
    put(page, "</h1>\n<nav>\n");
    put_link(page, query, "Refresh");
    put_link(page, "format=html", "Numbers");
    put_link(page, "channels=&amp;format=html", "Channels");
    put_link(page, "format=json", "JSON");
    put_link(page, "format=metrics", "Metrics");
    put(page, "</nav>\n</header>\n<main>\n");
}

int sse_page_end(sse_page_t *page)
{
    request_rec *r = page->r;

    put(page, "</main>\n</body>\n</html>\n");
    apr_table_setn(r->headers_out, "Content-Security-Policy", policy(page));
    apr_table_setn(r->headers_out, "Referrer-Policy", "same-origin");
    return sse_reply_body(r, HTTP_OK, "text/html; charset=utf-8",
                          page->text.ptr, page->text.len);
}

/* -- The numbers ----------------------------------------------------------- */

static const char *caption_of(const char *group)
{
    static const char *const captions[][2] = {
        {"authorize", "Questions to applications"},
        {"hooks", "Webhooks"},
        {"drives", "Streams open, by how they are written"},
        {"closed", "Streams closed, by reason"},
        {"refused_by", "Streams refused, by limit"},
        {"store", "The store"}};
    apr_size_t i;

    for (i = 0; group && i < sizeof(captions) / sizeof(captions[0]); ++i) {
        if (!strcmp(group, captions[i][0])) {
            return captions[i][1];
        }
    }
    return "Streams and events";
}

static int is_new_group(const sse_status_row_t *row)
{
    const char *before = row == sse_status_rows ? "" : row[-1].group;

    return row->group && before ? strcmp(row->group, before) != 0
                                : row->group != before;
}

static void put_row(sse_page_t *page, const sse_status_t *status,
                    const sse_status_row_t *row)
{
    sse_text_add(&page->text,
                 "<tr><th scope=\"row\">%s</th><td data-of=\"%s%s%s\">",
                 row->words, row->group ? row->group : "",
                 row->group ? "." : "", row->key);
    if (sse_status_is_unknown(status, row->value)) {
        put(page, NONE);
    }
    else {
        sse_text_add(&page->text, "%" APR_UINT64_T_FMT,
                     sse_status_value(status, row->value));
    }
    put(page, "</td></tr>\n");
}

static void put_numbers(sse_page_t *page, const sse_status_t *status)
{
    const sse_status_row_t *row;

    put(page, "<h2>Numbers</h2>\n<div class=\"grid\">\n");
    for (row = sse_status_rows; row->key; ++row) {
        if (is_new_group(row)) {
            sse_text_add(&page->text, "%s<table>\n<caption>%s</caption>\n",
                         row == sse_status_rows ? "" : "</table>\n",
                         caption_of(row->group));
        }
        put_row(page, status, row);
    }
    put(page, "</table>\n</div>\n");
}

static void put_time(sse_page_t *page, const char *name, const char *key,
                     double seconds)
{
    sse_text_add(&page->text, "<td data-of=\"histograms.%s.%s\" data-ms>", name,
                 key);
    if (seconds < 0) {
        put(page, NONE);
    }
    else {
        sse_text_add(&page->text, "%.3f", seconds * 1000);
    }
    put(page, "</td>");
}

static void put_times(sse_page_t *page, const sse_status_t *status)
{
    const sse_histogram_t *histogram;
    int i;

    put(page, "<h2>Times</h2>\n<table>\n<caption>How long it takes, in "
              "milliseconds</caption>\n<thead><tr><th scope=\"col\">What</th>"
              "<th scope=\"col\">Times</th><th scope=\"col\">Half within</th>"
              "<th scope=\"col\">99 % within</th></tr></thead>\n<tbody>\n");
    for (i = 0; i < SSE_HISTOGRAMS; ++i) {
        histogram = &status->board.histograms[i];
        sse_text_add(&page->text,
                     "<tr><th scope=\"row\">%s</th>"
                     "<td data-of=\"histograms.%s.count\">%" APR_UINT64_T_FMT
                     "</td>",
                     sse_status_histogram_words[i], sse_status_histograms[i],
                     sse_status_count(histogram));
        put_time(page, sse_status_histograms[i], "p50",
                 sse_status_quantile(histogram, 0.5));
        put_time(page, sse_status_histograms[i], "p99",
                 sse_status_quantile(histogram, 0.99));
        put(page, "</tr>\n");
    }
    put(page, "</tbody>\n</table>\n");
}

static void put_children(sse_page_t *page, const sse_status_t *status)
{
    const sse_status_child_t *child;
    int i;

    put(page, "<h2>Children</h2>\n<table>\n<caption>Streams open, by process"
              "</caption>\n<thead><tr><th scope=\"col\">PID</th>"
              "<th scope=\"col\">Streams</th></tr></thead>\n"
              "<tbody id=\"children\">\n");
    for (i = 0; i < status->children->nelts; ++i) {
        child = &APR_ARRAY_IDX(status->children, i, sse_status_child_t);
        sse_text_add(&page->text,
                     "<tr><th scope=\"row\">%" APR_PID_T_FMT
                     "</th><td>%" APR_UINT64_T_FMT "</td></tr>\n",
                     child->pid, child->streams);
    }
    put(page, "</tbody>\n</table>\n");
}

int sse_status_page(request_rec *r, const sse_status_t *status)
{
    sse_page_t page;

    sse_page_begin(&page, r, "Server-Sent Events", "format=html");
    sse_text_add(&page.text, "<p>mod_sse %s, ", SSE_VERSION);
    put(&page, "namespace <b>");
    sse_text_html(&page.text,
                  sse_slice(sse_conf_namespace(r->server, r->pool)));
    put(&page, "</b>. The numbers are those of all hosts and children. "
               "<span id=\"live\" role=\"status\"></span></p>\n");
    put_numbers(&page, status);
    put_times(&page, status);
    put_children(&page, status);
    if (page.nonce[0]) {
        sse_text_add(&page.text, "<script nonce=\"%s\">\n", page.nonce);
        put(&page, sse_page_script);
        put(&page, "</script>\n");
    }
    return sse_page_end(&page);
}
