# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Long polls while the server is restarted, stopped and killed: one that waits is
# answered in whole or not at all, and whoever asks again has every event once.

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
use SSETestNumbers;
use SSETestPoll;
use Time::HiRes qw(sleep);

use constant WAITING => 12;

plan tests => 4 * 4 + 1 + 14, need_module('mod_sse');

my $httpd = SSETestHttpd->new;
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);

waiting('a graceful restart', 1, sub { $httpd->restart('USR1') });
waiting('a restart at once', 0, sub { $httpd->restart('HUP') });
waiting('SIGKILL of the children', 0, sub {
    kill KILL => $httpd->children;
    eventually { $httpd->answers == 200 } 20;
});
waiting('a stop', 0, sub { $httpd->stop && $httpd->start });
at_work();

# Polls that wait in all children.
sub waiting {
    my($name, $are_all_answered, $do) = @_;

    my $last = publish('/c/w', 'before', @port)->json->{id};
    my @polls = map { open_poll('/c/w', @port, wait => 25, id => $last) }
        1 .. WAITING;
    $_->head for @polls;
    ok t_cmp(!!$do->(), 1, $name);
    my $ended = grep { $_->wait_end(10) } @polls;
    ok t_cmp($ended, WAITING, 'ends each poll that waits');
    my @whole = grep { $_->is_complete } @polls;
    my @answers = grep { defined } map { answer($_) } @whole;
    my @good = grep { !@{ $_->{events} } && $_->{last} eq $last } @answers;
    if ($are_all_answered) {
        ok t_cmp((grep { defined $_->{retry} } @good) + 0, WAITING,
                 'with an answer that says when to come back');
    }
    else {
        ok t_cmp(scalar @good, scalar @whole,
                 @good . ' of them with an answer, the others with none');
    }
    $_->close for @polls;
    # The store may stand still for a moment, and a child of before have nothing
    # but a pause.
    my $id = eventually {
        (publish('/c/w', 'after', @port, 'Idempotency-Key' => $name)->json
         // {})->{id}
    };
    my $client = SSETestPoll->new('/c/w', @port, id => $last);
    my @events;
    eventually { scalar(@events = $client->next(wait => 25)) };
    ok t_cmp(join(' ', map { "$_->{id} $_->{data}" } @events), "$id after",
             'the next one goes on');
    $client->close;
}

sub at_work {
    my @paths = map { "/c/$_" } qw(a b c);
    my $first = publish($paths[0], 'first', @port)->json->{id};
    my @all = map { pollers(2, '/all', @port, after => $first, @$_) } (
        [], [fresh => 1], [leave => 1, limit => 50]);
    my $publishers = publishers(2, \@paths, @port, repeat => 1, pause => 0.004);
    sleep 0.3;
    for my $act (['a graceful restart', sub { $httpd->restart('USR1') }],
                 ['SIGKILL of a child', sub { $httpd->kill_child }],
                 ['a restart at once', sub { $httpd->restart('HUP') }],
                 ['a stop and a start', sub { $httpd->stop && $httpd->start }],
                 ['SIGKILL of all and a start',
                  sub { $httpd->kill_all && $httpd->start }],
                 ['a graceful restart', sub { $httpd->restart('USR1') }]) {
        my($name, $do) = @$act;
        ok t_cmp(!!$do->(), 1, $name);
        sleep 0.2 + rand 0.3;
    }
    my $published = $publishers->stop;
    my @ids = map { $_->{id} } @{ $published->{events} };
    ok t_cmp(join(', ', @{ $published->{failed} }), '', 'all were published');
    ok t_cmp(@ids > 50, 1, scalar @ids . ' events');
    my @results = map { $_->finish($ids[-1], slowly(20)) } @all;
    ok t_cmp(join("\n", wrong_ones(\@ids, @results)), '',
             'each has had all of them once, in order');
    ok t_cmp(join(' ', map { @{ $_->{refused} } } @results), '',
             'none was refused');
    ok t_cmp(eventually(sub { numbers(@port)->{streams} == 0 }, slowly(10)), 1,
             'none is left open');
    ok t_cmp($httpd->store_check, 'sound', 'the store is sound');
    ok t_cmp($httpd->stop, 1, 'it stops');
    # A child that leaves gracefully takes no notice of SIGTERM (event.c), and may
    # still wait for a client.
    ok t_cmp(join('', $httpd->complaints(qr/AH00046/)), '',
             'nothing is wrong in the log');
}
