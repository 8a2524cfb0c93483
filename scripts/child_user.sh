# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Sourced.  httpd started by root serves as another user, who must reach what
# it serves and the store it writes.  A checkout under /root is out of reach.

# Whether user $1 can enter directory $2 and read what else is named.
user_can_read() {
    [ "$(id -u)" = 0 ] || return 0
    _user=$1
    _dir=$2
    shift 2
    setpriv --reuid "$_user" --regid "$(id -g "$_user")" --clear-groups \
        sh -c 'cd "$0" && for f; do test -r "$f" || exit 1; done' \
        "$_dir" "$@" 2>/dev/null
}

# A directory for what a run writes: $2 below the tree, or one in /tmp where
# user $1 cannot reach the tree.  Empty it is not.
run_directory() {
    mkdir -p "$2" || return
    if user_can_read "$1" "$2"; then
        echo "$2"
    else
        _tmp=$(mktemp -d /tmp/mod_sse.XXXXXX) && chmod 755 "$_tmp" &&
            echo "$_tmp"
    fi
}
