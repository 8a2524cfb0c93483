# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A connection after its stream: it waits for another request no longer than its
# host says, ends as the client expects, and takes no more threads than there
# are to spare.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestServer;
use Time::HiRes qw(sleep time);

plan tests => 23, need_module('mod_sse', 'mod_ssl', 'mod_status');

expires_over_tls();
my $httpd = SSETestHttpd->new(
    modules => ['status'],
    # Few threads, so that a handful of connections could take them all.
    ($ENV{SSE_MPM} || 'event') eq 'event'
        ? (mpm => "StartServers 1\nServerLimit 1\nThreadsPerChild 4\n"
               . "MaxRequestWorkers 4\nAsyncRequestWorkerFactor 400\n") : (),
    conf => <<'EOI');
KeepAliveTimeout 60
<VirtualHost *:*>
    ServerName localhost
</VirtualHost>
<VirtualHost *:*>
    ServerName short
    KeepAliveTimeout 1
</VirtualHost>
<Location "/server-status">
    SetHandler server-status
</Location>
<Location "/c/stop">
    SSEQueue 64m
</Location>
CustomLog own_access "%U %{sse-close}n"
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');
expires('short', 1);
expires('localhost', 0);
slow_requests();
stopped_amid();
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

# A connection whose stream has ended.
sub after_stream {
    my($path, @opt) = @_;

    my $stream = open_stream($path, @opt);
    $stream->next_block(slowly(5));
    $stream->{asked} = time;
    request('DELETE', $path, @opt);
    ok t_cmp($stream->wait_end(slowly(5)) && $stream->is_complete, 1,
             'a stream ends, its connection stays');
    return $stream;
}

# How long the connection stays since the stream was deleted, in seconds; undef:
# longer than $most from now on.
sub stays {
    my($stream, $most) = @_;

    $stream->again(undef);
    $stream->fill(time + $most);
    return $stream->is_ended ? time - $stream->{asked} : undef;
}

sub expires_over_tls {
    my $stream = after_stream("/stream/next-$$", module => 'sse_stream_red_ssl');
    my $took = stays($stream, slowly(8));
    ok t_cmp($took && $took > 0.5, 1, 'TLS: it ends after ' . ($took // '?')
             . ' s, as KeepAliveTimeout says');
    # SSL_RECEIVED_SHUTDOWN
    ok t_cmp(Net::SSLeay::get_shutdown($stream->sock->_get_ssl_object) & 2, 2,
             'with close_notify');
    $stream->close;
}

sub expires {
    my($host, $does) = @_;

    my $stream = after_stream("/c/$host", @port, host => $host);
    my $took = stays($stream, $does ? slowly(8) : 2);
    ok t_cmp(defined $took, $does ? 1 : '', "$host: whether it ends, "
             . ($took // '-'));
    ok t_cmp(!$took || $took > 0.5, 1, 'and not too early');
    $stream->close;
}

# Eight clients that send a request by halves.
sub slow_requests {
    my @streams = map { open_stream('/c/slow', @port) } 1 .. 8;
    $_->next_block(slowly(5)) for @streams;
    request('DELETE', '/c/slow', @port);
    my $ended = grep { $_->wait_end(slowly(5)) } @streams;
    ok t_cmp($ended, 8, 'eight streams end');
    $_->send_bytes("GET /status HTTP/1.1\r\nHost: l") for @streams;
    # R: reads a request; K: the MPM's own way of waiting for one.
    my $busy = eventually {
        my $answer = request('GET', '/server-status?auto', @port);
        my($board) = ($answer->body // '') =~ /^Scoreboard: (.*)/m;
        my $reading = ($board // '') =~ tr/RK//;
        $reading >= 2 ? $reading : 0;
    };
    ok t_cmp($busy >= 2, 1, "the scoreboard says that $busy threads read");
    for my $n (1 .. 4) {
        my $began = time;
        my $code = request('GET', '/status', @port)->code // 0;
        my $took = time - $began;
        ok t_cmp($code == 200 && $took < slowly(10), 1,
                 "request $n beside them is answered after $took s");
    }
    $_->send_bytes("ocalhost\r\n\r\n") for @streams;
    my $good = grep { ($_->again(undef)->status // 0) == 200
                      && $_->wait_end(slowly(5)) } @streams;
    ok t_cmp($good, 8, 'and so are they');
    $_->again('/status') for @streams;
    $good = grep { ($_->status // 0) == 200 && $_->wait_end(slowly(5)) }
        @streams;
    ok t_cmp($good, 8, 'again');
    $_->close for @streams;
}

# A stop while the ends of streams wait for their clients to read: they are told
# and logged all the same.
sub stopped_amid {
    my @streams = map { open_stream('/c/stop', @port, rcvbuf => 4096) } 1 .. 3;
    $_->next_block(slowly(5)) for @streams;
    # One that has not joined when the channel is deleted has nothing.
    publish('/c/stop', 'first', @port);
    $_->next_event(slowly(5)) for @streams;
    publish('/c/stop', 'x' x 60_000, @port) for 1 .. 200;
    request('DELETE', '/c/stop', @port);
    sleep($ENV{SSE_SAN} ? 6 : 3.5); # every child has heard of it
    my $began = time;
    ok t_cmp($httpd->stop, 1, 'it stops');
    my $took = time - $began;
    # After nine seconds httpd would kill those that are left.
    ok t_cmp($took < slowly(8), 1, "after $took s");
    my @told = $httpd->lines(qr/ended: server, (?!0)\d+ events/);
    ok t_cmp(scalar @told, 3, 'their ends are told');
    open my $fh, '<', Apache::Test::vars('t_logs') . '/own_access' or die $!;
    ok t_cmp(scalar(grep { /^\/c\/stop server$/ } <$fh>), 3, 'and logged');
    $_->close for @streams;
}
