# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Long polls and limits: who is let in, who may, for how long; and where threads
# are short, answers at once, with a pause.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;
use SSETestNumbers;
use SSETestPoll;
use SSETestServer qw(no_streams);
use Time::HiRes qw(sleep time);

my $mpm = $ENV{SSE_MPM} || 'event';

# Eight threads or processes, of which those that wait may hold six.
my %numbers = (
    event => "StartServers 1\nServerLimit 2\nThreadsPerChild 8\n"
        . "MaxRequestWorkers 8\nAsyncRequestWorkerFactor 100\n",
    worker => "StartServers 1\nServerLimit 2\nThreadsPerChild 8\n"
        . "MaxRequestWorkers 8\n",
    prefork => "StartServers 8\nServerLimit 8\nMinSpareServers 1\n"
        . "MaxSpareServers 8\nMaxRequestWorkers 8\n",
);

plan tests => 2 * 8 + 3 + 19 + 14 + 1,
    need_module('mod_sse', 'mod_headers', 'mod_ratelimit');

my @small = (module => 'sse_limits_small');
refusals('in all', 3, 503, qr/SSEMaxStreams\b/, '/limits/poll', @small);
refusals('for a client', 2, 429, qr/SSEMaxStreamsPerClient/,
         '/limits/client/two/poll');
ok t_cmp(poll('/limits/client/two/poll', wait => 0)->{events}, [],
         'an immediate look is let in');
ok t_cmp(no_streams(), 1, 'all have left');
ok t_cmp((grep { defined poll('/limits/poll', @small, wait => 0) } 1 .. 10) + 0,
         10, 'nothing is left of their claims');

my $httpd = SSETestHttpd->new(
    mpm => $numbers{$mpm}, modules => ['headers', 'ratelimit'],
    conf => <<'EOI');
KeepAliveTimeout 60
<Location "/asked">
    SetHandler sse
    SSEAuthorize "/auth?%{QUERY_STRING}"
</Location>
<Location "/asked/short">
    SSEAuthorize "/auth/short"
</Location>
<Location "/auth">
    SetHandler sse-status
    Header set SSE-Channel room "expr=%{QUERY_STRING} !~ /away/"
    Header set SSE-User ann
    Require expr %{QUERY_STRING} !~ /denied/
</Location>
<Location "/auth/short">
    Header set SSE-Max-Age 1
</Location>
<Location "/c/aged">
    SSEMaxAge 1s
</Location>
<IfModule mod_ratelimit.c>
    <Location "/c/waits">
        SetOutputFilter RATE_LIMIT
        SetEnv rate-limit 100000
    </Location>
</IfModule>
EOI
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);
authorized();
few_threads();

