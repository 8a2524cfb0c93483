#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make install": the module, its header, sse-store, sse-publish, and the
# configuration that loads it; nothing is enabled.
#   SO, TOOL    what was built
#   LIBEXECDIR, BINDIR, SBINDIR, INCLUDEDIR, SYSCONFDIR   what apxs says
#   CONFDIR     where sse.load and sse.conf go
#   DESTDIR     in front of all of these, for packages

set -eu
umask 022
cd "$(dirname "$0")/.."
dest=${DESTDIR:-}

# Debian's a2enmod looks in mods-available, whether or not the package apache2
# has created it yet.  Elsewhere httpd.conf includes files of extra.
if [ -z "${CONFDIR:-}" ]; then
    if [ -d "$SYSCONFDIR/mods-available" ] || [ -e /etc/debian_version ]; then
        CONFDIR=$SYSCONFDIR/mods-available
    else
        CONFDIR=$SYSCONFDIR/extra
    fi
fi

put() {
    install -d "$dest${3%/*}"
    install -m "$1" "$2" "$dest$3"
    echo "  $dest$3"
}

put 644 "$SO" "$LIBEXECDIR/mod_sse.so"
put 755 "$TOOL" "$SBINDIR/sse-store"
# For every user's scripts, and so not where administrators' programs are.
put 755 contrib/sse-publish "$BINDIR/sse-publish"
put 644 mod_sse.h "$INCLUDEDIR/mod_sse.h"

load=$(mktemp)
trap 'rm -f "$load"' EXIT
sed "s|/usr/lib/apache2/modules|$LIBEXECDIR|" conf/sse.load >"$load"
put 644 "$load" "$CONFDIR/sse.load"

# Files that an administrator has changed are kept.
if [ -e "$dest$CONFDIR/sse.conf" ] &&
    ! cmp -s conf/sse.conf "$dest$CONFDIR/sse.conf"; then
    put 644 conf/sse.conf "$CONFDIR/sse.conf.new"
    echo "$dest$CONFDIR/sse.conf was changed and is kept: see sse.conf.new" \
         "for the defaults of this version"
else
    put 644 conf/sse.conf "$CONFDIR/sse.conf"
fi

[ -z "$dest" ] || exit 0
case $CONFDIR in
*/mods-available) echo "To load it: a2enmod sse, then restart apache2." ;;
*)
    echo "To load it, in httpd.conf:"
    echo "    Include \"$CONFDIR/sse.load\""
    echo "    Include \"$CONFDIR/sse.conf\""
    ;;
esac
