# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Long polls as HTTP: one connection for many of them, threads, versions of
# HTTP, TLS, compression, HEAD, pages of other sites.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestH2;
use SSETestHttpd;
use SSETestPoll;
use Time::HiRes qw(sleep time);

my $mpm = $ENV{SSE_MPM} || 'event';
my $has_h2 = $mpm ne 'prefork';
# Elsewhere one that waits holds a thread or a process.
my $many = $mpm eq 'event' ? 200 : 10;

plan tests => 58 + ($has_h2 ? 10 : 0),
    need_module('mod_sse', 'mod_ssl', 'mod_deflate', 'mod_http2');

over_and_over();
over_and_over(module => 'mod_sse_ssl');
versions();
heads();
origins();
over_http2() if $has_h2;

# Children that are as many from the beginning as they may be.
my $two = "StartServers 2\nServerLimit 2\nThreadsPerChild 16\n"
    . "MaxRequestWorkers 32\nAsyncRequestWorkerFactor 400\n";
my $httpd = SSETestHttpd->new(modules => ['deflate'],
                              mpm => $mpm eq 'event' ? $two : undef,
                              conf => <<'EOI');
KeepAliveTimeout 30
<Location "/c/z">
    SetOutputFilter DEFLATE
</Location>
<Location "/c/beat">
    SSEHeartbeat 200ms
</Location>
EOI
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);
compressed();
heartbeats();
waiting();
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

sub channel { return "/events/poll-$_[0]-$$" }

