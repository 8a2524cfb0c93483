# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Sourced by scripts that start an httpd of their own (run.sh, soak.sh,
# bench/run.sh); check.sh uses run_directory alone.  A script that sources this
# file has a function die, which prints its arguments and exits.
#
#   httpd_prepare DIR                choose the user and the run's directory
#   httpd_launch CONF [NAME=VALUE]   start httpd in the background
#   httpd_await CHILDREN             wait until it serves
#   httpd_start CHILDREN COMMAND     both, again where the port has been taken
#   httpd_stop
#
# They set: run (the directory), user and group (of the children; empty unless
# started by root), pidfile, startup (what httpd prints), pid.
# HTTPD: the program.  LIBEXECDIR: its modules.

# Whether user $1 can enter directory $2 and read the files named after it.
user_can_read() {
    [ "$(id -u)" = 0 ] || return 0
    _user=$1
    _dir=$2
    shift 2
    setpriv --reuid "$_user" --regid "$(id -g "$_user")" --clear-groups \
        sh -c 'cd "$0" && for f; do test -r "$f" || exit 1; done' \
        "$_dir" "$@" 2>/dev/null
}

# Print a directory for a run's files: $2, or a new one in /tmp where user $1
# cannot reach $2, as in a checkout below /root.  It may hold old files.
run_directory() {
    mkdir -p "$2" || return
    if user_can_read "$1" "$2"; then
        echo "$2"
    else
        _tmp=$(mktemp -d /tmp/mod_sse.XXXXXX) && chmod 755 "$_tmp" &&
            echo "$_tmp"
    fi
}

# Root's httpd runs its children as another user.  A directory in /tmp is
# removed when the script exits.
httpd_prepare() {
    httpd=${HTTPD:-/usr/sbin/apache2}
    [ -x "$httpd" ] || die "there is no httpd at $httpd (HTTPD= names another)"
    modules=${LIBEXECDIR:-$(${APXS:-apxs} -q LIBEXECDIR)}
    pid=
    tmp=
    user=
    group=
    if [ "$(id -u)" = 0 ]; then
        user=www-data
        id "$user" >/dev/null 2>&1 || user=nobody
        group=$(id -gn "$user")
    fi
    run=$(run_directory "$user" "$1") || exit 1
    [ "$run" = "$1" ] || tmp=$run
    pidfile=$run/httpd.pid
    startup=$run/startup
    trap httpd_clean_up EXIT
    trap 'exit 130' INT TERM HUP
}

# httpd has a session of its own, so that the terminal's Ctrl-C reaches this
# script alone, which then stops httpd in order; and a script that is killed
# leaves no httpd behind.
httpd_launch() {
    _conf=$1
    shift
    for _define; do
        set -- "$@" -C "Define ${_define%%=*} \"${_define#*=}\""
        shift
    done
    rm -f "$pidfile"
    setsid setpriv --pdeathsig TERM "$httpd" -d "$run" -f "$PWD/$_conf" \
        -C "Define SSE_MODULES \"$modules\"" \
        -C "Define SSE_SO \"$PWD/build/mod_sse.so\"" \
        -C "Define SSE_RUN \"$run\"" \
        -C "Define SSE_PIDFILE \"$pidfile\"" \
        "$@" \
        ${user:+-C "Define SSE_USER $user"} \
        ${group:+-C "Define SSE_GROUP $group"} \
        -D FOREGROUND >"$startup" 2>&1 </dev/null &
    pid=$!
}

httpd_children() {
    ps -o pid= --ppid "$pid" | wc -l
}

# Fails where httpd has ended.
httpd_await() {
    _tries=0
    until [ -s "$pidfile" ] && [ "$(httpd_children)" -ge "$1" ]; do
        kill -0 "$pid" 2>/dev/null || { pid=; return 1; }
        _tries=$((_tries + 1))
        [ "$_tries" -lt 300 ] || die "httpd is not up after 30 s"
        sleep 0.1
    done
}

# COMMAND chooses a port and calls httpd_launch.  Another process may take the
# port first.
httpd_start() {
    for _try in 1 2 3; do
        $2
        if httpd_await "$1"; then
            return
        fi
        grep -q 'Address already in use' "$startup" || break
    done
    sed 's/^/# /' "$startup" "$run/error_log" >&2 2>/dev/null
    die "httpd did not start"
}

httpd_stop() {
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    pid=
}

httpd_clean_up() {
    trap '' INT TERM HUP
    httpd_stop
    rm -f "$pidfile" "$startup"
    [ -z "$tmp" ] || rm -rf "$tmp"
}
