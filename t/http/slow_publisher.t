# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Publishers that send slowly, or stop amid their body, hold nothing up: others
# publish as fast as without them, and each event of theirs goes out as soon as
# it is complete.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestServer;
use SSETestWait;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{SSE_SAN} ? 60 : 200; # before mod_reqtimeout's 20 s are over
my $feed = 'text/event-stream';

plan tests => 11, need_module('mod_sse');

my $path = "/stream/history/deep/slow-publisher-$$";
my $subscriber = subscribe($path);

# Milliseconds that a POST takes, the median.
my $number = 0;
sub measure {
    my @took;
    my $failed = 0;
    for (1 .. $rounds) {
        my $began = time;
        my $answer = publish($path, 'quick ' . ++$number);
        push @took, 1000 * (time - $began);
        ++$failed if ($answer->code // 0) != 200;
    }
    @took = sort { $a <=> $b } @took;
    return ($took[@took / 2], $took[-1], $failed);
}

sub begin {
    my($type, $length, $bytes) = @_;

    return open_stream($path, raw => "POST $path HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Type: $type\r\n$length\r\n\r\n$bytes");
}

sub chunk { return sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

measure(); # once, for what is slow only at first
my($before) = measure();

# Of each kind two; each has sent a piece of its body.
my @feeds = map {
    begin($feed, 'Transfer-Encoding: chunked',
          chunk("data: feed $_ event 1\n\ndata: feed $_"))
} 1, 2;
my @stuck = map { my $type = $_; map {
    begin($type, 'Content-Length: 50000', 'data=' . 'x' x 20_000)
} 1, 2 } qw(text/plain application/json application/x-www-form-urlencoded);

# The next event that is not one of the quick ones.
sub slow_event {
    my $end = SSETestWait::patience(slowly(5));
    while (my $event = $subscriber->next_event($end - time)) {
        return $event->{data} if $event->{data} !~ /^quick /;
    }
    return undef;
}

ok t_cmp(join(', ', sort map { slow_event() // 'none' } 1, 2),
         'feed 1 event 1, feed 2 event 1',
         'an event is published when it is complete');
my($during, $slowest, $failed) = measure();
ok t_cmp($failed, 0, 'beside them, others publish');
ok t_cmp($slowest < slowly(5000), 1, "the slowest in $slowest ms");

for my $n (2 .. 4) {
    $feeds[0]->send_bytes(chunk(" event $n\n\ndata: feed 1"));
    ok t_cmp(slow_event(), "feed 1 event $n", "event $n goes out by itself");
}
# One ends well, the other leaves amid an event.
$feeds[0]->send_bytes(chunk(" event 5\n\n") . "0\r\n\r\n");
ok t_cmp($feeds[0]->status, 200, 'the slow one is answered');
$feeds[0]->wait_end(slowly(5));
my @ids = $feeds[0]->{body} =~ /"(\d+)"/g;
ok t_cmp(scalar @ids, 5, 'with the ids of all');
slow_event();
$_->reset for $feeds[1], @stuck;
publish($path, 'the last');
ok t_cmp(slow_event(), 'the last', 'what was not complete is not published');
ok t_cmp(eventually(sub {
    access_lines(qr/"POST \Q$path\E HTTP.* X=X /) >= 1 + @stuck
}, slowly(10)), 1, 'they are gone');
my($after) = measure();
my $without = $after > $before ? $after : $before;
ok t_cmp($during < 3 * $without + slowly(50), 1,
         "as fast as without: median $before ms, $during ms, then $after ms");
