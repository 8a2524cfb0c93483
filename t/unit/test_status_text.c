/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Others' words in JSON, in a page, in a query; a text that grows. */

#include <apr_general.h>
#include <apr_strings.h>

#include "http/status/sse_status_text.h"
#include "tap.h"

typedef void add_fn(sse_text_t *text, sse_slice_t value);

static const char *made(apr_pool_t *pool, add_fn *add, const char *bytes,
                        apr_size_t len)
{
    sse_text_t text = {.pool = pool};

    add(&text, (sse_slice_t){bytes, len});
    return text.ptr ? text.ptr : "";
}

static void is_made(apr_pool_t *pool, add_fn *add, const char *from,
                    const char *want, const char *what)
{
    const char *got = made(pool, add, from, strlen(from));

    is_str(got, want, what);
}

static void test_json(apr_pool_t *pool)
{
    is_made(pool, sse_text_json, "", "\"\"", "JSON: nothing");
    is_made(pool, sse_text_json, "a\"b\\c", "\"a\\\"b\\\\c\"", "quotes");
    is_made(pool, sse_text_json, "\n\x7f\x01", "\"\\n\\u007f\\u0001\"",
            "control characters");
    is_made(pool, sse_text_json, "J\xc3\xb6rg", "\"J\xc3\xb6rg\"", "UTF-8");
    is_made(pool, sse_text_json, "J\xf6rg", "\"J\xef\xbf\xbdrg\"",
            "what is none is replaced");
    is_str(made(pool, sse_text_json, "a\0b", 3), "\"a\\u0000b\"", "NUL");
}

static void test_html(apr_pool_t *pool)
{
    is_made(pool, sse_text_html, "<b a=\"1\" c='2'>&amp;",
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;", "markup");
    is_made(pool, sse_text_html, "J\xc3\xb6rg", "J\xc3\xb6rg", "UTF-8");
    is_made(pool, sse_text_html, "\xff<", "\xef\xbf\xbd&lt;",
            "what is none is replaced, and the rest escaped");
    is_made(pool, sse_text_html, "", "", "nothing");
}

static void test_query(apr_pool_t *pool)
{
    is_made(pool, sse_text_query, "/a-b.c_d~e:f", "/a-b.c_d~e:f", "plain");
    is_made(pool, sse_text_query, "a&b=c d+e%\"'<>#?",
            "a%26b%3Dc%20d%2Be%25%22%27%3C%3E%23%3F", "what means something");
    is_made(pool, sse_text_query, "\xc3\xb6", "%C3%B6", "UTF-8");
    is_str(made(pool, sse_text_query, "\0", 1), "%00", "NUL");
}

static void test_growth(apr_pool_t *pool)
{
    sse_text_t text = {.pool = pool};
    char line[600];
    int i;

    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    for (i = 0; i < 1000; ++i) {
        sse_text_add(&text, "%d:%s\n", i % 10, line);
    }
    is_num(text.len, 1000 * (2 + 599 + 1), "long lines are whole");
    ok(text.len < text.size && text.ptr[text.len] == '\0', "and end in a NUL");
    ok(!strncmp(text.ptr + 602, "1:x", 3), "one behind the other");
    for (i = 505; i < 520; ++i) {
        sse_text_t one = {.pool = pool};

        line[i] = '\0';
        sse_text_add(&one, "%s", line);
        is_num(one.len, i, "about as long as the line that is there for it");
        line[i] = 'x';
    }
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_json(pool);
    test_html(pool);
    test_query(pool);
    test_growth(pool);
    apr_pool_destroy(pool);
    return done_testing();
}
