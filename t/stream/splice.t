# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Streams over HTTP/2 that take no thread (event MPM; elsewhere, the same with
# threads): what holds over HTTP/1.1 holds for them, and the rest of their
# connection's traffic goes on.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use SSETest;
use SSETestClose qw(key slowly told);
use SSETestServer qw(is_alive);
use SSETestSplice;
use Time::HiRes qw(sleep time);

my @ways = (['h2c', plain => 1], ['TLS']);
my @tests = (\&mixed, \&many_connections, \&closes, \&our_ends, \&bursts,
             \&windows, \&sockets, \&small_window, \&while_busy,
             \&while_hanging, \&programs, \&polls, \&limits, \&modules,
             \&other_clients, \&restart);

my $event = ($ENV{SSE_MPM} // 'event') eq 'event';

plan tests => 140,
    need need_module('mod_sse', 'mod_ssl', 'mod_http2', 'mod_ratelimit',
                     'mod_proxy_http'),
    why_not();

# It does not answer by itself.
my $backend = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 4,
                                    Timeout => slowly(10))
    or die "listen: $!";

my $server = SSETestSplice->new(
    threads => 8, c_modules => ['sse_close'],
    modules => [qw(ratelimit proxy proxy_http)],
    conf => <<'EOI' . <<"EOI");
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName few.example
    SSEMaxStreams 2
</VirtualHost>
<LocationMatch "^/(?:slow|aged|beat|two)/(?<NAME>.+)$">
    SetHandler sse
    SSEChannel "%{env:MATCH_NAME}"
</LocationMatch>
<Location "/slow/">
    SSEQueue 64k close 2s
</Location>
<Location "/aged/">
    SSEMaxAge 1s
</Location>
<Location "/beat/">
    SSEHeartbeat 200ms
</Location>
<Location "/two/">
    SSEMaxStreamsPerClient 2
</Location>
<Location "/app/">
    SetHandler sse-close-app
</Location>
<Location "/count">
    SetHandler sse-exec
    SSECommand /usr/bin/seq 3
</Location>
<Location "/sleep">
    SetHandler sse-exec
    SSECommand /bin/sleep 600
</Location>
EOI
<Location "/limited">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit @{[$ENV{SSE_SAN} ? 100 : 300]}
</Location>
<Location "/hangs">
    ProxyPass http://127.0.0.1:@{[$backend->sockport]}/
</Location>
EOI

my $spliced = is_spliced();
# mod_http2 serves six requests of a connection at first, of which streams with
# a thread may take four.
my $several = $spliced ? 12 : 4;

$_->() for @tests;
ok t_cmp($server->is_at_rest, 1, 'nothing is left open');
ok t_cmp($server->complaints(qr{SSEMaxStreams}), '',
         'nothing is wrong in the log');
ok $server->httpd->stop;

my $count;
sub name { return "$_[0]-" . ++$count }

