/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2.c
 * Connections of HTTP/2: frames both ways, windows, and heads by HPACK without
 * its table (RFC 7541), which is told to the server.
 */

#include "load_h2.h"

#include <stdlib.h>
#include <string.h>

enum {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9
};

#define END_STREAM  1
#define ACK         1
#define END_HEADERS 4
#define PADDED      8

#define HEAD       9
#define FRAME_MOST 16384
#define CANCEL     8
/* Of an upload, so much is made ready at a time. */
#define AHEAD    (256 * 1024)
#define PATIENCE (10 * SEC)

/* -- Out ------------------------------------------------------------------- */

static void *room(h2_t *h2, size_t len)
{
    char *to;

    if (h2->out_len + len > h2->out_size[1]) {
        h2->out_size[1] = 2 * (h2->out_len + len);
        h2->out[1] = realloc(h2->out[1], h2->out_size[1]);
        if (!h2->out[1]) {
            die("out of memory");
        }
    }
    to = h2->out[1] + h2->out_len;
    h2->out_len += len;
    return to;
}

static void put32(unsigned char *to, uint32_t value)
{
    to[0] = (unsigned char)(value >> 24);
    to[1] = (unsigned char)(value >> 16);
    to[2] = (unsigned char)(value >> 8);
    to[3] = (unsigned char)value;
}

static uint32_t get32(const void *bytes)
{
    const unsigned char *from = bytes;

    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
           (uint32_t)from[2] << 8 | from[3];
}

static void frame(h2_t *h2, int type, int flags, uint32_t id, const void *bytes,
                  size_t len)
{
    unsigned char *to = room(h2, HEAD + len);

    put32(to, (uint32_t)len << 8 | (uint32_t)type);
    to[4] = (unsigned char)flags;
    put32(to + 5, id);
    if (len) {
        memcpy(to + HEAD, bytes, len);
    }
}

static void frame32(h2_t *h2, int type, uint32_t id, uint32_t value)
{
    unsigned char bytes[4];

    put32(bytes, value);
    frame(h2, type, 0, id, bytes, sizeof(bytes));
}

/* -- Streams --------------------------------------------------------------- */

static h2_stream_t *find(h2_t *h2, uint32_t id)
{
    h2_stream_t *stream = h2->streams;

    while (stream && stream->id != id) {
        stream = stream->next;
    }
    return stream;
}

static void forget(h2_stream_t *stream)
{
    h2_stream_t **at = &stream->h2->streams;

    while (*at != stream) {
        at = &(*at)->next;
    }
    *at = stream->next;
}

static void is_over(h2_stream_t *stream, h2_over_e how)
{
    forget(stream);
    stream->over = how;
    if (stream->events->on_over) {
        stream->events->on_over(stream);
    }
}

static void upload(h2_stream_t *stream)
{
    h2_t *h2 = stream->h2;
    size_t len;

    while (stream->body_len && stream->window > 0 && h2->window > 0 &&
           h2->out_len < AHEAD) {
        len = stream->body_len < FRAME_MOST ? stream->body_len : FRAME_MOST;
        len = (int64_t)len < stream->window ? len : (size_t)stream->window;
        len = (int64_t)len < h2->window ? len : (size_t)h2->window;
        frame(h2, DATA, len == stream->body_len ? END_STREAM : 0, stream->id,
              stream->body, len);
        stream->body += len;
        stream->body_len -= len;
        stream->window -= (int64_t)len;
        h2->window -= (int64_t)len;
    }
}

/* None, mostly. */
static void upload_all(h2_t *h2)
{
    h2_stream_t *stream;

    for (stream = h2->streams; stream; stream = stream->next) {
        upload(stream);
    }
}

static void send_out(h2_t *h2)
{
    char *out = h2->out[0];
    size_t size = h2->out_size[0], len = h2->out_len;

    h2->out[0] = h2->out[1];
    h2->out_size[0] = h2->out_size[1];
    h2->out[1] = out;
    h2->out_size[1] = size;
    h2->out_len = 0;
    net_send(&h2->conn, h2->out[0], len);
}

/* What is being sent stays until all of it is. */
static void flush(h2_t *h2)
{
    while (h2->out_len && !h2->conn.out_len && h2->conn.fd >= 0) {
        send_out(h2);
        upload_all(h2);
    }
}

/* -- In -------------------------------------------------------------------- */

/* As a browser: when half of a window has come it is given again. */
static void give(h2_t *h2, uint32_t id, uint32_t *unacked, uint32_t window)
{
    if (*unacked > window / 2) {
        frame32(h2, WINDOW_UPDATE, id, *unacked);
        *unacked = 0;
    }
}

