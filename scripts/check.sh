#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make check": one Apache::Test run, in a copy of t/ and c-modules/ of its
# own, so that runs with other MPMs, sanitizers and users never meet.
# The Makefile sets NAME (the directory's name begins with it), MPM, SAN, TESTS,
# ARGS, WRAP, PORT, APXS, HTTPD, LIBEXECDIR, CC, SSE_MODULE.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/httpd.sh

top=$PWD
mpm=${MPM:-event}
san=${SAN:-}
port=${PORT:-8529}
name=${NAME:+$NAME-}$mpm${san:+-$(echo "$san" | tr , -)}
user=${APACHE_TEST_USER:-nobody}

case $mpm in
event|worker) cgi=cgid ;;
prefork) cgi=cgi ;;
*) echo "MPM=$mpm: event, worker or prefork" >&2; exit 1 ;;
esac

rm -rf "build/check/$name"
work=$(run_directory "$user" "$top/build/check/$name") || exit 1
cp -R t "$work/" || exit 1
[ ! -d c-modules ] || cp -R c-modules "$work/" || exit 1
rm -rf "$work/t/logs" "$work/t/state" "$work/t/unit" "$work/t/soak" \
    "$work/t/client"
chmod -R a+rX "$work"

# The MPM first, the module under test last.  A module that has no file is
# compiled in, or absent.
for module in mpm_$mpm unixd log_config env setenvif headers mime alias dir \
    authn_anon authn_core authn_file auth_basic authz_core authz_host authz_user \
    rewrite filter deflate ratelimit ext_filter $cgi proxy proxy_http proxy_fcgi remoteip reqtimeout status \
    actions socache_shmcb ssl http2; do
    file=$LIBEXECDIR/mod_$module.so
    [ ! -e "$file" ] || echo "LoadModule ${module}_module $file"
done >"$work/load.conf"
[ -s "$work/load.conf" ] || { echo "no modules in $LIBEXECDIR" >&2; exit 1; }
echo "LoadModule sse_module $SSE_MODULE" >>"$work/load.conf"

preload=
case $san in
'')
    [ -n "${WRAP:-}" ] || preload=$work/crash_report.so
    $CC -shared -fPIC -g -O1 -o "$work/crash_report.so" t/san/crash_report.c ||
        exit 1 ;;
*address*) preload=$($CC -print-file-name=libasan.so) ;;
*thread*)
    # Tells ThreadSanitizer of the MPMs' hand-over of pools.
    $CC -shared -fPIC -g -O1 $(apr-1-config --cppflags --includes) \
        -o "$work/tsan_shim.so" t/san/tsan_shim.c || exit 1
    preload=$($CC -print-file-name=libtsan.so):$work/tsan_shim.so ;;
esac
wrap=${WRAP:-}
case $wrap in
valgrind*) wrap="$wrap --log-file=$work/t/logs/san.valgrind.%p" ;;
esac
# With much address space randomization ThreadSanitizer finds no room.
case $san in
*thread*)
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        wrap="setarch $(uname -m) -R $wrap"
    fi ;;
esac

logs=$work/t/logs
options=log_path=$logs/san
export SSE_CRASH_REPORT="$logs/san.crash"
export EXTRA_CFLAGS="-I$top -I$top/src" HTTPD_APXS="$(command -v "$APXS")"
export HTTPD_PRELOAD="$preload" HTTPD_WRAP="$wrap"
export ASAN_OPTIONS=$options.asan:detect_leaks=0:abort_on_error=1
# Not httpd's handler, which reports nothing.
ASAN_OPTIONS=$ASAN_OPTIONS:handle_segv=2:handle_sigbus=2:handle_sigfpe=2
export UBSAN_OPTIONS=$options.ubsan:print_stacktrace=1
export TSAN_OPTIONS=$options.tsan:suppressions=$top/t/san/tsan.supp:history_size=4
# httpd's own handlers do what a signal handler should not.
# A child leaves without a callback that does not return, and so without its
# thread.
TSAN_OPTIONS=$TSAN_OPTIONS:report_signal_unsafe=0:report_thread_leaks=0
TSAN_OPTIONS=$TSAN_OPTIONS:handle_segv=2:handle_sigbus=2:handle_sigfpe=2
export APACHE_TEST_NO_STICKY_PREFERENCES=1
export HARNESS_PERL_SWITCHES='-It/lib -MSSETestLean' HTTPD_SAID="$work"
export SSE_TOP="$top" SSE_MPM="$mpm" SSE_SAN="$san" SSE_MODULE
unset MAKEFLAGS MFLAGS MAKELEVEL

# Configuring makes certificates and compiles the C test modules, for all runs:
# the first leaves them to those after it, and to those that begin meanwhile.
made=$top/build/check/made-$({
    echo "$CC $(date +%Y-%m) $("${HTTPD:-/usr/sbin/apache2}" -v)"
    cat c-modules/*/*.[ch] mod_sse.h t/conf/ssl/*
} | cksum | cut -d ' ' -f 1)
exec 9>"$top/build/check/made.lock"
[ -d "$made" ] || flock 9
if [ -d "$made" ]; then
    exec 9>&-
    cp -R "$made/." "$work" || exit 1
fi

# Its output matters only when it fails.
cd "$work" || exit 1
mkdir -p t/logs
set -- -apxs "$work/t/apxs.sh" -httpd "$work/t/httpd.sh" \
    -httpd_conf "$work/load.conf" -port "$port" $ARGS
if perl t/TEST.PL -configure "$@" >configure.log 2>&1 </dev/null 9>&-; then
    if [ ! -d "$made" ]; then
        rm -rf "$made.new"
        mkdir "$made.new"
        cp -R --parents t/conf/ssl/ca c-modules/*/.libs/*.so "$made.new" &&
            mv "$made.new" "$made" || exit 1
    fi
    exec 9>&-
    perl t/TEST.PL "$@" $TESTS </dev/null
    status=$?
else
    status=$?
    cat configure.log >&2
fi
case $wrap in
valgrind*)
    if [ -z "$(find "$logs" -name 'san.valgrind.*')" ]; then
        echo "make check: valgrind has not run" >&2
        status=1
    fi ;;
esac
if [ $status != 0 ]; then
    echo "make check: failed; the server's logs are in $logs" >&2
elif [ "$work" != "$top/build/check/$name" ]; then
    rm -rf "$work"
fi
exit $status
