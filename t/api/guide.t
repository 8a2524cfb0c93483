# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The examples of docs/c-guide.md: they are what is compiled, and they do what
# they are to do.

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

my @tests = (\&quoted, \&counting, \&room, \&long_poll);
plan tests => 31, need_module('mod_sse', 'mod_sse_guide', 'mod_ssl');
$_->() for @tests;
ok no_streams();

sub slurp {
    my $file = shift;

    open my $fh, '<', $file or die "open $file: $!";
    local $/;
    return scalar <$fh>;
}

# Each block of C in the guide stands in the module, to the letter.
sub quoted {
    my $guide = slurp("$ENV{SSE_TOP}/docs/c-guide.md");
    my $module = slurp("$ENV{SSE_TOP}/c-modules/sse_guide/mod_sse_guide.c");
    my @blocks = $guide =~ /^```c\n(.*?)^```$/msg;
    ok t_cmp(@blocks > 5, 1, 'the guide has ' . @blocks . ' blocks of C');
    # What a block leaves out is between paragraphs.
    my @wrong = grep { index($module, $_) < 0 }
        map { split /\n\n(?=\S)/ } @blocks;
    ok t_cmp("@wrong", '', 'all of it is compiled');
    my @links = $guide =~ /\]\(([^)#]+)/g;
    ok t_cmp(join(' ', grep { !-e "$ENV{SSE_TOP}/docs/$_" } @links), '',
             'what it points to is there');
}

# A ready function that sends 20 events and stops when the client is gone.
sub counting {
    for my $opt ([], [module => 'mod_sse_ssl']) {
        my $stream = open_stream('/guide/count', @$opt);
        my @got;
        while (my $event = $stream->next_event(slowly(5))) {
            push @got, $event->{data};
        }
        ok t_cmp("@got", join(' ', 1 .. 20), 'twenty events');
        ok t_cmp($stream->is_complete, 1, 'and the end');

        # All may be over when the server sees that the client has left.
        my $n;
        for (1 .. 5) {
            my $left = leave_after(3, @$opt);
            eventually { defined($n = events_before($left)) } 5;
            last if defined $n;
        }
        ok t_cmp(defined $n, 1, 'it stops when the client leaves');
        $n //= 'none';
        ok t_cmp($n =~ /^\d+$/ && $n >= 4 && $n < 20, 1, "before event $n");
    }
}

sub events_before {
    my $port = shift;

    my $left = qr/:$port\] count: the client left before /;
    my($n) = map { /before event (\d+)/ ? $1 : () } error_lines($left);
    return $n;
}

# A client that leaves when it has had so many events.  @return its port
sub leave_after {
    my($events, @opt) = @_;

    my $stream = open_stream('/guide/count', @opt);
    $stream->next_event for 1 .. $events;
    my $port = $stream->sock->sockport;
    $stream->close;
    return $port;
}

