# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The parent ends children that it has too many of, and their streams: with
# MaxSpareThreads as it was recommended once, and not with what the start's
# warning says.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Socket::INET ();
use SSETest;
use SSETestHttpd;
use SSETestServer;
use Time::HiRes qw(sleep time);

my $slow = $ENV{SSE_SAN} ? 4 : 1;
my $said = qr/sse:warn\].*MaxSpareThreads: .*more than 7 threads are idle/;

plan tests => 18, need need_module('mod_sse'),
    { 'prefork ends idle children only, which have no stream' =>
          ($ENV{SSE_MPM} // '') ne 'prefork' };

# Two children of five threads at most.  MaxSpareThreads 1 is raised to
# MinSpareThreads + ThreadsPerChild + 1.
sub numbers {
    return "StartServers 1\nServerLimit 6\nThreadsPerChild 5\n"
        . "MinSpareThreads 1\nMaxSpareThreads $_[0]\nMaxRequestWorkers 10\n"
        . (($ENV{SSE_MPM} // 'event') eq 'event'
           ? "AsyncRequestWorkerFactor 20\n" : '');
}

# Eight clients that have sent half a request have a thread each, so that more
# children come; when they have left, all threads are idle.
sub spike {
    my $httpd = shift;

    my @half;
    my $all = eventually {
        my $sock = @half < 8 && IO::Socket::INET->new(
            PeerAddr => '127.0.0.1', PeerPort => $httpd->port);
        if ($sock) {
            syswrite $sock, 'GET /c/';
            push @half, $sock;
        }
        @half == 8 && $httpd->children == 2;
    } 20 * $slow;
    ok t_cmp($all, 1, 'a second child');
    return @half;
}

# Of the five threads of the first child, and of the second one's.
sub make_room {
    my $half = shift;

    $_->close for splice(@$half, 0, 3), pop @$half;
}

# By the client's port: "[client 127.0.0.1:4711] stream ID open on ...".
sub child_of {
    my($httpd, $stream) = @_;

    my $port = $stream->sock->sockport;
    my $id = eventually {
        my($line) = $httpd->lines(qr/client \S+:$port\] stream \S+ open on/);
        $line && $line =~ /stream (\S+)/ && $1;
    };
    return stream_pid($id);
}

# One in each child, as the log tells.  On worker each needs a thread.
sub open_streams {
    my $httpd = shift;

    my %in;
    eventually {
        my @some = map { open_stream('/c/spare', port => $httpd->port) } 1 .. 4;
        $_->next_block(10) && ($in{child_of($httpd, $_)} //= $_) for @some;
        keys %in == 2;
    } 10 * $slow;
    ok t_cmp(scalar keys %in, 2, 'each child has a stream');
    return values %in;
}

sub still_open { return scalar grep { !$_->is_ended && !$_->wait_end(0) } @_ }

my @conf = (conf => 'LogLevel info sse:debug');
my $httpd = SSETestHttpd->new(mpm => numbers(1)
                              . "MaxConnectionsPerChild 5000\n", @conf);
ok t_cmp($httpd->start, 1, 'it starts');
ok t_cmp((scalar $httpd->lines($said)), 1, 'once, the start says what is wrong');
ok t_cmp((scalar $httpd->lines(qr/Set MaxSpareThreads 10 /)), 1,
         'and what to set');
ok t_cmp((scalar $httpd->lines(qr/sse:notice\].*MaxConnectionsPerChild 5000/)),
         1, 'so does what ends children in another way');
my @half = spike($httpd);
make_room(\@half);
my @streams = open_streams($httpd);
$_->close for @half;
ok t_cmp(eventually(sub { still_open(@streams) < @streams }, 15 * $slow), 1,
         'the parent ends a child, and its streams');
ok t_cmp(eventually(sub { scalar $httpd->lines(qr/ ended: shutdown/) }) > 0, 1,
         'as "shutdown"');
ok t_cmp($httpd->restart('USR1'), 1, 'a graceful restart');
ok t_cmp((scalar $httpd->lines($said)), 2, 'says so again');
$_->close for @streams;
ok t_cmp($httpd->stop, 1, 'stopped');

$httpd = SSETestHttpd->new(mpm => numbers(10), @conf);
ok t_cmp($httpd->start, 1, 'it starts with what it said');
ok t_cmp((scalar $httpd->lines(qr/sse:.*(?:MaxSpareThreads|MaxConnectionsPerChild)/)), 0, 'no word of it');
@half = spike($httpd);
make_room(\@half);
@streams = open_streams($httpd);
$_->close for @half;
# Four of the parent's looks.
sleep 4;
ok t_cmp((scalar $httpd->children), 2, 'all children stay');
ok t_cmp(still_open(@streams), scalar @streams, 'and all streams');
$_->close for @streams;
ok $httpd->stop;