static void take_data(h2_t *h2, const char *bytes, size_t len)
{
    h2_stream_t *stream = find(h2, get32(h2->head + 5));

    h2->unacked += (uint32_t)len;
    give(h2, 0, &h2->unacked, H2_CONN_WINDOW);
    if (stream) {
        stream->got += len;
        stream->unacked += (uint32_t)len;
        if (!stream->is_slow) {
            give(h2, stream->id, &stream->unacked, h2->window_of);
        }
        if (stream->events->on_data) {
            stream->events->on_data(stream, bytes, len);
        }
    }
}

/* The static table's entries of :status; before them, that the dynamic one has
 * no room, as it was told. */
static int read_status(const unsigned char *p, size_t len)
{
    static const int known[] = {200, 204, 206, 304, 400, 404, 500};

    while (len && (*p & 0xe0) == 0x20) {
        ++p;
        --len;
    }
    return len && *p >= 0x88 && *p <= 0x8e ? known[*p - 0x88] : -1;
}

static void take_settings(h2_t *h2, const unsigned char *p, size_t len)
{
    h2_stream_t *stream;
    int64_t window;

    for (; len >= 6; p += 6, len -= 6) {
        if (p[0] == 0 && p[1] == 4) {
            window = get32(p + 2);
            for (stream = h2->streams; stream; stream = stream->next) {
                stream->window += window - h2->initial_window;
            }
            h2->initial_window = window;
        }
    }
    frame(h2, SETTINGS, ACK, 0, NULL, 0);
    upload_all(h2);
}

static void take_window(h2_t *h2, h2_stream_t *stream, uint32_t id,
                        uint32_t more)
{
    if (!id) {
        h2->window += more;
        upload_all(h2);
    }
    else if (stream) {
        stream->window += more;
        upload(stream);
    }
}

static void take_frame(h2_t *h2, const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    uint32_t id = get32(h2->head + 5);
    h2_stream_t *stream = id ? find(h2, id) : NULL;

    switch (h2->head[3]) {
    case HEADERS:
        if (!(h2->head[4] & END_HEADERS)) {
            die("a head of more than one frame");
        }
        if (stream && !stream->status) {
            stream->status = read_status(p, len);
            if (stream->events->on_head) {
                stream->events->on_head(stream);
            }
        }
        break;
    case RST_STREAM:
        if (stream) {
            is_over(stream, H2_RESET);
        }
        break;
    case SETTINGS:
        if (!(h2->head[4] & ACK)) {
            take_settings(h2, p, len);
        }
        break;
    case PING:
        if (!(h2->head[4] & ACK)) {
            frame(h2, PING, ACK, 0, p, len);
        }
        break;
    case GOAWAY:
        h2->goaway = (int)get32(p + 4);
        break;
    case WINDOW_UPDATE:
        take_window(h2, stream, id, get32(p));
        break;
    default:
        break;
    }
}

/* @return how many of these bytes were of the present frame's payload */
static size_t take_payload(h2_t *h2, const char *p, size_t len)
{
    len = len < h2->left ? len : h2->left;
    h2->left -= len;
    if (h2->head[3] == DATA) {
        take_data(h2, p, len);
    }
    else if (!h2->payload_len && !h2->left) {
        take_frame(h2, p, len);
    }
    else {
        if (!h2->payload && !(h2->payload = malloc(FRAME_MOST))) {
            die("out of memory");
        }
        memcpy(h2->payload + h2->payload_len, p, len);
        h2->payload_len += len;
        if (!h2->left) {
            take_frame(h2, h2->payload, h2->payload_len);
        }
    }
    return len;
}

static void frame_is_whole(h2_t *h2)
{
    h2_stream_t *stream = find(h2, get32(h2->head + 5));

    h2->head_len = 0;
    h2->payload_len = 0;
    if (stream && h2->head[3] <= HEADERS && (h2->head[4] & END_STREAM)) {
        is_over(stream, H2_ENDED);
    }
}

static void on_bytes(conn_t *conn, const char *p, size_t len)
{
    h2_t *h2 = conn->baton;
    const char *end = p + len;

    while (p < end && h2->conn.fd >= 0) {
        if (h2->head_len < HEAD) {
            h2->head[h2->head_len++] = (unsigned char)*p++;
            if (h2->head_len < HEAD) {
                continue;
            }
            h2->left = get32(h2->head) >> 8;
            if (h2->left > FRAME_MOST ||
                (h2->head[3] <= HEADERS && (h2->head[4] & PADDED))) {
                die("a frame that was not agreed on");
            }
        }
        p += take_payload(h2, p, (size_t)(end - p));
        if (!h2->left) {
            frame_is_whole(h2);
        }
    }
    flush(h2);
}

static void on_sent(conn_t *conn) { flush(conn->baton); }

static void on_gone(conn_t *conn)
{
    h2_t *h2 = conn->baton;

    while (h2->streams) {
        is_over(h2->streams, H2_GONE);
    }
}

