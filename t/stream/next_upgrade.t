# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A client that wants HTTP/2, or TLS, on a connection after its stream is served
# all the same, in HTTP/1.1; what is not httpd's own to switch to is asked on.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Select ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;

my @wishes = (['h2c', '-'], ['TLS/1.0', '-'], ['websocket, h2c', 'websocket'],
              ['H2C,tls/1.2', '-'], ['websocket', 'websocket']);
my $event = ($ENV{SSE_MPM} || 'event') eq 'event';
my $prefork = ($ENV{SSE_MPM} || '') eq 'prefork';
plan tests => 1 + 2 + ($event ? 3 * @wishes + 2 : 1) + 1,
    need_module('mod_sse', 'mod_http2', 'mod_ssl');

my $log = Apache::Test::vars('t_logs') . '/upgrade_access';
unlink $log;
my $vars = Apache::Test::vars();
my $certs = "$vars->{sslca}/$vars->{sslcaorg}";
my $httpd = SSETestHttpd->new(modules => ['http2', 'ssl'], conf => <<"EOI");
Protocols h2c http/1.1
SSLEngine optional
SSLCertificateFile "$certs/certs/server.crt"
SSLCertificateKeyFile "$certs/keys/server.pem"
CustomLog upgrade_access "%U%q %>s upgrade=%{Upgrade}i"
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

my %h2c = wish('h2c');
# HTTP/2 needs threads.
for my $path ('/status', '/c/first') {
    my $fresh = open_stream($path, @port, %h2c);
    ok t_cmp(code($fresh), $prefork ? 200 : 101, "a connection of its own: $path");
    $fresh->close;
}
my $conn = after_stream();
if ($event) {
    for (@wishes) {
        my($wanted, $left) = @$_;
        my $answer = $conn->again("/status?" . tag($wanted), wish($wanted));
        ok t_cmp($answer->wait_end(slowly(5)) && $answer->is_complete, 1,
                 "$wanted: the answer is whole");
        ok t_cmp($answer->status, 200, "$wanted: in HTTP/1.1");
        ok t_cmp(logged(tag($wanted)), qr/ upgrade=\Q$left\E$/, "$wanted: goes on");
    }
    ok t_cmp($conn->again('/status')->wait_end(slowly(5)), 1,
             'the connection lives on');
    ok t_cmp($conn->status, 200, 'as it was');
}
else {
    ok t_cmp(code($conn->again('/status', %h2c)), $prefork ? 200 : 101,
             "the MPM's own connection can be upgraded");
}
$conn->close;
# HTTP/2 holds threads, and the start tells how many.
ok t_cmp(join('', $httpd->complaints(qr{HTTP/2 is on for})), '',
         'nothing is wrong in the log');

sub wish {
    return (headers => { Upgrade => $_[0],
                         Connection => 'Upgrade, HTTP2-Settings',
                         'HTTP2-Settings' => 'AAMAAABkAAQAAP__' });
}

# Also of an answer that another protocol follows.
sub code {
    my $stream = shift;

    my $in = '';
    while ($in !~ /\n/ && IO::Select->new($stream->sock)->can_read(slowly(10))) {
        $stream->sock->sysread($in, 4096, length $in) or last;
    }
    return $in =~ m{^HTTP/1\.1 (\d+) } ? $1 : $in;
}

sub after_stream {
    my $stream = open_stream('/c/next-upgrade', @port);
    $stream->next_block(slowly(5));
    request('DELETE', '/c/next-upgrade', @port);
    $stream->wait_end(slowly(5)) or die 'the stream does not end';
    return $stream;
}

sub logged {
    my $query = shift;

    my $found;
    eventually(sub {
        open my $fh, '<', $log or return;
        ($found) = grep { index($_, "?$query ") >= 0 } <$fh>;
        return $found;
    });
    return $found // '';
}

# A query cannot have spaces.
sub tag {
    return $_[0] =~ tr/a-zA-Z0-9/-/cr;
}
