# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Resuming: from any child, over restarts, with every event once and in order;
# and what is said when that is not possible.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use POSIX ();
use SSETest;
use SSETestServer;
use Time::HiRes qw(sleep time);

my @tests = (\&in_order, \&many_reconnecting, \&replay, \&history, \&gaps,
             \&hostile_ids, \&several_channels, \&over_restarts);
plan tests => 94, need_module('mod_sse');
$_->() for @tests;

sub path { return "/stream/$_[0]-$test_id" }

# Publish each; their ids.
sub publish_all {
    my $path = shift;

    return map { publish($path, $_)->json->{id} } @_;
}

sub after {
    my($path, $id, %opt) = @_;

    return open_stream($path, %opt, headers => { 'Last-Event-ID' => $id });
}

# The next n events as [type, data].
sub events {
    my($stream, $n) = @_;

    return [map {
        my $event = $stream->next_event(5) // {};
        [@$event{qw(event data)}];
    } 1 .. $n];
}

sub messages { return [map { [message => $_] } @_] }

# The data of a gap.
sub gap {
    my $stream = shift;

    my $event = $stream->next_event(5) // {};
    return {} if ($event->{event} // '') ne 'sse-gap'
        || ($event->{id} // '') !~ /^[1-9]\d+$/;
    return JSON::PP::decode_json($event->{data});
}

sub in_order {
    my $path = path('order');
    my @ids = publish_all($path, 1 .. 20);
    ok t_cmp(\@ids, [sort { $a <=> $b } @ids], 'ids grow');

    for my $n (0, 10, 19) {
        # So many that every child has some.
        my @streams = map { after($path, $ids[$n]) } 1 .. 6;
        $_->next_block(5) for @streams;
        publish($path, "live $n");
        my @want = ($n + 2 .. 20, map { "live $_" } grep { $_ <= $n } 0, 10, 19);
        my @good = grep {
            my $got = events($_, scalar @want);
            JSON::PP::encode_json($got)
                eq JSON::PP::encode_json(messages(map { "$_" } @want));
        } @streams;
        ok t_cmp(scalar @good, scalar @streams,
                 "after $n: what follows, in order, then what is new");
        ok !grep { $_->next_event(0.05) } @streams;
    }
}

# Four publishers, and subscribers that leave and come back all the time.
sub many_reconnecting {
    my $seconds = 3;
    my $path = '/stream/history/deep/reconnect-' . $$;
    my($first) = publish_all($path, 'first');

    pipe my $read, my $write or die "pipe: $!";
    my @pids = map { publisher($path, $_, $seconds, $write) } 1 .. 4;
    close $write;
    my @subscribers = map { { last => $first, got => [], rounds => 0 } } 1 .. 20;
    my $end = time + $seconds;
    my $left = 0;
    while (time < $end || $left <= 20) {
        $left += turn($path, $_) for @subscribers;
    }
    my @lines = <$read>;
    waitpid $_, 0 for @pids;
    my @failed = grep { !/^\d+ \d+$/ } @lines;
    ok t_cmp("@failed", '', 'all was published');
    my @ids = sort { $a <=> $b } map { (split)[0] } @lines;
    $end = time + 20;
    for my $subscriber (@subscribers) {
        read_some($path, $subscriber)
            while time < $end && $subscriber->{last} < $ids[-1];
    }
    my @wrong = grep { "@{ $_->{got} }" ne "@ids" } @subscribers;
    ok t_cmp(scalar @wrong, 0,
             'every subscriber has each of ' . @ids . ' ids once, in order, '
             . 'after reconnecting '
             . join(' ', map { $_->{rounds} } @subscribers) . ' times');
    report($_, \@ids) for @wrong;
    my $rounds = 0;
    $rounds += $_->{rounds} for @subscribers;
    ok $rounds > 20 && @ids > 40;
}

# A process that publishes for a time and tells the ids.
sub publisher {
    my($path, $n, $seconds, $write) = @_;

    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    my $end = time + $seconds;
    my $lines = '';
    for (my $i = 1; time < $end || $i <= 15; ++$i) {
        my $answer = publish($path, "$n-$i");
        $lines .= ($answer->json // {})->{id}
            ? $answer->json->{id} . " $n\n"
            : 'status ' . ($answer->code // 'none') . "\n";
        sleep 0.002;
    }
    syswrite $write, $lines;
    POSIX::_exit(0);
}

# Whether it has left.
sub turn {
    my($path, $subscriber) = @_;

    read_some($path, $subscriber, 0);
    return 0 if rand() >= 0.2;
    my $stream = delete $subscriber->{stream} or return 0;
    $stream->${\(rand() < 0.5 ? 'close' : 'reset')};
    ++$subscriber->{rounds};
    return 1;
}

sub read_some {
    my($path, $subscriber, $wait) = @_;

    my $stream = $subscriber->{stream} //= after($path, $subscriber->{last});
    while (my $event = $stream->next_event($wait // 0.2)) {
        push @{ $subscriber->{got} }, $event->{id} // $event->{event};
        $subscriber->{last} = $event->{id} if $event->{id};
    }
    delete $subscriber->{stream} if $stream->is_ended;
}

# Where one of them went wrong.
sub report {
    my($subscriber, $ids) = @_;

    my @got = @{ $subscriber->{got} };
    my($i) = grep { ($got[$_] // '') ne ($ids->[$_] // '') } 0 .. @$ids;
    my $to = $i + 3;
    t_debug("from number $i: " . join(' ', map { $_ // '-' } @got[$i .. $to])
            . ' instead of ' . join(' ', map { $_ // '-' } @$ids[$i .. $to]));
}

sub replay {
    my %want = ('/stream' => [], '/stream/replay-3' => [5, 6, 7],
                '/stream/replay-all' => [1 .. 7]);
    for my $prefix (sort keys %want) {
        my $path = "$prefix/replay-$$";
        my @ids = publish_all($path, 1 .. 7);
        my $stream = open_stream($path);
        $stream->next_block(5);
        publish($path, 'live');
        ok t_cmp(events($stream, @{ $want{$prefix} } + 1),
                 messages(@{ $want{$prefix} }, 'live'),
                 "$prefix: what a new subscriber gets");
        ok t_cmp(events(after($path, $ids[4]), 3), messages(6, 7, 'live'),
                 'with an id it is what follows that');
    }
    ok t_cmp(events(open_stream("/stream/replay-3/replay-$$"), 3),
             messages(6, 7, 'live'), 'the newest, oldest first');

    # Of two channels one has lost its oldest events, and the other has not.
    my($a, $b) = map { "/stream/channel/alone/replay-$_" } qw(a b);
    publish_all($b, 'b1');
    publish_all($a, 'a1');
    request('DELETE', $a);
    my($id) = publish_all($a, 'a2');
    ok t_cmp(events(open_stream('/stream/replay-all/both'), 2),
             messages(qw(b1 a2)), 'who has not been here before has no gap');
    request('DELETE', $a);
    ok t_cmp(gap(after('/stream/replay-all/both', $id - 1))->{after}, $id - 1,
             'but who has');
}

sub history {
    my $path = "/stream/history/count/$$";
    my @ids = publish_all($path, 1 .. 5);
    ok t_cmp(events(open_stream($path), 3), messages(3, 4, 5),
             'SSEHistory 3 keeps three');
    my $stream = after($path, $ids[0]);
    ok t_cmp(gap($stream), { after => $ids[0], oldest => $ids[2] },
             'one that has missed some is told');
    ok t_cmp(events($stream, 3), messages(3, 4, 5), 'and gets what is kept');
    ok t_cmp(events(after($path, $ids[1]), 3), messages(3, 4, 5),
             'one that has missed none is not');

    $path = "/stream/history/bytes/$$";
    @ids = publish_all($path, map { $_ x 1500 } 1 .. 5);
    my $data = join '', map { substr $_->[1], 0, 1 }
        @{ events(open_stream($path), 2) };
    ok t_cmp($data, '45', 'SSEHistory keeps 4k');
    ok t_cmp(gap(after($path, $ids[0])),
             { after => $ids[0], oldest => $ids[3] }, 'and tells of the rest');

    $path = "/stream/history/none/$$";
    $stream = open_stream($path);
    $stream->next_block(5);
    @ids = publish_all($path, 1 .. 3);
    ok t_cmp(events($stream, 3), messages(1, 2, 3),
             'SSEHistory 0: who listens gets it');
    $stream = open_stream($path);
    $stream->next_block(5);
    ok !$stream->next_event(0.1);
    ok t_cmp(gap(after($path, $ids[0])), { after => $ids[0], oldest => undef },
             'nothing is kept, and that is told');
    # A client that comes back after that has the gap's own id.
    my $told = after($path, $ids[0])->next_event(5) // {};
    $stream = after($path, $told->{id});
    $stream->next_block(5);
    ok t_cmp($stream->next_event(0.1), undef, 'once');
    $stream = after($path, $ids[2]);
    $stream->next_block(5);
    ok !$stream->next_event(0.1);

    # Anew where so long was taken that what was published is too old.
    for my $n (1 .. 5) {
        my $began = time;
        $path = "/stream/history/age/$$-$n";
        @ids = publish_all($path, 1, 2);
        $stream = open_stream($path);
        $stream->head;
        last if time - $began < 3;
    }
    ok t_cmp(events($stream, 2), messages(1, 2), 'SSEHistory of 4 s');
    my $gone = eventually { gap(after($path, $ids[0]))->{after} } 30;
    $stream = open_stream($path);
    $stream->next_block(5);
    ok t_cmp($gone && !$stream->next_event(0.1), 1, 'after it, nothing');
    ok t_cmp(gap(after($path, $ids[0])), { after => $ids[0], oldest => undef },
             'and that is told');
    my $new;
    for (1 .. 5) {
        my $began = time;
        ($new) = publish_all($path, 3);
        $stream = after($path, $ids[0]);
        $stream->head;
        last if time - $began < 3;
        sleep 5; # so that it is not there any more
    }
    ok t_cmp(gap($stream), { after => $ids[0], oldest => $new },
             'what is new is kept again');
    ok t_cmp(events($stream, 1), messages(3), 'and follows');
}

sub gaps {
    my $path = path('gaps');
    my @ids = publish_all($path, 1, 2);
    my $future = $ids[1] + 1_000_000;

    for my $id ($future, '18446744073709551616', '9223372036854775807', 1, 'x',
                '0', "0$ids[0]", "$ids[0]x", "-$ids[0]", '1e3',
                '3f9a8c1e-no-id-of-ours') {
        my $stream = after($path, $id);
        ok t_cmp(gap($stream), { after => $id, oldest => $ids[0] },
                 "an id that is none of this store's: $id");
        ok t_cmp(events($stream, 2), messages(1, 2), 'all that is kept');
    }
    my $stream = after(path('empty'), 'x');
    ok t_cmp(gap($stream), { after => 'x', oldest => undef },
             'a channel that has nothing');
    $stream = after($path, '');
    $stream->next_block(5);
    ok !$stream->next_event(0.1);
}

# Nothing of these may do harm, on the wire or in the log.
sub hostile_ids {
    my $path = path('hostile');
    my($id) = publish_all($path, 'kept');
    my $marker = "marker$$";

    my %ids = (
        'quotes' => [qq("\\'</script>$marker), qq("\\'</script>$marker)],
        '300 bytes' => ['y' x 300, 'y' x 256],
        'UTF-8' => ["\xC3\xA9$marker", "\xE9$marker"],
        'spaces' => ["  a \t b  ", "a \t b"],
    );
    for my $name (sort keys %ids) {
        my $stream = after($path, $ids{$name}[0]);
        ok t_cmp(gap($stream), { after => $ids{$name}[1], oldest => $id },
                 "an id with $name");
        ok t_cmp(events($stream, 1), messages('kept'), 'and what is kept');
    }
    for my $bytes ("\xFF\xFE$marker", "\xC0\xAF$marker", "\xED\xA0\x80") {
        my $stream = after($path, $bytes);
        my $gap = gap($stream);
        ok t_cmp([$gap->{oldest}, $gap->{after} ? 1 : 0], [$id, 1],
                 'an id that is no UTF-8');
        ok t_cmp(events($stream, 1), messages('kept'), 'and what is kept');
    }
    for my $hex ('%0A%0Adata:%20forged%0A%0A', '%0D', '%01%02', '%00', '%zz') {
        my $stream = open_stream("$path?last-event-id=$hex$marker");
        my $gap = gap($stream);
        ok t_cmp($gap->{oldest}, $id, "in the query string: $hex");
        ok t_cmp(events($stream, 1), messages('kept'), 'and what is kept');
    }
    # As they are, no line of the log begins with what a client has sent.
    my @raw = grep { !/^\[\w+ \w+ / || /[^\x09\x0A\x20-\x7E]/ }
        error_lines(qr/$marker|forged|[\x80-\xFF]/);
    ok t_cmp("@raw", '', 'nothing of it is in the log unescaped');
}

sub several_channels {
    my @alone = map { "/stream/channel/alone/several-$_" } qw(a b);
    my($from) = publish_all($alone[0], 'from');
    publish_all($alone[1], 'b1');
    publish_all($alone[0], 'a1');
    my($id) = publish_all($alone[1], 'b2');
    publish_all($alone[0], 'a2');

    ok t_cmp(events(after('/stream/channel/several', $from), 4),
             messages(qw(b1 a1 b2 a2)), 'one id resumes both channels');
    ok t_cmp(events(after('/stream/channel/several', $id), 1),
             messages('a2'), 'whichever channel it was on');
    ok t_cmp(events(after($alone[0], $id), 1), messages('a2'),
             'also where it was on another channel');
}

sub over_restarts {
    my $path = path('restart');
    my @ids = publish_all($path, 0);
    my %ways = (1 => \&graceful_restart, 2 => \&hard_restart,
                3 => sub { stop_server() && start_server() });

    for my $n (sort keys %ways) {
        push @ids, publish_all($path, "before $n");
        ok $ways{$n}->();
        push @ids, publish_all($path, "after $n");
    }
    ok t_cmp(\@ids, [sort { $a <=> $b } @ids], 'ids grow over restarts');
    my @all = map { ("before $_", "after $_") } sort keys %ways;
    my $stream = after($path, $ids[0]);
    ok t_cmp(events($stream, scalar @all), messages(@all),
             'and a resume over all of them has every event');
    ok !$stream->next_event(0.1);
    publish($path, 'live');
    ok t_cmp(events($stream, 1), messages('live'), 'then what is new');
}
