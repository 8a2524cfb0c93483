# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A child that has no descriptor left for a program's output refuses that one
# request, and what runs for it runs on.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use POSIX ();
use lib "$FindBin::Bin/../lib";

use Apache::Test qw(-withtestmore);

use SSETest;
use SSETestExec;

# There each child has one request.
my $threads = ($ENV{SSE_MPM} // '') ne 'prefork';
my $has_prlimit = !system 'prlimit --version >/dev/null 2>&1';
plan tests => 16, need need_module('mod_sse'),
    { 'children have one thread' => $threads,
      'prlimit(1) is missing' => $has_prlimit };

my $httpd = one_child();
ok $httpd->start, 'a server with one child';
my @port = (port => $httpd->port);

sub run { return run_on($httpd->port, @_) }

my $mark = mark();
my $stream = run($mark);
ok $stream, 'a program runs';
my($child) = $httpd->children;

sub descriptors {
    return map { m{/(\d+)$} ? $1 : () } glob "/proc/$child/fd/*";
}

# The child may have so many more; undef: as many as it had.
my $had;
sub allow {
    my $more = shift;

    my %is_open = map { $_ => 1 } descriptors();
    my $limit = $had;
    if (defined $more) {
        for ($limit = 0; $is_open{$limit} || $more-- > 0; ++$limit) {
        }
    }
    # Only its own user may say so.
    my($uid, $gid) = (stat "/proc/$child")[4, 5];
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        POSIX::setgid($gid);
        POSIX::setuid($uid);
        exec 'prlimit', "--pid=$child", "--nofile=$limit:" or POSIX::_exit(1);
    }
    waitpid $pid, 0;
    die "prlimit: $?" if $?;
}

open my $limits, '<', "/proc/$child/limits" or die "limits: $!";
($had) = map { /^Max open files\s+(\d+)/ ? $1 : () } <$limits>;
close $limits;

# One is the request's connection, one the order, two are the output; and worker
# waits in accept(), which has taken one for the next connection.
my $next_one = ($ENV{SSE_MPM} // '') eq 'worker';
my $n = -1;
ok eventually {
    my $before = $n;
    $n = descriptors();
    sleep 1;
    $n == $before && $n == descriptors();
}, 'all is quiet';
my $refused = mark();
for my $more (2, 3) {
    ok eventually { descriptors() == $n }, 'no other connection is open';
    allow($more + $next_one);
    my $answer = request('GET', "/run?say=$refused&wait=1", @port);
    allow();
    is $answer->code, 503, "$more descriptors: 503";
    is $answer->header('retry-after'), 10, 'with Retry-After';
    like $answer->json->{error}, qr/cannot be started now/, 'in words';
}
ok eventually {
    $httpd->lines(qr/SSECommand .* cannot be started now.*no descriptor left.*LimitNOFILE/)
}, 'the log tells the administrator what to raise';
is scalar(running("say=$mark")), 1, 'the program that ran runs on';
ok !$stream->wait_end(0.5), 'and so does its stream';
my $next = run(my $second = mark());
ok $next, 'others can be started again';
$_->close for $stream, $next;
ok ends($mark) && ends($second) && ends($refused), 'all end';
