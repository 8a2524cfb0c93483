# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Programs that channels share, as t/conf/exec_shared.conf.in has them: their
# processes, what they are to write, and whether a stream's numbers are whole.

package SSETestFeed;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Fcntl qw(O_WRONLY O_NONBLOCK);
use Time::HiRes qw(sleep);

use Apache::Test ();
use SSETest;
use SSETestServer;

our @EXPORT = qw(feed_path feed_pids running_pids end_feed subscribe_widely
                 children_with hand owner_of numbers_of numbers_to first_gap
                 follow);

my $count = 0;

# A channel of its own.
sub feed_path { return "/shared/$_[0]/$test_id-" . ++$count }

sub feed_file {
    my($path, $suffix) = @_;

    (my $name = $path) =~ tr{/}{_};
    return Apache::Test::vars('t_state') . "/$name.$suffix";
}

# The processes that its program has had, in their order.
sub feed_pids {
    open my $in, '<', feed_file($_[0], 'pids') or return ();
    chomp(my @pids = <$in>);
    return @pids;
}

# Of these, the ones that are still there, and not others by the same number.
sub running_pids {
    my $path = shift;

    return grep { is_alive($_) && has_argument($_, $path) } feed_pids($path);
}

sub has_argument {
    my($pid, $text) = @_;

    open my $fh, '<', "/proc/$pid/cmdline" or return 0;
    local $/;
    return grep { $_ eq $text } split /\0/, <$fh> // '';
}

# End a program that lingers longer than a test waits: true once it is gone.
sub end_feed {
    my $path = shift;

    return eventually {
        my @pids = running_pids($path);
        kill TERM => @pids;
        !@pids;
    };
}

# The children in which streams of this path are, or were.
sub children_with {
    my $path = shift;

    my %pids = map { /stream (\S+) open on \Q$path\E$/m
                     ? (stream_pid($1) => 1) : () } error_lines(qr/open on/);
    return keys %pids;
}

# So many streams, and more until they are in several children: one child takes
# all that come while the others stand still.
sub subscribe_widely {
    my($path, $n) = @_;

    my @streams = map { subscribe($path) } 1 .. $n;
    until (eventually { children_with($path) > 1 } 0.2) {
        die 'only one child takes streams' if @streams >= $n + 50;
        push @streams, subscribe($path);
    }
    return @streams;
}

# Have a program that is in the test's hand write this.
sub hand {
    my($path, $text) = @_;

    my $pipe;
    eventually { sysopen $pipe, feed_file($path, 'pipe'), O_WRONLY | O_NONBLOCK }
        or die "$path has no program";
    syswrite($pipe, $text) == length $text or die "write: $!";
}

# The child that publishes it, and did so last.
sub owner_of {
    my $path = shift;

    my @lines = error_lines(qr/this child publishes .* channel \Q$path\E$/);
    return @lines && $lines[-1] =~ /\[pid (\d+)/ ? $1 : 0;
}

# The data of so many events.
sub numbers_of {
    my($stream, $n) = @_;

    my @numbers;
    while (@numbers < $n) {
        my $event = $stream->next_event or last;
        push @numbers, $event->{data};
    }
    return @numbers;
}

# The data of all events until the number is reached, or the stream's end.
sub numbers_to {
    my($stream, $upto) = @_;

    my @numbers = numbers_of($stream, 1);
    while (@numbers && $numbers[-1] < $upto) {
        my($next) = numbers_of($stream, 1) or last;
        push @numbers, $next;
    }
    return @numbers;
}

# Where numbers do not follow each other: "3, 5"; '' where they all do.
sub first_gap {
    my @numbers = @_;

    for my $i (1 .. $#numbers) {
        return "$numbers[$i - 1], $numbers[$i]"
            if $numbers[$i] != $numbers[$i - 1] + 1;
    }
    return '';
}

# Like a browser: reads the events of a path, and comes back with the last id
# when its stream ends, until the block says that it is enough.  The events.
sub follow(&@) {
    my($is_enough, $path, %opt) = @_;

    my(@events, $id, $stream);
    my %headers;
    for (1 .. 200) {
        $stream = eval { open_stream($path, %opt, headers => \%headers) };
        while (my $event = $stream && $stream->next_event) {
            push @events, $event;
            $headers{'Last-Event-ID'} = $event->{id} if defined $event->{id};
            if ($is_enough->($event)) {
                $stream->close;
                return @events;
            }
        }
        $stream->close if $stream;
        sleep 0.05;
    }
    return @events;
}

1;
