# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# SSEMaxThreads: streams that hold a thread of the MPM, or a process, leave some
# for the rest of the site.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;
use SSETestNumbers qw(numbers);
use Time::HiRes qw(sleep);

my $mpm = $ENV{SSE_MPM} || 'event';
my $slow = $ENV{SSE_SAN} ? 4 : 1;

# Eight threads or processes, of which streams may hold six.
my %numbers = (
    event => "StartServers 1\nServerLimit 2\nThreadsPerChild 8\n"
        . "MaxRequestWorkers 8\nAsyncRequestWorkerFactor 100\n",
    worker => "StartServers 1\nServerLimit 2\nThreadsPerChild 8\n"
        . "MaxRequestWorkers 8\n",
    prefork => "StartServers 8\nServerLimit 8\nMinSpareServers 1\n"
        . "MaxSpareServers 8\nMaxRequestWorkers 8\n",
);

# With the event MPM a filter that may wait makes a stream hold a thread.
my $conf = <<'EOI';
LogLevel info sse:debug
<IfModule mod_ratelimit.c>
    <Location "/c/waits">
        SetOutputFilter RATE_LIMIT
        SetEnv rate-limit 100000
    </Location>
</IfModule>
EOI

plan tests => 41, need_module('mod_sse', 'mod_ratelimit');

my $httpd;

sub configured {
    my($more) = @_;

    my $log = Apache::Test::vars('t_logs') . '/own_access_log';
    $httpd = SSETestHttpd->new(
        mpm => $numbers{$mpm}, modules => ['ratelimit'],
        conf => $conf . qq{CustomLog "$log" "%U %>s refused=%{sse-refused}n "\n}
            . ($more // ''));
    unlink $log;
    return $httpd->start;
}

sub logged {
    my($re, $timeout) = @_;

    return eventually {
        open my $fh, '<', Apache::Test::vars('t_logs') . '/own_access_log'
            or return 0;
        scalar(my @found = grep { $_ =~ $re } <$fh>);
    } $timeout;
}

sub status { return numbers(port => $httpd->port) }

sub no_threads {
    return eventually(sub { my $s = status();
                            !$s->{threads} && !$s->{streams} }, 10 * $slow);
}

# A child that leaves sends it away.
sub try_one {
    my $stream = open_stream('/c/waits', port => $httpd->port);
    my $first = ($stream->status // 0) == 200 && $stream->next_block(10);

    return $first && ($first->{retry} // 0) != 500 ? $stream : undef;
}

# As places are given back in a moment: until so many are in.
sub let_in {
    my($n, $name) = @_;

    my @in;
    eventually {
        push @in, grep { defined } try_one() if @in < $n;
        @in == $n;
    } 10 * $slow;
    ok t_cmp(scalar @in, $n, $name);
    return @in;
}

sub is_refused {
    my $name = shift;

    my $answer = request('GET', '/c/waits', port => $httpd->port);
    ok t_cmp($answer->code, 503, "$name: 503");
    return $answer;
}

sub the_share {
    ok t_cmp(configured(), 1, 'it starts');
    my @in = let_in(6, 'six streams');
    my $answer = is_refused('the seventh');
    ok t_cmp($answer->header('Retry-After'), qr/^[1-9]\d*$/, 'when to come back');
    ok t_cmp(($answer->json // {})->{error}, qr/\(SSEMaxThreads\)/, 'words');
    ok t_cmp(scalar $httpd->lines(
                 qr/\[sse:warn\].*SSEMaxThreads.*answered 503/), 1,
             'the log says so');
    ok t_cmp(logged(qr{^/c/waits 503 refused=SSEMaxThreads }), 1, 'the note');
    ok t_cmp(logged(qr{^/c/waits 200 refused=- }, 3), 0,
             'of that one alone');
    # A client has the first bytes before its stream is counted.
    my $status;
    eventually { ($status = status())->{opened} == 6 };
    ok t_cmp($status->{threads}, 6, 'sse-status: threads');
    ok t_cmp($status->{refused}, 1, 'sse-status: refused');
    ok t_cmp($status->{opened}, 6, 'no stream was opened for it');
    ok t_cmp(publish('/c/waits', 'x', port => $httpd->port)->code, 200,
             'publishing goes on');
    ok t_cmp((grep { $_->next_event(10) } @in) + 0, 6, 'to all of them');
    my $head = open_stream('/c/waits', port => $httpd->port, method => 'HEAD',
                           close => 1);
    ok t_cmp($head->status, 200, 'HEAD needs no thread');
    $head->close;
    without_thread();

    $in[0]->close;
    $in[1]->reset;
    push @in, let_in(2, 'two that leave make room');
    is_refused('not one more');
    request('DELETE', '/c/waits', port => $httpd->port);
    ok t_cmp((grep { $_->wait_end(10) } @in) + 0, 6, 'all ended by the server');
    ok t_cmp(no_threads(), 1, 'no thread is held');
}

# A stream that holds no thread is not concerned.
sub without_thread {
    my $stream = open_stream('/c/free', port => $httpd->port);
    my $want = $mpm eq 'event' ? 200 : 503;
    ok t_cmp($stream->status, $want, "without a filter: $want");
    $stream->close;
}

# However it goes, what was taken is given back.
sub given_back {
    for my $i (1 .. 60) {
        my $stream = open_stream('/c/waits', port => $httpd->port);
        sleep rand 0.004;
        $i % 2 ? $stream->reset : $stream->close;
    }
    ok t_cmp(no_threads(), 1, 'clients that leave early hold no thread');
    my @in = let_in(6, 'as many as before');
    is_refused('and no more');
    my $all = eventually {
        my($opened, $ended) = map { scalar $httpd->lines($_) }
            qr/ open on /, qr/ ended: /;
        $opened - $ended == 6;
    };
    ok t_cmp($all, 1, 'each that was opened has ended, but these');

    kill KILL => $_ for $httpd->children;
    ok t_cmp(eventually(sub { (grep { $_->wait_end(0) } @in) == @in }, 10), 1,
             'all children are killed');
    ok t_cmp(eventually(sub { $httpd->answers == 200 }, 20 * $slow), 1,
             'others come');
    ok t_cmp(no_threads(), 1, 'that hold none');
    @in = let_in(6, 'as many as at first');
    is_refused('nothing has drifted');

    ok t_cmp($httpd->new_generation(20 * $slow), 1, 'a graceful restart');
    ok t_cmp((grep { $_->wait_end(10) } @in) + 0, 6, 'ends all');
    @in = let_in(6, 'and so many come again');
    is_refused('but no more');
    $_->close for @in;
    ok $httpd->stop;
}

sub other_shares {
    ok t_cmp(configured("SSEMaxThreads 2\n"), 1, 'SSEMaxThreads 2');
    my @in = let_in(2, 'two');
    is_refused('the third');
    ok $httpd->stop;

    ok t_cmp(configured("SSEMaxThreads 100%\n"), 1, 'SSEMaxThreads 100%');
    @in = let_in(7, 'seven');
    ok t_cmp(status()->{threads}, 7, 'and one left for that question');
    $_->close for @in;
    ok $httpd->stop;
}

$_->() for (\&the_share, \&given_back, \&other_shares);
