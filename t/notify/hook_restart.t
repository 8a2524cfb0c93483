# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Webhooks over restarts and crashes: every opening has its end, and comes
# before it; over changes of the configuration, and with a queue that is full.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHook;
use SSETestHttpd;
use SSETestServer qw(subscribe);

my $mpm = $ENV{SSE_MPM} || 'event';
# Elsewhere a stream holds a thread or a process.
my $count = $mpm eq 'event' ? 30 : 8;

my $hook = SSETestHook->new;
my $other = SSETestHook->new;
my $httpd = SSETestHttpd->new(conf => configuration());
my $port = $httpd->port;
my $conf = $httpd->{conf};

my @tests = (\&restarts, \&killed_child, \&killed_server, \&stopped, \&removed,
             \&full);
plan tests => 34, need_module('mod_sse');
ok t_cmp($httpd->start, 1, 'it starts');
$_->() for @tests;
ok t_cmp([$httpd->complaints(qr/webhooks: |webhooks to|exit signal Killed/)], [],
         'nothing else in the log');

sub configuration {
    return <<"EOI";
LogLevel info sse:debug
SSEHookQueue 1000
<Location "/e/">
    SetHandler sse
    SSEPublish On
    SSEHook @{[$hook->url]}
</Location>
<Location "/e/ends/">
    SSEHook @{[$hook->url('/ends')]} close
</Location>
<Location "/e/channel/">
    SSEHook @{[$hook->url('/channel')]} first last
    SSEPresenceGrace 500ms
</Location>
<Location "/e/other/">
    SSEHook @{[$other->url]} open close publish
</Location>
EOI
}

# Logged when the opening is in the queue, which is after the first bytes.
sub openings { return () = $httpd->lines(qr{stream \S+ open on /e/\Q$_[0]\E/}) }

# Streams of a name, that are open.
sub opened {
    my($name, $n) = @_;

    my $all = $n + openings($name);
    my @streams = map { subscribe("/e/$name/$_", port => $port) } 1 .. $n;
    eventually { openings($name) == $all };
    return @streams;
}

