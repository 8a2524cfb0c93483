# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Streams that are refused are counted by the limit that refuses them.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;
use SSETestNumbers;
use SSETestServer qw(subscribe);

# One child, so that its threads are all.
my %mpm = (
    event => "StartServers 1\nServerLimit 2\nThreadsPerChild 16\n"
        . "MaxRequestWorkers 16\nAsyncRequestWorkerFactor 100\n",
    worker => "StartServers 1\nServerLimit 2\nThreadsPerChild 16\n"
        . "MaxRequestWorkers 16\n",
    prefork => "StartServers 16\nServerLimit 16\nMaxRequestWorkers 16\n",
);
my($small, $few) = map { Apache::Test::vars('port') + $_ } 46, 47;
# With the event MPM a filter that may wait makes a stream hold a thread.
my $httpd = SSETestHttpd->new(
    mpm => $mpm{ $ENV{SSE_MPM} || 'event' }, modules => ['ratelimit'],
    conf => <<"EOI");
SSEMaxStreams 6
SSEMaxThreads 12
<Location "/c/client">
    SSEMaxStreamsPerClient 1
</Location>
<Location "/c/waits">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 100000
</Location>
Listen 127.0.0.1:$small
Listen 127.0.0.1:$few
<VirtualHost 127.0.0.1:$small>
    ServerName small.example
    SSEMaxStreams 2
</VirtualHost>
<VirtualHost 127.0.0.1:$few>
    ServerName few.example
    SSEMaxThreads 3
</VirtualHost>
EOI
my @port = (port => $httpd->port);

# What refuses, how many it lets in, how many more come, its path and port, and
# the answer.
my @limits = (
    ['client', 1, 2, '/c/client', $httpd->port, 429],
    ['host', 2, 3, '/c/host', $small, 503],
    ['threads', 3, 4, '/c/waits', $few, 503],
    ['server', 6, 5, '/c/server', $httpd->port, 503],
);
plan tests => 1 + 5 * @limits + 2, need_module('mod_sse', 'mod_ratelimit');

ok t_cmp($httpd->start, 1, 'an httpd of its own');
my %all = map { $_ => 0 } qw(server host client threads callbacks commands
                            http2);
refuse(@$_) for @limits;
my $now = numbers(@port);
ok t_cmp($now->{refused}, 14, 'in all');
ok t_cmp($now->{opened}, 12, 'and no stream was opened for them');

sub refuse {
    my($name, $fit, $more, $path, $port, $code) = @_;

    my @streams = map { subscribe($path, port => $port) } 1 .. $fit;
    ok t_cmp(are_open($fit, @port), 1, "$name: as many as fit");
    my @codes = map { request('GET', $path, port => $port)->code } 1 .. $more;
    ok t_cmp("@codes", join(' ', ($code) x $more), "$name: more are refused");
    $all{$name} += $more;
    my $by = numbers(@port)->{refused_by};
    ok t_cmp(join(' ', map { "$_=$by->{$_}" } sort keys %$by),
             join(' ', map { "$_=$all{$_}" } sort keys %all),
             "$name: and counted there alone");
    $_->close for @streams;
    # A thread is given back after its stream has ended, and the next limit's
    # streams must not find it taken.
    my $free = numbers_when {
        !$_->{streams} && !$_->{threads}
    } @port;
    ok t_cmp("$free->{streams} $free->{threads}", '0 0',
             "$name: all have left");
    ok t_cmp(adds_up(@port), 1, "$name: opened are closed or open");
}
