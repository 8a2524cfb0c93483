# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Streams over HTTP/2: one of them reset, its siblings alive; the connection's
# end; ends of ours.  Of clients that give little window, so that each stream
# holds a thread, and of those that give as much as browsers do.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestH2;
use SSETestServer;
use Time::HiRes qw(sleep time);

plan tests => 79, need need_module('mod_sse', 'mod_ssl', 'mod_http2'),
    { 'mod_http2 needs a threaded MPM' => ($ENV{SSE_MPM} // '') ne 'prefork' };

my $module = 'mod_sse_ssl';
my $slow = $ENV{SSE_SAN} ? 5 : 1;
my $first = qr/\Aretry: 2000\n\n/;

my $window; # what clients add to that of their connection
for (0, 10 << 20) {
    $window = $_;
    $_->() for (\&one_reset, \&many_resets, \&connection_ends, \&ends_of_ours,
                \&early_resets, \&restart);
}
ok no_streams();

sub client { return SSETestH2->new($module, window => $window) }

sub path { return "/stream/$_[0]-$window-$test_id" }

# The streams of a channel that were opened.  Their first bytes come a little
# before: one whose client leaves in between never was.
sub opened {
    my($path) = @_;

    return map { /stream (\S+) open on \Q$path\E$/m ? $1 : () }
        error_lines(qr/ open on \Q$path\E$/m);
}

sub are_open {
    my($path, $n) = @_;

    return eventually(sub { $n == (() = opened($path)) });
}

# How many of these have ended so.  mod_http2 may log a request only when
# something else happens on its connection.
sub ends {
    my($path, $reason) = @_;
    my %on = map { $_ => 1 } opened($path);

    return scalar grep { /stream (\S+) ended: / && $on{$1} }
        error_lines(qr/ ended: $reason,/);
}

sub lines {
    my($path, $reason) = @_;

    return scalar access_lines(
        qr/"GET \Q$path\E HTTP\/2.* close=$reason .*channel=\Q$path\E /);
}

sub has_event {
    my($h2, $id, $text) = @_;

    return $h2->wait_for($id, qr/^id: \d+\ndata: \Q$text\E\n\n/m, 5);
}

sub one_reset {
    my $path = path('h2-one');
    my $h2 = client();
    my @ids = map { $h2->get("$path-$_") } 1 .. 4;
    ok t_cmp((grep { $h2->wait_for($_, $first, 5) } @ids) + 0, 4,
             'four streams on one connection');
    publish("$path-$_", "to $_") for 1 .. 4;
    ok t_cmp((grep { has_event($h2, $ids[$_ - 1], "to $_") } 1 .. 4) + 0, 4,
             'each has the event of its channel');

    my $began = time;
    $h2->reset_stream($ids[1]);
    my $seen = eventually(sub { ends("$path-2", 'reset') }, 25);
    my $took = time - $began;
    ok t_cmp($seen, 1, 'RST_STREAM is an end, "reset"');
    ok t_cmp($took < 10 * $slow, 1, "seen after $took s");
    publish("$path-$_", "again $_") for 1, 3, 4;
    ok t_cmp((grep { has_event($h2, $ids[$_ - 1], "again $_") } 1, 3, 4) + 0, 3,
             'its siblings live');
    ok t_cmp((grep { ends("$path-$_", '\S+') } 1, 3, 4) + 0, 0,
             'and none of them was told');
    ok t_cmp(eventually(sub { server_status()->{streams} == 3 }), 1,
             'three are counted');

    takes_place($h2, "$path-2");
    $h2->close;
    ok t_cmp(eventually {
        (grep { lines("$path-$_", '(?:client|reset)') } 1, 3, 4) == 3
    }, 1, "the connection's end is that of all of them");
    ok no_streams();
}

# With threads mod_http2 may serve four at a time now, of which one is for pages:
# the new one polls.
sub takes_place {
    my($h2, $path) = @_;

    my $new = $h2->get($path);
    my $polls = !$window || $ENV{SSE_MPM} ne 'event';
    ok $polls ? $h2->wait_end($new, 5) : $h2->wait_for($new, $first, 5);
    my($id) = $h2->body($new) =~ /^id: (\d+)\n/m;
    publish($path, 'new');
    $new = $h2->get($path, 'last-event-id' => $id) if $polls;
    ok t_cmp(has_event($h2, $new, 'new'), 1, 'a new one can take its place');
}

# On connections of their own, as mod_http2 soon serves fewer streams at a time
# to one that resets many.  All of them may be on one child, whose share they do
# not exceed; and those that stay are the oldest.
sub many_resets {
    my $path = path('h2-many');
    my @all = map { client() } 1 .. 4;
    my @kept = map { $_->get("$path-kept") } @all;
    $all[$_]->wait_for($kept[$_], $first, 5) for 0 .. $#all;
    my @ids = map { my $h2 = $_; [map { $h2->get($path) } 1 .. 3] } @all;
    for my $n (0 .. $#all) {
        $all[$n]->wait_for($_, $first, 5) for @{ $ids[$n] };
        $all[$n]->reset_stream(@{ $ids[$n] });
    }
    publish("$path-kept", 'kept');
    ok t_cmp((grep { has_event($all[$_], $kept[$_], 'kept') } 0 .. $#all) + 0,
             scalar @all, 'those beside many that are reset live');
    $_->close for @all;
    ok t_cmp(eventually { lines("$path-kept", '(?:client|reset)') == @all }, 1,
             'until their clients leave');
    # One that is reset while its head is being sent was never open.
    my $logged = qr/"GET \Q$path\E HTTP\/2.* close=(?:reset|-) /;
    ok t_cmp(eventually { access_lines($logged) == 3 * @all }, 1,
             'and all that were reset are logged');
}

sub connection_ends {
    for my $way (['FIN', sub { $_[0]->close }], ['RST', sub { $_[0]->reset }]) {
        my($name, $how) = @$way;
        my $path = path("h2-$name");
        my $h2 = client();
        my @ids = map { $h2->get($path) } 1 .. 3;
        ok t_cmp((grep { $h2->wait_for($_, $first, 5) } @ids) + 0, 3,
                 "$name: three streams");
        are_open($path, 3) or die 'not all are open';
        my $began = time;
        $how->($h2);
        my $seen = eventually(sub { ends($path, '(?:client|reset)') == 3 }, 25);
        my $took = time - $began;
        ok t_cmp($seen, 1, "$name of the connection ends them");
        ok t_cmp($took < 10 * $slow, 1, "$name: seen after $took s");
    }
}

sub ends_of_ours {
    my $h2 = client();
    my $path = "/stream/ends/h2-$window-$test_id";
    my $stays = $h2->get(path('h2-stays'));
    my $id = $h2->get($path);
    ok $h2->wait_for($id, $first, 5);
    publish($path, 'x');
    ok t_cmp(has_event($h2, $id, 'x'), 1, 'SSEMaxAge over HTTP/2');
    ok t_cmp($h2->wait_end($id, 15) && !$h2->is_reset($id), 1,
             'ends the stream in good order');
    ok t_cmp(eventually(sub { ends($path, 'max-age') == 1 }), 1,
             'as "max-age"');
    my @logged = [$path, 'max-age'];

    $path = path('h2-deleted');
    $id = $h2->get($path);
    ok $h2->wait_for($id, $first, 5);
    # Who has had an event has joined: what one that has not is yet to read goes
    # with the history.
    publish($path, 'first');
    has_event($h2, $id, 'first');
    publish($path, 'y');
    request('DELETE', $path);
    ok t_cmp($h2->wait_end($id, 5) && !$h2->is_reset($id), 1,
             'DELETE ends it in good order');
    ok t_cmp($h2->body($id), qr/data: y\n\nretry: \d+\n\n\z/,
             'with what was published, and when to come back');
    ok t_cmp(eventually(sub { ends($path, 'server') == 1 }), 1,
             'as "server"');
    push @logged, [$path, 'server'];

    $path = "/stream/beat/h2-$window-$test_id";
    $id = $h2->get($path);
    ok t_cmp($h2->wait_for($id, qr/\n:\n\n:\n\n/, 5), 1, 'heartbeats');
    ok t_cmp($h2->wait_for($stays, $first, 5) && !$h2->is_ended($stays), 1,
             'the connection is still that of the first');
    $h2->close;
    ok t_cmp(eventually { (grep { lines(@$_) } @logged) == @logged }, 1,
             'all is in the access log');
}

# Reset at once, and soon: as many ends as beginnings.
sub early_resets {
    my $path = path('h2-early');
    for my $delay (0, 0.0005, 0.002, 0.01) {
        my $h2 = client();
        for (1 .. 15) {
            my $id = $h2->get($path);
            sleep $delay if $delay;
            $h2->reset_stream($id);
        }
        $h2->close;
    }
    my $streams = streams_of(10 * $slow, $path);
    my @ends = map { scalar @$_ } values %{ $streams->{$path} };
    ok t_cmp(no_streams(10), 1, 'none of those that were reset early is open');
    ok t_cmp((grep { $_ != 1 } @ends) + 0, 0,
             'each of ' . @ends . ' that were opened has one end');
    my $other = open_stream($path);
    $other->head;
    publish($path, 'z');
    ok t_cmp(($other->next_event(5) // {})->{data}, 'z', 'the server goes on');
}

sub restart {
    my $path = path('h2-restart');
    my $h2 = client();
    my @ids = map { $h2->get($path) } 1 .. 3;
    $h2->wait_for($_, $first, 5) for @ids;
    are_open($path, 3) or die 'not all are open';
    my($pid) = map { stream_pid($_) } opened($path);
    my @old = server_children();
    ok graceful_restart();
    ok t_cmp((grep { $h2->wait_end($_, 5) } @ids) + 0, 3,
             'a graceful restart ends them');
    ok t_cmp((grep { $h2->body($_) =~ /\n\nretry: \d+\n\n\z/ } @ids) + 0, 3,
             'each with the time to come back');
    ok t_cmp(eventually { lines($path, 'shutdown') == 3 }, 1, 'as "shutdown"');
    $h2->close;
    ok t_cmp(eventually(sub { !is_alive($pid) }, 20), 1, 'their child leaves');
    eventually(sub { !grep { is_alive($_) } @old }, 20);
}
