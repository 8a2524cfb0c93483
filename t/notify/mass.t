# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Very many streams whose clients leave at once: each is told, once, and soon.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Socket::INET ();
use POSIX ();
use SSETest;
use SSETestClose;
use SSETestServer;
use Time::HiRes qw(sleep time);

# As many as the MPM's threads, processes and the descriptors allow.
my $files = POSIX::sysconf(POSIX::_SC_OPEN_MAX()) // 0;
my $count = have_apache_mpm('prefork') ? 50
    : have_apache_mpm('worker')        ? 110
    : $ENV{SSE_SAN} || $files < 11_000 ? 2000
    :                                    5000;

plan tests => 9, need_module('mod_sse', 'mod_sse_close');

my @keys = map { key() } 1 .. $count;
my $before = opened_so_far();
my($pid, $ready) = start_clients();
ok t_cmp(scalar readline $ready, "$count\n", "$count streams are open");
# A client may have the head before its stream counts.
ok t_cmp(eventually(sub { server_status()->{streams} == $count }, slowly(5)),
         1, 'and counted');
ok t_cmp(opened_so_far() - $before, $count, 'each once');

# A process that dies closes all of its sockets.
my $began = monotonic();
kill KILL => $pid;
waitpid $pid, 0;
my $left = monotonic();
ok t_cmp(eventually(sub { !grep { !count_seen($_, 'cb') } @keys }, slowly(10)),
         1, 'all are told');
my @last = sort { $a <=> $b } map { $_->{usec} } map { seen($_, 'cb') } @keys;
my $took = ($last[-1] - $left) / 1e6;
ok t_cmp($took < slowly(8), 1,
         sprintf 'the last one %.3f s after the last close, which took %.3f s',
         $took, ($left - $began) / 1e6);
sleep 0.3;
in_all(\@keys, $count, 'by the hook, once', sub {
    count_seen($_, 'open') == 1 && count_seen($_, 'close') == 1
});
in_all(\@keys, $count, 'by the callback, once', sub {
    count_seen($_, 'cb') == 1
});
in_all(\@keys, $count, 'the client left', sub {
    (seen($_, 'cb'))[0]{reason} =~ /^(?:client|reset)$/
});
ok t_cmp(closed_streams(), 1, '25: none is open any more');

sub opened_so_far { return server_status()->{opened} }

# A process with all the connections, which says when all heads have come.
sub start_clients {
    pipe my $out, my $in or die "pipe: $!";
    my $child = fork // die "fork: $!";
    return ($child, $out) if $child;
    my $vars = Apache::Test::config()->{vars};
    my @socks;
    my $n = 0;
    my $ask = sub {
        my $k = shift;
        my $sock = IO::Socket::INET->new("127.0.0.1:$vars->{port}")
            // die "connect: $@";
        syswrite $sock, 'GET ' . url('/close/app/x', $k, reg => 1)
            . " HTTP/1.1\r\nHost: localhost\r\n\r\n";
        push @socks, [$k, $sock];
    };
    my $take = sub {
        my $bytes = '';
        my($k, $sock) = @{ shift @socks };
        while ($bytes !~ /retry: \d+\n/) {
            sysread $sock, $bytes, 4096, length $bytes or last;
        }
        # A child that is leaving opens none.
        return $ask->($k) && () if $bytes =~ /retry: 500\n/;
        ++$n if $bytes =~ /\AHTTP\S+ 200 .*retry: /s;
        return $sock;
    };
    my @open;
    for my $k (@keys) {
        $ask->($k);
        # A few at a time, as the listening queue has an end.
        push @open, $take->() if @socks >= 50;
    }
    push @open, $take->() while @socks;
    syswrite $in, "$n\n";
    sleep 60;
    POSIX::_exit(0);
}
