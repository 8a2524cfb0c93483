# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# CORS: who may publish, and what browsers are told.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;

my $config = Apache::Test::config();
my $port = $config->{vars}{port};
my $tls_port = $config->{vhosts}{sse_http_ssl}{port};
my $own = "localhost:$port";

# Whether a page may publish: path, Origin, allowed; then options of the
# request.
my @publish = (
    ['own/x', undef, 1],
    ['own/x', "http://$own", 1],
    ['own/x', "HTTP://LocalHost:$port", 1],
    ['own/x', "https://$own", 0], # unless it is told (t/http/origin.t)
    ['own/x', "http://localhost", 0],
    ['own/x', "http://localhost:1$port", 0],
    ['own/x', "http://x.localhost:$port", 0],
    ['own/x', "http://localhost.x:$port", 0],
    ['own/x', "http://$own/", 0],
    ['own/x', "http://$own http://$own", 0],
    ['own/x', "http://", 0],
    ['own/x', "ftp://$own", 0],
    ['own/x', $own, 0],
    ['own/x', 'null', 0],
    ['own/x', '', 0],
    ['own/x', 'https://app.example', 0],

    # What the client calls this host is not this host's name for that.
    ['own/x', 'http://site.example', 0, host => 'site.example'],
    ['own/x', 'http://site.example', 0, host => undef],

    # Over TLS a page that came by http is a stranger.
    ['own/x', "https://localhost:$tls_port", 1, module => 'sse_http_ssl'],
    ['own/x', "http://localhost:$tls_port", 0, module => 'sse_http_ssl'],

    ['cors/listed/x', 'https://app.example', 1],
    ['cors/listed/x', 'HTTPS://App.Example', 1],
    ['cors/listed/x', 'http://127.0.0.1:9999', 1],
    ['cors/listed/x', "http://$own", 1],
    ['cors/listed/x', 'http://app.example', 0],
    ['cors/listed/x', 'https://app.example:444', 0],
    ['cors/listed/x', 'https://app.example.evil.example', 0],
    ['cors/listed/x', 'null', 0],
    ['cors/listed/x', '*', 0],

    # Anybody may read; to publish one must be listed.
    ['cors/any/x', 'https://app.example', 0],
    ['cors/any/x', 'null', 0],
    ['cors/any/x', 'https://app.example', 0, headers => [Cookie => 'a=b']],
    ['cors/any/x', "http://$own", 1, headers => [Cookie => 'a=b']],
);

# What an answer says: method, path, Origin, status; then the value of
# Access-Control-Allow-Origin, whether credentials are allowed, and Vary, which
# has Accept as well where a stream or a long poll is asked for.
my @answers = (
    ['GET', 'own/x', 'https://app.example', 200, undef, undef, undef],
    ['GET', 'cors/listed/x', undef, 200, undef, undef, 'Origin'],
    ['GET', 'cors/listed/x', 'https://evil.example', 200, undef, undef,
     'Origin'],
    ['GET', 'cors/listed/x', 'https://app.example', 200,
     'https://app.example', 'true', 'Origin'],
    ['HEAD', 'cors/listed/x', 'https://app.example', 200,
     'https://app.example', 'true', 'Origin'],
    ['POST', 'cors/listed/x', 'https://app.example', 200,
     'https://app.example', 'true', 'Origin'],
    ['DELETE', 'cors/listed/x', 'https://app.example', 200,
     'https://app.example', 'true', 'Origin'],
    ['POST', 'cors/listed/x', 'https://evil.example', 403, undef, undef,
     'Origin'],
    ['POST', 'cors/listed/x', "http://$own", 200, undef, undef, 'Origin'],
    ['POST', 'cors/closed/x', 'https://app.example', 405,
     'https://app.example', 'true', 'Origin'],
    ['PUT', 'cors/listed/x', 'https://app.example', 405,
     'https://app.example', 'true', 'Origin'],
    ['GET', 'cors/any/x', 'https://app.example', 200, '*', undef, 'Origin'],
    ['GET', 'cors/any/x', undef, 200, undef, undef, 'Origin'],
    ['POST', 'cors/any/x', 'null', 403, '*', undef, 'Origin'],
);

# Preflights: path, Origin, the method asked for, allowed methods or none.
my @preflights = (
    ['cors/listed/x', 'https://app.example', 'POST',
     'GET, HEAD, OPTIONS, POST, DELETE'],
    ['cors/listed/x', 'https://app.example', 'GET',
     'GET, HEAD, OPTIONS, POST, DELETE'],
    ['cors/closed/x', 'https://app.example', 'GET', 'GET, HEAD, OPTIONS'],
    ['cors/any/x', 'https://app.example', 'DELETE', 'GET, HEAD, OPTIONS'],
    ['cors/listed/x', 'https://evil.example', 'POST', undef],
    ['cors/listed/x', 'https://app.example', undef, undef],
    ['cors/listed/x', undef, 'POST', undef],
    ['own/x', 'https://app.example', 'POST', undef],
);

plan tests => 3 * @publish + 5 * @answers + 6 * @preflights + 9,
    need_module('mod_sse', 'mod_ssl');

sub origin_headers {
    my($origin, @headers) = @_;

    return [defined $origin ? (Origin => $origin) : (), @headers];
}

