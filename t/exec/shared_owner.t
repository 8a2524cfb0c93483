# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A shared program outlives whoever reads it: children that are killed or leave,
# requests that come and go; and nothing of it outlives the server.

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

my @tests = (\&killed, \&leaves, \&no_supervisor, \&come_and_go, \&stopped);
plan tests => 32, need_module('mod_sse');
$_->() for @tests;
ok no_streams();

# Numbers grow, and so many bytes of the program's output are missing.
sub missing {
    my @numbers = @_;

    my $missing = 0;
    for my $i (1 .. $#numbers) {
        my $step = $numbers[$i] - $numbers[$i - 1];
        return "$numbers[$i] after $numbers[$i - 1]" if $step < 1;
        $missing += length "$_\n"
            for $numbers[$i - 1] + 1 .. $numbers[$i] - 1;
    }
    return $missing;
}

sub killed {
    my $path = feed_path('count');

    my @streams = subscribe_widely($path, 8);
    my @numbers = map { [numbers_of($_, 20)] } @streams;
    my $owner = eventually { owner_of($path) } or die 'nobody publishes';
    ok t_cmp($owner > 0, 1, 'one child publishes');
    kill KILL => $owner or die "kill: $!";
    ok eventually { owner_of($path) != $owner };
    # Those of the dead child have ended, before a number that comes now.
    my $late = subscribe($path);
    my $upto = (numbers_of($late, 1))[0] + 100;
    my @rest = map { [numbers_to($_, $upto)] } @streams;
    my @alive = grep { ($rest[$_][-1] // 0) >= $upto } 0 .. $#streams;
    ok t_cmp(scalar(@alive) >= 1 && @alive < @streams, 1,
             'only the streams of that child have ended');
    my $id = $streams[$alive[0]]->next_event->{id};
    my($first) = map { missing(@{ $numbers[$_] }, @{ $rest[$_] }) } @alive;
    # What it may have read, and the rest of a line.
    ok t_cmp($first =~ /^\d+$/ && $first < 16384 + 20, 1,
             "nothing came twice, and little is missing: $first bytes");
    ok t_cmp(scalar(grep { missing(@{ $numbers[$_] }, @{ $rest[$_] }) ne $first }
                    @alive), 0, 'the same for all');
    ok error_line(qr/child that published .*\Q$path\E\) is gone/);
    ok t_cmp(scalar(feed_pids($path)), 1, 'of the same process');
    my $again = subscribe($path, headers => { 'Last-Event-ID' => $id });
    ok t_cmp(scalar(numbers_of($again, 10)), 10);
    $_->close for @streams, $late, $again;
    ok eventually { !running_pids($path) };
}

sub generations {
    return scalar(() = error_lines(qr/resuming normal operations/));
}

# The only client, and with it the program's only reader, goes from child to
# child.
sub leaves {
    my $path = feed_path('steady');

    my($n, $restarts) = (0, 0);
    my $pid = server_pid();
    my $generations = generations();
    my @events = follow {
        return 0 if ++$n % 20;
        # One after the other, however long they take.
        my $is_over = generations() - $generations == $restarts;
        if ($restarts < 3 && $is_over && $n >= 100 + 200 * $restarts) {
            kill USR1 => $pid;
            ++$restarts;
            return 0;
        }
        return $n >= 800 && $restarts == 3 && $is_over;
    } $path;
    ok t_cmp(scalar(@events) >= 800 && $restarts, 3,
             'three times the children leave');
    ok t_cmp(first_gap(map { $_->{data} } @events), '',
             'and nothing is missing, nothing comes twice');
    ok t_cmp($events[0]{data}, 1);
    ok t_cmp(scalar(feed_pids($path)), 1, 'of the same process');
    ok t_cmp(scalar(error_lines(qr/\Q$path\E\) is gone/)), 0);
}

# The parent starts another one.
sub no_supervisor {
    my $path = feed_path('count');

    my $stream = subscribe($path);
    my @numbers = numbers_of($stream, 20);
    ok t_cmp(scalar(@numbers), 20);
    my $supervisor = supervisor_pid() or die 'there is no supervisor';
    ok t_cmp($supervisor > 1, 1, 'there is a supervisor');
    my($old) = running_pids($path);
    kill KILL => $supervisor or die "kill: $!";
    ok eventually { !is_alive($old) };
    # It may have written nothing more.
    while ($numbers[-1] > $numbers[-2]) {
        my($number) = numbers_of($stream, 1) or last;
        push @numbers, $number;
    }
    ok t_cmp($numbers[-1], 1, 'it begins anew');
    ok t_cmp(scalar(grep { $numbers[$_] != $numbers[$_ - 1] + 1 }
                    1 .. $#numbers - 1), 0, 'what it had written is there');
    ok t_cmp(scalar(feed_pids($path)), 2);
    ok t_cmp(scalar(running_pids($path)), 1);
    ok eventually { (supervisor_pid() // $supervisor) != $supervisor };
    $stream->close;
    ok eventually { !running_pids($path) };
}

# Requests that come and go are one program's, as it lingers.
sub come_and_go {
    my $path = feed_path('steady');
    my $n = $mpm eq 'prefork' ? 200 : 1000;

    my $first = subscribe($path);
    for (1 .. $n / 20) {
        my @streams = map { open_stream($path) } 1 .. 20;
        $_->reset for @streams;
    }
    ok t_cmp(scalar(numbers_of($first, 50)), 50);
    $first->close;
    for (1 .. 50) {
        open_stream($path)->reset;
        sleep 0.01;
    }
    my $stream = subscribe($path);
    ok t_cmp(scalar(numbers_of($stream, 10)), 10);
    ok t_cmp(scalar(feed_pids($path)), 1, 'one process');
    $stream->close;
    ok no_streams();
    ok end_feed($path);
}

sub stopped {
    my $path = feed_path('count');

    my $stream = subscribe($path);
    numbers_of($stream, 10);
    my @pids = (running_pids($path), supervisor_pid());
    ok stop_server();
    ok eventually { !grep { is_alive($_) } @pids };
    ok start_server();
}
