# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What close notification promises to a module whose request has ended, over
# plain HTTP and TLS.  The numbers are those of the list of promises in
# docs/c-guide.md.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use Errno qw(EAGAIN);
use SSETest;
use SSETestClose;
use SSETestServer;
use Time::HiRes qw(sleep);

# apr_errno.h
use constant { SUCCESS => 0, APR_EINVAL => 22, APR_ENOTIMPL => 70023,
               APR_EOF => 70014, ABORTED => 103 };

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my @each = (\&once, \&several, \&masks, \&late, \&why, \&by_us, \&sending,
            \&keeping, \&nothing_opens, \&gone_before, \&errors, \&channels,
            \&from_open, \&body_is_no_end, \&keep_alive, \&closing);
my @alone = (\&publishing, \&isolation, \&at_the_end, \&prompt,
             \&watched_stream);
plan tests => 92 * @ways + 31 + 5 * 3,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl');

my($name, @opt);
for my $way (@ways) {
    ($name, @opt) = @$way;
    $_->() for @each;
}
$_->() for @alone;
ok t_cmp(closed_streams(), 1, '2: as many ends as openings');

sub is {
    my($got, $want, $text) = @_;
    ok t_cmp($got, $want, "$name, $text");
}

# 1, 2, 7, 8: one end, told with request and response whole, to hook and
# callback, when the stream is closed.
sub once {
    my $k = key();
    my $stream = opened(\@opt, $k, reg => 1);
    is(told($k, 'open')->{stream}, 1, '2: stream_open');
    $stream->close;
    my $close = told($k, 'close');
    is($close->{reason}, 'client', '5: FIN is the client leaving');
    is($close->{by}, 1, '5: by the client');
    is($close->{header}, 'yes', '7: the response headers are there');
    is($close->{note}, 'client', '7: and the notes');
    is($close->{id}, told($k, 'open')->{id}, '2: the same stream');
    is($close->{open}, 0, '8: sse_is_open is 0 in the hook');
    is($close->{send}, ABORTED, '8: sse_send fails, the client is gone');
    is($close->{end}, APR_EOF, '10: sse_end is too late');
    is(told($k, 'cb')->{type}, 'text/event-stream', '7: content type');
    sleep 0.1;
    is(count_seen($k, 'close'), 1, '1: the hook runs once');
    is(count_seen($k, 'cb'), 1, '1: the callback runs once');
    $stream = opened(\@opt, $k = key(), reg => 1);
    $stream->reset;
    is(told($k, 'cb')->{reason}, 'reset', '5: RST');
}

# 4: in order, although the first one sleeps; one can be taken back.
sub several {
    my $k = key();
    opened(\@opt, $k, reg => 5, sleep => 150, cancel => 3, nest => 1)->close;
    is(names($k, 5), '1 2 4 5 nested', '4: in the order registered');
    is(join(' ', map { $_->{rv} } seen($k, 'cancelled')), SUCCESS . ' ' . APR_EOF,
       '4: cancelling, twice');
    my @begin = seen($k, 'begin');
    is($begin[1]{usec} - $begin[0]{usec} >= 150_000, 1,
       '4: the second waits for the first');
    my %by = map { $_->{what} => $_->{usec} } seen($k);
    is($by{close} <= $begin[0]{usec}, 1, 'the hook comes first');
}

# 6: two questions.
sub masks {
    my $k = key();
    opened(\@opt, $k, reg => 1, mask => 'client')->close;
    is(names($k, 1), '1', '6: the client left, to who asked that');
    my $stream = opened(\@opt, $k = key(), reg => 1, mask => 'client', rend => 1);
    $stream->wait_end;
    is(told($k, 'close')->{reason}, 'server', '6: it ended');
    is(count_seen($k, 'cb'), 0, '6: the client did not leave');
    my $open = opened(\@opt, $k = key(), reg => 1, mask => 'server', rend => 1);
    is(names($k, 1), '1', '6: one reason alone');
    opened(\@opt, $k = key(), reg => 1, mask => 'server')->close;
    told($k, 'close');
    sleep 0.05;
    is(count_seen($k, 'cb'), 0, '6: and not the others');
}

