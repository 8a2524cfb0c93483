# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# How long the tests wait for what should come.  Without Apache::Test: programs
# that a test runs use it, too.

package SSETestWait;

use strict;
use warnings FATAL => 'all';

use Time::HiRes qw(time);

# When a wait is over.  One of 5 s and more is for what comes at once, unless
# the machine stands still: it may last longer, and all the more with a
# sanitizer.
sub patience {
    my $timeout = shift // 10;

    my $least = $ENV{SSE_SAN} ? 20 : 10;
    return time + ($timeout >= 5 && $timeout < $least ? $least : $timeout);
}

1;
