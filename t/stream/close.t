# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Every way in which a stream can end, seen without a write (there is no
# heartbeat here), told once and with its reason; and what is no end.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Select ();
use JSON::PP ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{SSE_SAN} ? 40 : 100;
my @tls = (module => 'mod_sse_ssl');

my @tests = (\&leaving, \&half_close, \&already_gone, \&no_end,
             \&aborted_early, \&slow_client, \&dropping, \&deleted,
             \&unique_ids);
plan tests => 126, need_module('mod_sse', 'mod_ssl');
$_->() for @tests;
ok no_streams();

my $count;
sub path { return "/stream/$_[0]-$test_id-" . ++$count }

# An open stream that has had the first bytes.
sub opened {
    my($path, @opt) = @_;

    my $stream = open_stream($path, @opt);
    $stream->next_block(5);
    return $stream;
}

# The log line of the one stream of that path; undef after the time.
sub log_line {
    my($path, $timeout) = @_;

    return access_line(qr/"GET \Q$path\E HTTP.* stream=[^-]/, $timeout // 5);
}

# The end is seen, though nothing is written that could show it.
sub ends {
    my($name, $how, $reason, @opt) = @_;

    my $path = path('end');
    my $stream = opened($path, @opt);
    publish($path, 'x');
    $stream->next_event(5);
    my $began = time;
    $how->($stream);
    my $line = log_line($path, 20);
    my $took = time - $began;
    my $want = qr/close=$reason stream=\S+\.\S+ events=1 channel=\Q$path\E X=X/;
    ok t_cmp($line, $want, "$name: $reason");
    ok t_cmp($took < 15, 1, "$name: seen after $took s");
}

sub leaving {
    my $next = "GET /stream/status HTTP/1.1\r\nHost: localhost\r\n\r\n";

    for my $way (['plain'], ['TLS', @tls]) {
        my($name, @opt) = @$way;
        my $plain = !@opt;
        ends("$name, FIN", sub { $_[0]->close }, 'client', @opt);
        ends("$name, RST", sub { $_[0]->reset }, 'reset', @opt);
        ends("$name, FIN behind a request", sub {
            $_[0]->send_bytes($next);
            shutdown $_[0]->sock, 1;
        }, 'client', @opt);
        ends("$name, FIN behind a stray byte", sub {
            $_[0]->send_bytes('x');
            sleep 0.02;
            shutdown $_[0]->sock, 1;
        }, 'client', @opt);
        ends("$name, RST behind a request", sub {
            $_[0]->send_bytes($next);
            sleep 0.02;
            $_[0]->reset;
        }, 'reset', @opt);
        ends("$name, FIN without close_notify", sub {
            $plain ? $_[0]->close : $_[0]->sock->close(SSL_no_shutdown => 1);
        }, 'client', @opt);
    }
    ends('TLS, close_notify without FIN', sub { $_[0]->close_notify },
         'client', @tls);

    # Bytes that the client has not read turn its FIN into RST.
    my $path = path('unread');
    my $stream = opened($path);
    publish($path, 'never read');
    eventually { IO::Select->new($stream->sock)->can_read(0) };
    $stream->close;
    ok t_cmp(log_line($path), qr/close=reset .* events=1 /,
             'leaving with something unread');

    # A connection that is closed before it says anything is no stream's.
    my $none = open_stream('/', raw => '');
    $none->close;
}

sub half_close {
    ends('half-close', sub { $_[0]->half_close }, 'client');

    # SSEHalfClose keep: the client reads on, and its real end is seen too.
    for my $way (['a full close', sub { $_[0]->close }],
                 ['RST', sub { $_[0]->reset }]) {
        my($name, $how) = @$way;
        my $path = path('keep/half');
        my $stream = opened($path);
        $stream->half_close;
        publish($path, $_) for 1 .. 3;
        ok t_cmp([map { ($stream->next_event(5) // {})->{data} } 1 .. 3],
                 [1 .. 3], 'keep: events still come after a half-close');
        ok !log_line($path, 0.1);
        $how->($stream);
        # The kernel knows of a second close only when something is sent.
        my $line = eventually { publish($path, 'x'); log_line($path, 0.05) };
        ok t_cmp($line, qr/close=(?:reset|write-error|client) /,
                 "keep: $name after it is seen");
    }
    my $path = path('keep-beat/half');
    my $stream = opened($path);
    $stream->half_close;
    ok t_cmp([map { ($stream->next_block(5) // {})->{raw} } 1 .. 2],
             [(":\n\n") x 2], 'keep: heartbeats come');
    $stream->close;
    ok t_cmp(log_line($path), qr/close=(?:reset|write-error|client) /,
             'and by them the end is seen');

    $path = path('keep/reset');
    $stream = opened($path);
    $stream->reset;
    ok t_cmp(log_line($path), qr/close=reset /, 'keep: RST is an end at once');
}

# A client that is gone when its turn comes: the request waits behind a stream
# that does not end by a FIN.
sub already_gone {
    my($first, $second, $stream);
    for (1 .. 10) {
        $first = path('keep-short/first');
        $second = path('gone');
        my $began = time;
        $stream = open_stream($first);
        $stream->next_block(5);
        $stream->send_bytes("GET $second HTTP/1.1\r\nHost: localhost\r\n\r\n");
        $stream->half_close;
        last if time - $began < 2; # else the first may have ended before
    }
    ok t_cmp($stream->wait_end(15), 1, 'the first stream ends by its age');
    ok t_cmp(log_line($first), qr/close=max-age /, 'so it is logged');
    ok t_cmp(access_line(qr/"GET \Q$second\E /) // 'none', qr/stream=- |none/,
             'no stream is opened for a client that is gone');
    ok t_cmp(scalar error_lines(qr/open on \Q$second\E/), 0, 'and none told');
}

# Neither a body nor a pipelined request is an end.
sub no_end {
    my $cl = "Content-Length: 5\r\n\r\nhello";
    my $late = "Content-Length: 5\r\n\r\n";
    my $chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for my $way (['a body', $cl], ['a body that comes later', $late, 'hello'],
                 ['a chunked body', $chunked],
                 ['a chunked body that never ends',
                  "Transfer-Encoding: chunked\r\n\r\n", "5\r\nhel"]) {
        my($name, $rest, $more) = @$way;
        for my $opt ([], [@tls]) {
            my $path = path('body');
            my $stream = opened($path, @$opt, raw =>
                                "GET $path HTTP/1.1\r\nHost: localhost\r\n$rest");
            $stream->send_bytes($more) if $more;
            publish($path, 'x');
            ok t_cmp(($stream->next_event(5) // {})->{data}, 'x',
                     "$name is no end" . (@$opt ? ' (TLS)' : ''));
            ok !log_line($path, 0.05);
            $stream->close;
            ok t_cmp(log_line($path), qr/close=(?:client|reset) .* events=1 /,
                     'and does not hide it');
        }
    }
}

# Whenever the client goes, there are as many ends as beginnings.
sub aborted_early {
    my @delays = (0, 0.0005, 0.002, 0.01);
    my @paths = map { path('abort') } @delays;
    for my $i (0 .. $#delays) {
        for my $round (1 .. $rounds) {
            my $stream = open_stream($paths[$i]);
            sleep $delays[$i] if $delays[$i];
            $round % 2 ? $stream->reset : $stream->close;
        }
        eventually {
            access_lines(qr/"GET \Q$paths[$i]\E HTTP/) == $rounds
        } 2; # not all at once
    }
    my $streams = streams_of(slowly(20), @paths);
    for my $i (0 .. $#delays) {
        my $ends = $streams->{ $paths[$i] };
        my @bad = grep { @{ $ends->{$_} } != 1 } keys %$ends;
        ok t_cmp("@bad", '', keys(%$ends) . " opened and left after "
                 . "$delays[$i] s: one end each");
        my @strange = grep { !/^(?:client|reset|write-error)$/ }
            map { @$_ } values %$ends;
        ok t_cmp("@strange", '', 'with the reason of a client that leaves');
        ok t_cmp(no_streams(10), 1, 'none is left open');
    }
}

# Who reads nothing for the time of SSEQueue.
sub slow_client {
    for my $way (['plain'], ['TLS', @tls]) {
        my($name, @opt) = @$way;
        my $path = path('slow/close/client');
        my $slow = opened($path, @opt, rcvbuf => 4096);
        my $quick = opened($path, @opt);
        my $line;
        my $sent = 0;
        my $end = time + slowly(30);
        while (!$line && time < $end) {
            publish($path, 'x' x 60_000);
            ++$sent;
            $quick->next_event(5);
            $line = log_line($path, 0);
        }
        ok t_cmp($line // log_line($path),
                 qr/close=slow-client .* channel=\Q$path\E X=X/,
                 "$name: a slow client is let go, after $sent events");
        ok t_cmp($slow->wait_end(30), 1, 'its connection ends');
        ok !$slow->is_complete;
        publish($path, 'still');
        my $event;
        1 while ($event = $quick->next_event(5)) && $event->{data} ne 'still';
        ok t_cmp(($event // {})->{data}, 'still', 'the quick one stays');
    }
}

sub dropping {
    my $path = path('slow/drop/later/client');
    my $slow = opened($path, rcvbuf => 4096);
    my $quick = opened($path);
    my @ids;
    # The socket takes so much; then the rest waits, for too long.
    for (1 .. 360) {
        push @ids, publish($path, 'x' x 20_000)->json->{id};
        $quick->next_event(5);
    }
    my $old = time + 16.5;
    keep_alive(); # takes longer
    my $left = $old - time;
    sleep $left if $left > 0;
    my @events = $slow->upto_new(sub {
        push @ids, publish($path, 'new')->json->{id};
        return $ids[-1];
    });
    my(@got, @gaps);
    for my $event (@events) {
        if ($event->{event} eq 'sse-gap') {
            push @gaps, [scalar @got, JSON::PP::decode_json($event->{data})];
            next;
        }
        push @got, $event->{id};
    }
    ok t_cmp($got[-1], $ids[-1], 'drop: the stream lives and has the newest');
    ok t_cmp(@got < @ids, 1, 'drop: ' . @got . ' of ' . @ids . ' came');
    my @want = wanted_gaps(\@ids, \@got);
    ok t_cmp([map { [$_->[0], @{ $_->[1] }{qw(after oldest)}] } @gaps], \@want,
             'drop: a gap is told where events are missing, and nowhere else');
    $slow->close;
    ok t_cmp(eventually { scalar access_lines(
        qr/close=(?:client|reset) .*channel=\Q$path\E /) }, 1,
        'drop: it is the client who ends it');
}

# Where in the received ids some of the sent ones are missing.
sub wanted_gaps {
    my($sent, $got) = @_;

    my %place = map { $sent->[$_] => $_ } 0 .. $#$sent;
    my @gaps = $got->[0] == $sent->[0] ? () : [0, $sent->[0] - 1, $got->[0]];
    for my $i (1 .. $#$got) {
        push @gaps, [$i, @$got[$i - 1, $i]]
            if $place{ $got->[$i] } != $place{ $got->[$i - 1] } + 1;
    }
    return @gaps;
}

# A stream that we end leaves the connection to the next request.  Each lasts
# for 8 s: all connections at once.
sub keep_alive {
    my @all = map {
        my($name, @opt) = @$_;
        my $path = path('ends/again');
        my @paths = (path('ends/piped'), path('ends/piped'));
        { name => $name, path => $path, stream => open_stream($path, @opt),
          good => 0, paths => \@paths, piped => open_stream($paths[0], @opt) };
    } ['plain'], ['TLS', @tls];
    my @steps = (\&request_behind, \&stream_behind, \&last_behind);

    for my $n (1 .. 3) {
        for my $one (@all) {
            $one->{stream}->head;
            publish($one->{path}, $n);
        }
        if (my $step = shift @steps) {
            $step->(@$_{qw(name piped paths)}) for @all;
        }
        for my $one (@all) {
            my $stream = $one->{stream};
            my $event = $stream->next_event(5) // {};
            ++$one->{good} if ($event->{data} // '') eq $n
                && $stream->wait_end(15) && $stream->is_complete;
        }
        $_->{stream}->again($n < 3 ? $_->{path} : '/stream/status') for @all;
    }
    for my $one (@all) {
        my($name, $path, $stream) = @$one{qw(name path stream)};
        ok t_cmp($one->{good}, 3, "$name: three streams on one connection");
        ok t_cmp($stream->status, 200, 'then another request');
        ok t_cmp($stream->wait_end(5), 1, 'and all of its answer');
        ok t_cmp(eventually {
            access_lines(qr/close=max-age .* events=1 channel=\Q$path\E /) == 3
        }, 1, 'each is logged for itself');
        my %ids = map { / stream=(\S+)/ ? ($1 => 1) : () }
            access_lines(qr/channel=\Q$path\E /);
        ok t_cmp(scalar keys %ids, 3, 'with an id of its own');
    }
}

# Requests that wait behind a stream.
sub request_behind {
    my($name, $stream, $paths) = @_;

    $stream->next_block(5);
    $stream->send_bytes(
        join '', map { "GET $_ HTTP/1.1\r\nHost: localhost\r\n\r\n" }
        $paths->[1], '/stream/status');
    publish($paths->[0], 'first');
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'first',
             "$name: a request behind it does not end the stream");
}

sub stream_behind {
    my($name, $stream, $paths) = @_;

    ok $stream->wait_end(15);
    $stream->again;
    ok t_cmp(($stream->next_block(5) // {})->{raw}, "retry: 2000\n\n",
             "$name: and is served after it");
    publish($paths->[1], 'second');
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'second',
             'a stream too');
}

sub last_behind {
    my($name, $stream, $paths) = @_;

    ok $stream->wait_end(15);
    $stream->again;
    ok t_cmp($stream->status, 200, "$name: the last one as well");
    ok $stream->wait_end(5);
    ok t_cmp(log_line($_), qr/close=max-age .*X=\+/,
             'the log has the connection as alive') for @$paths;
    # Idle, it is closed without an event of the stream before it.
    $stream->close;
}

sub deleted {
    my $name = "deleted-$$";
    my $path = "/stream/channel/alone/$name";
    my @streams = map { opened($path) } 1 .. 6;
    my @several = map { opened('/stream/channel/several') } 1 .. 6;
    # Who has had an event has joined: what one that has not is yet to read goes
    # with the history.
    publish($_, 'first') for $path, '/stream/channel/alone/several-b';
    $_->next_event(5) for @streams, @several;
    publish($path, 'before');
    ok t_cmp(request('DELETE', $path)->code, 200, 'DELETE');
    ok t_cmp((grep { $_->wait_end(5) && $_->is_complete } @streams) + 0,
             6, 'ends all streams of the channel in good order');
    ok t_cmp((grep { (($_->next_event(0) // {})->{data} // '') eq 'before' }
              @streams) + 0, 6, 'with what was published before');
    ok t_cmp(eventually {
        access_lines(qr/close=server .* events=2 channel=\Q$name\E /) == 6
    }, 1, 'for the reason "server"');

    request('DELETE', '/stream/channel/alone/several-a');
    publish('/stream/channel/alone/several-b', 'b');
    ok t_cmp((grep { (($_->next_event(5) // {})->{data} // '') eq 'b' }
              @several) + 0, 6, 'one that has another channel stays');
    request('DELETE', '/stream/channel/alone/several-b');
    ok t_cmp((grep { $_->wait_end(5) } @several) + 0, 6,
             'until that goes as well');
}

sub unique_ids {
    my %seen;
    $seen{$_}++ for map { / stream=([^-\s]\S*)/ } access_lines(qr/ stream=/);
    ok t_cmp((grep { $_ > 1 } values %seen) + 0, 0,
             'no two of ' . keys(%seen) . ' streams have one id');
}
