#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# verify.sh SECRET-FILE SIGNATURE <BODY: exits with 0 where it is genuine.

time=${2#t=}
time=${time%%,*}
case $time in
''|*[!0-9]*) exit 1 ;;
esac
age=$(($(date +%s) - time))
[ "$age" -le 300 ] && [ "$age" -ge -300 ] || exit 1
mac=$({ printf '%s.' "$time"; cat; } |
    openssl dgst -sha256 -hmac "$(cat "$1")" | sed 's/.*= *//')
[ "$2" = "t=$time,v1=$mac" ]
