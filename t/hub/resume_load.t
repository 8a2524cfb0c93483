# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Resuming while much is published and the server is restarted, stopped, and
# killed, in part and altogether: every subscriber has every event of its
# channels once, in order.

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
use Time::HiRes qw(sleep);

plan tests => 19, need_module('mod_sse');

my $httpd = SSETestHttpd->new;
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);
my @paths = map { "/c/$_" } qw(a b c);
my $first = publish($paths[0], 'first', @port)->json->{id};

my $all = subscribers(6, '/all', @port, after => $first);
my $one = subscribers(3, '/c/b', @port, after => $first);
my $patient = subscribers(2, '/all', @port, after => $first, stay => 0);
my $publishers = publishers(4, \@paths, @port, repeat => 1);
sleep 0.5;
for my $act (['a graceful restart', sub { $httpd->restart('USR1') }],
             ['SIGKILL of a child', sub { $httpd->kill_child }],
             ['a restart at once', sub { $httpd->restart('HUP') }],
             ['SIGKILL of a child', sub { $httpd->kill_child }],
             ['a stop and a start', sub { $httpd->stop && $httpd->start }],
             ['SIGKILL of all and a start',
              sub { $httpd->kill_all && $httpd->start }],
             ['a graceful restart', sub { $httpd->restart('USR1') }]) {
    my($name, $do) = @$act;
    ok t_cmp(!!$do->(), 1, $name);
    sleep 0.3 + rand 0.4;
}
my $published = $publishers->stop;
my @events = @{ $published->{events} };
my @ids = map { $_->{id} } @events;
my %ids = map { $_ => 1 } @ids;
my $of = sub { my $path = shift;
               return map { $_->{id} } grep { $_->{path} eq $path } @events };
ok t_cmp(join(', ', @{ $published->{failed} }), '',
         'every event was answered, after ' . $published->{repeats}
         . ' repetitions');
ok t_cmp(scalar keys %ids, scalar @ids, 'each of ' . @ids . ' with its own id');

my @last = ($ids[-1], slowly(20));
my @results = ($all->finish(@last), $patient->finish(@last));
my $streams = 0;
$streams += $_->{streams} for @results;
ok t_cmp(join("\n", wrong_ones(\@ids, @results)), '',
         "each on three channels has all once, in order, over $streams "
         . 'streams');
my @of_b = $of->('/c/b');
@last = ($of_b[-1], slowly(20));
my @alone = $one->finish(@last);
ok t_cmp(join("\n", wrong_ones(\@of_b, @alone)), '',
         'each on one channel has all of ' . @of_b);
ok t_cmp(join(' ', map { @{ $_->{refused} } } @results, @alone), '',
         'none was refused');

# The history, read by one who was never there.
my $late = subscribers(1, '/all', @port, after => $first, stay => 0);
ok t_cmp(join("\n", wrong_ones(\@ids, $late->finish($ids[-1], slowly(20)))), '',
         'and so has the history');
ok t_cmp($httpd->store_check, 'sound', 'the store is sound');
ok t_cmp(eventually(sub {
    ((request('GET', '/status', @port)->json // {})->{streams} // 1) == 0
}, slowly(10)), 1, 'no stream is left open');
ok t_cmp($httpd->stop, 1, 'it stops');
ok t_cmp($httpd->store_check, 'sound', 'sound at rest too');
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');