# SSETest adds the port to every Host; these rows are about having none.
sub ask {
    my($method, $path, $body, %opt) = @_;

    my $headers = $opt{headers};
    if (exists $opt{host}) {
        my $host = delete $opt{host};
        my $text = "$method $path HTTP/1." . (defined $host ? 1 : 0) . "\r\n"
            . (defined $host ? "Host: $host\r\n" : '')
            . 'Content-Length: ' . length($body) . "\r\nConnection: close\r\n";
        for (my $i = 0; $i < @$headers; $i += 2) {
            $text .= "$headers->[$i]: $headers->[$i + 1]\r\n";
        }
        $opt{raw} = "$text\r\n$body";
    }
    return request($method, $path, %opt, body => $body);
}

for my $row (@publish) {
    my($path, $origin, $allowed, %opt) = @$row;
    for my $method (qw(POST DELETE)) {
        my @more = @{ $opt{headers} // [] };
        my $answer = ask($method, "/http/$path", 'hello', %opt,
                         headers => origin_headers($origin, @more));
        ok t_cmp($answer->code, $allowed ? 200 : 403,
                 "$method $path from " . ($origin // 'nowhere'));
        next if $method eq 'DELETE';
        ok t_cmp($answer->json->{error} // '',
                 $allowed ? '' : qr/SSEAllowOrigin/, 'and the words');
    }
}

for my $row (@answers) {
    my($method, $path, $origin, $status, $allow, $credentials, $vary) = @$row;
    $vary = $vary ? "$vary,Accept" : 'Accept' if $method =~ /^(GET|HEAD)$/;
    my $headers = origin_headers($origin);
    my $stream = open_stream("/http/$path", method => $method, close => 1,
                             headers => $headers,
                             $method eq 'GET' || $method eq 'HEAD'
                                 ? () : (body => 'x'));
    my $name = "$method $path from " . ($origin // 'nowhere');
    ok t_cmp($stream->status, $status, $name);
    ok t_cmp($stream->header('Access-Control-Allow-Origin'), $allow,
             "$name: Allow-Origin");
    ok t_cmp($stream->header('Access-Control-Allow-Credentials'), $credentials,
             "$name: Allow-Credentials");
    ok t_cmp($stream->header('Vary'), $vary, "$name: Vary");
    ok t_cmp($stream->header('Access-Control-Expose-Headers'),
             $allow && 'Retry-After, Preference-Applied',
             "$name: Expose-Headers");
    $stream->close;
}

for my $row (@preflights) {
    my($path, $origin, $method, $methods) = @$row;
    my @asked = defined $method
        ? ('Access-Control-Request-Method' => $method,
           'Access-Control-Request-Headers' => 'last-event-id') : ();
    my $answer = request('OPTIONS', "/http/$path",
                         headers => origin_headers($origin, @asked));
    my $name = "preflight $path from " . ($origin // 'nowhere');
    ok t_cmp($answer->code, 204, $name);
    ok t_cmp($answer->body, '', "$name: no body");
    ok t_cmp($answer->header('Allow'), qr/^GET, HEAD, OPTIONS/,
             "$name: Allow");
    ok t_cmp($answer->header('Access-Control-Allow-Methods'), $methods,
             "$name: Allow-Methods");
    ok t_cmp($answer->header('Access-Control-Allow-Headers'),
             $methods && 'Last-Event-ID, Content-Type, Idempotency-Key, '
                         . 'Cache-Control, Prefer',
             "$name: Allow-Headers");
    ok t_cmp($answer->header('Access-Control-Max-Age'), $methods && 86400,
             "$name: Max-Age");
}

# Nothing of a stranger's Origin comes back.
{
    my $answer = publish('/http/own/x', 'x', Origin => 'http://<b>"evil\\');
    ok t_cmp($answer->code, 403, 'an Origin of markup');
    ok $answer->body !~ /evil|<b>/;
    ok $answer->json;
    ok !exists $answer->headers->{'access-control-allow-origin'};
}

# What was refused is not published; what was allowed is.
{
    my $path = "/http/cors/listed/$$-" . time;
    publish($path, 'evil', Origin => 'https://evil.example');
    publish($path, 'app', Origin => 'https://app.example');
    my $stream = open_stream($path);
    ok t_cmp($stream->next_event(5)->{data}, 'app', 'only the allowed one');
    ok t_cmp(request('DELETE', $path,
                     headers => { Origin => 'https://evil.example' })->code,
             403, 'nor may it be deleted');
    $stream->close;
    $stream = open_stream($path);
    ok t_cmp($stream->next_event(5)->{data}, 'app', 'it is still there');
    $stream->close;
}

# The Origin of an absolute URL is compared with that, not with Host.
for my $case (["http://$own", 200], ['http://other.example', 403]) {
    my($origin, $status) = @$case;
    my $answer = request('POST', '/http/own/x',
        raw => "POST http://$own/http/own/x HTTP/1.1\r\n"
             . "Host: other.example\r\nOrigin: $origin\r\n"
             . "Content-Length: 1\r\nConnection: close\r\n\r\nx");
    ok t_cmp($answer->code, $status, "an absolute URL and $origin");
}
