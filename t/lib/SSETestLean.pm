# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Loaded before a test (scripts/check.sh): what Apache::Test would load for
# t/TEST alone, MakeMaker and the harness, and for mod_perl and LWP, which no
# test uses, takes four times as long as all the rest.

package SSETestLean;

use strict;
use warnings FATAL => 'all';

# As if it were loaded, and as if they were not installed.
$INC{'Apache/TestRun.pm'} = __FILE__;
@INC{'mod_perl2.pm', 'LWP/UserAgent.pm'} = ();

sub Apache::TestRun::exit_perl { exit($_[0] ? 0 : 1) }

1;
