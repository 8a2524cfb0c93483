/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/webhook/sse_hook_target and sse_hook_signature: which URLs, keys
 * and certificates are accepted, a target as a line and back, signatures
 * against known ones. */

#include <apr_general.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <unistd.h>

#include "notify/webhook/sse_hook_signature.h"
#include "notify/webhook/sse_hook_target.h"
#include "tap.h"

static apr_pool_t *pool;

static const char *file_with(const char *bytes, size_t n)
{
    char *name = apr_pstrdup(pool, "/tmp/test_hook_target.XXXXXX");
    int fd = mkstemp(name);

    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n || close(fd)) {
        abort();
    }
    return name;
}

static void test_urls(void)
{
    const char *good[] = {"http://127.0.0.1/", "https://localhost:8443/a?b=c",
                          "HTTP://[::1]:80/x", "http://host"};
    const char *bad[] = {"",
                         "/hook",
                         "ftp://host/",
                         "http://",
                         "http://host/a b",
                         "http://user:word@host/",
                         "http://user@host/",
                         "http://host/#part",
                         "http://host:99999/",
                         "http://host/\x01",
                         "file:///etc/passwd"};
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); ++i) {
        ok(!sse_hook_target_url(good[i], pool), good[i]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
        ok(sse_hook_target_url(bad[i], pool),
           apr_psprintf(pool, "refused: URL %lu", (unsigned long)i));
    }
}

static int is_secret(const char *bytes, size_t n, const char *key, size_t len,
                     const char *what)
{
    sse_hook_target_t target = {.secret = file_with(bytes, n)};
    const char *wrong = sse_hook_target_secret(target.secret, pool);
    sse_slice_t got = sse_hook_target_key(&target);

    unlink(target.secret);
    return key ? is_mem(got.ptr, got.len, key, len, what)
               : ok(wrong && !got.ptr, what);
}

