# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEHTTP2 Off: streams and long polls over HTTP/2 are refused, in words, and
# nothing else is; what the start says of HTTP/2 with each word.

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
use SSETestNumbers qw(numbers);

my $mpm = $ENV{SSE_MPM} || 'event';
my $slow = $ENV{SSE_SAN} ? 4 : 1;

my $requests = Apache::Test::vars('t_logs') . '/own_requests';

# Hosts of one address: inherited, turned on again, and without HTTP/2.
my $conf = <<"EOI";
LogFormat "%{Host}i %r %>s refused=%{sse-refused}n" refusals
CustomLog "$requests" refusals
LogLevel info sse:debug http2:warn
KeepAliveTimeout 120
Protocols h2c http/1.1
SSEHTTP2 Off
<IfModule mod_http2.c>
    H2Direct On
</IfModule>
<Location "/program">
    SetHandler sse-exec
    SSECommand /bin/echo one
</Location>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName on.example
    SSEHTTP2 threads
</VirtualHost>
<VirtualHost *>
    ServerName old.example
    Protocols http/1.1
</VirtualHost>
EOI

plan tests => 29, need need_module('mod_sse', 'mod_http2'),
    { 'mod_http2 needs a threaded MPM' => $mpm ne 'prefork' };

my($httpd, $h2);

$_->() for (\&start, \&refused, \&as_before, \&other_hosts, \&told, \&starts);

sub begin {
    unlink $requests;
    $httpd = SSETestHttpd->new(modules => ['http2'], conf => $_[0]);
    return $httpd->start;
}

sub start {
    ok t_cmp(begin($conf), 1, 'it starts');
    $h2 = SSETestH2->new('127.0.0.1:' . $httpd->port, plain => 1);
    $SSETest::meanwhile = sub { $h2->nudge };
}

# How often a line is in the log of requests, once it is there.
sub logged {
    my($re) = @_;

    my $n = 0;
    eventually {
        open my $fh, '<', $requests or return 0;
        $n = grep { /\n\z/ && $_ =~ $re } <$fh>;
    } 5 * $slow;
    return $n;
}

# What is answered; undef if it does not end.
sub answer {
    my $id = $h2->get(@_);
    return $h2->wait_end($id, 10 * $slow) ? $h2->body($id) : undef;
}

sub refused {
    my $words = qr/^\{"error":"this host gives no streams over HTTP\/2 /;
    ok t_cmp(answer('/c/off'), $words, 'a stream, in words');
    ok t_cmp(logged(qr{ GET /c/off HTTP/2\S* 503 refused=SSEHTTP2$}), 1,
             'with 503 and the note');
    ok t_cmp(answer('/c/poll', accept => 'application/json'), $words,
             'a long poll');
    ok t_cmp(logged(qr{ GET /c/poll HTTP/2\S* 503 refused=SSEHTTP2$}), 1,
             'likewise');
    ok t_cmp(answer('/program'), $words, 'a program');
    ok t_cmp(answer('/status'), qr/"streams"/, 'sse-status is a page');
    ok t_cmp(answer('/status', accept => 'text/event-stream'), $words,
             'its stream is one');
    ok t_cmp(defined answer('/c/head', ':method' => 'HEAD'), 1, 'HEAD');
    ok t_cmp(logged(qr{ HEAD /c/head HTTP/2\S* 503 }), 1, 'is answered as GET');
    my $now = numbers(port => $httpd->port);
    ok t_cmp([@$now{qw(streams opened refused)}], [0, 0, 4],
             'four streams refused, none opened');
    ok t_cmp($now->{refused_by}{http2}, 4, 'by this directive');
    my($families) = read_metrics(request('GET', '/status?format=metrics',
                                         port => $httpd->port)->body);
    ok t_cmp(metric($families, 'modsse_refused_total{limit="http2"}'), 4,
             'in metrics');
}

# HTTP/1.1, and publishing.
sub as_before {
    my $stream = open_stream('/c/both', port => $httpd->port);
    ok t_cmp($stream->status, 200, 'a stream over HTTP/1.1');
    ok t_cmp(publish_http2('/c/both', 'by HTTP/2'), 200,
             'publishing over HTTP/2');
    ok t_cmp(($stream->next_event(5 * $slow) // {})->{data}, 'by HTTP/2',
             'reaches it');
}

# @return the status
sub publish_http2 {
    my($path, $data) = @_;

    my $url = 'http://127.0.0.1:' . $httpd->port . $path;
    open my $fh, '-|', qw(curl -s --http2-prior-knowledge --max-time), 60,
        '-H', 'Host: localhost', '-o', '/dev/null', '-w', '%{http_code}',
        '-d', "data=$data", $url or die "curl: $!";
    return scalar <$fh>;
}

sub other_hosts {
    my $id = $h2->get('/c/on', ':host' => 'on.example');
    ok t_cmp($h2->wait_for($id, qr/^retry/, 5 * $slow), 1,
             'a host that has it on');
    $h2->reset_stream($id);
    ok t_cmp(answer('/c/old', ':host' => 'old.example'),
             qr/another host's/, 'a host without HTTP/2');
    ok t_cmp(logged(qr{^old\S* GET /c/old HTTP/2\S* 421 refused=-$}), 1,
             'is answered 421, as before');
    ok t_cmp(eventually(sub {
        numbers(port => $httpd->port)->{refused_by}{http2} == 4
    }), 1, 'which is another matter');
}

sub told {
    my $said = () = $httpd->lines(qr/sse:warn\].*HTTP\/2 is on for on\.example/);
    ok t_cmp($said, 1, 'the start tells of the host whose streams hold threads');
    $h2->close;
    ok t_cmp([$httpd->complaints(qr/HTTP\/2 is on/)], [], 'nothing else');
    ok $httpd->stop;
}

# Which words the start has something to say of.
sub starts {
    for my $word ('threads', 'splice') {
        (my $text = $conf) =~ s/SSEHTTP2 (?:Off|threads)/SSEHTTP2 $word/g;
        ok t_cmp(begin($text), 1, "SSEHTTP2 $word");
        my $said = () = $httpd->lines(qr/sse:warn\].*HTTP\/2 is on for /);
        ok t_cmp($said, $word eq 'threads' || $mpm ne 'event' ? 1 : 0,
                 'whether streams hold threads');
        ok $httpd->stop;
    }
}