# What is told of a name, by stream.  What comes twice is told once.
sub told_of {
    my($name) = @_;

    my(%told, %seen);
    for my $call ($hook->told) {
        next unless ($call->{uri} // '') =~ m{^/e/\Q$name\E/};
        push @{ $told{$call->{stream}} }, $call unless $seen{$call->{id}}++;
    }
    return \%told;
}

# Whether each stream has an opening, then an end; with the reasons.
sub are_paired {
    my($name, $n, $reason, $timeout) = @_;

    $hook->wait_for(sub {
        my $told = told_of($name);
        (grep { @$_ == 2 } values %$told) >= $n }, $timeout // 20);
    my $told = told_of($name);
    my @wrong = grep { "@{[map { $_->{type} } @$_]}" ne 'open close' }
        values %$told;
    ok t_cmp([scalar keys %$told, scalar @wrong], [$n, 0],
             "$name: $n openings, each before its end");
    my %reasons = map { ($_->[1]{reason} // 'none') => 1 } values %$told;
    ok t_cmp([sort keys %reasons], $reason, "$name: why");
    return $told;
}

sub queues { return my @queues = glob "$httpd->{store}/hooks.*" }

# Whether only the queues of living children are left.
sub is_clean {
    return eventually(sub { queues() <= $httpd->children }, 20);
}

sub restarts {
    my @streams = opened('first', $count);
    my @old = queues();
    $hook->down;
    $httpd->restart('USR1');
    $_->wait_end(20) for @streams;
    push @streams, opened('second', $count);
    $httpd->restart('USR1');
    $_->wait_end(20) for @streams;
    eventually(sub { !grep { -e } @old }, 20);
    ok t_cmp([grep { -e } @old], [], 'the queues of old children are claimed');
    $hook->up;
    are_paired('first', $count, ['shutdown'], 30);
    are_paired('second', $count, ['shutdown'], 30);
    ok t_cmp(!!is_clean(), 1, 'two graceful restarts leave no queue behind');
}

sub killed_child {
    my @streams = opened('child', $count);
    my @ends = opened('ends', 4);
    $hook->wait_for(sub { keys %{ told_of('child') } >= $count });
    kill KILL => $httpd->children;
    $_->wait_end(20) for @streams, @ends;
    my $told = are_paired('child', $count, ['crash']);
    my($close) = map { $_->[1] } values %$told;
    ok t_cmp([@$close{qw(events bytes last_event_id channels)}],
             [undef, undef, undef, [$close->{uri}]], 'what is known of it');
    ok t_cmp($close->{duration_ms} >= 0 && !$close->{by_client}, 1,
             "it lasted $close->{duration_ms} ms, and the client did not leave");
    my @to_ends = (path => '/ends', unique => 1);
    $hook->wait_count(4, @to_ends);
    ok t_cmp([map { "$_->{type} $_->{reason}" } $hook->told(@to_ends)],
             [('close crash') x 4], 'to a target that wants ends alone, too');
}

sub killed_server {
    my @streams = opened('server', $count);
    $hook->wait_for(sub { keys %{ told_of('server') } >= $count });
    nothing_waits();
    $hook->down;
    push @streams, opened('unheard', $count), opened('channel', 1);
    # A worker tells of channels, a moment later.
    eventually(sub { waiting() == $count + 1 }, 20);
    ok t_cmp($httpd->kill_all, 1, 'the whole server is killed');
    $hook->up;
    ok t_cmp($httpd->start, 1, 'it starts again');
    are_paired('server', $count, ['crash'], 30);
    are_paired('unheard', $count, ['crash'], 30);
    $hook->wait_count(2, path => '/channel', unique => 1);
    # They are in different queues.
    ok t_cmp([sort map { "$_->{type} @{$_->{channels}}" }
                   $hook->told(path => '/channel', unique => 1)],
             ['first /e/channel/1', 'last /e/channel/1'],
             'a channel has lost its only subscriber');
}

sub stopped {
    my @streams = opened('stopped', $count);
    $hook->down;
    ok t_cmp($httpd->stop, 1, 'it stops');
    $hook->up;
    ok t_cmp($httpd->start, 1, 'it starts again');
    are_paired('stopped', $count, ['stop'], 30);
    ok t_cmp(!!is_clean(), 1, 'no queue is left behind');
}

# With another configuration.
sub configure {
    my($change) = @_;

    open my $in, '<', $conf or die "$conf: $!";
    my $text = do { local $/; <$in> };
    $change->() for $text;
    open my $out, '>', $conf or die "$conf: $!";
    print $out $text;
    close $out or die "$conf: $!";
    return $httpd->new_generation;
}

sub status {
    return eventually { request('GET', '/status', port => $port)->json };
}

sub waiting { return status()->{hooks}{waiting} }

sub nothing_waits { return eventually(sub { !waiting() }, 30) }

# Calls to a target that is configured no longer.
sub removed {
    $other->down;
    my @streams = opened('other', 4);
    ok t_cmp(eventually { waiting() == 4 }, 1,
             'calls wait for a target that is down');
    configure(sub { s{^\s*SSEHook \S+ open close publish\n}{    SSEHook none\n}m });
    $_->wait_end(20) for @streams;
    # What no child has claimed yet is not waiting.
    my $dropped;
    eventually(sub { my $s = status()->{hooks}; $dropped = $s->{dropped};
                     !$s->{waiting} && $dropped >= 8 }, 20);
    ok t_cmp($dropped >= 8, 1, "they are dropped when it is removed: $dropped");
    my $line = eventually {
        ($httpd->lines(qr/webhooks to .* are dropped, .*no SSEHook/))[0]
    };
    ok t_cmp(!!$line, 1, 'the log says so: ' . ($line // 'no'));
    configure(sub { s{SSEHook none\n}{SSEHook @{[$other->url]} open close publish\n};
                    s{^SSEHookQueue.*}{SSEHookQueue 10}m });
    $other->up;
    is_clean();
    nothing_waits();
    my $sent = status()->{hooks}{sent};
    my($stream) = opened('other', 1);
    $stream->close;
    ok t_cmp(!!$other->wait_told(type => 'close', uri => '/e/other/1'), 1,
             'it is told again when it is back');
    # Or it would be told again when it has been away.
    eventually { my $s = status()->{hooks};
                 !$s->{waiting} && $s->{sent} == $sent + 2 };
}

# Publishing goes first, and no end without its opening is told.  The queue is
# as short as it may be.
sub full {
    $other->down;
    my $before = status()->{hooks}{dropped};
    publish('/e/other/x', join('', map { "data: $_\n\n" } 1 .. 30),
            port => $port, 'Content-Type' => 'text/event-stream');
    ok t_cmp(status()->{hooks}{dropped} - $before, 25,
             'events may take half of the queue');
    my($line) = $httpd->lines(qr/webhooks: an event is not told to .*SSEHookQueue/);
    ok t_cmp(!!$line, 1, 'the log says what to do');
    ok t_cmp(publish('/e/other/x', 'x', port => $port)->code, 200,
             'the publisher does not notice');
    my @streams = opened('other', $mpm eq 'event' ? 60 : $mpm eq 'worker' ? 20 : 1);
    ok t_cmp(1, 1, 'nor do streams');
    $_->close for @streams;
    $other->up;
    my @wrong;
    eventually(sub {
        my $status = status();
        my %seen;
        ++$seen{$_->{stream}}{$_->{type}}
            for grep { $_->{stream} } $other->told(unique => 1);
        @wrong = grep { !$_->{open} || !$_->{close} } values %seen;
        return !@wrong && !$status->{streams} && !$status->{hooks}{waiting};
    }, 30);
    ok t_cmp(scalar @wrong, 0, 'each end has its opening');
}
