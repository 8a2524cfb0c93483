# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Bursts and clients that do not read: who reads has all of it, however much
# comes at once, and a child's memory does not grow with what one leaves unread.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;
use Time::HiRes qw(sleep);

# A batch is many times what SSEQueue lets wait in memory.
my $batch = 50;
my $size = 20_000;
my $batches = $ENV{SSE_SAN} ? 8 : 30;

my @policies = qw(close drop);
plan tests => 4 * @policies + 7, need_module('mod_sse');
burst($_) for @policies;
never_reads();
request('DELETE', path('behind/close'));
ok t_cmp(no_streams(slowly(10)), 1, 'no stream is left');

# What is through with is deleted: the store has room for a few bursts only.
my($count, $last_path);
sub path {
    request('DELETE', $last_path) if $last_path;
    return $last_path = "/stream/$_[0]/$test_id-" . ++$count;
}

# One POST of so many events; their ids.
sub publish_at_once {
    my $path = shift;

    my @events = map { { data => "$_ " . 'x' x $size } } 1 .. $batch;
    my $answer = publish($path, JSON::PP->new->encode(\@events),
                         'Content-Type' => 'application/json');
    return @{ ($answer->json // {})->{ids} // [] };
}

# The same, but each goes out as it is read, and no thread of the server is left
# with the memory of so large a body.
sub publish_batch {
    my $path = shift;

    my $event = 'data: ' . 'x' x $size . "\n\n";
    my $answer = publish($path, $event x $batch,
                         'Content-Type' => 'text/event-stream');
    return @{ ($answer->json // {})->{ids} // [] };
}

# What comes up to the event of that id: ids, and the word "gap".
sub read_upto {
    my($stream, $last) = @_;

    my @got;
    while (my $event = $stream->next_event(slowly(5))) {
        push @got, ($event->{event} // '') eq 'sse-gap'
            ? 'gap' : $event->{id} // 'none';
        last if $got[-1] eq $last;
    }
    return "@got";
}

# Nobody is slow just because much is published at once.
sub burst {
    my $policy = shift;

    my $path = path("behind/$policy");
    my @streams = map { subscribe($path) } 1 .. 10;
    my @ids = map { publish_at_once($path) } 1 .. 2;
    ok t_cmp(scalar @ids, 2 * $batch, "$policy: published");
    my $whole = grep { read_upto($_, $ids[-1]) eq "@ids" } @streams;
    ok t_cmp($whole, scalar @streams,
             "$policy: each has all of a burst, in order, without a gap");
    ok t_cmp((grep { $_->is_ended } @streams) + 0, 0, "$policy: all stay open");
    ok t_cmp(scalar access_lines(qr/close=slow-client .*channel=\Q$path\E /),
             0, "$policy: none is called slow");
}

# kB of what a process has for itself.
sub memory {
    my $pid = shift;

    open my $fh, '<', "/proc/$pid/status" or die "/proc/$pid/status: $!";
    my($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$fh>;
    return $kb;
}

sub never_reads {
    my $path = path('slow/drop');
    my $slow = subscribe($path, rcvbuf => 4096);
    # The client may have the head before that line is there.
    my $pid;
    eventually {
        ($pid) = map { /stream (\S+) open on \Q$path\E$/m ? stream_pid($1) : () }
            error_lines(qr/open on/);
        $pid;
    } or die 'the stream is not logged';
    # Who has had nothing live is spared: it may be coming back.
    publish($path, 'first');
    $slow->next_event(slowly(5));
    my @quick = map { subscribe($path) } 1 .. 3;
    # Until the slow one's socket is full, and buffers have been used once.
    my @ids = map { publish_batch($path) } 1 .. 5;
    read_upto($_, $ids[-1]) for @quick;

    my $before = memory($pid);
    my $missing = 0;
    for (1 .. $batches) {
        my @more = publish_batch($path);
        $missing += grep { read_upto($_, $more[-1]) ne "@more" } @quick;
        push @ids, @more;
    }
    my $after = memory($pid);
    sleep 8.5; # what waits is old
    ok t_cmp($missing, 0, 'beside one that never reads, all have every event');
    my $sent = int @ids * $size / 1e6;
    ok t_cmp($after - $before < 8192 || !!$ENV{SSE_SAN}, 1,
             "its child's memory is flat: $before, $after kB at $sent MB");

    # It reads after all.
    my @got = map { $_->{event} eq 'sse-gap' ? 'gap' : $_->{id} }
        $slow->upto_new(sub {
            push @ids, publish($path, 'new')->json->{id};
            return $ids[-1];
        });
    ok t_cmp($got[-1], $ids[-1], 'it is still there, and has the newest');
    my @came = grep { $_ ne 'gap' } @got;
    ok t_cmp(@came < @ids, 1, @came . ' of ' . @ids . ' came');
    my %place = map { $ids[$_] => $_ } 0 .. $#ids;
    my($wrong, $next, $gap) = (0, 0, 0);
    for my $id (@got) {
        if ($id eq 'gap') {
            $gap = 1;
            next;
        }
        ++$wrong if ($place{$id} != $next) != $gap || $place{$id} < $next;
        ($next, $gap) = ($place{$id} + 1, 0);
    }
    ok t_cmp($wrong, 0, 'a gap is told where events are missing, only there');
    $slow->reset;
    ok t_cmp(eventually(sub { scalar access_lines(
        qr/close=(?:reset|write-error) .*channel=\Q$path\E /) }), 1,
        'it is the client who ends it');
}
