# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Clients that do not read: what waits for them is counted, and gone when it
# waits no more, however that comes; what they miss is counted.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;
use SSETestNumbers;
use SSETestServer qw(subscribe);
use Time::HiRes qw(sleep);

use constant SIZE => 60_000;
# More than sockets take: they grow to some megabytes.
use constant MANY => 200;

my $httpd = SSETestHttpd->new(conf => <<'EOI');
SSEMaxEventSize 64k
<Location "/c/short">
    SSEQueue 64k close 5s
</Location>
<Location "/c/drop">
    SSEQueue 64k drop 2s
</Location>
EOI
my @port = (port => $httpd->port);
my @tests = (\&reads_late, \&resets, \&too_slow, \&killed, \&drops, \&gap);
plan tests => 1 + 7 + 3 + 4 + 4 + 7 + 3 + 1, need_module('mod_sse');
ok t_cmp($httpd->start, 1, 'an httpd of its own');
$_->() for @tests;
ok t_cmp(join('', $httpd->complaints(qr/exit signal Killed/)), '',
         'nothing is wrong in the log');

sub now { return numbers(@port) }

sub since { return grown(@_, @port) }

sub soon { return soon_grown(@_, @port) }

sub waits { return now()->{queue_bytes} > 0 }

# Until it is counted, what comes is its history: its times are not told.
sub open_one {
    my $stream = subscribe("/c/$_[0]", @port, rcvbuf => 4096);
    are_open(1, @port) or die 'it is not counted';
    return $stream;
}

# One that has what there is, and is sent what comes: before that, nothing is
# too old for it.
sub open_live {
    my($name) = @_;

    my $before = now();
    my $stream = open_one($name);
    publish("/c/$name", 'first', @port);
    $stream->next_event(10);
    soon($before, 'delivered', 1);
    return $stream;
}

# One that reads nothing: its socket is full, and so is its queue.  It may be
# closed for that before all is published.
sub stuck {
    my($name, $stream) = @_;

    $stream //= open_one($name);
    my $has_waited = 0;
    for (1 .. MANY / 10) {
        add_ten($name);
        $has_waited ||= waits();
    }
    ok t_cmp($has_waited || eventually { waits() }, 1, "$name: it waits");
    return $stream;
}

sub add_ten {
    my($name) = @_;

    my $body = ('data: ' . 'x' x SIZE . "\n\n") x 10;
    publish("/c/$name", $body, @port, 'Content-Type' => 'text/event-stream');
}

sub nothing_waits {
    my($name) = @_;

    ok t_cmp(eventually { now()->{queue_bytes} == 0 }, 1,
             "$name: nothing waits");
}

sub gone {
    my($name, $timeout) = @_;

    ok t_cmp(eventually(sub { now()->{streams} == 0 }, $timeout), 1,
             "$name: it is gone");
}

sub reads_late {
    my $before = now();
    my $stream = stuck('late');
    ok t_cmp(since($before, 'delivered') < MANY, 1,
             'late: not all is delivered');
    my $got = grep { $stream->next_event(10) } 1 .. MANY;
    ok t_cmp($got, MANY, 'late: it reads all');
    nothing_waits('late');
    ok t_cmp(soon($before, 'delivered', MANY), MANY,
             'late: all was delivered');
    ok t_cmp(soon($before, 'delivery', MANY), MANY,
             'late: how long it took is known of each');
    $stream->close;
    gone('late');
}

sub resets {
    my $stream = stuck('reset');
    $stream->reset;
    gone('reset');
    nothing_waits('reset');
}

sub too_slow {
    my $before = now();
    my $stream = stuck('short');
    gone('short', 30);
    nothing_waits('short');
    ok t_cmp(since($before, 'closed/slow-client'), 1,
             'short: it was too slow');
    $stream->close;
}

sub killed {
    my $before = now();
    my $stream = stuck('killed');
    my($child) = grep { $_->{streams} } @{ now()->{children} };
    kill KILL => $child->{pid};
    gone('killed');
    nothing_waits('killed');
    ok t_cmp(since($before, 'closed/crash'), 1, 'killed: by a crash');
    $stream->close;
}

# What was left out, and the gap that tells of it.
sub drops {
    my $stream = open_live('drop');
    my $before = now();
    stuck('drop', $stream);
    sleep 2.5; # what waits is old
    my $last = publish('/c/drop', 'new', @port)->json->{id};
    my($got, $gaps) = (0, 0);
    while (my $event = $stream->next_event(10)) {
        ++(($event->{event} // '') eq 'sse-gap' ? $gaps : $got);
        last if ($event->{id} // '') eq $last;
    }
    ok t_cmp($got < MANY, 1, "drop: $got came");
    ok t_cmp(since($before, 'dropped'), MANY + 1 - $got,
             'drop: the others were dropped');
    ok t_cmp(since($before, 'gaps'), $gaps, 'drop: gaps told');
    nothing_waits('drop');
    ok t_cmp(soon($before, 'delivered', $got + $gaps), $got + $gaps,
             'drop: what came was delivered');
    $stream->close;
    gone('drop');
}

sub gap {
    my $before = now();
    my $stream = subscribe('/c/gap', @port,
                           headers => { 'Last-Event-ID' => 'what is this' });
    my $event = $stream->next_event(10);
    ok t_cmp($event->{event}, 'sse-gap', 'gap: it is told');
    ok t_cmp(since($before, 'gaps'), 1, 'gap: once');
    $stream->close;
    gone('gap');
}
