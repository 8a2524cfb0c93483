#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The httpd the suite runs.  The sanitizer's runtime is preloaded here, for
# httpd alone: preloading it for t/TEST would put it into perl, make and gcc.
# HTTPD_WRAP puts a tool in front (valgrind); it follows httpd's forks, but no
# exec, so nothing may stand between the two.  Only the server gets it, not the
# -v, -V and -l calls that Apache::Test makes, in each test file: they are
# answered from HTTPD_SAID, once httpd has.
said=
case "$*" in
*"-D APACHE2"*) ;;
-l|-v|"-V -f $HTTPD_SAID/load.conf -d "*)
    HTTPD_WRAP= said=$HTTPD_SAID/httpd$1
    [ ! -s "$said" ] || exec cat "$said"
    exec 3>&1 >"$said.$$" ;;
*) HTTPD_WRAP= ;;
esac
set -- ${HTTPD_PRELOAD:+env LD_PRELOAD="$HTTPD_PRELOAD"} \
    "${HTTPD:-/usr/sbin/apache2}" "$@"
[ -n "$said" ] || exec ${HTTPD_WRAP:-} "$@"
"$@"
status=$?
cat "$said.$$" >&3
[ $status = 0 ] && mv "$said.$$" "$said"
exit $status
