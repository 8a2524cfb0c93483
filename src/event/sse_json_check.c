/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* One pass over the text, without recursion: what is open is a stack of levels.
 * The names in open objects are noted by their hash and where they stand; when
 * an object ends, its own are sorted, and two that are the same lie side by
 * side.  Sorting takes n log n comparisons at most, whatever the names are. */

#include <string.h>

#include "event/sse_json_text.h"
#include "event/sse_room.h"

/** A name in an object that is still open. */
typedef struct {
    apr_uint32_t hash;
    apr_uint32_t at; /**< of its opening quote, from the text's beginning */
} name_t;

/** The text while it is checked. */
typedef struct {
    const char *begin, *p, *end;
    const char *wrong;   /* NULL: nothing yet; then p is where */
    apr_status_t status; /* then */
    sse_room_t room;     /* of names */
    apr_size_t names;    /* in it */
    int depth;           /* containers that are open */
    unsigned int is_object[SSE_JSON_DEPTH_MAX / 32]; /* a bit for each */
    apr_uint32_t first[SSE_JSON_DEPTH_MAX];          /* its first name */
} check_t;

static int fail(check_t *check, const char *at, const char *wrong)
{
    check->p = at;
    check->wrong = wrong;
    check->status = APR_EINVAL;
    return 0;
}

static int peek(const check_t *check)
{
    return check->p < check->end ? (unsigned char)*check->p : -1;
}

static int peek_token(check_t *check)
{
    int c;

    while ((c = peek(check)) == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++check->p;
    }
    return c;
}

/* -- Strings --------------------------------------------------------------- */

static int is_digit(int c) { return c >= '0' && c <= '9'; }

/* Four hexadecimal digits. @return -1: they are not */
static int read_hex4(const char *p, const char *end)
{
    int i, n = 0;

    if (end - p < 4) {
        return -1;
    }
    for (i = 0; i < 4; ++i) {
        int c = (unsigned char)p[i], low = c | 0x20;

        if (!is_digit(c) && (low < 'a' || low > 'f')) {
            return -1;
        }
        n = n * 16 + (is_digit(c) ? c - '0' : low - 'a' + 10);
    }
    return n;
}

/* \uXXXX, p being behind it: what it begins may need a second one.
 * @return past all of it; NULL: it was refused */
static const char *check_unicode(check_t *check, const char *slash,
                                 const char *p, int is_name)
{
    int c = read_hex4(p, check->end), low;

    if (c < 0) {
        fail(check, slash, "\\u needs four hexadecimal digits");
        return NULL;
    }
    if (!c && is_name) {
        fail(check, slash, "a name with NUL (\\u0000)");
        return NULL;
    }
    p += 4;
    if (c < 0xD800 || c > 0xDFFF) {
        return p;
    }
    low = c < 0xDC00 && check->end - p >= 2 && p[0] == '\\' && p[1] == 'u'
              ? read_hex4(p + 2, check->end)
              : -1;
    if (low < 0xDC00 || low > 0xDFFF) {
        fail(check, slash, "half of a surrogate pair");
        return NULL;
    }
    return p + 6;
}

/* @return past the escape; NULL: it was refused */
static const char *check_escape(check_t *check, const char *slash, int is_name)
{
    const char *p = slash + 1;

    if (p == check->end) {
        return p; /* where the string has no end */
    }
    if (*p == 'u') {
        return check_unicode(check, slash, p + 1, is_name);
    }
    if (!*p || !strchr("\"\\/bfnrt", *p)) {
        fail(check, slash, "a backslash that begins no escape");
        return NULL;
    }
    return p + 1;
}

/* With check->p at its quote. @return whether it is valid; p is past it */
static int check_string(check_t *check, int is_name, int *has_escape)
{
    const char *begin = check->p, *p = begin + 1;
    unsigned int bits = 0;

    *has_escape = 0;
    while (p < check->end && *p != '"') {
        unsigned char c = (unsigned char)*p;

        if (c == '\\') {
            *has_escape = 1;
            p = check_escape(check, p, is_name);
            if (!p) {
                return 0;
            }
            continue;
        }
        if (c < 0x20) {
            return fail(check, p, "a control character in a string");
        }
        bits |= c;
        ++p;
    }
    if (p == check->end) {
        return fail(check, begin, "a string without its closing quote");
    }
    if (bits & 0x80 && !sse_utf8_valid(begin, (apr_size_t)(p - begin))) {
        return fail(check, begin, "a string that is not UTF-8");
    }
    check->p = p + 1;
    return 1;
}

