# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Clients that cannot read a burst as fast as it comes.  Who reads anything at
# all has every event and is ended by nobody; who reads nothing is, after the
# time of SSEQueue, or, with "drop", goes on with what is new.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestH2;
use SSETestLoad;
use SSETestServer;
use Time::HiRes qw(sleep time);

my $h2 = ($ENV{SSE_MPM} // '') ne 'prefork';
my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
my @policies = qw(close drop);

plan tests => @policies * @ways * 3 + ($h2 ? 6 : 0) + 22,
    need need_module('mod_sse', 'mod_ssl'),
    { 'mod_http2 is not there' => !$h2 || have_module('mod_http2') };

for my $policy (@policies) {
    burst($policy, @$_) for @ways;
}
burst_without_history();
burst_h2() if $h2;
my $crawler = begin_crawling(); # what takes long goes on meanwhile
stuck_h2() if $h2;
steady_reader();
my $behind = fall_behind();
reads_nothing();
drops(%$behind);
crawls($crawler);
request('DELETE', path('close'));
ok t_cmp(no_streams(slowly(10)), 1, 'no stream is left');

# What is through with is deleted: the store has room for a few bursts only.
my($count, $last_path);
sub path {
    request('DELETE', $last_path) if $last_path;
    return $last_path = path_to_keep(@_);
}

# One that its test deletes.
sub path_to_keep {
    return "/stream/behind/$_[0]/$test_id-" . ++$count;
}

# One POST; the ids.
sub publish_many {
    my($path, $n, $size) = @_;

    my $event = 'data: ' . 'x' x $size . "\n\n";
    my $answer = publish($path, $event x $n,
                         'Content-Type' => 'text/event-stream');
    return @{ ($answer->json // {})->{ids} // [] };
}

# Ids and "gap", up to that id.
sub read_upto {
    my($stream, $last, $wait) = @_;

    my @got;
    while (my $event = $stream->next_event($wait // slowly(10))) {
        push @got, $event->{event} eq 'sse-gap' ? 'gap' : $event->{id};
        last if $got[-1] eq $last;
    }
    return @got;
}

# The same of several streams, which read by turns: nobody waits for another.
sub all_read_upto {
    my($last, @streams) = @_;

    my @got = map { [] } @streams;
    my %reads = map { $_ => 1 } 0 .. $#streams;
    my $end = time + slowly(40);
    while (%reads && time < $end) {
        for my $n (sort keys %reads) {
            push @{ $got[$n] }, read_upto($streams[$n], $last, 0);
            delete $reads{$n} if ($got[$n][-1] // '') eq $last
                || $streams[$n]->is_ended;
        }
        sleep 0.01;
    }
    return @got;
}

# What a list has that another has not, in a few words.
sub difference {
    my($got, $want) = @_;

    for my $n (0 .. ($#$got > $#$want ? $#$got : $#$want)) {
        my($a, $b) = map { $_->[$n] // 'nothing' } $got, $want;
        return "at $n of " . @$want . ": $a, not $b" if $a ne $b;
    }
    return 'none';
}

sub slow_ends {
    my $path = shift;

    return scalar access_lines(qr/close=slow-client .*channel=\Q$path\E /);
}

# 10 MB at once, to clients whose sockets hold little.
sub burst {
    my($policy, $way, @opt) = @_;

    my $path = path($policy);
    my @streams = map { subscribe($path, @opt, rcvbuf => 65536) } 1 .. 3;
    my @ids = publish_many($path, 200, 50_000);
    ok t_cmp(scalar @ids, 200, "$policy, $way: published");
    my @got = map { difference($_, \@ids) } all_read_upto($ids[-1], @streams);
    ok t_cmp("@got", 'none none none',
             "$policy, $way: each has all of a burst, in order");
    my $more = publish($path, 'more')->json->{id};
    ok t_cmp((grep { join(' ', read_upto($_, $more)) eq $more } @streams) + 0,
             3, "$policy, $way: and goes on");
}

# Small ones and many, none of which is in a history.
sub burst_without_history {
    my $path = path('close/none');
    my $stream = subscribe($path, rcvbuf => 4096);
    my @ids = map { publish_many($path, 2500, 300) } 1 .. 4;
    ok t_cmp(scalar @ids, 10_000, 'SSEHistory 0: published');
    ok t_cmp(difference([read_upto($stream, $ids[-1])], \@ids), 'none',
             'each is sent out of the log');
}

sub burst_h2 {
    my $path = path('close');
    my $client = SSETestH2->new('mod_sse_ssl');
    my @on = map { $client->get($path) } 1 .. 2;
    $client->wait_for($_, qr/^retry/, slowly(5)) for @on;
    my @ids = publish_many($path, 200, 50_000);
    ok t_cmp(scalar @ids, 200, 'HTTP/2: published');
    for my $id (@on) {
        $client->wait_for_tail($id, 51_000, qr/^id: $ids[-1]\n.*\n\n\z/m,
                               slowly(20));
        my @got = $client->body($id) =~ /^id: (\d+)$/mg;
        ok t_cmp(difference(\@got, \@ids), 'none', 'HTTP/2: each has all');
    }
    $client->close;
}

# A stream for which its client opens no window is slow, its sibling is not.
sub stuck_h2 {
    my $path = path('close/short');
    my $client = SSETestH2->new('mod_sse_ssl');
    my($stuck, $other) = map { $client->get($path) } 1 .. 2;
    $client->wait_for($_, qr/^retry/, slowly(5)) for $stuck, $other;
    $client->hold($stuck);
    my @ids = publish_many($path, 20, 50_000);
    ok t_cmp($client->wait_for($other, qr/^id: $ids[-1]\n.*\n\n\z/m,
                               slowly(10)), 1, 'HTTP/2: one stream reads on');
    my $ended = eventually(sub {
        $client->read_until(sub { 0 }, 0.05);
        my %on = map { /stream (\S+) open on/ ? ($1 => 1) : () }
            error_lines(qr/ open on \Q$path\E$/m);
        scalar grep { /stream (\S+) ended/ && $on{$1} }
            error_lines(qr/ ended: slow-client,/);
    }, slowly(30));
    ok t_cmp($ended, 1, 'HTTP/2: one that has no window is slow');
    ok t_cmp($client->is_ended($other), 0, 'HTTP/2: its sibling goes on');
    $client->reset_stream($stuck);
    $client->close;
}

# 6 MB a second, and bursts of half a second's.
sub steady_reader {
    my $path = path('close');
    my $stream = subscribe($path, rcvbuf => 262_144);
    my $rate = 6e6;
    my(@ids, @got);
    my $began = time;
    for my $burst (1 .. 4) {
        push @ids, publish_many($path, 60, 50_000);
        while (@got < @ids) {
            my $event = $stream->next_event(slowly(10)) or last;
            push @got, $event->{event} eq 'sse-gap' ? 'gap' : $event->{id};
            my $ahead = @got * 50_000 / $rate - (time - $began);
            sleep $ahead if $ahead > 0;
            last if $burst < 4 && @got >= @ids - 20; # the next comes
        }
    }
    ok t_cmp(difference(\@got, \@ids), 'none',
             'who reads 6 MB/s has all of bursts of 3 MB');
    ok t_cmp(slow_ends($path), 0, 'and is not slow');
}

# A client whose machine tells of each read, as far ones do.
sub small_socket {
    return subscribe($_[0], rcvbuf => 4096, maxseg => 536);
}

# Far longer than the queue's time with a few bytes now and then: a process.
sub begin_crawling {
    my $path = path_to_keep('close/short');
    return SSETestLoad->start(1, sub {
        my $stream = small_socket($path);
        my @ids = publish_many($path, 200, 50_000);
        my($n, $bytes) = (0, '');
        my $end = time + 25;
        while (time < $end) {
            sleep 0.1;
            $n += sysread($stream->sock, $bytes, 2000, length $bytes) // 0;
        }
        my $ends = slow_ends($path);
        $stream->unread($bytes);
        my @got = read_upto($stream, $ids[-1]);
        $stream->close;
        request('DELETE', $path);
        return { slow => $ends, bytes => $n,
                 difference => difference(\@got, \@ids) };
    });
}

sub crawls {
    my($result) = $_[0]->results('');
    ok t_cmp($result->{slow}, 0,
             "who has read $result->{bytes} bytes in 25 s is not slow");
    ok t_cmp($result->{difference}, 'none', 'and has all when it reads faster');
}

sub reads_nothing {
    my $path = path('close/short');
    my @streams = map { small_socket($path) } 1 .. 3;
    my $well = subscribe($path);
    my $began = time;
    my @ids = publish_many($path, 200, 50_000);
    my @got = read_upto($well, $ids[-1]);
    ok t_cmp(difference(\@got, \@ids), 'none',
             'beside those that read nothing, one has all');
    ok t_cmp(eventually(sub { slow_ends($path) == 3 }, slowly(30)), 1,
             'who reads nothing is ended as slow-client');
    my $took = time - $began;
    ok t_cmp($took >= 10 && $took < slowly(15) + 10, 1,
             "after the time: $took s");
    my($line) = access_lines(qr/close=slow-client .*channel=\Q$path\E /);
    my($events) = $line =~ /events=(\d+)/;
    ok t_cmp($events < 200, 1, "with $events events");
    ok t_cmp(scalar grep({ $_->wait_end(slowly(10)) } @streams), 3,
             'their connections end');
    ok t_cmp($well->is_ended, '', 'the other stays');

    # They come back for the rest.
    my $again = subscribe($path, headers => { 'Last-Event-ID' => $ids[9] });
    ok t_cmp(difference([read_upto($again, $ids[-1])], [@ids[10 .. 199]]),
             'none', 'and find the rest in the history');
}

# One for whom much waits, and when that has waited for too long.
sub fall_behind {
    my $path = path_to_keep('drop/short');
    my $stream = small_socket($path);
    # Who has had nothing live is spared: it may be coming back.
    publish($path, 'first');
    $stream->next_event(slowly(5));
    my @ids = publish_many($path, 250, 60_000); # the kernel takes 80 or so
    return { path => $path, stream => $stream, ids => \@ids,
             old => time + 12.5 };
}

# The oldest are left out when they have waited too long, and it is told where.
sub drops {
    my %behind = @_;
    my($path, $stream) = @behind{qw(path stream)};
    my @ids = @{ $behind{ids} };
    my $left = $behind{old} - time;
    sleep $left if $left > 0;
    my @got = map { $_->{event} eq 'sse-gap' ? 'gap' : $_->{id} }
        $stream->upto_new(sub {
            push @ids, publish_many($path, 5, 20_000);
            return $ids[-1];
        });
    my @came = grep { $_ ne 'gap' } @got;
    ok t_cmp($got[-1], $ids[-1], 'drop: the newest comes');
    ok t_cmp(join(' ', @came[-5 .. -1]), join(' ', @ids[-5 .. -1]),
             'drop: all that are new do');
    ok t_cmp(@came < 200, 1, 'drop: ' . @came . ' of ' . @ids . ' came');
    ok t_cmp((grep { $_ eq 'gap' } @got) + 0, 1, 'drop: and a gap is told');
    my %place = map { $ids[$_] => $_ } 0 .. $#ids;
    my($wrong, $next, $gap) = (0, 0, 0);
    for my $id (@got) {
        if ($id eq 'gap') {
            $gap = 1;
            next;
        }
        ++$wrong if ($place{$id} != $next) != $gap || $place{$id} < $next;
        ($next, $gap) = ($place{$id} + 1, 0);
    }
    ok t_cmp($wrong, 0, 'drop: where events are missing, only there');
    my $more = publish($path, 'more')->json->{id};
    ok t_cmp(join(' ', read_upto($stream, $more)), $more, 'drop: it goes on');
    ok t_cmp(slow_ends($path), 0, 'drop: nobody is ended as slow');

    # Who comes back with an old id gets what is kept, however old.
    my $again = subscribe($path, headers => { 'Last-Event-ID' => $ids[0] });
    ok t_cmp(difference([read_upto($again, $more)],
                        [@ids[1 .. $#ids], $more]), 'none',
             'drop: a resume has all');
    $_->close for $stream, $again;
    request('DELETE', $path);
}
