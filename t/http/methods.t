# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Methods: which there are, and what all answers have.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();

use Apache::Test;
use Apache::TestUtil;
use SSETest;

my $ALL = 'GET, HEAD, OPTIONS, POST, DELETE';
my $READ = 'GET, HEAD, OPTIONS';

# Method, path, status, Allow, words.
my @rows = (
    ['PUT', 'open', 405, $ALL, qr/PUT is not allowed here, only GET/],
    ['PATCH', 'open', 405, $ALL, qr/PATCH is not/],
    ['PROPFIND', 'open', 405, $ALL, qr/PROPFIND is not/],
    ['BREW', 'open', 405, $ALL, qr/BREW is not/],
    ['get', 'open', 405, $ALL, qr/get is not/],
    ['PUT', 'closed/x', 405, $READ, qr/only GET, HEAD, OPTIONS/],
    ['POST', 'closed/x', 405, $READ, qr/SSEPublish On/],
    ['DELETE', 'closed/x', 405, $READ, qr/SSEPublish On/],
    ['POST', 'errordoc/x', 405, $READ, qr/SSEPublish On/],
);

plan tests => 7 * @rows + 28, need_module('mod_sse');

for my $row (@rows) {
    my($method, $path, $status, $allow, $words) = @$row;
    my $answer = request($method, "/http/$path", body => 'x');
    my $name = "$method $path";
    ok t_cmp($answer->code, $status, $name);
    ok t_cmp($answer->header('Allow'), $allow, "$name: Allow");
    ok t_cmp($answer->json && $answer->json->{error}, $words, "$name: words");
    ok t_cmp($answer->header('Content-Type'), 'application/json',
             "$name: type");
    ok t_cmp($answer->header('Content-Length'), length $answer->body,
             "$name: length");
    ok t_cmp($answer->header('Cache-Control'), 'no-store', "$name: cache");
    ok t_cmp($answer->header('X-Content-Type-Options'), 'nosniff',
             "$name: nosniff");
}

for my $case (['open', $ALL], ['closed/x', $READ]) {
    my($path, $allow) = @$case;
    my $answer = request('OPTIONS', "/http/$path");
    ok t_cmp($answer->code, 204, "OPTIONS $path");
    ok t_cmp($answer->header('Allow'), $allow, "OPTIONS $path: Allow");
    ok t_cmp($answer->body, '', "OPTIONS $path: no body");
    ok !exists $answer->headers->{'content-type'};
    ok !exists $answer->headers->{'content-length'};
    ok t_cmp($answer->header('Cache-Control'), 'no-store', 'not cached');
}

# A success has the same headers.
for my $method (qw(POST DELETE)) {
    my $answer = request($method, '/http/open', body => 'x');
    ok t_cmp($answer->code, 200, $method);
    ok t_cmp($answer->header('Cache-Control'), 'no-store', "$method: cache");
    ok t_cmp($answer->header('X-Content-Type-Options'), 'nosniff',
             "$method: nosniff");
    ok t_cmp($answer->header('Content-Length'), length $answer->body,
             "$method: length");
}

# TRACE is httpd's own, whatever the handler, and TraceEnable's to refuse.
{
    my $answer = request('TRACE', '/http/open');
    ok t_cmp($answer->header('Content-Type'), 'message/http', 'TRACE');
}

# The head of an error, without its words.
{
    my $stream = open_stream('/http/named?a%0ab', method => 'HEAD', close => 1);
    ok t_cmp($stream->status, 400, 'HEAD of an error');
    ok t_cmp($stream->header('Content-Type'), 'application/json', 'its type');
    ok t_cmp(all_of($stream), '', 'and nothing behind it');
    $stream->close;
}

# The body of a refused method is passed over, and the next request is read.
{
    my $stream = open_stream('/http/closed/x', method => 'POST',
        raw => "POST /http/closed/x HTTP/1.1\r\nHost: localhost\r\n"
             . "Content-Length: 5\r\n\r\nGET /"
             . "OPTIONS /http/open HTTP/1.1\r\nHost: localhost\r\n"
             . "Connection: close\r\n\r\n");
    ok t_cmp($stream->status, 405, 'refused');
    ok $stream->wait_end(5);
    ok t_cmp(all_of($stream), qr{^HTTP/1\.1 204 }, 'and the next one');
    $stream->close;
}

# Only where the handler is ours.
ok t_cmp(request('POST', '/http-not-ours', body => 'x')->code, 404,
         'elsewhere nothing changes');

# What comes until the server closes.
sub all_of {
    my $stream = shift;

    my $got = $stream->{in};
    my $select = IO::Select->new($stream->{sock});
    my $end = SSETestWait::patience(5);
    while ($select->can_read($end - time)) {
        sysread($stream->{sock}, $got, 4096, length $got) or last;
    }
    return $got;
}
