# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Whose streams are members too: those of C modules, over HTTP/2, that poll; a
# store that does not answer; and first and last subscribers, told once for all
# children.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestH2;
use SSETestHold;
use SSETestHook;
use SSETestPresence;

my $has_h2 = !have_apache_mpm('prefork');

plan tests => 35 + ($has_h2 ? 11 : 0),
    need need_module('mod_sse', 'mod_sse_guide', 'mod_sse_close',
                     'mod_authn_anon', 'mod_headers', 'mod_http2'),
    { 'cannot compile hold_store.c' => SSETestHold::can_hold() };

my $hook = SSETestHook->new;
my $url = $hook->url('/told');
my $protocols = $has_h2 ? 'Protocols h2c http/1.1' : '';
my $httpd = presence_httpd(<<"EOI", c_modules => [qw(sse_guide sse_close)], modules => ['headers', $has_h2 ? 'http2' : ()]);
$protocols
<Location "/room">
    SetHandler guide-room
    SSEPresence On
</Location>
<Location "/cm">
    SetHandler sse-close-app
    SSEPresence On
</Location>
<LocationMatch "^/guide/|^/later">
    SetHandler sse
    SSEPresence On
</LocationMatch>
<Location "/asked">
    SetHandler sse
    SSEAuthorize "/auth?%{QUERY_STRING}"
    SSEPresence On
</Location>
<Location "/auth">
    SetHandler sse-status
    Header set SSE-Channel room
    Header set SSE-User the%%20app
    Require expr %{QUERY_STRING} !~ /denied/
</Location>
<LocationMatch "^/hooks/">
    SetHandler sse
    SSEHook $url first last
    SSEPresenceGrace 300ms
</LocationMatch>
<LocationMatch "^/both/">
    SetHandler sse
    SSEPublish On
    SSEPresence Count
    SSEPresenceGrace 20s
    SSEHook $url first last
    SSEMaxAge 300ms
</LocationMatch>
<Location "/both/stay">
    SSEChannel /both/x
    SSEMaxAge 0
</Location>
EOI
my $vars = Apache::Test::config()->{vars};

of_c_modules();
of_applications();
over_http2() if $has_h2;
held_store();
first_and_last();
first_and_last_again();

# A stream of sse_start() is on the channels that it subscribes to.
sub of_c_modules {
    my $look = look_on('/guide/room');
    told($look, 'presence');
    my $stream = open_stream('/room?ann', port => $httpd->port);
    ok t_cmp($stream->status, 200, 'a stream of a C module');
    my $join = told($look, 'join');
    ok t_cmp($join && $join->{json}{channel}, '/guide/room',
             'is on a channel when it subscribes');
    $stream->reset;
    my $leave = told($look, 'leave');
    ok t_cmp($leave && "$leave->{json}{stream} $leave->{json}{reason}",
             "$join->{json}{stream} reset", 'and leaves it with its end');

    my $hold = "$vars->{t_logs}/close-hold";
    open my $fh, '>', $hold or die "$hold: $!";
    close $fh;
    $look = look_on('/later');
    told($look, 'presence');
    $stream = open_stream('/cm?k=p&rsub=/later&runsub=/later',
                          port => $httpd->port);
    ok t_cmp($stream->status, 200, 'another one');
    ok t_cmp(!!($join = told($look, 'join')), 1, 'subscribes');
    unlink $hold;
    $leave = told($look, 'leave');
    ok t_cmp($leave && $leave->{json}{stream}, $join && $join->{json}{stream},
             'and leaves when it does not want it any more');
    ok t_cmp($leave && $leave->{json}{reason}, 'server', 'as the server wants');
    ok t_cmp($stream->is_ended, '', 'with its stream open');
    $stream->reset;
}

# Whoever the application says it is, on the channels that it says, for those
# that look on as well.
sub of_applications {
    my $look = look_on('/asked');
    my $first = told($look, 'presence');
    ok t_cmp($first && $first->{json}{channel}, 'room',
             'one looks on at the channel that the application names');
    my $stream = visit('/asked');
    my $join = told($look, 'join');
    ok t_cmp($join && "$join->{json}{channel} $join->{json}{user}",
             'room the app', 'where its user comes');
    ok t_cmp(names(who_is_on('room')), 'the app', 'and is');
    ok t_cmp(request('GET', '/asked?presence&denied',
                     port => $httpd->port)->code, 403,
             'where it refuses nobody looks on');
    $stream->reset;
}

