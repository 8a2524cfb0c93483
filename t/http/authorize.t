# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEAuthorize: the application is asked.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestApp qw(asked query);

plan tests => 6, need_module('mod_sse', 'mod_proxy_http', 'mod_proxy_fcgi');

my $php = SSETestApp->php_fpm;
my $python = SSETestApp->python;

for my $by (qw(php py cgi)) {
    my $answer = request('GET', "/auth/$by/answer.$by?"
                         . query(status => 403, body => 'hello'));
    ok t_cmp($answer->code, 403, "an application by $by");
    ok t_cmp($answer->body, 'hello', 'has answered');
}
