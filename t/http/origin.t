# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Whose pages may publish: what is a host's own Origin, and what the browser
# says about where a request comes from.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;

my $config = Apache::Test::config();
my $port = $config->{vars}{port};
my $named = $config->{vhosts}{sse_named}{port};
my $tls = $config->{vhosts}{sse_http_ssl}{port};
my $own = "localhost:$port";

# Host, Origin, the words of the 403 or undef where it is allowed; then headers.
my %rows = (
    sse_named => [
        ['site.example', 'http://site.example', undef],
        ['SITE.example', 'http://site.Example', undef],
        ['site.example.', 'http://site.example.', undef],
        ['site.example:80', 'http://site.example', undef],
        ['site.example', 'http://site.example:80', undef],
        ["site.example:$named", "http://site.example:$named", undef],
        ['alias.example', 'http://alias.example', undef],
        ['a.wild.example:81', 'http://a.wild.example:81', undef],

        # The client's own invention.
        ['evil.example', 'http://evil.example', qr/ServerName.*ServerAlias/],
        ['evil.example:80', 'http://evil.example', qr/ServerName/],
        ['evil.example.', 'http://evil.example.', qr/ServerName/],
        ['wild.example', 'http://wild.example', qr/ServerName/],
        ['site.example.evil.example', 'http://site.example.evil.example',
         qr/ServerName/],

        # One name is a stranger to the other, and so are ports.
        ['site.example', 'http://alias.example', qr/list it/],
        ['a.wild.example', 'http://b.wild.example', qr/list it/],
        ['alias.example', 'http://site.example', qr/list it/],
        ['site.example', 'http://site.example:8080', qr/list it/],
        ['site.example:8080', 'http://site.example', qr/list it/],
        ['site.example', 'http://site.example:0', qr/list it/],
        ['site.example', 'http://site.example:', qr/list it/],
        ['site.example', 'http://site.example:+80', qr/list it/],
        ['site.example', 'http://site.example:4294967376', qr/list it/],
        ['site.example', 'http://site.example/', qr/list it/],
        ['site.example', 'http://me@site.example', qr/list it/],
        [undef, 'http://site.example', qr/list it/],

        # What nobody else can point here.
        ['127.0.0.1', 'http://127.0.0.1', undef],
        ["127.0.0.1:$named", "http://127.0.0.1:$named", undef],
        ['[::1]:99', 'http://[::1]:99', undef],
        ["LocalHost:$named", "http://localhost:$named", undef],
        ['127.0.0.1', 'http://127.0.0.2', qr/list it/],
        ['127.0.0.1.evil.example', 'http://127.0.0.1.evil.example',
         qr/ServerName/],
        ['1.2.3', 'http://1.2.3', qr/ServerName|Bad/],
        ['localhost.evil.example', 'http://localhost.evil.example',
         qr/ServerName/],
        ['[::1', 'http://[::1', qr/list it|Bad/],

        # A proxy in front that ended TLS: only the browser says so.
        ['site.example', 'https://site.example', qr/ServerName https:/],
        ['site.example', 'https://site.example', undef,
         'Sec-Fetch-Site' => 'same-origin'],
        ['evil.example', 'https://evil.example', qr/ServerName/,
         'Sec-Fetch-Site' => 'same-origin'],
        ['site.example', 'https://site.example:444', qr/list it/,
         'Sec-Fetch-Site' => 'same-origin'],

        # What the browser says of where it comes from.
        ['site.example', undef, undef],
        ['site.example', undef, undef, 'Sec-Fetch-Site' => 'none'],
        ['site.example', undef, undef, 'Sec-Fetch-Site' => 'same-origin'],
        ['site.example', undef, qr/Sec-Fetch-Site/,
         'Sec-Fetch-Site' => 'cross-site'],
        ['site.example', undef, qr/Sec-Fetch-Site/,
         'Sec-Fetch-Site' => 'Same-Site'],
        ['site.example', 'http://site.example', qr/list it/,
         'Sec-Fetch-Site' => 'cross-site'],
        ['site.example', 'null', qr/list it/,
         'Sec-Fetch-Site' => 'same-origin'],
    ],
    sse_proxied => [
        ['www.site.example', 'https://www.site.example', undef],
        ['www.site.example:443', 'https://www.site.example', undef],
        # The proxy put a Host of its own.
        ['127.0.0.1:8080', 'https://www.site.example', undef],
        ['backend', 'https://www.site.example', undef],
        ['www.site.example:8080', 'https://www.site.example:443', undef],
        [undef, 'https://www.site.example', undef],
        ['www.site.example', 'http://www.site.example', qr/by https/],
        ['backend', 'https://www.site.example:444', qr/list it/],
        # Another customer's page on the same host.
        ['www.site.example', 'https://other.site.example', qr/list it/],
        ['other.site.example', 'https://www.site.example', qr/list it/],
        ['other.site.example', 'https://other.site.example', undef],
    ],
    sse_any_name => [
        ['any.example', 'http://any.example', undef],
        ['evil.example', 'http://evil.example', qr/ServerName/],
    ],
    sse_http_ssl => [
        ["localhost:$tls", "https://localhost:$tls", undef],
        ["localhost:$tls", "http://localhost:$tls", qr/by https/],
        ["evil.example:$tls", "https://evil.example:$tls", qr/ServerName/],
    ],
    '' => [
        [$own, "http://$own", undef],
        ['evil.example', 'http://evil.example', qr/ServerName/],
    ],
);
# Listed ones, whatever else is said.
my @listed = (
    ['listed', 'https://app.example', undef],
    ['listed', 'https://app.example', undef, 'Sec-Fetch-Site' => 'cross-site'],
    ['both', 'https://app.example', undef, 'Sec-Fetch-Site' => 'cross-site'],
    ['both', 'https://app.example', undef, Cookie => 'a=b'],
    ['both', 'https://other.example', qr/may read.*beside \*/],
    ['any', 'https://app.example', qr/may read.*beside \*/],
    ['any', 'null', qr/may read/],
    ['any', undef, qr/Sec-Fetch-Site/, 'Sec-Fetch-Site' => 'cross-site'],
    ['any', "http://$own", undef, Cookie => 'a=b'],
);

