#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# backup.sh HUB COMMAND...: run it, and publish how it has ended.

hub=$1
shift
if said=$("$@" 2>&1); then
    sse-publish -q -t done "$hub/events/ops" "$1 is done"
else
    printf '%s failed:\n%s\n' "$1" "$said" |
        sse-publish -q -t failed "$hub/events/ops"
fi
