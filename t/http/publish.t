# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Publishing: each type of body, and what subscribers get of it.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Time::HiRes qw(time);

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestWait;

my $FORM = 'application/x-www-form-urlencoded';
my $JSON = 'application/json';
my $FEED = 'text/event-stream';

# What is sent, and the events that come of it: [type, data, retry].
my @rows = (
    ['a plain body', 'text/plain', 'hello', ['message', 'hello']],
    ['no Content-Type', undef, 'hello', ['message', 'hello']],
    ['an empty Content-Type', '', 'hello', ['message', 'hello']],
    ['a type in capitals, with parameters', 'TEXT/Plain ; charset="UTF-8"',
     "\xc3\xa9\xf0\x9f\x98\x80", ['message', "\xc3\xa9\xf0\x9f\x98\x80"]],
    ['ASCII', 'text/plain; format=flowed; charset=us-ascii', 'a',
     ['message', 'a']],
    ['every kind of line end', 'text/plain', "a\r\nb\rc\n\nd\n",
     ['message', "a\nb\nc\n\nd\n"]],
    ['spaces and colons', 'text/plain', " a\n: b\n  data: c ",
     ['message', " a\n: b\n  data: c "]],
    ['a line end alone', 'text/plain', "\n", ['message', "\n"]],
    ['a plain body of which the query says the type', 'text/plain', 'x',
     ['a b&c', 'x', 1500], '?event=a+b%26c&retry=1500&other=1'],
    ['a query that is not about it', 'text/plain', 'x', ['message', 'x'],
     '?channel=5&x'],

    ['a form', $FORM, 'data=a%26b+c%0Ad&event=greeting&retry=0',
     ['greeting', "a&b c\nd", 0]],
    ['a form with empty data', "$FORM; charset=UTF-8", 'data=',
     ['message', '']],
    ['a form with data without a value', $FORM, 'event=e&data', ['e', '']],
    ['a form with empty pairs', $FORM, '&data=%C3%A9&&', ['message', "\xc3\xa9"]],
    ['a form with an escaped name', $FORM, 'd%61ta=1=2', ['message', '1=2']],

    ['a JSON object', $JSON,
     '{"data":"a\nb \u00e9","event":"e","retry":2147483647}' =~ s/\n/\\n/r,
     ['e', "a\nb \xc3\xa9", 2147483647]],
    ['JSON with empty data', $JSON, ' { "data" : "" } ', ['message', '']],
    ['JSON with a type that says nothing', $JSON, '{"event":"","data":"x"}',
     ['message', 'x']],
    ['data that is an object', $JSON,
     qq({"event":"e", "data": {"b" : [1, "x  \\" y" ],\n "a":{}} ,"retry":7}),
     ['e', '{"b":[1,"x  \" y"],"a":{}}', 7]],
    ['numbers as they were sent', $JSON,
     '{"data":[1.10, 12345678901234567890, 1e2, -0, 0.1]}',
     ['message', '[1.10,12345678901234567890,1e2,-0,0.1]']],
    ['data that is a number', $JSON, '{"data": 1.50 }', ['message', '1.50']],
    ['data that is null', "$JSON;charset=utf-8", '{"data":null}',
     ['message', 'null']],
    ['data that is a boolean', $JSON, "{\"data\":\ttrue\n}",
     ['message', 'true']],
    ['the data of the object, not of one in it', $JSON,
     '{"retry":1,"data":{"data":"x","retry":[{"data":2}]}}',
     ['message', '{"data":"x","retry":[{"data":2}]}', 1]],
    ['an escaped member name', $JSON, '{"d\u0061ta":[ 1 ]}', ['message', '[1]']],

    ['one event', $FEED, "event: e\nretry: 10\ndata: a\ndata: b\n\n",
     ['e', "a\nb", 10]],
    ['a byte order mark and comments', $FEED,
     "\xef\xbb\xbf: hello\n\ndata:  x\n: y\nfoo: z\n\n", ['message', ' x']],
    ['an event without data is none', $FEED,
     "event: no\nid: 1\n\ndata: x\nid\n\n", ['message', 'x']],
    ['empty data', $FEED, "data\r\n\r\n", ['message', '']],
);

# The same for bodies of several events.
my @batches = (
    ['an array', $JSON,
     '[{"data":"1","event":"e"} , {"data":{"x":"]}"}},{"data":3}]',
     ['e', 1], ['message', '{"x":"]}"}'], ['message', 3]],
    ['an array of one', $JSON, ' [ {"data":"1"} ] ', ['message', 1]],
    ['a stream of events', "$FEED; charset=utf-8",
     "data: 1\n\nevent: e\ndata: 2\n\n: x\n\ndata: 3\r\n\r\n",
     ['message', 1], ['e', 2], ['message', 3]],
    ['a long array', $JSON,
     '[' . join(',', map { qq({"data":"$_"}) } 1 .. 500) . ']',
     map { ['message', $_] } 1 .. 500],
    ['a long stream', $FEED, join('', map { "data: $_\n\n" } 1 .. 900),
     map { ['message', $_] } 1 .. 900],
);

plan tests => 5 * @rows + 5 * @batches + 43, need_module('mod_sse');

my $n = 0;

# A channel nobody has used.
sub channel {
    return join '-', '/http/publish', $$, int time, ++$n;
}

sub post {
    my($path, $type, $body, @headers) = @_;

    unshift @headers, 'Content-Type' => $type if defined $type;
    return request('POST', $path, body => $body, headers => [@headers]);
}

# The events a new subscriber finds, and a mark that was published last.
sub stored {
    my($path, %opt) = @_;

    post($path, 'text/plain', "end $$");
    my $stream = open_stream($path, %opt);
    my @events;
    while (my $event = $stream->next_event(5)) {
        last if $event->{data} eq "end $$";
        push @events, $event;
    }
    $stream->close;
    return @events;
}

sub fields {
    return [map { [@$_{qw(event data)}, $_->{retry} // ()] } @_];
}

for my $row (@rows) {
    my($name, $type, $body, $event, $query) = @$row;
    my $path = channel();
    my $answer = post($path . ($query // ''), $type, $body);
    ok t_cmp($answer->code, 200, "$name: published");
    ok t_cmp($answer->header('Content-Type'), 'application/json',
             "$name: the answer's type");
    my $id = $answer->json->{id};
    ok t_cmp($answer->body, qr/^\{"channel":"\Q$path\E",
             "namespace":"localhost","id":"\d+"\}\n$/x,
             "$name: the answer");
    my @events = stored($path);
    ok t_cmp(fields(@events), [$event], "$name: the event");
    ok t_cmp($events[0]{id}, $id, "$name: its id");
}

for my $row (@batches) {
    my($name, $type, $body, @events) = @$row;
    my $path = channel();
    my $answer = post($path, $type, $body);
    ok t_cmp($answer->code, 200, "$name: published");
    ok t_cmp($answer->json->{channel}, $path, "$name: the channel");
    ok !exists $answer->json->{id};
    my @stored = stored($path);
    ok t_cmp(fields(@stored), \@events, "$name: the events");
    ok t_cmp([map { $_->{id} } @stored], $answer->json->{ids},
             "$name: their ids");
}

# CR alone ends lines.
{
    my $path = channel();
    my $answer = post($path, $FEED, "data: a\r\rdata: b\r\r");
    ok t_cmp($answer->code, 200, 'CR alone');
    ok t_cmp(fields(stored($path)), [['message', 'a'], ['message', 'b']],
             'CR alone: the events');
}

# Exactly as large as allowed, whatever the type of body.
for my $case (['text/plain', 'x' x 100], [$FORM, 'data=' . '%78' x 100],
              [$JSON, '{"data":"' . '\u0078' x 100 . '"}'],
              [$FEED, 'data: ' . 'x' x 100 . "\n\n"]) {
    my($type, $body) = @$case;
    my $path = "/http/small/$$-" . ++$n;
    ok t_cmp(post($path, $type, $body)->code, 200, "$type: the largest");
}

# The same key is the same event.
{
    my $path = channel();
    my @keys = (
        ['application/json', '{"data":"1","id":"k"}'],
        ['application/json', '{"data":"2","id":"k"}'],
        ['text/plain', '3', 'Idempotency-Key' => 'k'],
        ['application/json', '{"data":"4","id":"k"}', 'Idempotency-Key' => 'k'],
        [$FORM, 'data=5&id=%6b'],
        [$FEED, "id: k\ndata: 6\n\n"],
        [$FEED, "data: 7\n\n", 'Idempotency-Key' => 'k'],
    );
    my @answers = map { post($path, @$_) } @keys;
    ok t_cmp([map { $_->code } @answers], [(200) x @keys], 'keys');
    my $id = $answers[0]->json->{id};
    ok t_cmp([map { $_->json->{id} } @answers], [($id) x @keys],
             'every repetition is answered with the first one');
    my $batch = post($path, 'application/json',
                     '[{"data":"8","id":"m"},{"data":"9","id":"k"},'
                     . '{"data":"10","id":"m"}]');
    ok t_cmp($batch->code, 200, 'keys in a batch');
    my @ids = @{ $batch->json->{ids} };
    ok t_cmp($ids[1], $id, 'known from before');
    ok t_cmp($ids[2], $ids[0], 'known from the batch itself');
    ok t_cmp(fields(stored($path)), [['message', 1], ['message', 8]],
             'each key is there once');
    my $longest = 'k' x 256;
    ok t_cmp(post($path, 'text/plain', 'x', 'Idempotency-Key' => $longest)->code,
             200, 'the longest key');
    my $other = channel();
    ok t_cmp(post($other, @{ $keys[0] })->json->{id}, qr/^(?!$id$)\d+$/,
             'a key belongs to its channel');
}

# Each event leaves when it is complete, not when the body is.
{
    my $path = channel();
    my $stream = open_stream($path, raw => "POST $path HTTP/1.1\r\n"
        . "Host: localhost\r\nContent-Type: $FEED\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n");
    $stream->send_bytes(chunk("data: 1\n\nda"));
    my $first = eventually {
        my $reader = open_stream($path);
        my $event = $reader->next_event(0.3);
        $reader->close;
        $event;
    };
    ok t_cmp($first->{data}, 1, 'published while the body is still coming');
    ok !$stream->fill(time);
    $stream->send_bytes(chunk($_)) for split //, "ta: 2\r\n\r\ndata: 3\n";
    $stream->send_bytes(chunk("\n") . "0\r\n\r\n");
    ok t_cmp($stream->status, 200, 'published bit by bit');
    ok $stream->wait_end(5);
    $stream->close;
    ok t_cmp(fields(stored($path)), [map { ['message', $_] } 1 .. 3],
             'a body cut anywhere');
}

sub chunk {
    return sprintf "%x\r\n%s\r\n", length $_[0], $_[0];
}

# A whole body in chunks.
{
    my $path = channel();
    my $body = join '', map { chunk($_) } '{"da', 'ta":"', 'x' x 20000, '"}';
    my $stream = open_stream($path, raw => "POST $path HTTP/1.1\r\n"
        . "Host: localhost\r\nConnection: close\r\nContent-Type: $JSON\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n${body}0\r\n\r\n");
    ok t_cmp($stream->status, 200, 'a body in chunks');
    $stream->close;
    ok t_cmp([map { length $_->{data} } stored($path)], [20000],
             'a body in chunks: the event');
}

# A client that asks first is told to go on, and the connection lives.
{
    my $path = channel();
    my $stream = open_stream($path, raw => "POST $path HTTP/1.1\r\n"
        . "Host: localhost\r\nContent-Type: text/plain\r\n"
        . "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    ok $stream->fill(SSETestWait::patience(5));
    ok !$stream->{status}; # what came was 100, which the client passes by
    $stream->send_bytes('first');
    ok t_cmp($stream->status, 200, 'after 100 Continue');
    ok $stream->wait_end(5);
    delete @$stream{qw(status ended complete)};
    $stream->send_bytes("POST $path HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: close\r\nContent-Length: 6\r\n\r\nsecond");
    ok t_cmp($stream->status, 200, 'a second one on the same connection');
    $stream->close;
    ok t_cmp(fields(stored($path)),
             [['message', 'first'], ['message', 'second']], 'both are there');
}

# Several channels: one event each, the ids in the order of the channels.
{
    my $answer = post('/http/several', 'text/plain', "several $$");
    ok t_cmp($answer->code, 200, 'two channels');
    ok t_cmp($answer->json->{channel}, '/http/several-a', 'the first one');
    ok t_cmp($answer->json->{channels}, ['/http/several-a', '/http/several-b'],
             'each once');
    my $ids = $answer->json->{ids};
    for my $i (0, 1) {
        my @events = stored($answer->json->{channels}[$i]);
        my @ours = grep { $_->{data} eq "several $$" } @events;
        ok t_cmp([map { $_->{id} } @ours], [$ids->[$i]],
                 "channel $i has its own");
    }
}

# A name that needs quoting in the answer.
{
    my $name = "\"\\\xc3\xa9 <$$>";
    my $query = join '', map { sprintf '%%%02x', ord } split //, $name;
    my $answer = post("/http/named?$query", 'text/plain', 'x');
    ok t_cmp($answer->code, 200, 'an unusual channel');
    ok t_cmp($answer->body, qr/^\{"channel":"\\"\\\\\xc3\xa9 <$$>","namespace":/,
             'its name is quoted');
    my $long = 'n' x 400;
    ok t_cmp(post("/http/named?$long", 'text/plain', 'x')->json->{channel},
             $long, 'the longest name');
}

# Ids grow, over all channels.
{
    my @ids = map { post(channel(), 'text/plain', 'x')->json->{id} } 1 .. 3;
    ok $ids[0] < $ids[1];
    ok $ids[1] < $ids[2];
}

# DELETE forgets the events, and the keys with them.
{
    my $path = channel();
    my $first = post($path, $JSON, '{"data":"1","id":"k"}')->json->{id};
    my $answer = request('DELETE', $path);
    ok t_cmp($answer->code, 200, 'DELETE');
    ok t_cmp($answer->body, qr/^\{"channel":"\Q$path\E",
             "namespace":"localhost","id":"\d+"\}\n$/x,
             'its answer');
    my $again = post($path, $JSON, '{"data":"2","id":"k"}');
    ok $again->json->{id} > $first;
    ok t_cmp(fields(stored($path)), [['message', 2]], 'what came after');
    ok t_cmp(request('DELETE', channel())->code, 200, 'nobody knows it');
    my $both = request('DELETE', '/http/several');
    ok t_cmp($both->body, qr/"channels":\[.+\],"namespace":"localhost","ids":\["\d+","\d+"\]\}$/,
             'two channels');
}
