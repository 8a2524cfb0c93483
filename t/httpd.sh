#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The httpd the suite runs.  The sanitizer's runtime is preloaded here, for
# httpd alone: preloading it for t/TEST would put it into perl, make and gcc.
# HTTPD_WRAP puts a tool in front (valgrind); it follows httpd's forks, but no
# exec, so nothing may stand between the two.  Only the server gets it, not the
# -v, -V and -l calls that Apache::Test makes.
case "$*" in
*"-D APACHE2"*) ;;
*) HTTPD_WRAP= ;;
esac
exec ${HTTPD_WRAP:-} ${HTTPD_PRELOAD:+env LD_PRELOAD="$HTTPD_PRELOAD"} \
    "${HTTPD:-/usr/sbin/apache2}" "$@"