# Members hear who leaves, those in the same child.
sub room {
    my @streams = map { open_stream("/guide/room?name$_") } 0 .. 4;
    $_->next_block for @streams;
    ok eventually { server_status()->{streams} == 5 };
    # Each joins on its own thread; what is said reaches who has joined.
    my %heard;
    eventually {
        request('GET', '/guide/say?hello');
        for my $i (0 .. 4) {
            my $event = $streams[$i]->next_event(0.1) or next;
            $heard{$i} = "$event->{event} $event->{data}";
        }
        keys %heard == 5;
    } slowly(5);
    ok t_cmp(join(', ', map { $heard{$_} // '' } 0 .. 4),
             join(', ', ('said hello') x 5), 'all hear what is published');

    my @pids = map { child_of($_) } @streams;
    my %seen;
    $seen{ $pids[$_] }++ for 0 .. 4;
    my($leaver) = sort { $seen{ $pids[$b] } <=> $seen{ $pids[$a] } } 0 .. 4;
    my @near = grep { $_ != $leaver && $pids[$_] == $pids[$leaver] } 0 .. 4;
    my @rest = grep { $_ != $leaver && $pids[$_] != $pids[$leaver] } 0 .. 4;
    ok t_cmp(@near > 0, !have_apache_mpm('prefork'),
             @near . ' are in the same child');
    $streams[$leaver]->close;
    my $good = grep { has_left($streams[$_], $leaver, slowly(5)) } @near;
    ok t_cmp($good, scalar @near, 'these hear that one has left, and why');
    ok t_cmp((grep { has_left($streams[$_], $leaver, 0.1) } @rest) + 0, 0,
             'the others do not');
    # It is in the set no more: nothing is sent to it, and nobody falls.
    if (@near) {
        my $next = shift @near;
        $streams[$next]->reset;
        $good = grep { has_left($streams[$_], $next, slowly(5)) } @near;
    }
    ok t_cmp($good + 0, scalar @near, 'and the next one');
    $_->close for @streams;
    ok no_streams();
}

# The child that a stream is in.
sub child_of {
    my $stream = shift;

    my $port = $stream->sock->sockport;
    my($line) = error_lines(qr/\[client 127\.0\.0\.1:$port\] stream \S+ open/);
    my($id) = $line =~ /stream (\S+) open/;
    return stream_pid($id);
}

sub has_left {
    my($stream, $who, $timeout) = @_;

    my $end = time + $timeout;
    while ((my $left = $end - time) > 0) {
        my $event = $stream->next_event($left) or last;
        return 1 if $event->{data} =~ /^name$who has left: (?:client|reset)$/;
    }
    return 0;
}

# A poll that waits.
sub waiting_poll {
    my $path = shift;

    my $waits = qr/\] poll: waits/;
    my $before = () = error_lines($waits);
    my $poll = open_stream($path);
    eventually { $before < (() = error_lines($waits)) } or die 'no poll waits';
    return $poll;
}

# 20: a choice of four.
sub long_poll {
    my $poll = waiting_poll('/guide/poll');
    ok t_cmp(request('GET', '/guide/post?one')->code, 204, 'a letter');
    my $began = time;
    ok t_cmp($poll->wait_end && $poll->{body}, "letter: one\n",
             '20: an event');
    ok t_cmp(time - $began < slowly(4.9), 1, 'at once');
    $began = time;
    $poll->again('/guide/poll');
    ok t_cmp($poll->wait_end(slowly(10)) && $poll->{body}, "keepalive\n",
             '20: nothing, on the same connection');
    my $took = time - $began;
    ok t_cmp($took > 4.5 && $took < slowly(15), 1, "after 5 s: $took s");

    # Whoever has left does not take the letter with it.
    for my $how ('close', 'reset') {
        my @polls = map { waiting_poll("/guide/poll?$how") } 1 .. 3;
        $_->$how for @polls;
        my $lines = qr{GET /guide/poll\?$how };
        ok t_cmp(eventually { access_lines($lines) == 3 }, 1,
                 "20: the client is gone, by $how: no one waits any more");
        request('GET', "/guide/post?after-$how");
        my $next = open_stream('/guide/poll');
        ok t_cmp($next->wait_end && $next->{body}, "letter: after-$how\n",
                 '20: and the letter is still there');
    }

    leaving();
}

# The poll may be over by itself before the server has come so far.
sub leaving {
    my($poll, $restarted, $took);
    for (1 .. 3) {
        my @old = server_children();
        $poll = waiting_poll('/guide/poll');
        $restarted = graceful_restart();
        my $began = time;
        $poll->wait_end;
        $took = time - $began;
        # Until they have gone, they may take what comes next.
        eventually { server_status(); !grep { is_alive($_) } @old } 20;
        last if $poll->{body} ne "keepalive\n";
    }
    ok t_cmp($restarted, 1, 'a graceful restart');
    ok t_cmp($poll->{body}, "leaving\n", '20: the server is leaving');
    ok t_cmp($took < slowly(4.9), 1, "after $took s");
}
