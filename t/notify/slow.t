# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Clients that do not read: what the sender hears, and how their streams end
# while the writer is stuck.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use SSETestServer;
use Time::HiRes qw(sleep time);

use constant { SUCCESS => 0, EAGAIN => 11, APR_EOF => 70014, ABORTED => 103 };

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
plan tests => 26 * @ways + 1,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl');

my($name, @opt);
for my $way (@ways) {
    ($name, @opt) = @$way;
    full_queue();
    leaves($_) for 'reset', 'close';
    # What waits is given 5 s.
    my($stream) = stuck(my $k = key(), rend => 1,
                       rpatience => $ENV{SSE_SAN} ? 5000 : 3000);
    reads_nothing();
    ended_by_us($stream, $k);
}
ok t_cmp(closed_streams(), 1, 'as many ends as openings');

sub is {
    my($got, $want, $text) = @_;
    ok t_cmp($got, $want, "$name, $text");
}

# A stream whose client reads no more, and which took all it can.
sub stuck {
    my($k, %args) = @_;

    my $stream = app([@opt, rcvbuf => 4096], $k, path => '/close/app/patient/x',
                     rn => 5000, rsize => 10_000, rpatience => 200, reg => 1,
                     %args);
    $stream->head;
    my $sent = told($k, 'sent', slowly(10));
    is($sent->{rv}, EAGAIN, "a send tells when SSEQueue is full");
    return ($stream, $sent->{n});
}

# Nothing of what was refused is sent, all of the rest is.
sub full_queue {
    my($stream, $n) = stuck(my $k = key());
    is(count_seen($k, 'close'), 0, 'that is no end');
    my @got;
    while (@got < $n && (my $event = $stream->next_event(slowly(5)))) {
        push @got, $event->{id};
    }
    is(join(' ', grep { $got[$_ - 1] ne "own-$_" } 1 .. @got), '',
       'what was taken comes in order');
    is(scalar @got, $n, 'all of it');
    is($stream->next_event(0.2), undef, 'and nothing else');
    $stream->close;
    is(told($k, 'close')->{events}, $n, '5: so many events');
}

# 1, 12: noticed although nothing can be written.
sub leaves {
    my $how = shift;

    my($stream) = stuck(my $k = key());
    my $began = monotonic();
    $stream->$how;
    my $close = told($k, 'close');
    is($close->{reason}, qr/^(?:reset|client|write-error)$/, "$how: told");
    my $took = $close->{usec} - $began;
    is($took < slowly(8_000_000), 1, "$how: after $took us");
    is($close->{send}, ABORTED, "$how: a send fails");
    is(names($k, 1) . count_seen($k, 'close'), '11', "$how: once");
}

sub ended_by_us {
    my($stream, $k) = @_;

    my $close = told($k, 'close', slowly(12));
    my $took = (($close->{usec} // 0) - (told($k, 'sent')->{usec} // 0)) / 1e6;
    is($close->{reason}, 'server', 'ended by us');
    is($took > 3 && $took < slowly(12), 1, "what waits has its time: $took s");
    is($stream->wait_end(slowly(15)) && !$stream->is_complete, 1,
       'then the connection ends');
}

# More events than the queue takes, from a channel, and nobody reads.
sub reads_nothing {
    my $k = key();
    my $channel = "/close/sse/$k";
    my $stream = app([@opt, rcvbuf => 4096], $k, path => '/close/app/small/x',
                     osub => $channel, reg => 1);
    $stream->next_block;
    told($k, 'osub');
    my @ids = map { publish($channel, 'x' x 60_000)->json->{id} } 1 .. 200;
    my $close = told($k, 'close', slowly(10));
    is("$close->{reason} $close->{by}", 'slow-client 0',
       'nothing was read for the time of SSEQueue');
    my $n = $close->{events};
    is($n && $n < @ids, 1, "5: $n events were sent");
    is($ids[$n - 1], $close->{last}, '5: the last of them is told');
    my $got = 0;
    ++$got while $stream->next_event(slowly(2));
    is($got >= $n, 1, "5: the client has them, $got");
    is($close->{send}, APR_EOF, 'it was ended by us');
    is(names($k, 1), '1', 'told once');
}
