# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Who gets which answer of sse-status: a page, JSON, a stream; and who gets
# none.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;

my $browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,'
    . 'image/avif,image/webp,*/*;q=0.8';
my @pages = (
    ['', $browser, 'text/html; charset=utf-8'],
    ['?format=html', undef, 'text/html; charset=utf-8'],
    ['?format=html', 'application/json', 'text/html; charset=utf-8'],
    ['?format=json', $browser, 'application/json'],
    ['', 'text/html;q=0.1, application/json;q=0.2', 'application/json'],
    ['?channels=', $browser, 'text/html; charset=utf-8'],
    ['?channels=', undef, 'application/json'],
    ['?channels=', 'text/event-stream', 'application/json'],
    ['?channel=a', $browser, 'text/html; charset=utf-8'],
    ['?channel=a&format=json', $browser, 'application/json'],
);
my @closed = ('', '?format=html', '?format=json', '?format=metrics',
              '?format=stream', '?channels=', '?channel=a', '?format=xml');

# What is shipped lets in nobody from elsewhere.
my @shipped = map { glob "$ENV{SSE_TOP}/$_" } qw(conf/*.conf docs/*.md
    docs/examples/*/*.conf README.md);

plan tests => 1 + @pages + 7 + 4 + 5 + 3 + 3 * @closed + 3 + 2,
    need_module('mod_sse');

my $httpd = SSETestHttpd->new(modules => ['authz_host'], conf => <<'EOI');
<Location "/private">
    SetHandler sse-status
    Require ip 127.0.0.9
</Location>
SSENamespace <script>alert(1)</script>
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

sub get {
    my($query, $accept, @more) = @_;

    return request('GET', "/status$query", @port, @more,
                   headers => defined $accept ? { Accept => $accept } : {});
}

for (@pages) {
    my($query, $accept, $type) = @$_;
    my $answer = get($query, $accept);
    ok t_cmp(join(' ', $answer->code, $answer->header('Content-Type')),
             "200 $type", "$query, Accept: " . ($accept // 'none'));
}

# What the page may do: nothing but what is its own.
my $page = get('?format=html');
my $policy = $page->header('Content-Security-Policy') // '';
my($nonce) = $policy =~ /script-src 'nonce-([0-9a-f]{32})'/;
ok t_cmp($policy, qr/^default-src 'none';/, 'nothing is allowed');
ok t_cmp($policy, qr/style-src 'nonce-\Q$nonce\E'/, 'but its own style');
ok t_cmp($policy, qr/frame-ancestors 'none'/, 'in no frame');
ok t_cmp(join(' ', sort $page->body =~ /<(style|script)[^>]*nonce="$nonce"/g),
         'script style', 'which it has');
my $other = get('?format=html')->header('Content-Security-Policy');
ok t_cmp($other eq $policy, '', 'the next one is let in by another word');
ok t_cmp(join(' ', map { $page->header($_) // 'none' } qw(Cache-Control Vary
              X-Content-Type-Options)), 'no-store Accept nosniff',
         'not kept, not guessed');
ok t_cmp($page->body =~ /https?:|\bon\w+=|\bstyle=/i, '',
         'nothing from elsewhere, nothing inline');

# Others' words are text.
ok t_cmp($page->body, qr/&lt;script&gt;alert\(1\)&lt;\/script&gt;/,
         "a host's name is text");
ok t_cmp(scalar(() = $page->body =~ /<script/g), 1, 'in one script only');
ok t_cmp($page->body, qr/<th scope="row">Streams open<\/th><td[^>]*>0<\/td>/,
         'the numbers are in the page itself');
ok t_cmp(get('?channels=', $browser)->body =~ /<script/, '',
         'a list has no script');

# Methods.
for my $query ('', '?format=html', '?format=stream', '?channels=') {
    my $head = request('HEAD', "/status$query", @port);
    ok t_cmp(join(' ', $head->code, length $head->body), '200 0', "HEAD $query");
}
ok t_cmp(request('HEAD', '/status?format=stream', @port)->header('Content-Type'),
         'text/event-stream', 'of a stream');
for my $method (qw(POST DELETE PUT)) {
    my $answer = request($method, '/status', @port);
    ok t_cmp(join(' ', $answer->code, $answer->header('Allow') // '',
                  $answer->json->{error}), qr/^405 GET, HEAD the status/,
             "$method: no");
}

# Who is not let in is told nothing.
for my $query (@closed) {
    my $stranger = request('GET', "/private$query", @port);
    ok t_cmp($stranger->code, 403, "a stranger: $query");
    ok t_cmp($stranger->body =~ /streams|modsse|namespace|script|version/i, '',
             'is told nothing');
    my $friend = request('HEAD', "/private$query", @port, from => '127.0.0.9');
    ok t_cmp($friend->code, $query =~ /xml/ ? 400 : 200, 'a friend is let in');
}
my $stream = open_stream('/private?format=stream', @port, from => '127.0.0.9');
ok t_cmp($stream->status, 200, 'a stream for a friend');
ok t_cmp(($stream->next_event // {})->{event}, 'status', 'has numbers');
$stream->close;
ok t_cmp(open_stream('/private', @port, headers => {
             Accept => 'text/event-stream' })->status, 403,
         'a stranger has none');

# The containers in the manual and in configurations.
my($containers, @open) = (0);
for my $file (@shipped) {
    open my $fh, '<', $file or die "$file: $!";
    my $text = do { local $/; <$fh> };
    while ($text =~ m{<Location(?:Match)? [^>]*>(.*?)</Location(?:Match)?>}gs) {
        my $inside = $1;
        next if $inside !~ /^\s*SetHandler sse-status$/m;
        $containers++;
        push @open, $file if $inside !~ /^\s*Require +local$/m;
    }
}
ok t_cmp($containers >= 4, 1, 'containers of sse-status in what is shipped');
ok t_cmp("@open", '', 'all of them say "Require local"');