# So many wait, one more does not; then another one has its place.
sub refusals {
    my($name, $n, $code, $words, $path, @opt) = @_;

    no_streams(); # of an earlier test: its ends may not be noticed yet
    my @in = map { open_poll($path, @opt, wait => 25) } 1 .. $n;
    ok t_cmp((grep { ($_->status // 0) == 200 } @in) + 0, $n,
             "$name: $n polls wait");
    my $answer = request('GET', $path, @opt,
                         headers => { Accept => 'application/json' });
    ok t_cmp($answer->code, $code, "one more: $code");
    ok t_cmp($answer->header('Retry-After'), qr/^[1-9]\d*$/, 'when to come');
    ok t_cmp(($answer->json // {})->{error}, $words, 'and the words');
    publish($path, 'x', @opt);
    my @answers = map { answer($_) // {} } @in;
    ok t_cmp(join(' ', map { texts(@{ $_->{events} // [] }) } @answers),
             join(' ', ('x') x $n), 'those that wait are answered');
    # Their places are free for others.
    my @others;
    eventually {
        my $poll = open_poll($path, @opt, wait => 25);
        ($poll->status // 0) == 200 ? push @others, $poll : $poll->close;
        @others == $n;
    };
    ok t_cmp(scalar @others, $n, 'others have their places');
    my $again = open_poll($path, @opt, wait => 25, id => $answers[0]{last});
    ok t_cmp($again->status, $code, 'they themselves are refused then');
    $_->close for $again, @others;
    my $next = eventually {
        poll($path, @opt, wait => 0, id => $answers[0]{last});
    };
    ok t_cmp(($next // {})->{events}, [], 'until those have left');
    $_->close for @in;
}

sub asked { return numbers(@port)->{authorize}{asked} }

sub authorized {
    my $before = asked();
    my $poll = open_poll('/asked?a', @port, wait => 20);
    ok t_cmp($poll->status, 200, 'SSEAuthorize: let in');
    publish('/c/room', 'to the room', @port);
    my $answer = answer($poll) // {};
    ok t_cmp(texts(@{ $answer->{events} // [] }), 'to the room',
             'to the channel that the application named');
    ok t_cmp(($answer->{events}[0] // {})->{channel}, 'room', 'by its name');
    open_poll('/asked?b', @port, on => $poll, wait => 20,
              id => $answer->{last});
    publish('/c/room', 'again', @port);
    ok t_cmp(texts(@{ (answer($poll) // {})->{events} // [] }), 'again',
             'the next one');
    ok t_cmp(asked() - $before, 2, 'each poll is asked about');
    open_poll('/asked?denied', @port, on => $poll, wait => 20,
              id => $answer->{last});
    ok t_cmp($poll->status, 403, 'and may be denied');
    $poll->close;
    ok t_cmp(poll('/asked', @port, wait => 0)->{events}, [],
             'a look is asked about, too');
    ok t_cmp(asked() - $before, 4, 'before it is answered');
    my $head = open_poll('/asked?denied', @port, method => 'HEAD');
    ok t_cmp($head->status, 403, 'and so is HEAD');
    $head->close;

    # An application may say how long; so may the location.
    for my $path ('/asked/short', '/c/aged') {
        my $began = time;
        my $client = SSETestPoll->new($path, @port);
        ok t_cmp([$client->next(wait => 20)], [], "$path: a short life");
        my $took = time - $began;
        ok t_cmp($took < 15, 1, "ends a poll after $took s");
        ok t_cmp($client->last_id, qr/^\d+$/, 'with an answer');
        publish($path eq '/c/aged' ? $path : '/c/room', 'later', @port);
        ok t_cmp(texts($client->next(wait => 20)), 'later', 'and the next one');
        ok t_cmp($client->connections, 1, 'on the same connection');
        $client->close;
    }
}

# With the event MPM one whose filter may wait needs a thread; elsewhere all do.
sub few_threads {
    my $path = '/c/waits';
    my @in;
    eventually {
        my $client = SSETestPoll->new($path, @port)->ask(wait => 20);
        $client->stream->status;
        push @in, $client;
        numbers(@port)->{threads} >= 6;
    };
    ok t_cmp(@in >= 6, 1, scalar @in . ' polls hold six threads');
    my $began = time;
    my $answer = poll($path, @port, wait => 20);
    ok t_cmp(($answer // {})->{events}, [], 'one more is answered at once');
    my $took = time - $began;
    ok t_cmp($took < 15, 1, "after $took s");
    ok t_cmp(($answer // {})->{retry} // 'none', qr/^[1-9]\d{2,3}$/,
             'with a pause');
    ok t_cmp(request('GET', '/status', @port)->code, 200,
             'others are answered, too');

    # It misses nothing, and asks no more often than it is told.
    my $client = SSETestPoll->new($path, @port, id => $answer->{last});
    my($asked, @events) = (0);
    eventually {
        publish($path, 'x', @port) if ++$asked == 2;
        @events = $client->next(wait => 20);
        sleep(($client->retry // 0) / 1000) if !@events;
        scalar @events;
    };
    ok t_cmp(texts(@events), 'x', 'its event comes');
    ok t_cmp($asked <= 10, 1, "after $asked polls");
    $_->take for @in;
    ok t_cmp((grep { $_->polls } @in) + 0, scalar @in,
             'so it does to those that wait');
    $_->close for @in;
    $client->close;
    ok t_cmp(eventually {
        my $status = numbers(@port);
        !$status->{threads} && !$status->{streams}
    }, 1, 'no thread is held');

    # One that waits in vain takes no harm from that.
    $client = SSETestPoll->new($path, @port);
    ok t_cmp([$client->next(wait => 1)], [], 'with threads to spare: it waits');
    ok t_cmp($client->retry, undef, 'and has no pause');
    publish($path, 'y', @port);
    ok t_cmp(texts($client->next(wait => 20)), 'y', 'and goes on');
    $client->close;
    ok t_cmp($httpd->stop, 1, 'it stops');
    ok t_cmp(join('', $httpd->complaints(qr/SSEMaxThreads|AH01630/)), '',
             'nothing is wrong in the log');
}
