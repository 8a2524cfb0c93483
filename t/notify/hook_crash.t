# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Webhooks over the death of a child, of all of the server, and over restarts,
# with a target that is down meanwhile: each open has its close, once by its
# SSE-Hook-Id, and in order.

use strict;
use warnings FATAL => 'all';

use Time::HiRes qw(time);

use Apache::Test;
use Apache::TestUtil qw(t_cmp);

use lib qw(t/lib);
use SSETest;
use SSETestHook;
use SSETestHttpd;
use SSETestServer qw(stream_pid subscribe);

plan tests => 26, need_module('mod_sse');

my $hook = SSETestHook->new;
my $url = $hook->url;
# It wants to be told of openings only.
my $opened = SSETestHook->new;
my $opened_url = $opened->url;
my $httpd = SSETestHttpd->new(conf => <<"EOI");
LogLevel info sse:debug
<Location "/told/">
    SetHandler sse
    SSEHook $url open close
</Location>
<Location "/opened/">
    SetHandler sse
    SSEHook $opened_url open
</Location>
EOI

# Logged when the opening is on the disk, which is after the first bytes.
sub openings { return () = $httpd->lines(qr/stream \S+ open on \Q$_[0]\E$/m) }

sub open_streams {
    my($n, $path) = (@_, '/told/x');

    my $all = $n + openings($path);
    my @new = map { subscribe($path, port => $httpd->port) } 1 .. $n;
    eventually { openings($path) == $all };
    return @new;
}

sub nothing_waits {
    return eventually {
        my $status = request('GET', '/status', port => $httpd->port)->json;
        !($status->{hooks}{waiting} // 1);
    };
}

# Of each id of a call: the first time that it was told.
sub told {
    my %want = @_;
    return $hook->told(unique => 1, %want);
}

sub counts {
    return join ' ', map { my $type = $_; "$type=" . told(type => $type) }
        qw(open close);
}

# What is wrong with all that was told: opens and closes by their streams.
sub wrong {
    my(%open, %close, @wrong);
    for my $told ($hook->told(unique => 1)) {
        my $stream = $told->{stream};
        if ($told->{type} eq 'open') {
            push @wrong, "$stream: open behind close" if $close{$stream};
            push @wrong, "$stream: opened twice" if $open{$stream}++;
        }
        else {
            push @wrong, "$stream: closed twice" if $close{$stream}++;
        }
    }
    push @wrong, map { "$_: not closed" } grep { !$close{$_} } keys %open;
    push @wrong, map { "$_: not opened" } grep { !$open{$_} } keys %close;
    return join ', ', @wrong;
}

sub queues { return scalar(() = glob "$httpd->{store}/hooks.*") }

ok t_cmp($httpd->start, 1, 'an httpd of its own');

# A child.
my @opened = open_streams(12, '/opened/x');
ok t_cmp($opened->wait_count(12, type => 'open'), 1, 'who wants openings has them');
my @streams = open_streams(12);
ok t_cmp($hook->wait_count(12, type => 'open'), 1, 'twelve openings are told');
my %pids = map { stream_pid(($_->told)[0]{stream}) => 1 } $opened, $hook;
kill KILL => keys %pids;
ok t_cmp(eventually(sub { !grep { -e "/proc/$_" } keys %pids }, 20), 1,
         'a child is killed');
my $reaped = time;
my $lost = grep { $pids{ stream_pid($_->{stream}) } } told(type => 'open');
if ($lost) {
    $hook->wait_count($lost, type => 'close');
    printf "# told %.0f ms after httpd took note\n",
        1000 * ((told(type => 'close'))[0]{call}{time} - $reaped);
}
my $ended = eventually { $lost == grep { $_->wait_end(0) } @streams };
ok t_cmp([$ended, scalar told(type => 'close', reason => 'crash')], [1, $lost],
         'what was open there has ended: crash');
$_->close for @streams;
ok t_cmp($hook->wait_count(12, type => 'close'), 1, 'the others: client');
ok t_cmp(counts(), 'open=12 close=12', 'each once');
ok t_cmp(eventually(sub { scalar grep { $_->wait_end(0) } @opened }) > 0, 1,
         'so have some of whose ends nobody wants to be told');
$_->close for @opened;

# A graceful restart, with the target down: a child that leaves does not wait
# for it, and another one sends what it has left.
$hook->down;
@streams = open_streams(6);
my %before = map { $_ => 1 } $httpd->children;
ok t_cmp($httpd->restart('USR1'), 1, 'a graceful restart');
ok t_cmp(scalar(grep { !$_->wait_end } @streams), 0, 'ends all streams');
ok t_cmp(eventually(sub {
    $httpd->answers; # an idle child of prefork's waits for a connection
    !grep { $before{$_} } $httpd->children;
}, 20), 1,
         'and the children leave, though the target is down');
ok t_cmp(counts(), 'open=12 close=12', 'nothing is told meanwhile');
my $up = time;
$hook->up;
ok t_cmp($hook->wait_count(18, type => 'close', unique => 1), 1,
         'until it is back');
printf "# told %.0f ms after that\n", 1000 * (time - $up);
ok t_cmp(scalar told(type => 'close', reason => 'shutdown'), 6,
         'why they ended');
ok t_cmp(counts(), 'open=18 close=18', 'each once');

# All of the server.
$hook->down;
@streams = open_streams(8);
(pop @streams)->close for 1 .. 3;
ok t_cmp($httpd->kill_all, 1, 'the whole server is killed');
ok queues() > 0;
ok t_cmp($httpd->start, 1, 'and started');
my @more = open_streams(4);
$hook->up;
ok t_cmp($hook->wait_count(30, type => 'open', unique => 1), 1,
         'all openings are told');
ok t_cmp($hook->wait_count(26, type => 'close', unique => 1), 1,
         'and the ends of those before');
ok t_cmp(scalar told(type => 'close', reason => 'crash') >= $lost + 5, 1,
         'those that were open: crash');
$_->close for @more;
ok t_cmp($hook->wait_count(30, type => 'close', unique => 1), 1,
         'then those of now');
ok t_cmp(wrong(), '', 'each open has its close, once, in order');
nothing_waits();
ok t_cmp($httpd->stop, 1, 'it stops');
ok t_cmp(queues(), 0, 'and leaves no queue');
ok t_cmp(scalar $opened->told(unique => 1), 12,
         'who wanted openings was told of nothing else');
