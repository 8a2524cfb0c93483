# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 18: a peer that vanishes without a word is noticed within SSEDeadPeer and one
# heartbeat, also over HTTP/2, and where it had stopped reading before; that it
# reads no more is no sign of death.  The clients are in a network namespace,
# whose cable is drawn, or whose answers are lost.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IPC::Open2 qw(open2);
use SSETest;
use SSETestClose;
use SSETestServer;
use SSETestWait ();
use Socket qw(PF_INET SOCK_STREAM IPPROTO_TCP);
use Time::HiRes qw(sleep time);

# Documentation addresses (RFC 5737), others for each run of the suite that may
# go on at the same time; names of at most 15 characters.
my $block = 4 * (int(Apache::Test::config()->{vars}{port} / 50) % 64);
my($here, $there) = map { '198.51.100.' . ($block + $_) } 1, 2;
my $ns = "sse-$$";
my($near, $far) = ("sse$$" . 'a', "sse$$" . 'b');
my $owner = $$;
my @pids;

sub run { return system("@_ >/dev/null 2>&1") == 0 }

sub in_ns { return run("ip -n $ns @_") }

sub make_namespace {
    return run("ip netns add $ns")
        && run("ip link add $near type veth peer name $far netns $ns")
        && run("ip address add $here/30 dev $near")
        && run("ip link set $near up")
        && in_ns("address add $there/30 dev $far")
        && in_ns("link set lo up") && in_ns("link set $far up");
}

# Also where the test dies; a signal's default would not come by here.
END {
    my $status = $?;
    if ($$ == $owner) {
        kill KILL => @pids;
        waitpid $_, 0 for @pids;
        run("ip link del $near");
        run("ip netns del $ns");
    }
    $? = $status;
}
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

# Where the kernel tries a closed window every second, TCP_RTO_MAX_MS.
my $often = do {
    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    setsockopt $sock, IPPROTO_TCP, 44, pack 'l', 1000;
};
my $h2 = ($ENV{SSE_MPM} // '') ne 'prefork';
my $paused = 'has stopped reading';
# The path, the longest it may take: SSEDeadPeer is 2 s, the kernel counts
# probes in whole seconds.
my @ways = (['plain', '/close/sse/dead/x', 3, 'no heartbeat'],
            ['plain', '/close/sse/beat/x', 2.5, 'heartbeats of 500 ms'],
            ['TLS', '/close/sse/dead/y', 3, 'no heartbeat'],
            ['TLS', '/close/sse/beat/y', 2.5, 'heartbeats of 500 ms'],
            $often ? (['plain', '/close/sse/dead/paused', 4, $paused]) : (),
            $h2 ? (['HTTP/2', '/close/sse/beat/z', 3, 'heartbeats of 500 ms'],
                   ['HTTP/2', '/close/sse/dead/z', 3, 'no heartbeat']) : ());

my $able = $> == 0 && make_namespace();
plan tests => 2 * (3 * @ways + 6) + 1,
    need need_module('mod_sse', 'mod_sse_close', 'mod_ssl'),
    { 'no network namespaces here (root, iproute2, veth)' => $able };

my $config = Apache::Test::config();
my %port = (plain => $config->{vars}{port},
            TLS => $config->{vhosts}{mod_sse_ssl}{port});
$port{'HTTP/2'} = $port{TLS};

vanish('cable', sub { in_ns("link set $far down") },
       sub { in_ns("link set $far up") });
vanish('answers', sub { in_ns("route add blackhole $here/32") },
       sub { in_ns("route del blackhole $here/32") });
ok t_cmp(closed_streams(), 1, 'none is open');

# A client over there.  It tells when its stream has begun, and each line after
# that.
sub client {
    my($way, $url) = @_;

    my $script = <<'END';
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVBUF);
my($way, $to, $url) = @ARGV;
$| = 1;
if ($way eq "HTTP/2") {
    require SSETestH2;
    my $h2 = SSETestH2->new($to);
    my $id = $h2->get($url);
    $h2->wait_for($id, qr/retry: /, 10) and print "retry: 1\n";
    $h2->wait_for($id, qr/never/, 60);
    exit;
}
my @small = $url =~ /paused/ ? (Sockopts => [[SOL_SOCKET, SO_RCVBUF, 4096]]) : ();
my $sock = IO::Socket::INET->new(PeerAddr => $to, Timeout => 10, @small) or die $@;
if ($way eq "TLS") {
    require IO::Socket::SSL;
    IO::Socket::SSL->start_SSL($sock, SSL_verify_mode => 0,
                               SSL_hostname => "localhost") or die;
}
print $sock "GET $url HTTP/1.1\r\nHost: localhost\r\n\r\n";
while (defined(my $line = <$sock>)) {
    print $line;
    last if @small && $line =~ /^retry/;
}
sleep 60;
END
    my $pid = open2(my $out, my $in, 'ip', 'netns', 'exec', $ns, $^X,
                    "-I$FindBin::Bin/../lib", '-e', $script, $way, "$here:$port{$way}", $url);
    push @pids, $pid;
    return { pid => $pid, out => $out };
}

sub wait_for {
    my($client, $re, $timeout) = @_;

    return eval {
        local $SIG{ALRM} = sub { die "no line\n" };
        alarm 1 + int(SSETestWait::patience($timeout) - time);
        while (defined(my $line = readline $client->{out})) {
            if ($line =~ $re) {
                alarm 0;
                return 1;
            }
        }
        alarm 0;
        0;
    };
}

sub vanish {
    my($name, $down, $up) = @_;

    my @cases = map { [@$_] } @ways;
    for my $case (@cases) {
        $case->[4] = key();
        $case->[5] = client($case->[0], url($case->[1], $case->[4]));
        ok t_cmp(wait_for($case->[5], qr/^retry: /, 10), 1,
                 "$name, $case->[0], $case->[3]: open");
    }
    my $patient = key();
    my $survivor = client('plain', url('/close/sse/patient', $patient));
    ok t_cmp(wait_for($survivor, qr/^retry: /, 10), 1, "$name: one more");
    publish('/close/sse/dead/paused', 'x' x 60_000) for 1 .. ($often ? 4 : 0);
    sleep 4;
    ok t_cmp(scalar(map { seen($_->[4], 'close') } @cases), 0,
             "$name: silence is no end");

    my $began = monotonic();
    ok $down->();
    for my $case (@cases) {
        my($way, undef, $most, $what, $k) = @$case;
        my $close = told($k, 'close', slowly(10));
        ok t_cmp(($close->{reason} // 'none') . ' ' . ($close->{by} // 0),
                 'dead-peer 1', "$name, $way, $what: told");
        my $took = (($close->{usec} // $began + 1e8) - $began) / 1e6;
        ok t_cmp($took < $most + slowly(4), 1, "$name, $way, $what: $took s");
    }
    ok t_cmp(count_seen($patient, 'close'), 0,
             "$name: who has SSEDeadPeer 30s waits");
    publish('/close/sse/patient', "after $name");
    ok $up->();
    ok t_cmp(wait_for($survivor, qr/^data: after \Q$name\E/, 15), 1,
             "$name: and goes on where it was");
    kill KILL => splice @pids;
    told($patient, 'close');
}