# 3: registered after the end, in the hook, in a callback, in stream_open.
sub late {
    my $k = key();
    my $stream = opened(\@opt, $k, rend => 1, rlate => 100);
    is(names($k, 1), 'late', '3: after the end it runs');
    is(told($k, 'cb')->{reason}, 'server', '3: with the stored reason');
    is(told($k, 'registered')->{rv}, SUCCESS, '3: in good order');
    my $took = told($k, 'begin')->{usec} - told($k, 'registered')->{usec};
    is($took < slowly(8_000_000), 1, "3: at once, after $took us");
    opened(\@opt, $k = key(), oreg => 1, reg => 1, hreg => 1)->close;
    is(names($k, 3), '1 open hook', '3: from hooks, in order');
}

# 5: what is told of the stream's life.
sub why {
    my $k = key();
    my $stream = opened(\@opt, $k, rn => 3);
    $stream->next_event for 1 .. 3;
    sleep 0.1;
    $stream->close;
    my $close = told($k, 'close');
    is($close->{events}, 3, '5: events');
    # "retry: 2000" was the head's; id, data, empty line
    is($close->{bytes}, 3 * length("id: own-1\ndata: 1\n\n"), '5: bytes');
    is($close->{last}, 'own-3', "5: the last event's id");
    is($close->{life} >= 100_000 && $close->{life} < slowly(10_000_000), 1,
       '5: times');
    is(access_line(qr/k=$k\b.*close=client stream=$close->{id} events=3 /) ? 1
       : 0, 1, '25: the log has it');
    my @lines = error_lines(qr/stream \Q$close->{id}\E ended/);
    is(scalar @lines, 1, '25: one line');
    is($lines[0], qr/\[sse:info\].*: client,/, '25: INFO, with the reason');
}

