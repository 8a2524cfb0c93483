# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Webhooks: much that waits for targets that are down costs the child no memory,
# and holds up no other target; when they are there, all of it comes, once.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHook;
use SSETestHttpd;
use Time::HiRes qw(time);

# 15 MB for each target.
my $events = 2500;
my $size = 6000;
# The sanitizers' own memory grows with what is freed.
my $room = $ENV{SSE_SAN} ? 400 : 22;

my $good = SSETestHook->new;
my $down = SSETestHook->new;
my $batch = SSETestHook->new;

my $httpd = SSETestHttpd->new(conf => <<"EOI");
<Location /e/>
    SetHandler sse
    SSEPublish On
    SSEHistory 10
    SSEHook @{[$good->url]} publish
</Location>
<Location /e/both>
    SSEHook @{[$good->url('/good')]} publish
    SSEHook @{[$down->url('/down')]} publish
</Location>
<Location /e/batch>
    SSEHook @{[$batch->url('/batch')]} publish
    SSEHookBatch 50 10ms
</Location>
EOI
my $port = $httpd->port;

plan tests => 13, need_module('mod_sse');
$_->down for $down, $batch;
ok t_cmp($httpd->start, 1, 'it starts');

my $stream = open_stream('/e/both', port => $port);
$stream->next_block or die 'no stream';
publish('/e/one', 'x', port => $port);
$good->wait_told(path => '/hook');
my %before = memory();
my $body = join '', map { "data: $_ " . 'x' x $size . "\n\n" } 1 .. $events;
for my $path ('/e/both', '/e/batch') {
    my $answer = publish($path, $body, port => $port, timeout => 30,
                         'Content-Type' => 'text/event-stream');
    ok t_cmp($answer->code, 200, 'events are published');
}
ok t_cmp(gets($good, $events), $events, 'and told to the one that is there');
my $line = eventually { ($httpd->lines(qr{to \S+/down fail, \d+ wait: }))[0] };
ok t_cmp($line, qr/Connection refused/, 'the others wait');
my $grown = grown(%before);
ok t_cmp($grown < $room, 1,
         "$events calls of $size bytes, which wait twice, take $grown MB");
publish('/e/one', 'y', port => $port);
my $told = $good->wait_for(sub { ($good->told(path => '/hook'))[1] });
ok t_cmp($told->{call}{time} - $told->{time} < 8, 1,
         'a new one goes past them');
my $waiting = status()->{waiting};
ok t_cmp($waiting >= 2 * $events, 1, "$waiting calls wait");

$_->up for $down, $batch;
ok t_cmp(gets($down, $events), $events, 'when one is back it is told of all');
ok t_cmp(scalar($down->calls), $events, 'of each once');
ok t_cmp(gets($batch, $events), $events, 'so is another one');
ok t_cmp($batch->calls < $events / 10, 1, 'in batches');
ok t_cmp(eventually { !status()->{waiting} }, 1, 'nothing waits any more');
$stream->close;

# Each child's, in MB, without what is mapped from files.
sub memory {
    my %size;

    for my $pid ($httpd->children) {
        open my $fh, '<', "/proc/$pid/status" or next;
        $size{$pid} += $_ / 1024
            for map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$fh>;
    }
    return %size;
}

# Of all children: each has grown since then, or since it was as large as the
# smallest one was, as prefork starts new ones.
sub grown {
    my %before = @_;

    my %now = memory();
    my($least) = sort { $a <=> $b } values %before;
    my $sum = 0;
    $sum += $now{$_} - ($before{$_} // $least) for keys %now;
    return $sum;
}

sub status {
    return request('GET', '/status', port => $port)->json->{hooks} // {};
}

# How many events a target has been told of, once these are so many.  (Reading
# all this JSON would take longer.)
sub gets {
    my($hook, $n) = @_;

    my %seen;
    $hook->wait_for(sub {
        %seen = map { $_ => 1 } map { $_->{body} =~ /"data":"(\d+) x/g }
            grep { $_->{path} ne '/hook' } $hook->calls;
        return keys %seen >= $n;
    }, 40);
    return scalar keys %seen;
}
