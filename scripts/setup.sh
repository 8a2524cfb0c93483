#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Install the Debian packages that are missing, and say which and why.
#
#   scripts/setup.sh run          to build and to serve the demo
#   scripts/setup.sh run test     and to run the tests
#   scripts/setup.sh valgrind     for "make check-valgrind"
#
# Does nothing when nothing is missing.  apache2-bin is httpd's program alone;
# the package apache2 would start a service.

set -u
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/sbin:/sbin

# set, package, command that replaces the package if found (-: none), why
list() {
    cat <<'LIST'
run   apache2-bin               -         httpd itself, and its modules
run   apache2-dev               -         httpd's headers, and apxs
run   gcc                       -         the compiler
run   libc6-dev                 -         the C library's headers
run   libuv1-dev                -         the event loop
run   liblmdb-dev               -         the store of events
run   libjansson-dev            -         JSON
run   libcurl4-openssl-dev      -         webhooks
run   libssl-dev                -         their signatures
run   perl                      -         the application of the demo
run   curl                      curl      to publish and subscribe by hand
test  libapache2-mod-perl2      -         Apache::Test, which runs the suite
test  perl                      prove     prove, which runs the other tests
test  libwww-perl               -         Apache::Test's HTTP client
test  liblwp-protocol-https-perl -        the same over TLS
test  libio-socket-ssl-perl     -         the suite's own TLS client
test  openssl                   openssl   the suite's certificates
test  clang                     clang     the fuzzer's compiler
test  libclang-rt-14-dev        -         the fuzzer's runtime
test  clang-format              clang-format  lint: layout
test  clang-tidy                clang-tidy    lint: static analysis
test  chromium                  chromium  the browser test's browser
test  nodejs                    node      the browser test's language
test  npm                       npm       fetches playwright-core
test  ca-certificates           -         for npm
test  util-linux                setpriv   sanitizers without address layout
test  iproute2                  ip        clients that vanish, in a network namespace
test  procps                    ps        what a server's processes take; vmstat for the guide
test  php-fpm                   -         applications in PHP, as sites run them
test  php-cli                   php       the guide's examples in PHP, by themselves
test  python3                   -         applications in Python
test  python3-h2                -         an HTTP/2 client that checks windows and states
test  nghttp2-client            nghttp    another one, from the command line
valgrind valgrind               valgrind  make check-valgrind
LIST
}

say() {
    echo "setup: $*"
}

die() {
    echo "setup: $*" >&2
    exit 1
}

have() {
    if [ "$2" != - ] && command -v "$2" >/dev/null 2>&1; then
        return 0
    fi
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The missing packages of the sets in $1, one "package<TAB>why" a line.
missing() {
    list | while read -r set package command why; do
        case " $1 " in
        *" $set "*) have "$package" "$command" ||
                        printf '%s\t%s\n' "$package" "$why" ;;
        esac
    done
}

# The first of the packages that apt knows no version of.
unknown() {
    for package; do
        apt-cache policy "$package" 2>/dev/null |
            grep -q '^  Candidate: [^(]' || { echo "$package"; return; }
    done
}

log=${TMPDIR:-/tmp}/mod_sse-setup.$$

# php-fpm has a service, and chromium's dependencies bring D-Bus: with these
# variables no init system starts what is installed.
as_root() {
    set -- env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 "$@"
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

why_not() {
    sed -n 's/^[EW]: //p' "$log" | head -n 1
}

# To apt-get, a server that cannot be reached is only a warning.
update() {
    say "apt-get update"
    as_root apt-get -q update >"$log" 2>&1
    problem=$(why_not)
}

install() {
    as_root apt-get -q -y --no-install-recommends install "$@" \
        </dev/null >"$log" 2>&1
}

sets=${*:-run test}
for set in $sets; do
    case $set in
    run|test|valgrind) ;;
    *) die "there is no set '$set': run, test or valgrind" ;;
    esac
done

command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 ||
    die "this needs Debian 12's apt-get; scripts/setup.sh lists the packages"

todo=$(missing "$sets")
[ -n "$todo" ] || exit 0
packages=$(printf '%s\n' "$todo" | cut -f 1)

if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
    die "must be root, or have sudo, to install:" $packages
fi

say "installing from Debian's packages:"
printf '%s\n' "$todo" | while IFS='	' read -r package why; do
    printf '    %-28s %s\n' "$package" "$why"
done

trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM
updated=
problem=
if [ -n "$(unknown $packages)" ]; then
    update
    updated=1
    none=$(unknown $packages)
    [ -z "$none" ] || die "package $none is not available: ${problem:-apt does not know it}"
fi
if ! install $packages; then
    # An outdated list of packages names files that are gone.
    if [ -z "$updated" ]; then
        update
        install $packages || die "cannot install: $(why_not)"
    else
        die "cannot install: $(why_not)"
    fi
fi
# Nor is php-fpm to start with the machine: tests run one of their own.
case " $(echo $packages) " in
*' php-fpm '*)
    for unit in /etc/init.d/php*-fpm; do
        as_root update-rc.d "${unit##*/}" disable >>"$log" 2>&1
    done ;;
esac
left=$(missing "$sets" | cut -f 1)
[ -z "$left" ] || die "still missing after the installation:" $left
say "done"
