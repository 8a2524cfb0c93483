#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A program that works for 3.2 s before it says anything, then writes on.

sleep 3.2
printf 'Content-Type: text/plain\r\n\r\n'
for i in 1 2 3 4 5; do
    echo "line $i" || exit 1
    sleep 0.1
done
