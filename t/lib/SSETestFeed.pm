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

our @EXPORT = qw(feed_path feed_pids running_pids hand owner_of numbers_of
                 first_gap follow);

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

sub running_pids { return grep { is_alive($_) } feed_pids($_[0]) }

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
        while (my $event = $stream && $stream->next_event(2)) {
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