static void test_secrets(void)
{
    char large[SSE_HOOK_KEY_MAX + 3];

    memset(large, 'k', sizeof(large));
    is_secret("0123456789abcdef", 16, "0123456789abcdef", 16, "a key");
    is_secret("0123456789abcdef\n", 17, "0123456789abcdef", 16,
              "its line end does not count");
    is_secret("0123456789abcdef\r\n", 18, "0123456789abcdef", 16, "nor CRLF");
    is_secret("0123456789abcdef\n\n", 18, "0123456789abcdef\n", 17,
              "but one only");
    is_secret("\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 16,
              "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 16, "any bytes");
    is_secret("", 0, NULL, 0, "empty: refused");
    is_secret("0123456789abcde\n", 16, NULL, 0, "too short: refused");
    is_secret(large, SSE_HOOK_KEY_MAX, large, SSE_HOOK_KEY_MAX, "the longest");
    is_secret(large, SSE_HOOK_KEY_MAX + 1, NULL, 0, "too long: refused");
    is_secret(large, SSE_HOOK_KEY_MAX + 3, NULL, 0, "far too long: refused");
    ok(sse_hook_target_secret("/nonexistent/key", pool), "missing: refused");
    ok(sse_hook_target_secret("/tmp", pool), "a directory: refused");
}

static void test_certificates(void)
{
    const char *file = file_with("no certificate\n", 15);

    ok(sse_hook_target_ca(file, pool), "a file without certificates: refused");
    unlink(file);
    file = file_with("-----BEGIN CERTIFICATE-----\nMIIB\n"
                     "-----END CERTIFICATE-----\n",
                     59);
    ok(sse_hook_target_ca(file, pool), "one that is broken: refused");
    unlink(file);
    ok(sse_hook_target_ca("/nonexistent/ca", pool), "missing: refused");
}

static void test_line(void)
{
    sse_hook_target_t target = {.url = "http://host/a?b=%20c",
                                .secret = "/a dir/-%\n\xc3\xa4",
                                .count = 50,
                                .wait = 200000,
                                .connections = 8};
    sse_hook_target_t got;
    char *text = sse_hook_target_text(&target, pool);
    int i, good = 0;

    ok(!strpbrk(text, "\r\n"), "it is one line");
    ok(sse_hook_target_parse(&got, sse_slice(text), pool), "read back");
    is_str(got.url, target.url, "the URL");
    is_str(got.secret, target.secret, "the key's file");
    ok(!got.ca, "no certificates");
    ok(got.count == 50 && got.wait == 200000 && got.connections == 8,
       "the numbers");
    target.ca = "-";
    target.secret = NULL;
    text = sse_hook_target_text(&target, pool);
    ok(sse_hook_target_parse(&got, sse_slice(text), pool), "other files");
    ok(!got.secret, "none");
    is_str(got.ca, "-", "one whose name is a dash");
    ok(!sse_hook_target_parse(&got, sse_slice("2 1 0 8 http://h/ - -"), pool),
       "another version");
    ok(!sse_hook_target_parse(&got, sse_slice("1 0 0 8 http://h/ - -"), pool),
       "no calls at a time");
    ok(!sse_hook_target_parse(&got, sse_slice("1 1 0 8 http://h/ - - -"), pool),
       "a word more");
    for (i = 0; i < (int)strlen(text); ++i) {
        good +=
            sse_hook_target_parse(&got, (sse_slice_t){text, (size_t)i}, pool);
    }
    is_num(good, 2, "cut short: none but within the last word");
}

static void test_missing(void)
{
    sse_hook_target_t target = {.url = "http://127.0.0.1/", .count = 1};
    apr_pool_t *conf;

    ok(!sse_hook_target_missing(&target), "a URL that is registered");
    target.url = "http://127.0.0.1/other";
    is_str(sse_hook_target_missing(&target), "SSEHook", "one that is not");
    target.url = "http://127.0.0.1/";
    target.secret = "/nonexistent/key";
    is_str(sse_hook_target_missing(&target), "SSEHookSecret", "a key");
    target.secret = NULL;
    target.ca = "/nonexistent/ca";
    is_str(sse_hook_target_missing(&target), "SSEHookCA", "certificates");
    target.url = "http://host/a?token=x";
    is_str(sse_hook_target_name(&target, pool), "http://host/a",
           "in a log without the query");
    apr_pool_create(&conf, NULL);
    apr_pool_destroy(pool);
    pool = conf;
    target = (sse_hook_target_t){.url = "http://127.0.0.1/", .count = 1};
    ok(sse_hook_target_missing(&target), "gone with its configuration");
    ok(!sse_hook_target_url("http://127.0.0.1/", pool) &&
           !sse_hook_target_missing(&target),
       "there with the next one");
}

/* By "openssl dgst -sha256 -mac HMAC". */
static void test_signature(void)
{
    char value[SSE_HOOK_SIGNATURE_MAX];

    ok(sse_hook_signature(value, sse_slice("0123456789abcdef"),
                          apr_time_from_sec(1700000000) + 999999,
                          sse_slice("{\"type\":\"close\"}")),
       "signed");
    is_str(value,
           "t=1700000000,v1="
           "efabcadf946c4a16b2f5510eb9189f8780148c9360f9ae29c2a58e8587a5c248",
           "as others sign it");
    ok(sse_hook_signature(value, sse_slice("Jefe Jefe Jefe Jefe"), 0,
                          sse_slice("")),
       "nothing, signed");
    is_str(value,
           "t=0,v1="
           "fbed6e12d81454319386d639ca54d463257d892f43f46db988734b95f9892db3",
           "as others sign it");
}

static sse_slice_t part(const void *baton, int n)
{
    return sse_slice(((const char *const *)baton)[n]);
}

static void test_digest(void)
{
    const char *one[] = {"ab", "c"}, *two[] = {"a", "bc"};
    char first[SSE_HOOK_DIGEST_MAX], second[SSE_HOOK_DIGEST_MAX];

    ok(sse_hook_signature_digest(first, 2, part, one), "a digest");
    is_str(first,
           "629c2f14f654f026086f2aefe1855533d0897f49df86a19073be17b237361b09",
           "of each part with a NUL behind");
    ok(sse_hook_signature_digest(second, 2, part, two) && strcmp(first, second),
       "other parts have another");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_urls();
    test_secrets();
    test_certificates();
    test_line();
    test_missing();
    test_signature();
    test_digest();
    return done_testing();
}
