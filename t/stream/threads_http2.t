# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEMaxThreads over HTTP/2 with SSEHTTP2 threads: streams leave threads for
# pages, of the connection, of mod_http2 and of the MPM.  Those that are too many
# poll, and miss nothing.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestH2;
use SSETestHttpd;
use SSETestNumbers qw(numbers);
use Time::HiRes qw(sleep time);

my $mpm = $ENV{SSE_MPM} || 'event';
my $slow = $ENV{SSE_SAN} ? 4 : 1;

# With worker each HTTP/2 connection has a thread of the MPM for as long as
# KeepAliveTimeout lets it, whatever it does: six leave two.
my($connections, $loaded) = $mpm eq 'event' ? (40, 10) : (6, 6);

# One child: streams may hold six of the MPM's eight threads, and nine of the
# twelve of mod_http2.
my $numbers = "StartServers 1\nServerLimit 2\nThreadsPerChild 8\n"
    . "MaxRequestWorkers 8\n"
    . ($mpm eq 'event' ? "AsyncRequestWorkerFactor 100\n" : '');

# Two hosts of one address, as names of one certificate are.  However slow the
# machine is, no connection is closed because it has had nothing to do.
my $requests = Apache::Test::vars('t_logs') . '/own_requests';
unlink $requests;
my $conf = <<"EOI";
LogFormat "close=%{sse-close}n" closes
CustomLog "$requests" closes
LogLevel info sse:debug http2:warn
KeepAliveTimeout 120
Protocols h2c http/1.1
SSEHTTP2 threads
<IfModule mod_http2.c>
    H2Direct On
</IfModule>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName other.example
    Protocols http/1.1
</VirtualHost>
EOI

my $first = qr/\Aretry: 200\n\n/;
# What a poll ends with.
my $goodbye = qr/(?:\A|\n\n)id: (\d+)\nretry: (\d+)\n\n\z/;

plan tests => 51, need need_module('mod_sse', 'mod_http2'),
    { 'mod_http2 needs a threaded MPM' => $mpm ne 'prefork' };

my($httpd, $started);

$_->() for (\&start, \&one_connection, \&polling, \&long_history,
            \&many_connections, \&many_streams, \&resets, \&misdirected,
            \&given_back, \&other_numbers);

sub start {
    $httpd = SSETestHttpd->new(mpm => $numbers, modules => ['http2'],
                               conf => $conf);
    $started = time;
    ok t_cmp($httpd->start, 1, 'it starts');
    ok t_cmp((scalar $httpd->lines(
                  qr/sse:warn\].*HTTP\/2.* 6 of 8 .* 9 of 12 /)), 1,
             'once, the start says what HTTP/2 costs');
}

sub connection {
    return SSETestH2->new('127.0.0.1:' . $httpd->port, plain => 1);
}

sub status { return numbers(port => $httpd->port) }

sub threads_are {
    my $n = shift;

    return eventually(sub { status()->{threads} == $n }, 10 * $slow);
}

# Whether a page comes over this connection, and how soon; 0 where others had to
# help it.  One that was idle the MPM closes when all of its threads are busy;
# clients make another.
sub page {
    my $h2 = shift;

    my $began = time;
    my $id = $h2->get('/status');
    my $came = $h2->wait_for($id, qr/"streams"/, 10 * $slow);
    if (!$came && $h2->is_closed) {
        $h2 = connection();
        $id = $h2->get('/status');
        $came = $h2->wait_for($id, qr/"streams"/, 10 * $slow);
    }
    my $took = time - $began;
    return $took if $came;
    return comes_by_others($h2, $id) ? 0 : undef;
}

# A request may lie with no stream left that could yield: that is mod_http2's
# own affair.  Each request of another connection has it look at one more.
sub comes_by_others {
    my($h2, $id) = @_;

    my $came;
    for (1 .. 2 * $loaded) {
        last if $came || status()->{threads};
        my $other = connection();
        $other->get('/status');
        $came = $h2->wait_for($id, qr/"streams"/, $slow);
        $other->close;
    }
    return $came;
}

