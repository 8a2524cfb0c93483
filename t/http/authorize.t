# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEAuthorize with applications as there are: php-fpm, a CGI, a back end in
# Python behind mod_proxy_http.  What each is told, what it may answer, and
# what the client gets.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestApp qw(asked query);
use SSETestServer;

my @by = qw(php cgi py);

plan tests => 41 * @by,
    need_module('mod_sse', 'mod_proxy_http', 'mod_proxy_fcgi');

my $php = SSETestApp->php_fpm;
my $python = SSETestApp->python;
my $k = 0;

for my $by (@by) {
    is_told($by);
    is_told_as_sent($by);
    may_name_channels($by);
    refuses($by);
    redirects($by);
    publishes($by);
}

sub name { return "$$-" . ++$k }

# A header or a variable, as the application has seen it; undef: it has not.
sub told {
    my($asked, $name) = @_;

    return $asked->{all}{lc $name} if $asked->{by} eq 'python';
    return $asked->{env}{'HTTP_' . uc $name =~ tr/-/_/r};
}

sub is_told {
    my $by = shift;

    my $path = "/authorize/$by/" . name();
    my $stream = open_stream("$path?a=b%20c", headers => [
        Cookie => 'session=1', 'Last-Event-ID' => 5, 'X-Own' => 'kept',
        'If-None-Match' => '"x"', Range => 'bytes=0-1', Upgrade => 'websocket',
        'Accept-Encoding' => 'gzip', 'SSE-User' => 'root', 'sse_user' => 'root',
        'SSE-Channel' => 'secret', 'Sse-Method' => 'POST', 'SSE!URI' => '/',
        'SSE-' => 'x', 'SSEUser' => 'not ours',
        Connection => 'keep-alive, SSE-Channel']);
    ok t_cmp($stream->status, 200, "$by: a stream");
    ok t_cmp($stream->header('content-type'), qr{^text/event-stream},
             'is one');
    my @asked = asked(qr{\Q$path\E});
    ok t_cmp(scalar @asked, 1, 'the application was asked once');
    my $asked = $asked[0];
    my $seen = sub { told($asked, $_[0]) };
    ok t_cmp($seen->('SSE-Method'), 'GET', 'SSE-Method');
    ok t_cmp($seen->('SSE-URI'), "$path?a=b%20c", 'SSE-URI');
    ok t_cmp($seen->('SSE-Channel'), $path, 'SSE-Channel');
    ok t_cmp(join(' ', map { $seen->($_) // '-' }
                  qw(Cookie Last-Event-ID X-Own SSEUser)),
             'session=1 5 kept not ours', 'the client\'s own headers');
    ok t_cmp([grep { defined $seen->($_) } qw(If-None-Match Range Upgrade
              Accept-Encoding SSE-User SSE- SSE!URI)], [], 'but not these');
    my @ours = $by eq 'py'
        ? map { $_->[0] } grep { $_->[0] =~ /^sse\W|^sse_/i }
            @{ $asked->{headers} }
        : grep { /^(?:HTTP_|REDIRECT_)?SSE_/ } keys %{ $asked->{env} };
    ok t_cmp([sort @ours],
             $by eq 'py' ? [qw(SSE-Channel SSE-Method SSE-URI)]
             : [qw(HTTP_SSE_CHANNEL HTTP_SSE_METHOD HTTP_SSE_URI SSE_CHANNEL
                   SSE_METHOD SSE_URI)], 'nothing else in our name');
    ok t_cmp($by eq 'py' ? $asked->{path}
                 : "$asked->{env}{REQUEST_METHOD} $asked->{env}{REQUEST_URI}",
             $by eq 'py' ? '/answer?a=b%20c'
                 : "GET /auth/$by/answer.$by?a=b%20c", 'as a GET of its own');
    ok t_cmp(takes_no_thread(), 1,
             'the stream then takes no thread with the event MPM');
    publish($path, 'hello');
    ok t_cmp(($stream->next_event(5) // {})->{event}, 'sse-gap', 'a gap');
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'hello', 'an event');
    $stream->close;
}

# httpd takes two slashes for one; the application sees what was sent.
sub is_told_as_sent {
    my $by = shift;

    my $path = "/authorize/$by/" . name();
    my $stream = open_stream("/$path?a");
    ok t_cmp($stream->status, 200, "$by: two slashes");
    my($asked) = asked(qr{\Q$path\E});
    ok t_cmp(told($asked, 'SSE-URI'), "/$path?a", 'are told of');
    ok t_cmp(told($asked, 'SSE-Channel'), $path, 'the channel is one of one');
    $stream->close;
}

sub may_name_channels {
    my $by = shift;

    my @names = map { "/authorize/$by/" . name() } 1 .. 3;
    my $query = query('h[]' => "SSE-Channel: $names[0]",
                      'h[]' => "SSE-Channel: a%20b%2c%C3%A9$k, $names[1]",
                      'h[]' => 'SSE-User: J%C3%BCrgen%25', 'h[]' => 'SSE-Session: s=1 2',
                      'h[]' => 'Set-Cookie: a=1', 'h[]' => 'Set-Cookie: b=2; path=/',
                      'h[]' => "Set-Cookie: c=\x7f", 'h[]' => 'X-Other: no');
    my $stream = open_stream("$names[2]?$query");
    ok t_cmp($stream->status, 200, "$by: a stream of other channels");
    ok t_cmp($stream->header('set-cookie'), 'a=1, b=2; path=/',
             'the client gets the cookies that may be sent');
    ok t_cmp($stream->header('x-other') // $stream->header('sse-user'), undef,
             'and no other header');
    publish($_, "to $_") for reverse @names;
    ok t_cmp(($stream->next_event(5) // {})->{data}, "to $names[1]", 'an event');
    ok t_cmp(($stream->next_event(5) // {})->{data}, "to $names[0]", 'another');
    $stream->close;
    my $line = access_line(qr{GET \Q$names[2]\E.*close=client});
    ok t_cmp($line, qr{channel=\Q$names[0]\E\ a\ b,\\xc3\\xa9$k\ \Q$names[1]\E
                       .*user=J\\xc3\\xbcrgen%\ session=s=1\ 2\ }x,
             'the log has them, the user and the session');
}

sub refuses {
    my $by = shift;

    my $path = "/authorize/$by/" . name();
    my $answer = request('GET', "$path?" . query(
        status => 401, 'h[]' => 'WWW-Authenticate: Bearer realm="x"',
        'h[]' => 'Set-Cookie: a=1', 'h[]' => 'Retry-After: 7',
        'h[]' => 'Content-Type: text/html; charset=iso-8859-1', body => "<p>\xe9",
        'h[]' => 'SSE-User: x'));
    ok t_cmp($answer->code, 401, "$by: a refusal");
    ok t_cmp($answer->body, "<p>\xe9", 'with its body');
    ok t_cmp($answer->header('content-type'), 'text/html; charset=iso-8859-1',
             'and type');
    ok t_cmp(join(' ', map { $answer->header($_) // '-' }
                  qw(www-authenticate set-cookie retry-after sse-user)),
             'Bearer realm="x" a=1 7 -', 'and what belongs to a refusal');
    ok t_cmp(access_line(qr{GET \Q$path\E}),
             qr{" 401 .*close=- stream=- .*refused=SSEAuthorize},
             'no stream has been open');
    $answer = request('GET', "$path?" . query(status => 403));
    ok t_cmp($answer->code, 403, 'one without a body');
    ok t_cmp(($answer->json // {})->{error}, qr/refused this \(403\)/,
             'is told in words');
    $answer = request('HEAD', "$path?" . query(status => 418));
    ok t_cmp($answer->code, 418, 'HEAD asks, too');
    ok t_cmp(told((asked(qr{\Q$path\E}))[-1], 'SSE-Method'), 'HEAD',
             'and says so');
    my $before = () = asked();
    ok t_cmp(request('OPTIONS', $path)->code, 204, 'OPTIONS');
    ok t_cmp(scalar(() = asked()), $before, 'does not');
}

sub redirects {
    my $by = shift;

    my $answer = request('GET', "/authorize/$by/x?" . query(
        status => 302, 'h[]' => 'Location: /login', body => 'to /login'));
    ok t_cmp($answer->code, 403, "$by: a redirect is a refusal");
    ok t_cmp($answer->header('location'), '/login', 'that says where to');
}

sub publishes {
    my $by = shift;

    my $path = "/authorize/$by/" . name();
    my $other = "/authorize/$by/" . name();
    my $answer = publish("$path?" . query('h[]' => "SSE-Channel: $other"),
                         'x' x 20_000);
    ok t_cmp($answer->json && $answer->json->{channel}, $other,
             "$by: published where the application says");
    my $asked = (asked(qr{\Q$path\E}))[-1];
    ok t_cmp([map { told($asked, $_) } qw(SSE-Method Content-Type)],
             ['POST', undef], 'it was asked about a POST, without the body');
    ok t_cmp($by eq 'py' ? '' : $asked->{env}{CONTENT_LENGTH} // '', '',
             'and its length');
    my $stream = open_stream($other, headers => { 'Last-Event-ID' =>
                                                  $answer->json->{id} - 1 });
    ok t_cmp(length(($stream->next_event(5) // {})->{data} // ''), 20_000,
             'the body is whole');
    $stream->close;
    ok t_cmp(publish("$path?" . query(status => 403, body => 'no'), 'x')->body,
             'no', 'a refusal');
    ok t_cmp(request('DELETE', "$path?" . query(status => 403))->code, 403,
             'of a DELETE');
}
