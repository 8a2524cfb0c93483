# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Streams and a server that leaves: gracefully, and at once.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Select ();
use POSIX ();
use SSETest;
use SSETestServer;
use Time::HiRes qw(sleep time);

my $mpm = $ENV{SSE_MPM} // '';
# A child of prefork has one stream, and the slots must do for two generations.
my $count = $mpm eq 'prefork' ? 30 : 50;
# Sanitizers make all of it slower.
my $slow = $ENV{SSE_SAN} ? 4 : 1;

my @tests = (\&graceful, \&graceful_tls, \&at_once, \&stopped);
plan tests => 31, need_module('mod_sse', 'mod_ssl');
$_->() for @tests;
ok no_streams();

sub path { return "/stream/history/deep/$_[0]-$test_id" }

sub opened {
    my($n, @args) = @_;

    return map { subscribe(@args) } 1 .. $n;
}

# The children that have the streams of a path, so many.  A client has the first
# bytes before that line is there.
sub children {
    my($path, $n) = @_;

    my @ids;
    eventually {
        @ids = map { /stream (\S+) open on \Q$path\E$/m ? $1 : () }
            error_lines(qr/open on/);
        @ids == $n;
    } or die @ids . ' streams are logged';
    my %pids = map { stream_pid($_) => 1 } @ids;
    return keys %pids;
}

