# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEPresence: who is on a channel, for those who look on and for sse-status.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestPresence;

plan tests => 61, need_module('mod_sse', 'mod_authn_anon');

my $httpd = presence_httpd(<<'EOI');
<Location "/count/">
    SetHandler sse
    SSEPresence Count
</Location>
<Location "/two">
    SetHandler sse
    SSEChannel /p/one /p/two
    SSEPresence On
</Location>
<Location "/back/">
    AuthType Basic
    AuthName anybody
    AuthBasicProvider anon
    Anonymous *
    Anonymous_MustGiveEmail Off
    Anonymous_VerifyEmail Off
    Require valid-user
    SetHandler sse
    SSEPresence On
    SSEPresenceGrace 20s all
</Location>
<Location "/back/soon">
    SSEChannel /back/x
    SSEPresenceGrace 300ms all
</Location>
<Location "/aged/">
    SetHandler sse
    SSEPresence On
    SSEPresenceGrace 20s
    SSEMaxAge 300ms
</Location>
EOI
my @port = (port => $httpd->port);

off();
coming_and_going();
resuming();
deleting();
several();
counting();
names_as_they_are();
grace_all();
max_age();
ok t_cmp(join('', $httpd->complaints), '', 'nothing is logged');

sub off {
    for my $path ('/c/x', '/count/x') {
        my $answer = request('GET', "$path?presence", @port);
        ok t_cmp($answer->code, 404, "$path: nobody may look on");
        ok t_cmp($answer->json->{error}, qr/SSEPresence On/, 'and why');
    }
    my $answer = request('GET', '/u/x?presence', @port);
    ok t_cmp($answer->code, 401, 'who may not subscribe may not look on');
    $answer = request('HEAD', '/p/x?presence', @port);
    ok t_cmp($answer->code, 200, 'HEAD');
    ok t_cmp($answer->header('Content-Type'), 'text/event-stream', 'as of GET');
    $answer = request('GET', '/status?channel=%01', @port);
    ok t_cmp($answer->code, 400, 'a channel of no name');
}

sub coming_and_going {
    my $look = look_on('/u/a', user => 'looker');
    my $first = told($look, 'presence');
    ok t_cmp($first && $first->{data},
             '{"channel":"/u/a","streams":0,"users":0,"members":[]}',
             'at first nobody is there, not even who looks on');
    my $ann = visit('/u/a', 'ann');
    my $join = told($look, 'join');
    my $json = $join->{json} // {};
    ok t_cmp("$json->{channel} $json->{user}", '/u/a ann', 'somebody comes');
    ok t_cmp(abs($json->{time} - time) < 20, 1, 'with the time');
    ok t_cmp($join->{id} > $first->{id}, 1, 'as an event with an id');
    my $tab = visit('/u/a', 'ann');
    my $id = $json->{stream};
    ok t_cmp(($join = told($look, 'join')) && $join->{json}{user}, 'ann',
             'another tab');
    my $doc = who_is_on('/u/a');
    ok t_cmp("$doc->{streams} $doc->{users} " . names($doc), '2 1 ann ann',
             'is another stream of the same user');
    ok t_cmp($doc->{members}[0]{stream}, $id, 'known by the id of its stream');
    ok t_cmp(abs($doc->{members}[0]{since} - $json->{time}) < 0.0001, 1,
             'and since when');
    my $other = look_on('/u/a', user => 'other');
    my $now = told($other, 'presence');
    ok t_cmp(names($now->{json}), 'ann ann', 'who comes later sees both');
    $ann->reset;
    my $leave = told($look, 'leave');
    ok t_cmp($leave && "$leave->{json}{stream} $leave->{json}{user} "
                 . $leave->{json}{reason}, "$id ann reset", 'one leaves');
    ok t_cmp(($leave = told($other, 'leave')) && $leave->{json}{stream}, $id,
             'and all are told');
    $tab->close;
    ok t_cmp(($leave = told($other, 'leave')) && $leave->{json}{reason},
             'client', 'the other one, too');
    ok t_cmp(who_is_on('/u/a')->{streams}, 0, 'and nobody is left');
}

