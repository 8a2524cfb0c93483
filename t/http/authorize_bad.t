# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEAuthorize: nobody gets in by an answer that is none, by headers of the
# client's, or by a mistake in the configuration; and the log says what to do.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestApp qw(asked query);
use SSETestClose qw(write_files);
use SSETestServer;
use Time::HiRes qw(time);

# location, and what the log says
my @bad = (
    [close => qr/no answer came, for which httpd has the status 50\d/],
    [garbage => qr/no answer came/],
    [cut => qr/its answer broke off/],
    ['cut-refusal' => qr/its answer broke off/],
    [endless => qr/larger than 65536 bytes/],
    [large => qr/larger than 65536 bytes/],
    ['large-refusal' => qr/larger than 65536 bytes/],
    ['not-modified' => qr/its status is 304, which decides nothing/],
    [switching => qr/its status is 101, which/],
    [channels => qr/SSE-Channel: 'a%00b' is no percent-encoded name/],
    [down => qr/no answer came, .* status 503/],
    ['fcgi/nothing' => qr/its answer has no whole head/],
    ['fcgi/half' => qr/its answer has no whole head/],
    ['fcgi/cut' => qr/its answer broke off/],
    ['cgi/nothing' => qr/no answer came, .* status 500/],
    ['cgi/wrong' => qr/no answer came, .* status 500/],
    [return => qr/no answer came, .* status 503/],
    [loop => qr{/authorize/x is a location of streams itself}, 500],
    ['redirected-loop' => qr/or is redirected to one/, 500],
    [stream => qr/is a location of streams itself/, 500],
    ['no-path' => qr/it gives '', which is no path of this host/, 500]);

plan tests => 4 * @bad + 45,
    need_module('mod_sse', 'mod_proxy_http', 'mod_proxy_fcgi', 'mod_rewrite',
                'mod_sse_authorize');

my $php = SSETestApp->php_fpm;
my $python = SSETestApp->python;
my $fcgi = SSETestApp->python("$FindBin::Bin/../lib/app/fcgi.py", socket =>
                              Apache::Test::vars('t_logs') . '/fcgi.sock');
my $docs = Apache::Test::vars('documentroot');
my $began = time;

programs();
answers_badly(@$_) for @bad;
nothing_opened();
a_later_request();
early_hints();
applications_in_c();
redirects();
paths();
off();
limits();
long_headers();

sub programs {
    my %programs = ('nothing.cgi' => '', 'wrong.cgi' => 'echo no header',
                    'local.cgi' => 'printf "SSE-User: root\nLocation: '
                        . '/authorize-login.html\n\n"');
    write_files('authorize-login.html' => "please log in\n",
                map { ("authorize/$_" => "#!/bin/sh\n$programs{$_}\n") }
                keys %programs);
    chmod 0755, map { "$docs/authorize/$_" } keys %programs;
}