# A process that publishes all the time until it is told; then it tells the ids,
# and what went wrong.
sub start_publisher {
    my $path = shift;

    pipe my $stop, my $stopped or die "pipe: $!";
    pipe my $out, my $in or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        close $stopped;
        my $lines = '';
        my $select = IO::Select->new($stop);
        for (my $n = 1; !$select->can_read(0.005); ++$n) {
            my $answer = eval { publish($path, $n) };
            my $id = $answer && ($answer->json // {})->{id};
            $lines .= $id ? "$id\n"
                : 'number ' . $n . ': '
                  . ($answer ? $answer->code // 'no answer' : $@) . "\n";
        }
        syswrite $in, $lines;
        POSIX::_exit(0);
    }
    return { pid => $pid, stop => $stopped, out => $out };
}

sub stop_publisher {
    my $publisher = shift;

    close $publisher->{stop};
    my @lines = readline $publisher->{out};
    waitpid $publisher->{pid}, 0;
    chomp @lines;
    return ([grep { /^\d+$/ } @lines], [grep { !/^\d+$/ } @lines]);
}

# Read all that is there: the ids, and every retry.
sub read_all {
    my($stream, $wait) = @_;

    my(@ids, @retries);
    while (my $block = $stream->next_block($wait)) {
        push @ids, $block->{id} if defined $block->{id};
        push @retries, $block->{retry} if defined $block->{retry};
    }
    return (\@ids, \@retries);
}

sub graceful {
    my $path = path('graceful');
    my $first = publish($path, 'first')->json->{id};
    my @streams = opened($count, $path);
    my @children = children($path, $count);
    ok t_cmp(scalar @children >= 1, 1, 'streams are in ' . @children . ' children');
    my $publisher = start_publisher($path);
    $_->next_event(5) for @streams;

    my $began = time;
    my $pid = server_pid() or die 'the server does not run';
    kill USR1 => $pid;
    my $ended = grep { $_->wait_end(5 * $slow) } @streams;
    my $took = time - $began;
    ok t_cmp($ended, $count, 'a graceful restart ends all streams');
    ok t_cmp($took < 10 * $slow, 1, "within some seconds: $took s");
    ok t_cmp((grep { $_->is_complete } @streams) + 0, $count, 'in good order');
    # Not every client closes its own side then.
    $streams[$_ * 2]->close for 0 .. $#streams / 2;
    my $gone = eventually { !grep { is_alive($_) } @children } 15 * $slow;
    $took = time - $began;
    ok t_cmp($gone && $took < 15 * $slow, 1,
             "the children they were in leave soon after: $took s");

    my @told = map { [read_all($_, 0)] } @streams;
    my @retries = map { $_->[1][-1] // 0 } @told;
    ok t_cmp((grep { $_ >= 1000 && $_ <= 3000 } @retries) + 0, $count,
             'each was told when to come back');
    my %different = map { $_ => 1 } @retries;
    ok t_cmp(keys %different > $count / 2, 1, 'not all at one time');
    my $line = qr/close=shutdown stream=\S+ events=\d+ channel=\Q$path\E X=-/;
    ok t_cmp(eventually { access_lines($line) == $count }, 1,
             'the log has the reason "shutdown"');

    # They come back with their last id.
    my @again = map { subscribe($path, headers => {
        'Last-Event-ID' => $_->[0][-1] // $first }) } @told;
    my($ids, $failed) = stop_publisher($publisher);
    ok t_cmp("@$failed", '', 'publishing never failed: ' . @$ids . ' events');
    my $wrong = 0;
    for my $n (0 .. $#again) {
        my @got = @{ $told[$n][0] };
        while (!@got || $got[-1] < $ids->[-1]) {
            my $event = $again[$n]->next_event(5) or last;
            push @got, $event->{id} // $event->{event};
        }
        # The first one came by the way, to all.
        my @want = grep { $_ >= $got[0] } @$ids;
        ++$wrong if "@got" ne "@want";
    }
    ok t_cmp($wrong, 0, 'nobody missed one, or had one twice');
    my %old = map { $_ => 1 } @children;
    ok t_cmp((grep { $old{$_} } map { / stream=(\S+)/ ? stream_pid($1) : () }
              access_lines(qr/channel=\Q$path\E X=X/)) + 0, 0,
             'in children of the new generation');
}

sub graceful_tls {
    my $path = path('tls');
    my @streams = opened(10, $path, module => 'mod_sse_ssl');
    publish($path, 'x');
    $_->next_event(5) for @streams;
    ok new_generation();
    ok t_cmp((grep { $_->wait_end(5) && $_->is_complete } @streams) + 0, 10,
             'TLS streams end in good order too');
    ok t_cmp(eventually {
        access_lines(qr/close=shutdown .* events=1 channel=\Q$path\E /) == 10
    }, 1, 'as "shutdown"');
    ok t_cmp(no_streams(), 1, 'and are not counted any more');
}

# What each stream must have had before it is over, and that it is over.
sub ends_at_once {
    my($name, $how) = @_;

    my $path = path($name);
    my @streams = opened($count, $path);
    publish($path, 'x');
    $_->next_event(5) for @streams;
    my @children = children($path, $count);
    my $began = time;
    ok $how->();
    my $ended = grep { $_->wait_end(5) } @streams;
    ok t_cmp($ended, $count, "$name: all connections end");
    # Worker has closed them by then.
    my @retries = map { (read_all($_, 0))[1][-1] // 0 } @streams;
    my $told_when = grep { $_ >= 1000 && $_ <= 3000 && $_ != 2000 } @retries;
    ok t_cmp($told_when >= $count * 0.9 || have_apache_mpm('worker'), 1,
             "$name: $told_when were told when to come back");
    my $gone = eventually { !grep { is_alive($_) } @children } 10;
    my $took = time - $began;
    ok t_cmp($gone, 1, "$name: the children are gone after $took s");
    my @lines = error_lines(qr/ ended: stop,/);
    my %ended = map { /stream (\S+) ended/ ? ($1 => 1) : () } @lines;
    my $told = grep { /stream (\S+) open on \Q$path\E$/m && $ended{$1} }
        error_lines(qr/open on/);
    # A child that a sanitizer makes too slow is ended before it has told all.
    my $least = $ENV{SSE_SAN} ? $count * 0.9 : $count;
    ok t_cmp($told >= $least && $told <= $count, 1,
             "$name: the end of $told streams was told as \"stop\"");
    my $logged = access_lines(qr/close=stop .*channel=\Q$path\E /);
    ok t_cmp($logged >= $least && $logged <= $count, 1,
             "$name: and $logged were logged");
    return $path;
}

sub at_once {
    ends_at_once('SIGHUP', \&hard_restart);
}

sub stopped {
    my $before = publish(path('before'), 'kept')->json->{id};
    my $path = ends_at_once('SIGTERM', \&stop_server);
    ok start_server();
    ok t_cmp(publish(path('after'), 'new')->json->{id} > $before, 1,
             'started again, the ids go on');
    my $stream = open_stream($path, headers => { 'Last-Event-ID' => $before });
    ok t_cmp(($stream->next_event(5) // {})->{data}, 'x',
             'and the history is there');
    $stream->close;
}
