# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Clients over HTTP/2 that leave while the server still works on a request of
# theirs: to close such a connection mod_http2 waits until that has ended.  Ends
# of other clients' streams do not.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Socket::INET ();
use SSETest;
use SSETestH2;
use SSETestHttpd;

my $mpm = $ENV{SSE_MPM} || 'event';
my $clients = 4;

my $mpm_conf = "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
    . "MaxRequestWorkers 32\n"
    . ($mpm eq 'event' ? "AsyncRequestWorkerFactor 100\n" : '');

plan tests => 6, need need_module('mod_sse', 'mod_http2', 'mod_proxy_http'),
    { 'mod_http2 needs a threaded MPM' => $mpm ne 'prefork' };

# It does not answer.
my $backend = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16,
                                    Timeout => 20)
    or die "listen: $!";
my $log = Apache::Test::vars('t_logs') . "/closing_log-$test_id";
my $httpd = SSETestHttpd->new(mpm => $mpm_conf,
                              modules => [qw(http2 proxy proxy_http)],
                              conf => <<"EOI");
Protocols h2c http/1.1
H2Direct On
CustomLog "$log" "\%r"
ProxyPass /hangs http://127.0.0.1:@{[$backend->sockport]}/
ProxyTimeout 120
EOI
my @port = (port => $httpd->port);

ok t_cmp($httpd->start, 1, 'it starts');
my @h2 = map { SSETestH2->new('127.0.0.1:' . $httpd->port, plain => 1) }
    1 .. $clients;
ok t_cmp((grep { $_->wait_for($_->get('/c/own'), qr/^retry/, 10) } @h2) + 0,
         $clients, 'each has a stream');
$_->get('/hangs') for @h2;
my @asked = map { $backend->accept } @h2;
# Two in a way that mod_http2 finds when it writes.
$_ % 2 ? $h2[$_]->close : $h2[$_]->reset for 0 .. $#h2;
ok t_cmp(eventually { logged('/c/own') == $clients }, 1,
         'all leave: their streams end');

my $other = open_stream('/c/other', @port);
$other->head;
$other->close;
ok t_cmp(eventually { logged('/c/other') == 1 }, 1,
         "another client's stream ends, whatever those wait for");
ok t_cmp(logged('/hangs'), 0, 'and they do');
undef @asked;
ok $httpd->stop;

sub logged {
    my $path = shift;

    open my $fh, '<', $log or return 0;
    return scalar grep { /^GET \Q$path\E / } <$fh>;
}
