/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_tls.c
 * TLS between a connection and its socket, by OpenSSL.  Whose certificate it is
 * does not matter here.
 */

#include "load_h2.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define HANDSHAKE 10 /* seconds */

static SSL_CTX *make_context(const unsigned char *protocols, unsigned int len)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    signal(SIGPIPE, SIG_IGN); /* OpenSSL's write() has no MSG_NOSIGNAL */
    if (!context || SSL_CTX_set_alpn_protos(context, protocols, len)) {
        die("OpenSSL cannot be used");
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

static int open_with(conn_t *conn, SSL_CTX *context, const char *protocol)
{
    struct timeval patience = {HANDSHAKE, 0};
    const unsigned char *chosen;
    unsigned int len;
    SSL *ssl = SSL_new(context);

    if (!ssl || !SSL_set_fd(ssl, conn->fd)) {
        die("out of memory");
    }
    conn->session = ssl;
    SSL_set_tlsext_host_name(ssl, "localhost");
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (SSL_connect(ssl) != 1) {
        return 0;
    }
    SSL_get0_alpn_selected(ssl, &chosen, &len);
    if (len != strlen(protocol) || memcmp(chosen, protocol, len) != 0) {
        die("the server does not speak %s", protocol);
    }
    return 1;
}

static int open_h2(conn_t *conn)
{
    static SSL_CTX *context;

    if (!context) {
        context = make_context((const unsigned char *)"\2h2", 3);
    }
    return open_with(conn, context, "h2");
}

static int open_http1(conn_t *conn)
{
    static SSL_CTX *context;

    if (!context) {
        context = make_context((const unsigned char *)"\10http/1.1", 9);
    }
    return open_with(conn, context, "http/1.1");
}

static ssize_t result(SSL *ssl, int n)
{
    if (n > 0) {
        return n;
    }
    switch (SSL_get_error(ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

static ssize_t read_some(conn_t *conn, char *to, size_t size)
{
    return result(conn->session, SSL_read(conn->session, to, (int)size));
}

static ssize_t write_some(conn_t *conn, const char *bytes, size_t len)
{
    return result(conn->session, SSL_write(conn->session, bytes, (int)len));
}

static int has_more(conn_t *conn) { return SSL_pending(conn->session) > 0; }

/* Without a word of TLS's: who is killed says none either, and the server has
 * to see the end by TCP's. */
static void close_session(conn_t *conn)
{
    SSL_free(conn->session);
    conn->session = NULL;
}

const net_layer_t *tls_layer(int is_h2)
{
    static const net_layer_t h2 = {open_h2, read_some, write_some, has_more,
                                   close_session};
    static const net_layer_t http1 = {open_http1, read_some, write_some,
                                      has_more, close_session};

    return is_h2 ? &h2 : &http1;
}
