# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Requests that are no streams, watched: CGI, another server, long responses,
# HTTP/2; and SSEWatch Abort.

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

my $million = 1_000_000;
write_files('close/file/one' => 'x', 'close/file/big' => 'x' x $million,
            'close/file/huge' => 'x' x (30 * $million));

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my @each = (\&other_handlers, \&aborting, \&leaving_midway);
my $h2 = have_module('mod_http2') && !have_apache_mpm('prefork');
plan tests => 26 * @ways + 12 + ($h2 ? 12 : 0),
    need_module('mod_sse', 'mod_sse_close', 'mod_sse_block', 'mod_ssl',
                'mod_proxy_http');

# A TLS client closes with the server's tickets unread, which makes RST of it.
my $left = qr/^(?:client|reset)$/;
my $one = qr/^1 1 (?:client|reset)$/;
my($name, @opt);
for my $way (@ways) {
    ($name, @opt) = @$way;
    $_->() for @each;
}
short_responses();
after_a_stream();
http2() if $h2;
ok t_cmp(closed_streams(), 1, '2: as many ends as openings');

sub is {
    my($got, $want, $text) = @_;
    ok t_cmp($got, $want, "$name, $text");
}

# A request that is answered as a whole.
sub get {
    my($path, $k, %args) = @_;
    return request('GET', url($path, $k, %args), @opt);
}

# A program, and another server.
sub other_handlers {
    for my $case (['/close/cgi/wait.sh', qr/line 5/],
                  ['/close/proxy/x', qr/ok/]) {
        my($path, $body) = @$case;
        my $k = key();
        is(get($path, $k, wait => 100)->body, $body, "$path answers");
        is(ends($k), '1 1 complete', '11: complete');
        hold();
        my $stream = open_stream(url($path, $k = key(), hold => 1), @opt);
        told($k, 'open');
        sleep 0.2;
        $stream->close;
        my $close = told($k, 'close');
        is($close->{reason}, $left, '11: the client leaves meanwhile');
        my $line = qr/k=$k\b.*close=(?:client|reset)/;
        is(scalar(() = access_lines($line)), 0,
           '11: told before the handler could tell by itself');
        let_go();
        is(defined access_line($line), 1,
           '11: and logged when the handler is through');
        is(ends($k), $one, '1: once');
    }
}

