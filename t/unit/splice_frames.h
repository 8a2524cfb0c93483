/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file splice_frames.h
 * Frames of HTTP/2 as words, to bytes and back, for the tests of the splice's:
 *
 *     P       the preface
 *     Sw10c5  SETTINGS with INITIAL_WINDOW_SIZE 10, MAX_CONCURRENT_STREAMS 5
 *     Tw10    the same with a byte too much
 *     A       its acknowledgement
 *     H1 h1   HEADERS of stream 1; h: CONTINUATION follows (C1, c1 likewise)
 *     O1 o1   PUSH_PROMISE
 *     D1:7    DATA with 7 bytes of payload; as with H and C, $ is END_STREAM
 *     W1:7    WINDOW_UPDATE by 7; W1/5 one of wrong length
 *     R1:8    RST_STREAM with code 8; R1/5 one of wrong length
 *     N       PING
 *     G       GOAWAY
 *
 * Threads: one.
 */

#ifndef SSE_SPLICE_FRAMES_WORDS_H
#define SSE_SPLICE_FRAMES_WORDS_H

#include "stream/splice/sse_splice_frames.h"

#include <ctype.h>
#include <stdlib.h>

#include "tap.h"

#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LEN 24

/** Bytes that grow. */
typedef struct {
    char *bytes;
    size_t len, size;
} heap_t;

static inline void heap_add(heap_t *heap, const void *bytes, size_t len)
{
    if (heap->len + len > heap->size) {
        heap->size = 2 * heap->size + len + 256;
        heap->bytes = realloc(heap->bytes, heap->size);
    }
    if (len) {
        memcpy(heap->bytes + heap->len, bytes, len);
    }
    heap->len += len;
}

static inline void heap_clear(heap_t *heap)
{
    free(heap->bytes);
    memset(heap, 0, sizeof(*heap));
}

/** The next byte of a payload that does not matter. */
static unsigned char next_byte;

static inline void add_frame(heap_t *heap, int type, int flags, unsigned id,
                             const unsigned char *payload, size_t len)
{
    unsigned char head[9] = {
        (unsigned char)(len >> 16), (unsigned char)(len >> 8),
        (unsigned char)len,         (unsigned char)type,
        (unsigned char)flags,       (unsigned char)(id >> 24),
        (unsigned char)(id >> 16),  (unsigned char)(id >> 8),
        (unsigned char)id};
    size_t i;

    heap_add(heap, head, 9);
    if (payload) {
        heap_add(heap, payload, len);
        return;
    }
    for (i = 0; i < len; ++i, next_byte += 7) {
        heap_add(heap, &next_byte, 1);
    }
}

static inline void put_32(unsigned char *out, unsigned value)
{
    out[0] = (unsigned char)(value >> 24);
    out[1] = (unsigned char)(value >> 16);
    out[2] = (unsigned char)(value >> 8);
    out[3] = (unsigned char)value;
}

static inline unsigned get_32(const unsigned char *in)
{
    return (unsigned)in[0] << 24 | (unsigned)in[1] << 16 |
           (unsigned)in[2] << 8 | in[3];
}

static inline const char *add_settings(heap_t *heap, const char *word,
                                       size_t more)
{
    unsigned char payload[60] = {0};
    size_t len = 0;
    char *end;

    while (*word == 'w' || *word == 'c' || *word == 'x') {
        payload[len] = 0;
        payload[len + 1] = *word == 'w' ? 4 : *word == 'c' ? 3 : 5;
        put_32(payload + len + 2, (unsigned)strtoul(word + 1, &end, 10));
        word = end;
        len += 6;
    }
    add_frame(heap, 4, 0, 0, payload, len + more);
    return word;
}

/** A frame of one number. */
static inline const char *add_short(heap_t *heap, int type, unsigned id,
                                    const char *word)
{
    unsigned char payload[4];
    char *end;
    unsigned long value = strtoul(word + 1, &end, 10);

    if (*word == '/') {
        add_frame(heap, type, 0, id, NULL, value);
    }
    else {
        put_32(payload, (unsigned)value);
        add_frame(heap, type, 0, id, payload, 4);
    }
    return end;
}