/* -- Numbers and words ----------------------------------------------------- */

static int check_number(check_t *check)
{
    const char *wrong = sse_json_number(&check->p, check->end);

    return !wrong || fail(check, check->p, wrong);
}

static int check_word(check_t *check)
{
    static const char *const words[] = {"true", "false", "null"};
    apr_size_t left = (apr_size_t)(check->end - check->p), i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); ++i) {
        apr_size_t len = strlen(words[i]);

        if (len <= left && !memcmp(check->p, words[i], len)) {
            check->p += len;
            return 1;
        }
    }
    return fail(check, check->p, "a value is expected");
}

/* -- Names ----------------------------------------------------------------- */

/** A name's bytes, one after the other, with its escapes resolved. */
typedef struct {
    const char *p;
    char bytes[4]; /* of an escape */
    int n, next;
} spelling_t;

static int spell(spelling_t *name)
{
    if (name->next < name->n) {
        return (unsigned char)name->bytes[name->next++];
    }
    if (*name->p == '"') {
        return -1;
    }
    if (*name->p == '\\') {
        char escape[12];
        apr_size_t len = name->p[1] != 'u' ? 2 : 6;

        if (len == 6 && read_hex4(name->p + 2, name->p + 6) >> 10 == 0x36) {
            len = 12; /* D800 to DBFF: the other half follows */
        }
        memcpy(escape, name->p, len);
        name->p += len;
        name->n = (int)sse_json_unescape(escape, len);
        memcpy(name->bytes, escape, (apr_size_t)name->n);
        name->next = 1;
        return (unsigned char)name->bytes[0];
    }
    return (unsigned char)*name->p++;
}

static int compare_spelling(const char *a, const char *b)
{
    spelling_t one = {a, "", 0, 0}, two = {b, "", 0, 0};
    int c, d;

    do {
        c = spell(&one);
        d = spell(&two);
    } while (c == d && c >= 0);
    return c - d;
}

/* By hash first: it decides all but what somebody made to collide. */
static int compare(const check_t *check, name_t a, name_t b)
{
    if (a.hash != b.hash) {
        return a.hash < b.hash ? -1 : 1;
    }
    return compare_spelling(check->begin + a.at + 1, check->begin + b.at + 1);
}

static void sift(const check_t *check, name_t *names, apr_size_t i,
                 apr_size_t n)
{
    name_t top = names[i];
    apr_size_t child;

    while ((child = 2 * i + 1) < n) {
        if (child + 1 < n &&
            compare(check, names[child], names[child + 1]) < 0) {
            ++child;
        }
        if (compare(check, top, names[child]) >= 0) {
            break;
        }
        names[i] = names[child];
        i = child;
    }
    names[i] = top;
}

/* In place, and never worse than n log n: heapsort. */
static void sort(const check_t *check, name_t *names, apr_size_t n)
{
    apr_size_t i;

    for (i = n / 2; i-- > 0;) {
        sift(check, names, i, n);
    }
    for (i = n; i-- > 1;) {
        name_t largest = names[0];

        names[0] = names[i];
        names[i] = largest;
        sift(check, names, 0, i);
    }
}

static name_t *names_of(const check_t *check)
{
    return (name_t *)check->room.ptr;
}

/* The object's end: none of its names twice. */
static int check_names(check_t *check)
{
    apr_size_t first = check->first[check->depth - 1];
    apr_size_t i, n = check->names - first;
    name_t *names;

    check->names = first;
    if (n < 2) {
        return 1;
    }
    names = names_of(check) + first;
    sort(check, names, n);
    for (i = 1; i < n; ++i) {
        if (!compare(check, names[i - 1], names[i])) {
            apr_uint32_t at =
                names[i - 1].at > names[i].at ? names[i - 1].at : names[i].at;

            return fail(check, check->begin + at, "a duplicate name");
        }
    }
    return 1;
}

/* FNV-1a over what the name spells; the seed, an address, is not known. */
static apr_uint32_t hash_of(const char *begin, const char *end, int has_escape)
{
    static const char secret = 0;
    apr_uint64_t h = APR_UINT64_C(14695981039346656037) ^
                     (apr_uint64_t)(apr_uintptr_t)&secret;
    spelling_t name = {begin, "", 0, 0};
    int c;

    if (!has_escape) {
        for (; begin < end; ++begin) {
            h = (h ^ (unsigned char)*begin) * APR_UINT64_C(1099511628211);
        }
    }
    else {
        while ((c = spell(&name)) >= 0) {
            h = (h ^ (unsigned int)c) * APR_UINT64_C(1099511628211);
        }
    }
    return (apr_uint32_t)(h ^ h >> 32);
}