static const conn_events_t conn_events = {NULL, NULL, NULL, on_gone};
static const conn_raw_t conn_raw = {on_bytes, on_sent};

/* -- Opening and asking ---------------------------------------------------- */

int h2_open(h2_t *h2, int port, uint32_t window)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /* HEADER_TABLE_SIZE 0, ENABLE_PUSH 0, INITIAL_WINDOW_SIZE */
    unsigned char settings[18] = {0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4};

    memset(h2, 0, sizeof(*h2));
    h2->next = 1;
    h2->window = h2->initial_window = 65535;
    h2->window_of = window;
    h2->goaway = -1;
    port = net_to(port);
    net_over(tls_layer(1));
    net_open(&h2->conn, &conn_events, h2);
    net_over(NULL);
    net_to(port);
    h2->conn.raw = &conn_raw;
    if (h2->conn.fd < 0) {
        return 0;
    }
    memcpy(room(h2, sizeof(preface) - 1), preface, sizeof(preface) - 1);
    put32(settings + 14, window);
    frame(h2, SETTINGS, 0, 0, settings, sizeof(settings));
    frame32(h2, WINDOW_UPDATE, 0, H2_CONN_WINDOW - 65535);
    flush(h2);
    return 1;
}

void h2_close(h2_t *h2)
{
    net_close(&h2->conn);
    h2->streams = NULL;
    free(h2->payload);
    free(h2->out[0]);
    free(h2->out[1]);
    h2->payload = h2->out[0] = h2->out[1] = NULL;
    h2->out_len = 0;
    h2->conn.out_len = 0;
}

static unsigned char *text(unsigned char *to, const char *from)
{
    size_t len = strlen(from);

    if (len > 126) {
        die("too long for a head: %s", from);
    }
    *to = (unsigned char)len;
    memcpy(to + 1, from, len);
    return to + 1 + len;
}

static unsigned char *text_pair(unsigned char *to, const char *name,
                                const char *value)
{
    *to = 0;
    return text(text(to + 1, name), value);
}

/* The static table has the method, "https", and the names of the path (4) and
 * of the authority (1). */
static void ask(h2_t *h2, h2_stream_t *stream, const h2_events_t *events,
                const char *path, const char *fields)
{
    unsigned char block[1024], *to = block;
    int has_body = stream->body != NULL;

    *to++ = has_body ? 0x83 : 0x82;
    *to++ = 0x87;
    *to++ = 4;
    to = text(to, path);
    *to++ = 1;
    to = text(to, "localhost");
    while (*fields) {
        to = text_pair(to, fields, fields + strlen(fields) + 1);
        fields += strlen(fields) + 1;
        fields += strlen(fields) + 1;
    }
    stream->h2 = h2;
    stream->events = events;
    stream->id = h2->next;
    stream->window = h2->initial_window;
    stream->next = h2->streams;
    h2->streams = stream;
    h2->next += 2;
    frame(h2, HEADERS, END_HEADERS | (has_body ? 0 : END_STREAM), stream->id,
          block, (size_t)(to - block));
}

void h2_get(h2_t *h2, h2_stream_t *stream, const h2_events_t *events,
            const char *path, const char *fields)
{
    memset(stream, 0, offsetof(h2_stream_t, next));
    ask(h2, stream, events, path, fields);
    flush(h2);
}

void h2_page(h2_t *h2, const char *path)
{
    static const h2_events_t events = {NULL, NULL, NULL};
    uint64_t until = now_ns() + PATIENCE;
    h2_stream_t page;

    h2_get(h2, &page, &events, path, "");
    while (page.over == H2_OPEN && now_ns() < until) {
        net_turn(100);
    }
    if (page.over != H2_ENDED || page.status != 200) {
        die(page.over == H2_OPEN ? "a page was not answered"
                                 : "a page was not answered 200");
    }
}

void h2_post(h2_t *h2, h2_stream_t *stream, const h2_events_t *events,
             const char *path, const char *body, size_t len)
{
    memset(stream, 0, offsetof(h2_stream_t, next));
    stream->body = body;
    stream->body_len = len;
    ask(h2, stream, events, path, "");
    upload(stream);
    flush(h2);
}

void h2_reset(h2_stream_t *stream)
{
    forget(stream);
    stream->over = H2_GONE;
    frame32(stream->h2, RST_STREAM, stream->id, CANCEL);
    flush(stream->h2);
}

void h2_stream_give(h2_stream_t *stream, uint32_t most)
{
    if (stream->unacked) {
        most = stream->unacked < most ? stream->unacked : most;
        frame32(stream->h2, WINDOW_UPDATE, stream->id, most);
        stream->unacked -= most;
        flush(stream->h2);
    }
}
