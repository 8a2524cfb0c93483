# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Exactly once, if and only if it opened, when clients leave while their stream
# opens.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use Time::HiRes qw(sleep);

my @tls = (module => 'mod_sse_ssl');
my @ways = (['plain', 300], ['TLS', 60, @tls]);
plan tests => 4 + 4 * 4 * @ways + 1,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl');

my @aborted = map { aborted(@$_) } @ways;
for (@aborted) {
    my($name, @keys) = @$_;
    ends_match($name, @keys);
    my @strange = grep { !/^(?:client|reset|write-error)$/ }
        map { $_->{reason} } map { seen($_, 'close') } @keys;
    ok t_cmp("@strange", '', "$name: the reasons");
}
both_end('TLS', 200, @tls);
ok t_cmp(closed_streams(), 1, 'as many ends as openings, none is open');

# 2, 23: the client leaves while its stream opens.  [name, keys].
sub aborted {
    my($name, $n, @opt) = @_;

    my @all;
    for my $delay (0, 0.0005, 0.002, 0.01) {
        my @keys;
        for my $i (1 .. $n) {
            push @keys, key();
            my $stream = app(\@opt, $keys[-1], reg => 1);
            sleep $delay if $delay;
            $i % 2 ? $stream->reset : $stream->close;
        }
        push @all, ["$name, $delay s", @keys];
    }
    return @all;
}
