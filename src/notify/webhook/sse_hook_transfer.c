/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_transfer.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sse_version.h"

#define CONNECT_MSEC 10000L
#define TOTAL_MSEC   30000L
/* Of an answer's head: what is read. */
#define HEAD_MAX ((apr_size_t)64 * 1024)
/* Of its body: what is read, and what the log shows. */
#define BODY_MAX  ((apr_size_t)64 * 1024)
#define SHOWN_MAX 100
/* Answers are small. */
#define BUFFER_SIZE 8192L

struct sse_transfer_t {
    CURL *easy;
    const sse_hook_target_t *target; /* const */
    struct curl_slist *headers;      /* of this request */
    int has_head;                    /* of its answer, all */
    apr_size_t head_len;
    apr_size_t body_len;
    char shown[SHOWN_MAX + 1]; /* the body's first bytes */
    char error[CURL_ERROR_SIZE];
};

/* -- Preparing ------------------------------------------------------------- */

static size_t on_body(char *ptr, size_t size, size_t n, void *baton)
{
    sse_transfer_t *transfer = baton;
    size_t room, len = size * n;

    if (transfer->body_len < SHOWN_MAX) {
        room = SHOWN_MAX - transfer->body_len;
        memcpy(transfer->shown + transfer->body_len, ptr,
               len < room ? len : room);
    }
    transfer->body_len += len;
    return transfer->body_len <= BODY_MAX ? len : 0;
}

/* An empty line ends it. */
static size_t on_header(char *ptr, size_t size, size_t n, void *baton)
{
    sse_transfer_t *transfer = baton;

    transfer->has_head = n && (*ptr == '\r' || *ptr == '\n');
    transfer->head_len += size * n;
    return transfer->head_len <= HEAD_MAX ? size * n : 0;
}

/* libcurl's own sockets would be open in the programs that mod_cgi starts. */
static curl_socket_t on_socket(void *baton, curlsocktype purpose,
                               struct curl_sockaddr *to)
{
    int fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);

    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static void set_safety(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    /* libcurl would wait for the thread that resolves a name, after the time
     * for that is over, and no target would be told anything meanwhile. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

static void set_request(sse_transfer_t *transfer)
{
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_URL, transfer->target->url);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "mod_sse/" SSE_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MSEC);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TOTAL_MSEC);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
}

static int set_authorities(sse_transfer_t *transfer)
{
    sse_slice_t pem = sse_hook_target_authorities(transfer->target);
    struct curl_blob blob = {(void *)(uintptr_t)pem.ptr, pem.len,
                             CURL_BLOB_NOCOPY};

    if (!pem.ptr) {
        return 1;
    }
    /* These alone, beside which the system's would count as well. */
    curl_easy_setopt(transfer->easy, CURLOPT_CAPATH, NULL);
    return curl_easy_setopt(transfer->easy, CURLOPT_CAINFO_BLOB, &blob) ==
           CURLE_OK;
}

sse_transfer_t *sse_transfer_create(const sse_hook_target_t *target)
{
    sse_transfer_t *transfer = calloc(1, sizeof(*transfer));

    if (!transfer) {
        return NULL;
    }
    transfer->target = target;
    transfer->easy = curl_easy_init();
    if (transfer->easy) {
        set_safety(transfer->easy);
        set_request(transfer);
    }
    if (!transfer->easy || !set_authorities(transfer)) {
        sse_transfer_destroy(transfer);
        return NULL;
    }
    return transfer;
}

void sse_transfer_destroy(sse_transfer_t *transfer)
{
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    free(transfer);
}

/* -- Sending --------------------------------------------------------------- */

static int add_header(sse_transfer_t *transfer, const char *line)
{
    struct curl_slist *headers = curl_slist_append(transfer->headers, line);

    if (headers) {
        transfer->headers = headers;
    }
    return headers != NULL;
}

static int add_id(sse_transfer_t *transfer, const char *id)
{
    char line[1024];

    apr_snprintf(line, sizeof(line), "SSE-Hook-Id: %s", id);
    return add_header(transfer, line);
}