# A client that gives little window has four streams on a connection that stay,
# as each holds a thread, and one more polls: it is on the channel as well, also
# while it is away.
sub over_http2 {
    my $look = look_on('/p/h2');
    told($look, 'presence');
    my $h2 = SSETestH2->new('127.0.0.1:' . $httpd->port, plain => 1,
                            window => 0);
    my @ids;
    my %joined;
    for my $n (1 .. 5) {
        push @ids, $h2->get('/p/h2');
        $h2->wait_for($ids[-1], qr/retry/, 10);
        my $join = told($look, 'join');
        ok t_cmp($join && !$joined{ $join->{json}{stream} }++, 1,
                 "stream $n of a connection");
    }
    ok t_cmp($h2->wait_end($ids[4], 10), 1, 'one too many polls');
    my $doc = who_is_on('/p/h2');
    ok t_cmp($doc->{streams}, 5, 'but has not left');
    $h2->reset_stream($ids[0]);
    my $leave = told($look, 'leave');
    ok t_cmp($leave && $leave->{json}{reason}, 'reset', 'one is reset');
    ok t_cmp(delete $joined{ $leave->{json}{stream} // '' }, 1, 'and leaves');
    $h2->reset;
    my %reasons;
    while (%joined && ($leave = told($look, 'leave'))) {
        delete $joined{ $leave->{json}{stream} };
        ++$reasons{ $leave->{json}{reason} };
    }
    ok t_cmp(join(' ', keys %joined), '', 'with the connection all leave');
    ok t_cmp($reasons{poll}, 1, 'who does not poll any more, too');
}

# While another process has the store's lock, streams open and end.
sub held_store {
    my $look = look_on('/u/held', user => 'looker');
    told($look, 'presence');
    my $ann = visit('/u/held', 'ann');
    my $joined = told($look, 'join');
    my $hold = SSETestHold->new($httpd->{store});
    my $bob = visit('/u/held', 'bob');
    ok t_cmp($bob->status, 200, 'a stream opens while the store is held');
    $ann->reset;
    ok t_cmp(!!error_free(qr/stream \Q$joined->{json}{stream}\E ended: reset/), 1,
             'another one ends');
    ok t_cmp(join(' ', map { $_->{user} }
                 @{ who_is_on('/u/held')->{members} }), 'ann',
             'the store does not know yet');
    undef $hold;
    my %told;
    for (1 .. 2) {
        my $event = $look->next_event(10) or last;
        my $json = JSON::PP->new->utf8->decode($event->{data});
        $told{"$event->{event} $json->{user}"} = 1;
    }
    ok t_cmp(join(', ', sort keys %told), 'join bob, leave ann',
             'afterwards it does, and others are told');
    ok t_cmp(names(who_is_on('/u/held')), 'bob', 'as it is');
}

sub error_free {
    my($re) = @_;

    return eventually { scalar $httpd->lines($re) };
}

# In the children together, where SSEPresence is off.
sub first_and_last {
    my @streams = map { visit('/hooks/x') } 1 .. 8;
    my $first = $hook->wait_told(type => 'first');
    ok t_cmp($first && join(' ', @{ $first->{channels} }), '/hooks/x',
             'a channel has its first subscriber');
    ok t_cmp(eventually { who_is_on('/hooks/x')->{streams} == 8 }, 1,
             'and others');
    ok t_cmp(exists who_is_on('/hooks/x')->{members}, '', 'not listed');
    ok t_cmp(request('GET', '/hooks/x?presence', port => $httpd->port)->code,
             404, 'nor looked at');
    pop(@streams)->reset while @streams > 1;
    ok t_cmp(eventually { who_is_on('/hooks/x')->{streams} == 1 }, 1,
             'all but one leave');
    ok t_cmp(scalar(() = $hook->told(type => 'last')), 0, 'which is not told');
    $streams[0]->close;
    my $last = $hook->wait_told(type => 'last');
    ok t_cmp($last && join(' ', @{ $last->{channels} }), '/hooks/x',
             'the last one leaves');
    my $next = visit('/hooks/x');
    ok t_cmp(eventually { 2 == (() = $hook->told(type => 'first')) }, 1,
             'and a next one is the first again');
    my %ids = map { $_->{id} => 1 } $hook->told(type => 'first');
    ok t_cmp(scalar keys %ids, 2, 'each by an id of its own');
    ok t_cmp(scalar(() = $hook->told(type => 'last')), 1, 'the last as well');
    $next->reset;
}

# Who is back in time was never away.
sub first_and_last_again {
    my $stream = visit('/both/x');
    my $told = sub {
        my($type) = @_;
        return grep { "@{ $_->{channels} }" eq '/both/x' } $hook->told(type => $type);
    };
    ok t_cmp(eventually { scalar $told->('first') }, 1, 'another channel');
    for (1 .. 2) {
        ok t_cmp($stream->wait_end(10), 1, 'its stream is too old');
        eventually { who_is_on('/both/x')->{streams} == 1 };
        # In the end through one that is not too old when it is deleted
        $stream = visit($_ == 1 ? '/both/x' : '/both/stay');
    }
    # Who has an event has joined.
    publish('/both/x', 'x', port => $httpd->port);
    ok t_cmp(($stream->next_event // {})->{data}, 'x', 'who is back has events');
    ok t_cmp(request('DELETE', '/both/x', port => $httpd->port)->code, 200,
             'the channel is deleted');
    $stream->wait_end(10);
    ok t_cmp(eventually { scalar $told->('last') } ? 1 : 0, 1, 'the last one');
    ok t_cmp(scalar(() = $told->('first')), 1, 'who came once');
    ok t_cmp(join('', $httpd->complaints(qr/HTTP\/2 is on|client denied by/)),
             '', 'nothing is logged');
}
