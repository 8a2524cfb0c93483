# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-exec: a client that leaves ends its program; one that reads slowly makes
# it wait.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Time::HiRes qw(time sleep);

use Apache::Test qw(-withtestmore);

use lib dirname(__FILE__) . '/../lib';
use SSETest;
use SSETestExec;
use SSETestServer;

plan tests => 26;

my $vars = Apache::Test::vars();

sub read_file {
    my($file) = @_;

    open my $fh, '<', $file or return '';
    local $/;
    return scalar <$fh> // '';
}

# A file that programs, which are other users', may write to.
sub note_file {
    my($mark) = @_;

    my $file = "$vars->{t_state}/$mark";
    open my $fh, '>', $file or die "$file: $!";
    close $fh;
    chmod 0666, $file;
    return $file;
}

# --- SIGTERM

my $mark = mark();
my $file = note_file($mark);
my $stream = act("note=$file", 'say=ready', 'wait=1');
is $stream->next_event->{data}, 'ready', 'a program waits';
is scalar(running($mark)), 1, 'one process';
$stream->close;
ok eventually { read_file($file) eq "begin\nterm\n" },
    'its client\'s leaving is told by SIGTERM';
ok ends($mark), 'it is gone';
ok access_line(qr{\Q$mark\E.* close=client .*events=1 }), 'the log says client';

$mark = mark();
$file = note_file($mark);
$stream = act("note=$file", 'ignore=1', 'keep=60', 'say=ready', 'wait=1');
$stream->next_event;
is scalar(running($mark)), 2, 'a program that ignores SIGTERM, with a child';
my $from = time;
$stream->reset;
ok ends($mark, 20), 'is killed, and its child is';
cmp_ok time - $from, '>=', 4, 'some seconds later';
is read_file($file), "begin\n", 'it has not been told otherwise';

$mark = mark();
$stream = act('escape=60', "say=$mark", 'wait=1');
$stream->next_event;
is scalar(running($mark)), 2, 'a program with a child in another session';
$stream->close;
ok ends($mark, 20), 'all of it is ended';

# --- a client that reads slowly

# More than the sockets, the queue and the pipe take.
my $lines = 40_000;
$mark = mark();
my @children = server_children();
my $before = child_memory();
$stream = act({ path => '/exec/queue', rcvbuf => 4096 }, "say=$mark",
              "lines=$lines", 'say=end');
my($pid) = eventually { running($mark) } ? running($mark) : 0;
# It is blocked in a write as soon as socket, queue and pipe are full.
sub is_blocked {
    return read_file("/proc/$pid/wchan") =~ /pipe_w/
        || read_file("/proc/$pid/syscall") =~ /^1 /
        || process_state($pid) eq 'S';
}
ok eventually(sub { is_blocked() && do { sleep 0.3; is_blocked() } }, 20),
    'a program whose client does not read is blocked';
cmp_ok child_memory() - $before, '<', 16 * 1024,
    'nothing piles up in memory';
is_deeply [running($mark)], [$pid], 'it runs on';

sub child_memory {
    my $sum = 0;
    for my $pid (@children) {
        $sum += $1 if read_file("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/;
    }
    return $sum;
}

my($seen, $wrong, $last) = (0, 0, '');
while (my $event = $stream->next_event(20)) {
    $last = $event->{data};
    next if $last eq $mark || $last eq 'end';
    ++$wrong if $last !~ /^(\d+) x{1000}\z/ || $1 != ++$seen;
    last if $seen > $lines;
}
is $seen, $lines, 'its client reads on, and has all';
is $wrong, 0, 'in order';
is $last, 'end', 'to the end';
ok $stream->is_complete, 'which is that of the stream';

$mark = mark();
$stream = act({ path => '/exec/impatient', rcvbuf => 4096 }, "say=$mark",
              'lines=100000', 'wait=1');
ok access_line(qr{\Q$mark\E.* close=slow-client }, 30),
    'one that reads nothing for SSEQueue\'s time is gone';
ok ends($mark), 'and so is its program';
$stream->close;

# --- other ends

$mark = mark();
$stream = act({ path => '/exec/max_age' }, "say=$mark", 'wait=1');
ok $stream->wait_end(10), 'SSEMaxAge ends a stream';
ok ends($mark), 'and its program';
$stream = act({ path => '/exec/beating' }, 'wait=1');
$stream->next_block;
is $stream->next_block->{comment}, '', 'a silent program\'s stream has heartbeats';
$stream->close;
$mark = mark();
act("say=$mark", 'wait=1')->close;
ok access_line(qr/\Q$mark\E/), 'a client that leaves at once is served';
ok ends($mark), 'and leaves nothing';
ok no_streams(), 'no stream is left';
