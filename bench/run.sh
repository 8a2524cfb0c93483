#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make bench": each scenario against an httpd of its own.
#
#   bench/run.sh [SCENARIO ...]    idle close latency fanout publish long resume
#                                  slow burst hooks authorize presence
#                                  poll scrape programs programs_shared
#                                  h2_idle h2_cpu h2_close h2_pages h2_site
#
# HTTPD: the program.  LIBEXECDIR: its modules.  What is printed is also kept in
# build/bench/results.txt.  SSE_HTTP2: another way than "splice" for those of
# HTTP/2.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/httpd.sh

load=build/bench/load
target=build/bench/hook_target
results=build/bench/results.txt

die() {
    echo "make bench: $*" >&2
    exit 1
}

httpd_prepare "$PWD/build/bench/run"
ulimit -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 11000 ] ||
    die "10,000 streams need 11,000 descriptors a process; ulimit -n allows" \
        "$(ulimit -n)"

# A target of webhooks, in the background.
target_start() {
    rm -f "$run/hooks"
    hook_port=$("$load" port) || exit 1
    setpriv --pdeathsig TERM "$target" "$hook_port" "$run/hooks" &
    target_pid=$!
    until [ -e "$run/hooks" ]; do
        kill -0 "$target_pid" 2>/dev/null || die "the hooks' target has died"
        sleep 0.1
    done
}

target_stop() {
    kill "$target_pid"
    wait "$target_pid" 2>/dev/null
}

# httpd with TLS and HTTP/2, in one child of 32 threads, beside another one
# without mod_sse, both on the same files.
tls_prepare() {
    for _i in 0 1 2 3 4; do
        head -c 2048 /dev/zero | tr '\0' x >"$run/file$_i.txt"
    done
    head -c 262144 /dev/zero >"$run/medium.bin"
    head -c 3145728 /dev/zero >"$run/large.bin"
    chmod 644 "$run"/file?.txt "$run/medium.bin" "$run/large.bin"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 2 -subj /CN=localhost -keyout "$run/key.pem" \
        -out "$run/cert.pem" 2>/dev/null || die "openssl made no certificate"
}

launch_stock() {
    stock_port=$("$load" port) || exit 1
    _port=$("$load" port) || exit 1
    printf '%100s\n' file >"$run/small.txt"
    httpd_launch bench/httpd.conf SSE_PORT="$_port" SSE_TLS_PORT="$stock_port" \
        SSE_STOCK=1 SSE_BENCH_SO="$PWD/build/bench/mod_bench_close.so" \
        SSE_LOG="$run/stock_error_log" SSE_CHILDREN=1 SSE_PER_CHILD=32 \
        SSE_THREADS=32
}

stock_start() {
    tls=on
    tls_prepare
    pidfile=$run/stock.pid
    startup=$run/stock_startup
    httpd_start 1 launch_stock
    stock_pid=$pid
    pidfile=$run/httpd.pid
    startup=$run/startup
    pid=
}

stock_stop() {
    kill -TERM "$stock_pid" 2>/dev/null
    wait "$stock_pid" 2>/dev/null
    stock_port=
    rm -f "$run/stock.pid" "$run/stock_startup"
}

launch() {
    rm -rf "$run/store" "$run/error_log" "$run/closes"
    printf '%100s\n' file >"$run/small.txt"
    port=$("$load" port) || exit 1
    [ -z "$tls" ] || tls_port=$("$load" port) || exit 1
    httpd_launch bench/httpd.conf SSE_PORT="$port" SSE_LOG="$run/error_log" \
        ${tls_port:+SSE_TLS_PORT="$tls_port"} \
        SSE_HTTP2="${SSE_HTTP2:-splice}" SSE_PER_CHILD="$threads" \
        SSE_BENCH_SO="$PWD/build/bench/mod_bench_close.so" \
        ${hook_port:+SSE_HOOK_PORT="$hook_port"} \
        ${programs:+SSE_PROGRAMS="$programs"} ${no_hook:+SSE_NO_HOOK=1} \
        SSE_CHILDREN="$children" SSE_THREADS="$((children * threads))"
}

start() {
    children=$1
    httpd_start "$children" launch
    sleep 0.3
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
    hook_port=
    programs=
    no_hook=
    tls=
    tls_port=
    stock_port=
    threads=16
    [ "$1" != poll ] || no_hook=1
    case $1 in
    programs) programs=on; start 1 ;;
    programs_shared) programs=on; start 2 ;;
    hooks) target_start; start 1 ;;
    idle|close|long|resume|slow|burst|authorize|poll|scrape) start 1 ;;
    latency|fanout|publish|presence) start 2 ;;
    h2_*) threads=32; stock_start; start 1 ;;
    *) die "there is no scenario $1" ;;
    esac
    "$load" "$1" "$port" "$pid" "$run/closes" "$run/hooks" \
        "${tls_port:-0}" "${stock_port:-0}" "${stock_pid:-0}" || failed=1
    httpd_stop
    [ -z "$stock_port" ] || stock_stop
    [ -z "$hook_port" ] || target_stop
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
    slow burst hooks authorize presence poll scrape programs programs_shared \
    h2_idle h2_cpu h2_close h2_pages h2_site
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
