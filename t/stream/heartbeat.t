# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Time: the comment after a silence, and the longest life of a stream.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Select ();
use POSIX ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;
use Time::HiRes qw(sleep time);

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
plan tests => 7 * @ways + 9, need_module('mod_sse', 'mod_ssl');

beats(@$_) for @ways;
no_beats();
ages();
ok no_streams();

# The comments of a stream, each with its time; events beside them.
sub watch {
    my($stream, $seconds) = @_;

    my @seen;
    my $end = time + $seconds;
    while ((my $left = $end - time) > 0) {
        my $block = $stream->next_block($left) or last;
        push @seen, [time, $block];
    }
    return @seen;
}

sub is_beat {
    my $block = $_[0][1];
    return ($block->{raw} // '') eq ":\n\n";
}

# A silence is reckoned from when the loop's turn began: earlier by this at most.
use constant TURN => 0.1;

sub beats {
    my($name, @opt) = @_;

    my $path = "/stream/beat/$$-$name";
    # One that is read late may be close to the next.
    my $opened = time;
    my $stream = open_stream($path, @opt);
    $stream->next_block(5);
    my @times = (time, map { $stream->next_block(10); time } 1 .. 4);
    my @since = map { $_ - $opened } @times;
    ok t_cmp((grep { $since[$_] < 0.3 * $_ - TURN } 1 .. 4) + 0, 0,
             "$name: no comment before 300 ms of silence: @since");
    ok t_cmp($times[-1] - $times[0] < 4 * 0.3 + 8, 1, 'and not long after');

    # Events flow: nothing beside them, unless this machine was so busy that
    # they came far apart.
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        for (1 .. 20) {
            publish($path, "$_ " . time, @opt);
            sleep 0.05;
        }
        POSIX::_exit(0);
    }
    my @seen;
    while (my $block = $stream->next_block(5)) {
        push @seen, [time, $block];
        last if ($block->{data} // '') =~ /^20 /;
    }
    waitpid $pid, 0;
    my $events = grep { defined $_->[1]{data} } @seen;
    ok t_cmp($events, 20, "$name: events");
    my $last = $seen[-1] // [0, {}];
    my($sent) = ($last->[1]{data} // '') =~ / (\S+)/;
    my($early, $before) = (0, 0);
    for my $seen (@seen) {
        ++$early if is_beat($seen) && $seen->[0] - $before < 0.3 - TURN;
        $before = (split / /, $seen->[1]{data})[1]
            if defined $seen->[1]{data};
    }
    ok t_cmp($early, 0, 'no comment while they come');
    my @after = ([time, $stream->next_block(10)], watch($stream, 0.6));
    ok is_beat($after[0]);
    ok t_cmp(@after <= 1 + (time - ($sent // 0)) / 0.3, 1,
             'but again in the silence after');
    $stream->close;
    ok t_cmp(access_line(qr/channel=\Q$path\E /), qr/ events=20 /,
             'comments do not count as events');
}

sub no_beats {
    my $stream = open_stream("/stream/no-beat-$$");
    $stream->next_block(5);
    ok t_cmp(scalar(watch($stream, 1)), 0, 'SSEHeartbeat 0 is off');
}

sub ages {
    my $path = "/stream/aged/$$";
    my $count = 20;
    my $began = time;
    my @streams = map { open_stream($path) } 1 .. $count;
    $_->head for @streams;
    my $opened = time - $began;
    publish($path, 'one');

    ok t_cmp((grep { $_->wait_end(30) } @streams) + 0, $count,
             'SSEMaxAge ends them all');
    ok t_cmp((grep { $_->is_complete } @streams) + 0, $count, 'in good order');
    my $took = time - $began;
    ok t_cmp($took < 9 + $opened + slowly(5), 1, "in time: $took s");
    my @got = map { ($_->next_event(0) // {})->{data} // '' } @streams;
    ok t_cmp((grep { $_ eq 'one' } @got) + 0, $count,
             'with what was published before');
    my $line = qr/close=max-age .* events=1 channel=\Q$path\E /;
    ok t_cmp(eventually { access_lines($line) == $count }, 1, 'and the reason');
    my @ages = sort { $a <=> $b } map { / D=(\d+)/ } access_lines($line);
    ok t_cmp($ages[0] >= 8_000_000, 1, "none lives for less than 8 s: @ages");
    ok t_cmp($ages[-1] - $ages[0] > 10_000, 1, 'they do not end all at once');
}
