# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Subscribing: heads, what comes first, which channel it is, and that nothing
# published from then on is missed.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use POSIX ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{SSE_SAN} ? 60 : 200;

my @accepted = (
    undef, '', 'text/event-stream', 'text/*', '*/*', 'TEXT/EVENT-STREAM',
    'text/html, text/event-stream;q=0.1', 'text/event-stream;charset=utf-8',
    'text/*;q=0, text/event-stream', '*/*;q=0, text/event-stream;q=0.001',
    'text/plain;x="a,b;q=0", text/event-stream', ' text/event-stream , a/b',
    [Accept => 'text/html', Accept => 'text/event-stream'],
);
my @refused = (
    'text/html', 'text', 'text/event-streams', 'text/event-stream;q=0',
    'text/event-stream;Q=0.000', '*/*;q=0', 'text/*;q=0',
    'text/event-stream;q=0, */*, application/json;q=0', 'image/*', [Accept => 'text/html', Accept => 'a/b'],
);

my @tests = (
    \&heads, \&first_bytes, \&head_method, \&http_1_0, \&accept_header,
    \&fields, \&both_children, \&one_order, \&channels, \&wrong_channels,
    \&ids_in_queries, \&deflate, \&large_and_utf8, \&never_missed,
    \&redirects,
);
plan tests => 94, need need_module('mod_sse', 'mod_rewrite', 'mod_deflate',
                                   'mod_auth_basic', 'mod_authn_file');
$_->() for @tests;

sub json { return JSON::PP::encode_json($_[0]) }

sub publish_json {
    my($path, $event) = @_;

    return publish($path, json($event), 'Content-Type' => 'application/json')
        ->json->{id};
}

