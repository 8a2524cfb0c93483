# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Publishing: what is refused, with which words, and that nothing of it stays.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Time::HiRes qw(time sleep);

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;

my $FORM = 'application/x-www-form-urlencoded';
my $JSON = 'application/json';
my $FEED = 'text/event-stream';
my $PLAIN = 'text/plain';
my $NOT_UTF8 = "\xc3\x28";

# Type, body, status, words; then options: query, headers, dir.
my @rows = (
    # types
    ['application/xml', '<a/>', 415, qr/text\/event-stream, application\/json/],
    ['multipart/form-data; boundary=x', 'x', 415, qr/text\/plain/],
    ['text/html', 'x', 415, qr/accepted/],
    ['text/plain; charset=iso-8859-1', 'x', 415, qr/charset=utf-8/],
    ['text/plain; a=b; Charset="Latin1"', 'x', 415, qr/charset=utf-8/],
    ["$FEED;charset=utf-16", "data: x\n\n", 415, qr/charset=utf-8/],

    # plain
    [$PLAIN, '', 400, qr/body is empty/],
    [undef, '', 400, qr/body is empty/],
    [$PLAIN, "a\0b", 400, qr/NUL/],
    [$PLAIN, $NOT_UTF8, 400, qr/UTF-8/],
    [$PLAIN, "\xed\xa0\x80", 400, qr/UTF-8/],
    [$PLAIN, 'x', 400, qr/begin with sse-/, query => '?event=sse-gap'],
    [$PLAIN, 'x', 400, qr/event must not contain/, query => '?event=a%0Ab'],
    [$PLAIN, 'x', 400, qr/event must not contain/, query => '?event=a%0D'],
    [$PLAIN, 'x', 400, qr/NUL/, query => '?event=a%00'],
    [$PLAIN, 'x', 400, qr/event is given twice/,
     query => '?event=a&event=b'],
    [$PLAIN, 'x', 400, qr/retry must be/, query => '?retry=2147483648'],
    [$PLAIN, 'x', 400, qr/retry must be/, query => '?retry=-1'],
    [$PLAIN, 'x', 400, qr/retry must be/, query => '?retry='],
    [$PLAIN, 'x', 400, qr/retry must be/,
     query => '?retry=99999999999999999999999999'],
    [$PLAIN, 'x', 400, qr/hexadecimal/, query => '?event=%4'],
    [$PLAIN, 'x' x 101, 413, qr/100 bytes.*SSEMaxEventSize/, dir => 'small'],
    [$PLAIN, 'x' x 99, 413, qr/SSEMaxEventSize/, dir => 'small',
     query => '?event=ab'],
    [$PLAIN, 'x' x 65537, 413, qr/65536 bytes.*SSEMaxEventSize/],

    # form
    [$FORM, '', 400, qr/no field data/],
    [$FORM, 'event=x', 400, qr/no field data/],
    [$FORM, 'data=a&data=b', 400, qr/data is given twice/],
    [$FORM, 'data=a&retry=1&retry=1', 400, qr/retry is given twice/],
    [$FORM, 'data=a&id=&id=', 400, qr/id is given twice/],
    [$FORM, 'data=a&id=', 400, qr/1 to 256 bytes/],
    [$FORM, 'data=a&dta=b', 400, qr/no field "dta"/],
    [$FORM, 'data=a&%22%5c%01=b', 400, qr/no field "\\"\\\\\\u0001"/],
    [$FORM, 'data=%zz', 400, qr/hexadecimal/],
    [$FORM, 'data=a%', 400, qr/hexadecimal/],
    [$FORM, 'data=%00', 400, qr/NUL/],
    [$FORM, 'data=%ff', 400, qr/UTF-8/],
    [$FORM, 'data=a&event=sse-x', 400, qr/sse-/],
    [$FORM, 'data=a&event=x%0dy', 400, qr/event must not contain/],
    [$FORM, 'data=a&retry=1x', 400, qr/retry must be/],
    [$FORM, 'data=a&id=' . 'k' x 257, 400, qr/256 bytes/],
    [$FORM, 'data=' . 'x' x 101, 413, qr/SSEMaxEventSize/, dir => 'small'],
    [$FORM, 'data=' . 'x' x 10000, 413, qr/SSEMaxEventSize/, dir => 'small'],

    # JSON
    [$JSON, '', 400, qr/body is empty/],
    [$JSON, "\n ", 400, qr/body is empty/],
    [$JSON, '{}', 400, qr/must have data/],
    [$JSON, '[]', 400, qr/array has no event/],
    [$JSON, ' [ ] ', 400, qr/array has no event/],
    [$JSON, '"x"', 400, qr/must be an object.*not a string/],
    [$JSON, '5', 400, qr/must be an object.*not a number/],
    [$JSON, '{"data":"x"', 400, qr/not valid/],
    [$JSON, '{"data":"x"} {"data":"y"}', 400, qr/not valid/],
    [$JSON, '{"data":"x",}', 400, qr/not valid/],
    [$JSON, "{'data':'x'}", 400, qr/not valid/],
    [$JSON, '{"data":"x","data":"y"}', 400, qr/not valid.*duplicate/],
    [$JSON, '{"data":{"a":1,"a":2}}', 400, qr/not valid.*duplicate/],
    [$JSON, '{"data":"x","dta":1}', 400, qr/no member "dta"/],
    [$JSON, '{"data":"x","a\"\u0007":1}', 400, qr/no member "a\\"\\u0007"/],
    [$JSON, '{"data":"x","event":5}', 400, qr/event must be a string, not a n/],
    [$JSON, '{"data":"x","event":null}', 400, qr/event must be.*not null/],
    [$JSON, '{"data":"x","id":7}', 400, qr/id must be a string, not a number/],
    [$JSON, '{"data":"x","id":[]}', 400, qr/id must be a string, not an array/],
    [$JSON, '{"data":"x","id":""}', 400, qr/1 to 256 bytes/],
    [$JSON, '{"data":"x","id":"a\u0000"}', 400, qr/NUL/],
    [$JSON, '{"data":"x","id":"a\nb"}', 400, qr/id must not contain/],
    [$JSON, '{"data":"x","retry":"5"}', 400, qr/retry must be a number, not a/],
    [$JSON, '{"data":"x","retry":true}', 400, qr/not a boolean/],
    [$JSON, '{"data":"x","retry":{}}', 400, qr/not an object/],
    [$JSON, '{"data":"x","retry":-1}', 400, qr/retry must be/],
    [$JSON, '{"data":"x","retry":1.5}', 400, qr/retry must be/],
    [$JSON, '{"data":"x","retry":1e300}', 400, qr/retry must be/],
    [$JSON, '{"data":"x","retry":2147483648}', 400, qr/retry must be/],
    [$JSON, '{"data":"a\u0000b"}', 400, qr/NUL/],
    [$JSON, "{\"data\":\"a\0b\"}", 400, qr/not valid/],
    [$JSON, "{\"data\":\"$NOT_UTF8\"}", 400, qr/not valid/],
    [$JSON, '{"data":"\ud800"}', 400, qr/not valid/],
    [$JSON, '{"data":"x","event":"sse-"}', 400, qr/sse-/],
    [$JSON, '{"data":"x","event":"a\nb"}', 400, qr/event must not contain/],
    [$JSON, '{"data":' . '[' x 5000 . ']' x 5000 . '}', 400, qr/not valid.*dep/],
    [$JSON, '[' x 100000, 400, qr/array must be|not valid/],
    [$JSON, '{"data":"' . 'x' x 101 . '"}', 413, qr/SSEMaxEventSize/,
     dir => 'small'],
    [$JSON, '{"data":[' . '1,' x 60 . '1]}', 413, qr/SSEMaxEventSize/,
     dir => 'small'],
    [$JSON, ' ' x 100001, 413, qr/100000 bytes.*SSEMaxEventSize/,
     dir => 'small'],

    # arrays: all or none
    [$JSON, '[{"data":"1"},{"data":"2"},{"dat":"3"}]', 400,
     qr/event 3: there is no member/],
    [$JSON, '[{"data":"1"},5]', 400, qr/event 2: .*not a number/],
    [$JSON, '[{"data":"1"},[{"data":"2"}]]', 400, qr/event 2: .*not an array/],
    [$JSON, '[{"data":"1"},{"data":"2","event":"sse-"}]', 400, qr/event 2: /],
    [$JSON, '[{"data":"1"},]', 400, qr/event 2: .*not valid/],
    [$JSON, '[{"data":"1"} {"data":"2"}]', 400, qr/event 1: .*not valid/],
    [$JSON, '[{"data":"1"}', 400, qr/array must be/],
    [$JSON, '[{"data":"1"}}', 400, qr/array must be/],
    [$JSON, '[{"data":"1"}]x', 400, qr/array must be/],
    [$JSON, '[{"data":"1"}],[{"data":"2"}]', 400, qr/array must be/],
    [$JSON, '[{"data":"1"]}', 400, qr/not valid/],
    [$JSON, '[{"data":"1"},{"data":"' . 'x' x 101 . '"}]', 413,
     qr/event 2: .*SSEMaxEventSize/, dir => 'small'],
    [$JSON, '[' . join(',', ('{"data":1}') x 10001) . ']', 413,
     qr/at most 10000 events/],

    # keys
    [$PLAIN, 'x', 400, qr/256 bytes/,
     headers => ['Idempotency-Key' => 'k' x 257]],
    [$PLAIN, 'x', 400, qr/1 to 256 bytes/, headers => ['Idempotency-Key' => '']],
    [$PLAIN, 'x', 400, qr/UTF-8/, headers => ['Idempotency-Key' => "\xff"]],
    [$JSON, '{"data":"x","id":"a"}', 400, qr/differ/,
     headers => ['Idempotency-Key' => 'b']],
    [$FORM, 'data=x&id=a', 400, qr/differ/,
     headers => ['Idempotency-Key' => 'ab']],
    [$JSON, '[{"data":"x"}]', 400, qr/single event/,
     headers => ['Idempotency-Key' => 'a']],
    [$FEED, "data: 1\n\ndata: 2\n\n", 400, qr/single event/,
     headers => ['Idempotency-Key' => 'a']],
    [$FEED, "id: b\ndata: 1\n\n", 400, qr/differ/,
     headers => ['Idempotency-Key' => 'a']],

    # channels
    [$PLAIN, 'x', 400, qr/1 to 400 bytes/, path => '/http/named'],
    [$PLAIN, 'x', 400, qr/1 to 400 bytes/,
     path => '/http/named?' . 'n' x 401],
    [$PLAIN, 'x', 400, qr/control/, path => '/http/named?a%0ab'],
    [$PLAIN, 'x', 400, qr/control/, path => '/http/named?a%7f'],
    [$PLAIN, 'x', 400, qr/control/, path => '/http/named?a%c2%85'],
    [$PLAIN, 'x', 400, qr/UTF-8/, path => '/http/named?a%ff'],
    [$PLAIN, 'x', 400, qr/control/, path => '/http/path%09'],
    [$PLAIN, 'x', 500, qr/error log/, path => '/http/unnamed'],
    ['text/html', 'x', 415, qr/accepted/, path => '/http/several'],
);

# A stream's events before the error are published: type, body, status, words,
# how many; then options.
my @feeds = (
    ['', 400, qr/no event/, 0],
    [": hello\n\n", 400, qr/no event/, 0],
    ["event: x\n\n", 400, qr/no event/, 0],
    ["data: 1", 400, qr/no empty line/, 0],
    ["data: 1\n", 400, qr/no empty line/, 0],
    ["data: 1\n\ndata: 2\n", 400, qr/no empty line/, 1],
    ["data: 1\n\ndata: 2\n\n\0", 400, qr/NUL/, 2],
    ["data: 1\n\nda\0ta: 2\n\ndata: 3\n\n", 400, qr/NUL/, 1],
    ["data: 1\n\nid: a\0b\ndata: 2\n\n", 400, qr/NUL/, 1],
    ["data: 1\n\ndata: $NOT_UTF8\n\ndata: 3\n\n", 400,
     qr/event 2: .*UTF-8/, 1],
    ["data: 1\n\nevent: sse-x\ndata: 2\n\n", 400, qr/event 2: .*sse-/, 1],
    ["data: 1\n\nretry: 2147483648\ndata: 2\n\n", 400,
     qr/event 2: .*retry must/, 1],
    ["data: 1\n\nid: " . 'k' x 257 . "\ndata: 2\n\n", 400,
     qr/event 2: .*256 bytes/, 1],
    ["data: 1\n\ndata: " . 'x' x 101 . "\n\ndata: 3\n\n", 413,
     qr/event 2: .*SSEMaxEventSize/, 1, 'small'],
    ["data: 1\n\ndata: 2\n\ndata: " . 'x' x 100000, 413,
     qr/event 3: .*SSEMaxEventSize/, 2, 'small'],
    ["data: 1\n\n" . "data: xxxxxxxxxxxx\n" x 1000, 413,
     qr/event 2: .*SSEMaxEventSize/, 1, 'small'],
);

plan tests => 4 * @rows + 4 * @feeds + 55, need_module('mod_sse');

my $n = 0;

sub channel {
    my $dir = shift;

    return '/http/' . ($dir ? "$dir/" : '') . join '-', 'errors', $$, time, ++$n;
}

# The events a new subscriber finds, after one more was published.
sub stored {
    my($path, @opt) = @_;

    publish($path, "end $$", @opt);
    my $stream = open_stream($path, @opt);
    my @events;
    while (my $event = $stream->next_event(5)) {
        last if $event->{data} eq "end $$";
        push @events, $event;
    }
    $stream->close;
    return @events;
}

sub is_error {
    my($answer, $status, $words, $name) = @_;

    ok t_cmp($answer->code, $status, $name);
    ok t_cmp($answer->header('Content-Type'), 'application/json',
             "$name: the type");
    my $json = $answer->json;
    ok t_cmp($json && $json->{error}, $words, "$name: the words");
}

for my $row (@rows) {
    my($type, $body, $status, $words, %opt) = @$row;
    my $path = $opt{path} // channel($opt{dir});
    my @headers = (defined $type ? ('Content-Type' => $type) : (),
                   @{ $opt{headers} // [] });
    my $answer = request('POST', $path . ($opt{query} // ''), body => $body,
                         headers => [@headers]);
    my $name = join ' ', map { substr($_ // 'none', 0, 60) =~ s/[^ -~]/./gr }
        $type, $body, $opt{query} // '';
    is_error($answer, $status, $words, $name);
    ok $opt{path} ? !$answer->json->{id} : !stored($path);
}

for my $row (@feeds) {
    my($body, $status, $words, $count, $dir) = @$row;
    my $path = channel($dir);
    my $answer = request('POST', $path, body => $body,
                         headers => ['Content-Type' => $FEED]);
    my $name = "stream " . substr($body, 0, 60) =~ s/[^ -~]/./gr;
    is_error($answer, $status, $words, $name);
    my @stored = stored($path);
    my @ids = @{ $answer->json->{ids} };
    ok t_cmp([\@ids, map { $_->{data} } @stored],
             [[map { $_->{id} } @stored], 1 .. $count],
             "$name: what came before is published and named");
}

# Refused unread: the client that asked is not told to go on, and the
# connection ends, since nobody knows what comes on it next.
for my $case (['text/plain', '/http/small/expect', qr/SSEMaxEventSize/],
              [$JSON, '/http/small/expect', qr/SSEMaxEventSize/],
              [$FEED, '/http/limited/expect', qr/1000 bytes.*LimitRequestBody/]) {
    my($type, $path, $words) = @$case;
    my $stream = open_stream($path, method => 'POST',
        raw => "POST $path HTTP/1.1\r\nHost: localhost\r\n"
             . "Content-Type: $type\r\nContent-Length: 200000\r\n"
             . "Expect: 100-continue\r\n\r\n");
    ok t_cmp($stream->status, 413, "$type: too large to begin with");
    ok t_cmp($stream->header('Connection'), 'close', 'the connection ends');
    $stream->wait_end(5);
    ok t_cmp($stream->{body}, $words, 'the limit is named');
    ok $stream->{in_total} < 1000 && $stream->{ended};
    $stream->close;
}

sub chunk {
    return sprintf "%x\r\n%s\r\n", length $_[0], $_[0];
}

sub post_chunks {
    my($path, $type, $chunks, %opt) = @_;

    return open_stream($path, %opt, method => 'POST',
        raw => "POST $path HTTP/1.1\r\nHost: localhost\r\n"
             . "Content-Type: $type\r\nTransfer-Encoding: chunked\r\n\r\n"
             . $chunks);
}

sub error_of {
    my $stream = shift;

    $stream->wait_end(5);
    $stream->close;
    return ($stream->{body} =~ /"error":"([^"]*)"/)[0];
}

# A length that nobody knows before: limits hold all the same.
{
    my $path = channel('small');
    my $stream = post_chunks($path, $PLAIN, chunk('x' x 60) x 2);
    ok t_cmp($stream->status, 413, 'too large in chunks');
    ok t_cmp(error_of($stream), qr/SSEMaxEventSize/, 'the limit is named');
    ok !stored($path);

    $path = channel('limited');
    $stream = post_chunks($path, $FEED, chunk("data: 1\n\n") x 200);
    ok t_cmp($stream->status, 413, 'LimitRequestBody in chunks');
    ok t_cmp(error_of($stream), qr/1000 bytes.*LimitRequestBody/,
             'the limit is named');
    my @stored = stored($path);
    ok @stored > 50 && @stored < 200;
    ok t_cmp([$stream->{body} =~ /"(\d+)"/g], [map { $_->{id} } @stored],
             'what came before is published and named');

    for my $bad ("zz\r\nx\r\n", "5\r\nabcdefgh\r\n0\r\n\r\n") {
        $path = channel();
        $stream = post_chunks($path, $PLAIN, chunk('x') . $bad);
        ok t_cmp($stream->status, 400, 'a broken chunk');
        ok t_cmp($stream->header('Content-Type'), 'application/json',
                 'a broken chunk: the type');
        ok t_cmp(error_of($stream), qr/could not be read/,
                 'a broken chunk: the words');
        ok !stored($path);
    }
}

# The body stops coming.
{
    my $path = channel();
    my %slow = (module => 'sse_http_slow', timeout => 20);
    my $stream = post_chunks($path, $FEED, chunk("data: 1\n\nda"), %slow);
    ok t_cmp($stream->status, 408, 'the rest does not come');
    $stream->wait_end(5);
    $stream->close;
    ok t_cmp($stream->{body}, qr/^\{"error":"[^"]*in time[^"]*","ids":\["\d+"\]/,
             'what came is published and named');
}

# A client that leaves while it sends: nothing is half published, nobody is
# answered, and no error is logged.
for my $type ($PLAIN, $JSON, $FORM) {
    my $path = channel();
    my $stream = open_stream($path, method => 'POST',
        raw => "POST $path HTTP/1.1\r\nHost: localhost\r\n"
             . "Content-Type: $type\r\nContent-Length: 1000\r\n\r\n"
             . ($type eq $JSON ? '{"data":"x"}' : 'data=x'));
    $stream->half_close;
    $stream->wait_end(5);
    ok t_cmp($stream->{in_total} // 0, 0, "$type: no answer");
    $stream->close;
    ok access_line(qr/"POST \Q$path\E .* X=X /, 5);
    ok !stored($path);
}
{
    my $path = channel();
    my $stream = post_chunks($path, $FEED, chunk("data: 1\n\ndata: 2"));
    ok eventually { my $r = open_stream($path);
                    my $event = $r->next_event(0.3);
                    $r->close;
                    $event };
    $stream->reset;
    ok access_line(qr/"POST \Q$path\E .* X=X /, 5);
    ok t_cmp([map { $_->{data} } stored($path)], [1],
             'the event that was complete is published');
}
ok !error_lines(qr/\[sse:error\](?!.*of expression from)/);

# httpd's own words never take the place of ours.
for my $case (['POST', '/http/errordoc/x', 405, qr/SSEPublish On/],
              ['POST', '/http/errordoc/on/x', 400, qr/body is empty/],
              ['POST', '/http/errordoc/on/x', 413, qr/LimitRequestBody/,
               'x' x 1001]) {
    my($method, $path, $status, $words, $body) = @$case;
    is_error(request($method, $path, body => $body // ''), $status, $words,
             "ErrorDocument $status");
}

# A store that is full takes nothing, and says so.
{
    my $httpd = SSETestHttpd->new(store => 'size=64m', conf => <<'EOI');
<Location "/c/huge">
    SSEMaxEventSize 64m
    SSEReplay all
</Location>
EOI
    $httpd->start or die 'it does not start';
    my @port = (port => $httpd->port);
    my $answer = publish('/c/huge', 'x' x (64 * 1024 * 1024), @port,
                         timeout => 60);
    is_error($answer, 507, qr/store is full/, 'more than the store holds');
    ok !stored('/c/huge', @port);
    $httpd->stop;
}
