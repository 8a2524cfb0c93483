#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Numbers of this machine, each second, as events.

vmstat -n 1 | while read -r running blocked swapped free buffers cache \
    swapin swapout blocksin blocksout interrupts switches user system idle rest
do
    case $running in
    *[!0-9]*) continue ;; # the headings
    esac
    printf 'event: machine\ndata: {"running":%s,"free_kb":%s,"cpu":%s}\n\n' \
        "$running" "$free" "$((100 - idle))"
done
