# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Children that are killed inside of publishing, one after the other, with the
# disk waited for and not; and all of the server at once.  What was answered is
# there, no lock stays held, no reader's slot is lost, the store is sound.

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
use Time::HiRes qw(sleep time);

my $kills = 10;
my @ways = map { "sync=$_" } qw(off on);

plan tests => 13 * @ways, need_module('mod_sse');
crashes($_) for @ways;

sub crashes {
    my $way = shift;

    my $is = sub { my($got, $want, $text) = @_;
                   ok t_cmp($got, $want, "$way: $text") };
    my $httpd = SSETestHttpd->new(store => $way);
    $is->($httpd->start, 1, 'an httpd of its own');
    my @port = (port => $httpd->port);
    my @paths = map { "/c/$_" } qw(a b c);
    my $first = publish($paths[0], 'first', @port)->json->{id};
    my $readers = $httpd->store_stat('readers');

    # Large ones, so that a kill is likely to come amid one; and readers.
    my $publishers = publishers(4, \@paths, @port, repeat => 1, pause => 0,
                                size => 8_000);
    my $subscribers = subscribers(3, '/all', @port, after => $first,
                                  stay => 0.5);
    my $slowest = 0;
    for (1 .. $kills) {
        sleep 0.05 + rand 0.15;
        $httpd->kill_child;
        my $began = time;
        my $answer = eval { publish($paths[1], 'probe', @port, timeout => 20,
                                    'Idempotency-Key' => "probe-$_") };
        my $took = time - $began;
        $slowest = $took if $took > $slowest;
    }
    # No lock is left with a dead one: a publisher has to wait for a child at
    # most, which the MPM makes once a second.
    $is->($slowest < slowly(12), 1, "publishing goes on after $slowest s");
    for my $round (1, 2) {
        $is->($httpd->kill_all && $httpd->start, 1,
              "all are killed, and started: $round");
        sleep 0.2;
    }
    my $published = $publishers->stop;
    my @events = @{ $published->{events} };
    $is->(join(', ', @{ $published->{failed} }), '', 'every one of '
          . @events . " events was answered, after $published->{repeats} "
          . 'repetitions, the slowest after '
          . sprintf '%.2f s', $published->{slowest});
    my %ids = map { $_->{id} => 1 } @events;
    $is->(scalar keys %ids, scalar @events, 'each with its own id');

    # The history, of which each key has one event.
    my $stream = open_stream('/all', @port,
                             headers => { 'Last-Event-ID' => $first });
    my(%keys, @got, $event);
    while ($event = $stream->next_event(slowly(5))) {
        my($key) = ($event->{data} // '') =~ /^(\S+)/;
        next if $key eq 'probe';
        push @{ $keys{$key} }, $event->{id} // $event->{event};
        push @got, $event->{id};
        last if $event->{id} >= $events[-1]{id};
    }
    $stream->close;
    my @lost = grep { "@{ $keys{ $_->{key} } // [] }" ne $_->{id} } @events;
    $is->(join(' ', map { "$_->{key}: $_->{id}, not "
                          . "[@{ $keys{ $_->{key} } // [] }]" } @lost), '',
          'what was answered is there, once');
    my @wrong = grep { $got[$_] <= $got[$_ - 1] } 1 .. $#got;
    $is->(scalar @wrong, 0, 'in order');
    my @streams = map { [grep { $ids{$_} || !/^\d+$/ } @{ $_->{got} }] }
        $subscribers->finish($events[-1]{id}, slowly(20));
    my @ids = map { $_->{id} } @events;
    $is->(join("\n", wrong_ones(\@ids, map { { got => $_ } } @streams)), '',
          'each subscriber has had it, once, in order');

    # A child that has read keeps a slot, and some more after a rush.
    $is->(eventually(sub {
        $httpd->store_stat('readers') <= $readers + 8 + $httpd->children
    }, slowly(15)), 1, "no reader's slot is lost: $readers, "
        . $httpd->store_stat('readers'));
    $is->($httpd->stop, 1, 'it stops');
    $is->($httpd->store_check, 'sound', 'the store is sound');
    $is->(join('', $httpd->complaints), '', 'nothing is wrong in the log');
}
