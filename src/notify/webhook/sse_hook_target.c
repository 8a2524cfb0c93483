/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_target.h"

#include <apr_file_io.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

/* The first word of a line. */
#define LINE_VERSION "1"
#define LINE_WORDS   7

#define KEY_SIZES                                                              \
    APR_STRINGIFY(SSE_HOOK_KEY_MIN) " to " APR_STRINGIFY(SSE_HOOK_KEY_MAX)

#define CA_MAX ((apr_off_t)4 * 1024 * 1024)

/* By name.  NULL where nothing is registered. */
static struct {
    apr_hash_t *urls;    /* const in children */
    apr_hash_t *secrets; /* const in children: of sse_slice_t */
    apr_hash_t *cas;     /* const in children: of sse_slice_t */
} registered;

/* -- Registering ----------------------------------------------------------- */

/* The next reading of the configuration begins anew. */
static apr_status_t forget(void *baton)
{
    memset(&registered, 0, sizeof(registered));
    return APR_SUCCESS;
}

static void begin(apr_pool_t *pconf)
{
    if (!registered.urls) {
        registered.urls = apr_hash_make(pconf);
        registered.secrets = apr_hash_make(pconf);
        registered.cas = apr_hash_make(pconf);
        apr_pool_cleanup_register(pconf, NULL, forget, apr_pool_cleanup_null);
    }
}

static int has_part(CURLU *parts, CURLUPart which)
{
    char *part = NULL;
    int has = curl_url_get(parts, which, &part, 0) == CURLUE_OK;

    curl_free(part);
    return has;
}

static const char *check_parts(CURLU *parts, const char *url)
{
    if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        !has_part(parts, CURLUPART_HOST)) {
        return "it is no URL";
    }
    if (has_part(parts, CURLUPART_USER) ||
        has_part(parts, CURLUPART_PASSWORD)) {
        return "a user's name or password in a URL is not supported; "
               "SSEHookSecret signs the calls";
    }
    return has_part(parts, CURLUPART_FRAGMENT)
               ? "what follows # would not be sent"
               : NULL;
}

static const char *check_url(const char *url)
{
    const char *c, *wrong;
    CURLU *parts;

    if (strncasecmp(url, "http://", 7) && strncasecmp(url, "https://", 8)) {
        return "it must begin with http:// or https://";
    }
    if (strlen(url) > SSE_HOOK_URL_MAX) {
        return "it is longer than " APR_STRINGIFY(SSE_HOOK_URL_MAX) " bytes";
    }
    for (c = url; *c; ++c) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f) {
            return "blanks and control characters must be percent-encoded";
        }
    }
    parts = curl_url();
    wrong = parts ? check_parts(parts, url) : "there is no memory";
    curl_url_cleanup(parts);
    return wrong;
}

const char *sse_hook_target_url(const char *url, apr_pool_t *pconf)
{
    const char *wrong = check_url(url);

    begin(pconf);
    if (!wrong) {
        apr_hash_set(registered.urls, apr_pstrdup(pconf, url),
                     APR_HASH_KEY_STRING, "");
    }
    return wrong;
}

/* -- Files ----------------------------------------------------------------- */

static apr_status_t read_opened(apr_file_t *in, apr_off_t most,
                                sse_slice_t *bytes, apr_pool_t *pool)
{
    apr_size_t n = 0;
    apr_status_t rv;
    char *ptr;
    apr_finfo_t info;

    rv = apr_file_info_get(&info, APR_FINFO_SIZE, in);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (info.size > most) {
        return APR_ENOSPC;
    }
    ptr = apr_pcalloc(pool, (apr_size_t)info.size + 1);
    rv = apr_file_read_full(in, ptr, (apr_size_t)info.size, &n);
    *bytes = (sse_slice_t){ptr, n};
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
}

/* @return NULL, or why it cannot be read */
static const char *read_file(const char *file, apr_off_t most,
                             sse_slice_t *bytes, apr_pool_t *pool)
{
    apr_file_t *in;
    apr_status_t rv = apr_file_open(&in, file, APR_FOPEN_READ, 0, pool);
    char why[200];

    if (rv == APR_SUCCESS) {
        rv = read_opened(in, most, bytes, pool);
        apr_file_close(in);
    }
    if (rv == APR_ENOSPC) {
        return apr_psprintf(pool, "it is larger than %" APR_OFF_T_FMT " bytes",
                            most);
    }
    return rv == APR_SUCCESS ? NULL
                             : apr_psprintf(pool, "cannot be read: %s",
                                            apr_strerror(rv, why, sizeof(why)));
}

static void keep(apr_hash_t *files, const char *file, sse_slice_t bytes,
                 apr_pool_t *pconf)
{
    apr_hash_set(files, apr_pstrdup(pconf, file), APR_HASH_KEY_STRING,
                 apr_pmemdup(pconf, &bytes, sizeof(bytes)));
}

const char *sse_hook_target_secret(const char *file, apr_pool_t *pconf)
{
    sse_slice_t bytes = {NULL, 0};
    const char *wrong;

    begin(pconf);
    /* One more byte for its line end, or two */
    wrong = read_file(file, SSE_HOOK_KEY_MAX + 2, &bytes, pconf);
    if (wrong) {
        return wrong;
    }
    bytes.len -= bytes.len && bytes.ptr[bytes.len - 1] == '\n';
    bytes.len -= bytes.len && bytes.ptr[bytes.len - 1] == '\r';
    if (bytes.len < SSE_HOOK_KEY_MIN || bytes.len > SSE_HOOK_KEY_MAX) {
        return apr_psprintf(pconf,
                            "it has %lu bytes; a key has " KEY_SIZES "; "
                            "\"openssl rand -hex 32\" prints one",
                            (unsigned long)bytes.len);
    }
    keep(registered.secrets, file, bytes, pconf);
    return NULL;
}

