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
            'close/file/error' => "an error page\n",
            'close/plain/target' => "target\n",
            'close/indexed/index.html' => "index\n");

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my @each = (\&files, \&told_while_blocked, \&bodies, \&half_close,
            \&redirects, \&reuse);
plan tests => 60 * @ways - 2 + 1,
    need_module('mod_sse', 'mod_sse_close', 'mod_sse_block', 'mod_ssl',
                'mod_rewrite');

# A TLS client closes with the server's tickets unread, which makes RST of it.
my $left = qr/^(?:client|reset)$/;
my $one = qr/^1 1 (?:client|reset)$/;
my($name, @opt);
for my $way (@ways) {
    ($name, @opt) = @$way;
    $_->() for @each;
}
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

# The openings and ends that were told once the request is over: it is logged
# behind them.
sub ends_untold {
    my $k = shift;

    access_line(qr/k=$k\b/) or return 'not logged';
    return count_seen($k, 'open') . ' ' . count_seen($k, 'close');
}

# The handler neither reads nor writes.
sub told_while_blocked {
    for my $path ('/close/block/x', '/close/block/watched/x') {
        for my $how ('close', 'reset') {
            my $k = key();
            my $stream = open_stream(url($path, $k, reg => 1, wait => 20_000),
                                     @opt);
            told($k, 'blocks');
            sleep 0.05;
            my $began = monotonic();
            $stream->$how;
            my $told = told($k, 'begin');
            is($told->{reason}, $how eq 'close' ? $left : 'reset',
               "11: told while it blocks, $how");
            my $took = $told->{usec} - $began;
            is($took < slowly(8_000_000), 1, "12: after $took us");
            is(told($k, 'goes-on')->{told}, 1, '11: so it can go on');
            is($path =~ /watched/ ? ends($k) : ends_untold($k),
               $path =~ /watched/ ? qr/^1 1 (?:client|reset)$/ : '0 0',
               '2: hooks only where SSEWatch says so')
                if $how eq 'reset' && $path =~ /watched/ || $how eq 'close';
        }
    }
    # 3, 4: registered in an earlier phase, and after the end
    my $k = key();
    my $stream = open_stream(url('/close/block/x', $k, preg => 1, reg => 1,
                                 late => 1, wait => 20_000), @opt);
    told($k, 'blocks');
    $stream->close;
    is(names($k, 3), 'early block late', '3, 4: in order, the last one late');
    my %reasons = map { $_->{reason} => 1 } seen($k, 'cb');
    is(join(' ', keys %reasons), $left, '3: all with one reason');
    is(get('/close/block/x', $k = key(), preg => 1, late => 1)->body, 'ok',
       'a request that is answered');
    is(names($k, 2), 'early late', '11: is complete for all');
    is(join(' ', map { $_->{reason} . $_->{by} } seen($k, 'cb')),
       'complete0 complete0', '6: the client did not leave');
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
                              wait => 20_000, reg => 1), @opt);
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
    my $stream = open_stream(url('/close/block/watched/x', $k, wait => 20_000,
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
