#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Put the pinned playwright-core into build/browser, unless it is there.

set -u
cd "$(dirname "$0")/.." || exit 1
to=build/browser
from=t/browser

if cmp -s $from/package-lock.json $to/installed-lock.json; then
    exit 0
fi
rm -rf $to
mkdir -p $to
cp $from/package.json $from/package-lock.json $to/ || exit 1
echo "installing playwright-core from npm into $to"
if ! (cd $to && npm ci --ignore-scripts --no-audit --no-fund --cache ./cache \
      --loglevel=error >npm.log 2>&1); then
    echo "npm cannot install playwright-core: $(grep -m 1 . $to/npm.log)" >&2
    exit 1
fi
rm -rf $to/cache
cp $from/package-lock.json $to/installed-lock.json