sub is_poll { return $_[0]->is_ended($_[1]) && !$_[0]->is_reset($_[1])
                  && $_[0]->body($_[1]) =~ $goodbye }

# So many ended with that reason, as the log says.
sub ended {
    my $reason = shift;
    return scalar $httpd->lines(qr/ ended: $reason,/);
}

# A poll's id.  Its place is given back when its end has been sent, and then
# the request is logged: what comes before that could still find it taken.
sub poll {
    my($h2, $path, @headers) = @_;

    my $before = polls_over();
    my $id = $h2->get($path, @headers);
    $h2->wait_end($id, 5 * $slow)
        && eventually(sub { polls_over() > $before }, 5 * $slow);
    return $id;
}

sub polls_over {
    open my $fh, '<', $requests or return 0;
    return scalar grep { /^close=poll\n/ } <$fh>;
}

sub one_connection {
    my $h2 = connection();
    my @ids = map { $h2->get('/c/one') } 1 .. 4;
    ok t_cmp((grep { $h2->wait_for($_, $first, 5 * $slow) } @ids) + 0, 4,
             'four streams of a connection');
    my @more = map { poll($h2, '/c/one') } 1 .. 3;
    ok t_cmp((grep { is_poll($h2, $_) } @more) + 0, 3,
             'three more end, with an id and the time to come back');
    ok t_cmp((grep { $h2->body($_) =~ $goodbye && $2 >= 100 && $2 <= 300 }
              @more) + 0, 3, 'which is about SSERetry');
    ok t_cmp((grep { $h2->is_ended($_) } @ids) + 0, 0, 'the four stay');
    ok t_cmp(defined page($h2), 1, 'a page comes over the same connection');
    ok t_cmp(eventually(sub { ended('poll') == 3 }), 1, 'their reason: "poll"');
    my $status = status();
    ok t_cmp([@$status{qw(threads polled refused)}], [4, 3, 0], 'sse-status');
    $h2->close;
    ok t_cmp(threads_are(0), 1, 'none is held when the connection has gone');
}

# As EventSource does: with the id that it was told last.
sub polling {
    my $h2 = connection();
    my @held = map { $h2->get('/c/poll') } 1 .. 4;
    $h2->wait_for($_, $first, 5 * $slow) for @held;
    my($after, @got);
    for my $n (1 .. 5) {
        my @id = defined $after ? ('last-event-id' => $after) : ();
        my $id = poll($h2, '/c/poll', @id);
        last unless $h2->is_ended($id);
        my $body = $h2->body($id);
        push @got, $body =~ /^data: (.*)$/mg;
        ($after) = $body =~ /.*^id: (\d+)$/ms;
        publish('/c/poll', "event $n", port => $httpd->port) if $n < 5;
        publish('/c/another', "x", port => $httpd->port);
    }
    ok t_cmp(\@got, [map { "event $_" } 1 .. 4],
             'a client that polls has every event, once');
    ok t_cmp((grep { $h2->wait_for($_, qr/data: event 4\n\n/, 5) } @held) + 0,
             4, 'and so have those that stay');
    $h2->close;
    ok threads_are(0);
}

sub long_history {
    my $text = join '', map { "data: " . ($_ . 'x' x 2000) . "\n\n" } 1 .. 300;
    ok t_cmp(publish('/c/long', $text, port => $httpd->port,
                     'Content-Type' => 'text/event-stream')->code, 200,
             '600 KB of history');
    my $h2 = connection();
    my @held = map { $h2->get('/c/x') } 1 .. 4;
    $h2->wait_for($_, $first, 5 * $slow) for @held;
    my($body, $after, $all, $began) = ('', 1);
    do {
        $began = time;
        my $id = $h2->get('/c/long', 'last-event-id' => $after);
        $all = $h2->wait_end($id, 20 * $slow);
        $body .= $h2->body($id);
        ($after) = $body =~ /.*^id: (\d+)$/ms;
        # A poll that takes 5 s ends with what it has.
    } while ($all && defined $after && time - $began > 4);
    ok t_cmp($all, 1, 'comes in one poll');
    my @numbers = $body =~ /^data: (\d+)x/mg;
    ok t_cmp("@numbers", join(' ', 1 .. 300), 'all of it, in order');
    ok t_cmp($body, $goodbye, 'and then the end');
    $h2->close;
    ok threads_are(0);
}

