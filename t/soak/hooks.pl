# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# "make soak-hooks": webhooks of streams that come and go, while the server is
# restarted, its children are killed, all of it is killed, and the target is
# down.  At the end the target must have been told of each opening once, and of
# its end once, after it.  TAP.  scripts/soak_hooks.sh starts it, in the
# directory of the run.
#
# Each client has a path, and so a channel, of its own: what the target is told
# of it is known by that.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Socket qw(inet_aton pack_sockaddr_in AF_INET SOCK_STREAM SOL_SOCKET
              SO_LINGER);
use Time::HiRes qw(time sleep);

use SSETestHook;

my $top = "$FindBin::Bin/../..";
my $seconds = $ENV{SOAK_SECONDS} || 60;
my $run = $ENV{SOAK_RUN} or die "SOAK_RUN is not set";
my $rate = $ENV{SOAK_RATE} || 40;   # openings a second
my @leave = (0, 0.0005, 0.002, 0.01); # after the request
my $held = 1.5 * $rate;             # streams that stay for some seconds
my $down = $seconds < 60 ? $seconds / 3 : 20;
my $settle = 120;                   # the longest time until all is told
my $rate_min = 1000 * $seconds / 60;

# What is done to the server in each minute, and when, of that time.
my $rounds = int($seconds / 60) || 1;
my $round = $seconds / $rounds;
my @minute = ([0.04, \&restart], [0.12, \&kill_child], [0.2, \&target_down],
              [0.28, \&restart], [0.36, \&kill_child], [0.44, \&kill_all],
              [0.54, \&kill_child], # all that has waited is being sent
              [0.62, \&restart]);
my @acts = map {
    my $before = $_;
    map { [($before + $_->[0]) * $round, $_->[1]] } @minute;
} 0 .. $rounds - 1;
push @acts, [$seconds - 0.28 * $round, \&leave_alone];

my $hook = SSETestHook->new(dir => $run);
my $port = free_port($ENV{PORT} || 0);
my $httpd;                          # the parent's process id
my $n = 0;                          # the newest client
my %clients;                        # by number
my(%asked, %opened);                # by path: when; opened: saw its stream begin
my @kills;                          # when
my($refused, $killed, $up_at, $checks, $failed) = (0, 0, undef, 0, 0);

# -- The server ---------------------------------------------------------------

sub free_port {
    my $from = shift;

    for my $try ($from ? $from .. $from + 9 : 0) {
        my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
                                         LocalPort => $try, ReuseAddr => 1);
        return $sock->sockport if $sock;
    }
    die 'no free port';
}

sub start_httpd {
    unlink "$run/httpd.pid";
    my %defines = (SSE_MODULES => $ENV{LIBEXECDIR}, SSE_RUN => $run,
                   SSE_SO => "$top/build/mod_sse.so", SSE_PORT => $port,
                   SSE_SOAK_SO => "$top/build/soak/mod_soak.so",
                   SSE_PIDFILE => "$run/httpd.pid",
                   SSE_HOOK_PORT => $hook->port);
    $defines{SSE_USER} = $ENV{SOAK_USER} if $ENV{SOAK_USER};
    $defines{SSE_GROUP} = $ENV{SOAK_GROUP} if $ENV{SOAK_GROUP};
    defined($httpd = fork) or die "fork: $!";
    if (!$httpd) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$run/startup";
        open STDERR, '>&', \*STDOUT;
        POSIX::setsid();
        exec 'setpriv', '--pdeathsig', 'TERM', $ENV{HTTPD}, '-d', $run, '-f',
            "$top/t/soak/soak.conf",
            (map { ('-C', "Define $_ \"$defines{$_}\"") } sort keys %defines),
            '-D', 'FOREGROUND' or POSIX::_exit(127);
    }
    wait_for(30, sub { -s "$run/httpd.pid" && children() >= 3 && status() })
        or die 'httpd is not up after 30 s';
}

# Before the load, and where all clients have lost their streams.
sub wait_for {
    my($timeout, $is_true) = @_;

    my $end = time + $timeout;
    until ($is_true->()) {
        return 0 if time >= $end;
        die "httpd has ended:\n", slurp("$run/startup")
            if waitpid($httpd, POSIX::WNOHANG) == $httpd;
        sleep 0.05;
    }
    return 1;
}

sub slurp {
    my $file = shift;

    open my $fh, '<', $file or return "$file: $!";
    return do { local $/; <$fh> } // '';
}

