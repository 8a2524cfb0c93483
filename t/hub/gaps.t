# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A client that resumes, and reads so slowly that what it was to read is gone in
# the meantime: it is told of a second gap, in its place, and goes on.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestClose qw(slowly);

# More than the sockets can hold.
my $size = 60_000;
my $wmem = 4_000_000;
if (open my $fh, '<', '/proc/sys/net/ipv4/tcp_wmem') {
    $wmem = (split ' ', <$fh>)[2];
}
my $batch = 40;
my $count = $batch * (1 + int(($wmem + 2_000_000) / $size / $batch));

my @modules = ('', 'mod_sse_ssl');
plan tests => 9 * @modules, need_module('mod_sse', 'mod_ssl');
second_gap($_) for @modules;

# One channel, by who publishes last with a long history or a short one.
sub path {
    my($history, $module) = @_;
    return "/stream/history/$history/second-$module-$$";
}

# So many events, all at once; their ids.
sub publish_some {
    my($n, @path) = @_;

    my $event = '{"data":"' . 'x' x $size . '"}';
    my $answer = publish(path(@path), '[' . join(',', ($event) x $n) . ']',
                         'Content-Type' => 'application/json');
    return @{ ($answer->json // {})->{ids} // [] };
}

# What comes up to the event of that id: ids, and gaps as structures.
sub read_upto {
    my($stream, $last) = @_;

    my @got;
    while (my $event = $stream->next_event(slowly(5))) {
        push @got, $event->{event} eq 'sse-gap'
            ? JSON::PP::decode_json($event->{data}) : $event->{id};
        last if $got[-1] eq $last;
    }
    return @got;
}

sub second_gap {
    my $module = shift;

    my @ids = map { publish_some($batch, 'many', $module) }
        1 .. $count / $batch;
    ok t_cmp(scalar @ids, $count, 'published');
    my $stream = open_stream(path('many', $module), rcvbuf => 4096,
                             ($module ? (module => $module) : ()),
                             headers => { 'Last-Event-ID' => 'nonsense' });
    my $first = $stream->next_event(slowly(5)) // {};
    ok t_cmp($first->{event}, 'sse-gap', 'a first gap');
    ok t_cmp(JSON::PP::decode_json($first->{data} // '{}'),
             { after => 'nonsense', oldest => $ids[0] },
             'told of what is kept');
    my @got = read_upto($stream, $ids[0]);

    # The history is these three from now on.
    my @more = publish_some(3, 'few', $module);
    ok t_cmp(scalar @more, 3, 'published');
    push @got, read_upto($stream, $more[-1]);
    ok t_cmp($got[-1], $more[-1], 'the last one comes');
    my @gaps = grep { ref } @got;
    ok t_cmp(scalar @gaps, 1, 'after a second gap');
    my $before = 0;
    ++$before while $before < @got && !ref $got[$before];
    ok t_cmp($gaps[0], { after => $ids[$before - 1], oldest => $more[0] },
             "told of what is missing, behind $before events");
    ok t_cmp("@got[0 .. $before - 1, $before + 1 .. $#got]",
             "@ids[0 .. $before - 1] @more", 'and there is no other');
    my($live) = publish_some(1, 'few', $module);
    ok t_cmp([read_upto($stream, $live)], [$live], 'then what is new');
    $stream->reset;
}
