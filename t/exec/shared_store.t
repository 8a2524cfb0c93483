# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A store that takes nothing, as another process has its writer lock: what a
# shared program writes waits, the program waits with it, and all of it is
# published afterwards, once.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestFeed;
use SSETestHold;
use SSETestServer;
use Time::HiRes qw(sleep);

plan tests => 10, need need_module('mod_sse'),
    { 'liblmdb cannot be compiled against' => SSETestHold->can_hold };

my $path = feed_path('steady');
my $flood = feed_path('flood');

my $stream = subscribe($path);
my $id;
my @numbers = map { my $event = $stream->next_event; $id = $event->{id};
                    $event->{data} } 1 .. 20;
my $other = subscribe($flood);
ok t_cmp(scalar(numbers_of($other, 100)), 100);

my $hold = SSETestHold->new(Apache::Test::vars('t_state') . '/store');
ok error_line(qr/feed\.pl writes cannot be published .*event store takes nothing/,
              20);
# The pipe of a program that floods fills, and it sleeps.
my($pid) = running_pids($flood);
ok eventually { process_state($pid) eq 'S' };
ok t_cmp(eventually {
    my $before = time_of($pid);
    sleep 0.5;
    return time_of($pid) == $before;
}, 1, 'it has no time of the processor');
undef $hold;

push @numbers, numbers_of($stream, 500);
ok t_cmp(first_gap(@numbers), '', 'nothing is missing, nothing comes twice');
ok t_cmp(scalar(@numbers), 520);
ok t_cmp(scalar(numbers_of($other, 1000)), 1000);
my $again = open_stream($path, headers => { 'Last-Event-ID' => $id });
ok t_cmp(first_gap($numbers[19], numbers_of($again, 500)), '',
         'the history is whole');
ok t_cmp(scalar(feed_pids($path)), 1);
$_->close for $stream, $other, $again;
ok no_streams();
end_feed($path);

# In ticks: the fields 14 and 15.
sub time_of {
    open my $in, '<', "/proc/$_[0]/stat" or return -1;
    my @fields = split ' ', (<$in> // '') =~ s/.*\) //r;
    return $fields[11] + $fields[12];
}
