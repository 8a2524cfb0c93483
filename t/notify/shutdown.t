# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 19: a server that leaves, gracefully and at once: everybody is told, with the
# reason, in bounded time.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use SSETestServer;
use Time::HiRes qw(time);

# A child of prefork has one stream, and the slots must do for two generations;
# a thread of worker has one.
my $prefork = have_apache_mpm('prefork');
my $worker = have_apache_mpm('worker');
my $count = $prefork ? 30 : $worker ? 100 : 200;

plan tests => 3 * 10 + 1 + 6, need_module('mod_sse', 'mod_sse_close',
                                      'mod_sse_block');

# Else a child that has not noticed it takes some of the next streams.
ending('a graceful restart', 'shutdown', \&new_generation);
ending('a graceful stop', 'shutdown', sub { stop_server('WINCH') });
ok start_server();
ending('a restart at once', 'stop', \&hard_restart);
at_last();

# Streams, one of them with a callback that takes a while; and a request that
# blocks.
sub ending {
    my($name, $reason, $how) = @_;

    my @keys = map { key() } 1 .. $count;
    my @streams = map {
        app($keys[$_], reg => 2, sleep => $_ ? 0 : 300)
    } 0 .. $#keys;
    my $all = eventually(sub { !grep { !count_seen($_, 'open') } @keys },
                         slowly(10));
    ok t_cmp($all, 1, "$name: $count streams");
    my $blocked = key();
    my $wait = slowly($reason eq 'stop' ? 8_000 : 800);
    my $request = open_stream(url('/close/block/watched/x', $blocked, reg => 1,
                                  wait => $wait));
    told($blocked, 'blocks');

    my $began = monotonic();
    ok t_cmp($how->(), 1, "$name is through");
    my $ended = eventually(sub {
        !grep { count_seen($_, 'close') < 1 || count_seen($_, 'cb') < 2 } @keys
    }, slowly(10));
    ok t_cmp($ended, 1, "$name: all have been told");
    my($last) = sort { $b <=> $a } map { $_->{usec} } map { seen($_, 'cb') }
        @keys;
    my $took = ($last - $began) / 1e6;
    ok t_cmp($took < slowly(10), 1, "$name: after $took s");
    in_all(\@keys, $count, "$name: the hook, once, \"$reason\"", sub {
        join(' ', map { $_->{reason} } seen($_, 'close')) eq $reason
    });
    in_all(\@keys, $count, "$name: the callbacks, once, in order", sub {
        join(' ', map { "$_->{name}$_->{reason}" } seen($_, 'cb'))
            eq "1$reason 2$reason"
    });
    in_all(\@keys, $count, "$name: not by the client", sub {
        (seen($_, 'close'))[0]{by} == 0
    });
    my $complete = grep { $_->wait_end(slowly(5)) && $_->is_complete } @streams;
    # At once, worker closes its threads' connections before anybody is told.
    ok t_cmp($complete, $reason eq 'shutdown' || !$worker ? $count : 0,
             "$name: how the responses end");

    # What blocks is waited for where the server leaves gracefully.
    if ($reason eq 'shutdown') {
        ok t_cmp($request->wait_end(slowly(5)) && $request->{body}, 'ok',
                 "$name: what blocks is answered");
        ok t_cmp(ends($blocked), '1 1 complete', "$name: and complete");
    }
    else {
        ok t_cmp(told($blocked, 'cb')->{reason}, 'stop',
                 "$name: what blocks is told");
        ok t_cmp(ends($blocked), '1 1 stop', "$name: stop");
    }
}

# The server stops, with a callback that would sleep for long.
sub at_last {
    my $slow = key();
    my $stream = opened($slow, reg => 1, sleep => 20_000);
    my @keys = map { key() } 1 .. 20;
    my @streams = map { app($_, reg => 1) } @keys;
    my $all = eventually(sub { !grep { !count_seen($_, 'open') } @keys },
                         slowly(10));
    ok t_cmp($all, 1, 'stop: open');
    my $began = time;
    ok t_cmp(stop_server('TERM', slowly(20)), 1, 'stop: it stops');
    my $took = time - $began;
    ok t_cmp($took < slowly(15), 1,
             "stop: a callback that sleeps does not hold it: $took s");
    in_all(\@keys, scalar @keys, 'stop: all are told', sub {
        join(' ', map { $_->{reason} } seen($_, 'close'), seen($_, 'cb'))
            eq 'stop stop'
    });
    ok t_cmp((seen($slow, 'begin'))[0]{reason}, 'stop',
             'stop: the one that sleeps had begun');
    ok start_server();
}
