# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Exactly once, if and only if it opened, whatever races: registering and
# cancelling against the end, both sides ending at once.  aborts.t goes on.

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

use constant { SUCCESS => 0, APR_EOF => 70014 };

my $rounds = 1000;
plan tests => 4 + 5 + 4 + 1, need_module('mod_sse', 'mod_sse_close');

registering();
cancelling();
both_end('plain', $rounds);
ok t_cmp(closed_streams(), 1, 'as many ends as openings, none is open');

# Streams that end by themselves, one after the other on one connection.
sub rounds {
    my %args = @_;

    my @keys = map { key() } 1 .. $rounds;
    my $stream;
    for my $k (@keys) {
        my $url = url('/close/app/x', $k, %args);
        $stream = $stream && !$stream->{error} && $stream->sock->connected
            ? $stream->again($url) : open_stream($url);
        $stream->wait_end(slowly(5));
        # MaxKeepAliveRequests
        undef $stream
            if ($stream->header('connection') // '') =~ /close/i
            || !$stream->is_complete;
    }
    my $what = $args{rrace} == 2 ? 'cancelled' : 'registered';
    eventually(sub { !grep { !is_over($_, $what) } @keys }, slowly(10));
    sleep slowly(0.7);
    return @keys;
}

# Whether all has been told of it that has to be.
sub is_over {
    my($k, $what) = @_;

    my %seen = map { $_->{what} => $_ } seen($k);
    return 0 if grep { !$seen{$_} } 'close', 'ended', $what;
    return $seen{cb}
        || $what eq 'cancelled' && $seen{cancelled}{rv} eq SUCCESS;
}

# 3: a registration during the end runs, once, with the reason.
sub registering {
    my @keys = rounds(rrace => 1);
    in_all(\@keys, $rounds, '3: it is taken', sub {
        (seen($_, 'registered'))[0]{rv} eq SUCCESS
    });
    in_all(\@keys, $rounds, '3: it runs, once, with the reason', sub {
        join(' ', map { $_->{reason} } seen($_, 'cb')) eq 'server'
    });
    in_all(\@keys, $rounds, '1: and the hook once', sub {
        count_seen($_, 'close') == 1
    });
    my $before = how_many {
        (grep { /^(?:registered|ended)$/ } map { $_->{what} } seen($_))[0]
            eq 'registered'
    } @keys;
    ok t_cmp($before > $rounds / 50 && $before < $rounds - $rounds / 50, 1,
             "it was a race: $before came before the end");
}

# 4: it is cancelled, or it runs; one of the two.
sub cancelling {
    my @keys = rounds(rrace => 2);
    my $rv = sub { (seen($_[0], 'cancelled'))[0]{rv} };
    my $taken_back = how_many { $rv->($_) eq SUCCESS } @keys;
    my $too_late = how_many { $rv->($_) eq APR_EOF } @keys;
    ok t_cmp($taken_back + $too_late, $rounds, '4: cancelled, or too late');
    in_all(\@keys, $taken_back, '4: what was cancelled does not run', sub {
        $rv->($_) eq SUCCESS && !count_seen($_, 'begin')
    });
    in_all(\@keys, $too_late, '4: the others do, once', sub {
        $rv->($_) eq APR_EOF && count_seen($_, 'cb') == 1
    });
    ok t_cmp($taken_back > 0, 1, "$taken_back were cancelled");
    ok t_cmp($taken_back < $rounds, 1, 'but not all');
}
