# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Reports of crashed processes: of a sanitizer, or of t/san/crash_report.c.  make
# check says where they are ($SSE_CRASH_REPORT).
#
#   push @bad, crash_report($1) if $line =~ /child pid (\d+) exit signal/
#       && !is_httpds_own_crash($1);

package SSETestCrash;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(crash_report first_lines is_httpds_own_crash library_lines);

# Of a file: enough to see what it tells.
sub first_lines {
    my $file = shift;

    open my $fh, '<', $file or die "open $file: $!";
    my @lines;
    while (defined(my $line = <$fh>) && @lines < 60) {
        push @lines, $line;
    }
    return @lines;
}

# What is told of the crash of that process.
sub crash_report {
    my $pid = shift;

    my($logs) = ($ENV{SSE_CRASH_REPORT} // '') =~ m{\A(.*)/} or return ();
    return map { -e ? first_lines($_) : () }
        glob "$logs/san.{asan,tsan,crash}.$pid";
}

# Of a log's lines, what libraries have said, who know no log and may have ended
# the process.
sub library_lines { return grep { !/^\[\w{3} \w{3} / } @_ }

# Whether it is httpd's own way to stop at once that has crashed, and nothing of
# ours: the main thread of a child closes the connections that its other threads
# are serving, and so follows, and changes, lists of cleanups that these change at
# the same time (close_worker_sockets() in event.c and worker.c); or a prefork
# child is told to stop while it is in malloc(), and ends by exit() right in the
# signal's handler, where libraries free memory (just_die() in prefork.c).
sub is_httpds_own_crash {
    my $report = join '', crash_report($_[0]);

    # Nothing is between the MPM's frame and libapr's; of the main thread.
    my $closing = qr/\bapr_(?:pool_cleanup|socket|os_sock)_.*\n
                     .*\bmod_mpm_(?:event|worker)\.so/x;
    my $dying = qr/(?:.*\bmod_mpm_prefork\.so.*\n)+(?:.*\blibc\.so.*\n)+?
                   .*\b__libc_(?:malloc|calloc|realloc|free)\b/x;
    return $report =~ /$closing|$dying/
        && $report =~ /\bap_run_mpm\b/ && $report !~ /\bmod_sse\w*\.so/;
}

1;