sub has_event {
    my($h2, $id, $text, $timeout) = @_;

    return $h2->wait_for($id, qr/^id: \d+\ndata: \Q$text\E\n\n/m,
                         $timeout // slowly(5));
}

# Of how many the block is true.
sub count_of(&@) {
    my($block, @all) = @_;
    return scalar grep { $block->() } @all;
}

# The numbers that a body's events begin with: "1 to 9", or what there is.
sub numbers_in {
    my @got = $_[0] =~ /^data: (\d+) x+\n\n/mg;

    return "@got" eq join(' ', $got[0] // 0 .. $got[-1] // -1)
        && @got ? "$got[0] to $got[-1]" : "@got";
}

sub median { return (sort { $a <=> $b } @_)[@_ / 2] }

# Pages, publishing and a download beside streams of the same connection.
sub mixed {
    for my $way (@ways) {
        my($name, @opt) = @$way;
        my $h2 = $server->connect(@opt);
        my @paths = map { '/c/' . name('mixed') } 1 .. $several;
        my @ids = opened($h2, @paths);
        ok t_cmp($server->are_open($several), 1,
                 "$name: $several streams on one connection");
        my $big = $server->begin_big($h2);
        my @posts = map { $h2->post($paths[$_], "to $_") } 0 .. $#paths;
        ok t_cmp((count_of { ($h2->status($_, slowly(5)) // 0) == 200 }
                  @posts), $several, "$name: POST on it, while a file comes");
        ok t_cmp((count_of { has_event($h2, $ids[$_], "to $_") } 0 .. $#ids),
                 $several, "$name: each stream has its event");
        ok t_cmp(defined $server->page($h2), 1, "$name: a page");
        ok t_cmp($server->has_big($h2, $big), 'all of it',
                 "$name: a download of 3 MB");
        my $long = join '', map { "data: $_ " . 'x' x 1000 . "\n\n" } 1 .. 300;
        my $post = $h2->post($paths[0], $long,
                             'content-type' => 'text/event-stream');
        ok t_cmp($h2->wait_for($ids[0], qr/^data: 300 x+\n\n/m, slowly(10)), 1,
                 "$name: an upload of 300 KB, on a stream");
        ok t_cmp(numbers_in($h2->body($ids[0])), '1 to 300',
                 "$name: all of it, in order");
        ok t_cmp((count_of { $h2->is_ended($_) } @ids), 0,
                 "$name: all streams are open");
        ok t_cmp($h2->error, undef, "$name: without an error of HTTP/2");
        $h2->close;
    }
}

# Many more than the child has threads.
sub many_connections {
    my $path = '/c/' . name('many');
    my @all;
    for my $n (1 .. 40) {
        my $h2 = $server->connect(@{ $ways[$n % 2] }[1 .. 2 * ($n % 2 == 0)]);
        push @all, [$h2, opened($h2, $path)];
    }
    ok t_cmp($server->are_open(40), 1, '40 connections with a stream each');
    my @took = map { $server->page($_->[0]) } @all;
    ok t_cmp((count_of { defined } @took), 40, 'a page comes over each');
    my $worst = (sort { $a <=> $b } grep { defined } @took)[-1] // 99;
    ok t_cmp($worst < slowly(8), 1, "the slowest took $worst s");
    my $new = $server->connect;
    ok t_cmp(defined $server->page($new), 1, 'and over a new connection');
    $server->publish($path, 'for all');
    ok t_cmp((count_of { has_event(@$_, 'for all') } @all), 40,
             'each has an event');
    $_->[0]->close for @all;
    $new->close;
    ok t_cmp($server->closes_are($path, leaves(40)), 1, 'each end is told');
}

# How so many that close their connection are logged.  A thread that waits may
# see only what follows.
sub leaves { return $spliced ? "client $_[0]" : "(?:client|reset) $_[0]" }

# Ends that are the client's, each for its reason and at once.
sub closes {
    my $leave = sub { my $how = shift; sub { $_[0]->close($how) } };
    for my $way (@ways) {
        my($name, @opt) = @$way;
        my @kinds = (
            ['RST_STREAM', 'reset', sub { $_[0]->reset_stream($_[1]) }],
            ['FIN', 'client', $leave->('fin')],
            ['RST', 'reset', $leave->('rst')],
            @opt ? () : ['close_notify', 'client', $leave->('notify')]);
        for my $kind (@kinds) {
            my($how, $reason, $end) = @$kind;
            my(%reasons, @took);
            my $rounds = $ENV{SSE_SAN} ? 3 : 7;
            for (1 .. $rounds) {
                my $k = key();
                my $h2 = $server->connect(@opt);
                my($id) = opened($h2, '/c/' . name('close') . "?k=$k");
                told($k, 'open');
                $h2->ping; # by now it has read all: that makes FIN no RST
                my $when = $end->($h2, $id);
                my $close = told($k, 'close');
                $reasons{$close->{reason} // 'none'}++;
                push @took, (($close->{usec} // 9e9) - $when * 1e6) / 1000;
                $h2->close if $how =~ /RST_STREAM|notify/;
            }
            my $want = $spliced ? qr/^$reason $rounds$/ : qr/^\w+ \d+/;
            ok t_cmp(join(', ', %reasons) =~ tr/,//dr, $want,
                     "$name: $how is told as $reason");
            my $took = sprintf '%.1f', median(@took);
            ok t_cmp(!$spliced || $took < slowly(250), 1,
                     "$name: $how is told after $took ms");
        }
    }
    # One of several.
    my $h2 = $server->connect;
    my @ids = opened($h2, map { '/c/' . name('siblings') } 1 .. 4);
    $h2->reset_stream($ids[1]);
    ok t_cmp($server->are_open(3), 1, 'the siblings of one that is reset');
    $server->publish("/c/siblings-$count", 'stays');
    ok t_cmp(has_event($h2, $ids[3], 'stays'), 1, 'live on');
    $h2->close;
}

# In good order, with the connection left to others.
sub our_ends {
    my $h2 = $server->connect;
    my($aged, $deleted, $stays) = map { name($_) } qw(aged deleted stays);
    my($stay) = opened($h2, "/beat/$stays");
    my($old) = opened($h2, "/aged/$aged");
    ok t_cmp($h2->wait_end($old, slowly(5)) && !$h2->is_reset($old), 1,
             'SSEMaxAge ends a stream with END_STREAM');
    ok t_cmp($h2->body($old), qr/\nretry: \d+\n\n\z/, 'and when to come back');
    ok t_cmp($server->closes_are("/aged/$aged", 'max-age 1', $h2), 1,
             'as max-age');

    my($id) = opened($h2, "/c/$deleted");
    $server->publish("/c/$deleted", 'first');
    has_event($h2, $id, 'first');
    $server->publish("/c/$deleted", 'last');
    $server->delete("/c/$deleted");
    ok t_cmp($h2->wait_end($id, slowly(5)) && !$h2->is_reset($id), 1,
             'so does DELETE');
    ok t_cmp($h2->body($id), qr/data: last\n\nretry: \d+\n\n\z/,
             'after the last event');
    ok t_cmp($server->closes_are("/c/$deleted", 'server 1', $h2), 1,
             'as server');

    ok t_cmp($h2->wait_for($stay, qr/:\n\n:\n\n/, slowly(5)), 1,
             'heartbeats on another one');
    ok t_cmp(defined $server->page($h2), 1, 'and a page');
    ok t_cmp($h2->error, undef, 'without an error');
    $h2->close;
}

# Much more at once than a stream's window, in pieces of which one is larger.
sub bursts {
    my $path = '/c/' . name('burst');
    my @all = map { my $h2 = $server->connect(@{$_}[1 .. $#$_]);
                    [$h2, opened($h2, $path, $path)] } @ways;
    my $first_id = $server->publish($path, 'before');
    my $text = join '', map { "data: $_ " . 'x' x 20_000 . "\n\n" } 1 .. 100;
    $server->publish($path, $text, 'Content-Type' => 'text/event-stream');
    my $big = $server->begin_big($all[0][0]);
    my $all_of = sub {
        my($h2, $id) = @_;
        $h2->wait_for($id, qr/^data: 100 x+\n\n/m, slowly(15));
        return numbers_in($h2->body($id));
    };
    for my $one (@all) {
        my($h2, @ids) = @$one;
        ok t_cmp((count_of { $all_of->($h2, $_) eq '1 to 100' } @ids), 2,
                 '2 MB at once on two streams: all of it, in order');
    }
    ok t_cmp($server->has_big($all[0][0], $big), 'all of it',
             'and a download beside them');
    # Once more, by who comes back.
    my $h2 = $all[1][0];
    my $again = $h2->get($path, 'last-event-id' => $first_id);
    ok t_cmp($all_of->($h2, $again), '1 to 100', 'resumed with Last-Event-ID');
    ok t_cmp([map { $_->[0]->error } @all], [undef, undef], 'no error');
    $_->[0]->close for @all;
    $server->delete($path);
}

# A client that gives a stream no more window.
sub windows {
    my($patient, $slow) = map { name($_) } qw(patient slow);
    my $h2 = $server->connect;
    my($held, $quick) = opened($h2, "/slow/$slow", "/c/$slow");
    my($waits) = opened($h2, "/c/$patient");
    $h2->hold($_) for $held, $waits;
    my $began = time;
    for my $path ("/c/$slow", "/c/$patient") {
        $server->publish($path, "$_ " . 'x' x 20_000) for 1 .. 30;
    }
    ok t_cmp($h2->wait_for($quick, qr/^data: 30 x+\n\n/m, slowly(10)), 1,
             'a stream whose window is left shut keeps none from others');
    my $queued = $server->numbers->{queue_bytes};
    ok t_cmp($queued <= 600_000, 1, "$queued bytes wait");
    # With a thread, what mod_http2 has taken is taken.
    $h2->reset_stream($held) unless $spliced;
    ok t_cmp($server->closes_are("/slow/$slow", $spliced
                 ? 'slow-client 1' : 'slow-client 1|reset 1', $h2), 1,
             'it is a slow client');
    my $took = time - $began;
    ok t_cmp(!$spliced || $took > 1.5 && $took < slowly(20), 1,
             "after $took s");
    ok t_cmp(!$spliced || $h2->wait_until($held, sub {
        defined $_[0]{ended} || defined $_[0]{reset} }, slowly(5)), 1,
        'and its stream is over');
    ok t_cmp(length $h2->body($held) <= 65_535, 1, 'within its window');
    $h2->give($waits);
    ok t_cmp($h2->wait_for($waits, qr/^data: 30 x+\n\n/m, slowly(10)), 1,
             'one that gets window again has all');
    ok t_cmp(numbers_in($h2->body($waits)), '1 to 30', 'in order');
    ok t_cmp($h2->error, undef, 'no error');
    $h2->close;
}

# A client that reads nothing, though its windows are wide: the kernels take some
# megabytes for it.
sub sockets {
    my $text = join '', map { 'data: ' . 'x' x 20_000 . "\n\n" } 1 .. 50;
    for my $way (@ways) {
        my($name, @opt) = @$way;
        my($channel, $other) = map { name($_) } qw(unread other);
        my $h2 = $server->connect(@opt, rcvbuf => 4096,
                                  stream_window => 1 << 28, window => 1 << 28);
        my($slow) = opened($h2, "/slow/$channel");
        $h2->stop_reading;
        my $quick = $server->connect(@opt);
        my($id) = opened($quick, "/c/$other");
        for my $n (1 .. 10) {
            $server->publish("/c/$channel", $text,
                             'Content-Type' => 'text/event-stream');
            $server->publish("/c/$other", "number $n");
        }
        ok t_cmp(has_event($quick, $id, 'number 10'), 1,
                 "$name: who reads nothing keeps nothing from others");
        # With a thread, what mod_http2 has taken is taken.
        $h2->close('rst') unless $spliced;
        ok t_cmp($server->closes_are("/slow/$channel", $spliced
                     ? 'slow-client 1' : 'slow-client 1|reset 1'), 1,
                 "$name: and is a slow client");
        ok t_cmp(defined $server->page($quick), 1, "$name: a page meanwhile");
        $h2->close if $spliced;
        $quick->close;
        $server->delete("/c/$channel");
    }
}

# A client that leaves the connection's window as it is: its streams hold
# threads.
sub small_window {
    my $h2 = $server->connect(window => 65_535);
    my $path = '/c/' . name('least');
    my($id) = opened($h2, $path);
    $server->publish($path, 'x' x 20_000) for 1 .. 10;
    $server->publish($path, 'end');
    ok t_cmp(has_event($h2, $id, 'end'), 1, 'a window of 64 KB will do');
    my @open; # those of before may not be counted as closed yet
    eventually(sub {
        my $now = $server->numbers;
        @open = ($now->{drives}{waiting_http2}, $now->{streams});
        return "@open" eq '1 1';
    });
    ok t_cmp("@open", '1 1', 'with a thread');
    $h2->close;
    ok t_cmp($server->closes_are($path, 'client 1|reset 1'), 1,
             'and its end is told');
}

# mod_http2 is at work on another response of the connection.
sub while_busy {
    my $h2 = $server->connect;
    my $path = '/c/' . name('busy');
    my($id) = opened($h2, $path);
    my $big = $server->begin_big($h2, '/limited');
    $h2->wait_until($big, sub { $_[0]{length} > 10_000 }, slowly(5));
    my @took;
    for my $n (1 .. 10) {
        my $when = SSETestClose::monotonic();
        $server->publish($path, "event $n");
        has_event($h2, $id, "event $n") or last;
        push @took, $h2->look($id)->{came} * 1e3 - $when / 1e3;
        sleep 0.05;
    }
    ok t_cmp(scalar @took, 10, 'events while a slow download is served');
    my $took = sprintf '%.1f', @took ? median(@took) : 1e9;
    ok t_cmp($took < slowly(500), 1, "come at once, after $took ms");
    ok t_cmp(!$h2->is_ended($big), 1, 'which goes on');
    ok t_cmp($server->has_big($h2, $big, slowly(40)), 'all of it',
             'to its end');
    $h2->close;
}

# The thread that waits for it reads what the client sends meanwhile.
sub while_hanging {
    my $h2 = $server->connect;
    my $channel = name('hanging');
    my($id) = opened($h2, "/c/$channel");
    my $hanging = $h2->get('/hangs');
    my $asked = $backend->accept;
    ok t_cmp(defined $asked, 1, 'a request hangs');
    $h2->hold($id);
    $server->publish("/c/$channel", "$_ " . 'x' x 20_000) for 1 .. 5;
    ok t_cmp($h2->wait_until($id, sub { $_[0]{length} > 60_000 }, slowly(5)), 1,
             'a stream of its connection uses its window');
    # The connection's window is wide: nothing is sent but that.
    $h2->give($id);
    ok t_cmp($h2->wait_for($id, qr/^data: 5 x+\n\n/m, slowly(5)), 1,
             'and goes on as that grows');
    ok t_cmp(numbers_in($h2->body($id)), '1 to 5', 'with all, in order');
    print $asked "HTTP/1.0 204 No Content\r\n\r\n";
    close $asked;
    ok t_cmp($h2->status($hanging, slowly(5)), 204, 'it hung until now');
    $h2->close;
}

sub programs {
    my $h2 = $server->connect;
    my $id = $h2->get('/count');
    ok t_cmp($h2->wait_end($id, slowly(5)) && !$h2->is_reset($id), 1,
             "a program's stream ends with it");
    my @lines = $h2->body($id) =~ /^data: (.*)$/mg;
    ok t_cmp("@lines", '1 2 3', 'with all that it wrote');
    ok t_cmp($server->closes_are('/count', 'complete 1', $h2), 1, 'as complete');
    my($sleeps) = opened($h2, '/sleep');
    ok t_cmp(eventually { $server->numbers->{commands} == 1 }, 1,
             'one that runs');
    $server->are_open(1); # behind its first bytes
    $h2->reset_stream($sleeps);
    ok t_cmp(eventually(sub { $server->numbers->{commands} == 0 }, slowly(10)),
             1, 'ends when its client resets the stream');
    ok t_cmp($server->closes_are('/sleep', 'reset 1', $h2), 1, 'as reset');
    $h2->close;
}

sub polls {
    my $h2 = $server->connect;
    my $path = '/c/' . name('poll');
    my $id = $server->publish($path, 'before');
    my @ask = (accept => 'application/json', 'last-event-id' => $id);
    my $poll = $h2->get($path, @ask);
    $h2->status($poll, slowly(5));
    my $is_spliced = $server->are_open(1);
    $server->publish($path, 'polled');
    ok t_cmp($h2->wait_end($poll, slowly(5)), 1, 'a long poll');
    my $answer = JSON::PP::decode_json($h2->body($poll));
    ok t_cmp([map { $_->{data} } @{ $answer->{events} }], ['polled'],
             'is answered with the event');
    ok t_cmp($is_spliced, 1, 'and takes no thread where streams do not');
    $poll = $h2->get($path, accept => 'application/json',
                     'last-event-id' => $id);
    ok t_cmp($h2->wait_for($poll, qr/"polled"/, slowly(5))
             && $h2->wait_end($poll, slowly(5)), 1, 'or at once');
    ok t_cmp($server->closes_are($path, 'poll 2', $h2), 1, 'as poll');
    $h2->close;
}

sub limits {
    my $h2 = $server->connect(plain => 1);
    my $channel = name('two');
    my @ids = opened($h2, ("/two/$channel") x 2);
    my $third = $h2->get("/two/$channel");
    ok t_cmp($h2->status($third, slowly(5)), 429, 'SSEMaxStreamsPerClient');
    ok t_cmp($h2->wait_end($third, slowly(5)) && !$h2->is_reset($third), 1,
             'in good order');
    $h2->reset_stream($ids[0]);
    ok t_cmp($server->are_open(1), 1, 'one leaves');
    opened($h2, "/two/$channel");
    ok t_cmp($server->are_open(2), 1, 'and another may come');
    $h2->close;

    $h2 = $server->connect(plain => 1, name => 'few.example');
    opened($h2, ("/c/$channel") x 2);
    $third = $h2->get("/c/$channel");
    ok t_cmp($h2->status($third, slowly(5)), 503, 'SSEMaxStreams');
    ok t_cmp($h2->wait_for($third, qr/\{/, slowly(5)), 1, 'in words');
    $h2->close;
    $server->are_open(0);
}

# A module's own handler, with what it sends and ends.
sub modules {
    my $h2 = $server->connect;
    my $id = $h2->get('/app/x?rn=3&rend=1&k=' . key());
    ok t_cmp($h2->wait_end($id, slowly(5)) && !$h2->is_reset($id), 1,
             "a module's stream, until sse_end()");
    ok t_cmp($h2->body($id), qr/data: 1\n\n.*data: 2\n\n.*data: 3\n\n/s,
             'with what it sent');
    # By now it is known as one that has streams.
    my $k = key();
    $id = $h2->get("/app/x?rn=3&k=$k");
    ok t_cmp($h2->wait_for($id, qr/data: 3\n\n/, slowly(5)), 1, 'another one');
    ok t_cmp($server->are_open(1), 1, 'stays');
    $h2->reset_stream($id);
    ok t_cmp(told($k, 'close')->{reason}, 'reset', 'until it is reset');
    $h2->close;
}

# curl and nghttp, with some streams of one connection each.  (curl 7.88 does not
# multiplex without TLS.)
sub other_clients {
    my @curl = qw(curl -s -k -N --max-time 60);
    my $plain = 'http://' . $server->address(plain => 1);
    my $tls = 'https://' . $server->address;
    my $file = Apache::Test::vars('t_logs') . '/splice-client';
    for my $client (['curl', 1, $plain, @curl, '--http2-prior-knowledge'],
                    ['curl over TLS', 3, $tls, @curl, '-Z', '--http2'],
                    ['nghttp', 3, $plain, qw(nghttp -t 60 -W 24)],
                    ['nghttp over TLS', 3, $tls, qw(nghttp -t 60 -W 24 -w 20)],
                    ['nghttp with 64 KB', 3, $plain, qw(nghttp -t 60)]) {
        my($name, $n, $base, @command) = @$client;
        my $path = '/c/' . name('client');
        my $before = $server->numbers->{delivered};
        my $pid = run_to($file, @command, map { "$base$path?$_" } 1 .. $n);
        ok t_cmp($name =~ /64/ ? eventually(sub {
            $server->numbers->{streams} == $n
        }, slowly(10)) : $server->are_open($n), 1, "$name: $n streams");
        my $text = join '', map { "data: $_ " . 'x' x 10_000 . "\n\n" } 1 .. 30;
        $server->publish($path, $text, 'Content-Type' => 'text/event-stream');
        $server->publish($path, '#' x 7);
        # What a stream has not read when its channel is deleted goes with it.
        eventually(sub {
            $server->numbers->{delivered} - $before >= 31 * $n
        }, slowly(10));
        $server->delete($path);
        waitpid $pid, 0;
        ok t_cmp($?, 0, "$name: ends well");
        # Of all streams, in pieces.
        my $said = do { local(@ARGV, $/) = $file; <> };
        ok t_cmp([($said =~ tr/x//), ($said =~ tr/#//)],
                 [300_000 * $n, 7 * $n], "$name: with all that was published");
        # A client has its end before the request is logged.
        my @ports;
        eventually(sub { (@ports = $server->ports($path)) >= $n }, slowly(10));
        ok t_cmp(\@ports, [($ports[0]) x $n], "$name: on one connection");
    }
    unlink $file;
}

sub run_to {
    my($file, @command) = @_;

    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', $file;
        open STDERR, '>', '/dev/null';
        exec @command or POSIX::_exit(1);
    }
    return $pid;
}

sub restart {
    my @all;
    my $path = '/c/' . name('restart');
    for my $way (@ways) {
        my $h2 = $server->connect(@{$way}[1 .. $#$way]);
        push @all, [$h2, opened($h2, ($path) x 3)];
    }
    ok t_cmp($server->are_open(6), 1, 'streams on two connections');
    my @old = $server->httpd->children;
    ok $server->httpd->restart('USR1');
    for my $one (@all) {
        my($h2, @ids) = @$one;
        ok t_cmp((count_of { $h2->wait_end($_, slowly(5))
                             && !$h2->is_reset($_) } @ids), 3,
                 'a graceful restart ends them with END_STREAM');
        ok t_cmp((count_of { $h2->body($_) =~ /\n\nretry: \d+\n\n\z/ } @ids), 3,
                 'and the time to come back');
        my $state;
        eventually(sub {
            $state = $h2->state;
            return defined $state->{$event ? 'closed' : 'goaway'};
        }, slowly(10));
        ok t_cmp($state->{goaway}, 0, 'GOAWAY says NO_ERROR');
        ok t_cmp($state->{error}, undef, 'no error');
        # With worker, mod_http2 waits for the client for KeepAliveTimeout.
        $event ? ok t_cmp(defined $state->{closed}, 1, 'the server closes')
               : ok $h2->close;
    }
    ok t_cmp($server->closes_are($path, 'shutdown 6'), 1, 'as shutdown');
    ok t_cmp(eventually(sub { !grep { is_alive($_) } @old }, 20), 1,
             'the old child has gone');
    $_->[0]->close for $event ? @all : ();
}
