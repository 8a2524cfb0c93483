/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file test_h2_frames.c
 * The reader of what a client sends over HTTP/2: however its bytes are split,
 * the same is told.
 */

#include "stream/wait/sse_h2_frames.h"

#include <stdlib.h>

#include "tap.h"

#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LEN 24

static char input[8192];
static apr_size_t input_len;

static void begin(void)
{
    memcpy(input, PREFACE, PREFACE_LEN);
    input_len = PREFACE_LEN;
}

static void add_part(int type, int flags, apr_uint32_t id, apr_size_t payload)
{
    unsigned char *at = (unsigned char *)input + input_len;

    at[0] = (unsigned char)(payload >> 16);
    at[1] = (unsigned char)(payload >> 8);
    at[2] = (unsigned char)payload;
    at[3] = (unsigned char)type;
    at[4] = (unsigned char)flags;
    at[5] = (unsigned char)(id >> 24);
    at[6] = (unsigned char)(id >> 16);
    at[7] = (unsigned char)(id >> 8);
    at[8] = (unsigned char)id;
    memset(at + 9, 1, payload); /* as of many HEADERS, for who loses count */
    input_len += 9 + payload;
}

/* With all flags of HEADERS but PADDED. */
static void add(int type, apr_uint32_t id, apr_size_t payload)
{
    add_part(type, 0x25, id, payload);
}

/* One word for each that is told, with reading pieces of so many bytes. */
static const char *told(apr_size_t piece)
{
    static char text[1024];
    static const char *const words[] = {"more", "preface", "other", "request",
                                        "reset"};
    sse_h2_frames_t frames;
    sse_h2_sign_e sign;
    apr_size_t at = 0, len;
    apr_uint32_t id = 0;
    const char *bytes;
    char *copy;

    memset(&frames, 0, sizeof(frames));
    text[0] = 0;
    while (at < input_len) {
        len = input_len - at < piece ? input_len - at : piece;
        /* Of just that size, for AddressSanitizer. */
        copy = malloc(len);
        memcpy(copy, input + at, len);
        at += len;
        bytes = copy;
        while (len) {
            sign = sse_h2_frames_read(&frames, &bytes, &len, &id);
            if (sign != SSE_H2_MORE) {
                snprintf(text + strlen(text), sizeof(text) - strlen(text),
                         sign >= SSE_H2_REQUEST ? "%s %u;" : "%s;", words[sign],
                         id);
            }
            if (sign == SSE_H2_OTHER) {
                len = 0;
                at = input_len;
            }
        }
        free(copy);
    }
    return text;
}

static void is_told(const char *want, const char *what)
{
    apr_size_t piece;

    for (piece = 1; piece < input_len; ++piece) {
        if (strcmp(told(piece), want) != 0) {
            printf("# in pieces of %lu: %s\n", (unsigned long)piece,
                   told(piece));
            break;
        }
    }
    is_num((long long)piece, (long long)input_len, what);
    is_mem(told(input_len), strlen(told(input_len)), want, strlen(want), what);
}

int main(void)
{
    begin();
    is_told("preface;", "the preface alone");

    add(4, 0, 18); /* SETTINGS */
    add(8, 0, 4);  /* WINDOW_UPDATE */
    add(1, 1, 40); /* HEADERS */
    add(2, 3, 5);  /* PRIORITY */
    add(1, 3, 0);
    add(9, 3, 300);  /* CONTINUATION */
    add(3, 1, 4);    /* RST_STREAM */
    add(0, 3, 1000); /* DATA */
    add(1, 3, 12);   /* trailers */
    add(1, 5, 7);
    add(16, 0, 0);         /* of no type that is known */
    add(1, 0x7fffffff, 1); /* the last there can be */
    is_told("preface;request 1;request 3;reset 1;request 5;"
            "request 2147483647;",
            "requests and resets, in pieces of every size");

    begin();
    add(1, 0x80000001, 3); /* the reserved bit */
    add(3, 0x80000001, 4);
    is_told("preface;request 1;reset 1;", "the reserved bit does not count");

    begin();
    add_part(1, 1, 1, 100); /* not END_HEADERS */
    add_part(9, 0, 1, 20);
    is_told("preface;", "a request whose headers are coming is none yet");
    add_part(9, 4, 1, 0);
    add_part(1, 1, 3, 0);
    add_part(9, 4, 3, 10);
    is_told("preface;request 1;request 3;", "CONTINUATION");
    input_len -= 1;
    is_told("preface;request 1;", "all bytes of it");

    begin();
    add(0, 1, 0xfff);
    input_len -= 0x800;
    is_told("preface;", "a payload that has not come is not looked at");

    strcpy(input, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    input_len = strlen(input);
    is_told("other;", "HTTP/1.1");

    strcpy(input, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r.");
    input_len = strlen(input);
    is_told("other;", "a preface that is none");
    return done_testing();
}
