# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The end of a long poll, as C modules, the log and webhooks are told of it; and
# who is on a channel, whose clients poll.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(key url slowly count_seen);
use SSETestHook;
use SSETestNumbers;
use SSETestPoll;
use SSETestPresence;
use Time::HiRes qw(sleep time);

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);

# For half of it a client that polls may be away: longer than the machine stands
# still.
my $wait = $ENV{SSE_SAN} ? 18 : 10;

plan tests => 29 * @ways + 23 + 21,
    need_module('mod_sse', 'mod_sse_close', 'mod_ssl', 'mod_authn_anon');

c_modules(@$_) for @ways;

my $hook = SSETestHook->new;
my $told = $hook->url('/told');
my $httpd = presence_httpd(<<"EOI");
KeepAliveTimeout 60
SSEPollWait ${wait}s
SSERetry 100ms
<LocationMatch "^/hooks/">
    SetHandler sse
    SSEPublish On
    SSEHook $told open close first last
</LocationMatch>
# Less than what a client that polls has anyway
<LocationMatch "^/(hooks|u)/">
    SSEPresenceGrace 500ms
</LocationMatch>
EOI
my @port = (port => $httpd->port);
webhooks();
presence();
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

# A poll of which the C module notes what it is told; its key.
sub watched {
    my($opt, %poll) = @_;

    my $k = key();
    my $path = url('/close/sse/poll', $k, path => $$);
    my $stream = open_poll($path, @$opt, %poll);
    $stream->head;
    SSETestClose::told($k, 'open');
    return($stream, $k);
}

