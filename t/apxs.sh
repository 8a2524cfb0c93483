#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The apxs the suite asks.  Debian's has no PREFIX; Apache::Test does not
# remember an empty answer, and would ask for each LoadModule line anew, in each
# test file: a third of all the time of a run.
case "$*" in
"-q PREFIX") echo /usr ;;
*) exec "$HTTPD_APXS" "$@" ;;
esac
