# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The numbers of all children: exact, over aborted clients, a child that is
# killed, and restarts.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use List::Util qw(sum0);
use SSETest;
use SSETestHttpd;
use SSETestNumbers;
use SSETestServer qw(subscribe);

use constant EVENTS => 50;
use constant ABORTS => 300;

# Elsewhere a stream occupies a thread, or a process.
my $clients = have_apache_mpm('event') ? 100 : 20;

my $httpd = SSETestHttpd->new;
my @port = (port => $httpd->port);
my @tests = (\&delivery, \&history, \&aborted, \&killed, \&restarted);
plan tests => 1 + 12 + 4 + 5 + 9 + 8 + 1, need_module('mod_sse');
ok t_cmp($httpd->start, 1, 'an httpd of its own');
$_->() for @tests;
ok t_cmp(join('', $httpd->complaints(qr/exit signal Killed|SSEMaxThreads/)), '',
         'nothing is wrong in the log');

sub now { return numbers(@port) }

sub since { return grown(@_, @port) }

sub soon { return soon_grown(@_, @port) }

sub open_all { return map { subscribe("/c/$_[0]", @port) } 1 .. $_[1] }

sub close_all {
    $_->close for @_;
    ok t_cmp(are_open(0, @port), 1, 'all have left');
}

# Each event to each client, in events and in bytes.
sub delivery {
    my @streams = open_all('live', $clients);
    ok t_cmp(are_open($clients, @port), 1, 'open');
    my $before = now();
    ok t_cmp(sum0(values %{ $before->{drives} }), $clients, 'by drive');
    my $drive = have_apache_mpm('event') ? 'async' : 'waiting_http1';
    ok t_cmp($before->{drives}{$drive}, $clients, 'the right one');

    my($data, $wire) = (0, 0);
    for my $i (1 .. EVENTS) {
        my $text = 'x' x ($i * 7);
        my $id = publish('/c/live', $text, @port)->json->{id};
        $data += length $text;
        $wire += length "id: $id\ndata: $text\n\n";
    }
    my $got = 0;
    for my $stream (@streams) {
        $got += grep { $stream->next_event(10) } 1 .. EVENTS;
    }
    ok t_cmp($got, EVENTS * $clients, 'each client has each event');
    # The last write is counted after the client has it.
    ok t_cmp(soon($before, 'delivered', $got), $got, 'delivered');
    ok t_cmp(since($before, 'published'), EVENTS, 'published');
    ok t_cmp(since($before, 'published_bytes'), $data, 'bytes of it');
    ok t_cmp(soon($before, 'delivered_bytes', $wire * $clients),
             $wire * $clients, 'bytes delivered');
    ok t_cmp(soon($before, 'delivery', $got), $got, 'and how long each took');
    my $now = numbers_when { !$_->{queue_bytes} } @port;
    ok t_cmp($now->{queue_bytes}, 0, 'nothing waits');
    ok t_cmp($now->{gaps} + $now->{dropped}, 0, 'nothing is missing');
    close_all(@streams);
}

# What was there before the stream is delivered, too, but not timed.
sub history {
    my $before = now();
    my $stream = subscribe('/c/live', @port, headers => { 'Last-Event-ID' => 0 });
    my $got = grep { $stream->next_event(10) } 1 .. EVENTS + 1;
    ok t_cmp($got, EVENTS + 1, 'a gap, and the history');
    ok t_cmp(soon($before, 'delivered', $got), $got, 'is delivered');
    close_all($stream);
    ok t_cmp(since($before, 'delivery'), 0, 'its times are not told');
}

# Clients that leave while their stream opens, or soon after.
sub aborted {
    my $before = now();

    for my $i (1 .. ABORTS) {
        my $stream = open_stream('/c/abort', @port);
        $stream->head if $i % 3 == 0;
        $i % 2 ? $stream->reset : $stream->close;
    }
    # Some may not have reached their child yet.
    my $now = numbers_at_rest {
        !$_->{streams} && growth($before, $_, 'opened') >= ABORTS / 3
    } @port;
    ok t_cmp($now->{streams}, 0, 'none is open');
    my $opened = growth($before, $now, 'opened');
    ok t_cmp($opened >= ABORTS / 3 && $opened <= ABORTS, 1,
             "of those, $opened were opened");
    ok t_cmp(growth($before, $now, 'closed'), $opened, 'and closed');
    ok t_cmp(join(' ', grep { !/^(?:client|reset|write-error)$/
                                  && growth($before, $now, "closed/$_") }
                       sort keys %{ $now->{closed} }),
             '', 'by their clients');
    ok t_cmp(growth($before, $now, 'close'), $opened, 'each end was timed');
}

# What a child had open when it was killed counts as closed.
sub killed {
    my @streams = open_all('kill', $clients);
    ok t_cmp(are_open($clients, @port), 1, 'open');
    my $before = now();
    my($pid, $n) = busiest($before);
    ok t_cmp($n > 0, 1, "$n in one child");
    kill KILL => $pid;
    ok t_cmp(are_open($clients - $n, @port), 1, 'they are gone');
    ok t_cmp(since($before, 'closed/crash'), $n, 'closed by a crash');
    ok t_cmp(since($before, 'opened'), 0, 'none was opened');
    ok t_cmp(sum0(values %{ now()->{drives} }), $clients - $n, 'by drive');
    ok t_cmp(adds_up(@port), 1, 'opened are closed or open');
    ok t_cmp(since($before, 'delivered'), 0, 'what it had delivered stays');
    close_all(@streams);
}

# A graceful restart ends all; counters go on.
sub restarted {
    my @streams = open_all('restart', $clients);
    ok t_cmp(are_open($clients, @port), 1, 'open');
    my $before = now();
    ok t_cmp($httpd->restart('USR1'), 1, 'a graceful restart');
    ok t_cmp(eventually { since($before, 'closed/shutdown') == $clients }, 1,
             'ends all');
    $_->close for @streams;
    ok t_cmp(are_open(0, @port), 1, 'none is open');
    ok t_cmp(adds_up(@port), 1, 'opened are closed or open');
    ok t_cmp(now()->{published} >= EVENTS, 1, 'counters go on');
    my $again = subscribe('/c/restart', @port);
    ok t_cmp(eventually { since($before, 'opened') >= 1 }, 1,
             'with new streams');
    close_all($again);
}

sub busiest {
    my $now = shift;
    my($most) = sort { $b->{streams} <=> $a->{streams} } @{ $now->{children} };
    return @$most{qw(pid streams)};
}