# Every poll on one connection, each with what is new since the one before.
sub over_and_over {
    my @opt = @_;

    my $path = channel("over@opt" =~ s/\W//gr);
    my $client = SSETestPoll->new($path, @opt);
    ok t_cmp([$client->next(wait => 0)], [], 'an immediate look: nothing');
    ok t_cmp($client->last_id, qr/^\d+$/, 'and the id of now');
    my($got, $published) = ('', '');
    for my $n (1 .. 25) {
        $client->ask(wait => 20);
        ok t_cmp($client->stream->status, 200, 'the head comes at once')
            if $n == 1;
        sleep 0.01 if $n % 2;
        my $id = publish($path, $n, @opt)->json->{id};
        $published .= " $id:$path:message:$n";
        $got .= join '', map { " $_->{id}:$_->{channel}:$_->{event}:$_->{data}" }
            $client->take;
    }
    ok t_cmp($got, $published, 'each answer has its event and no other');
    ok t_cmp($client->connections, 1, 'all over one connection');

    # Another request fits in between, and one that was sent too early.
    my $stream = $client->stream;
    $stream->again('/stream/status');
    ok t_cmp($stream->status, 200, 'another request on it');
    $stream->wait_end(5);
    my $last = $client->last_id;
    open_poll($path, @opt, on => $stream, wait => 20, id => $last);
    $stream->head;
    $stream->send_bytes("GET $path?last-event-id=$last HTTP/1.1\r\n"
                        . "Host: localhost\r\nAccept: application/json\r\n"
                        . "Prefer: wait=0\r\n\r\n");
    publish($path, 'late', @opt);
    ok t_cmp(texts(@{ (answer($stream) // {})->{events} // [] }), 'late',
             'a poll, the next one behind it');
    $stream->again(undef);
    ok t_cmp(texts(@{ (answer($stream) // {})->{events} // [] }), 'late',
             'which is answered, too');
    $client->close;
}

sub versions {
    my $path = channel('versions');
    my $stream = open_poll($path, http => '1.0', wait => 20);
    ok t_cmp($stream->status, 200, 'HTTP/1.0');
    ok t_cmp($stream->header('Transfer-Encoding'), undef, 'no chunks');
    publish($path, 'ten');
    ok t_cmp(texts(@{ (answer($stream) // {})->{events} // [] }), 'ten',
             'the body ends with the connection');
    $stream->close;
    my $answer = poll($path, http => '1.0', wait => 0, id => 1,
                      headers => { Connection => 'keep-alive' });
    ok t_cmp($answer && $answer->{last}, qr/^\d+$/, 'asked to keep it');
    $answer = poll($path, wait => 1);
    ok t_cmp($answer && $answer->{events}, [], 'Connection: close');
}

# The headers of a poll: name, value.
my @headers = (
    ['Content-Type', qr{^application/json\b}],
    ['Cache-Control', qr/^no-store$/],
    ['X-Accel-Buffering', qr/^no$/],
    ['X-Content-Type-Options', qr/^nosniff$/],
    ['Vary', qr/\bAccept\b/],
    ['Preference-Applied', qr/^wait=3$/],
);

sub heads {
    my $path = channel('heads');
    for my $method (qw(HEAD GET)) {
        my $stream = open_poll($path, method => $method, wait => 3);
        ok t_cmp($stream->status, 200, "$method: status");
        for my $row (@headers) {
            ok t_cmp($stream->header($row->[0]) // '', $row->[1],
                     "$method: $row->[0]");
        }
        for my $name (qw(ETag Last-Modified Content-Length Set-Cookie)) {
            ok t_cmp($stream->header($name), undef, "$method: no $name");
        }
        if ($method eq 'HEAD') {
            $stream->again('/stream/status');
            ok t_cmp($stream->status, 200, 'HEAD: and the next request');
        }
        $stream->close;
    }
    my $stream = open_stream($path);
    ok t_cmp($stream->header('Vary') // '', qr/\bAccept\b/,
             'a stream varies by Accept, too');
    $stream->close;
}

# Pages of other sites.
sub origins {
    for my $row (['https://app.example', 'https://app.example'],
                 ['https://evil.example', undef]) {
        my($origin, $allowed) = @$row;
        my $stream = open_poll('/http/cors/listed/x', wait => 0,
                               headers => { Origin => $origin });
        ok t_cmp($stream->header('Access-Control-Allow-Origin'), $allowed,
                 "$origin: may it read");
        ok t_cmp($stream->header('Vary') // '', qr/Origin/, 'it varies');
        ok t_cmp(!!answer($stream), 1, 'the answer');
        $stream->close;
    }
    my $answer = request('OPTIONS', '/http/cors/listed/x', headers =>
        { Origin => 'https://app.example',
          'Access-Control-Request-Method' => 'GET',
          'Access-Control-Request-Headers' => 'prefer' });
    ok t_cmp($answer->header('Access-Control-Allow-Headers') // '',
             qr/\bPrefer\b/, 'such a page may send Prefer');
}

sub h2_answer {
    my($h2, $id) = @_;

    return $h2->wait_end($id, 10) && !$h2->is_reset($id)
        ? eval { JSON::PP->new->utf8->decode($h2->body($id)) } : undef;
}

sub over_http2 {
    my $path = channel('h2');
    my $h2 = SSETestH2->new('mod_sse_ssl');
    my @poll = ('accept', 'application/json', 'prefer', 'wait=20');
    my @ids = map { $h2->get("$path-$_", @poll) } 1 .. 3;
    ok t_cmp((grep { $h2->wait_for($_, qr/^\{"events":\[/, 5) } @ids) + 0, 3,
             'HTTP/2: three polls wait on one connection');
    publish("$path-2", 'two');
    my $answer = h2_answer($h2, $ids[1]) // {};
    ok t_cmp(texts(@{ $answer->{events} // [] }), 'two', 'one has its event');
    ok t_cmp((grep { $h2->is_ended($_) } @ids[0, 2]) + 0, 0,
             'the others wait on');
    $ids[1] = $h2->get("$path-2", @poll, 'last-event-id', $answer->{last} // '');
    publish("$path-$_", "again $_") for 1 .. 3;
    my @got = map { h2_answer($h2, $_) // {} } @ids;
    ok t_cmp(join(', ', map { texts(@{ $_->{events} // [] }) } @got),
             'again 1, again 2, again 3', 'and so have all');

    my $id = $h2->get("$path-1", @poll[0 .. 2], 'wait=1');
    $answer = h2_answer($h2, $id) // {};
    ok t_cmp($answer->{events}, [], 'after the wait: no event');
    my $opens = qr/ open on \Q$path\E-1$/m;
    my $before = () = error_lines($opens);
    $id = $h2->get("$path-1", @poll, 'last-event-id', $got[0]{last} // '');
    $h2->wait_for($id, qr/\[/, 5);
    eventually { $before < (() = error_lines($opens)) }; # behind its first bytes
    $h2->reset_stream($id);
    local $SSETest::meanwhile = sub { $h2->nudge };
    ok t_cmp(scalar(access_line(qr/"GET \Q$path\E-1 HTTP\/2.* close=reset /, 25)
                    ? 1 : 0), 1, 'one that is reset');
    publish("$path-1", 'kept');
    $id = $h2->get("$path-1", @poll, 'last-event-id', $got[0]{last} // '');
    $answer = h2_answer($h2, $id) // {};
    ok t_cmp(texts(@{ $answer->{events} // [] }), 'kept',
             'loses nothing for the next');
    $id = $h2->get($path, ':method' => 'HEAD', @poll);
    ok t_cmp($h2->wait_end($id, 5), 1, 'HEAD');
    ok t_cmp($h2->body($id), '', 'without a body');
    ok t_cmp($h2->is_reset($id), 0, 'and without an error');
    $h2->close;
}

sub compressed {
    my $client = SSETestPoll->new('/c/z', @port, headers => {
        'Accept-Encoding' => 'gzip' });
    my($got, $n) = ('', 12);
    for my $i (1 .. $n) {
        $client->ask(wait => 20);
        ok t_cmp($client->stream->header('Content-Encoding'), 'gzip', 'gzip')
            if $i == 1;
        ok t_cmp($client->stream->header('Vary') // '',
                 qr/Accept\b.*Accept-Encoding|Accept-Encoding.*Accept\b/,
                 'Vary has both') if $i == 1;
        publish('/c/z', "$i.", @port);
        $got .= texts($client->take);
    }
    ok t_cmp($got, join('', map { "$_." } 1 .. $n), 'each answer whole');
    ok t_cmp($client->connections, 1, 'over one connection');
    $client->close;
}

# White space keeps a proxy from taking the connection for dead.
sub heartbeats {
    my $client = SSETestPoll->new('/c/beat', @port)->ask(wait => 20);
    my $stream = $client->stream;
    ok t_cmp(eventually(sub { $stream->fill(time); $stream->{body} =~ /\n.*\n/s
                              ? 1 : 0 }), 1, 'two heartbeats');
    ok t_cmp($stream->{body}, qr/^\{"events":\[\s+$/, 'are white space');
    publish('/c/beat', 'x', @port) for 1 .. 2;
    my @events = $client->take;
    push @events, $client->next(wait => 20) if @events < 2;
    ok t_cmp(texts(@events), 'x x', 'and the answer is valid');
    $client->close;
}

sub threads_of {
    my $sum = 0;
    $sum += () = glob "/proc/$_/task/*" for $httpd->children;
    return $sum;
}

# The same once all children have made theirs.
sub settled_threads {
    my($threads, $since) = (0, time);
    eventually {
        my $now = threads_of();
        ($threads, $since) = ($now, time) if $now != $threads;
        time - $since >= 1 && $httpd->children >= 2;
    };
    return $threads;
}

sub status { return request('GET', '/status', @port)->json // {} }

# Many that wait at a time.
sub waiting {
    my @clients = map { SSETestPoll->new('/c/many', @port) } 1 .. $many;
    $_->ask(wait => 25) for @clients[0, 1];
    eventually { (status()->{streams} // 0) >= 2 };
    my $before = settled_threads();
    $_->ask(wait => 25) for @clients[2 .. $#clients];
    ok t_cmp((grep { ($_->stream->status // 0) == 200 } @clients) + 0, $many,
             "$many polls wait");
    my $status = {};
    ok t_cmp(eventually {
                 $status = status();
                 ($status->{streams} // 0) == $many
             }, 1, 'each is a stream for as long as it waits');
    if ($mpm eq 'event') {
        my $threads = threads_of();
        ok t_cmp($status->{threads}, 0, 'none holds a thread');
        ok t_cmp($threads <= $before + 4, 1,
                 "the children have $threads threads, before $before");
    }
    else {
        ok t_cmp($status->{threads}, $many, 'each holds a thread or process');
        ok t_cmp(request('GET', '/status', @port)->code, 200,
                 'others are answered');
    }
    for my $n (1 .. 3) {
        publish('/c/many', "to all $n", @port);
        my @got = map { texts($_->take) } @clients;
        ok t_cmp((grep { $_ eq "to all $n" } @got) + 0, $many,
                 "all have event $n, and only that");
        $_->ask(wait => 25) for @clients;
    }
    my $sum = 0;
    $sum += $_->connections for @clients;
    ok t_cmp($sum, $many, 'each with one connection');
    $_->close for @clients;
    ok t_cmp(eventually { (status()->{streams} // -1) == 0 }, 1,
             'all have left');
}
