# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Requests that are no streams: SSEWatch for any handler, and sse_on_close()
# without it.  (Promise 11 and, for such requests, the others.)

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
write_files('close/file/empty' => '', 'close/file/one' => 'x',
            'close/file/big' => 'x' x $million,
            'close/file/abort/one' => 'x',
            'close/file/error' => "an error page\n",
            'close/plain/target' => "target\n",
            'close/indexed/index.html' => "index\n");

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my @each = (\&files, \&told_while_blocked, \&other_handlers, \&aborting,
            \&bodies, \&half_close, \&redirects, \&reuse, \&leaving_midway);
my @alone = (\&short_responses, \&after_a_stream);
plan tests => 70 * @ways + 10,
    need_module('mod_sse', 'mod_sse_close', 'mod_sse_block', 'mod_ssl',
                'mod_proxy_http', 'mod_rewrite');

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

# A request that is answered as a whole.
sub get {
    my($path, $k, %args) = @_;
    return request('GET', url($path, $k, %args), @opt);
}

# What was told of it: "open close reason", once each.
sub ends {
    my $k = shift;

    my $close = told($k, 'close');
    sleep 0.02;
    return join ' ', count_seen($k, 'open'), count_seen($k, 'close'),
        $close->{reason} // 'none';
}

sub files {
    for my $case ([empty => 0], [one => 1], [big => $million]) {
        my($file, $size) = @$case;
        my $k = key();
        my $answer = get("/close/file/$file", $k);
        is($answer->code . ' ' . length $answer->body, "200 $size",
           "a file of $size bytes");
        is(ends($k), '1 1 complete', '11: its end is told');
        my $id = told($k, 'open')->{id};
        is(defined access_line(qr/k=$k .*close=complete stream=\Q$id\E /), 1,
           '11: and logged');
    }
    my $k = key();
    get('/close/plain/target', $k);
    get('/close/block/x', my $second = key());
    sleep 0.05;
    is(count_seen($k, 'close') + count_seen($second, 'close'), 0,
       '11: elsewhere nobody is told');
}

# The handler neither reads nor writes.
sub told_while_blocked {
    for my $path ('/close/block/x', '/close/block/watched/x') {
        for my $how ('close', 'reset') {
            my $k = key();
            my $stream = open_stream(url($path, $k, reg => 1, wait => 3000),
                                     @opt);
            told($k, 'blocks');
            sleep 0.05;
            my $began = monotonic();
            $stream->$how;
            my $told = told($k, 'begin');
            is($told->{reason}, $how eq 'close' ? 'client' : 'reset',
               "11: told while it blocks, $how");
            my $took = $told->{usec} - $began;
            is($took < slowly(100_000), 1, "12: after $took us");
            is(told($k, 'goes-on')->{told}, 1, '11: so it can go on');
            is(ends($k), $path =~ /watched/ ? qr/^1 1 (?:client|reset)$/
               : '0 0 none', '2: hooks only where SSEWatch says so')
                if $how eq 'reset' && $path =~ /watched/ || $how eq 'close';
        }
    }
    # 3, 4: registered in an earlier phase, and after the end
    my $k = key();
    my $stream = open_stream(url('/close/block/x', $k, preg => 1, reg => 1,
                                 late => 1, wait => 3000), @opt);
    told($k, 'blocks');
    $stream->close;
    is(names($k, 3), 'early block late', '3, 4: in order, the last one late');
    is(join(' ', map { $_->{reason} } seen($k, 'cb')), 'client client client',
       '3: all with one reason');
    is(get('/close/block/x', $k = key(), preg => 1, late => 1)->body, 'ok',
       'a request that is answered');
    is(names($k, 2), 'early late', '11: is complete for all');
    is(join(' ', map { $_->{reason} . $_->{by} } seen($k, 'cb')),
       'complete0 complete0', '6: the client did not leave');
}

# A program, and another server.
sub other_handlers {
    for my $case (['/close/cgi/wait.sh', qr/line 5/],
                  ['/close/proxy/x', qr/ok/]) {
        my($path, $body) = @$case;
        my $k = key();
        is(get($path, $k, wait => 100)->body, $body, "$path answers");
        is(ends($k), '1 1 complete', '11: complete');
        my $stream = open_stream(url($path, $k = key(), wait => 800), @opt);
        told($k, 'open');
        sleep 0.2;
        my $began = monotonic();
        $stream->close;
        my $close = told($k, 'close');
        is($close->{reason}, 'client', '11: the client leaves meanwhile');
        my $took = $close->{usec} - $began;
        is($took < slowly(100_000), 1, "11: told after $took us");
        is(defined access_line(qr/k=$k\b.*close=client/, slowly(5)), 1,
           '11: and logged when the handler is through');
        is(ends($k), '1 1 client', '1: once');
    }
}

