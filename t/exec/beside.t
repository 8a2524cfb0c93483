# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-exec with what else a location may have: authorisation, origins, TLS,
# HTTP/1.0 and HTTP/2; and CGIs beside it.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use JSON::PP ();

use Apache::Test qw(-withtestmore);

use lib dirname(__FILE__) . '/../lib';
use SSETest;
use SSETestExec;
use SSETestH2;

plan tests => 21;

# --- who may

is request('GET', '/exec/private')->code, 403, 'Require holds';
SKIP: {
    skip 'no CGI', 4 unless Apache::Test::have_module('cgi')
        || Apache::Test::have_module('cgid');
    my $log = Apache::Test::vars('t_logs') . '/app_log'; # it appends to that
    open my $fh, '>>', $log or die "$log: $!";
    close $fh;
    chmod 0666, $log or die "$log: $!";
    my $stream = open_stream('/exec/asked?h[]=SSE-User:%20ann');
    my $shown = JSON::PP->new->decode($stream->next_event->{data});
    is $shown->{args}[1], 'ann', 'whom SSEAuthorize lets in, with a name';
    is request('GET', '/exec/asked?status=403&body=no')->code, 403,
        'whom it refuses';

    # A program and a CGI at the same time
    my $mark = mark();
    $stream = act("say=$mark", 'wait=1');
    $stream->next_event;
    is request('GET', '/auth/cgi/answer.cgi?body=hello')->body, 'hello',
        'a CGI beside it';
    is scalar(running($mark)), 1, 'which does not touch it';
    $stream->close;
}

my $answer = request('GET', '/exec/origin?say=x',
                     headers => { Origin => 'https://app.example' });
is $answer->header('access-control-allow-origin'), 'https://app.example',
    'SSEAllowOrigin holds';
is $answer->body =~ /data: x/, 1, 'and the program runs';
$answer = request('OPTIONS', '/exec/origin', headers =>
                  { Origin => 'https://app.example',
                    'Access-Control-Request-Method' => 'GET' });
is $answer->header('access-control-allow-methods'), 'GET, HEAD, OPTIONS',
    'for preflights, too';
like $answer->header('vary') // '', qr/Origin/, 'with Vary';
like request('HEAD', '/exec/act')->header('vary') // '', qr/Accept/,
    'the answer depends on Accept';

# --- how it comes

my $stream = act({ http => '1.0' }, 'say=a', 'say=b');
is_deeply [said($stream)], [qw(a b)], 'HTTP/1.0';
ok $stream->is_complete, 'whose connection ends';
$stream = act('say=a');
said($stream);
$stream->again('/exec/act?say=b');
is_deeply [said($stream)], ['b'], 'the next request of the same connection';

SKIP: {
    skip 'no TLS', 2 unless Apache::Test::have_module('ssl');
    my $mark = mark();
    $stream = act({ module => 'mod_sse_ssl' }, "say=$mark", 'wait=1');
    is $stream->next_event->{data}, $mark, 'over TLS';
    $stream->close;
    ok ends($mark), 'its end, too';
}

SKIP: {
    skip 'no HTTP/2', 5 unless Apache::Test::have_module('http2')
        && ($ENV{SSE_MPM} // '') ne 'prefork';
    my $h2 = SSETestH2->new('mod_sse_ssl');
    my @marks = (mark(), mark());
    my $first = $h2->get("/exec/act?say=$marks[0]&wait=1");
    my $second = $h2->get("/exec/act?say=$marks[1]&wait=1");
    ok $h2->wait_for($first, qr/data: \Q$marks[0]\E\n/, 10), 'over HTTP/2';
    ok $h2->wait_for($second, qr/data: \Q$marks[1]\E\n/, 10), 'twice';
    $h2->reset_stream($first);
    ok ends($marks[0]), 'a reset ends its program';
    is scalar(running($marks[1])), 1, 'and not the other';
    $h2->close;
    ok ends($marks[1]), 'which the connection\'s end does';
}
ok eventually { !running(Apache::Test::vars('serverroot') . '/exec/bin/act') },
    'no program is left';
