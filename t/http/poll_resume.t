# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Long polls, one after the other: what is published in between is neither
# missed nor sent twice; what is lost is told; and what a client may write as an
# id, a wait, a limit.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestLoad;
use SSETestPoll;
use Time::HiRes qw(sleep time);

use constant POLLS => 300;

# Ids that are none of this store's, as a query has them and as the gap does.
my @ids = (
    ['x', 'x'],
    ['-1', '-1'],
    ['1.5', '1.5'],
    ['%20%20', '  '],
    ['4242424242424242', '4242424242424242'],
    ['18446744073709551617', '18446744073709551617'],
    ['7' x 300, '7' x 256],
    ['%22%27%5C%3C/script%3E', q("'\\</script>)],
    ['%01%7F%0A%0D%C3%A9', "\x01\x7f\n\r\xc3\xa9"],
    ['%C3(', '(not UTF-8)'],
);

# What Prefer says, and what Preference-Applied does; SSEPollWait is 1 s.
my @waits = (
    ['wait=0', 'wait=0'],
    ['WAIT=0', 'wait=0'],
    ['wait="0"', 'wait=0'],
    ['wait = 0', 'wait=0'],
    ['respond-async, wait=0', 'wait=0'],
    ['wait=0; x=y', 'wait=0'],
    ['wait=0, wait=1', 'wait=0'],
    ['x="a, wait=5", wait=0', 'wait=0'],
    ['wait=1', 'wait=1'],
    ['wait=9', 'wait=1'],
    ['wait=99999999999999999999999', 'wait=1'],
    ['wait', undef],
    ['wait=', undef],
    ['wait=-1', undef],
    ['wait=1.5', undef],
    ['wait=x', undef],
    ['wait=0x', undef],
    ['waits=0', undef],
    ['"', undef],
    [', ;=;"\\', undef],
    ['x' x 5000, undef],
);

my @limits = ('0', '-1', '10001', '1.5', 'x', '', '%00', '1%20', '9' x 40);

plan tests => 11 + 7 + 5 * @ids + 3 * @waits + 2 * @limits + 14,
    need_module('mod_sse');

my $httpd = SSETestHttpd->new(conf => <<'EOI');
KeepAliveTimeout 60
<Location "/c/soon">
    SSEPollWait 1s
</Location>
<LocationMatch "^/c/few">
    SSEHistory 3
    SSEReplay all
</LocationMatch>
EOI
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);

busy();
gaps();
garbage_ids();
waits();
limits();
deleted();
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

# Publishers in all children, pollers of three channels and of one.
sub busy {
    my @paths = map { "/c/$_" } qw(a b c);
    my $first = publish('/c/a', 'first', @port)->json->{id};
    my @all = map { pollers(@$_, @port, after => $first) } (
        [1, '/all', fresh => 1], [1, '/all', limit => 3],
        [2, '/all', leave => 1]);
    my $one = pollers(1, '/c/b', @port, after => $first, fresh => 1);
    my $publishers = publishers(3, \@paths, @port, pause => 0.005);
    my $client = SSETestPoll->new('/all', @port, id => $first);
    my @got = map { [$client->next(wait => 20)] } 1 .. POLLS;
    my $published = $publishers->stop;
    ok t_cmp($client->polls, POLLS, 'so many polls are answered');
    ok t_cmp($client->connections <= 1 + POLLS / 100, 1, 'over '
             . $client->connections . ' connection');
    ok t_cmp((grep { !@$_ } @got) + 0, 0, 'each with something');
    my @ids = map { $_->{id} } @{ $published->{events} };
    my $last = $ids[-1];
    while ($client->last_id < $last) {
        push @got, [$client->next(wait => 2)];
        last if !@{ $got[-1] };
    }
    my %path = map { $_->{id} => $_->{path} } @{ $published->{events} };
    ok t_cmp(join("\n", wrong_ones(\@ids, { got => [map { $_->{id} }
             map { @$_ } @got] })), '', 'with each of ' . @ids . ' events once');
    ok t_cmp((grep { ($path{$_->{id}} // '') ne "/c/$_->{channel}" }
              map { @$_ } @got) + 0, 0, 'which says its channel');
    $client->close;

    my @results = map { $_->finish($last, slowly(20)) } @all;
    ok t_cmp(join("\n", wrong_ones(\@ids, @results)), '',
             'so have those with new connections, with limit=, that leave');
    my @of_b = map { $_->{id} } grep { $_->{path} eq '/c/b' }
        @{ $published->{events} };
    my @alone = $one->finish($of_b[-1], slowly(20));
    ok t_cmp(join("\n", wrong_ones(\@of_b, @alone)), '',
             'one on one channel has all of ' . @of_b);
    ok t_cmp(join(' ', map { @{ $_->{refused} } } @results, @alone), '',
             'none was refused');
    ok t_cmp(poll('/all', @port, wait => 0, id => $last)->{events}, [],
             'and there is nothing left');
}

# The one element that a gap is, and its data.
sub gap_of {
    my $answer = shift // {};

    my $event = $answer->{events}[0] // {};
    return ($event->{event} // '') eq 'sse-gap'
        ? JSON::PP->new->decode($event->{data}) : {};
}

# Without the characters that a decoded string may not be compared with.
sub bytes {
    my $text = shift // 'none';

    utf8::encode($text);
    return $text;
}

sub gaps {
    my @ids = map { publish('/c/few', $_, @port)->json->{id} } 1 .. 6;
    my $client = SSETestPoll->new('/c/few', @port, id => $ids[0]);
    my @events = $client->next(wait => 20);
    ok t_cmp($events[0]{event}, 'sse-gap', 'what is no longer kept is told');
    ok t_cmp(JSON::PP->new->decode($events[0]{data}),
             { after => $ids[0], oldest => $ids[3] }, 'as on a stream');
    ok t_cmp(texts(@events[1 .. $#events]), '4 5 6', 'then what is kept');
    ok t_cmp($client->last_id, $ids[5], 'and where it ends');
    ok t_cmp([$client->next(wait => 0)], [], 'it is told once');
    ok t_cmp($client->connections, 1, 'over one connection');
    $client->close;
    # With an id of its own replay is not asked for; nor is it without one.
    my $answer = poll('/c/few', @port, wait => 0, id => $ids[4]);
    ok t_cmp(texts(@{ $answer->{events} }), '6', 'an id that is kept: no gap');
}

# At once, although it could wait; and the next poll can go on from there.
sub garbage_ids {
    publish('/c/ids', 'x', @port);
    for my $row (@ids) {
        my($query, $text) = @$row;
        my $answer = poll("/c/ids?last-event-id=$query", @port, wait => 25);
        my $gap = gap_of($answer);
        ok t_cmp(bytes($gap->{after}), $text, "$query: a gap says the id");
        ok t_cmp($gap->{oldest} // '', qr/^\d+$/, 'what is kept');
        my @rest = @{ ($answer // {})->{events} // [] };
        shift @rest;
        ok t_cmp(texts(@rest), 'x', 'and has it');
        ok t_cmp(($answer // {})->{last} // '', qr/^\d+$/, 'the id to go on');
        my $next = poll('/c/ids', @port, wait => 0, id => $answer->{last});
        ok t_cmp(($next // {})->{events}, [], 'from which there is no gap');
    }
}

sub waits {
    my $began = time;
    my @polls = map {
        [@$_, open_poll('/c/soon', @port, headers => { Prefer => $_->[0] })]
    } @waits;
    for (@polls) {
        my($prefer, $applied, $poll) = @$_;
        my $name = length $prefer > 30 ? substr($prefer, 0, 30) : $prefer;
        ok t_cmp($poll->status, 200, "Prefer: $name");
        ok t_cmp($poll->header('Preference-Applied'), $applied,
                 'what is applied');
        ok t_cmp((answer($poll) // {})->{events}, [], 'an answer');
        $poll->close;
    }
    my $took = time - $began;
    ok t_cmp($took < slowly(10), 1, "none waited longer: $took s");
    $began = time;
    my $poll = open_poll('/c/soon', @port);
    ok t_cmp((answer($poll) // {})->{events}, [], 'without a word it waits');
    $took = time - $began;
    ok t_cmp($took >= 0.85, 1, "for as long as SSEPollWait says: $took s");
    $poll->close;
}

sub limits {
    for my $limit (@limits) {
        my $answer = request('GET', "/c/limit?limit=$limit", @port,
                             headers => { Accept => 'application/json' });
        ok t_cmp($answer->code, 400, "limit=$limit");
        ok t_cmp(($answer->json // {})->{error} // '', qr/limit.*10000/,
                 'the words tell what may be');
    }
    my $client = SSETestPoll->new('/c/limit', @port);
    $client->next(wait => 0);
    my $last = $client->last_id;
    my @ids = map { publish('/c/limit', $_, @port)->json->{id} } 1 .. 7;
    my @got = map { texts($client->next(wait => 20, limit => 3)) } 1 .. 3;
    ok t_cmp("@got[0, 1]", '1 2 3 4 5 6', 'three at a time');
    ok t_cmp($got[2], '7', 'then the rest');
    ok t_cmp([$client->next(wait => 0, limit => 3)], [], 'then nothing');
    ok t_cmp($client->connections, 1, 'over one connection');
    $client->close;
    for my $limit (1, 10_000) {
        my $answer = poll('/c/limit', @port, limit => $limit, id => $last,
                          wait => 0);
        my $n = $limit < 7 ? $limit : 7;
        ok t_cmp(scalar @{ $answer->{events} }, $n, "limit=$limit");
        ok t_cmp($answer->{last}, $ids[$n - 1], 'and where it ends');
    }
    publish('/c/more', join('', map { "data: $_\n\n" } 1 .. 1200), @port,
            'Content-Type' => 'text/event-stream');
    $client = SSETestPoll->new('/c/more', @port, id => $ids[-1]);
    @got = map { [$client->next(wait => 20)] } 1 .. 2;
    ok t_cmp("@{[map { scalar @$_ } @got]}", '1000 200',
             '1000 where nothing else is said');
    $client->close;
}

sub deleted {
    my $poll = open_poll('/c/gone', @port, wait => 25);
    $poll->head;
    request('DELETE', '/c/gone', @port);
    my $answer = answer($poll);
    ok t_cmp($answer && $answer->{last}, qr/^\d+$/,
             'its channel is deleted: an answer at once');
    publish('/c/gone', 'new', @port);
    $answer = answer(open_poll('/c/gone', @port, wait => 25, on => $poll,
                               id => $answer->{last}));
    ok t_cmp(texts(@{ $answer->{events} }), 'new', 'and the next one goes on');
    $poll->close;
}