# SSEWatch Abort: the next read or write fails at once.
sub aborting {
    my $k = key();
    my $stream = open_stream(url('/close/block/abort/x', $k, reg => 1,
                                 wait => 3000, write => 3000), @opt);
    told($k, 'blocks');
    $stream->close;
    my $wrote = told($k, 'wrote');
    is("$wrote->{failed} $wrote->{n}", '1 1', 'Abort: the first write fails');
    is(ends($k), '1 1 client', 'Abort: told');

    # A body that never comes is waited for as long as Timeout says.
    $stream = open_stream('', @opt, raw =>
        'POST ' . url('/close/block/abort/x', $k = key(), reg => 1,
                      wait => 3000, read => 1)
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
        $stream = open_stream(url($path, $k = key(), wait => 300,
                                  write => 2000), @opt);
        told($k, 'open');
        sleep 0.1;
        $stream->close;
        is(ends($k), '1 1 client', "Abort: $path");
        my $line = access_line(qr/k=$k\b.*X=X/, slowly(5)) // '';
        my($took) = $line =~ /\/abort-.* D=(\d+)/;
        is(defined $took && $took < slowly(1_500_000), 1,
           'Abort: it ends with its first output, after ' . ($took // '-'));
    }
}

# 14: a body, read or not, is no end; neither is a pipelined request (13).
sub bodies {
    for my $early (0, 1) {
        my $k = key();
        my $answer = request('POST', url('/close/block/watched/x', $k, reg => 1,
                                         early => $early, wait => 150),
                             @opt, body => 'x' x 5000);
        is($answer->body, 'ok', '14: answered');
        is(told($k, 'goes-on')->{told}, 0, '14: a body is no end');
        is(ends($k), '1 1 complete', '14: complete');
    }
    my($k, $second) = (key(), key());
    my $stream = open_stream(url('/close/block/watched/x', $k, wait => 200,
                                 reg => 1), @opt);
    told($k, 'blocks');
    $stream->send_bytes('GET ' . url('/close/block/watched/x', $second,
                                     reg => 1)
                        . " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    is($stream->wait_end, 1, '13: answered');
    $stream->again;
    is($stream->wait_end, 1, '13: and the one behind it');
    is(ends($k) . ', ' . ends($second), '1 1 complete, 1 1 complete',
       '13: each for itself');
    # FIN behind a pipelined request
    $stream = open_stream(url('/close/block/watched/x', $k = key(),
                              wait => 3000, reg => 1), @opt);
    told($k, 'blocks');
    $stream->send_bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    sleep 0.02;
    $stream->close;
    is(told($k, 'goes-on')->{told}, 1, '13: FIN behind it is seen');
    is(ends($k), qr/^1 1 (?:client|reset)$/, '13: told');
}

# 15
sub half_close {
    my $k = key();
    my $stream = open_stream(url('/close/block/watched/x', $k, wait => 200,
                                 reg => 1), @opt);
    told($k, 'blocks');
    $stream->half_close;
    is(told($k, 'begin')->{reason}, 'client', '15: close: it is an end');
    is($stream->wait_end && $stream->{body}, 'ok',
       '15: but the response is not dropped') if $name eq 'plain';
    $stream->close;
    is(ends($k), '1 1 client', '15: told');
    $stream = open_stream(url('/close/block/keep/x', $k = key(), wait => 200,
                              reg => 1), @opt);
    told($k, 'blocks');
    $stream->half_close;
    is($stream->wait_end && $stream->{body}, 'ok', '15: keep: answered')
        if $name eq 'plain';
    is(told($k, 'goes-on')->{told}, 0, '15: keep: it is none');
    $stream->close;
    is(ends($k), $name eq 'plain' ? '1 1 complete' : qr/^1 1 /, '15: complete');
}

# One request for the client is one for who is told.
sub redirects {
    my $k = key();
    is(get('/close/redirect/x', $k)->body, "target\n", 'an internal redirect');
    is(ends($k), '1 1 complete', '2: told once');
    my $id = told($k, 'open')->{id};
    is(defined access_line(qr/k=$k .*close=complete stream=\Q$id\E /), 1,
       '11: and logged');
    is(get('/close/error/none', $k = key())->code, 404, 'an ErrorDocument');
    is(ends($k), '1 1 complete', '2: told once');
    is(get('/close/to-watched/x', $k = key())->body, 'x',
       'a redirect to what is watched');
    is(ends($k), '1 1 complete', '2: is watched');
    is(get('/close/indexed/', $k = key(), sreg => 1)->body, "index\n",
       'a subrequest');
    is(names($k, 1), 'sub', '11: may register');
    is(ends($k), '1 1 complete', '2: told once');
    is(told($k, 'cb')->{reason}, 'complete', "11: the request's end");
}

# Keep-alive: a request gets no end but its own.
sub reuse {
    my @keys = map { key() } 1 .. 3;
    my $stream;
    for my $k (@keys) {
        my $url = url('/close/block/watched/x', $k, reg => 1, size => 5);
        $stream = $stream ? $stream->again($url) : open_stream($url, @opt);
        $stream->wait_end;
    }
    is(join(', ', map { ends($_) } @keys), join(', ', ('1 1 complete') x 3),
       'keep-alive: each is complete');
    $stream->close;
    sleep 0.1;
    is(join(' ', map { count_seen($_, 'cb') } @keys), '1 1 1',
       'keep-alive: the client\'s close is none of theirs');
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
        $stream = open_stream(url('/close/file/big', $k = key()), @opt,
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
            'GET ' . url('/close/file/big', $second, preg => 1)
            . " HTTP/1.1\r\nHost: localhost\r\n\r\n");
        told($second, 'open');
        sleep 0.1;
        publish("/close/sse/$k", 'x');
        is(scalar(grep { (($_->next_event(slowly(2)) // {})->{data} // '') eq 'x' }
                  @others), 4, "$how: others get their events");
        if ($how eq 'leaves') {
            $stream->reset;
            is(ends($second), qr/^1 1 (?:reset|write-error)$/, 'it is told');
        }
        else {
            $stream->again;
            $stream->wait_end;
            is(length $stream->{body}, $million, 'all of the response comes');
            is(ends($second), '1 1 complete', 'it is told');
        }
        is(names($second, 1), 'early', 'once');
    }
}
