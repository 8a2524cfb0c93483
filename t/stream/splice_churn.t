# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Streams over HTTP/2 in the traffic of browsers that come and go
# (t/client/h2_churn.py): no byte is wrong, no event missing, nothing ends by
# itself, and nothing is left.
#
# CHURN_SECONDS (15), CHURN_SEED

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestSplice;

# With a thread for each stream, a connection has four.
plan tests => 9,
    need need_module('mod_sse', 'mod_ssl', 'mod_http2', 'mod_ratelimit'),
    why_not(), { 'streams take threads' => is_spliced() };

my $server = SSETestSplice->new(
    threads => 16, children => 2, modules => ['ratelimit'], conf => <<'EOI');
<Location "/limited">
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 1000
</Location>
EOI

my $before = $server->resources;
my $result = churn();
my $done = $result->{done};
t_debug(join ', ', map { "$_ $done->{$_}" } sort keys %$done);
ok t_cmp($result->{status}, 0, 'the churn comes to its end');
ok t_cmp($result->{wrong}, [], 'nothing was wrong');
ok t_cmp($done->{$_} > 0, 1, "$done->{$_} $_") for qw(stayed reset downloads);
ok t_cmp($server->is_at_rest, 1, 'nothing is left open');
my $descriptors;
my $given_back = eventually {
    $descriptors = $server->resources->{descriptors} - $before->{descriptors};
    $descriptors < 100;
} slowly(20);
ok t_cmp($given_back, 1, "$descriptors descriptors more than before");
ok t_cmp($server->complaints, '', 'nothing is wrong in the log');
ok $server->httpd->stop;

sub churn {
    my $options = JSON::PP->new->ascii->canonical->encode({
        ports => [[$server->port + 0, JSON::PP::false],
                  [$server->{tls_port} + 0, JSON::PP::true]],
        seconds => ($ENV{CHURN_SECONDS} || 15) + 0,
        seed => ($ENV{CHURN_SEED} || 1) + 0, patience => slowly(20) + 0,
        big => '/big', slow => '/limited', md5 => $server->{md5},
        length => SSETestSplice::BIG + 0 });
    open my $out, '-|', '/usr/bin/python3', '-B',
        "$ENV{SSE_TOP}/t/client/h2_churn.py", $options
        or die "python3: $!";
    my $last = '';
    while (my $line = <$out>) {
        $last = $line;
    }
    close $out;
    my $said = eval { JSON::PP::decode_json($last) } // { done => {} };
    return { %$said, status => $? >> 8 };
}
