# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A connection's large responses after its stream: a client that reads them
# slowly takes no thread, its request is logged when it has all, and the
# connection lives on.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use Digest::MD5 qw(md5_hex);
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use Time::HiRes qw(sleep time);

# One child's threads, of which half run such requests.
use constant { THREADS => 4, SLOW => 6, SIZE => 9_000_000 };

plan tests => 1 + 2 * (SLOW + 2 + SLOW * 3 + 2 + 3 + 4) + 1,
    need_module('mod_sse', 'mod_ssl');

my $event = ($ENV{SSE_MPM} || 'event') eq 'event';
my $logs = Apache::Test::vars('t_logs');
my $root = Apache::Test::vars('t_state') . "/next-slow-$$";
mkdir $root or die "$root: $!";
chmod 0755, $root;
my $content = join '', map { sprintf '%08d ', $_ } 1 .. SIZE / 9;
open my $fh, '>', "$root/large" or die "$root/large: $!";
print $fh $content;
close $fh or die "$root/large: $!";
my $vars = Apache::Test::vars();
my $certs = "$vars->{sslca}/$vars->{sslcaorg}";
my $tls_port = $vars->{port} + 46;
my $httpd = SSETestHttpd->new(
    modules => ['ssl', 'socache_shmcb'],
    $event ? (mpm => "StartServers 1\nServerLimit 4\nThreadsPerChild @{[THREADS]}\n"
                  . "MaxRequestWorkers @{[THREADS]}\n"
                  . "AsyncRequestWorkerFactor 400\n") : (),
    conf => <<"EOI");
Timeout 60
KeepAliveTimeout 20
DocumentRoot "$root"
Listen 127.0.0.1:$tls_port
<VirtualHost *:$tls_port>
    ServerName localhost
    SSLEngine on
    SSLCertificateFile "$certs/certs/server.crt"
    SSLCertificateKeyFile "$certs/keys/server.pem"
</VirtualHost>
CustomLog slow_access "%U?%q %>s %B %X %k"
EOI
my @port = (port => $httpd->port);
my $access = "$logs/slow_access";
unlink $access;
ok t_cmp($httpd->start, 1, 'an httpd of its own');

my($way, @opt);
for (['plain', @port], ['TLS', port => $tls_port, tls => 1]) {
    ($way, @opt) = @$_;
    slow();
    gone();
    restarted();
}
rmdir_root();
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

sub slow {
    my @slow = map { after_stream($_) } 1 .. SLOW;
    $_->again("/large?slow-$way") for @slow;
    # Until the sockets are full.
    ok t_cmp($_->status, 200, "$way: a slow download begins") for @slow;
    sleep 0.5;
    my $quick = after_stream('quick');
    my $began = time;
    ok t_cmp($quick->again('/status')->wait_end(slowly(5)), 1,
             "$way: another connection's request meanwhile");
    my $took = time - $began;
    ok t_cmp($took < slowly(8), 1, "$way: is served at once, after $took s");
    for my $slow (@slow) {
        ok t_cmp($slow->wait_end(slowly(10)), 1, "$way: a slow download ends");
        ok t_cmp(md5_hex($slow->{body}), md5_hex($content),
                 "$way: with all of its bytes");
        ok t_cmp($slow->again('/status')->wait_end(slowly(5)), 1,
                 "$way: and its connection lives on");
    }
    logged(qr{^/large\?\?slow-$way 200 @{[SIZE]} \+ }, SLOW, 'as complete');
    $_->close for @slow, $quick;
}

sub after_stream {
    my $n = shift;

    my $path = "/c/next-slow-$n";
    my $conn = open_stream($path, @opt, rcvbuf => 32_768);
    $conn->next_block(slowly(5));
    request('DELETE', $path, @port);
    $conn->wait_end(slowly(5)) or die 'the stream does not end';
    return $conn;
}

sub lines {
    my $re = shift;

    open my $log, '<', $access or return ();
    return grep { $_ =~ $re } <$log>;
}

sub logged {
    my($re, $n, $how) = @_;

    ok t_cmp(eventually(sub { $n == (() = lines($re)) }, slowly(5)), 1,
             "$way: $n requests are logged, $how");
    sleep 0.2;
    ok t_cmp(scalar(my @l = lines($re)), $n, "$way: once");
}

# Clients that leave amid their downloads.
sub gone {
    my @conns = map { after_stream("gone-$_") } 1 .. SLOW;
    $_->again("/large?gone-$way")->head for @conns;
    sleep 0.3;
    my $before = () = lines(qr/\?gone-$way/);
    ok t_cmp($before, 0, "$way: what is being written is not logged");
    $_->reset for @conns;
    logged(qr{^/large\?\?gone-$way 200 \d+ X }, SLOW, 'as cut off');
}

# What has begun is sent to its end, and the child goes when it is.
sub restarted {
    my @conns = map { after_stream("restart-$_") } 1 .. SLOW;
    $_->again("/large?restart-$way")->head for @conns;
    sleep 0.3;
    my @old = $httpd->children;
    ok t_cmp($httpd->restart('USR1'), 1, "$way: a graceful restart");
    sleep 0.5;
    my $whole = grep { $_->wait_end(slowly(10))
                       && md5_hex($_->{body}) eq md5_hex($content) } @conns;
    ok t_cmp($whole, SLOW, "$way: all downloads are whole");
    my $closed = grep { $_->again(undef); $_->fill(time + slowly(10)); $_->is_ended }
        @conns;
    ok t_cmp($closed, SLOW, "$way: and their connections end");
    $_->close for @conns;
    my %old = map { $_ => 1 } @old;
    ok t_cmp(eventually(sub { !grep { $old{$_} } $httpd->children }, slowly(20)),
             1, "$way: the old child has gone");
}

sub rmdir_root {
    unlink "$root/large";
    rmdir $root;
}
