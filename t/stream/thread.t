# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A connection's current_thread is the one that runs its hooks: in a stream's
# end, in the requests that follow on its connection, and when that closes.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);

use constant { CONNECTIONS => 12, ROUNDS => 4 };

# On prefork, a connection has its process.
my $n = have_apache_mpm('prefork') ? 1 : CONNECTIONS;
plan tests => $n * 6,
    need_module('mod_sse', 'mod_sse_thread');

# Side by side, so that they change threads.
my @conns = map { "$$-$_" } 1 .. $n;
my @host = (module => 'sse_stream_thread');
my %stream = map { $_ => open_stream("/thread/sse/$_?sse-$_", @host) } @conns;
$_->next_block(slowly(5)) for values %stream;
request('DELETE', "/thread/sse/$_", @host) for @conns;
for my $conn (@conns) {
    ok t_cmp($stream{$conn}->wait_end(slowly(5)), 1, "$conn: the stream ends");
    follows($conn, 'log', 'sse');
    follows($conn, 'pool', 'sse');
}
my %answers;
for my $round (1 .. ROUNDS) {
    $stream{$_}->again("/thread/is?is-$_") for @conns;
    for (@conns) {
        $stream{$_}->wait_end(slowly(5));
        $answers{$_} .= "$stream{$_}{body} ";
    }
}
for my $conn (@conns) {
    ok t_cmp($answers{$conn}, 'own ' x ROUNDS, "$conn: requests that follow");
    follows($conn, 'log', 'is');
    $stream{$conn}->close;
    follows($conn, 'close', 'is');
}

sub follows {
    my($conn, $what, $last) = @_;

    ok t_cmp(error_line(qr/thread \Q$last-$conn\E $what=/) // '',
             qr/$what=own$/, "$conn: $what");
}
