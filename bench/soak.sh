#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make soak": an httpd of its own, and bench/soak against it.  TAP.
#
# SOAK_SECONDS (600), SOAK_SUBSCRIBERS (5000), SOAK_PUBLISHERS (100), SOAK_RATE
# (200 events a second), SOAK_SEED: repeats a run's restarts and SIGKILLs.
# PORT: the first that is tried (any free one).
# HTTPD: the program.  LIBEXECDIR: its modules.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/child_user.sh

httpd=${HTTPD:-/usr/sbin/apache2}
modules=${LIBEXECDIR:-$(${APXS:-apxs} -q LIBEXECDIR)}
soak=build/bench/soak
seconds=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
pid=
tmp=

die() {
    echo "Bail out!  make soak: $*"
    exit 1
}

stop() {
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
        pid=
    fi
}

clean_up() {
    trap '' INT TERM HUP
    stop
    [ -z "$tmp" ] || rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

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

user=
group=
if [ "$(id -u)" = 0 ]; then
    user=www-data
    id "$user" >/dev/null 2>&1 || user=nobody
    group=$(id -gn "$user")
fi
run=$(run_directory "$user" "$PWD/build/bench/soak-run") || exit 1
[ "$run" = "$PWD/build/bench/soak-run" ] || tmp=$run

launch() {
    rm -rf "$run/store" "$run/error_log" "$run/notes" "$run/httpd.pid"
    port=$("$soak" port "${PORT:-0}") || die "no free port"
    setsid setpriv --pdeathsig TERM "$httpd" -d "$run" \
        -f "$PWD/bench/soak.conf" \
        -C "Define SSE_MODULES \"$modules\"" \
        -C "Define SSE_SO \"$PWD/build/mod_sse.so\"" \
        -C "Define SSE_BENCH_SO \"$PWD/build/bench/mod_bench_soak.so\"" \
        -C "Define SSE_RUN \"$run\"" \
        -C "Define SSE_PORT $port" \
        ${user:+-C "Define SSE_USER $user"} \
        ${group:+-C "Define SSE_GROUP $group"} \
        -D FOREGROUND >"$run/startup" 2>&1 </dev/null &
    pid=$!
}

# The process's children, which httpd starts after it has its pid file.
children() {
    ps -o pid= --ppid "$pid" | wc -l
}

await() {
    tries=0
    until [ -s "$run/httpd.pid" ] && [ "$(children)" -ge 3 ]; do
        kill -0 "$pid" 2>/dev/null || return 1
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "httpd is not up after 30 s"
        sleep 0.1
    done
    sleep 1
}

# Another process may take the port first.
start() {
    for try in 1 2 3; do
        launch
        if await; then
            return
        fi
        pid=
        grep -q 'Address already in use' "$run/startup" || break
    done
    sed 's/^/# /' "$run/startup" "$run/error_log" 2>/dev/null
    die "httpd did not start"
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

start
parent=$pid
failed=0
{
    "$soak" "$port" "$pid" "$run" "$seconds" "$subs" "$pubs" "$rate" "$seed"
    echo $? >"$run/status"
} | tee "$run/results"
[ "$(cat "$run/status")" = 0 ] || failed=1
count=$(grep -c '^\(not \)\{0,1\}ok ' "$run/results")
check 'the store is sound' build/sse-store -d "$run/store" check
stop
check 'httpd stopped' is_stopped
check 'the store is sound at rest' build/sse-store -d "$run/store" check
echo "1..$count"
if [ "$failed" != 0 ]; then
    mkdir -p build/bench
    cp "$run/error_log" build/bench/soak-error_log 2>/dev/null
    echo "# SOAK_SECONDS=$seconds SOAK_SEED=$seed repeats it;" \
        "httpd's log is build/bench/soak-error_log"
fi
exit $failed
