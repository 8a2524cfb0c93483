# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What every answer has, whatever the request asked for: all of it, its type
# and no other, and what of the client's own text comes back in it.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;

my $path = "/http/answers/$$-" . time;

# Method, path, status.
my @answers = (
    ['GET', $path, 200],
    ['HEAD', $path, 200],
    ['OPTIONS', $path, 204],
    ['POST', $path, 200],
    ['DELETE', $path, 200],
    ['PUT', $path, 405],
    ['POST', '/http/closed/x', 405],
    ['POST', "/http/small/x?event=sse-x", 400],
    ['GET', '/http/named', 400],
    ['GET', '/http/status', 200],
    ['POST', '/http/status', 405],
);
my @ranges = (
    ['Range' => 'bytes=0-4'],
    ['Range' => 'bytes=5-'],
    ['Range' => 'bytes=-3'],
    ['Range' => 'bytes=0-1,3-4'],
    ['Range' => 'bytes=100000-'],
    ['Request-Range' => 'bytes=0-4'],
    ['Range' => 'bytes=0-4', 'If-Range' => '"x"'],
    ['If-None-Match' => '*'],
    ['If-Modified-Since' => 'Fri, 01 Jan 2100 00:00:00 GMT'],
);
my @echoes = (
    ['%3Cimg%20src=x%20onerror=alert(1)%3E',
     '<img src=x onerror=alert(1)>'],
    ['%22%27%26%60%5C', q("'&`\\)],
    ["%E2%80%A8%E2%80%A9%E2%80%AA", "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"],
    ['%01%7F%0A%C3%A9%F0%9F%98%80', "\x01\x7f\n\xc3\xa9\xf0\x9f\x98\x80"],
    ['%C3(', '(not UTF-8)'],
    ['%3C' x 300, '<' x 256],
);

plan tests => 2 * @answers + 3 * 4 * @ranges + 4 * @echoes + 8,
    need_module('mod_sse');

sub ask {
    my($method, $url, @headers) = @_;

    my @body = $method =~ /^(?:POST|PUT)$/ ? (body => 'x') : ();
    my $stream = open_stream($url, method => $method, close => 1, @body,
                             headers => [@headers]);
    $stream->head;
    return $stream;
}

for my $row (@answers) {
    my($method, $url, $status) = @$row;
    my $stream = ask($method, $url);
    ok t_cmp($stream->status, $status, "$method $url");
    ok t_cmp($stream->header('X-Content-Type-Options'), 'nosniff',
             "$method $url: nosniff");
    $stream->close;
}

# No part of an answer, and none that is not modified.
for my $headers (@ranges) {
    for my $row (['POST', $path], ['GET', '/http/status'], ['GET', $path]) {
        my($method, $url) = @$row;
        my $name = "$method $url with @$headers";
        my $stream = ask($method, $url, @$headers);
        ok t_cmp($stream->status, 200, $name);
        ok t_cmp($stream->header('Content-Range'), undef, "$name: no range");
        ok t_cmp($stream->header('Content-Type'),
                 $method eq 'GET' && $url eq $path ? 'text/event-stream'
                                                   : 'application/json',
                 "$name: its own type");
        if ($stream->header('Content-Type') eq 'text/event-stream') {
            ok t_cmp($stream->next_block(5)->{retry}, 2000, "$name: the stream");
        }
        else {
            $stream->wait_end(5);
            ok t_cmp($stream->{body}, qr/\A\{.*\}\n?\z/, "$name: all of it");
        }
        $stream->close;
    }
}

# What a client gave as its last id comes back in a form that does no harm to a
# page that shows it as it is.
for my $row (@echoes) {
    my($query, $text) = @$row;
    my $stream = open_stream("$path?last-event-id=$query");
    my $gap = $stream->next_event(5);
    ok t_cmp($gap->{event}, 'sse-gap', "$query: a gap");
    my $json = eval { JSON::PP->new->utf8->decode($gap->{data}) } // {};
    my $after = $json->{after} // '';
    utf8::encode($after);
    ok t_cmp($after, $text, "$query: the id");
    (my $string = $gap->{data}) =~ s/\A\{"after":"(.*?)","oldest":.*\z/$1/;
    ok t_cmp($string, qr/\A[^<>&'"`\x00-\x1f\x7f]*\z/, "$query: no markup");
    ok $string !~ /\xe2\x80[\xa8\xa9]/;
    $stream->close;
}

# The answer names the namespace, which is the virtual host's.
{
    my $answer = publish($path, 'x');
    ok t_cmp($answer->body, qr/^\{"channel":"\Q$path\E",
             "namespace":"localhost","id":"\d+"\}\n$/x, 'one event');
    $answer = publish($path, 'x', module => 'sse_named');
    ok t_cmp($answer->json->{namespace}, 'site.example', 'another host');
    $answer = publish($path, "data: 1\n\ndata: 2\n\n",
                      'Content-Type' => 'text/event-stream');
    ok t_cmp($answer->body, qr/^\{"channel":"\Q$path\E",
             "namespace":"localhost","ids":\["\d+","\d+"\]\}\n$/x, 'several');
    $answer = publish($path, '[{"data":"1"}]',
                      'Content-Type' => 'application/json');
    ok t_cmp($answer->json->{namespace}, 'localhost', 'a batch');
    $answer = publish('/http/several', 'x');
    ok t_cmp($answer->body, qr/"channels":\[[^]]+\],"namespace":"localhost",/,
             'several channels');
    $answer = request('DELETE', $path);
    ok t_cmp($answer->body, qr/^\{"channel":"\Q$path\E",
             "namespace":"localhost","id":"\d+"\}\n$/x, 'a deletion');

    # What is published in one is not seen in the other.
    publish($path, 'here');
    publish($path, 'there', module => 'sse_named');
    my $stream = open_stream($path, module => 'sse_named');
    my @got = map { ($stream->next_event(5) // {})->{data} // '' } 1 .. 2;
    ok t_cmp($got[-1], 'there', 'two namespaces, two channels');
    ok t_cmp([grep { $_ eq 'here' } @got], [], 'which never meet');
    $stream->close;
}
