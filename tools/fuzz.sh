#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make check-fuzz": the event reader against random input for FUZZ_SECONDS.
# TAP; an input that breaks it is left in build/fuzz.

set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${FUZZ_SECONDS:-30}
log=build/fuzz/fuzz.log
mkdir -p build/fuzz/corpus

echo 1..2
build/fuzz/fuzz_reader -max_total_time="$seconds" -max_len=4096 -timeout=10 \
    -artifact_prefix=build/fuzz/ -print_final_stats=1 \
    build/fuzz/corpus t/unit/corpus >"$log" 2>&1
status=$?
[ $status = 0 ] || printf 'not '
echo "ok 1 - the reader survives $seconds s of random input"
if [ $status != 0 ]; then
    grep -vE '^#[0-9]+' "$log" | tail -n 60 | sed 's/^/# /'
fi
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
[ "${runs:-0}" -gt 1000 ] || printf 'not '
echo "ok 2 - with ${runs:-0} inputs"
