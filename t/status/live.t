# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-status as a stream: an event each second with the numbers, made once for
# all who watch, as long as somebody does.  It is a stream like any other.

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

plan tests => 1 + 5 + 3 + 5 + 3 + 3 + 2 + 1, need_module('mod_sse');

my $httpd = SSETestHttpd->new(conf => <<'EOI');
<Location "/old">
    SetHandler sse-status
    SSEMaxAge 1s
</Location>
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName few.example
    SSEMaxStreams 1
</VirtualHost>
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

sub watch {
    my($path, %headers) = @_;

    return open_stream($path, @port, headers => \%headers);
}

sub numbers {
    my $event = $_[0]->next_event(slowly(5)) or return {};
    return $event->{event} eq 'status'
        ? JSON::PP->new->utf8->decode($event->{data}) : {};
}

# Two ways to it.
my $one = watch('/status?format=stream');
ok t_cmp($one->status, 200, 'a stream by its name');
ok t_cmp($one->header('Content-Type'), 'text/event-stream', 'is one');
ok t_cmp($one->header('Vary'), qr/Accept/, 'which depends on Accept');
my $now = numbers($one);
ok t_cmp($now->{streams}, 1, 'it is told at once, and counts itself');
my $two = watch('/status', Accept => 'text/event-stream');
ok t_cmp(numbers($two)->{version} // '', $now->{version}, 'another, by Accept');

# Each second.
my @times;
for (1 .. 3) {
    my $event = $one->next_event(slowly(5));
    push @times, JSON::PP->new->utf8->decode($event->{data})->{uptime};
}
ok t_cmp($times[2] > $times[0], 1, 'it goes on');
ok t_cmp($times[2] - $times[0] <= slowly(10), 1, 'about once a second');
ok t_cmp(eventually { numbers($one)->{streams} == 2 }, 1, 'both are counted');

# What changes shows.
my $stream = open_stream('/c/x', @port);
$stream->next_block;
publish('/c/x', 'hello', @port);
$stream->next_event; # or its end would be a reset
ok t_cmp(eventually {
    $now = numbers($one);
    $now->{streams} == 3 && $now->{published} == 1 && $now->{delivered} >= 1
}, 1, 'a stream and an event more');
ok t_cmp($now->{delivered}, 1, 'what watchers are sent is no event of a channel');
ok t_cmp(($now->{store} // {})->{channels}, 1,
         'a watcher is no channel of the store');
$stream->close;
ok t_cmp(eventually { numbers($two)->{closed}{client} == 1 }, 1,
         'a client that leaves');
ok t_cmp(eventually { numbers($one)->{streams} == 2 }, 1, 'is gone');

# They end like others.
my $old = watch('/old?format=stream');
ok t_cmp(defined $old->next_event, 1, 'with SSEMaxAge');
ok t_cmp($old->wait_end(slowly(10)), 1, 'it ends');
ok t_cmp(eventually { numbers($one)->{closed}{'max-age'} == 1 }, 1,
         'and is counted so');

# The limits hold.
my @few = ('/status?format=stream', @port, host => 'few.example');
$stream = open_stream(@few);
ok t_cmp($stream->next_event->{event}, 'status', 'one is allowed');
my $answer = request('GET', @few);
ok t_cmp(join(' ', $answer->code, $answer->header('Retry-After') // ''), '503 10',
         'a limit refuses it');
ok t_cmp($answer->json->{error}, qr/SSEMaxStreams/, 'in words');
$stream->close;

# Nobody watches, then somebody does again.
$_->close for $one, $two;
ok t_cmp(eventually {
    request('GET', '/status?format=json', @port)->json->{streams} == 0
}, 1, 'nobody watches');
my $again = watch('/status?format=stream');
ok t_cmp(numbers($again)->{opened} >= 6, 1, 'somebody does again');
$again->close;
ok t_cmp(join('', $httpd->complaints(qr{SSEMaxStreams 1: })), '', 'nothing is wrong in the log');