# As ps has it, "S"; '' when there is none.
sub state_of { return slurp("/proc/$_[0]/stat") =~ /\) (\S) / ? $1 : '' }

# Neither gone nor waiting for its parent to see it.  Until the last of its
# threads has ended, its sockets are open.
sub is_alive {
    return state_of($_[0]) =~ /[^ZX]/ || (() = glob "/proc/$_[0]/task/*") > 1;
}

sub children {
    my @pids;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my $line = <$fh> // '';
        push @pids, $1 if $line =~ /^(\d+) \(.*\) [^ZX] (\d+) /s
            && $2 == $httpd;
    }
    return @pids;
}

# sse-status, decoded; undef where it does not answer.
sub status {
    my $sock = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                     Timeout => 5) or return undef;
    print $sock "GET /sse-status?format=json HTTP/1.0\r\n"
        . "Accept: application/json\r\n\r\n";
    my $text = do { local $/; <$sock> } // '';
    return eval { JSON::PP::decode_json($text =~ s/.*?\r\n\r\n//sr) };
}

# -- What is done -------------------------------------------------------------

sub restart { kill USR1 => $httpd }

sub kill_child {
    my @pids = children() or return;
    push @kills, time;
    kill KILL => $pids[rand @pids];
    ++$killed;
}

sub kill_all {
    kill STOP => $httpd; # so that it makes no child meanwhile
    sleep 0.01 while state_of($httpd) !~ /[TZ]|\A\z/;
    my @pids = children();
    push @kills, time;
    kill KILL => @pids, $httpd;
    waitpid $httpd, 0;
    # The last one gives the port back.
    sleep 0.02 while grep { is_alive($_) } @pids;
    start_httpd();
}

sub target_down {
    $hook->down;
    $up_at = time + $down;
}

sub leave_alone { $rate = 0 }

# -- Clients ------------------------------------------------------------------

sub begin {
    my $stay = shift;

    socket my $sock, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
    if (!connect $sock, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) {
        ++$refused;
        return;
    }
    $sock->blocking(0);
    ++$n;
    my $where = $n % 2 ? 'single' : 'batched';
    my $path = "/hooked/$where/$n";
    syswrite $sock, "GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n";
    $asked{$path} = time;
    $clients{$n} = { sock => $sock, path => $path, until => time + $stay,
                     in => '' };
}

# What came.  A child that is leaving answers "retry: 500" and opens nothing.
sub take {
    my $client = shift;

    my $got = sysread $client->{sock}, $client->{in}, 65536,
        length $client->{in};
    $opened{ $client->{path} } //= time if $client->{in} =~ /^retry: 2000$/m;
    $client->{in} = substr $client->{in}, -100 if length $client->{in} > 4096;
    return defined $got ? $got > 0 : $!{EAGAIN} || $!{EINTR};
}

# Every fourth by RST.
sub leave {
    my $number = shift;

    my $client = delete $clients{$number};
    take($client);
    setsockopt $client->{sock}, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0
        unless $number % 4;
    close $client->{sock};
}

sub turn {
    my $now = time;
    my $next = $now + 0.01;
    my $bits = '';
    for my $number (keys %clients) {
        my $client = $clients{$number};
        if ($client->{until} <= $now) {
            leave($number);
            next;
        }
        $next = $client->{until} if $client->{until} < $next;
        vec($bits, fileno $client->{sock}, 1) = 1;
    }
    my $wait = $next - time;
    select my $ready = $bits, undef, undef, $wait > 0 ? $wait : 0;
    for my $number (keys %clients) {
        my $client = $clients{$number};
        next unless vec $ready, fileno $client->{sock}, 1;
        next if take($client);
        close $client->{sock};
        delete $clients{$number};
    }
}

sub load {
    my $began = time;
    my $due = $began;
    while (time < $began + $seconds - 0.25 * $round) {
        my $now = time;
        if ($up_at && $now >= $up_at) {
            $hook->up;
            $up_at = undef;
        }
        if (@acts && $now >= $began + $acts[0][0]) {
            (shift @acts)->[1]->();
            $due = time;
        }
        for (; $rate && $due <= $now; $due += 1 / $rate) {
            begin($leave[$n % @leave]);
        }
        # Those that stay come back at once.
        begin(0.5 + rand 8)
            if $rate && grep({ $_->{until} > $now + 0.1 } values %clients) < $held;
        turn();
    }
    leave($_) for keys %clients;
}

# -- What the target was told -------------------------------------------------

my(%told, %streams, @wrong, %reasons);
my($copies, $seen) = (0, 0);

sub wrong { push @wrong, shift }

# In order of arrival.  A copy of what was told is no fault.
sub hear {
    my @calls = $hook->calls;
    for my $call (@calls[$seen .. $#calls]) {
        ++$seen;
        hear_one($_) for SSETestHook::objects($call);
        delete @$call{qw(told body)};
    }
}

sub hear_one {
    my $told = shift;

    my($id, $type, $path) = ($told->{id}, $told->{type}, $told->{channels}[0]);
    my $stream = $streams{ $told->{stream} // '' } //= {};
    if ($told{$id}++) {
        ++$copies;
        return;
    }
    wrong("$type of $path has no stream") if !length($told->{stream} // '');
    wrong("a second $type of $path, stream $told->{stream}")
        if $stream->{$type};
    wrong("close of $path before its open")
        if $type eq 'close' && !$stream->{open};
    wrong("$type of $path, which nobody asked for") if !$asked{$path};
    $stream->{$type} = 1;
    $stream->{path} = $path;
    ++$reasons{ $told->{reason} } if $type eq 'close';
}

sub check {
    my($is_ok, $text, @why) = @_;

    ++$checks;
    ++$failed if !$is_ok;
    print $is_ok ? '' : 'not ', "ok $checks - $text\n";
    splice @why, 40;
    print "# $_\n" for $is_ok ? () : @why;
}

sub without_close { return grep { !$_->{close} } values %streams }

# A stream opens behind its first bytes: a child that is killed between the two
# has told nobody.
sub may_be_untold {
    my $path = shift;
    return scalar grep {
        $_ >= $asked{$path} && $_ < $opened{$path} + 0.5
    } @kills;
}

sub missing {
    my %known = map { $_->{path} => 1 } grep { $_->{open} } values %streams;
    return grep { !$known{$_} && !may_be_untold($_) } sort keys %opened;
}

sub settle {
    my $end = time + $settle;
    while (1) {
        hear();
        my $status = status();
        return $status if time >= $end;
        return $status if $status && !$status->{streams}
            && !$status->{hooks}{waiting} && !without_close() && !missing();
        sleep 0.2;
    }
}

sub report {
    my($status, $took) = @_;

    my @streams = values %streams;
    my @endless = without_close();
    my @missing = missing();
    my $opens = grep { $_->{open} } @streams;
    my %path;
    ++$path{ $_->{path} // '' } for @streams;
    my @twice = grep { $path{$_} > 1 } keys %path;
    printf "# %d requests, %d saw their stream begin, %d were refused; %d "
        . "openings told, %d copies of calls\n", $n, scalar keys %opened,
        $refused, $opens, $copies;
    print '# ends told: ', join(', ', map { "$_ $reasons{$_}" }
                                sort keys %reasons), "\n";
    printf "# %.1f s after the last client had left all was told\n", $took;
    check($n >= $rate_min, "$n streams were asked for, $rate_min at least");
    check($opens > $n / 10, "$opens of them opened");
    check(!@wrong, 'nothing was told twice, nor an end before its opening',
          @wrong);
    check(!@endless, "each of $opens openings has its end", map { $_->{path} } @endless);
    check(!@missing, 'whoever saw a stream begin was told of', @missing);
    check(!@twice, 'a request is one stream', @twice);
    check($reasons{crash}, 'crashes were told');
    check($reasons{shutdown}, 'restarts were told');
    check($status && !$status->{hooks}{waiting} && !$status->{streams},
          'nothing waits, no stream is open');
    check($status && !$status->{hooks}{dropped} && !$status->{hooks}{failed},
          'no call was dropped');
}

sub check_log {
    open my $fh, '<', "$run/error_log" or die "$run/error_log: $!";
    my @bad = grep { /exit signal(?! Killed)|Assertion|:(?:crit|alert|emerg)\]/ } <$fh>;
    chomp @bad;
    check(!@bad, 'the error log has no crash', @bad);
}

# Calls that a SIGKILL finds without their answer come again.
$hook->answer(delay => 0.01);
start_httpd();
load();
$hook->up if $up_at;
my $left = time;
my $state = settle();
report($state, time - $left);
check_log();
kill TERM => $httpd;
check(waitpid($httpd, 0) == $httpd, 'httpd stopped');
print "1..$checks\n";
exit($failed ? 1 : 0);
