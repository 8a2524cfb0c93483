#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# follow-job.sh FILE: what a job writes to a file, as events.  Its lines are such
# as "40 resizing", and the last one is "100 done".

# In the background, as tail does not end by itself: when this script does, what
# it has left is ended, too.
{ tail -n +1 -F "$1" 2>/dev/null & } | while read -r percent what; do
    printf 'event: progress\ndata: %s %s\n\n' "$percent" "$what"
    if [ "$percent" = 100 ]; then
        printf 'event: end\ndata: %s\n\n' "$what"
        break
    fi
done
