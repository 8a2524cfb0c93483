#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Put the pinned playwright-core into build/browser, unless it is there.  Where
# npm's registry cannot be reached, the browser test is skipped and says why;
# with CI=true that is a failure.

set -u
cd "$(dirname "$0")/.." || exit 1
to=build/browser
from=t/browser

rm -f $to/unreachable
if cmp -s $from/package-lock.json $to/installed-lock.json; then
    exit 0
fi
rm -rf $to
mkdir -p $to
cp $from/package.json $from/package-lock.json $to/ || exit 1
echo "installing playwright-core from npm into $to"
if ! (cd $to && npm ci --ignore-scripts --no-audit --no-fund --cache ./cache \
      --fetch-retries=1 --loglevel=error >npm.log 2>&1); then
    why="npm cannot install playwright-core: $(grep -m 1 . $to/npm.log)"
    # An error of the network or a proxy, not of the package.
    if [ "${CI:-}" != true ] && grep -Eq 'code (E(NOTFOUND|AI_AGAIN|CONN[A-Z]*|TIMEDOUT|HOSTUNREACH|NETUNREACH|SOCKETTIMEDOUT|403|407|5[0-9][0-9])|ERR_SOCKET_TIMEOUT)' $to/npm.log; then
        echo "$why" >$to/unreachable
        exit 0
    fi
    echo "$why" >&2
    exit 1
fi
rm -rf $to/cache
cp $from/package-lock.json $to/installed-lock.json