static int add_attempt(sse_transfer_t *transfer, int attempt)
{
    char line[40];

    apr_snprintf(line, sizeof(line), "SSE-Hook-Attempt: %d", attempt);
    return add_header(transfer, line);
}

static int add_signature(sse_transfer_t *transfer, sse_slice_t body)
{
    char line[sizeof("SSE-Hook-Signature: ") + SSE_HOOK_SIGNATURE_MAX] =
        "SSE-Hook-Signature: ";
    sse_slice_t key = sse_hook_target_key(transfer->target);

    return !key.ptr || (sse_hook_signature(line + strlen(line), key,
                                           apr_time_now(), body) &&
                        add_header(transfer, line));
}

/* Without "Expect:" libcurl would let a large body wait for a 100. */
static int add_headers(sse_transfer_t *transfer, const sse_letter_t *letter)
{
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    return add_header(transfer, "Content-Type: application/json") &&
           add_header(transfer, "Expect:") && add_id(transfer, letter->id) &&
           add_attempt(transfer, letter->attempt) &&
           add_signature(transfer, letter->body);
}

int sse_transfer_start(sse_transfer_t *transfer, CURLM *multi,
                       const sse_letter_t *letter, void *baton)
{
    CURL *easy = transfer->easy;

    transfer->has_head = 0;
    transfer->head_len = 0;
    transfer->body_len = 0;
    memset(transfer->shown, 0, sizeof(transfer->shown));
    transfer->error[0] = '\0';
    return add_headers(transfer, letter) &&
           !curl_easy_setopt(easy, CURLOPT_PRIVATE, baton) &&
           !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                             (curl_off_t)letter->body.len) &&
           !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, letter->body.ptr) &&
           !curl_multi_add_handle(multi, easy);
}

void sse_transfer_cancel(sse_transfer_t *transfer, CURLM *multi)
{
    curl_multi_remove_handle(multi, transfer->easy);
}

/* -- Answers --------------------------------------------------------------- */

/* The body's first bytes in one line: blanks and control characters are a blank
 * each, however many. */
static const char *shown(sse_transfer_t *transfer)
{
    apr_size_t len =
        transfer->body_len < SHOWN_MAX ? transfer->body_len : SHOWN_MAX;
    char *from = transfer->shown, *end = from + len, *to = from;

    for (; from < end; ++from) {
        if ((unsigned char)*from > ' ' && *from != 0x7f) {
            *to++ = *from;
        }
        else if (to > transfer->shown && to[-1] != ' ') {
            *to++ = ' ';
        }
    }
    to -= to > transfer->shown && to[-1] == ' ';
    *to = '\0';
    return transfer->shown;
}

static const char *advice_by_status(long status)
{
    if (status == 301 || status == 302 || status == 303 || status == 307 ||
        status == 308) {
        return "redirects are not followed: name the right URL in SSEHook";
    }
    if (status == 401 || status == 403 || status == 407) {
        return "see that the target lets this server in, and where it checks "
               "signatures, that it has the key of SSEHookSecret";
    }
    if (status == 404 || status == 405 || status == 410) {
        return "see that the URL in SSEHook is that of a program which takes "
               "POST";
    }
    if (status == 413) {
        return "see the target's limit on bodies, or let SSEHookBatch have "
               "fewer calls";
    }
    return "see the log of the target";
}

static int is_html(CURL *easy)
{
    const char *type = NULL;

    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type && !strncasecmp(type, "text/html", 9);
}

