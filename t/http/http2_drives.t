# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEHTTP2 splice and threads: which streams over HTTP/2 hold a thread, what
# sse-status says of them, and the log where one does that need not.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestH2;
use SSETestHttpd;
use SSETestMetrics;
use SSETestNumbers qw(numbers numbers_when);

my $mpm = $ENV{SSE_MPM} || 'event';
my $slow = $ENV{SSE_SAN} ? 4 : 1;
my $event = $mpm eq 'event';

# One child, as each says for itself why a stream holds a thread.
my $numbers = "StartServers 1\nServerLimit 2\nThreadsPerChild 16\n"
    . "MaxRequestWorkers 16\n" . ($event ? "AsyncRequestWorkerFactor 100\n" : '');

my $conf = <<'EOI';
LogLevel info sse:info http2:warn
KeepAliveTimeout 120
Protocols h2c http/1.1
<IfModule mod_http2.c>
    H2Direct On
</IfModule>
# Not a <Location>.
<If "%{REQUEST_URI} == '/if'">
    SetHandler sse
</If>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName threads.example
    SSEHTTP2 threads
</VirtualHost>
EOI

plan tests => 25, need need_module('mod_sse', 'mod_http2'),
    { 'mod_http2 needs a threaded MPM' => $mpm ne 'prefork' };

my $httpd = SSETestHttpd->new(mpm => $numbers, modules => ['http2'],
                              conf => $conf);
my @port = (port => $httpd->port);

ok t_cmp($httpd->start, 1, 'it starts');
$_->() for (\&by_default, \&with_threads, \&by_accept, \&without_window,
            \&told);

sub connection {
    return SSETestH2->new('127.0.0.1:' . $httpd->port, plain => 1, @_);
}

# Streams without and with a thread, and threads that are held, as soon as they
# are so many: a thread is given back a moment after its stream.
sub drives_are {
    my($async, $waiting) = @_;

    my $now = numbers_when {
        my $drives = $_->{drives};
        $drives->{async_http2} == $async
            && $drives->{waiting_http2} == $waiting
            && $_->{threads} == $waiting
    } @port;
    return [@{ $now->{drives} }{qw(async_http2 waiting_http2)},
            $now->{threads}];
}

sub samples {
    my($families) = read_metrics(request('GET', '/status?format=metrics',
                                         @port)->body);
    return [map { metric($families, "modsse_streams{drive=\"$_\",protocol=\"http2\"}") }
            qw(async waiting)];
}

# A stream and a long poll, of a client that behaves as browsers do.
sub by_default {
    my @now = $event ? (2, 0) : (0, 2);
    my $h2 = connection(window => 1 << 20);
    my $id = $h2->get('/c/one', accept => 'text/event-stream');
    ok t_cmp($h2->wait_for($id, qr/^retry/, 5 * $slow), 1, 'a stream');
    my $poll = $h2->get('/c/one', accept => 'application/json');
    ok t_cmp(drives_are(@now), [@now, $now[1]], 'it and a long poll, counted');
    ok t_cmp(samples(), \@now, 'in metrics');
    publish('/c/one', 'x', @port);
    ok t_cmp($h2->wait_for($id, qr/^data: x\n\n/m, 5 * $slow), 1, 'its event');
    ok t_cmp($h2->wait_end($poll, 5 * $slow), 1, "the poll's end");
    $_ &&= 1 for @now;
    ok t_cmp(drives_are(@now), [@now, $now[1]], 'one is left');
    $h2->close;
    ok t_cmp(drives_are(0, 0), [0, 0, 0], 'and none');
}

# The host of the request counts.
sub with_threads {
    my @now = $event ? (1, 1) : (0, 2);
    my $h2 = connection(window => 1 << 20);
    my @ids = ($h2->get('/c/two', ':host' => 'threads.example'),
               $h2->get('/c/two'));
    ok t_cmp((grep { $h2->wait_for($_, qr/^retry/, 5 * $slow) } @ids) + 0, 2,
             'SSEHTTP2 threads, and splice, on one connection');
    ok t_cmp(drives_are(@now), [@now, $now[1]], 'each as its host says');
    publish('/c/two', 'x', @port);
    ok t_cmp($h2->wait_for($ids[1], qr/^data: x\n\n/m, 5 * $slow), 1,
             'one has its event');
    publish('/c/two', 'y', host => 'threads.example', @port);
    ok t_cmp($h2->wait_for($ids[0], qr/^data: y\n\n/m, 5 * $slow), 1,
             'and the other one');
    $h2->close;
    ok t_cmp(drives_are(0, 0), [0, 0, 0], 'none is left');
}

# Where no <Location> tells that it is one of streams, Accept does.
sub by_accept {
    my @now = $event ? (1, 1) : (0, 2);
    my $h2 = connection(window => 1 << 20);
    my @ids = ($h2->get('/if', accept => 'text/event-stream'),
               $h2->get('/if'));
    ok t_cmp((grep { $h2->wait_for($_, qr/^retry/, 5 * $slow) } @ids) + 0, 2,
             'with and without Accept');
    ok t_cmp(drives_are(@now), [@now, $now[1]], 'Accept tells what is asked for');
    $h2->close;
    ok t_cmp(drives_are(0, 0), [0, 0, 0], 'none is left');
}

# It gives nothing that could be shared.
sub without_window {
    my $h2 = connection(window => 0);
    my @ids = map { $h2->get('/c/three') } 1, 2;
    ok t_cmp((grep { $h2->wait_for($_, qr/^retry/, 5 * $slow) } @ids) + 0, 2,
             'two streams of a client with a small window');
    ok t_cmp(drives_are(0, 2), [0, 2, 2], 'hold threads');
    publish('/c/three', 'x', @port);
    ok t_cmp((grep { $h2->wait_for($_, qr/^data: x\n\n/m, 5 * $slow) }
              @ids) + 0, 2, 'and have their events');
    $h2->close;
    ok t_cmp(drives_are(0, 0), [0, 0, 0], 'none is left');
}

# The levels of what the log says of threads, for that reason.  Two that open at
# the same time may be logged in any order.
sub levels {
    my $why = shift;

    return [sort map { /sse:(\w+)\]/ } $httpd->lines(
        qr/the stream over HTTP\/2 occupies a thread, as $why/)];
}

sub told {
    ok t_cmp(levels('its client leaves'), $event ? ['info', 'notice'] : [],
             'the reason is in the log, once as a notice');
    ok t_cmp(levels('its request has a body, or'), $event ? ['notice'] : [],
             'and each other one');
    ok t_cmp(scalar @{ levels('') }, $event ? 3 : 0, 'there are no more');
    ok t_cmp([$httpd->complaints(qr/HTTP\/2 is on for/)], [], 'nothing else');
    ok $httpd->stop;
}
