# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Connections over HTTP/2 that have to wait: for a thread while other requests
# have all of them, for a client that has stopped to read, for the answer that
# opens a stream.  Streams go on meanwhile, and nothing waits for ever.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Socket::INET ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer qw(is_alive);
use SSETestSplice;
use Time::HiRes qw(sleep);

my $threads = 8;
my @tests = (\&no_thread, \&late_stream, \&late_stream_at_restart, \&unread,
             \&unread_at_restart);

plan tests => 30,
    need need_module('mod_sse', 'mod_ssl', 'mod_http2', 'mod_proxy_http'),
    why_not(), { 'streams take threads' => is_spliced() };

# It does not answer by itself.
my $backend = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16,
                                    Timeout => slowly(10))
    or die "listen: $!";
my $to = 'http://127.0.0.1:' . $backend->sockport;

my $timeout = $ENV{SSE_SAN} ? 12 : 6;
my $server = SSETestSplice->new(
    threads => $threads, modules => [qw(proxy proxy_http)], conf => <<"EOI");
# What a connection's last bytes do not fit into.
SendBufferSize 16384
Timeout $timeout
KeepAliveTimeout 120
ProxyTimeout 120
<Location "/hangs">
    ProxyPass $to/
</Location>
<LocationMatch "^/(?:beat|slow|guarded)/(?<NAME>.+)\$">
    SetHandler sse
    SSEChannel "%{env:MATCH_NAME}"
</LocationMatch>
<Location "/beat/">
    SSEHeartbeat 200ms
</Location>
<Location "/slow/">
    SSEQueue 64k close 1s
</Location>
<Location "/guarded/">
    SSEAuthorize "/hangs/%{env:MATCH_NAME}"
</Location>
EOI

open my $page, '>', "$server->{root}/page" or die "page: $!";
print $page 'x' x 40_000;
close $page;
chmod 0644, "$server->{root}/page";

$_->() for @tests;
ok t_cmp($server->is_at_rest, 1, 'nothing is left open');
ok t_cmp($server->complaints, '', 'nothing is wrong in the log');
ok $server->httpd->stop;

my $count;
sub name { return "$_[0]-" . ++$count }

sub has_beats {
    my($h2, $id) = @_;

    my $before = $h2->look($id)->{length};
    return $h2->wait_until($id, sub { $_[0]{length} > $before + 9 }, slowly(5));
}

# All threads have requests that hang, when a client sends what mod_http2 has to
# answer.
sub no_thread {
    my $h2 = $server->connect;
    my($beats, $reset, $stays) = map { '/beat/' . name($_) } qw(a b c);
    my @ids = opened($h2, $beats, $reset, $stays);
    my $other = $server->connect;
    opened($other, '/beat/' . name('other'));
    my($asked, $clients) = take_threads($other);
    ok t_cmp(scalar(grep { defined } @$asked), $threads, 'no thread is free');
    ok t_cmp(has_beats($h2, $ids[0]), 1, 'streams are written');

    my $pongs = $h2->state->{pongs};
    $h2->tell('ping');
    sleep 0.3;
    ok t_cmp($h2->state->{pongs}, $pongs, 'a PING has to wait for a thread');
    ok t_cmp(has_beats($h2, $ids[0]), 1, 'streams do not');
    $h2->reset_stream($ids[1]);
    ok t_cmp($server->closes_are($reset, 'reset 1'), 1,
             'nor does the end of one');
    my $page = $h2->get('/status');
    $h2->hold($ids[2]);
    ok t_cmp(has_beats($h2, $ids[2]), 1, 'nor, with a request besides, another');

    answer($_, '204 No Content') for @$asked;
    ok t_cmp($h2->wait_for($page, qr/"streams"/, slowly(10)), 1,
             'then the request is served');
    eventually(sub { $h2->state->{pongs} > $pongs }, slowly(5));
    ok t_cmp($h2->state->{pongs}, $pongs + 1, 'and the PING answered, once');
    ok t_cmp(has_beats($h2, $ids[2]), 1, 'the streams go on');
    ok t_cmp($h2->error, undef, 'no error');

    # One that leaves while it waits.
    ($asked, $clients) = take_threads($other);
    $h2->tell('ping');
    sleep 0.1;
    $h2->close;
    ok t_cmp($server->closes_are($beats, 'client 1|reset 1'), 1,
             'a client that leaves meanwhile is told');
    answer($_, '204 No Content') for @$asked;
    ok t_cmp(defined $server->page($other), 1, 'others are served');
    $other->close;
}

# A request that hangs for each: the back end's ends, and the clients'.  The MPM
# gives connections all threads but one; that one a spliced connection gets.
sub take_threads {
    my $h2 = shift;

    my(@clients, @asked);
    for (2 .. $threads) {
        my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                           PeerPort => $server->port);
        print $client "GET /hangs HTTP/1.1\r\nHost: localhost\r\n\r\n";
        push @clients, $client;
        push @asked, scalar $backend->accept;
    }
    $h2->get('/hangs');
    push @asked, scalar $backend->accept;
    return (\@asked, \@clients);
}