sub resuming {
    my $look = look_on('/p/r');
    my $first = told($look, 'presence');
    my $one = visit('/p/r');
    my $join = told($look, 'join');
    ok t_cmp($join && $join->{json}{user}, undef, 'who has no name');
    $look->reset;
    my $two = visit('/p/r');
    eventually { who_is_on('/p/r')->{streams} == 2 };
    $look = look_on('/p/r', headers => { 'Last-Event-ID' => $first->{id} });
    my $again = told($look, 'join');
    ok t_cmp($again && $again->{id}, $join->{id},
             'who comes back with the first id misses nothing');
    my $next = told($look, 'join');
    ok t_cmp($next && $next->{json}{stream} ne $join->{json}{stream}, 1,
             'and is not told again who is there');
    my $later = look_on('/p/r', headers => { 'Last-Event-ID' => $next->{id} });
    $one->reset;
    ok t_cmp((told($later, 'leave') // {})->{json}{stream},
             $join->{json}{stream}, 'with a later one only what came later');
    my $lost = look_on('/p/r', headers => { 'Last-Event-ID' => '17' });
    my $gap = $lost->next_event(10);
    ok t_cmp($gap && $gap->{event}, 'sse-gap', 'an id that is lost: a gap');
    my $fresh = told($lost, 'presence');
    ok t_cmp($fresh && $fresh->{json}{streams}, 1, 'and who is there now');
    ok t_cmp($fresh->{id} > $next->{id}, 1, 'with an id of its own');
    $two->reset;
    ok t_cmp((told($lost, 'leave') // {})->{json}{stream},
             $next->{json}{stream}, 'from where it goes on');
}

sub deleting {
    my $look = look_on('/p/d');
    told($look, 'presence');
    my $stream = visit('/p/d');
    told($look, 'join');
    ok t_cmp(request('DELETE', '/p/d', @port)->code, 200, 'a DELETE');
    ok t_cmp($stream->wait_end(10), 1, 'ends the streams');
    my $leave = told($look, 'leave');
    ok t_cmp($leave && $leave->{json}{reason}, 'server', 'which leave');
    $stream = visit('/p/d');
    ok t_cmp(!!told($look, 'join'), 1, 'who looks on stays');
}

sub several {
    my $one = visit('/p/one');
    eventually { who_is_on('/p/one')->{streams} == 1 };
    my $look = look_on('/two');
    my $first = told($look, 'presence');
    my $second = told($look, 'presence');
    ok t_cmp("$first->{json}{channel} $first->{json}{streams}", '/p/one 1',
             'each channel has its own');
    ok t_cmp("$second->{json}{channel} $second->{json}{streams}", '/p/two 0',
             'one after the other');
    ok t_cmp(defined $first->{id}, '', 'the first has no id');
    ok t_cmp($second->{id} > 0, 1, 'the last one has');
    my $both = visit('/two');
    my %told = map { $_->{json}{channel} => $_->{json}{stream} }
        grep { $_ } map { told($look, 'join') } 1 .. 2;
    ok t_cmp(join(' ', sort keys %told), '/p/one /p/two',
             'a stream is on all of its channels');
    ok t_cmp($told{'/p/one'}, $told{'/p/two'}, 'by one id');
    $both->reset;
    %told = map { $_->{json}{channel} => 1 }
        grep { $_ } map { told($look, 'leave') } 1 .. 2;
    ok t_cmp(join(' ', sort keys %told), '/p/one /p/two', 'and leaves all');
}

sub counting {
    my $stream = visit('/count/x');
    ok t_cmp(eventually { who_is_on('/count/x')->{streams} == 1 }, 1, 'counted');
    my $doc = who_is_on('/count/x');
    ok t_cmp(exists $doc->{members}, '', 'but not listed');
    ok t_cmp($doc->{users}, 0, 'without a user');
    $stream->reset;
    ok t_cmp(eventually { who_is_on('/count/x')->{streams} == 0 }, 1, 'and gone');
}

# Names are others' text.
sub names_as_they_are {
    my $look = look_on('/u/n', user => 'looker');
    told($look, 'presence');
    for (['"<b>\\', '"<b>\\'], ["caf\xc3\xa9", "caf\x{e9}"],
         ["bad\xff\xfe", "bad\x{fffd}\x{fffd}"]) {
        my($given, $seen) = @$_;
        my $stream = visit('/u/n', $given);
        my $join = told($look, 'join');
        ok t_cmp($join && $join->{json}{user}, $seen, 'any name is JSON');
        $stream->reset;
        told($look, 'leave');
    }
    my $long = 'x' x 3000;
    my $stream = visit('/u/n', $long);
    my $join = told($look, 'join');
    ok t_cmp(length $join->{json}{user}, 500, 'a long one is cut');
}

# Nobody leaves whose time of grace runs.
sub is_away {
    my($path) = @_;

    return eventually { grep { $_->{away} } @{ who_is_on($path)->{members} } };
}

sub grace_all {
    my $look = look_on('/back/x', user => 'looker');
    told($look, 'presence');
    my $stream = visit('/back/x', 'ann');
    my $id = (told($look, 'join') // {})->{json}{stream};
    $stream->reset;
    ok t_cmp(is_away('/back/x'), 1, 'who has left may come back');
    $stream = visit('/back/soon', 'ann');
    my $bob = visit('/back/x', 'bob');
    my $event = told($look, 'join');
    ok t_cmp($event && $event->{json}{user}, 'bob',
             'who is back never left: the next is somebody else');
    ok t_cmp(eventually { !grep { $_->{away} }
                 @{ who_is_on('/back/x')->{members} } }, 1, 'and is not away');
    ok t_cmp(who_is_on('/back/x')->{streams}, 2, 'both are there');
    $stream->close;
    my $leave = told($look, 'leave');
    ok t_cmp($leave && "$leave->{json}{stream} $leave->{json}{reason}",
             "$id client", 'who does not come back leaves by his first id');
    ok t_cmp(who_is_on('/back/x')->{streams}, 1, 'when the grace is over');
}

sub max_age {
    my $stream = visit('/aged/x');
    ok t_cmp(eventually { who_is_on('/aged/x')->{streams} == 1 }, 1, 'there');
    my $id = who_is_on('/aged/x')->{members}[0]{stream};
    for my $time ('its stream has its age', 'once more') {
        ok t_cmp($stream->wait_end(10), 1, $time);
        ok t_cmp(is_away('/aged/x'), 1, 'he is expected back');
        $stream = visit('/aged/x');
    }
    my $doc = who_is_on('/aged/x');
    ok t_cmp("$doc->{streams} $doc->{members}[0]{stream}", "1 $id",
             'and is the one that he was');
}
