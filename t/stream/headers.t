# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 21: headers freeze when the stream starts: what is changed later has no
# effect, and one WARNING names it.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;

my @ways = (['plain'], ['TLS', module => 'mod_sse_ssl']);
plan tests => 9 * @ways, need_module('mod_sse', 'mod_sse_close', 'mod_ssl');

my $warnings = 0;
for my $way (@ways) {
    my($name, @opt) = @$way;

    my $quiet = key();
    my $stream = opened(\@opt, $quiet, rend => 1);
    $stream->wait_end;
    my $k = key();
    my $changed = opened(\@opt, $k, rhdr => 1, rn => 2, rend => 1);
    my @got = map { $changed->header($_) // '-' }
        qw(x-close-test x-changed x-removed x-late content-type);
    ok t_cmp("@got", 'yes 1 1 - text/event-stream', "$name: what was sent");
    ok t_cmp($changed->wait_end && $changed->is_complete, 1,
             "$name: the stream is none the worse");
    ok t_cmp(told($k, 'close')->{events}, 2, "$name: nor its events");

    # The warning comes before the access log's line.
    ok t_cmp(defined access_line(qr/k=$k&/), 1, "$name: the request is over");
    my @lines = error_lines(qr/headers were changed after/);
    ok t_cmp(scalar @lines, ++$warnings, "$name: one line, for this request");
    my $line = $lines[-1] // '';
    ok t_cmp($line, qr/\[sse:warn(?:ing)?\]/, "$name: a WARNING");
    ok t_cmp($line, qr/X-Changed/, "$name: names what was changed");
    ok t_cmp($line, qr/X-Late/, "$name: what was added");
    ok t_cmp($line, qr/X-Removed/, "$name: and removed");
}
