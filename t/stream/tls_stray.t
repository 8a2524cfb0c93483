# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 13, 14, 17: bytes of a TLS record that is never finished are no end, also when
# mod_reqtimeout gives the rest of it no time; nor do they hide the end.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use POSIX ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;
use Time::HiRes qw(sleep);

plan tests => 2 * 6 + 1, need_module('mod_sse', 'mod_ssl', 'mod_reqtimeout');

my $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK());
my $count;
stray($_) for qw(close reset);
ok t_cmp(no_streams(slowly(10)), 1, 'no stream is left');

# Past TLS.
sub send_raw {
    my($stream, $bytes) = @_;
    return POSIX::write(fileno $stream->sock, $bytes, length $bytes);
}

# Seconds of CPU that the child has used.
sub used {
    my $pid = shift;

    open my $fh, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!";
    my @values = split ' ', (<$fh> =~ /.*\) (.*)/)[0];
    return ($values[11] + $values[12]) / $ticks;
}

sub stray {
    my $how = shift;

    my $path = sprintf '/stream/stray/%d-%d', $$, ++$count;
    my $stream = subscribe($path, module => 'sse_stream_timed_ssl');
    my $line = error_line(qr/stream \S+ open on \Q$path\E$/m);
    my $pid = stream_pid($line =~ /stream (\S+) open/);
    ok t_cmp(send_raw($stream, "\x17"), 1, "$how: the first byte of a record");
    sleep 1.5;
    ok t_cmp(send_raw($stream, "\x03"), 1, "$how: the second, too late");
    my $before = used($pid);
    sleep 1;
    my $after = used($pid);
    ok t_cmp($after - $before < 0.5, 1, "$how: nothing spins: $before $after");
    publish($path, 'all the same');
    ok t_cmp(($stream->next_event(slowly(10)) // {})->{data}, 'all the same',
             "$how: the stream goes on");
    ok t_cmp(scalar access_lines(qr/close=\w+ .*channel=\Q$path\E /), 0,
             "$how: its end is not told");
    $how eq 'reset' ? $stream->reset : $stream->sock->close(SSL_no_shutdown => 1);
    ok t_cmp(access_line(qr/close=\w+ .*channel=\Q$path\E /) // '',
             $how eq 'reset' ? qr/close=reset / : qr/close=client /,
             "$how: its end is seen");
}
