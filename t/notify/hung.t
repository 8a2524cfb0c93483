# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 19: callbacks that never return.  A child that leaves goes without them: when
# nothing else is left to do in it, and after the time that they are given.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use SSETestHttpd;
use SSETestServer qw(is_alive);
use Time::HiRes qw(sleep time);

# Enough for a callback of slow() where the machine stands still meanwhile, for
# 3 s, or for 5 s with a sanitizer.
use constant { FOR_EVER => 3_600_000, GIVEN => $ENV{SSE_SAN} ? 7 : 4 };

plan tests => 1 + 3 * 3 + 2 + 4 + 3 + 4 + 1,
    need_module('mod_sse', 'mod_sse_close', 'mod_sse_block');

my $prefork = have_apache_mpm('prefork');
# Outside of prefork one child has it all, beside those that leave.
my $threads = have_apache_mpm('worker') ? 64 : 16;
my $all = 4 * $threads;
my $event = have_apache_mpm('event');
my $mpm = $prefork ? undef : "StartServers 1\nServerLimit 8\n"
    . "ThreadsPerChild $threads\nMinSpareThreads 1\n"
    . "MaxSpareThreads $all\nMaxRequestWorkers $all\n"
    . ($event ? "AsyncRequestWorkerFactor 10\n" : '');
# The last ones: old children hold slots.
my $expected = qr/leaving without|exiting (?:anyway|without them)|AH00288|AH00484|AH10159/;
my $httpd = SSETestHttpd->new(c_modules => ['sse_close', 'sse_block'],
                              mpm => $mpm, conf => <<"EOI");
GracefulShutdownTimeout @{[GIVEN]}
<Location "/app">
    SetHandler sse-close-app
</Location>
<Location "/block">
    SetHandler sse-close-block
</Location>
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

hung(['a callback', '/app', reg => 1, 'sleep-1' => FOR_EVER],
     ['a ready function', '/app', rsleep => FOR_EVER],
     ['a callback of a request that is no stream', '/block', reg => 1,
      wait => 500, 'sleep-block' => FOR_EVER]);
slow();
busy();
late();
ok t_cmp(join('', $httpd->complaints($expected)), '', 'no complaints');

sub get {
    my($path, $key, %args) = @_;

    return open_stream(url($path, $key, %args), @port);
}

# The child that a request is in, once that is so far.
sub child_of {
    my $key = shift;

    return (told($key, 'registered')->{pid} // told($key, 'ready')->{pid})
        || die 'no request';
}

sub goes {
    my($pid, $time) = @_;

    return eventually(sub { !is_alive($pid) }, slowly($time));
}

sub said {
    my $pid = shift;

    return scalar(my @l = $httpd->lines(
        qr/:warn\] \[pid $pid:.*GracefulShutdownTimeout/));
}

# A graceful restart with some that never return, and some others.
sub hung {
    my @hung = @_;

    my(@requests, %pid);
    for (@hung) {
        my($name, $path, %args) = @$_;
        my $key = key();
        push @requests, get($path, $key, %args);
        $pid{$name} = $args{reg} ? child_of($key) : told($key, 'ready')->{pid};
    }
    my @keys = map { key() } 1 .. 5;
    push @requests, map { get('/app', $_, reg => 1) } @keys;
    told($_, 'open') for @keys;
    my $began = time;
    ok t_cmp($httpd->restart('USR1'), 1, 'hung ones: a graceful restart');
    for my $name (map { $_->[0] } @hung) {
        ok t_cmp(goes($pid{$name}, 15), 1, "$name: the child is gone");
        my $took = time - $began;
        ok t_cmp($took >= GIVEN, 1, "$name: not before its time, after $took s");
        ok t_cmp(said($pid{$name}), 1, "$name: that is told");
    }
    in_all(\@keys, scalar @keys, 'hung ones: all others were told', sub {
        count_seen($_, 'close') == 1 && told($_, 'cb')->{reason} eq 'shutdown'
    });
}

# Each takes less than the time, and all together more: they are at it.
sub slow {
    my @keys = map { key() } 1 .. ($prefork ? 4 : 24);
    my @streams = map { get('/app', $_, reg => 1, 'sleep-1' => GIVEN * 200) }
        @keys;
    told($_, 'open') for @keys;
    my %pids = map { child_of($_) => 1 } @keys;
    ok t_cmp($httpd->restart('USR1'), 1, 'slow ones: a graceful restart');
    my($pid) = sort keys %pids;
    ok t_cmp(goes($pid, 20), 1, 'slow ones: the child goes');
    in_all(\@keys, scalar @keys, 'slow ones: all returned', sub {
        told($_, 'cb', slowly(15))->{reason} eq 'shutdown'
    });
    ok t_cmp(scalar(grep { said($_) } keys %pids), 0,
             'slow ones: nothing is told');
}

# One in this child, where a child can have two.
sub long_request {
    my($pid, $other) = (shift, key());

    my $request = get('/block', $other, wait => slowly(6_000), size => 100_000);
    my $in = told($other, 'blocks')->{pid};
    return $prefork || $in == $pid ? $request : undef;
}

# Another module's request in the same child takes longer.
sub busy {
    my $key = key();
    my $hung = get('/app', $key, reg => 1, 'sleep-1' => FOR_EVER);
    my $pid = child_of($key);
    my $request = eventually(sub { long_request($pid) }, slowly(5));
    ok t_cmp($request && $httpd->restart('USR1'), 1,
             'a long request: a graceful restart');
    ok t_cmp($request->wait_end(slowly(15))
                 && length $request->{body}, 100_000,
             'a long request: has its whole answer');
    ok t_cmp(goes($pid, 15), 1, 'a long request: the child goes after it');
}

# A stop at once, with a callback that was registered after the end.
sub late {
    my $key = key();
    my $request = get('/block', $key, reg => 1, wait => slowly(10_000),
                      late => 1, 'sleep-late' => FOR_EVER);
    my $pid = child_of($key);
    $request->close;
    my $begins = eventually(sub { 2 == count_seen($key, 'begin') }, slowly(5));
    ok t_cmp($begins, 1, 'a late callback: it hangs');
    sleep slowly(0.2);
    ok t_cmp($httpd->stop('TERM', slowly(20)), 1, 'a late callback: a stop');
    ok t_cmp(is_alive($pid), 0, 'a late callback: the child has gone');
    ok t_cmp(scalar(my @l = $httpd->lines(qr/sending a SIGKILL/)), 0,
             'a late callback: by itself');
}
