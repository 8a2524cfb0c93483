#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# look.sh URL FILE: print the data of what has come on a channel since the last
# run.  FILE is where it keeps how far it has come.

set -e
last=$(cat "$2" 2>/dev/null || :)
curl -sS -f -m 60 -H 'Accept: application/json' -H 'Prefer: wait=0' \
    ${last:+-H "Last-Event-ID: $last"} "$1" >"$2.answer"
perl -MJSON::PP -e '
    my $answer = JSON::PP->new->utf8->decode(join "", <STDIN>);
    binmode STDOUT, ":utf8";
    print "$_->{data}\n" for @{ $answer->{events} };
    open my $out, ">", "$ARGV[0].new" or die "$ARGV[0].new: $!\n";
    print $out "$answer->{last}\n";
    close $out or die "$ARGV[0].new: $!\n"' "$2" <"$2.answer"
mv "$2.new" "$2"
rm "$2.answer"
