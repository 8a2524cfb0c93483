#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make test": every part, one after the other, then a summary whose last line
# is "N passed, N failed".
# PORT: the first of 300 that are used (8529).  FUZZ_SECONDS, MAKE.
# PARTS: only these.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
make=${MAKE:-make}
port=${PORT:-8529}
out=build/test
parts=${PARTS:-lint unit unit-asan fuzz conf event worker prefork asan tsan
    browser soak}
jobs=$(nproc 2>/dev/null || echo 2)
passed=0
failed=0
# Under a sanitizer, all but what holds httpd's own stops, a program's and a
# proxy's answers against the clock: those are slowed as much as we are.
instrumented=$(ls t/*/*.t | grep -v -e /shutdown.t -e /watch_more.t \
    -e /dead_peer.t | tr '\n' ' ')

# What this make was told is passed on by name, below.
unset MAKEFLAGS MFLAGS MAKELEVEL PORT

case $port in
''|*[!0-9]*|??????*) echo "PORT=$port is not a port" >&2; exit 1 ;;
esac
rm -rf "$out"
mkdir -p "$out" || exit 1

# part NAME MAKE-ARGUMENTS...
part() {
    name=$1
    shift
    echo
    echo "== $name: make $*"
    began=$(date +%s)
    {
        PERL_TEST_HARNESS_DUMP_TAP=$PWD/$out/$name.tap \
            "$make" --no-print-directory -j "$jobs" "$@"
        echo $? >"$out/$name.status"
    } 2>&1 | tee "$out/$name.log"
    seconds=$(($(date +%s) - began))
    status=$(cat "$out/$name.status")
    set -- $(perl tools/count.pl "$out/$name.tap" 2>>"$out/notes")
    sed -i "s/^\(skipped\|failed\): /\1 in $name: /" "$out/notes"
    good=${1:-0}
    bad=${2:-0}
    note=
    if [ "$((good + bad))" = 0 ]; then
        note='  ran no test'
        bad=1
    elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        note="  failed beside its tests, see $out/$name.log"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    printf '%-10s %6d %6d %8d %6ds%s\n' "$name" "$good" "$bad" "${3:-0}" \
        "$seconds" "$note" >>"$out/table"
}

for each in $parts; do
    case $each in
    lint)      part lint lint ;;
    unit)      part unit check-unit ;;
    unit-asan) part unit-asan check-unit SAN=address,undefined ;;
    fuzz)      part fuzz check-fuzz FUZZ_SECONDS="${FUZZ_SECONDS:-30}" ;;
    conf)      part conf check-conf ;;
    event)     part event check MPM=event PORT="$port" ;;
    worker)    part worker check MPM=worker PORT="$((port + 50))" ;;
    prefork)   part prefork check MPM=prefork PORT="$((port + 100))" ;;
    asan)      part asan check MPM=event SAN=address,undefined \
                   TESTS="$instrumented" PORT="$((port + 150))" ;;
    tsan)      part tsan check MPM=event SAN=thread TESTS="$instrumented" \
                   PORT="$((port + 200))" ;;
    browser)   part browser test-browser PORT="$((port + 250))" ;;
    soak)      part soak soak SOAK_SECONDS=60 PORT="$((port + 280))" ;;
    *)         echo "there is no part '$each'" >&2; exit 1 ;;
    esac
done

if [ -s "$out/notes" ]; then
    echo
    echo '== what failed, what was skipped'
    head -n 300 "$out/notes"
fi
echo
echo '== summary'
printf '%-10s %6s %6s %8s %7s\n' part passed failed skipped time
cat "$out/table"
echo "$passed passed, $failed failed" | tee "$out/result"
[ "$failed" = 0 ]