# Who closes what he has not read resets the connection.
sub read_head {
    my $socket = shift;

    my $head = '';
    while ($head !~ /\r\n\r\n/) {
        sysread $socket, $head, 8192, length $head or die "it ends: $head";
    }
}

sub answer {
    my($socket, $status) = @_;

    read_head($socket);
    print $socket "HTTP/1.0 $status\r\n\r\n";
    close $socket;
}

# A connection that has had a stream; its window is used up by a download, so
# that mod_http2 gives its thread back; and a request for a stream waits for its
# authorisation.
sub waiting_for_stream {
    my $h2 = $server->connect(stream_window => 1 << 24, window => 1 << 20);
    my($id) = opened($h2, '/c/' . name('was'));
    $server->are_open(1); # behind its first bytes
    $h2->reset_stream($id);
    eventually(sub { $server->numbers->{streams} == 0 }, slowly(5));
    $h2->hold;
    my $big = $h2->get('/big');
    $h2->wait_until($big, sub { $_[0]{length} > 700_000 }, slowly(10));
    my $path = '/guarded/' . name('late');
    $id = $h2->get($path);
    my $asked = scalar $backend->accept;
    sleep 0.1; # the thread goes
    return ($h2, $id, $path, $asked);
}

sub late_stream {
    my($h2, $id, $path, $asked) = waiting_for_stream();

    ok t_cmp(defined $asked, 1, 'a request waits for its authorisation');
    answer($asked, '200 OK');
    # Its response waits for the connection's window, as any other does.
    ok t_cmp($server->are_open(1), 1, 'its stream opens');
    sleep $timeout + 1; # longer than a connection without streams may be idle
    $h2->give;
    ok t_cmp($h2->wait_for($id, $first, slowly(5)), 1, 'and begins');
    (my $channel = $path) =~ s{/guarded/}{/c/};
    $server->publish($channel, 'hello');
    ok t_cmp($h2->wait_for($id, qr/^data: hello\n\n/m, slowly(5)), 1,
             'with an event');
    # Longer than Timeout.
    sleep $timeout + 1;
    $server->publish($channel, 'late');
    ok t_cmp($h2->wait_for($id, qr/^data: late\n\n/m, slowly(5)), 1,
             'and another one later');
    $h2->close;
    ok t_cmp($server->closes_are($path, 'client 1|reset 1'), 1,
             'its end is told');
}

sub late_stream_at_restart {
    my($h2, $id, $path, $asked) = waiting_for_stream();

    answer($asked, '200 OK');
    ok t_cmp($server->are_open(1), 1, 'a stream has opened');
    ok t_cmp(is_gone(), 1, 'a graceful restart ends it, with the child');
    ok t_cmp($server->closes_are($path, 'shutdown 1'), 1, 'as shutdown');
    $h2->close;
}

# A graceful restart, after which the child leaves.
sub is_gone {
    my @old = $server->httpd->children;

    $server->httpd->restart('USR1') or return 'no restart';
    return eventually(sub { !grep { is_alive($_) } @old }, slowly(20));
}

# A client that has stopped to read, whose last stream has ended.
sub stopped {
    my %opt = @_;

    my $channel = name('unread');
    my $text = join '', map { 'data: ' . 'x' x 20_000 . "\n\n" } 1 .. 50;
    my $h2 = $server->connect(rcvbuf => 4096, stream_window => 1 << 28,
                              window => 1 << 28, %opt);
    opened($h2, "/slow/$channel");
    $h2->stop_reading;
    for (1 .. 12) {
        $server->publish("/c/$channel", $text,
                         'Content-Type' => 'text/event-stream');
    }
    # httpd keeps as much as that for a socket that takes no more.
    $h2->get('/page');
    return ($h2, "/slow/$channel");
}

sub unread {
    for my $way ([plain => 1], []) {
        my($h2, $path) = stopped(@$way);
        ok t_cmp($server->closes_are($path, 'slow-client 1'), 1,
                 'who does not read is a slow client');
        my $port = $h2->state->{port};
        ok t_cmp(eventually(sub { !is_held($port) }, slowly(20)), 1,
                 'its connection is closed');
        $h2->close('rst');
    }
}

# Whether a process has the server's end of it.  One that was closed with bytes
# to send has no inode.
sub is_held {
    my $port = shift;

    my $ours = join '|', map { sprintf '%04X', $_ }
        $server->port, $server->{tls_port};
    my $peer = sprintf '%04X', $port;
    open my $fh, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    while (<$fh>) {
        my($from, $to, $inode) = (split)[1, 2, 9];
        return 1 if $from =~ /:(?:$ours)$/ && $to =~ /:$peer$/ && $inode;
    }
    return 0;
}

sub unread_at_restart {
    my($h2, $path) = stopped();

    ok t_cmp($server->closes_are($path, 'slow-client 1'), 1, 'another one');
    ok t_cmp(is_gone(), 1, 'does not keep the child at a restart');
    $h2->close('rst');
}
