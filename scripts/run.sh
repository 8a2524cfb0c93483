#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make run": serve the demo in the foreground until Ctrl-C.
# PORT: where (8080).  HTTPD: the program.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/httpd.sh

port=${PORT:-8080}
url=http://127.0.0.1:$port

die() {
    echo "make run: $*" >&2
    exit 1
}

case $port in
''|*[!0-9]*|??????*) die "PORT=$port is not a port (1 to 65535)" ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65535 ] ||
    die "PORT=$port is not a port (1 to 65535)"

dir=$PWD/build/run/$port
httpd_prepare "$dir"
trap 'echo; exit 0' INT TERM HUP
if [ "$run" != "$dir" ]; then
    echo "httpd's children run as $user, who cannot enter $PWD:" \
         "this run's files are in $run, and are removed when it ends"
fi
htdocs=$PWD/htdocs
if ! user_can_read "$user" "$htdocs" index.html who.cgi told.cgi; then
    cp -R htdocs "$run/htdocs" && chmod -R a+rX "$run/htdocs" || exit 1
    htdocs=$run/htdocs
fi

# Another run may serve this port from here: files of its own.
pidfile=$run/httpd.$$.pid
startup=$run/startup.$$.log
# The path of a Unix socket has 107 bytes at most; mod_cgid adds its pid.
cgisock=$run/cgi.$$
[ ${#cgisock} -le 90 ] || cgisock=/tmp/mod_sse.$$.cgi
httpd_launch conf/demo.conf SSE_HTDOCS="$htdocs" SSE_PORT="$port" \
    SSE_CGISOCK="$cgisock"
if ! httpd_await 0; then
    if grep -q 'Address already in use' "$startup"; then
        die "port $port is in use: try 'make run PORT=$((port + 1))'"
    elif grep -q 'Permission denied.*could not bind' "$startup"; then
        die "port $port needs root: try 'make run PORT=8080'"
    fi
    cat "$startup" >&2
    tail -n 3 "$run/error_log" >&2 2>/dev/null
    die "httpd did not start, see above"
fi

cat <<EOF

mod_sse is running.  Open $url/ in two browser windows.

  subscribe:  curl -N $url/events/demo
  publish:    curl -d 'data=Hello' $url/events/demo
  as ann:     curl -N '$url/events/demo?name=ann'
  who is on:  curl -N '$url/events/demo?presence'
  who left:   curl -N $url/events/told

Logs: ${run#"$PWD/"}/access_log and error_log.  Ctrl-C ends it.
EOF
wait "$pid"
status=$?
pid=
[ "$status" = 0 ] || die "httpd ended with status $status, see its error_log"
