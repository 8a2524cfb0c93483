#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make bench": each scenario against an httpd of its own.
#
#   bench/run.sh [SCENARIO ...]    idle close latency fanout publish long resume
#                                  slow burst
#
# HTTPD: the program.  LIBEXECDIR: its modules.  What is printed is also kept in
# build/bench/results.txt.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/child_user.sh

httpd=${HTTPD:-/usr/sbin/apache2}
modules=${LIBEXECDIR:-$(${APXS:-apxs} -q LIBEXECDIR)}
load=build/bench/load
results=build/bench/results.txt
pid=
tmp=

die() {
    echo "make bench: $*" >&2
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

user=
group=
if [ "$(id -u)" = 0 ]; then
    user=www-data
    id "$user" >/dev/null 2>&1 || user=nobody
    group=$(id -gn "$user")
fi
run=$(run_directory "$user" "$PWD/build/bench/run") || exit 1
[ "$run" = "$PWD/build/bench/run" ] || tmp=$run
ulimit -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 10100 ] ||
    die "10,000 streams need 10,100 descriptors a process; ulimit -n allows" \
        "$(ulimit -n)"

launch() {
    rm -rf "$run/store" "$run/error_log" "$run/closes" "$run/httpd.pid"
    port=$("$load" port) || exit 1
    setsid setpriv --pdeathsig TERM "$httpd" -d "$run" \
        -f "$PWD/bench/httpd.conf" \
        -C "Define SSE_MODULES \"$modules\"" \
        -C "Define SSE_SO \"$PWD/build/mod_sse.so\"" \
        -C "Define SSE_BENCH_SO \"$PWD/build/bench/mod_bench_close.so\"" \
        -C "Define SSE_RUN \"$run\"" \
        -C "Define SSE_PIDFILE \"$run/httpd.pid\"" \
        -C "Define SSE_PORT $port" \
        -C "Define SSE_CHILDREN $1" \
        -C "Define SSE_THREADS $(($1 * 16))" \
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
    until [ -s "$run/httpd.pid" ] && [ "$(children)" -ge "$1" ]; do
        kill -0 "$pid" 2>/dev/null || return 1
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "httpd is not up after 30 s"
        sleep 0.1
    done
    sleep 0.3
}

# Another process may take the port first.
start() {
    for try in 1 2 3; do
        launch "$1"
        if await "$1"; then
            return
        fi
        pid=
        grep -q 'Address already in use' "$run/startup" || break
    done
    cat "$run/startup" "$run/error_log" >&2 2>/dev/null
    die "httpd did not start"
}

describe() {
    echo "mod_sse benchmarks, $(date -u '+%Y-%m-%d %H:%M UTC')"
    "$httpd" -v | sed -n 's/^Server version: //p'
    echo "$(nproc) cores, $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' \
        /etc/os-release), Linux $(uname -r | cut -d. -f1,2);" \
        "client and server on the same machine"
    echo "others' load before (1 minute's average): $(cut -d' ' -f1 \
        /proc/loadavg)"
}

# All threads may be busy for a moment, and there is no room for more: AH00484.
complaints() {
    grep -v ':notice\]\|AH00484' "$run/error_log"
}

scenario() {
    case $1 in
    idle|close|long|resume|slow|burst) start 1 ;;
    latency|fanout|publish) start 2 ;;
    *) die "there is no scenario $1" ;;
    esac
    "$load" "$1" "$port" "$pid" "$run/closes" || failed=1
    stop
    if complaints | grep -q .; then
        echo "  httpd's error log:"
        complaints | head -n 5 | sed 's/^/    /'
        failed=1
    fi
}

all() {
    failed=0
    describe
    for name; do
        scenario "$name"
    done
    return $failed
}

[ $# -gt 0 ] || set -- idle close latency fanout publish long resume \
    slow burst
rm -f "$run/out"
mkfifo "$run/out" || exit 1
tee "$results" <"$run/out" &
tee=$!
exec 3>&1 >"$run/out"
all "$@"
status=$?
exec >&3
wait "$tee"
exit $status