static inline const char *add_word(heap_t *heap, const char *word)
{
    static const char letters[] = "DHPRSONGWC";
    int letter = toupper((unsigned char)*word), flags = 0;
    int type =
        (int)(strchr(letters, letter) ? strchr(letters, letter) - letters : 0);
    unsigned id = 0;
    size_t len = 20;
    char *end;

    if (letter == 'P') {
        heap_add(heap, PREFACE, PREFACE_LEN);
        return word + 1;
    }
    if (letter == 'S' || letter == 'T') {
        return add_settings(heap, word + 1, letter == 'T');
    }
    if (letter == 'A') {
        add_frame(heap, 4, 1, 0, NULL, 0);
        return word + 1;
    }
    id = (unsigned)strtoul(word + 1, &end, 10);
    if (letter == 'W' || letter == 'R') {
        return add_short(heap, type, id, end);
    }
    len = letter == 'N' || letter == 'G' ? 8 : 20;
    if (*end == ':') {
        len = strtoul(end + 1, &end, 10);
    }
    if (strchr("HCO", *word)) {
        flags |= 4;
    }
    if (*end == '$') {
        flags |= 1;
        ++end;
    }
    add_frame(heap, type, flags, id, NULL, len);
    return end;
}

static inline void add_words(heap_t *heap, const char *words)
{
    while (*words) {
        words = *words == ' ' ? words + 1 : add_word(heap, words);
    }
}

/** One frame as a word. @return its length in bytes; 0: it is not whole */
static inline size_t put_word(char *word, size_t size,
                              const unsigned char *frame, size_t len)
{
    static const char letters[] = "DHPRSONGWC";
    size_t payload;
    int type, letter;
    unsigned id;

    if (len < 9) {
        return 0;
    }
    payload = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
    if (len < 9 + payload) {
        return 0;
    }
    type = frame[3];
    id = get_32(frame + 5) & 0x7fffffff;
    letter = type < 10 ? letters[type] : '?';
    if (strchr("HCO", letter) && !(frame[4] & 4)) {
        letter = tolower(letter);
    }
    if (type == 4) {
        snprintf(word, size, frame[4] & 1 ? "A " : "S ");
    }
    else if ((type == 8 || type == 3) && payload == 4) {
        snprintf(word, size, "%c%u:%u ", letter, id, get_32(frame + 9));
    }
    else if (type == 8 || type == 3) {
        snprintf(word, size, "%c%u/%lu ", letter, id, (unsigned long)payload);
    }
    else if (type == 6 || type == 7) {
        snprintf(word, size, "%c ", letter);
    }
    else if (type == 0) {
        snprintf(word, size, "D%u:%lu%s ", id, (unsigned long)payload,
                 frame[4] & 1 ? "$" : "");
    }
    else {
        snprintf(word, size, "%c%u%s ", letter, id,
                 type == 1 && frame[4] & 1 ? "$" : "");
    }
    return 9 + payload;
}

/** Bytes as words; the preface is passed over. */
static inline const char *words_of(const char *bytes, size_t len)
{
    static char text[4096];
    char *end = text;
    size_t n;

    if (len >= PREFACE_LEN && !memcmp(bytes, PREFACE, PREFACE_LEN)) {
        bytes += PREFACE_LEN;
        len -= PREFACE_LEN;
    }
    *end = 0;
    while (len && (n = put_word(end, (size_t)(text + sizeof(text) - end),
                                (const unsigned char *)bytes, len))) {
        end += strlen(end);
        bytes += n;
        len -= n;
    }
    if (len) {
        snprintf(end, (size_t)(text + sizeof(text) - end), "+%lu ",
                 (unsigned long)len);
    }
    end = text + strlen(text);
    if (end > text) {
        end[-1] = 0;
    }
    return text;
}

#endif /* SSE_SPLICE_FRAMES_WORDS_H */