# 10: ending twice; the connection lives on.
sub by_us {
    my $k = key();
    my $stream = opened(\@opt, $k, rn => 2, rend => 1);
    is($stream->wait_end && $stream->is_complete, 1, '10: ended in good order');
    is(join(' ', map { $_->{data} // '' } grep { $_ } map { $stream->next_event(0) } 1, 2),
       '1 2', '10: after what waited');
    eventually(sub { count_seen($k, 'rend') == 2 }, slowly(5));
    is(join(' ', map { $_->{rv} } seen($k, 'rend')),
       SUCCESS . ' ' . APR_EOF, '10: ending is idempotent');
    my $close = told($k, 'close');
    is("$close->{reason} $close->{by} $close->{send}", 'server 0 ' . APR_EOF,
       '5: by us');
    is($stream->again('/close/status')->status, 200,
       'the connection is of use afterwards');
}

# A ready function that sends until that fails.
sub sending {
    my $k = key();
    my $stream = opened(\@opt, $k, rn => slowly(1_000), rgap => 10);
    $stream->next_event for 1 .. 5;
    $stream->close;
    my $sent = told($k, 'sent', slowly(10));
    is($sent->{rv}, ABORTED, '9: a send says that the client is gone');
    is($sent->{n} >= 5 && $sent->{n} < slowly(950), 1,
       "9: after $sent->{n} events");
    is(told($k, 'close')->{reason}, qr/^(?:client|reset|write-error)$/,
       '5: it left');
}

# 9: a handle kept by another thread, used at once and long after.
sub keeping {
    my $k = key();
    my $stream = opened(\@opt, $k, rkeep => 300);
    $stream->close;
    eventually(sub { count_seen($k, 'used') == 2 }, slowly(5));
    my @used = map { "$_->{open} $_->{send} $_->{end} $_->{sub} $_->{unsub}" }
        seen($k, 'used');
    my $want = '0 ' . ABORTED . ' ' . APR_EOF . ' ' . ABORTED . ' ' . ABORTED;
    is("@used", "$want $want", '9: errors, however late');
    $stream = opened(\@opt, $k = key(), rkeep => 100, rend => 1);
    eventually(sub { count_seen($k, 'used') == 2 }, slowly(5));
    @used = map { "$_->{send} $_->{sub}" } seen($k, 'used');
    is("@used", join(' ', (APR_EOF) x 4), '9: ended by us: another error');
}

# 22
sub nothing_opens {
    for my $case (['HEAD', { method => 'HEAD' }], ['204', {}, status => 204],
                  ['304', {}, status => 304]) {
        my($what, $more, %args) = @$case;
        my $k = key();
        my $stream = app([@opt, %$more], $k, reg => 1, oreg => 1, %args);
        is($stream->status, $args{status} // 200, "22: $what");
        is($stream->header('content-type'), $what eq 'HEAD'
           ? 'text/event-stream' : undef, '22: the headers');
        # What was registered for the request is told of the request.
        is(names($k, 1), '1', '11: its own callback runs');
        is(told($k, 'cb')->{reason}, 'complete', '11: complete');
        is(count_seen($k, 'open') + count_seen($k, 'close')
           + count_seen($k, 'ready'), 0, '22: opens nothing');
    }
}

# 23
sub gone_before {
    my $k = key();
    hold();
    my $stream = app(\@opt, $k, hold => 1, reg => 1);
    told($k, 'holds');
    $stream->close;
    let_go();
    is(names($k, 1, slowly(10)), '1', '11: the request\'s callback runs');
    is(told($k, 'cb')->{reason}, qr/^(?:client|reset)$/, '5: with its reason');
    access_line(qr/k=$k\b/, slowly(15));
    is(count_seen($k, 'open') + count_seen($k, 'ready')
       + count_seen($k, 'close'), 0, '23: a client that is gone gets no stream');
}

# 2, 22: a handler that returns an error behind a started stream.
sub errors {
    for my $path ('/close/app/x', '/close/app/errordoc/x') {
        my $k = key();
        my $stream = app(\@opt, $k, path => $path, ret => 500, reg => 1,
                         rend => 1);
        is($stream->status, 200, '22: the head was sent');
        $stream->wait_end;
        is($stream->{body} . join('', map { $_->{raw} } @{ $stream->{blocks} }),
           qr/\A(?:retry: 2000\n\n)?\z/, '22: no error page behind it');
        is(names($k, 1), '1', '2: the end is told');
        is(told($k, 'close')->{reason}, qr/^(?:error|server)$/, '2: with a reason');
        sleep 0.05;
        is(count_seen($k, 'close') . count_seen($k, 'cb')
           . count_seen($k, 'open'), '111', '1: once');
    }
    my $k = key();
    is(app(\@opt, $k, fail => 500, reg => 1)->status, 500,
       '22: one that does not start gets its error page');
}

# A live stream's channels.
sub channels {
    my $k = key();
    my $channel = "/close/sse/$k";
    hold(); # then it unsubscribes
    my $stream = opened(\@opt, $k, rsub => $channel, runsub => $channel);
    is(told($k, 'rsub')->{rv}, SUCCESS, 'subscribed');
    eventually(sub { count_seen($k, 'rsub') == 2 });
    publish($channel, 'one', @opt);
    is(($stream->next_event(slowly(5)) // {})->{data}, 'one',
       'what is published after that comes');
    let_go();
    is(told($k, 'runsub')->{rv}, SUCCESS, 'unsubscribed');
    publish($channel, 'two', @opt);
    is($stream->next_event(0.2), undef, 'and no more');
    $stream->close;
}

# From stream_open, before the loop knows the stream.
sub from_open {
    my $k = key();
    my $channel = "/close/sse/$k";
    my $stream = opened(\@opt, $k, osub => $channel, osend => 1);
    is(told($k, 'osub')->{rv}, SUCCESS, 'stream_open: subscribed');
    is(($stream->next_event // {})->{data}, 'from stream_open',
       'stream_open: what is sent there comes');
    publish($channel, 'one', @opt);
    is(($stream->next_event // {})->{data}, 'one', 'stream_open: its channel');
    $stream->close;
    $stream = opened(\@opt, $k = key(), oend => 1, reg => 1);
    is($stream->wait_end && $stream->is_complete, 1, 'stream_open: ended there');
    is(told($k, 'cb')->{reason}, 'server', 'stream_open: told');
}

# 14
sub body_is_no_end {
    my $k = key();
    my $stream = app([@opt, method => 'POST', body => 'x' x 1000], $k,
                     rsleep => 200, rn => 1);
    is(($stream->next_event // {})->{data}, '1', '14: a body is no end');
    sleep 0.05;
    is(count_seen($k, 'close'), 0, '14: not read');
    $stream->close;
    is(told($k, 'close')->{reason}, qr/^(?:client|reset)$/, '14: nor hides it');
}

# The second request gets no event, and no end, of the first.
sub keep_alive {
    my $k = key();
    my $stream = opened(\@opt, $k, reg => 1, rn => 1, rend => 1);
    $stream->wait_end;
    my $second = key();
    $stream->again(url('/close/app/x', $second, reg => 1, rn => 2));
    is(join(' ', map { ($stream->next_event // {})->{data} // '-' } 1, 2), '1 2',
       'keep-alive: only its own events');
    told($k, 'cb');
    is(count_seen($second, 'cb') . count_seen($k, 'cb'), '01',
       'keep-alive: the first has ended, the second has not');
    $stream->close;
    is(told($second, 'cb')->{reason}, qr/^(?:client|reset)$/,
       'keep-alive: the second, too');
    is(count_seen($k, 'cb'), 1, 'keep-alive: and only the second');
}

# sse_publish
sub publishing {
    ($name, @opt) = ('publish');
    my $k = key();
    my $channel = "/close/sse/pub-$k";
    my $stream = open_stream($channel);
    $stream->next_block;
    my $ask = sub {
        my %args = @_;
        my $body = request('GET', url('/close/publish', $k, channel => $channel,
                                      %args))->body;
        return split ' ', $body;
    };
    my($rv, $id) = $ask->(data => 'one', event => 'hi');
    my $event = $stream->next_event // {};
    is($rv, SUCCESS, 'stored');
    is("$event->{event} $event->{data} $event->{id}", "hi one $id",
       'subscribers get it, with the id that was told');
    ($rv, $id) = $ask->(data => 'two', id => 'once');
    my($again, $same) = $ask->(data => 'two', id => 'once');
    is("$again $same", "0 $id", 'the same key: the first id');
    $ask->(data => 'three');
    is(join(' ', map { ($stream->next_event // {})->{data} // '-' } 1, 2),
       'two three', 'delivered once');
    is(join(' ', map { ($ask->(@$_))[0] }
            [], [data => 'x', event => 'sse-x'], [data => 'x', channel => '']),
       join(' ', (APR_EINVAL) x 3), 'what is no event is refused');
    is(publish($channel, 'by POST')->code, 200, 'POST beside it');
    is(($stream->next_event // {})->{data}, 'by POST', 'and it comes as well');
    $stream->close;
}

# 24: callbacks that sleep delay nobody's detection or delivery, and up to the
# pool's size nobody's callback.
sub isolation {
    ($name, @opt) = ('isolation');
    my @slow = map { key() } 1 .. 3;
    hold();
    opened($_, reg => 1, 'hold-1' => 1)->close for @slow;
    is(scalar(grep { told($_, 'begin')->{name} } @slow), 3, '24: three sleep');
    my $k = key();
    my $channel = "/close/sse/$k";
    my $stream = open_stream($channel);
    $stream->next_block;
    publish($channel, 'x');
    is(($stream->next_event // {})->{data}, 'x', '24: delivery goes on');
    $stream->close;
    is(defined access_line(qr/GET \Q$channel\E .*close=(?:client|reset)/), 1,
       '24: so does detection');
    opened($k = key(), reg => 1)->close;
    is(names($k, 1), '1', '24: and other callbacks');
    is(scalar(map { seen($_, 'cb') } @slow), 0, '24: while they sleep');
    let_go();
    is(scalar(grep { names($_, 1, slowly(15)) eq '1' } @slow), 3,
       '24: all return');
}

# However a stream's connection ends, other modules are told once, as by httpd.
sub closing {
    for my $how ('close', 'reset', 'us') {
        my $stream = opened(\@opt, my $k = key(), tclose => 1,
                            $how eq 'us' ? (rend => 1) : ());
        $how eq 'us' ? $stream->wait_end(slowly(5)) : $stream->$how;
        $stream->close if $how eq 'us';
        told($k, 'preclose');
        sleep 0.05;
        is(count_seen($k, 'preclose'), 1, "$how: pre_close_connection");
    }
}

# 24: nor do other modules that take their time when a request or a connection
# ends.
sub at_the_end {
    ($name, @opt) = ('at the end');
    my $channel = '/close/sse/' . key();
    # Enough for one of them to be in every child.
    my @others = map { my $s = open_stream($channel); $s->next_block; $s }
        1 .. 8;
    for my $way ([tlog => 0], [tlog => 1], [tpool => 0], [tpool => 1],
                 [tconn => 0]) {
        beside_sleepers($channel, \@others, @$way);
    }
    $_->close for @others;
}

sub beside_sleepers {
    my($channel, $others, $what, $by_us) = @_;

    my @keys = map { key() } 1 .. 6;
    hold();
    my @streams = map { opened($_, $what => 1, $by_us ? (rend => 1) : ()) } @keys;
    $_->close for grep { !$by_us } @streams;
    my $sleeps = eventually { grep { count_seen($_, 'sleeps') } @keys };
    is($sleeps ? 1 : 0, 1, "24: $what sleeps");
    publish($channel, $what);
    my $got = grep { (($_->next_event // {})->{data} // '') eq $what } @$others;
    is($got . (grep { count_seen($_, 'slept') } @keys), @$others . '0',
       '24: all others have their event meanwhile');
    let_go();
    eventually(sub { !grep { !count_seen($_, 'slept') } @keys }, slowly(10));
    is(scalar(grep { count_seen($_, 'slept') == 1 } @keys), scalar @keys,
       '24: each has slept once');
    $_->close for @streams;
}

# 12: nothing is ever written to an idle stream; its end is told at once, as soon
# as the machine does anything at all.
sub prompt {
    ($name, @opt) = ('prompt');
    my(@took, @answer);
    for (1 .. 50) {
        my $k = key();
        my $stream = opened($k, reg => 1);
        my $asked = monotonic();
        request('GET', '/close/options');
        push @answer, monotonic() - $asked;
        my $began = monotonic();
        $stream->close;
        push @took, (told($k, 'begin')->{usec} // $began + 1e7) - $began;
    }
    @took = sort { $a <=> $b } @took;
    @answer = sort { $a <=> $b } @answer;
    is($took[25] < slowly(250_000) + 5 * $answer[25], 1,
       "12: median $took[25] us; of answers $answer[25] us");
    is($took[44] < slowly(500_000) + 5 * $answer[44], 1,
       "12: nine of ten $took[44] us; of answers $answer[44] us");
    is(scalar(grep { $_ < 0 } @took), 0, '12: and never before');
}

# 2: a request that SSEWatch watches and that becomes a stream is opened once,
# and is one in the logs.
sub watched_stream {
    ($name, @opt) = ('watched stream');
    for my $path ('/close/app/watched/x', '/close/sse/watched/x') {
        my $k = key();
        my $stream = opened($k, path => $path, $path =~ /app/ ? (reg => 1) : ());
        is(told($k, 'open')->{stream}, 0, '2: opened as a request');
        my $id = told($k, 'open')->{id};
        is(defined error_line(qr/stream \Q$id\E open on/), 1,
           '2: then it becomes a stream');
        $stream->close;
        my $close = told($k, 'close');
        is($close->{stream} . $close->{reason}, '1client', '2: ended as a stream');
        is($close->{id}, told($k, 'open')->{id}, '2: one id');
        is(count_seen($k, 'open') . count_seen($k, 'close'), '11', '2: once');
    }
    my $k = key();
    my $stream = opened($k, path => '/close/app/watched/x', rend => 1, reg => 1);
    $stream->wait_end;
    is(told($k, 'close')->{reason}, 'server', '2: ended by us');
    is(names($k, 1), '1', '3: what was registered before it became one');
    $k = key();
    hold();
    $stream = app($k, path => '/close/app/watched/x', hold => 1, reg => 1);
    told($k, 'holds');
    $stream->close;
    my $close = told($k, 'close', slowly(10));
    is($close->{stream} . $close->{reason}, qr/^0(?:client|reset)$/,
       '2: gone before it became one');
    let_go();
    access_line(qr/k=$k\b/);
    is(count_seen($k, 'open') . count_seen($k, 'close'), '11', '2: once');
}
