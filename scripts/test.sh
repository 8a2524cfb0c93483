#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make test": every part, then a summary whose last line is "N passed, N
# failed".  A part mostly waits for what it tests, so LANES of them (8) run side
# by side; the output of each is printed when it ends.  The tests of a running
# httpd, which wait most, are three parts for each MPM and sanitizer.
# PORT: the first of 810 that are used (8529).  FUZZ_SECONDS, SOAK_SECONDS,
# MAKE.  PARTS: only these.  A part that hangs is ended after an hour.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
make=${MAKE:-make}
port=${PORT:-8529}
out=build/test
# Those that need the processors most begin apart from each other.  The soak
# measures the server under load, and so runs alone.
parts=${PARTS:-tsan.2 lint unit-asan tsan.3 worker.2 asan.2 event.2 prefork.3 asan.3
    tsan.1 worker.3 event.3 prefork.2 asan.1 worker.1 event.1 prefork.1 unit conf
    soak-hooks fuzz browser soak}
jobs=$(nproc 2>/dev/null || echo 2)

# The variables of this make are passed on by name, below.
unset MAKEFLAGS MFLAGS MAKELEVEL PORT

case $port in
''|*[!0-9]*|??????*) echo "PORT=$port is not a port" >&2; exit 1 ;;
esac

# The folders of the first two thirds; any other folder is in the third.
third1='t/notify t/seams t/store'
third2='t/stream t/hub'

folders() {
    case $1 in
    1) echo $third1 ;;
    2) echo $third2 ;;
    3) for folder in $(dirname t/*/*.t | sort -u); do
           case " $third1 $third2 " in
           *" $folder "*) ;;
           *) echo "$folder" ;;
           esac
       done ;;
    esac
}

# check THIRD PORT ARGUMENT...: those of an Apache::Test run.  It has 50
# ports.
check() {
    of=$1
    at=$(($2 + 50 * ($1 - 1)))
    shift 2
    echo check NAME="$of" PORT="$((port + at))" "$@" \
        "TESTS='$(echo $(folders "$of"))'"
}

# Make's arguments for a part, as words of the shell.
arguments() {
    case $1 in
    lint)         echo lint ;;
    unit)         echo check-unit ;;
    unit-asan)    echo check-unit SAN=address,undefined ;;
    fuzz)         echo check-fuzz FUZZ_SECONDS="${FUZZ_SECONDS:-30}" ;;
    conf)         echo check-conf ;;
    event.[123])   check "${1#*.}" 0 MPM=event ;;
    worker.[123])  check "${1#*.}" 150 MPM=worker ;;
    prefork.[123]) check "${1#*.}" 300 MPM=prefork ;;
    asan.[123])    check "${1#*.}" 450 MPM=event SAN=address,undefined ;;
    tsan.[123])    check "${1#*.}" 600 MPM=event SAN=thread ;;
    browser)      echo test-browser PORT="$((port + 750))" ;;
    soak)         echo soak SOAK_SECONDS="${SOAK_SECONDS:-60}" \
                      PORT="$((port + 770))" ;;
    soak-hooks)   echo soak-hooks SOAK_SECONDS="${SOAK_SECONDS:-60}" \
                      PORT="$((port + 790))" ;;
    esac
}

# Run a part.  Its output goes to its log, its exit status to its status file.
run() {
    name=$1
    began=$(date +%s)
    # Parts that measure no time leave the processors to those that do.
    case $name in
    lint|fuzz) gently='nice -n 5' ;;
    *)         gently= ;;
    esac
    eval "set -- $(arguments "$name")"
    PERL_TEST_HARNESS_DUMP_TAP=$PWD/$out/$name.tap \
        timeout -k 10 $((3600 + ${FUZZ_SECONDS:-0} + ${SOAK_SECONDS:-0})) $gently "$make" --no-print-directory "$@" \
        >"$out/$name.log" 2>&1 </dev/null
    echo "$? $(($(date +%s) - began))" >"$out/$name.status"
    {
        echo
        echo "== $name: make $(arguments "$name")"
        cat "$out/$name.log"
    } >"$out/$name.said"
    cat "$out/$name.said"
}

# What the parts share is built before they start.
build() {
    for san in '' address,undefined thread; do
        "$make" --no-print-directory -j "$jobs" SAN="$san" all seams ||
            return 1
    done
}

# Add a part's line to the table.
tell() {
    name=$1
    read -r status seconds <"$out/$name.status" || { status=1; seconds=0; }
    set -- $(perl scripts/count.pl "$out/$name.tap" 2>"$out/$name.notes")
    sed "s/^\(skipped\|failed\): /\1 in $name: /" "$out/$name.notes" \
        >>"$out/notes"
    good=${1:-0}
    bad=${2:-0}
    note=
    if [ "$status $((good + bad))" = '0 0' ] && [ "${3:-0}" != 0 ] &&
        [ "${CI:-}" != true ]; then
        note='  skipped, see above'
    elif [ "$((good + bad))" = 0 ]; then
        note='  ran no test'
        bad=1
    elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        note="  failed beside its tests, see $out/$name.log"
        bad=1
        {
            echo "failed in $name, beside its tests; its log ends with:"
            tail -n 60 "$out/$name.log"
        } >>"$out/notes"
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    printf '%-10s %6d %6d %8d %6ds%s\n' "$name" "$good" "$bad" "${3:-0}" \
        "$seconds" "$note" >>"$out/table"
}

# For the lanes.
if [ $# = 2 ] && [ "$1" = --part ]; then
    run "$2"
    exit 0
fi

for name in $parts; do
    [ -n "$(arguments "$name")" ] ||
        { echo "there is no part '$name'" >&2; exit 1; }
done
rm -rf "$out"
mkdir -p "$out" || exit 1
: >"$out/notes"
passed=0
failed=0
build || { echo 'the build failed: 0 passed, 1 failed' >&2; exit 1; }
printf '%s\n' $parts | grep -v '^soak$' |
    MAKE=$make PORT=$port xargs -P "${LANES:-8}" -n 1 "$0" --part
case " $(echo $parts) " in
*' soak '*) run soak ;;
esac
for name in $parts; do
    tell "$name"
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
