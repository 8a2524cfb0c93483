#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# poll.sh URL [LAST-EVENT-ID]: print a channel's events, one a line: its type, a
# tab, its data, in which line ends, tabs and \ are \n, \r, \t and \\.

url=$1 last=${2-} failures=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# First "last" and the pause in seconds, then the events.
lines() {
    perl -MJSON::PP -e '
        my $answer = JSON::PP->new->utf8->decode(join "", <STDIN>);
        binmode STDOUT, ":utf8";
        printf "%s %d\n", $answer->{last}, (($answer->{retry} // 0) + 999) / 1000;
        my %as = ("\\" => "\\\\", "\n" => "\\n", "\r" => "\\r", "\t" => "\\t");
        for my $event (@{ $answer->{events} }) {
            print join("\t", map { s/([\\\n\r\t])/$as{$1}/gr }
                       @$event{qw(event data)}), "\n";
        }'
}

while :; do
    status=$(curl -s -m 60 -o "$dir/answer" -H 'Accept: application/json' \
        -H 'Prefer: wait=25' ${last:+-H "Last-Event-ID: $last"} \
        -w '%{http_code} %header{retry-after}' "$url") || status=000
    pause=${status#* }
    case $status in
    200*)
        if lines <"$dir/answer" >"$dir/lines"; then
            { read -r last pause; cat; } <"$dir/lines"
            failures=0
            sleep "$pause"
            continue
        fi
        pause= ;;
    408*|429*) ;;
    4*)
        echo "$url: $status $(cat "$dir/answer")" >&2
        exit 1 ;;
    000) pause= ;;
    esac
    # One second, two, ... up to a minute, unless the server says how long
    sleep "${pause:-$((failures < 6 ? 1 << failures : 60))}"
    failures=$((failures + 1))
done