# SSEWatch Abort: the next read or write fails at once.
sub aborting {
    my $k = key();
    my $stream = open_stream(url('/close/block/abort/x', $k, reg => 1,
                                 wait => 20_000, write => 3000), @opt);
    told($k, 'blocks');
    $stream->close;
    my $wrote = told($k, 'wrote');
    is("$wrote->{failed} $wrote->{n}", '1 1', 'Abort: the first write fails');
    is(ends($k), $one, 'Abort: told');

    # A body that never comes is waited for as long as Timeout says.
    $stream = open_stream('', @opt, raw =>
        'POST ' . url('/close/block/abort/x', $k = key(), reg => 1,
                      wait => 20_000, read => 1)
        . " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
    told($k, 'blocks');
    $stream->close;
    is(told($k, 'read')->{last}, -1, 'Abort: the first read fails');

    # Blocked in a read when the client leaves its connection half open.
    $stream = open_stream('', @opt, raw =>
        'POST ' . url('/close/block/abort/x', $k = key(), early => 1)
        . " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
    told($k, 'open');
    sleep 0.05;
    $stream->half_close;
    is(told($k, 'read')->{last}, -1, 'Abort: a read that blocks fails');

    for my $path ('/close/abort-cgi/wait.sh', '/close/abort-proxy/x') {
        hold();
        $stream = open_stream(url($path, $k = key(), hold => 1,
                                  write => 30_000), @opt);
        told($k, 'open');
        sleep 0.1;
        $stream->close;
        is(ends($k), $one, "Abort: $path");
        let_go();
        # The back end, which logs the same key, may be the first to do so.
        my $line = access_line(qr/\/abort-.*k=$k\b.*X=X/, slowly(20)) // '';
        my($took) = $line =~ / D=(\d+)/;
        is(defined $took && $took < 15_000_000, 1,
           'Abort: it ends with its first output, after ' . ($took // '-'));
    }
}

# The client goes when half of the response is on its way.
sub leaving_midway {
    for my $how ('close', 'reset') {
        my $k = key();
        my $stream = open_stream(url('/close/block/watched/x', $k, reg => 1,
                                     size => 20 * $million), @opt,
                                 rcvbuf => 4096);
        $stream->head;
        sleep 0.1;
        $stream->$how;
        is(ends($k), qr/^1 1 (?:reset|client|write-error)$/,
           "a response that is left by $how");
        is(names($k, 1), 'block', '1: told once');
        $stream = open_stream(url('/close/file/huge', $k = key()), @opt,
                              rcvbuf => 4096);
        $stream->head;
        sleep 0.05;
        $stream->$how;
        is(ends($k), qr/^1 1 (?:reset|client|write-error|complete)$/,
           "a file that is left by $how");
    }
}

# 15: whoever sends its request and shuts down its side gets its answer.
sub short_responses {
    ($name, @opt) = ('short');
    my($good, @keys) = (0);
    for (1 .. 150) {
        push @keys, key();
        my $stream = open_stream(url('/close/file/one', $keys[-1]), close => 1);
        $stream->half_close;
        ++$good if $stream->wait_end && $stream->{body} eq 'x';
    }
    is($good, 150, '15: a short response is never dropped');
    my @ends = map { ends($_) } @keys;
    is(scalar(grep { /^1 1 (?:client|complete)$/ } @ends), 150,
       '1: each is told, once');
}

# A connection that had a stream: what is left of a long response is not
# waited for where streams are served.
sub after_a_stream {
    ($name, @opt) = ('after a stream');
    for my $how ('reads on', 'leaves') {
        my($k, $second) = (key(), key());
        # In every child
        my @others = map { open_stream("/close/sse/$k") } 1 .. 4;
        $_->next_block for @others;
        my $stream = opened([rcvbuf => 4096], $k, rend => 1);
        is($stream->wait_end && $stream->is_complete, 1, 'it has ended');
        $stream->send_bytes(
            'GET ' . url('/close/file/huge', $second, preg => 1)
            . " HTTP/1.1\r\nHost: localhost\r\n\r\n");
        told($second, 'open');
        sleep 0.1;
        publish("/close/sse/$k", 'x');
        is(scalar(grep { (($_->next_event(slowly(10)) // {})->{data} // '') eq 'x' }
                  @others), 4, "$how: others get their events");
        if ($how eq 'leaves') {
            $stream->reset;
            is(ends($second), qr/^1 1 (?:reset|write-error)$/, 'it is told');
        }
        else {
            $stream->again;
            $stream->wait_end(slowly(30));
            is(length $stream->{body}, 30 * $million, 'all of the response comes');
            is(ends($second), '1 1 complete', 'it is told');
        }
        is(names($second, 1), 'early', 'once');
    }
}

# 16: RST_STREAM ends one request, its sibling goes on.
sub http2 {
    ($name, @opt) = ('HTTP/2');
    require SSETestH2;
    my $conn = SSETestH2->new('mod_sse_ssl');
    local $SSETest::meanwhile = sub { $conn->nudge };
    my @keys = map { key() } 1 .. 2;
    my @ids = map {
        $conn->get(url('/close/block/watched/x', $_, reg => 1,
                       wait => $_ eq $keys[0] ? 20_000 : 600))
    } @keys;
    told($_, 'blocks') for @keys;
    my $began = monotonic();
    $conn->reset_stream($ids[0]);
    my $told = told($keys[0], 'begin');
    is($told->{reason}, 'reset', '16: RST_STREAM is told while it blocks');
    my $took = $told->{usec} - $began;
    is($took < slowly(8_000_000), 1, "16: after $took us");
    is($conn->wait_end($ids[1], slowly(5)) && $conn->body($ids[1]), 'ok',
       '16: its sibling is answered');
    is(ends($keys[1]), '1 1 complete', '11: complete');
    is(ends($keys[0]), '1 1 reset', '1: once');
    my $id = $conn->get(url('/close/file/big', my $k = key()));
    is($conn->wait_end($id, slowly(5)) && length $conn->body($id), $million,
       'a file');
    is(ends($k), '1 1 complete', '11: complete');
    $id = $conn->get(url('/close/block/watched/x', $k = key(), reg => 1,
                         stall => 20_000));
    is($conn->wait_end($id, slowly(5)) && $conn->body($id), 'ok',
       'a thread that stays behind its response');
    is(told($k, 'stalled')->{aborted}, 1, 'whose connection is aborted');
    is(ends($k), '1 1 complete', '11: complete');
    $conn->get(url('/close/block/watched/x', $k = key(), reg => 1,
                   wait => 20_000));
    told($k, 'blocks');
    undef $SSETest::meanwhile;
    $conn->close;
    is(ends($k), $one, "16: the connection's end is its end");
    is(told($k, 'goes-on')->{told}, 1, '11: told while it blocks');
}
