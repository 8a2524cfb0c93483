#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make lint": the rules of CONTRIBUTING.md that a tool can check.  TAP.

set -u
LC_ALL=C.UTF-8
export LC_ALL
cd "$(dirname "$0")/.." || exit 1
count=0
failed=0

# check NAME COMMAND...: passes when the command succeeds.
check() {
    name=$1
    shift
    count=$((count + 1))
    if output=$("$@" 2>&1); then
        echo "ok $count - $name"
    else
        failed=1
        echo "not ok $count - $name"
        printf '%s\n' "$output" | head -n 100 | sed 's/^/# /'
    fi
}

# none COMMAND...: succeeds when the command prints nothing.
none() {
    found=$("$@")
    [ -z "$found" ] || { printf '%s\n' "$found"; return 1; }
}

sources() {
    find mod_sse.[ch] src support t/unit t/seams t/client t/soak bench -name '*.[ch]' 2>/dev/null | sort
}

# Configuration stands in front of the code of a C test module, which
# clang-format would take for C.
all_c() {
    sources
    find c-modules -name '*.[ch]' 2>/dev/null | sort
}

layout() {
    sources | xargs clang-format --dry-run -Werror --style=file
}

warnings() {
    ${MAKE:-make} --no-print-directory -s all seams || return
    cd build/obj && none find mod_sse.o.said src support t/seams \
        -name '*.said' -exec cat {} +
}

# clang-analyzer takes nearly all of the time.  With its own max-nodes, 225000, it
# takes twice as long and reaches the same: one block more of 3250.
analysis() {
    sources | grep '\.c$' | grep -v fuzz_ |
        xargs -P 2 -n 4 sh -c 'clang-tidy --quiet \
            --config-file=scripts/clang-tidy.yaml --warnings-as-errors="*" \
            "$@" -- -std=gnu99 $SSE_CPPFLAGS \
            -Xclang -analyzer-config -Xclang max-nodes=75000 2>&1 |
            sed -n "/warning:\|error:/,/\^/p" | grep . && exit 1; exit 0' sh
}

httpd_headers() {
    grep -nE '#[[:space:]]*include[[:space:]]*[<"](httpd|http_|ap_|util_|mod_|scoreboard|mpm_|unixd|child/|http/|hub/|stream/|loop/|config/)' \
        src/event/*.[ch] src/store/*.[ch] src/store/*/*.[ch] | grep -v mod_sse.h
}

long_lines() {
    all_c | xargs awk 'length($0) > 80 { print FILENAME ":" FNR ": " \
        length($0) " columns" }'
}

tabs() {
    all_c | xargs grep -nP '\t|[ \r]$'
}

long_files() {
    all_c | while read -r file; do
        lines=$(wc -l <"$file")
        limit=600
        [ "$file" != mod_sse.c ] || limit=400
        [ "$lines" -le $limit ] ||
            echo "$file: $lines lines, the limit is $limit"
    done
}

# A test may list its cases.
long_functions() {
    sources | xargs awk '
        FNR == 1 { limit = FILENAME ~ /^t\// ? 100 : 60 }
        /^[a-z].*\(/ { name = $0 }
        /^\{/ { start = FNR }
        /^\}/ && start {
            if (FNR - start + 1 > limit)
                print FILENAME ":" start ": " FNR - start + 1 " lines: " name
            start = 0
        }'
}

no_licence() {
    all_c | grep -v c-modules/ | while read -r file; do
        head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
            echo "$file: no SPDX-License-Identifier in its head"
    done
}

check 'there are sources' test -n "$(sources)"
check 'clang-format would change nothing' layout
check 'gcc has no warning' warnings
check 'clang-tidy has nothing to say (scripts/clang-tidy.yaml)' analysis
check 'src/event and src/store know nothing of httpd' none httpd_headers
check 'no line of C is over 80 columns' none long_lines
check 'no tab, no blank at the end of a line' none tabs
check 'no file over 600 lines, mod_sse.c not over 400' none long_files
check 'no function over 60 lines' none long_functions
check 'every file says its licence' none no_licence
check 'files that docs and comments name are there' \
    none scripts/tree.pl references
check 'no private header is included elsewhere' none scripts/tree.pl private
check 'the file map of docs/design.md is complete' none scripts/tree.pl map
check 'a folder of src/ includes only those above it in that map' \
    none scripts/tree.pl order
check "no store provider's name stands outside its own folder" \
    none scripts/tree.pl provider
echo "1..$count"
exit $failed