# Each holds a thread of the MPM.  Pages still come, over new connections, too.
sub many_connections {
    my @all = map { my $h2 = connection(); [$h2, $h2->get('/c/many')] }
        1 .. $connections;
    my($worst, @failed) = (0);
    for my $round (1 .. 3) {
        my $began = time;
        my $answer = request('GET', '/status', port => $httpd->port);
        push @failed, "HTTP/1.1 in round $round" if ($answer->code // 0) != 200;
        my $took = time - $began;
        $worst = $took if $took > $worst;
        my $h2 = connection();
        $took = page($h2) // push @failed, "HTTP/2 in round $round";
        $worst = $took if $took > $worst;
        $h2->close;
        for (@all) {
            $_->[0]->wait_for($_->[1], qr/^retry/m, 5 * $slow);
            $_->[0]->read_ready;
        }
    }
    ok t_cmp(\@failed, [], "pages while $connections connections have a stream each");
    ok t_cmp($worst < 8 * $slow, 1, "the slowest took $worst s");
    ok t_cmp(threads_are(6), 1, 'six of them stay');
    my $ended = eventually {
        $_->[0]->read_until(sub { 0 }, 0.01) for @all;
        $connections - 6 == grep { $_->[0]->is_ended($_->[1]) } @all;
    } 10 * $slow;
    ok t_cmp($ended, 1, 'the others have ended');
    my $said = () = $httpd->lines(qr/sse:warn\].*SSEMaxThreads: .*polling/);
    my $most = 1 + int((time - $started) / 60);
    ok t_cmp($connections > 6 ? $said >= 1 && $said <= $most : !$said, 1,
             'the log says so, once a minute');
    $_->[0]->close for @all;
    ok threads_are(0);
}

# Ten connections of thirty streams each would take all of mod_http2's threads.
# It may let some of them lie for a while, see sse_h2_requests.h.
sub many_streams {
    my @all = map { connection() } 1 .. $loaded;
    my @ids = map { my $h2 = $_; [map { $h2->get('/c/lots') } 1 .. 30] } @all;
    my $answered = 0;
    my $end = time + 60 * $slow;
    for my $n (0 .. $#all) {
        $answered += grep {
            $all[$n]->wait_for($_, qr/^retry/m, $end - time)
        } @{ $ids[$n] };
    }
    ok t_cmp($answered, 30 * $loaded, "each of $answered streams is answered");
    my $new = connection();
    ok t_cmp(defined page($new), 1, 'a page over a new connection');
    ok t_cmp((grep { defined page($_) } @all) + 0, $loaded, 'and over each of those');
    # While requests lie, streams yield to them, one after the other.
    my $threads = status()->{threads};
    ok t_cmp($threads <= 9, 1, "$threads threads are held");
    $_->close for @all, $new;
    ok threads_are(0);
}

# mod_http2 serves fewer at a time to one that resets, as closing tabs does.
sub resets {
    my $h2 = connection();
    my $polls = status()->{closed}{poll};
    my @ids = map { $h2->get('/c/resets') } 1 .. 4;
    $h2->wait_for($_, $first, 5 * $slow) for @ids;
    for my $n (0, 1) {
        $h2->reset_stream($ids[$n]);
        eventually(sub { status()->{threads} <= 3 - $n }, 10 * $slow);
        sleep 0.15;
    }
    ok t_cmp(defined page($h2), 1, 'two are reset, and a page comes');
    my $one = eventually {
        $h2->read_until(sub { 0 }, 0.05);
        1 == grep { !$h2->is_ended($_) } @ids[2, 3];
    } 10 * $slow;
    ok t_cmp($one, 1, 'since one of the others polls from now on');
    ok t_cmp(eventually(sub { status()->{closed}{poll} - $polls == 1 }), 1,
             'which is its reason');
    # Streams and pages that end well win it back.
    my $back = eventually {
        my $id = $h2->get('/c/resets');
        $h2->wait_for($id, $first, 3 * $slow);
        sleep 0.12;
        $h2->read_until(sub { $h2->is_ended($id) }, 0.05);
        !$h2->is_ended($id);
    } 20 * $slow;
    ok t_cmp($back, 1, 'after some polls a stream may stay again');
    ok t_cmp(defined page($h2), 1, 'and a page comes');
    $h2->close;
    ok threads_are(0);
}