static int add_name(check_t *check, const char *at, int has_escape)
{
    name_t name;

    if (!sse_room_double(&check->room, (check->names + 16) * sizeof(name_t))) {
        check->wrong = "no memory is left";
        check->status = APR_ENOMEM;
        return 0;
    }
    name.at = (apr_uint32_t)(at - check->begin);
    name.hash = hash_of(at + 1, check->p - 1, has_escape);
    names_of(check)[check->names++] = name;
    return 1;
}

/* -- Values ---------------------------------------------------------------- */

static int in_object(const check_t *check)
{
    int level = check->depth - 1;

    return check->depth && (check->is_object[level / 32] >> level % 32 & 1);
}

static void open_level(check_t *check, int is_object)
{
    unsigned int bit = 1u << check->depth % 32;
    unsigned int *word = &check->is_object[check->depth / 32];

    *word = is_object ? *word | bit : *word & ~bit;
    check->first[check->depth++] = (apr_uint32_t)check->names;
    ++check->p;
}

/* "name" : */
static int check_name(check_t *check)
{
    const char *at;
    int has_escape;

    if (peek_token(check) != '"') {
        return fail(check, check->p, "a name in quotes is expected");
    }
    at = check->p;
    if (!check_string(check, 1, &has_escape) ||
        !add_name(check, at, has_escape)) {
        return 0;
    }
    if (peek_token(check) != ':') {
        return fail(check, check->p, "a colon is expected");
    }
    ++check->p;
    return 1;
}

/* The beginning of a value: all of it, where it is no container.
 * @param opened out: it is one that is not empty; a value follows */
static int check_begin(check_t *check, int *opened)
{
    int c = peek_token(check), has_escape;

    *opened = 0;
    if (check->depth >= SSE_JSON_DEPTH_MAX) {
        return fail(
            check, check->p,
            "more than 2048 values in each other: the depth is limited");
    }
    if (c == '"') {
        return check_string(check, 0, &has_escape);
    }
    if (c == '-' || is_digit(c)) {
        return check_number(check);
    }
    if (c != '{' && c != '[') {
        return check_word(check);
    }
    open_level(check, c == '{');
    *opened = peek_token(check) != (c == '{' ? '}' : ']');
    return !*opened || c == '[' || check_name(check);
}

/* What follows a value in its container: a comma, or ends.
 * @param more out: another value follows */
static int check_follow(check_t *check, int *more)
{
    *more = 0;
    while (check->depth) {
        int object = in_object(check), c = peek_token(check);

        if (c == ',') {
            ++check->p;
            *more = 1;
            return !object || check_name(check);
        }
        if (c != (object ? '}' : ']')) {
            return fail(check, check->p,
                        object ? "a comma or } is expected"
                               : "a comma or ] is expected");
        }
        ++check->p;
        if (object && !check_names(check)) {
            return 0;
        }
        --check->depth;
    }
    return 1;
}

static int check_text(check_t *check)
{
    int more;

    do {
        if (!check_begin(check, &more) ||
            (!more && !check_follow(check, &more))) {
            return 0;
        }
    } while (more);
    if (peek_token(check) != -1) {
        return fail(check, check->p, "something follows the value's end");
    }
    return 1;
}

/* -- The whole ------------------------------------------------------------- */

static void locate(const check_t *check, sse_json_error_t *error)
{
    const char *p;

    error->text = check->wrong;
    error->line = error->column = 1;
    for (p = check->begin; p < check->p; ++p) {
        if (*p == '\n') {
            ++error->line;
            error->column = 1;
        }
        else if ((*p & 0xC0) != 0x80) {
            ++error->column;
        }
    }
}

apr_status_t sse_json_check(sse_slice_t text, sse_json_error_t *error)
{
    check_t check;

    check.begin = check.p = text.ptr;
    check.end = text.ptr + text.len;
    check.wrong = NULL;
    check.status = APR_SUCCESS;
    check.room = (sse_room_t){NULL, 0};
    check.names = 0;
    check.depth = 0;
    memset(check.is_object, 0, sizeof(check.is_object));
    if (text.len > APR_UINT32_MAX) {
        fail(&check, check.p, "more than 4 GB");
    }
    else {
        check_text(&check);
    }
    sse_room_free(&check.room);
    if (check.wrong) {
        locate(&check, error);
    }
    return check.status;
}
