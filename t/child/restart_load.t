# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Graceful restarts are no outage: publishers that connect anew for each event,
# and repeat nothing, are always answered; streams end soon, with different
# times to come back after; old children leave.  Also where ServerLimit leaves
# no room for a second generation beside the first.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestLoad;
use SSETestServer qw(is_alive);
use Time::HiRes qw(sleep time);

my $restarts = 3;
my %full = (
    event => "StartServers 2\nServerLimit 2\nThreadsPerChild 16\n"
        . "MinSpareThreads 16\nMaxSpareThreads 32\nMaxRequestWorkers 32\n"
        . "AsyncRequestWorkerFactor 400\n",
    worker => "StartServers 2\nServerLimit 2\nThreadsPerChild 32\n"
        . "MinSpareThreads 32\nMaxSpareThreads 64\nMaxRequestWorkers 64\n",
    prefork => "StartServers 30\nServerLimit 30\nMinSpareServers 5\n"
        . "MaxSpareServers 30\nMaxRequestWorkers 30\n",
);
my $mpm = $ENV{SSE_MPM} || 'event';
my @ways = (['room for two generations'],
            ['ServerLimit full', mpm => $full{$mpm}]);

plan tests => (9 + $restarts) * @ways, need_module('mod_sse');
restarts(@$_) for @ways;

sub restarts {
    my($way, @opt) = @_;

    my $is = sub { my($got, $want, $text) = @_;
                   ok t_cmp($got, $want, "$way: $text") };
    my $httpd = SSETestHttpd->new(@opt);
    $is->($httpd->start, 1, 'an httpd of its own');
    my @port = (port => $httpd->port);
    my @paths = map { "/c/$_" } qw(a b c);
    my $first = publish($paths[0], 'first', @port)->json->{id};
    my $count = 12;
    my $subscribers = subscribers($count, '/all', @port, after => $first,
                                  stay => 0);
    my $publishers = publishers(3, \@paths, @port, pause => 0.005);
    my $open = sub { (request('GET', '/status', @port)->json // {})->{streams} // -1 };

    for my $n (1 .. $restarts) {
        eventually(sub { $open->() == $count }, slowly(10));
        my @old = $httpd->children;
        $httpd->restart('USR1');
        my $began = time;
        my $left = eventually(sub { !grep { is_alive($_) } @old }, slowly(20));
        my $took = time - $began;
        # Streams end within a second; httpd's connections outlive that a bit.
        $is->($left && $took < slowly(12), 1,
              "restart $n: the old children are gone after $took s");
    }
    $is->(eventually(sub { $open->() == $count }, slowly(10)), 1,
          'all have come back');
    my $published = $publishers->stop;
    my @ids = map { $_->{id} } @{ $published->{events} };
    $is->(join(', ', @{ $published->{failed} }), '',
          'publishing never failed: ' . @ids . ' events');
    $is->($published->{slowest} < slowly(15), 1,
          "the slowest answer came after $published->{slowest} s");

    my @results = $subscribers->finish($ids[-1], slowly(20));
    $is->(join("\n", wrong_ones(\@ids, @results)), '',
          'every subscriber has every event once, in order');
    $is->(join(' ', map { @{ $_->{refused} } } @results), '',
          'none was refused');
    # A stream begins with SSERetry, 200, and ends with half to one and a half
    # of it; 500 is said by a child that is leaving already.
    my @told = map { grep { $_ != 200 && $_ != 500 } @{ $_->{retries} } }
        @results;
    my %different = map { $_ => 1 } @told;
    my @strange = grep { $_ < 100 || $_ > 300 } @told;
    $is->(@told >= $count * $restarts * 0.8 && !@strange
          && keys %different > @told / 3, 1,
          'each is told its own time to come back: ' . join ' ', @told);
    $is->($httpd->stop, 1, 'it stops');
    $is->(join('', $httpd->complaints), '', 'nothing is wrong in the log');
}