# Browsers use a connection for another host of the same certificate.
sub misdirected {
    my $h2 = connection();
    for my $method ('GET', 'HEAD') {
        my $id = $h2->get('/c/other', ':host' => 'other.example',
                          ':method' => $method);
        ok t_cmp($h2->wait_end($id, 5 * $slow), 1, "$method is answered");
        ok t_cmp($h2->body($id), qr/another host's/, 'in words')
            if $method eq 'GET';
    }
    ok t_cmp(eventually(sub { scalar $httpd->lines(qr/answered 421: /) == 2 }),
             1, 'with 421');
    ok t_cmp(open_stream('/c/other', host => 'other.example',
                         port => $httpd->port)->status, 200,
             'over HTTP/1.1 it is a stream');
    $h2->close;
    ok threads_are(0);
}

# Reset while they begin, poll, and end.
sub given_back {
    for my $round (1 .. 12) {
        my $h2 = connection();
        my @ids = map { $h2->get('/c/early') } 1 .. 8;
        sleep rand 0.02;
        $h2->reset_stream($_) for grep { $_ % 4 == 1 } @ids;
        sleep rand 0.02;
        $round % 2 ? $h2->close : $h2->reset;
    }
    ok t_cmp(threads_are(0), 1, 'early resets leave no thread held');
    ok t_cmp(eventually(sub { status()->{streams} == 0 }, 5 * $slow), 1,
             'and no stream open');
    my %times = openings();
    ok t_cmp((grep { $_ } values %times) + 0, 0,
             'each of ' . keys(%times) . ' that were opened has ended once');
    ok t_cmp([$httpd->complaints(qr/SSEMaxThreads|HTTP\/2/)], [],
             'nothing else in the log');
    ok $httpd->stop;
}

# Of each stream how often it was opened and has not ended, once that is never
# and nothing has changed for a second: some may begin only while this looks.
sub openings {
    my(%times, $since);
    my $count = -1;
    eventually {
        my @lines = $httpd->lines(qr/ stream \S+ (?:open on|ended:) /);
        ($count, $since) = (scalar @lines, time) if @lines != $count;
        %times = ();
        for (@lines) {
            my($stream, $what) = / stream (\S+) (open|ended)/;
            $times{$stream} += $what eq 'open' ? 1 : -1;
        }
        time - $since >= 1 && !grep { $_ } values %times;
    } 10 * $slow;
    return %times;
}

# The directive of mod_http2 counts, wherever it stands.
sub other_numbers {
    $httpd = SSETestHttpd->new(mpm => $numbers, modules => ['http2'],
        conf => "$conf\nSSEMaxThreads 50%\n<IfModule mod_http2.c>\n"
            . "H2MinWorkers 2\nH2MaxWorkers 5\n</IfModule>\n");
    ok t_cmp($httpd->start, 1, 'H2MaxWorkers 5');
    ok t_cmp((scalar $httpd->lines(
                  qr/sse:warn\].*HTTP\/2.* 4 of 8 .* 2 of 5 /)), 1,
             'is what the start tells of');
    my $h2 = connection();
    my @ids = map { $h2->get('/c/five') } 1 .. 4;
    $h2->wait_for($_, $first, 5 * $slow) for @ids;
    eventually {
        $h2->read_until(sub { 0 }, 0.05);
        2 >= grep { !$h2->is_ended($_) } @ids;
    } 10 * $slow;
    $h2->read_until(sub { 0 }, 0.5);
    ok t_cmp((grep { !$h2->is_ended($_) } @ids) + 0, 2, 'two stay');
    ok t_cmp(defined page($h2), 1, 'and a page comes');
    $h2->close;
    ok $httpd->stop;
}
