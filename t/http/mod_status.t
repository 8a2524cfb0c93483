# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# mod_status shows how many streams are open, and in which children.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;

use constant STREAMS => 6;

plan tests => 4 + 2 + 3 + 2 + 3 + 1, need_module('mod_sse', 'mod_status');

my $httpd = SSETestHttpd->new(modules => ['status'], conf => <<'EOI');
<Location "/server-status">
    SetHandler server-status
</Location>
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my %idle = auto();
ok t_cmp($idle{SSEStreams}, 0, 'no stream');
ok t_cmp($idle{Uptime} // '', qr/^\d+$/, 'what mod_status says stays');
my %mine = map { $_ => 1 } $httpd->children;
my @pids = pids(\%idle);
ok t_cmp(join(' ', grep { !$mine{$_} } @pids), '', 'children of this server');

my @streams = map { open_stream("/c/$_", @port) } 1 .. STREAMS;
$_->next_block(slowly(5)) for @streams;
my %busy;
eventually { %busy = auto(); ($busy{SSEStreams} // 0) == STREAMS };
ok t_cmp($busy{SSEStreams}, STREAMS, 'open streams');
my $sum = 0;
$sum += $_ for map { /=(\d+)/ } split ' ', $busy{SSEStreamsByPID} // '';
ok t_cmp($sum, STREAMS, 'by their children');

my $page = request('GET', '/server-status', @port)->body;
ok t_cmp($page, qr{<h2>Server-Sent Events</h2>\s*<dl><dt>6 streams open },
         'the page');
ok t_cmp(scalar(() = $page =~ m{<tr><td>\d+</td><td>\d+</td></tr>}g) >= 1, 1,
         'has a row for each child');
ok t_cmp(request('GET', '/server-status?notable', @port)->body,
         qr{6 streams open (?!.*<th>Streams</th>)}s, 'or no table');

$_->close for @streams;
ok t_cmp(eventually(sub {
    my %now = auto();
    ($now{SSEStreams} // -1) == 0
}, slowly(10)), 1, 'all have left');
publish('/c/1', 'x', @port);
my %after = auto();
ok t_cmp("$after{SSEOpened} $after{SSEPublished} $after{SSERefused}",
         STREAMS . ' 1 0', 'what there was is counted');
my @more = qw(Delivered Dropped Gaps Polls Threads QueueBytes Commands
    HooksWaiting StoreBytes StoreSize StoreChannels);
ok t_cmp(join(' ', grep { ($after{"SSE$_"} // '') !~ /^\d+$/ } @more), '',
         'and more');
ok t_cmp("$after{SSEStoreSize} $after{SSEStoreChannels}", 256 * 2**20 . ' 1',
         'the store');
ok t_cmp($after{SSEStoreBytes} > 0, 1, 'has something in it');
ok t_cmp(join('', $httpd->complaints(qr/AH00484|AH10159/)), '',
         'nothing is wrong in the log');

sub auto {
    my $body = request('GET', '/server-status?auto', @port)->body // '';
    return $body =~ /^(\w+): *(.*?)\r?$/mg;
}

sub pids { return map { /^(\d+)=/ } split ' ', $_[0]{SSEStreamsByPID} // '' }
