# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Who publishes without end gives up his own events: others keep theirs, and
# who listens to them misses nothing.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;

my $kept = 50;
# More than the store has room for, in 1.6 MB.
my $flood = 200_000;
plan tests => 3 + 2 * 5 + 1, need_module('mod_sse');

my $httpd = SSETestHttpd->new(store => 'size=16m', conf => <<'EOI');
<Location "/c/loud">
    SSEHistory 100
</Location>
EOI
$httpd->start or die 'it does not start';
my @port = (port => $httpd->port);

my @ids = map { publish('/c/quiet', "event $_", @port)->json->{id} } 1 .. $kept;
ok t_cmp(scalar @ids, $kept, 'a channel has some events');
my $live = open_stream('/c/quiet', @port);
ok t_cmp(ref $live->next_block(slowly(5)), 'HASH', 'somebody listens');
my $limit = $httpd->store_stat('soft');
ok t_cmp($limit < 60 * $flood, 1, "the store has room for $limit bytes");

flood('/c/loud', 'a short history');
flood('/c/greedy', 'a long one');
ok t_cmp($httpd->store_check, 'sound', 'the store is sound');

sub flood {
    my($path, $text) = @_;

    my $answer = publish($path, "data:x\n\n" x $flood, @port,
                         'Content-Type' => 'text/event-stream',
                         timeout => slowly(60));
    ok t_cmp($answer->code, 200, "$text: a flood is taken");
    my $stream = open_stream('/c/quiet', @port,
                             headers => { 'Last-Event-ID' => $ids[0] });
    my @got;
    while (my $event = $stream->next_event(slowly(5))) {
        push @got, $event->{id};
        last if $event->{id} eq $ids[-1];
    }
    ok t_cmp("@got", "@ids[1 .. $#ids]", "$text: others keep theirs, no gap");
    my $used = $httpd->store_stat('used');
    ok t_cmp($used < 1.2 * $limit, 1, "$text: $used bytes are used");
    my($status, $list) = $httpd->store_tool('list', substr $path, 3);
    ok t_cmp($list, qr/\t(?:100|\d{4,})\t/, "$text: he keeps what he may");
    push @ids, publish('/c/quiet', 'live', @port)->json->{id};
    my $event = $live->next_event(slowly(20)) // {};
    ok t_cmp([@$event{qw(event data id)}], ['message', 'live', $ids[-1]],
             "$text: who listens has no gap, and the next event");
}
