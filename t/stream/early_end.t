# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A stream that is sent something and ended before the loop has it: that is
# delivered, then it ends.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;

use constant { SUCCESS => 0, TIMES => 20 };

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my $is_event = ($ENV{SSE_MPM} || 'event') eq 'event';
plan tests => 8 * @ways + 1,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl');

for my $way (@ways) {
    my($name, @opt) = @$way;
    check("$name, stream_open", 'from stream_open', 'oend', \@opt,
          osend => 1, oend => 1);
    # Where sse_start() returns only at the end, there is nothing to try.
    check("$name, handler", 'from the handler', 'asend', \@opt,
          $is_event ? (asend => 1) : (osend => 1, oend => 1));
}
ok t_cmp(closed_streams(), 1, 'as many ends as openings');

sub check {
    my($name, $text, $what, $opt, %args) = @_;

    ($text, $what) = ('from stream_open', 'oend') if $args{osend};
    my @keys = map { key() } 1 .. TIMES;
    my @streams = map { app($opt, $_, reg => 1, %args) } @keys;
    my($had, $complete) = (0, 0);
    for my $stream (@streams) {
        my $event = $stream->next_event(slowly(5)) // {};
        ++$had if ($event->{data} // '') eq $text;
        ++$complete if $stream->wait_end(slowly(10)) && $stream->is_complete;
    }
    ok t_cmp($had, TIMES, "$name: what was sent is delivered");
    ok t_cmp($complete, TIMES, "$name: then the response ends");
    in_all(\@keys, TIMES, "$name: the calls succeed", sub {
        my $told = told($_, $what);
        return ($told->{send} // SUCCESS) == SUCCESS
            && ($told->{end} // $told->{rv} // -1) == SUCCESS;
    });
    in_all(\@keys, TIMES, "$name: it is told so", sub {
        my $close = told($_, 'close');
        return ($close->{reason} // '') eq 'server' && $close->{events} == 1;
    });
}
