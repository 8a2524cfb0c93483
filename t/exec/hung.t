# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The process that starts programs hangs: one request waits for it, further ones
# of that child are refused at once, until it goes on.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test qw(-withtestmore);
use Time::HiRes qw(time);

use SSETest;
use SSETestExec;

# There each child has one request.
my $threads = ($ENV{SSE_MPM} // '') ne 'prefork';
plan tests => 17, need need_module('mod_sse'),
    { 'children have one thread' => $threads };

my $httpd = one_child();
ok $httpd->start, 'a server with one child';
my @port = (port => $httpd->port);

sub run { return run_on($httpd->port, @_) }

my $mark = mark();
my $stream = run($mark);
ok $stream, 'a program runs';
my($supervisor) = map { /supervisor of programs runs as process (\d+)/ ? $1 : () }
    $httpd->lines(qr/supervisor of programs runs/);
ok $supervisor, 'of a process of that kind';

my $late = mark();

# The answer, and how long it took.
sub ask {
    my $began = time;
    my $answer = request('GET', "/run?say=$late&wait=1", @port, timeout => 60);
    return ($answer, time - $began);
}

kill STOP => $supervisor or die "STOP: $!";
my($first, $waited) = ask();
my @took;
for (1 .. 5) {
    my($next, $took) = ask();
    push @took, $took if $next->code == 503;
}
is $first->code, 503, 'it hangs: 503';
is $first->header('retry-after'), 10, 'with Retry-After';
like $first->json->{error}, qr/cannot be started now/, 'in words';
cmp_ok $waited, '>=', 9.9, 'after some time';
is scalar(@took), 5, 'further requests: 503';
cmp_ok((sort { $a <=> $b } @took)[2], '<', $waited / 2, 'at once');
ok eventually { $httpd->lines(qr/\(sse-programs\) does not answer/) },
    'the log tells';
is scalar($httpd->lines(qr/does not answer/)), 1, 'once a minute';
is request('GET', '/status', @port)->code, 200, 'all else is as ever';
ok !$stream->wait_end(0.5), 'the program that runs, too';

kill CONT => $supervisor or die "CONT: $!";
my($next, $second);
ok eventually { $next = run($second = mark()) }, 'it goes on: programs start';
ok eventually { $httpd->lines(qr/answers again/) }, 'the log tells';
ok ends($late), 'what it has begun late is ended';
$_->close for $stream, $next;
ok ends($mark) && ends($second), 'and so are the others in the end';
