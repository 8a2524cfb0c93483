/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_figures.c
 * Samples, and the table that is printed.
 */

#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void samples_add(samples_t *samples, double value)
{
    if (samples->n == samples->size) {
        samples->size = samples->size ? samples->size * 2 : 1024;
        samples->values =
            realloc(samples->values, samples->size * sizeof(*samples->values));
        if (!samples->values) {
            die("out of memory");
        }
    }
    samples->values[samples->n++] = value;
    samples->sorted = 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double samples_at(samples_t *samples, double q)
{
    size_t place;

    if (!samples->n) {
        die("nothing was measured");
    }
    if (!samples->sorted) {
        qsort(samples->values, samples->n, sizeof(*samples->values), compare);
        samples->sorted = 1;
    }
    place = (size_t)(q * (double)samples->n);
    return samples->values[place < samples->n ? place : samples->n - 1];
}

void samples_free(samples_t *samples)
{
    free(samples->values);
    samples->values = NULL;
    samples->n = samples->size = 0;
}

void figures_of(const char *scenario, const char *what)
{
    printf("\n%s: %s\n", scenario, what);
}

/* Three significant digits, but whole numbers from 100 on. */
static void print(const char *what, double value, const char *unit)
{
    double size = value < 0 ? -value : value;
    int digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;

    printf("  %-46s %10.*f %-8s", what, digits, value, unit);
}

void figure(const char *what, double value, const char *unit)
{
    print(what, value, unit);
    putchar('\n');
}

void figure_most(const char *what, double value, const char *unit, double limit)
{
    print(what, value, unit);
    printf("  target <= %g: %s\n", limit, value <= limit ? "met" : "MISSED");
}

void figure_least(const char *what, double value, const char *unit,
                  double limit)
{
    print(what, value, unit);
    printf("  target >= %g: %s\n", limit, value >= limit ? "met" : "MISSED");
}

void remark(const char *format, ...)
{
    va_list args;

    fputs("  ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}
