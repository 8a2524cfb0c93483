# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Another process has the store's writer lock and does not let go.  Publishers
# are told to come again, at once or after some seconds; pages and subscribers
# are served meanwhile; and nothing of what was refused is ever published.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHold;
use SSETestHttpd;
use Time::HiRes qw(sleep time);

my $posts = 40;

plan tests => 20, need need_module('mod_sse'),
    { 'liblmdb cannot be compiled against' => SSETestHold->can_hold };

my $httpd = SSETestHttpd->new(conf => 'SSEHistory 1000');
$httpd->start or die 'it does not start';
my @port = (port => $httpd->port);
my $path = '/c/locked';

ok t_cmp(publish($path, 'before', @port)->code, 200, 'it works');
my $stream = open_stream($path, @port);
$stream->next_block;

# A feed whose first event is published before.
my $listener = open_stream('/c/feed', @port);
$listener->next_block;
my $feed = open_stream('/c/feed', @port, method => 'POST',
                       timeout => slowly(20), close => 1,
                       headers => { 'Content-Type' => 'text/event-stream',
                                    'Transfer-Encoding' => 'chunked' });
sub send_event {
    my $event = "data: $_[0]\n\n";
    $feed->send_bytes(sprintf "%x\r\n%s\r\n", length $event, $event);
}
send_event('one');
ok t_cmp($listener->next_event->{data}, 'one', 'a feed has begun');
$listener->close; # with prefork it has a process

my $hold = SSETestHold->new($httpd->{store});

# All at once: on event and worker more than there are threads.
my $began = time;
my @waiting = map {
    open_stream($path, @port, method => 'POST', body => "refused $_",
                headers => { 'Content-Type' => 'text/plain' }, close => 1,
                timeout => slowly(20));
} 1 .. $posts;
sleep 1.5;

# What is left of a child's threads serves.
my @took = map {
    my $start = time;
    (request('GET', '/status', @port)->code // 0) == 200 ? time - $start : 99;
} 1 .. 10;
ok t_cmp((grep { $_ < slowly(1) } @took) >= 8, 1,
         'pages are served while publishers wait')
    or t_debug("@took");
my $start = time;
my $other = open_stream($path, @port, headers => { 'Last-Event-ID' => 1 });
ok t_cmp($other->next_block && $other->status, 200, 'subscribers as well');
ok t_cmp(time - $start < slowly(8), 1, 'at once');

my(%code, $retry, $error);
for my $answer (map { SSETest::Answer->new($_) } @waiting) {
    $code{$answer->code // 'none'}++;
    $retry ||= $answer->header('Retry-After');
    $error ||= ($answer->json // {})->{error};
}
ok t_cmp(\%code, { 503 => $posts }, 'all publishers are told to come again');
ok t_cmp(time - $began < slowly(15), 1, 'within some seconds');
ok t_cmp($retry, 5, 'when');
ok t_cmp($error, qr/another process has it locked; nothing was published/,
         'and why');
ok t_cmp((() = $httpd->lines(qr/publishers are refused: another process/)) > 0,
         1, 'the log says what to do');

# Deletions wait in the same way.
my $deleted = request('DELETE', $path, @port, timeout => slowly(20));
ok t_cmp($deleted->code, 503, 'a deletion is refused as well');
ok t_cmp($deleted->header('Retry-After'), 5, 'with the time to come again');

# What a feed has published before is not to be published again.
send_event('two');
$feed->send_bytes("0\r\n\r\n");
my $partly = SSETest::Answer->new($feed);
ok t_cmp($partly->code, 503, 'the rest of a feed is refused as well');
ok t_cmp([scalar @{ $partly->json->{ids} }, $partly->header('Retry-After')],
         [1, undef], 'with the id of what was published before');
ok t_cmp($partly->json->{error},
         qr/^what follows the ids named here was not published: /,
         'and what that means');

undef $hold;
ok t_cmp(scalar(eventually {
    publish($path, 'after', @port)->code == 200;
} slowly(10)), 1, 'it goes on when the other process lets go');
# A child that takes nothing for a moment would deliver what it has then.
sleep 0.3;
ok t_cmp($stream->next_event->{data}, 'after',
         'with what was published then, and nothing that was refused');
my $later = open_stream($path, @port, headers => { 'Last-Event-ID' => 1 });
my @kept = map { ($later->next_event // {})->{data} // 'none' } 1 .. 3;
ok t_cmp("@kept[1, 2]", 'before after', 'nor in the history');
ok t_cmp([$httpd->complaints(qr/publishers are refused/)], [],
         'nothing else is in the log');
ok t_cmp($httpd->stop, 1, 'it stops');
