#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make soak-hooks": t/soak/hooks.pl with a directory that httpd's children can
# write in.  TAP.
#
# SOAK_SECONDS (60), SOAK_RATE (40 openings a second).  PORT: the first that is tried (any free one).
# HTTPD: the program.  LIBEXECDIR: its modules.

set -u
umask 022
cd "$(dirname "$0")/.." || exit 1
. scripts/httpd.sh

die() {
    echo "Bail out!  make soak-hooks: $*"
    exit 1
}

case ${SOAK_SECONDS:-60} in
*[!0-9]*|??????*) die "SOAK_SECONDS=$SOAK_SECONDS is not a number" ;;
esac
httpd_prepare "$PWD/build/soak/hooks"
rm -rf "$run/store" "$run/error_log" "$run/notes" "$run"/hook.*
export HTTPD="$httpd" LIBEXECDIR="$modules" SOAK_RUN="$run" \
    SOAK_USER="$user" SOAK_GROUP="$group"
perl t/soak/hooks.pl
status=$?
if [ $status != 0 ]; then
    cp "$run/error_log" build/soak/hooks-error_log 2>/dev/null
    echo "# httpd's log is build/soak/hooks-error_log"
fi
exit $status
