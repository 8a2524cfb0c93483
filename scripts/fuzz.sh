#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make check-fuzz": the readers of events and of JSON against random input, for
# FUZZ_SECONDS in all.  TAP; an input that breaks a reader is left in build/fuzz.

set -u
cd "$(dirname "$0")/.." || exit 1
seconds=$(((${FUZZ_SECONDS:-30} + 1) / 2))
count=0

# run TARGET SEEDS LIMIT: sets log, status, and runs, how many inputs there were.
# The time of one input is measured by the clock: the machine may stand still.
run() {
    log=build/fuzz/$1.log
    "build/fuzz/$1" "$3" -max_len=4096 -timeout=60 \
        -artifact_prefix="build/fuzz/$1-" -print_final_stats=1 \
        "build/fuzz/corpus-$1" "$2" >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
}

# fuzz TARGET SEEDS WHAT: two tests.
fuzz() {
    mkdir -p "build/fuzz/corpus-$1"
    run "$1" "$2" -max_total_time="$seconds"
    # Others may have had the processors all the time.
    if [ $status = 0 ] && [ "${runs:-0}" -le 1000 ]; then
        run "$1" "$2" -runs=2000
    fi
    count=$((count + 1))
    [ $status = 0 ] || printf 'not '
    echo "ok $count - $3 survives $seconds s of random input"
    if [ $status != 0 ]; then
        grep -vE '^#[0-9]+' "$log" | tail -n 60 | sed 's/^/# /'
    fi
    count=$((count + 1))
    [ "${runs:-0}" -gt 1000 ] || printf 'not '
    echo "ok $count - with ${runs:-0} inputs"
}

echo 1..4
fuzz fuzz_reader t/unit/corpus 'the event reader'
fuzz fuzz_json t/unit/corpus_json 'the JSON reader'
