#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make soak": build/soak/soak against an httpd of its own.  TAP.
#
# SOAK_SECONDS (600), SOAK_SUBSCRIBERS (5000), SOAK_PUBLISHERS (100), SOAK_RATE
# (200 events a second), SOAK_SEED: repeats a run's restarts and SIGKILLs.
# PORT: the first that is tried (any free one).
# HTTPD: the program.  LIBEXECDIR: its modules.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/httpd.sh

soak=build/soak/soak
seconds=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}

die() {
    echo "Bail out!  make soak: $*"
    exit 1
}

case $seconds in
''|*[!0-9]*|??????*) die "SOAK_SECONDS=$seconds is not a number" ;;
esac
subs=${SOAK_SUBSCRIBERS:-5000}
pubs=${SOAK_PUBLISHERS:-100}
rate=${SOAK_RATE:-200}

# One child may have all streams for a moment.
ulimit -n "$(ulimit -H -n)"
limit=$(ulimit -n)
if [ "$limit" != unlimited ] && [ "$limit" -lt "$((subs + pubs + 200))" ]; then
    subs=$((limit - pubs - 200))
    [ "$subs" -gt 0 ] || die "ulimit -n is $limit"
    echo "# no more than $subs subscribers: ulimit -n is $limit"
fi

httpd_prepare "$PWD/build/soak/run"

launch() {
    rm -rf "$run/store" "$run/error_log" "$run/notes"
    port=$("$soak" port "${PORT:-0}") || die "no free port"
    httpd_launch t/soak/soak.conf SSE_PORT="$port" \
        SSE_SOAK_SO="$PWD/build/soak/mod_soak.so"
}

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
        printf '%s\n' "$output" | head -n 40 | sed 's/^/# /'
    fi
}

is_stopped() {
    ! kill -0 "$parent" 2>/dev/null
}

httpd_start 3 launch
sleep 1
parent=$pid
failed=0
{
    "$soak" "$port" "$pid" "$run" "$seconds" "$subs" "$pubs" "$rate" "$seed"
    echo $? >"$run/status"
} | tee "$run/results"
[ "$(cat "$run/status")" = 0 ] || failed=1
count=$(grep -c '^\(not \)\{0,1\}ok ' "$run/results")
check 'the store is sound' build/sse-store -d "$run/store" check
httpd_stop
check 'httpd stopped' is_stopped
check 'the store is sound at rest' build/sse-store -d "$run/store" check
echo "1..$count"
if [ "$failed" != 0 ]; then
    cp "$run/error_log" build/soak/error_log 2>/dev/null
    echo "# SOAK_SECONDS=$seconds SOAK_SEED=$seed repeats it;" \
        "httpd's log is build/soak/error_log"
fi
exit $failed
