# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A host with HTTP/2 but without TLS: its connections with HTTP/1.1, and files
# beside streams, which httpd there passes on as files.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestH2;
use SSETestHttpd;
use SSETestNumbers qw(numbers_when);

my $mpm = $ENV{SSE_MPM} || 'event';
my $event = $mpm eq 'event';
my $bytes = 300_000;

plan tests => 8, need need_module('mod_sse', 'mod_http2', 'mod_alias'),
    { 'mod_http2 needs a threaded MPM' => $mpm ne 'prefork' };

my $vars = Apache::Test::config()->{vars};
my $dir = "$vars->{t_state}/files-$test_id";
mkdir $dir or die "$dir: $!";
open my $fh, '>', "$dir/file" or die "$dir/file: $!";
print $fh pack 'N*', 1 .. $bytes / 4;
close $fh or die "$dir/file: $!";
chmod 0755, $dir;

my $httpd = SSETestHttpd->new(
    mpm => "StartServers 1\nServerLimit 1\nThreadsPerChild 16\n"
        . "MaxRequestWorkers 16\n",
    modules => [qw(http2 alias)], conf => <<"EOI");
Protocols h2c http/1.1
H2Direct On
EnableMMAP Off
EnableSendfile On
Alias /files "$dir"
<Directory "$dir">
    Require all granted
</Directory>
EOI
my @port = (port => $httpd->port);

ok t_cmp($httpd->start, 1, 'it starts');
http1();
files();
ok $httpd->stop;

sub http1 {
    my $stream = open_stream('/c/http1', @port);
    $stream->head;
    my $held = $event ? 0 : 1;
    my $now = numbers_when { $_->{streams} == 1 && $_->{threads} == $held } @port;
    ok t_cmp($now->{threads}, $held, 'a stream over HTTP/1.1 holds no thread');
    publish('/c/http1', 'x', @port);
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'x', 'and has its event');
    $stream->close;
}

sub files {
    my $h2 = SSETestH2->new('127.0.0.1:' . $httpd->port, plain => 1);
    my $id = $h2->get('/c/beside');
    ok t_cmp($h2->wait_for($id, qr/^retry/, 5), 1, 'a stream over HTTP/2');
    my $file = $h2->get('/files/file');
    publish('/c/beside', 'y' x 5000, @port);
    ok t_cmp($h2->wait_end($file, 10), 1, 'a file on its connection');
    ok $h2->body($file) eq pack 'N*', 1 .. $bytes / 4;
    ok t_cmp($h2->wait_for($id, qr/^data: y{5000}\n\n/m, 5), 1,
             'an event meanwhile');
    $h2->close;
}
