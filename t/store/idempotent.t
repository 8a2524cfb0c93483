# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The publisher's own keys: posted by many at once, to all children, over
# restarts and a killed child, each is one event.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use List::Util qw(shuffle);
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestLoad;

my $posters = 20;
my $keys = 50;

plan tests => 2 * 7 + 3, need_module('mod_sse');

my $httpd = SSETestHttpd->new;
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);
undisturbed();
disturbed();
ok t_cmp($httpd->stop, 1, 'it stops');
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

# One post of a key, in one of the ways to give it.
sub post {
    my($path, $key, $way) = @_;

    return publish($path, "text of $key", @port, 'Idempotency-Key' => $key)
        if $way == 0;
    return publish($path, "id: $key\ndata: text of $key\n\n", @port,
                   'Content-Type' => 'text/event-stream') if $way == 1;
    return publish($path, qq({"id":"$key","data":"text of $key"}), @port,
                   'Content-Type' => 'application/json');
}

# Posts the keys in an order of its own, each until it is answered; what it was
# answered, by key.
sub poster {
    my($path, $number) = @_;

    srand $number;
    my(%answers, @refused);
    for my $key (shuffle map { "key-$_" } 1 .. $keys) {
        my $end = time + slowly(60);
        while (time < $end) {
            my $answer = eval { post($path, $key, int rand 3) };
            my $code = $answer && $answer->code // 0;
            # One whose store stands still for a moment is to come again.
            push @refused, "$key: $code" if $code >= 400
                && !($code == 503 && $answer->header('Retry-After'));
            my $id = $code == 200 ? ($answer->json // {})->{id}
                // ($answer->json->{ids} // [])->[0] : undef;
            $answers{$key} = $id and last if defined $id;
            select undef, undef, undef, 0.02;
        }
    }
    return { answers => \%answers, refused => \@refused };
}

sub all_post {
    my($name, $path, $meanwhile) = @_;

    my $first = publish($path, 'first', @port)->json->{id};
    my $subscribers = subscribers(4, $path, @port, after => $first);
    my $work = SSETestLoad->start($posters, sub { poster($path, $_[0]) });
    $meanwhile->();
    my @results = $work->results('');
    my(%ids, %key_of);
    for my $result (@results) {
        my $answers = $result->{answers};
        $ids{$_}{ $answers->{$_} } = 1 for keys %$answers;
    }
    $key_of{$_} = 1 for map { keys %$_ } values %ids;
    ok t_cmp(join(' ', map { @{ $_->{refused} } } @results), '',
             "$name: none is refused");
    ok t_cmp((grep { keys %{ $_->{answers} } != $keys } @results) + 0, 0,
             "$name: each of $posters has an answer for each of $keys keys");
    my @several = grep { keys %{ $ids{$_} } != 1 } sort keys %ids;
    ok t_cmp("@several", '', "$name: all answers for a key have the same id");
    my @ids = sort { $a <=> $b } keys %key_of;
    ok t_cmp(scalar @ids, $keys, "$name: each key has its own");
    my @got = $subscribers->finish($ids[-1], slowly(20));
    ok t_cmp(join("\n", wrong_ones(\@ids, @got)), '',
             "$name: each subscriber gets each once, in order");
    return ($first, \@ids);
}

sub undisturbed {
    my($first, $ids) = all_post('at once', '/c/at-once', sub { });
    kept('at once', '/c/at-once', $first, $ids);
}

sub disturbed {
    my($first, $ids) = all_post('restarts', '/c/restarts', sub {
        $httpd->restart('USR1');
        $httpd->kill_child;
        $httpd->kill_all && $httpd->start;
    });
    kept('restarts', '/c/restarts', $first, $ids);
}

# The history, and what the keys are answered after it all.
sub kept {
    my($name, $path, $first, $ids) = @_;

    my $late = subscribers(1, $path, @port, after => $first, stay => 0);
    ok t_cmp(join("\n", wrong_ones($ids, $late->finish($ids->[-1],
                                                       slowly(20)))), '',
             "$name: and the history has each once");
    $httpd->stop;
    $httpd->start;
    my %again = map { $_ => 1 } values %{ poster($path, 0)->{answers} };
    ok t_cmp([sort { $a <=> $b } keys %again], $ids,
             "$name: after a restart they are answered the same");
}