static void read_status(sse_transfer_t *transfer, long status,
                        sse_answer_t *answer)
{
    curl_off_t after = 0;
    const char *location = NULL;

    curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &after);
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &location);
    answer->verdict = sse_hook_retry_verdict(status);
    answer->after =
        after > 0 && after < 100000000 ? apr_time_from_sec(after) : 0;
    answer->is_page =
        answer->verdict == SSE_HOOK_SENT && is_html(transfer->easy);
    answer->advice = advice_by_status(status);
    if (location) {
        apr_snprintf(answer->why, sizeof(answer->why),
                     "it answered %ld, to go to %.*s", status,
                     (int)strcspn(location, "?#"), location);
    }
    else {
        apr_snprintf(answer->why, sizeof(answer->why), "it answered %ld%s%s%s",
                     status, transfer->body_len ? ": '" : "", shown(transfer),
                     transfer->body_len ? "'" : "");
    }
}

/* libcurl says what failed, the system why. */
static void read_error(sse_transfer_t *transfer, CURLcode code,
                       sse_answer_t *answer)
{
    const char *words =
        transfer->error[0] ? transfer->error : curl_easy_strerror(code);
    long number = 0;
    char system[120];

    if (code == CURLE_COULDNT_CONNECT) {
        curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &number);
    }
    if (number) {
        apr_snprintf(
            answer->why, sizeof(answer->why), "cannot connect: %s",
            apr_strerror((apr_status_t)number, system, sizeof(system)));
    }
    else if (transfer->head_len > HEAD_MAX) {
        apr_snprintf(answer->why, sizeof(answer->why),
                     "the head of its answer is over %d bytes", (int)HEAD_MAX);
    }
    else {
        apr_cpystrn(answer->why, words, sizeof(answer->why));
    }
}

typedef struct {
    CURLcode code;
    sse_hook_verdict_e verdict;
    const char *advice;
} cause_t;

#define ADVICE_TLS                                                             \
    "see that its certificate is valid, has the host's name as in SSEHook, "   \
    "and is signed by an authority of SSEHookCA or, without that, of the "     \
    "system's"

/* Others are taken for failures of the one request. */
static const cause_t causes[] = {
    {CURLE_COULDNT_RESOLVE_HOST, SSE_HOOK_DOWN,
     "see the host's name in SSEHook, and the resolver of this machine"},
    {CURLE_COULDNT_CONNECT, SSE_HOOK_DOWN,
     "see that the target runs, and the host and the port in SSEHook"},
    {CURLE_OPERATION_TIMEDOUT, SSE_HOOK_DOWN,
     "see why the target is slow: it has 10 s to accept a connection and 30 s "
     "to answer; let it answer first and work afterwards"},
    {CURLE_PEER_FAILED_VERIFICATION, SSE_HOOK_DOWN, ADVICE_TLS},
    {CURLE_SSL_ISSUER_ERROR, SSE_HOOK_DOWN, ADVICE_TLS},
    {CURLE_SSL_CACERT_BADFILE, SSE_HOOK_DOWN, ADVICE_TLS},
    {CURLE_SSL_CONNECT_ERROR, SSE_HOOK_DOWN,
     "see that what listens there speaks TLS, and the port in SSEHook"},
    {CURLE_OUT_OF_MEMORY, SSE_HOOK_DOWN, "give this server more memory"},
    {CURLE_FAILED_INIT, SSE_HOOK_DOWN, "see the limits of this server"},
    {CURLE_OK, SSE_HOOK_AGAIN, "see the log of the target"},
};

/* A body that is cut or has no end changes nothing: its status has come. */
static long status_of(sse_transfer_t *transfer, CURLcode code)
{
    long status = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return code == CURLE_OK || (transfer->has_head && status >= 200) ? status
                                                                     : 0;
}

void sse_transfer_finish(sse_transfer_t *transfer, CURLM *multi, CURLcode code,
                         sse_answer_t *answer)
{
    const cause_t *cause = causes;
    long status = status_of(transfer, code);

    memset(answer, 0, sizeof(*answer));
    if (status) {
        read_status(transfer, status, answer);
    }
    else {
        while (cause->code != CURLE_OK && cause->code != code) {
            ++cause;
        }
        answer->verdict = cause->verdict;
        answer->advice = cause->advice;
        read_error(transfer, code, answer);
    }
    curl_multi_remove_handle(multi, transfer->easy);
}
