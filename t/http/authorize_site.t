# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEAuthorize on a site: a front controller in .htaccess, error documents,
# Require, PHP's sessions; and what else goes on while an application thinks.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use MIME::Base64 qw(encode_base64);
use SSETest;
use SSETestApp qw(asked query release);
use SSETestClose qw(write_files);
use SSETestH2;
use SSETestServer;

my $has_h2 = ($ENV{SSE_MPM} // '') ne 'prefork';

plan tests => 9 + 12 + 8 + 12 + 7 + 4 + 4 + 8 + 11 + 6 + 8 * $has_h2 + 1,
    need_module('mod_sse', 'mod_proxy_http', 'mod_proxy_fcgi', 'mod_rewrite', 'mod_actions',
                'mod_ssl', $has_h2 ? 'mod_http2' : ());

my $php = SSETestApp->php_fpm;
my $python = SSETestApp->python;
my @site = (module => 'sse_authorize');
my $k = 0;

my $controller = <<'EOI';
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-d
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^ index.php [L]
EOI

open my $fh, '<', "$FindBin::Bin/../lib/app/answer.php" or die $!;
my $answer_php = do { local $/; <$fh> };
write_files('authorize-site/.htaccess' => $controller,
            'authorize-site/not-these-words.html' => 'not these words',
            map { ("authorize-site/$_.php" => $answer_php) }
            qw(index inside strict locked denied));

my $drip = open_stream('/events/x?how=drip', module => 'sse_authorize_small');
front_controller();
error_documents();
sessions();
require_lines();
ends_and_watch();
htaccess_and_filters();
after_a_redirect();
over_tls();
slow_applications();
few_streams();
over_http2() if $has_h2;
ok t_cmp(no_streams(10), 1, 'all streams have ended');

sub name { return "$$-" . ++$k }

sub basic { return (Authorization => 'Basic ' . encode_base64("$_[0]:secret", '')) }

sub front_controller {
    my $path = '/events/' . name();
    my $stream = open_stream("$path?a=1", @site,
                             headers => { 'SSE-User' => 'root' });
    ok t_cmp($stream->status, 200, 'a front controller decides');
    ok t_cmp($stream->header('content-type'), qr{^text/event-stream},
             'a stream');
    my $env = (asked(qr{\Q$path\E}))[0]{env};
    ok t_cmp([map { $env->{$_} } qw(REQUEST_URI REQUEST_METHOD QUERY_STRING
                                    SERVER_PROTOCOL)],
             ['/decide?a=1', 'GET', 'a=1', 'HTTP/1.1'],
             'it is told the path by which it chooses');
    ok t_cmp([map { $env->{$_} } qw(SSE_METHOD SSE_URI SSE_CHANNEL)],
             ['GET', "$path?a=1", $path], 'and what it is about');
    ok t_cmp([map { $env->{"HTTP_$_"} } qw(SSE_METHOD SSE_URI SSE_CHANNEL)],
             ['GET', "$path?a=1", $path], 'in headers as well');
    ok t_cmp([grep { /SSE_USER/ } keys %$env], [], 'by us alone');
    ok t_cmp(takes_no_thread(), 1,
             'the stream takes no thread with the event MPM');
    $stream->close;
    my $answer = publish("$path?" . query('h[]' => "SSE-Channel: $path-b"), 'x',
                         @site);
    ok t_cmp($answer->json && $answer->json->{channel}, "$path-b",
             'a publisher');
    ok t_cmp(request('GET', '/decide', @site)->code, 200,
             'a page of the application');
}

sub error_documents {
    my $get = sub { request('GET', "/events/$_[0]", @site) };

    my $answer = $get->('x?' . query(status => 403, body => 'its words'));
    ok t_cmp($answer->code . $answer->body, '403its words', 'its own words');
    $answer = $get->('x?' . query(status => 404));
    ok t_cmp($answer->code, 404, 'none of its own');
    ok t_cmp(($answer->json // {})->{error}, qr/refused this \(404\)/, 'ours');
    $answer = $get->('x?' . query(status => 503, 'h[]' => 'Retry-After: 9',
                                  body => 'later'));
    ok t_cmp($answer->code . $answer->body, '503later', 'its own 503');
    ok t_cmp($answer->header('retry-after'), 9, 'and when to come back');
    for my $path (qw(denied/x gone/x redirected-gone/x)) {
        my $want = $path =~ /gone/ ? 502 : 403;
        $answer = $get->($path);
        ok t_cmp($answer->code, $want, "$path: $want");
        ok t_cmp(($answer->json // {})->{error}, qr/^the application/,
                 'in our words');
    }
    ok t_cmp([error_lines(qr/AH0012[45]|AH10406/)], [], 'no loop');
}

sub sessions {
    my $path = '/events/' . name() . '?session=1';
    my $stream = open_stream($path, @site);
    ok t_cmp($stream->status, 200, 'a session begins');
    my($cookie) = ($stream->header('set-cookie') // '') =~ /^(PHPSESSID=\w+)/;
    ok t_cmp($cookie, qr/^PHPSESSID=\w+/, 'with its cookie');
    $stream->close;
    ok t_cmp(access_line(qr{GET \Q$path\E}), qr/user=visit-1 /, 'the user');
    $stream = open_stream($path, @site, headers => { Cookie => $cookie });
    ok t_cmp($stream->status, 200, 'the session goes on');
    ok t_cmp($stream->header('set-cookie'), undef, 'without another cookie');
    $stream->close;
    ok t_cmp(access_line(qr{GET \Q$path\E.*user=visit-2}), qr/close=client /,
             'the user again');
    my $answer = publish($path, 'x', @site, Cookie => $cookie);
    ok t_cmp($answer->code, 200, 'a publisher of the session');
    ok t_cmp(access_line(qr{POST \Q$path\E}), qr/user=visit-3 /, 'the user');
}

sub require_lines {
    ok t_cmp(request('GET', '/inside.php', @site)->code, 403,
             'what only we may ask');
    ok t_cmp(request('HEAD', '/events/inside/x', @site)->code, 200, 'we may');
    ok t_cmp(request('GET', '/strict.php', @site, headers => {
                         'SSE-Method' => 'GET', 'SSE_METHOD' => 'GET' })->code,
             403, 'what only a question may ask');
    ok t_cmp(request('HEAD', '/events/strict/x', @site)->code, 200, 'it may');
    my $answer = request('GET', '/events/locked/x', @site);
    ok t_cmp($answer->code, 401, 'an application behind a password');
    ok t_cmp($answer->header('www-authenticate'), 'Basic realm="locked"',
             'asks for it');
    ok t_cmp(request('HEAD', '/events/locked/x', @site,
                     headers => { basic('ann') })->code, 200, 'the password');
    ok t_cmp((asked(qr{/locked/}))[-1]{env}{REMOTE_USER}, 'ann', 'a user');
    my $path = '/events/user/' . name();
    my $stream = open_stream($path, @site, headers => { basic('bob') });
    ok t_cmp($stream->status, 200, 'httpd has a user');
    $stream->close;
    my $env = (asked(qr{\Q$path\E}))[0]{env};
    ok t_cmp($env->{REDIRECT_REMOTE_USER} // $env->{REMOTE_USER}, 'bob',
             'and the application is told');
    ok t_cmp($env->{HTTP_AUTHORIZATION}, { basic('bob') }->{Authorization},
             'with the header');
    ok t_cmp(access_line(qr{\Q$path\E}), qr/user=bob /, 'the user');
}

sub ends_and_watch {
    my $stream = open_stream('/events/x?' . query(
        'h[]' => 'SSE-Max-Age: 1'), @site);
    my $path = '/events/watched/' . name();
    my $answer = request('GET', "$path?" . query(status => 403), @site);
    ok t_cmp($answer->code, 403, 'SSEWatch: refused');
    ok t_cmp(access_line(qr{\Q$path\E}), qr/close=complete stream=\w/,
             'is a request that was watched');
    my $other = open_stream($path, @site);
    ok t_cmp($other->status, 200, 'a stream');
    $other->next_block(5);
    $other->close;
    ok t_cmp(access_line(qr{\Q$path\E HTTP}), qr/close=client stream=\w/,
             'is told of once');
    ok t_cmp($stream->wait_end(5), 1, 'SSE-Max-Age ends a stream');
    ok t_cmp($stream->is_complete, 1, 'in order');
    ok t_cmp(access_line(qr{SSE-Max-Age}), qr/close=max-age /, 'the reason');
}

sub htaccess_and_filters {
    write_files('authorize-site/.htaccess' => "SSEAuthorize /denied.php\n");
    ok t_cmp(request('GET', '/htaccess/x', @site)->code, 403,
             'SSEAuthorize in .htaccess');
    write_files('authorize-site/.htaccess' => $controller);
    my $path = '/events/deflated/' . name();
    my $stream = open_stream($path, @site,
                             headers => { 'Accept-Encoding' => 'gzip' });
    ok t_cmp($stream->header('content-encoding'), 'gzip', 'a filter');
    publish($path, 'hello', @site);
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'hello', 'works');
    $stream->close;
    my $answer = request('GET', "$path?" . query(status => 403, body => 'no'),
                         @site);
    ok t_cmp($answer->body, 'no', 'and does not touch what the application says');
}

sub after_a_redirect {
    my $path = '/authorize/action/' . name();
    my $stream = open_stream("$path?" . query('h[]' => "SSE-Channel: $path-b",
                                              'h[]' => 'SSE-User: cgi'));
    ok t_cmp($stream->status, 200, 'mod_actions: a stream');
    my $env = (asked(qr{\Q$path\E}))[0]{env};
    ok t_cmp([map { $env->{$_} } qw(SSE_METHOD SSE_CHANNEL HTTP_SSE_CHANNEL)],
             ['GET', $path, $path], 'the program is told');
    $stream->close;
    ok t_cmp(access_line(qr{\Q$path\E}), qr{channel=\Q$path\E-b .*user=cgi },
             'and heard');
    my $answer = request('GET', "$path?" . query(status => 410, body => 'gone'));
    ok t_cmp($answer->code . $answer->body, '410gone', 'a refusal');
}

sub over_tls {
    for my $by (qw(php py)) {
        my $path = "/authorize/$by/" . name();
        my $stream = open_stream($path, module => 'mod_sse_ssl');
        ok t_cmp($stream->status, 200, "TLS, $by: a stream");
        publish($path, 'hello', module => 'mod_sse_ssl');
        ok t_cmp(($stream->next_event(5) // {})->{data}, 'hello', 'an event');
        ok t_cmp(takes_no_thread(), 1,
                 'without a thread with the event MPM');
        $stream->close;
        ok t_cmp(no_streams(10), 1, 'its end');
    }
}

# Those that wait do so in threads of their own.
sub slow_applications {
    my $name = name();
    my $path = "/authorize/py/$name";
    my $query = query(until => $name);
    my $other = open_stream("$path/other");
    $other->next_block(5);
    my @slow = map { open_stream("$path/slow?$query&n=$_") } 1 .. 6;
    my $gone = open_stream("$path/gone?$query");
    my $watched = open_stream("/authorize/py/abort/$name?$query");
    my $publisher = open_stream("$path/other?$query", method => 'POST',
                                body => 'second',
                                headers => { 'Content-Type' => 'text/plain' });
    ok t_cmp(eventually(sub { (() = asked(qr/\Q$name\E.*until/)) == 9 }), 1,
             'an application takes its time');
    $_->close for $gone, $watched;
    publish("$path/other", 'first');
    ok t_cmp(($other->next_event(5) // {})->{data}, 'first',
             'others have their events meanwhile');
    my $new = open_stream("$path/new");
    ok t_cmp($new->status, 200, 'and streams');
    ok t_cmp([map { $_->fill(0) } @slow], [(0) x 6], 'those wait');
    release($name);
    ok t_cmp([map { $_->status } @slow], [(200) x 6], 'and then are open');
    ok t_cmp(($other->next_event(5) // {})->{data}, 'second', 'so a publisher');
    ok t_cmp($publisher->status, 200, 'is answered');
    ok t_cmp(access_line(qr{\Q$path\E/gone}), qr/close=- stream=- /,
             'who left meanwhile has had no stream');
    ok t_cmp(access_line(qr{/abort/\Q$name\E}), qr/close=client stream=\S/,
             'one that is watched is told of');
    $_->close for @slow, $other, $new, $publisher;
    ok t_cmp([error_lines(qr{open on \S+(?:gone|abort/$name)})], [], 'nor an opening');
    ok t_cmp([error_lines(qr{sse:error.*until=$name})], [],
             'and is no error');
}

sub few_streams {
    my @small = (module => 'sse_authorize_small');
    ok t_cmp($drip->wait_end(20) && $drip->status, 502,
             'an answer that drips is given up');
    ok t_cmp(error_line(qr{SSEAuthorize /auth/py/answer\?small=1}),
             qr/took longer than Timeout says/, 'the log tells why');
    my $stream = open_stream('/events/y', @small);
    ok t_cmp($stream->status, 200, 'as many streams as SSEMaxStreams says');
    my $asked = () = asked();
    my $answer = request('GET', '/events/z', @small);
    ok t_cmp($answer->code, 503, 'one more');
    ok t_cmp($answer->header('retry-after'), 10, 'may come back');
    ok t_cmp(scalar(() = asked()), $asked, 'and is not asked about');
    $stream->close;
}

sub over_http2 {
    for my $by (qw(php py)) {
        my $h2 = SSETestH2->new('mod_sse_ssl');
        my $path = "/authorize/$by/" . name();
        my $id = $h2->get("$path?" . query('h[]' => 'SSE-User: h2'),
                          'sse-user' => 'root');
        my $no = $h2->get("$path?" . query(status => 403, body => 'no, no'));
        ok t_cmp($h2->wait_for($id, qr/retry/, 5), 1, "HTTP/2, $by: a stream");
        ok t_cmp($h2->wait_end($no, 5) && $h2->body($no), 'no, no',
                 'a refusal');
        publish($path, 'hello');
        ok t_cmp($h2->wait_for($id, qr/data: hello/, 5), 1, 'an event');
        $h2->close;
        ok t_cmp(access_line(qr{GET \Q$path\E\?h.*HTTP/2}), qr/user=h2 /,
                 'the user');
    }
}
