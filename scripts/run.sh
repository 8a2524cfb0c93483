#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make run": serve the demo in the foreground until Ctrl-C.
# PORT: where (8080).  HTTPD: the program.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/child_user.sh

port=${PORT:-8080}
httpd=${HTTPD:-/usr/sbin/apache2}
url=http://127.0.0.1:$port
pid=
tmp=

die() {
    echo "make run: $*" >&2
    exit 1
}

case $port in
''|*[!0-9]*|??????*) die "PORT=$port is not a port (1 to 65535)" ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65535 ] ||
    die "PORT=$port is not a port (1 to 65535)"
[ -x "$httpd" ] || die "there is no httpd at $httpd (HTTPD= names another)"

user=
group=
if [ "$(id -u)" = 0 ]; then
    user=www-data
    id "$user" >/dev/null 2>&1 || user=nobody
    group=$(id -gn "$user")
fi

htdocs=$PWD/htdocs
run=$(run_directory "$user" "$PWD/build/run/$port") || exit 1
if [ "$run" != "$PWD/build/run/$port" ]; then
    tmp=$run
    echo "$PWD is closed to $user, as whom httpd serves: this run's files" \
         "are in $run and go when it ends"
fi
if ! user_can_read "$user" "$htdocs" index.html; then
    cp -R htdocs "$run/htdocs" && chmod -R a+rX "$run/htdocs" || exit 1
    htdocs=$run/htdocs
fi

# The files are of this run alone: another one may serve this port from here.
# httpd has a session of its own so that the terminal's Ctrl-C meets this
# script alone, which then stops httpd in order.
pidfile=$run/httpd.$$.pid
startup=$run/startup.$$.log
stop() {
    trap '' INT TERM HUP
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null
        wait "$pid"
    fi
    rm -f "$pidfile" "$startup"
    [ -z "$tmp" ] || rm -rf "$tmp"
}
trap stop EXIT
trap 'echo; exit 0' INT TERM HUP

setsid setpriv --pdeathsig TERM "$httpd" -d "$run" -f "$PWD/conf/demo.conf" \
    -C "Define SSE_MODULES \"$(${APXS:-apxs} -q LIBEXECDIR)\"" \
    -C "Define SSE_SO \"$PWD/build/mod_sse.so\"" \
    -C "Define SSE_HTDOCS \"$htdocs\"" \
    -C "Define SSE_RUN \"$run\"" \
    -C "Define SSE_PIDFILE \"$pidfile\"" \
    -C "Define SSE_PORT $port" \
    ${user:+-C "Define SSE_USER $user"} \
    ${group:+-C "Define SSE_GROUP $group"} \
    -D FOREGROUND >"$startup" 2>&1 </dev/null &
pid=$!

tries=0
until [ -s "$pidfile" ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
        pid=
        if grep -q 'Address already in use' "$startup"; then
            die "port $port is taken: try 'make run PORT=$((port + 1))'"
        elif grep -q 'Permission denied.*could not bind' "$startup"
        then
            die "port $port needs root: try 'make run PORT=8080'"
        fi
        cat "$startup" >&2
        tail -n 3 "$run/error_log" >&2 2>/dev/null
        die "httpd did not start, see above"
    fi
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || die "httpd is not up after 30 s"
    sleep 0.1
done

cat <<EOF

mod_sse is running.  Open $url/ in two browser windows.

  subscribe:  curl -N $url/events/demo
  publish:    curl -d 'data=Hello' $url/events/demo

Logs: ${run#"$PWD/"}/access_log and error_log.  Ctrl-C ends it.
EOF
wait "$pid"
status=$?
pid=
[ "$status" = 0 ] || die "httpd ended with status $status, see its error_log"
