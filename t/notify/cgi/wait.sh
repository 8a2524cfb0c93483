#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A program that works for "wait" milliseconds, or with hold=1 while the file
# logs/close-hold exists, before it says anything; then it writes on.

case $QUERY_STRING in
*hold=*)
    while [ -e ../../logs/close-hold ]; do sleep 0.05; done
    QUERY_STRING=wait=0 ;;
esac
msec=${QUERY_STRING##*wait=}
msec=${msec%%&*}
sleep "$((msec / 1000)).$(printf %03d "$((msec % 1000))")"
printf 'Content-Type: text/plain\r\n\r\n'
for i in 1 2 3 4 5; do
    echo "line $i" || exit 1
    sleep 0.1
done