# What a stream says in its next events.
sub texts {
    my($stream, $n) = @_;

    return [map { ($stream->next_event(5) // {})->{data} } 1 .. $n];
}

sub path { return "/stream/$_[0]-$test_id" }

sub heads {
    my $stream = open_stream(path('head'));
    my($status, $headers) = $stream->head;
    my %headers = %$headers;
    delete @headers{qw(date server connection keep-alive)};

    ok t_cmp($status, 200, 'the status');
    ok t_cmp(\%headers,
             { 'content-type' => 'text/event-stream',
               'cache-control' => 'no-store', 'x-accel-buffering' => 'no',
               'x-content-type-options' => 'nosniff', 'vary' => 'Accept',
               'transfer-encoding' => 'chunked' }, 'and exactly these headers');
}

sub first_bytes {
    my $stream = open_stream(path('first'));
    ok t_cmp(($stream->next_block(5) // {})->{raw}, "retry: 2000\n\n",
             'the first bytes come without any event');
    ok !$stream->next_block(0.1);
    publish(path('first'), 'x');
    ok t_cmp(($stream->next_block(5) // {})->{data}, 'x', 'then the event');

    $stream = open_stream('/stream/retry-0/first');
    ok t_cmp(($stream->next_block(5) // {})->{raw}, ":\n\n",
             'without a retry, a comment');
}

sub head_method {
    my(undef, $get) = open_stream(path('head'))->head;
    my $stream = open_stream(path('head'), method => 'HEAD');
    my($status, $head) = $stream->head;

    ok t_cmp($status, 200, 'HEAD');
    for my $name (qw(content-type cache-control x-accel-buffering)) {
        ok t_cmp($head->{$name}, $get->{$name}, "HEAD has GET's $name");
    }
    ok !exists $head->{'content-length'};
    ok t_cmp($stream->again('/stream/status')->status, 200,
             'nothing follows the head: the connection goes on');
    ok t_cmp(access_line(qr/"HEAD \Q${\path('head')}\E /), qr/stream=- /,
             'and no stream was open');
}

sub http_1_0 {
    my $path = '/stream/aged/old';
    my $stream = open_stream($path, http => '1.0');
    my($status, $headers) = $stream->head;

    ok t_cmp($status, 200, 'HTTP/1.0');
    ok !exists $headers->{'transfer-encoding'};
    publish($path, 'old');
    ok t_cmp(texts($stream, 1), ['old'], 'HTTP/1.0 gets its event');
    ok $stream->wait_end(15);
    ok t_cmp(eventually { $stream->sock->eof }, 1,
             'and the end of the body is that of the connection');
}

sub accept_header {
    my $path = path('accept');
    my $headers = sub {
        my $accept = shift;
        return !defined $accept ? [] : ref $accept ? $accept
            : [Accept => $accept];
    };
    for my $accept (@accepted) {
        ok t_cmp(open_stream($path, headers => $headers->($accept))->status,
                 200, 'Accept: ' . json([$accept]));
    }
    for my $accept (@refused) {
        my $answer = request('GET', $path, headers => $headers->($accept));
        ok t_cmp([$answer->code, ($answer->json // {})->{error} ? 1 : 0],
                 [406, 1], 'refused by Accept: ' . json([$accept]));
    }
}

sub fields {
    my $path = path('fields');
    my $stream = open_stream($path);
    $stream->next_block(5);

    my $id = publish_json($path, { data => "a\r\nb\r\rc\n", event => 'named',
                                   retry => 77, id => 'my-own' });
    ok t_cmp($stream->next_block(5)->{raw},
             "id: $id\nevent: named\nretry: 77\ndata: a\ndata: b\ndata: \n"
             . "data: c\ndata: \n\n", 'fields in order, each line of the data');
    $id = publish_json($path, { data => '', event => 'message' });
    ok t_cmp($stream->next_block(5)->{raw}, "id: $id\ndata: \n\n",
             'the type "message" is left out, empty data is not');
    $id = publish_json($path, { data => ' :x', event => 'e v' });
    ok t_cmp($stream->next_block(5)->{raw},
             "id: $id\nevent: e v\ndata:  :x\n\n", 'a leading blank stays');
}

# Streams are opened until two children have some.
sub both_children {
    my $path = path('children');
    my(@streams, %pids);
    my $opened = 0;
    my $end = time + slowly(30);
    my $most = ($ENV{SSE_MPM} // '') eq 'prefork' ? 30 : 110;

    while (keys %pids < 2 && (@streams < $most || time < $end)) {
        # Where one child has them all, the oldest make room.
        $_->close for @streams < $most ? () : splice @streams, 0, 5;
        push @streams, map { open_stream($path) } 1 .. 5;
        $opened += 5;
        $_->head for @streams;
        my $line = qr/stream (\S+) open on \Q$path\E$/m;
        eventually { error_lines($line) == $opened };
        %pids = map { /$line/ ? (stream_pid($1) => 1) : () }
            error_lines($line);
        # What keeps one child awake lets the other one have the connections.
        publish($path, 'wake') for 1 .. 3;
    }
    ok t_cmp(scalar(keys %pids) >= 2, 1,
             scalar(@streams) . ' streams are in two children');
    my $id = publish($path, 'to all')->json->{id};
    my $got = 0;
    for my $stream (@streams) {
        my $event;
        1 while ($event = $stream->next_event(5)) && $event->{id} < $id;
        ++$got if $event && $event->{id} == $id;
    }
    ok t_cmp($got, scalar @streams, 'and each of them gets the event');
}

sub one_order {
    my($publishers, $events) = (4, 25);
    my $path = path('order');
    my @streams = map { open_stream($path) } 1 .. 12;
    $_->head for @streams;

    my @pids = map {
        my $n = $_;
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            publish($path, "$n-$_") for 1 .. $events;
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. $publishers;
    my @orders = map {
        my $stream = $_;
        [map { $stream->next_event(10) // {} } 1 .. $publishers * $events];
    } @streams;
    waitpid $_, 0 for @pids;

    my @texts = map { $_->{data} // '?' } @{ $orders[0] };
    my @ids = map { $_->{id} // 0 } @{ $orders[0] };
    ok t_cmp([sort @texts],
             [sort map { my $n = $_; map { "$n-$_" } 1 .. $events }
              1 .. $publishers], 'all that four published at once, each once');
    my %by;
    push @{ $by{(split /-/)[0]} }, (split /-/)[1] for @texts;
    ok t_cmp(\%by, { map { $_ => [1 .. $events] } 1 .. $publishers },
             "each publisher's in its own order");
    ok t_cmp(\@ids, [sort { $a <=> $b } @ids], 'the ids grow');
    my $same = grep {
        join(' ', map { $_->{id} // 0 } @$_) eq "@ids"
    } @orders;
    ok t_cmp($same, scalar @orders, 'in the same order for all');
}

sub alone {
    my($name, $text) = @_;
    return publish("/stream/channel/alone/$name", $text)->code;
}

sub channels {
    my $stream = open_stream("/stream/channel/uri/$$?x=1");
    $stream->head;
    alone("here:/stream/channel/uri/$$", 'by its URI');
    ok t_cmp(texts($stream, 1), ['by its URI'], 'the channel is an expression');

    $stream = open_stream("/stream/channel/query?a%26b-$$");
    $stream->head;
    my $other = open_stream("/stream/channel/query?other-$$");
    $other->head;
    alone("asked:a%26b-$$", 'asked');
    ok t_cmp(texts($stream, 1), ['asked'], 'of the query string');
    ok !$other->next_event(0.1);

    my %users = map {
        my $stream = open_stream(
            '/stream/channel/user', headers =>
            { Authorization => 'Basic ' . encode_base64("$_:secret", '') });
        $stream->head;
        ($_ => $stream);
    } qw(ann bob);
    alone("user-$_", "to $_ alone") for qw(ann bob);
    ok t_cmp(texts($users{$_}, 1), ["to $_ alone"],
             'of the user that httpd has authenticated') for qw(ann bob);
    ok t_cmp(request('GET', '/stream/channel/user')->code, 401,
             'and nobody else comes in');

    $stream = open_stream('/stream/channel/several');
    $stream->head;
    alone('several-a', 1);
    alone('several-b', 2);
    alone('several-a', 3);
    alone('several-c', 4);
    ok t_cmp(texts($stream, 3), [1, 2, 3],
             'several channels, one of them named twice');
    ok !$stream->next_event(0.1);
    $stream->close;
    ok t_cmp(access_line(qr/channel=several-a several-b X/),
             qr/close=client .* events=3 /, 'the log names each once');
}

sub wrong_channels {
    for my $name ('x' x 401, '%01', 'a%7Fb', '%C2%85', '%FF', '%ED%A0%80') {
        my $answer = request('GET', "/stream/channel/alone/$name");
        ok t_cmp([$answer->code, ($answer->json // {})->{error} ? 1 : 0],
                 [400, 1], 'no name for a channel: ' . substr $name, 0, 9);
    }
    ok t_cmp(open_stream('/stream/channel/alone/' . 'x' x 400)->status, 200,
             '400 bytes are one');
    my $answer = request('GET', '/stream/channel/failing');
    ok t_cmp([$answer->code, ($answer->json // {})->{error} ? 1 : 0],
             [500, 1], 'an expression that fails');
}

sub ids_in_queries {
    my $path = path('query');
    my @ids = map { publish($path, $_)->json->{id} } 1 .. 3;

    for my $name (qw(last-event-id lastEventId lastEventID last_event_id)) {
        ok t_cmp(texts(open_stream("$path?a=b&$name=$ids[0]"), 2), [2, 3],
                 "$name in the query string");
    }
    my $hex = join '', map { sprintf '%%%02X', ord } split //, $ids[1];
    ok t_cmp(texts(open_stream("$path?lastEventID=&last-event-id=$hex&x"), 1),
             [3], 'written in hexadecimal, behind an empty one');
    ok t_cmp(texts(open_stream("$path?last-event-id=$ids[0]", headers =>
                               { 'Last-Event-ID' => $ids[1] }), 1), [3],
             'the header has precedence');
}

sub deflate {
    my $path = "/stream/deflate/$$";
    my $stream = open_stream($path, headers => { 'Accept-Encoding' => 'gzip' });

    ok t_cmp($stream->header('Content-Encoding'), 'gzip', 'compressed');
    ok t_cmp(($stream->next_block(5) // {})->{raw}, "retry: 2000\n\n",
             'the first bytes come at once');
    for my $text ('small', 'x' x 5000, 'again') {
        publish($path, $text);
        ok t_cmp(texts($stream, 1), [$text], 'and each event');
    }
}

sub large_and_utf8 {
    my $path = path('large');
    my @streams = map { open_stream($path) } 1 .. 3;
    $_->head for @streams;

    my $large = join '', map { chr(33 + $_ % 90) } 1 .. 65535;
    publish($path, $large);
    ok t_cmp((grep { ((texts($_, 1))->[0] // '') eq $large } @streams) + 0, 3,
             'an event of 64k');
    my $text = "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBB\xBF";
    publish($path, $text);
    ok t_cmp(texts($streams[0], 1), [$text], 'UTF-8, byte for byte');
}

# From the moment that a client has the head it misses nothing.
sub never_missed {
    my @missed;

    for my $round (1 .. $rounds) {
        my $path = path("missed-$round");
        my $stream = open_stream($path);
        $stream->head;
        sleep 0.001 * ($round % 3) / 2;
        publish($path, $round);
        push @missed, $round
            if ((texts($stream, 1))->[0] // '') ne $round;
        $stream->close;
    }
    ok t_cmp("@missed", '', "$rounds events just after the head");
}

sub redirects {
    my $way = sub {
        my($name, $path, $status) = @_;
        my $stream = open_stream($path);
        ok t_cmp($stream->status, $status, "$name: the status");
        ok t_cmp(($stream->next_block(5) // {})->{raw}, "retry: 2000\n\n",
                 "$name: the first bytes");
        publish('/stream/redirected', $name);
        ok t_cmp(texts($stream, 1), [$name], "$name: an event");
        $stream->close;
        ok t_cmp(access_line(qr/"GET \Q$path\E /),
                 qr/close=client .* events=1 channel=\S*redirected /,
                 "$name: the end is seen");
    };

    $way->('mod_rewrite', '/stream/by/rewrite', 200);
    $way->('mod_dir', '/stream-directory/', 200);
    $way->('ErrorDocument', '/stream/by/error', 404);
    ok no_streams();
}