sub answers_badly {
    my($name, $log, $status) = @_;

    my $answer = request('GET', "/authorize/bad/$name/x");
    ok t_cmp($answer->code, $status // 502, "$name: refused");
    ok t_cmp($answer->header('content-type'), 'application/json', 'in JSON');
    ok t_cmp(($answer->json // {})->{error},
             qr/^the application that decides here .*error log/s, 'in words');
    ok t_cmp(error_line(qr/sse:error.*SSEAuthorize .*$log/, 5),
             qr/Not logged again for a minute/, 'the log tells why');
}

sub nothing_opened {
    ok t_cmp([error_lines(qr{stream \S+ open on /authorize/bad/})], [],
             'no stream was opened');
    my $refused = sub { access_lines(qr{/bad/.*refused=SSEAuthorize}) };
    eventually { (() = $refused->()) >= @bad };
    ok t_cmp(scalar(() = $refused->()), scalar @bad,
             'each was refused by SSEAuthorize');
    request('GET', '/authorize/bad/close/x') for 1 .. 20;
    my %lines;
    $lines{(/pid (\d+)/)[0]}++
        for error_lines(qr{SSEAuthorize /auth/py/answer\?how=close: });
    my $most = 1 + int((time - $began) / 60);
    ok t_cmp([grep { $_ > $most } values %lines], [],
             "one line for each child in a minute ($most)");
}

# Of a later request on a connection mod_proxy says nothing when its back end
# closed: the client is to believe that the connection broke.
sub a_later_request {
    my $stream = open_stream('/authorize-none');
    $stream->wait_end(5);
    for my $name (qw(close cut endless large)) {
        $stream->again("/authorize/bad/$name/x");
        ok t_cmp($stream->status, 502, "$name, as a later request: refused");
        $stream->wait_end(5);
    }
    $stream->again('/authorize/py/x?' . query(status => 403));
    ok t_cmp($stream->status, 403, 'and the connection lives on');
    $stream->wait_end(5);
    $stream->again('/authorize/py/x');
    ok t_cmp($stream->status, 200, 'for a stream');
    ok t_cmp(takes_no_thread(), 1,
             'without a thread');
    $stream->close;
}

sub early_hints {
    my $stream = open_stream('/authorize/py/x?how=early');
    my($status) = $stream->head;
    ok t_cmp($status, 200, '103 before 200: allowed');
    ok t_cmp($stream->{in_total} < 1000 && $stream->next_block(5) ? 1 : 0, 1,
             'a stream');
    $stream->close;
}

sub applications_in_c {
    my $answer = request('GET', '/authorize/c/x?return=401');
    ok t_cmp($answer->code, 401, 'a C module that returns a status');
    ok t_cmp($answer->header('www-authenticate'), 'Test', 'with its headers');
    ok t_cmp(($answer->json // {})->{error}, qr/refused this \(401\)/,
             'in our words');
    my $stream = open_stream("/authorize/c/$$?meddle=1&watch=1",
                             headers => { Connection => 'keep-alive' });
    ok t_cmp($stream->status, 200, 'one that changes the connection: a stream');
    ok t_cmp($stream->header('transfer-encoding'), 'chunked', 'as ever');
    ok t_cmp($stream->header('x-meddled'), undef, 'and nothing else');
    ok t_cmp(takes_no_thread(), 1,
             'without a thread');
    $answer = publish("/authorize/c/$$?read=1", 'hello');
    ok t_cmp($answer->code, 200, 'one that reads a body: published');
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'hello', 'all of it');
    request('DELETE', "/authorize/c/$$");
    ok t_cmp($stream->wait_end(5) && $stream->is_complete, 1, 'its end');
    $stream->again('/authorize/c/x?return=403');
    ok t_cmp($stream->status, 403, 'the connection is kept');
    $stream->close;
    ok t_cmp(access_line(qr{/authorize/c/$$\?meddle}),
             qr{channel=/authorize/c/$$ .*user=c }, 'the user');
    ok t_cmp(error_line(qr{told of /authorize/}),
             qr{told of /authorize/c/$$: server}, 'its callback');
}

# httpd would serve the page as if it had been asked for.
sub redirects {
    my $answer = request('GET', '/authorize/program/x?local.cgi');
    ok t_cmp($answer->code, 403, 'a CGI that redirects to a path here');
    ok t_cmp($answer->header('location'), '/authorize-login.html', 'says so');
}

sub paths {
    my %want = ('/auth/py/x%2500' => 404, '/auth/../../etc' => qr/40[04]/,
                '//127.0.0.1/auth/c/x' => 500, 'http://127.0.0.1/x' => 500,
                '/auth/c/x%0d%0aSSE-User:%20root' => 200, '/auth/c/x%23y' => 200,
                '/auth/none' => 404, "/auth/c/x?" . 'y' x 8000 => 200);
    for my $path (sort keys %want) {
        my $answer = request('HEAD', "/authorize/any/x?$path");
        ok t_cmp($answer->code, $want{$path}, substr $path, 0, 40);
    }
}

sub off {
    my $asked = () = asked();
    ok t_cmp(request('HEAD', '/authorize/py/nobody/x')->code, 200, 'none');
    ok t_cmp(publish('/authorize/py/nobody/x', 'x')->code, 200, 'of both');
    ok t_cmp(publish('/authorize/py/readers/x', 'x')->code, 200, 'of one');
    ok t_cmp(scalar(() = asked()), $asked, 'nobody was asked');
    my $query = query(status => 403);
    ok t_cmp(request('HEAD', "/authorize/py/readers/x?$query")->code, 403,
             'the other one is');
}

sub limits {
    no_streams(); # ends of earlier ones may not be noticed yet
    my $asked = () = asked();
    my $stream = open_stream('/authorize/one/x');
    ok t_cmp($stream->status, 200, 'a stream where one may be');
    ok t_cmp(request('GET', '/authorize/one/y')->code, 429, 'one more');
    ok t_cmp(scalar(() = asked()), $asked + 1, 'is not asked about');
    $stream->close;
    ok t_cmp(no_streams(10), 1, 'all have ended');
}

sub long_headers {
    my $stream = open_stream('/authorize/py/' . 'x' x 300, headers => {
        map { ("X-$_" => 'y' x 8000) } 1 .. 20 });
    ok t_cmp($stream->status, 200, '160 KB of headers');
    $stream->close;
}
