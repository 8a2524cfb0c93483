# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEDeadPeer is about peers that do not answer.  One that only reads no more
# does, and lives; and when a stream has ended, its connection is as it was.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use SSETestH2;
use SSETestServer;

# So long nothing is read, where SSEDeadPeer is 2 s.
use constant PAUSE => 6;
use constant { LARGE => 16_000_000, EVENT => 500_000 };

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my $h2 = ($ENV{SSE_MPM} // '') ne 'prefork';
plan tests => 11 * @ways + ($h2 ? 5 : 0) + 1,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl');

write_files('close/plain/large' => 'x' x LARGE);
my($name, @opt, @first, @after);
for my $way (@ways) {
    ($name, @opt) = @$way;
    push @after, $_->() for \&reads_late, \&drops, \&overruns;
}
# Timeout cuts a download, and the others may take long.
for my $way (@ways) {
    ($name, @opt) = @$way;
    push @first, kept_alive();
}
sleep PAUSE;
$_->() for @first, @after;
shared() if $h2;
ok t_cmp(closed_streams(), 1, 'as many ends as openings');

sub is {
    my($got, $want, $text) = @_;
    ok t_cmp($got, $want, $text);
}

# Begins a stream whose client reads no more, and has so many bytes sent to it.
sub stuck {
    my($place, $n, $size) = @_;

    my $path = "/close/sse/paused/$place" . (my $k = key());
    my $stream = opened([@opt, rcvbuf => 32_768], $k, path => $path);
    # Who has had nothing live is spared: it may be coming back.
    publish($path, 'first');
    $stream->next_event(slowly(5));
    my @ids = map { publish($path, 'x' x $size)->json->{id} } 1 .. $n;
    return ($k, $path, $stream, @ids);
}

sub ids_upto {
    my($stream, $last) = @_;

    my @got;
    while (my $event = $stream->next_event(slowly(10))) {
        push @got, ($event->{event} // '') eq 'sse-gap'
            ? 'gap' : $event->{id} // 'none';
        last if $got[-1] eq $last;
    }
    return "@got";
}

# What the kernel has taken.
sub reads_late {
    my $way = $name;
    my($k, $path, $stream, @ids) = stuck('', 4, 50_000);

    return sub {
        is(count_seen($k, 'close'), 0, "$way: who pauses is not dead");
        is(ids_upto($stream, $ids[-1]), "@ids", "$way: and has all of it later");
        $stream->close;
    };
}

# Which of these are missing without a gap.
sub untold {
    my($got, @ids) = @_;

    my(@lost, $gap);
    for my $word (split ' ', $got) {
        if ($word eq 'gap') {
            $gap = 1;
            next;
        }
        while (@ids && $ids[0] ne $word) {
            my $id = shift @ids;
            push @lost, $id unless $gap;
        }
        shift @ids;
        $gap = 0;
    }
    return @lost ? "lost: @lost" : '';
}

# More than that.
sub drops {
    my $way = $name;
    my($k, $path, $stream, @ids) = stuck('drop/', 16, EVENT);

    return sub {
        is(count_seen($k, 'close'), 0, "$way, drop: who pauses is not dead");
        # What is new waits behind what the kernels have, so it may be too old
        # as well when they have given that away.
        my($got, $newest) = ('');
        for (1 .. 5) {
            $newest = publish($path, 'newest')->json->{id};
            push @ids, $newest;
            $got .= ids_upto($stream, $newest) . ' ';
            last if $got =~ / $newest $/;
        }
        my $lost = untold($got, @ids);
        is($lost || $got, qr/^$ids[0] .*gap .*$newest $/,
           "$way, drop: and has a gap where something is missing");
        $stream->close;
    };
}

sub overruns {
    my $way = $name;
    my($k, $path, $stream) = stuck('slow/', 1, 50_000);

    return sub {
        is(count_seen($k, 'close'), 0, "$way, close: who pauses is not dead");
        # More than the kernels take: from now on something waits.
        publish($path, 'x' x EVENT) for 1 .. 24;
        is(told($k, 'close', slowly(10))->{reason}, 'slow-client',
           "$way, close: until something waits for too long");
        $stream->close;
    };
}

# A connection's requests after the stream.
sub kept_alive {
    my $way = $name;
    my $path = '/close/sse/paused/' . (my $k = key());
    my $conn = open_stream('/close/options', @opt);
    $conn->wait_end;
    my $before = $conn->{body};
    is($before, qr/^keep=\d+ idle=/, "$way: a connection as it is");
    $conn->again(url($path, $k, oopt => 1));
    $conn->next_block(slowly(5));
    my $during = told($k, 'oopt');
    is("$during->{keep} $during->{idle} $during->{user}", '1 1 0',
       "$way: is probed, but given no time limit");
    request('DELETE', $path);
    is($conn->wait_end && $conn->is_complete, 1, "$way: its stream ends");
    $conn->again('/close/options')->wait_end;
    is($conn->{body}, $before, "$way: then the connection is as before");
    $conn->again('/close/plain/large')->head;

    return sub {
        $conn->wait_end(slowly(30));
        is($conn->is_complete && length $conn->{body}, LARGE,
           "$way: a download that pauses is not cut");
        $conn->close;
    };
}

# HTTP/2: the connection belongs to other streams as well.
sub shared {
    my $conn = SSETestH2->new('mod_sse_ssl');
    my $id = $conn->get('/close/options');
    $conn->wait_end($id, slowly(5));
    my($rto) = $conn->body($id) =~ /rto=(-?\d+)/;
    my $path = '/close/sse/paused/' . (my $k = key());
    $id = $conn->get(url($path, $k, oopt => 1));
    $conn->wait_for($id, qr/retry/, slowly(5));
    my $during = told($k, 'oopt');
    is("$during->{keep} $during->{idle} $during->{user} $during->{rto}",
       "1 1 0 $rto", 'HTTP/2: the connection is probed, no more');
    # One that could wait longer changes nothing.
    my $patient = $conn->get(url('/close/sse/patient', $k = key(), oopt => 1));
    $conn->wait_for($patient, qr/retry/, slowly(5));
    is(told($k, 'oopt')->{idle}, 1, 'HTTP/2: as soon as one wants it');
    $conn->reset_stream($patient);
    is(told($k, 'close')->{reason}, 'reset', 'HTTP/2: RST_STREAM');
    publish($path, 'x');
    is($conn->wait_for($id, qr/data: x/, slowly(5)), 1, 'HTTP/2: its sibling');
    request('DELETE', $path);
    is($conn->wait_end($id, slowly(5)), 1, 'HTTP/2: ends');
    $conn->close;
}
