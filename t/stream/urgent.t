# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A client that sends an urgent byte, which nobody reads from a stream: the
# stream goes on, and its child has nothing to do for it.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use POSIX ();
use SSETest;
use SSETestServer;
use Socket qw(MSG_OOB);
use Time::HiRes qw(sleep);

plan tests => 4 + 2, need_module('mod_sse');

my $path = "/stream/history/deep/urgent-$$";
my $stream = subscribe($path);
# The client may have the head before the log's line is there.
my $pid;
eventually {
    my($line) = error_lines(qr/stream \S+ open on \Q$path\E$/);
    $pid = $line && $line =~ /stream (\S+) open/ ? stream_pid($1) : 0;
};
ok t_cmp($pid && is_alive($pid), 1, 'the child that has it');

# Some rounds, so that one byte more cannot be a matter of luck.
for my $round (1 .. 2) {
    ok t_cmp(send($stream->sock, '!', MSG_OOB), 1, "an urgent byte: $round");
    sleep 0.2;
    my $before = ticks($pid);
    sleep 1;
    my $used = (ticks($pid) - $before) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
    # Spinning it would be about 1.
    ok t_cmp($used < 0.5, 1, "the child used $used s of CPU in 1 s");
}
publish($path, 'after');
ok t_cmp(($stream->next_event(5) // {})->{data}, 'after', 'the stream goes on');
$stream->close;

# Of the process's threads, user and system.
sub ticks {
    open my $fh, '<', "/proc/$_[0]/stat" or die "/proc/$_[0]/stat: $!";
    my(undef, $rest) = split /\) /, scalar <$fh>;
    my @fields = split ' ', $rest;
    return $fields[11] + $fields[12];
}
