# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A program that all subscribers of a channel share: one process for all of
# them, whatever child they are in; what it writes is in the channel's history;
# it outlives its last subscriber a little.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestFeed;
use SSETestServer;
use Time::HiRes qw(sleep time);

my $mpm = $ENV{SSE_MPM} // '';
# A child of prefork has one stream.
my $clients = $mpm eq 'prefork' ? 20 : 50;

my(@paths, @lasting);
my @tests = (\&one_for_all, \&resumed, \&lingers, \&taken_by_hand, \&events,
             \&polled, \&refused, \&ends_by_itself, \&of_a_channel, \&floods);
plan tests => 62, need_module('mod_sse');
$_->() for @tests;
ok no_streams();
end_feed($_) for @lasting;
ok eventually { !grep { running_pids($_) } @paths };

sub new_path {
    my $path = feed_path(@_);
    push @paths, $path;
    return $path;
}

# Of a program that nobody's absence ends, however slow the machine is: it is
# ended in the end.
sub lasting_path {
    my $path = new_path(@_);
    push @lasting, $path;
    return $path;
}

sub one_for_all {
    my $path = new_path('count');

    my @streams = subscribe_widely($path, $clients);
    my @got = map { [numbers_of($_, 20)] } @streams;
    ok t_cmp(scalar(grep { @$_ == 20 } @got), scalar(@streams),
             'all have lines');
    ok t_cmp((grep { $_ } map { first_gap(@$_) } @got)[0] // '', '',
             'all, in order');
    ok t_cmp(scalar(feed_pids($path)), 1, 'of one process');
    ok eventually { (server_status()->{commands} // 0) == 1 };
    ok t_cmp(children_with($path) > 1, 1, 'in several children');
    # What one has, all have.
    my @last = map { (numbers_of($_, 30))[-1] } @streams;
    ok t_cmp(scalar(grep { $_ } @last), scalar(@streams), 'and all go on');
    $_->close for @streams;
    ok eventually { !running_pids($path) };
}

sub resumed {
    my $path = new_path('count');

    my $other = subscribe($path);
    my $stream = subscribe($path);
    my @events = map { $stream->next_event } 1 .. 10;
    $stream->close;
    sleep 0.3;
    my $again = open_stream($path,
                            headers => { 'Last-Event-ID' => $events[-1]{id} });
    my @numbers = ((map { $_->{data} } @events), numbers_of($again, 80));
    ok t_cmp(first_gap(@numbers), '', 'a client comes back and misses nothing');
    ok t_cmp(scalar(@numbers), 90);
    $_->close for $other, $again;
}

sub lingers {
    my $path = lasting_path('steady');

    my $stream = subscribe($path);
    my @numbers = numbers_of($stream, 10);
    my $id = $stream->next_event->{id};
    $stream->close;
    ok no_streams();
    $stream = open_stream($path, headers => { 'Last-Event-ID' => $id });
    my @more = numbers_of($stream, 200);
    ok t_cmp(first_gap($numbers[-1] + 1, @more), '',
             'who comes back in time misses nothing');
    ok t_cmp(scalar(@more), 200);
    ok t_cmp(scalar(feed_pids($path)), 1, 'it is the same process');
    $stream->close;

    $path = new_path('count');
    $stream = subscribe($path);
    ok t_cmp((numbers_of($stream, 1))[0], 1, 'another program');
    $stream->close;
    ok eventually { !running_pids($path) };
    $stream = subscribe($path);
    ok t_cmp((numbers_of($stream, 1))[0], 1, 'later it is another one');
    ok t_cmp(scalar(feed_pids($path)), 2);
    $stream->close;
}

sub taken_by_hand {
    my $path = lasting_path('kept');

    my $stream = subscribe($path);
    hand($path, "a\nb\n\nd");
    ok t_cmp(join('|', numbers_of($stream, 3)), 'a|b|', 'an empty line is one');
    hand($path, "\xff\x00e\r\n");
    ok t_cmp((numbers_of($stream, 1))[0], "d\xef\xbf\xbd\xef\xbf\xbde",
             'what is no text is replaced');
    my $second = open_stream($path);
    ok t_cmp(join('|', numbers_of($second, 2)), "|d\xef\xbf\xbd\xef\xbf\xbde",
             'SSEReplay');
    hand($path, ('x' x 2500) . "\nend\n");
    my @pieces = numbers_of($stream, 4);
    ok t_cmp(join(' ', map { length } @pieces), '1000 1000 500 3',
             'a line that is too long becomes several events');
    # Once a minute: another test file may have had it said.
    ok eventually { whole_log() =~ /longer than SSEMaxEventSize/ };
    # A rest that waits while nobody is there.
    hand($path, 'half ');
    sleep 0.2;
    $_->close for $stream, $second;
    ok no_streams();
    $stream = subscribe($path);
    hand($path, "whole\n");
    my @lines = numbers_of($stream, 3);
    ok t_cmp($lines[-1], 'half whole', 'half a line waits for its rest');
    ok t_cmp(scalar(feed_pids($path)), 1);
    my $head = request('HEAD', $path);
    ok t_cmp($head->code, 200);
    ok t_cmp($head->header('Content-Type'), qr{^text/event-stream});
    ok t_cmp(request('DELETE', $path)->code, 405, 'nobody deletes it');
    ok t_cmp(publish($path, 'x')->code, 405, 'or publishes by this URL');
    $stream->close;
}

sub events {
    my $path = new_path('events');

    my $stream = subscribe($path);
    my @events = map { $stream->next_event } 1 .. 5;
    ok t_cmp(scalar(grep { $_ && $_->{event} eq 'tick' } @events), 5,
             'events of a type');
    ok t_cmp(first_gap(map { $_->{data} } @events), '');
    ok t_cmp(scalar(grep { $_->{id} =~ /^\d+$/ } @events), 5,
             'with ids of the store');
    $stream->close;
}

sub polled {
    my $path = lasting_path('kept');
    my %json = (Accept => 'application/json');

    my $now = request('GET', $path, headers => { %json, Prefer => 'wait=0' });
    ok t_cmp($now->code, 200, 'a long poll');
    ok t_cmp(scalar @{ $now->json->{events} }, 0);
    hand($path, "by poll\n");
    my $poll = request('GET', $path,
                       headers => { %json,
                                    'Last-Event-ID' => $now->json->{last} });
    my($event) = @{ $poll->json->{events} };
    ok t_cmp($event->{data}, 'by poll');
    ok t_cmp($event->{channel}, $path);
    ok t_cmp($event->{id}, $poll->json->{last});
    ok t_cmp(scalar(feed_pids($path)), 1, 'of one process');
}

sub refused {
    my($path, $other) = map { new_path('limited') } 1 .. 2;

    my $stream = subscribe($path);
    ok t_cmp(request('GET', $other)->code, 429);
    ok t_cmp(request('GET', $path)->code, 429);
    ok t_cmp(scalar(() = feed_pids($other)), 0, 'who gets no stream starts nothing');
    ok t_cmp(scalar(numbers_of($stream, 10)), 10);
    $stream->close;
}

sub ends_by_itself {
    my $path = new_path('end');

    my $start = time;
    my $stream = subscribe($path);
    my @lines = numbers_of($stream, 6);
    my $took = time - $start;
    ok t_cmp(join(' ', @lines), 'first last first last first last',
             'it is started again and again');
    ok t_cmp($took >= 2.9, 1, 'after 1 s, then 2 s');
    ok t_cmp(scalar(feed_pids($path)) >= 3, 1);
    ok error_line(qr/feed\.pl .*\Q$path\E .*exit status 3; .*again in 1\.0 s/);
    ok error_line(qr/feed\.pl .*\Q$path\E .*exit status 3; .*again in 2\.0 s/);
    ok error_line(qr/the end is near/);
    $stream->close;
    ok no_streams();
    # It would be after 4 s, or 8 if the server was late to know; and so on.
    my $stays = eventually {
        my $n = feed_pids($path);
        sleep 2 ** ($n - 1) + 1;
        feed_pids($path) == $n;
    };
    ok t_cmp($stays, 1, 'for nobody it is not');
}

# The channel is one as any other.
sub of_a_channel {
    my $path = new_path('hand');
    (my $also = $path) =~ s/shared/also/;

    my $stream = subscribe($path);
    my $reader = subscribe($also);
    hand($path, "by hand\n");
    ok t_cmp((numbers_of($reader, 1))[0], 'by hand', 'other URLs have it, too');
    ok t_cmp(publish($also, 'by HTTP')->code, 200);
    ok t_cmp(join('|', numbers_of($stream, 2)), 'by hand|by HTTP',
             'and it has what others publish');
    ok t_cmp(request('DELETE', $also)->code, 200, 'it is deleted');
    ok $stream->wait_end(10);
    $reader->close;
    ok eventually { !running_pids($path) };
}

sub floods {
    my $path = new_path('flood');

    my $stream = subscribe($path);
    my $slow = subscribe("/events/beside-$$");
    my @took;
    for my $n (1 .. 10) {
        my $start = time;
        my $answer = publish("/events/beside-$$", $n);
        push @took, $answer->code == 200 ? time - $start : 1000;
    }
    # Should the machine have stood still, then not for most of these.
    @took = sort { $a <=> $b } @took;
    ok t_cmp($took[-1] < 1000 && $took[5] < 5, 1,
             'a program that floods leaves others their turn');
    ok t_cmp(join(' ', numbers_of($slow, 10)), join(' ', 1 .. 10));
    my $owner = eventually { owner_of($path) };
    my($size) = map { /^VmRSS:\s+(\d+)/ ? $1 : () } status_of($owner);
    ok t_cmp($size < 1_500_000, 1, "memory of the child: $size KB");
    $_->close for $stream, $slow;
    ok eventually { !running_pids($path) };
}

sub status_of {
    open my $in, '<', "/proc/$_[0]/status" or return ();
    return <$in>;
}
