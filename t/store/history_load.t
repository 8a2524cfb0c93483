# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Histories while much is published: what is given up is told as a gap, exactly
# where something is missing; very many channels; and channels that nobody uses
# leave no trace.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use SSETestLoad;
use Time::HiRes qw(sleep time);

my $posts = $ENV{SSE_SAN} ? 40 : 200;
my $names = join ' ', map { "\"many-%{unescape:%{QUERY_STRING}}-$_\"" } 1 .. 100;

plan tests => 3 * 4 + 11, need_module('mod_sse');

my $httpd = SSETestHttpd->new(conf => <<"EOI");
<Location "/c/count/">
    SSEHistory 20
</Location>
<Location "/c/bytes/">
    SSEHistory 1000 1h 2k
</Location>
<Location "/c/age/">
    SSEHistory 1000 300ms
</Location>
<Location "/c/many">
    SSEChannel $names
    SSEHistory 10 20s
</Location>
<Location "/c/brief/">
    SSEHistory 10 1s
</Location>
<Location "/c/none/">
    SSEHistory 0
</Location>
EOI
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);

many_channels();
evicted($_) for qw(count bytes age);
no_trace();
ok t_cmp($httpd->store_check, 'sound', 'the store is sound');
ok t_cmp($httpd->stop, 1, 'it stops');
ok t_cmp(join('', $httpd->complaints), '', 'nothing is wrong in the log');

# A hundred with each POST.  After 20 s the first ones begin to go.
sub many_channels {
    my($n, $good) = (0, 0);
    my $end = time + 10;
    while ($n < $posts && time < $end) {
        ++$n;
        my $answer = publish("/c/many?$n", "event $n", @port);
        ++$good if ($answer->code // 0) == 200;
    }
    ok t_cmp($good, $n, 100 * $n . ' channels');
    my $channels = $httpd->store_stat('channels');
    ok t_cmp($channels >= 100 * $n, 1, "are there: $channels");
    my(undef, $list) = $httpd->store_tool('list', "many-$n-");
    ok t_cmp(scalar(() = $list =~ /\tmany-$n-\d+\t1\t/g), 100,
             'sse-store lists them');
    publish("/c/$_/x", 'x', @port) for qw(brief none);
    ok t_cmp([$httpd->store_tool('list', 'none/x')]->[1], qr/\tnone\/x\t0\t/,
             'also one that keeps nothing, for a while');
}

# Subscribers that stay away for so long that events are gone meanwhile.
sub evicted {
    my $limit = shift;

    my $path = "/c/$limit/evicted";
    my $first = publish($path, 'first', @port)->json->{id};
    my $subscribers = subscribers(4, $path, @port, after => $first,
                                  stay => 0.1, away => slowly(1),
                                  marks => 1);
    my $publishers = publishers(2, [$path], @port, repeat => 1,
                                size => 100);
    sleep 2.5;
    eventually(sub { ($httpd->store_stat('last') // 0) >= $first + 400 },
               slowly(20));
    $httpd->kill_child;
    sleep 0.3;
    my $published = $publishers->stop;
    # By its age it may be gone before they are back.
    # Like the publishers, again where the store has just stood still.
    my $answer;
    my $last = eventually(sub {
        $answer = publish($path, 'last', @port);
        ($answer->json // {})->{id};
    }, slowly(10)) // die 'not taken: ', $answer->code // 'no answer';
    my @results = $subscribers->finish($last,
                                       $limit eq 'age' ? 2 : slowly(20));
    ok t_cmp(join(', ', @{ $published->{failed} }), '',
             "$limit: every event was answered");
    my @ids = ((map { $_->{id} } @{ $published->{events} }), $last);
    my %place = map { $ids[$_] => $_ } 0 .. $#ids;
    my(@wrong, $gaps);
    for my $result (@results) {
        my($next, $gap, $open) = (0, 0, 0);
        for my $id (@{ $result->{got} }) {
            if ($id eq 'open') {
                $open = 1;
                next;
            }
            if ($id eq 'sse-gap') {
                # What it was told it is not told again, but more may be gone.
                push @wrong, 'two gaps at once' if $gap && !$open;
                ($gap, $open) = (1, 0);
                ++$gaps;
                next;
            }
            my $place = $place{$id} // -1;
            push @wrong, $place < $next ? "$id again" : $gap
                ? "a gap before $id, and none is missing"
                : ($place - $next) . " missing before $id, and no gap"
                if $place < $next || ($place > $next) != $gap;
            ($next, $gap) = ($place + 1, 0);
        }
        push @wrong, 'not up to the last' if $next != @ids && $limit ne 'age';
    }
    ok t_cmp(join("\n", @wrong), '', "$limit: of " . @ids
             . ' events what is missing is told, where it is');
    ok t_cmp(($gaps // 0) > 0, 1, "$limit: some were: " . ($gaps // 0)
             . ' gaps');
    my(undef, $list) = $httpd->store_tool('list', "$limit/evicted");
    my($kept, $bytes) = (0, 0);
    ($kept, $bytes) = ($1, $2)
        if $list =~ /\t$limit\/evicted\t(\d+)\t(\d+)\t/;
    my $most = { count => 20, bytes => 1000, age => 1000 }->{$limit};
    ok t_cmp($kept <= $most && ($limit ne 'bytes' || $bytes <= 2048), 1,
             "$limit: $kept events are kept, $bytes bytes");
}

# By now most are over their time; records linger for 10 s.
sub no_trace {
    my $left = eventually(sub {
        my(undef, $list) = $httpd->store_tool('list');
        $list !~ /\t(?:many-|brief|none)/;
    }, slowly(90));
    ok t_cmp($left, 1, 'channels that nobody uses are gone');
    my $channels = $httpd->store_stat('channels');
    ok t_cmp($channels <= 3, 1, "$channels are left");
    my $lingering = $httpd->store_stat('lingering');
    ok t_cmp($httpd->store_stat('events') < 1000 + $lingering, 1,
             'and so are their records');
}