/* How many certificates there are; -1: one of them is none. */
static int count_certificates(sse_slice_t pem)
{
    BIO *in = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    unsigned long err;
    X509 *cert;
    int n = 0;

    ERR_clear_error();
    while (in && (cert = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
        X509_free(cert);
        ++n;
    }
    BIO_free(in);
    /* Behind the last one, none begins. */
    err = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_LIB(err) == ERR_LIB_PEM &&
                   ERR_GET_REASON(err) == PEM_R_NO_START_LINE
               ? n
               : -1;
}

const char *sse_hook_target_ca(const char *file, apr_pool_t *pconf)
{
    sse_slice_t pem = {NULL, 0};
    const char *wrong;

    begin(pconf);
    wrong = read_file(file, CA_MAX, &pem, pconf);
    if (!wrong && count_certificates(pem) <= 0) {
        wrong = "it must have certificates in PEM, \"-----BEGIN "
                "CERTIFICATE-----\", and all of them whole";
    }
    if (!wrong) {
        keep(registered.cas, file, pem, pconf);
    }
    return wrong;
}

/* -- As a line ------------------------------------------------------------- */

/* A word without blanks; "-" is none. */
static char *escape(const char *name, apr_pool_t *pool)
{
    char *word = apr_palloc(pool, 3 * (name ? strlen(name) : 1) + 1);
    char *to = word;

    for (; name && *name; ++name) {
        if ((unsigned char)*name <= ' ' || strchr("%-\x7f", *name)) {
            to += apr_snprintf(to, 4, "%%%02X", (unsigned char)*name);
        }
        else {
            *to++ = *name;
        }
    }
    if (to == word) {
        *to++ = '-';
    }
    *to = '\0';
    return word;
}

static const char *unescape(char *word)
{
    char *from = word, *to = word, hex[3] = "";

    if (!strcmp(word, "-")) {
        return NULL;
    }
    while (*from) {
        if (*from == '%' && apr_isxdigit(from[1]) && apr_isxdigit(from[2])) {
            memcpy(hex, from + 1, 2);
            *to++ = (char)strtol(hex, NULL, 16);
            from += 3;
        }
        else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return word;
}

char *sse_hook_target_text(const sse_hook_target_t *target, apr_pool_t *pool)
{
    return apr_psprintf(
        pool, LINE_VERSION " %d %" APR_TIME_T_FMT " %d %s %s %s", target->count,
        target->wait, target->connections, target->url,
        escape(target->secret, pool), escape(target->ca, pool));
}

/* @return 0: it is not within those */
static int read_number(const char *word, apr_int64_t least, apr_int64_t most,
                       apr_int64_t *n)
{
    char *end;

    *n = apr_strtoi64(word, &end, 10);
    return end != word && !*end && *n >= least && *n <= most;
}

int sse_hook_target_parse(sse_hook_target_t *target, sse_slice_t line,
                          apr_pool_t *pool)
{
    char *words[LINE_WORDS + 1],
        *rest = apr_pstrmemdup(pool, line.ptr, line.len);
    apr_int64_t count, wait, connections;
    int n = 0;

    for (; n <= LINE_WORDS &&
           (words[n] = apr_strtok(n ? NULL : rest, " ", &rest));
         ++n) {
    }
    if (n != LINE_WORDS || strcmp(words[0], LINE_VERSION) ||
        !read_number(words[1], 1, SSE_HOOK_BATCH_MAX, &count) ||
        !read_number(words[2], 0, apr_time_from_sec(86400), &wait) ||
        !read_number(words[3], 1, SSE_HOOK_CONNECTIONS_MAX, &connections)) {
        return 0;
    }
    *target = (sse_hook_target_t){.url = words[4],
                                  .secret = unescape(words[5]),
                                  .ca = unescape(words[6]),
                                  .count = (int)count,
                                  .wait = wait,
                                  .connections = (int)connections};
    return 1;
}

/* -- What was registered --------------------------------------------------- */

static sse_slice_t file_of(apr_hash_t *files, const char *name)
{
    const sse_slice_t *bytes =
        files && name ? apr_hash_get(files, name, APR_HASH_KEY_STRING) : NULL;

    return bytes ? *bytes : (sse_slice_t){NULL, 0};
}

sse_slice_t sse_hook_target_key(const sse_hook_target_t *target)
{
    return file_of(registered.secrets, target->secret);
}

sse_slice_t sse_hook_target_authorities(const sse_hook_target_t *target)
{
    return file_of(registered.cas, target->ca);
}

const char *sse_hook_target_missing(const sse_hook_target_t *target)
{
    if (!registered.urls ||
        !apr_hash_get(registered.urls, target->url, APR_HASH_KEY_STRING)) {
        return "SSEHook";
    }
    if (target->secret && !sse_hook_target_key(target).ptr) {
        return "SSEHookSecret";
    }
    return target->ca && !sse_hook_target_authorities(target).ptr ? "SSEHookCA"
                                                                  : NULL;
}

const char *sse_hook_target_name(const sse_hook_target_t *target,
                                 apr_pool_t *pool)
{
    return apr_pstrmemdup(pool, target->url, strcspn(target->url, "?#"));
}