my $rows = 0;
$rows += @$_ for values %rows;
plan tests => 2 * ($rows + @listed) + 17, need_module('mod_sse', 'mod_ssl');

sub ask {
    my($method, $path, $module, $host, @headers) = @_;

    my $text = "$method $path HTTP/1." . (defined $host ? 1 : 0) . "\r\n"
        . (defined $host ? "Host: $host\r\n" : '')
        . "Content-Length: 1\r\nConnection: close\r\n";
    while (my($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    return request($method, $path, $module ? (module => $module) : (),
                   raw => "$text\r\nx");
}

for my $module (sort keys %rows) {
    for my $row (@{ $rows{$module} }) {
        my($host, $origin, $words, @more) = @$row;
        unshift @more, Origin => $origin if defined $origin;
        my $name = join ' ', $module, map { $_ // 'none' } $host, @more;
        my $answer = ask('POST', '/http/own/x', $module, $host, @more);
        if ($answer->code == 400) { # httpd itself refuses such a Host
            ok t_cmp($host, qr/^(?:\[::1|1\.2\.3)$/, "$name: no host at all");
            ok $words;
            next;
        }
        ok t_cmp($answer->code, $words ? 403 : 200, $name);
        ok t_cmp(($answer->json // {})->{error} // '', $words // '',
                 "$name: the words");
    }
}
for my $row (@listed) {
    my($dir, $origin, $words, @more) = @$row;
    unshift @more, Origin => $origin if defined $origin;
    my $name = join ' ', $dir, @more;
    for my $method (qw(POST DELETE)) {
        my $answer = ask($method, "/http/cors/$dir/x", '', $own, @more);
        ok t_cmp([$answer->code, ($answer->json // {})->{error} // ''],
                 [$words ? 403 : 200, $words // ''], "$method $name");
    }
}

# Nothing of a refused Host is in the words.
{
    my $answer = ask('POST', '/http/own/x', 'sse_named', 'evil.example',
                     Origin => 'http://evil.example');
    ok $answer->body !~ /evil/;
}

# What a preflight promises is what then happens.
for my $row (['both', 'https://app.example', 1, 'https://app.example'],
             ['both', 'https://other.example', 0, '*'],
             ['any', 'https://app.example', 0, '*']) {
    my($dir, $origin, $may, $allow) = @$row;
    my $path = "/http/cors/$dir/preflight";
    my $answer = request('OPTIONS', $path, headers => [
        Origin => $origin, 'Access-Control-Request-Method' => 'DELETE']);
    my $methods = $answer->header('Access-Control-Allow-Methods');
    ok t_cmp($methods, 'GET, HEAD, OPTIONS' . ($may ? ', POST, DELETE' : ''),
             "$dir for $origin");
    ok t_cmp($answer->header('Access-Control-Allow-Origin'), $allow,
             "$dir for $origin: the origin");
    ok t_cmp($answer->header('Access-Control-Allow-Credentials'),
             $may ? 'true' : undef, "$dir for $origin: credentials");
    ok t_cmp(request('DELETE', $path, headers => [Origin => $origin])->code,
             $may ? 200 : 403, "$dir for $origin: it does what it says");
}

# A refused page publishes nothing, and reads what is for all.
{
    my $path = "/http/cors/any/$$-" . time;
    publish($path, 'evil', Origin => 'https://evil.example');
    publish($path, 'own', Origin => "http://$own");
    my $stream = open_stream($path,
                             headers => [Origin => 'https://evil.example']);
    ok t_cmp($stream->status, 200, 'any page may read');
    ok t_cmp($stream->header('Access-Control-Allow-Origin'), '*',
             'and is told so');
    ok t_cmp($stream->next_event(5)->{data}, 'own', 'what others published');
    ok !$stream->next_event(0.05);
    $stream->close;
}