# What that was: opens, closes, reason, by the client, events, the note.
sub ends {
    my $k = shift;

    my $close = SSETestClose::told($k, 'close');
    sleep 0.02;
    return join ' ', count_seen($k, 'open'), count_seen($k, 'close'),
        map { $close->{$_} // 'none' } qw(reason by events note);
}

sub logged {
    my($k, $what) = @_;

    return access_line(qr/"GET \/close\/sse\/poll\?k=$k&.* $what /) ? 1 : 0;
}

sub c_modules {
    my($name, @opt) = @_;

    # One that waits
    for my $how (['close', 'client'], ['reset', 'reset']) {
        my($do, $reason) = @$how;
        my($poll, $k) = watched(\@opt, wait => 25);
        my $last = poll('/close/sse/poll', @opt, wait => 0)->{last};
        $poll->$do;
        ok t_cmp(ends($k), "1 1 $reason 1 0 $reason", "$name: $do");
        ok t_cmp(logged($k, "close=$reason .*events=0"), 1, 'in the log');
        publish('/close/sse/poll', 'kept', @opt);
        my $next = poll('/close/sse/poll', @opt, wait => 5, id => $last);
        ok t_cmp(texts(@{ ($next // {})->{events} // [] }), 'kept',
                 'what comes then is there for the next one');
    }

    # Answered, by an event, by the end of its wait, at once
    my($poll, $k) = watched(\@opt, wait => 25);
    my $id = publish('/close/sse/poll', 'x', @opt)->json->{id};
    ok t_cmp(texts(@{ (answer($poll) // {})->{events} // [] }), 'x',
             "$name: answered");
    # The next one at once: the connection does not stay for long.
    my $next = key();
    my $path = url('/close/sse/poll', $next, path => $$);
    open_poll($path, @opt, on => $poll, wait => 1, id => $id);
    ok t_cmp(ends($k), '1 1 poll 0 1 poll', 'an end of ours');
    ok t_cmp(SSETestClose::told($k, 'close')->{last}, $id, 'its last id');
    ok t_cmp(logged($k, 'close=poll .*events=1'), 1, 'in the log');
    ok t_cmp(access_line(qr/k=$k&.* X=\+ /) ? 1 : 0, 1,
             'with a connection that stays');
    ok t_cmp((answer($poll) // {})->{events}, [], 'the next one waits');
    ok t_cmp(ends($next), '1 1 poll 0 0 poll', 'until its time is over');
    ok t_cmp(logged($next, 'close=poll .*events=0'), 1, 'in the log');
    $poll->close;
    sleep 0.1;
    ok t_cmp(ends($next), '1 1 poll 0 0 poll',
             'that the client leaves then changes nothing');
    ($poll, $k) = watched(\@opt, wait => 0);
    ok t_cmp((answer($poll) // {})->{events}, [], 'an immediate look');
    ok t_cmp(ends($k), '1 1 poll 0 0 poll', 'has its end, too');
    $poll->close;

    # Clients that leave just when they are answered, one way or the other.
    my %reasons;
    my @last = ($id);
    my $lost = 0;
    for my $n (1 .. 20) {
        my($poll, $k) = watched(\@opt, wait => 25, id => $last[-1]);
        my $late = $n % 2 ? publish('/close/sse/poll', $n, @opt) : undef;
        $n % 3 ? $poll->close : $poll->reset;
        $late //= publish('/close/sse/poll', $n, @opt);
        my $end = ends($k);
        $reasons{$end =~ /^1 1 (client|reset|write-error|poll) ([01]) / ? $1
                 : "wrong: $end"}++;
        my $next = poll('/close/sse/poll', @opt, wait => 5, id => $last[-1]);
        $lost++ if texts(@{ ($next // {})->{events} // [] }) ne $n;
        push @last, $late->json->{id};
    }
    ok t_cmp(join(' ', grep { /wrong/ } keys %reasons), '',
             "$name: each has one end: " . join ' ', map { "$_ $reasons{$_}" }
             sort keys %reasons);
    ok t_cmp($lost, 0, 'what they were to have is there for the next one');
    ok t_cmp(scalar(error_lines(qr/\[sse:(?:error|warn)\].*close\/sse\/poll/)),
             0, 'none is an error');

    # A module sends when it opens
    $k = key();
    $poll = open_poll(url('/close/sse/poll', $k, osend => 1), @opt, wait => 25);
    ok t_cmp(texts(@{ (answer($poll) // {})->{events} // [] }),
             'from stream_open', "$name: an answer by stream_open");
    ok t_cmp(ends($k), '1 1 poll 0 1 poll', 'and its end');
    $poll->close;

    # Told slowly: who has the answer is rid of that poll, and may go.
    $k = key();
    $poll = open_poll(url('/close/sse/one/poll', $k, hsleep => 700), @opt,
                      wait => 25);
    $poll->head;
    SSETestClose::told($k, 'open');
    publish('/close/sse/one/poll', 'x', @opt);
    ok t_cmp(!!answer($poll), 1, "$name: answered");
    my $again = open_poll('/close/sse/one/poll', @opt, wait => 0);
    ok t_cmp($again->status, 200, 'its place is free');
    $_->close for $poll, $again;
    ok t_cmp(access_line(qr/k=$k&.* X=[-+] /) ? 1 : 0, 1,
             'who leaves with all of it has not aborted');

    # A poll of a channel that is deleted, and of two clients one
    ($poll, $k) = watched(\@opt, wait => 25);
    request('DELETE', url('/close/sse/poll', 'x', path => $$), @opt);
    ok t_cmp(!!answer($poll), 1, "$name: its channel is deleted: an answer");
    ok t_cmp(ends($k), '1 1 server 0 0 server', 'and the reason');
    $poll->close;
    my($one, $first) = watched(\@opt, wait => 25);
    my($two, $second) = watched(\@opt, wait => 25);
    $one->close;
    ok t_cmp(ends($first), '1 1 client 1 0 client',
             'one of two leaves');
    publish('/close/sse/poll', 'y', @opt);
    ok t_cmp(texts(@{ (answer($two) // {})->{events} // [] }), 'y',
             'the other one has its event');
    $two->close;
}

# How many have been answered, by sse-status.
sub polls { return numbers(@port)->{polls} }

sub webhooks {
    my $poll = open_poll('/hooks/a', @port, wait => $wait);
    my $open = $hook->wait_told(type => 'open') // {};
    ok t_cmp($open->{channels}, ['/hooks/a'], 'a webhook: open');
    publish('/hooks/a', 'x', @port);
    my $answer = answer($poll);
    # The next one at once, or it would be another first one.
    open_poll('/hooks/a', @port, on => $poll, wait => $wait,
              id => $answer->{last});
    $poll->head;
    my $close = $hook->wait_told(type => 'close') // {};
    ok t_cmp($close->{stream}, $open->{stream}, 'and close');
    ok t_cmp("$close->{reason} $close->{events}", 'poll 1', 'the reason');
    ok t_cmp(!!$close->{by_client}, '', 'which is not the client');
    ok t_cmp($close->{last_event_id}, $answer->{last}, 'the last id');
    ok t_cmp($hook->wait_count(2, type => 'open') ? 1 : 0, 1, 'the next poll');
    $poll->close;
    ok t_cmp($hook->wait_count(2, type => 'close') ? 1 : 0, 1, 'its end');
    my($second) = grep { $_->{stream} ne $open->{stream} }
        $hook->told(type => 'close');
    ok t_cmp("$second->{reason} " . !!$second->{by_client}, 'client 1',
             'its client left');
    # Once in all, whatever the polls were
    ok t_cmp($hook->wait_count(1, type => 'last') ? 1 : 0, 1, 'last');
    ok t_cmp(eventually { (() = $hook->told(type => 'first')) == 1 }, 1,
             'of two polls one was the first');
    ok t_cmp(scalar(() = $hook->told(type => 'last')), 1, 'and one the last');

    my $count = sub { my $type = shift;
                      scalar grep { "@{$_->{channels}}" eq '/hooks/b' }
                          $hook->told(type => $type) };
    my $between;
    my $client = SSETestPoll->new('/hooks/b', @port);
    for my $n (1 .. 6) {
        $client->ask(wait => $n == 3 ? 1 : $wait);
        $client->stream->head;
        $between = $count->('last');
        publish('/hooks/b', $n, @port) if $n != 3;
        my @events = $client->take;
        sleep 0.2;
    }
    ok t_cmp(eventually { $count->('first') == 1 }, 1,
             'six polls: first is told');
    ok t_cmp($between, 0, 'last not between them');
    $client->close;
    ok t_cmp(eventually { $count->('last') == 1 }, 1,
             'but when no more come');
    ok t_cmp(eventually { $count->('open') == 6 && $count->('close') == 6 }, 1,
             'each has an open and a close');
    ok t_cmp($count->('first') . ' ' . $count->('last'), '1 1',
             'first and last are told once');

    my $before = polls();
    poll('/hooks/look', @port, wait => 0) for 1 .. 3;
    ok t_cmp(eventually { polls() == $before + 3 }, 1,
             'three immediate looks are counted');
    $hook->wait_count(11, type => 'close');
    ok t_cmp((grep { "@{$_->{channels}}" eq '/hooks/look' }
              $hook->told(type => 'close')) + 0, 3, 'each has its end');
    ok t_cmp((grep { "@{$_->{channels}}" eq '/hooks/look' }
              map { $hook->told(type => $_) } qw(first last)) + 0, 0,
             'they are no subscribers');

    # An answer to a poll whose connection the client has closed
    $client = SSETestPoll->new('/hooks/c', @port);
    $client->next(wait => 0);
    publish('/hooks/c', 1, @port);
    ok t_cmp(texts($client->next(wait => $wait)), '1', 'one more');
    ok t_cmp($client->connections, 1, 'on one connection');
    $client->close;
    ok t_cmp(are_open(0, @port), 1, 'no stream is left');
    ok t_cmp(eventually {
        my($opens, $closes) = map {
            join ' ', sort map { $_->{stream} } $hook->told(type => $_)
        } qw(open close);
        $opens eq $closes
    }, 1, 'and every open has its close');
}

# What a follower is told next, within the time: "join ann".
sub change {
    my($look, $timeout) = @_;

    my $event = $look->next_event($timeout) or return '';
    my $json = JSON::PP->new->utf8->decode($event->{data});
    return "$event->{event} " . ($json->{user} // '-');
}

sub headers_of { return { SSETestPresence::headers_of(shift) } }

sub presence {
    my $look = look_on('/u/room', user => 'eve');
    told($look, 'presence');
    my($ann, $bob) = map {
        SSETestPoll->new('/u/room', @port, headers => headers_of($_))
    } qw(ann bob);
    $ann->ask(wait => $wait);
    ok t_cmp(change($look, 10), 'join ann', 'who polls is there');
    $bob->ask(wait => $wait);
    ok t_cmp(change($look, 10), 'join bob', 'and so is another one');
    for my $n (1 .. 4) {
        publish('/u/room', $n, @port, %{ headers_of('eve') });
        ok t_cmp(join(' ', map { texts($_->take) } $ann, $bob), "$n $n",
                 'both are answered');
        my $doc = who_is_on('/u/room');
        ok t_cmp(join(' ', sort map { $_->{user} } @{ $doc->{members} }),
                 'ann bob', 'between two polls they are there');
        sleep 0.2;
        $_->ask(wait => $wait) for $ann, $bob;
        $_->stream->head for $ann, $bob;
    }
    ok t_cmp(change($look, 0.5), '', 'nobody is told of that');
    # They are answered once more, and only one of them comes back.
    my $began = time;
    publish('/u/room', 'x', @port, %{ headers_of('eve') });
    $_->take for $ann, $bob;
    $ann->ask(wait => 1);
    my $end = $began + slowly(20);
    my $left = '';
    while (!$left && time < $end) {
        $left = change($look, 0.05);
        $ann->stream->fill(time);
        if ($ann->stream->is_ended) {
            $ann->take;
            $ann->ask(wait => 1);
        }
    }
    my $took = time - $began;
    ok t_cmp($left, 'leave bob', 'who does not come back has left');
    ok t_cmp($took > $wait / 2 - 0.5, 1,
             "after half of SSEPollWait, $wait s: $took s");
    my $doc = who_is_on('/u/room');
    ok t_cmp(join(' ', map { $_->{user} } @{ $doc->{members} }), 'ann',
             'the other one is there');
    $ann->close;
    ok t_cmp(change($look, 10), 'leave ann', 'until she leaves, too');

    # A look is none.
    poll('/u/room', @port, wait => 0, headers => headers_of('cem')) for 1 .. 3;
    ok t_cmp(change($look, 0.7), '', 'with wait=0 nobody comes');
    $doc = who_is_on('/u/room');
    ok t_cmp($doc->{members}, [], 'nor is there');

    # The changes themselves by long poll
    my $client = SSETestPoll->new('/u/room?presence', @port,
                                  headers => headers_of('eve'));
    my($list) = $client->next(wait => $wait);
    ok t_cmp($list->{event}, 'presence', '?presence: first the list');
    $client->ask(wait => $wait);
    my $dan = open_poll('/u/room', @port, wait => $wait,
                        headers => headers_of('dan'));
    my($join) = $client->take;
    ok t_cmp(($join // {})->{event}, 'join', 'then who comes');
    $dan->close;
    $look->close;
    $client->close;
    ok t_cmp(poll('/u/room', @port, wait => 0,
                  headers => headers_of('eve'))->{events}, [], 'that is all');
}
