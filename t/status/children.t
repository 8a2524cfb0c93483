# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The numbers of sse-status are those of all children, also over a graceful
# restart, and when a child is killed.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use List::Util qw(sum0);
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestMetrics;

use constant STREAMS => 8;

plan tests => 3 + 4 + 5 + 5 + 3, need_module('mod_sse');

my $httpd = SSETestHttpd->new;
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

# A child that is about to go may not answer.
sub status {
    my $json;
    eventually {
        $json = eval { request('GET', '/status?format=json', @port)->json };
    };
    return $json;
}

sub metrics {
    my $body;
    eventually {
        $body = eval { request('GET', '/status?format=metrics', @port)->body };
    };
    my($families, @faults) = read_metrics($body // '');
    return @faults ? {} : $families;
}

sub sum {
    my($families, $name) = @_;

    return sum0 map { $_->{value} }
        @{ ($families->{$name} // {})->{samples} // [] };
}

sub children_of { return sum0 map { $_->{streams} } @{ $_[0]{children} } }

sub drives_of {
    return sum0 @{ $_[0]{drives} }{qw(async async_http2
                                   waiting_http1 waiting_http2)};
}

my $first = status();
ok t_cmp($first->{version}, qr/^\d+\.\d+\.\d+/, 'the version');
ok t_cmp(join(' ', map { ref $first->{$_} } qw(authorize closed drives histograms
                         hooks refused_by store children)),
         'HASH HASH HASH HASH HASH HASH HASH ARRAY', 'the groups');

my @streams = map { open_stream("/c/$_", @port) } 1 .. STREAMS;
$_->next_block(slowly(5)) for @streams;
publish("/c/$_", 'x', @port) for 1 .. 3;
my $now;
# A stream is counted by how it is written a moment after it is.
ok t_cmp(eventually {
    $now = status();
    $now->{streams} == STREAMS && drives_of($now) == STREAMS
        && $now->{published} == 3
}, 1, 'streams and events');
ok t_cmp(children_of($now), STREAMS, 'all streams are in some child');
ok t_cmp(drives_of($now), STREAMS, 'and written in some way');
ok t_cmp(sum(metrics(), 'modsse_streams'), STREAMS, 'metrics say the same');

# A graceful restart: they end, and are counted.
my %old = map { $_ => 1 } $httpd->children;
ok t_cmp($httpd->restart('USR1'), 1, 'a graceful restart');
$_->wait_end(slowly(20)) for @streams;
ok t_cmp(eventually {
    $now = status();
    $now->{closed}{shutdown} == STREAMS && $now->{streams} == 0
}, 1, 'all streams are closed by it');
ok t_cmp("$now->{opened} $now->{published}", STREAMS . ' 3',
         'what was counted before stays');
my($started) = map { metric(metrics(), 'modsse_start_time_seconds') } 1;
ok t_cmp($started > 1e9 && $started < time + 1, 1, 'as does when it started');
ok t_cmp($now->{uptime} <= time - int($started) + 1, 1, 'the uptime is since then');

# A child that is killed.  One that still leaves would end what it is given.
eventually(sub { !grep { $old{$_} } $httpd->children }, slowly(20))
    or die 'a child stays';
@streams = map { open_stream("/c/$_", @port) } 1 .. STREAMS;
$_->next_block(slowly(5)) for @streams;
ok t_cmp(eventually { ($now = status())->{streams} == STREAMS }, 1,
         'as many streams again');
my($dying) = sort { $b->{streams} <=> $a->{streams} } @{ $now->{children} };
ok t_cmp($dying->{streams} > 0, 1, 'a child has some');
kill KILL => $dying->{pid};
ok t_cmp(eventually {
    $now = status();
    $now->{closed}{crash} == $dying->{streams}
        && !grep { $_->{pid} == $dying->{pid} } @{ $now->{children} }
}, 1, 'when it is killed they are closed by a crash');
ok t_cmp($now->{streams}, STREAMS - $dying->{streams}, 'the others are open');
ok t_cmp($now->{opened} - $now->{closed}{crash} - $now->{closed}{shutdown},
         $now->{streams}, 'what was opened is open or closed');

$_->close for @streams;
ok t_cmp(eventually { ($now = status())->{streams} == 0 }, 1, 'all have left');
ok t_cmp(sum0(values %{ $now->{closed} }), 2 * STREAMS, 'each was closed once');
my $families = metrics();
ok t_cmp(sum($families, 'modsse_closed'), 2 * STREAMS, 'in metrics, too');
