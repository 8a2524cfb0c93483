/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_signature.h"

#include <apr_strings.h>
#include <openssl/evp.h>

static void write_hex(char *hex, const unsigned char *bytes, apr_size_t n)
{
    static const char digits[] = "0123456789abcdef";
    apr_size_t i;

    for (i = 0; i < n; ++i) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 15];
    }
    *hex = '\0';
}

static int sign(EVP_MD_CTX *ctx, sse_slice_t key, const char *time,
                sse_slice_t body, unsigned char *mac, size_t *len)
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(
        EVP_PKEY_HMAC, NULL, (const unsigned char *)key.ptr, key.len);
    int is_good =
        pkey && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
        EVP_DigestSignUpdate(ctx, time, strlen(time)) == 1 &&
        EVP_DigestSignUpdate(ctx, ".", 1) == 1 &&
        EVP_DigestSignUpdate(ctx, body.ptr, body.len) == 1 &&
        EVP_DigestSignFinal(ctx, mac, len) == 1;

    EVP_PKEY_free(pkey);
    return is_good;
}

int sse_hook_signature(char value[SSE_HOOK_SIGNATURE_MAX], sse_slice_t key,
                       apr_time_t now, sse_slice_t body)
{
    char time[24], hex[SSE_HOOK_DIGEST_MAX];
    unsigned char mac[32];
    size_t len = sizeof(mac);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int is_good;

    apr_snprintf(time, sizeof(time), "%" APR_TIME_T_FMT, apr_time_sec(now));
    is_good = ctx && sign(ctx, key, time, body, mac, &len);
    EVP_MD_CTX_free(ctx);
    if (is_good) {
        write_hex(hex, mac, len);
        apr_snprintf(value, SSE_HOOK_SIGNATURE_MAX, "t=%s,v1=%s", time, hex);
    }
    return is_good;
}

int sse_hook_signature_digest(char hex[SSE_HOOK_DIGEST_MAX], int count,
                              sse_slice_t (*part)(const void *baton, int n),
                              const void *baton)
{
    unsigned char sum[32];
    unsigned int len = sizeof(sum);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int i, is_good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (i = 0; is_good && i < count; ++i) {
        sse_slice_t bytes = part(baton, i);

        is_good = EVP_DigestUpdate(ctx, bytes.ptr, bytes.len) == 1 &&
                  EVP_DigestUpdate(ctx, "", 1) == 1;
    }
    is_good = is_good && EVP_DigestFinal_ex(ctx, sum, &len) == 1;
    EVP_MD_CTX_free(ctx);
    if (is_good) {
        write_hex(hex, sum, len);
    }
    return is_good;
}
