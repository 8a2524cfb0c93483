/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Whether a number is one that a double can hold: by its digits alone, as
 * strtod() would go by the process's locale and need a copy. */

#include <string.h>

#include "event/sse_json_text.h"

static const char malformed[] = "a malformed number";

static int is_digit(int c) { return c >= '0' && c <= '9'; }

/* From here on a number is rounded to infinity: 2^1024 - 2^970. */
static const char too_large[] =
    "179769313486231580793728971405303415079934132710037826936173"
    "778980444968292764750946649017977587207096330286416692887910"
    "946555547851940402630657488671505820681908902000708383676273"
    "854845817711531764475730270069855571366959622842914819860834"
    "936475292719074168444365510704342711559699508093042880177904"
    "174497792";

#define TOO_LARGE_DIGITS ((apr_int64_t)sizeof(too_large) - 1)
#define EXPONENT_MAX     APR_INT64_C(100000000000)

/* Whether digits (of which the first is no zero, and one may be a point) begin
 * like the number above, or higher. */
static int are_too_large(const char *p, const char *end)
{
    const char *want = too_large;

    for (; p < end && *want; ++p) {
        if (*p == '.') {
            continue;
        }
        if (*p != *want) {
            return *p > *want;
        }
        ++want;
    }
    while (*want == '0') {
        ++want;
    }
    return !*want;
}

/* @param mantissa its digits, of which one may be a point, up to end
 * @param exponent what is behind the e */
static int is_too_large(const char *mantissa, const char *end,
                        apr_int64_t exponent)
{
    const char *point = memchr(mantissa, '.', (apr_size_t)(end - mantissa));
    const char *first = mantissa;
    apr_int64_t digits; /* in front of the point, were it written without e */

    while (first < end && (*first == '0' || *first == '.')) {
        ++first;
    }
    if (first == end) {
        return 0;
    }
    point = point ? point : end;
    digits = exponent + (point > first ? point - first : point - first + 1);
    if (digits != TOO_LARGE_DIGITS) {
        return digits > TOO_LARGE_DIGITS;
    }
    return are_too_large(first, end);
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit((unsigned char)*p)) {
        ++p;
    }
    return p;
}

/* @return past it; NULL: there is no digit */
static const char *read_exponent(const char *p, const char *end,
                                 apr_int64_t *exponent)
{
    apr_int64_t n = 0;
    int minus = p < end && *p == '-';
    const char *digits;

    if (p < end && (*p == '-' || *p == '+')) {
        ++p;
    }
    for (digits = p; p < end && is_digit((unsigned char)*p); ++p) {
        n = n < EXPONENT_MAX ? n * 10 + (*p - '0') : n;
    }
    *exponent = minus ? -n : n;
    return p > digits ? p : NULL;
}

const char *sse_json_number(const char **number, const char *end)
{
    const char *mantissa = *number + (**number == '-');
    const char *p = skip_digits(mantissa, end), *mantissa_end;
    apr_int64_t exponent = 0;

    if (p == mantissa || (*mantissa == '0' && p > mantissa + 1)) {
        return malformed;
    }
    if (p < end && *p == '.') {
        const char *fraction = p + 1;

        p = skip_digits(fraction, end);
        if (p == fraction) {
            return malformed;
        }
    }
    mantissa_end = p;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = read_exponent(p + 1, end, &exponent);
        if (!p) {
            return malformed;
        }
    }
    if (is_too_large(mantissa, mantissa_end, exponent)) {
        return "a number too large for a double";
    }
    *number = p;
    return NULL;
}
