# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Limits on open streams: exact, whichever child has them, and after crashes
# and restarts.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestH2;
use SSETestServer;
use Time::HiRes qw(sleep);

my $mpm = $ENV{SSE_MPM} // '';
# Sanitizers make all of it slower.
my $slow = $ENV{SSE_SAN} ? 4 : 1;
my $conf = Apache::Test::config()->{vars}{t_conf} . '/httpd.conf';
my $original = read_conf();
my $test = $$;

my @host = (module => 'sse_limits'); # at most 20

my @tests = (\&one_more, \&at_the_same_time, \&who_leaves_early, \&not_counted,
             \&hosts, \&clients, \&proxied, \&http2, \&other_modules,
             \&killed, \&restarted, \&total);
plan tests => 134, need_module('mod_sse', 'mod_sse_close', 'mod_ssl',
                              'mod_remoteip');
$_->() for @tests;
ok no_streams(5 * $slow);

END { write_conf($original) if $original && $$ == $test }

sub read_conf {
    open my $fh, '<', $conf or die "$conf: $!";
    local $/;
    return scalar <$fh>;
}

sub write_conf {
    open my $fh, '>', $conf or die "$conf: $!";
    print $fh @_;
    close $fh or die "$conf: $!";
}

sub path { return "/limits/$_[0]-$$" }

sub refused { return server_status()->{refused} }

# A stream that was let in, or undef.  A child that leaves sends it away.
sub try_one {
    my $stream = open_stream(@_);
    my $first = ($stream->status // 0) == 200 && $stream->next_block(10);

    return $first && ($first->{retry} // 0) != 500 ? $stream : undef;
}

# A client has the first bytes before its stream is counted: until then the
# status may say that none is open, and the place is taken.
sub are_counted {
    my($n, $before) = @_;

    return eventually { server_status()->{opened} - $before == $n };
}

# Ends are noticed soon, not at once: ask until so many streams have been let
# in.
sub let_in {
    my($n, @args) = @_;

    my @in;
    my $before = server_status()->{opened};
    eventually {
        push @in, grep { defined } try_one(@args) if @in < $n;
        @in == $n;
    } 10 * $slow;
    are_counted($n, $before);
    ok t_cmp(scalar @in, $n, "$args[0]: let in");
    return @in;
}

sub close_all {
    $_->close for @_;
    ok t_cmp(no_streams(5 * $slow), 1, 'all have left');
}

# What is said to one more.
sub check_refused {
    my($status, $directive, @args) = @_;

    my $before = refused();
    my $answer = request('GET', @args);
    my $name = "$args[0]: one more";
    ok t_cmp($answer->code, $status, $name);
    ok t_cmp($answer->header('Retry-After'), qr/^[1-9]\d*$/,
             "$name: when to come back");
    ok t_cmp($answer->header('Content-Type'), 'application/json',
             "$name: type");
    ok t_cmp(($answer->json // {})->{error}, qr/\($directive\)/,
             "$name: words");
    ok t_cmp(refused() - $before, 1, "$name: counted");
}

sub one_more {
    my $path = path('one');
    my @streams = let_in(20, $path, @host);
    check_refused(503, 'SSEMaxStreams', $path, @host);
    ok t_cmp(error_line(qr/\[sse:warn\].*SSEMaxStreams 20: limits\.example has/)
             ? 1 : 0, 1, 'the log says so');
    ok t_cmp(server_status()->{limit}, 0, 'the server has no limit');
    publish($path, 'x', @host);
    ok t_cmp((grep { $_->next_event(5) } @streams) + 0, 20,
             'those that are open go on');

    # However a stream ends.
    (shift @streams)->close;
    (shift @streams)->reset;
    push @streams, let_in(2, $path, @host);
    ok t_cmp(request('GET', $path, @host)->code, 503, 'not one more than left');
    request('DELETE', $path, @host);
    $_->wait_end(5) for @streams;
    @streams = let_in(20, $path, @host);

    close_all(@streams);
}

# All send the last bytes of their requests together.
sub at_the_same_time {
    my $path = path('race');
    my($rounds, $wrong) = (5, 0);

    for (1 .. $rounds) {
        my $before = server_status()->{opened};
        my @streams = map { open_stream($path, @host,
            raw => "GET $path HTTP/1.1\r\nHost: limits.example\r\n") } 1 .. 60;
        $_->send_bytes("\r\n") for @streams;
        my %got;
        $got{$_->status // 'none'}++ for @streams;
        ok t_cmp(\%got, { 200 => 20, 503 => 40 }, '60 at a time');
        are_counted(20, $before);
        $_->close for @streams;
        ++$wrong unless no_streams(5 * $slow);
    }
    ok t_cmp($wrong, 0, 'all have left');
}

# Clients that are gone before their stream opens, or while it does, take
# nothing with them.
sub who_leaves_early {
    my $path = path('early');

    for my $i (1 .. 60) {
        my $stream = open_stream($path, @host);
        sleep rand 0.002;
        $i % 2 ? $stream->reset : $stream->close;
    }
    ok t_cmp(no_streams(5 * $slow), 1, 'all have left early');
    my @streams = let_in(20, $path, @host);
    ok t_cmp(request('GET', $path, @host)->code, 503, 'and it is full again');
    close_all(@streams);
}

sub not_counted {
    my $path = path('full');
    my @small = (module => 'sse_limits_small');
    my @streams = let_in(3, $path, @small);
    my $before = refused();

    my $head = open_stream($path, @small, method => 'HEAD', close => 1);
    ok t_cmp($head->status, 200, 'HEAD where all is full');
    $head->close;
    ok t_cmp(publish($path, 'x', @small)->code, 200, 'POST');
    ok t_cmp(request('GET', $path, @small,
                     headers => { Accept => 'text/html' })->code, 406,
             'what is no request for a stream');
    ok t_cmp(refused() - $before, 0, 'nothing was refused');
    (pop @streams)->close;
    open_stream($path, @small, method => 'HEAD')->head for 1 .. 5;
    push @streams, let_in(1, $path, @small);
    close_all(@streams);
}

# One name, three ports: each is a host of its own.
sub hosts {
    my $path = path('hosts');
    my @small = let_in(3, $path, module => 'sse_limits_small');
    my @tls = let_in(4, $path, module => 'sse_limits_ssl');
    check_refused(503, 'SSEMaxStreams', $path, module => 'sse_limits_small');
    check_refused(503, 'SSEMaxStreams', $path, module => 'sse_limits_ssl');
    my @others = (let_in(5, $path, @host), let_in(5, $path));
    $tls[0]->close_notify;
    push @tls, let_in(1, $path, module => 'sse_limits_ssl');
    close_all(@small, @tls, @others);
}

sub clients {
    my $path = path('client/x');
    my @one = let_in(5, $path);
    check_refused(429, 'SSEMaxStreamsPerClient', $path);
    ok t_cmp(error_line(qr/\[sse:info\].*PerClient 5: client 127\.0\.0\.1 /)
             ? 1 : 0, 1, 'the log says who');
    my @two = let_in(5, $path, from => '127.0.0.2');
    ok t_cmp(request('GET', $path, from => '127.0.0.2')->code, 429,
             'each address has its own');
    my @free = (let_in(3, path('client/free/x')), let_in(3, path('x')));
    ok t_cmp(request('GET', $path, @host)->code, 429,
             'of all hosts together');

    # Counted are all that have a limit; what holds is the new one's.
    (pop @one)->close for 1 .. 4;
    my $lower = path('client/two/x');
    push @one, let_in(1, $lower);
    check_refused(429, 'SSEMaxStreamsPerClient', $lower);
    push @one, let_in(3, $path);
    # A connection lives on after this refusal, and may have the next place.
    my $again = open_stream($path);
    ok t_cmp($again->status, 429, 'and not one more');
    $again->wait_end(5);
    (pop @one)->close;
    my $open = eventually {
        sleep 0.5; # a connection has a hundred requests
        $again->again($path);
        ($again->status // 0) == 200 || !$again->wait_end(5);
    } 5 * $slow;
    ok t_cmp($open && $again->status, 200, 'asked again on its connection');
    close_all($again, @one, @two, @free);
}

# r->useragent_ip is what counts, not the connection.
sub proxied {
    my $path = path('client/proxied');
    my $from = sub { (module => 'sse_limits_proxied',
                      headers => { 'X-Forwarded-For' => $_[0] }) };
    my @streams = map { let_in(5, $path, $from->($_)) }
        '192.0.2.1', '2001:db8::1';
    ok t_cmp(request('GET', $path, $from->('192.0.2.1'))->code, 429, 'IPv4');
    ok t_cmp(request('GET', $path, $from->('2001:DB8:0::1'))->code, 429,
             'IPv6, however it is spelt');
    push @streams, let_in(1, $path, $from->($_))
        for '192.0.2.2', '2001:db8::2';
    push @streams, let_in(5, $path, module => 'sse_limits_proxied');
    close_all(@streams);
}

# Streams of one connection are streams of one client.
sub http2 {
    if ($mpm eq 'prefork' || !have_module('http2')) {
        skip("no HTTP/2 on $mpm", 1) for 1 .. 6;
        return;
    }
    my $path = path('client/h2');
    # One connection may have four.
    my $h2 = SSETestH2->new('mod_sse_ssl');
    my $other = SSETestH2->new('mod_sse_ssl');
    my $first = qr/^retry: 2000\n\n/;
    my @ids = map { $h2->get($path) } 1 .. 4;
    ok t_cmp((grep { $h2->wait_for($_, $first, 5 * $slow) } @ids)
             + $other->wait_for($other->get($path), $first, 5 * $slow),
             5, 'HTTP/2: five streams');
    my $id = $h2->get($path);
    ok t_cmp($h2->wait_end($id, 5 * $slow), 1, 'the sixth is none');
    ok t_cmp($h2->body($id), qr/^\{"error":".*SSEMaxStreamsPerClient/,
             'but an answer');
    local $SSETest::meanwhile = sub { $_->nudge for $h2, $other };
    ok t_cmp(access_line(qr/"GET \Q$path\E HTTP\/2\.0" 429 /) ? 1 : 0, 1,
             'its status');
    $h2->reset_stream($ids[0]);
    my $open = eventually {
        $id = $h2->get($path);
        $h2->read_until(sub { length $h2->body($id) }, 5);
        $h2->body($id) =~ /^retry/;
    } 5 * $slow;
    ok t_cmp($open, 1, 'a reset one makes room');
    $_->close for $h2, $other;
    ok no_streams(5 * $slow);
}

# sse_start() of a C module.
sub other_modules {
    my $path = '/limits/app/x';
    my @streams = let_in(3, "$path?k=limits-$$");
    my $answer = request('GET', $path);
    ok t_cmp($answer->code, 429, 'sse_start() returns it');
    ok t_cmp($answer->header('Retry-After'), qr/^\d+$/, 'with Retry-After');
    ok t_cmp($answer->body, qr/Too Many Requests/,
             'the answer is that of the handler, or of httpd');
    ok t_cmp(request('GET', path('client/two/x'))->code, 429,
             'they count with the others');
    close_all(@streams);
}

# The child that each stream on a path is in, from the log: { pid => count }.
sub children {
    my($path, $n) = @_;

    my %count;
    eventually {
        %count = ();
        /stream (\S+) open on \Q$path\E$/m && ++$count{stream_pid($1)}
            for error_lines(qr/open on/);
        my $sum = 0;
        $sum += $_ for values %count;
        $sum == $n;
    };
    return \%count;
}

sub killed {
    my $path = path('killed');
    my @all = map { [$_, open_stream($path, @$_, @host)] }
        map { [from => $_ % 2 ? '127.0.0.1' : '127.0.0.2'] } 1 .. 20;
    ok t_cmp((grep { $_->[1]->next_block(10) } @all) + 0, 20, 'full');
    my $count = children($path, 20);
    my @victims = sort { $count->{$b} <=> $count->{$a} } keys %$count;
    splice @victims, $mpm eq 'prefork' ? 5 : 1;
    my $lost = 0;
    $lost += $count->{$_} for @victims;
    kill KILL => @victims or die "kill: $!";

    my @new = let_in($lost, $path, @host);
    check_refused(503, 'SSEMaxStreams', $path, @host);
    ok t_cmp(eventually(sub { server_status()->{streams} == 20 }), 1,
             'as many as before');
    close_all(@new, map { $_->[1] } @all);
    @new = let_in(20, $path, @host);
    ok t_cmp(request('GET', $path, @host)->code, 503, 'nothing has drifted');
    close_all(@new);
}

# Those of the old generation count until they have ended, and no longer.  Some
# clients come back to it before it knows that it has to leave.
sub restarted {
    my $path = path('restart');
    my @old = let_in(20, $path, @host);
    my @children = server_children();
    my(@new, $gone, %counted);

    my $pid = server_pid() or die 'the server does not run';
    kill USR1 => $pid or die "kill: $!";
    $gone = eventually {
        push @new, grep { defined } try_one($path, @host);
        ++$counted{server_status()->{streams} > 20 ? 'too many' : 'fine'};
        !grep { is_alive($_) } @children;
    } 20 * $slow;
    ok t_cmp($gone, 1, 'a graceful restart');
    ok t_cmp([keys %counted], ['fine'],
             'never more than may in both generations');
    @new = grep { !$_->wait_end(0) } @new;
    push @new, let_in(20 - @new, $path, @host);
    ok t_cmp(eventually(sub { server_status()->{streams} == 20 }), 1,
             'clients have come back');
    check_refused(503, 'SSEMaxStreams', $path, @host);
    close_all(@old, @new);
}

# From here on all children have the new configuration.
sub configure {
    write_conf(@_);
    ok t_cmp(new_generation(20 * $slow), 1, 'configured');
}

# The main server's is the total.
sub total {
    my $path = path('total');
    configure($original, "\nSSEMaxStreams 10\n");
    ok t_cmp(server_status()->{limit}, 10, 'sse-status tells the limit');
    my @streams = (let_in(6, $path), let_in(4, $path, @host));
    check_refused(503, 'SSEMaxStreams', $path);
    ok t_cmp(request('GET', $path, @host)->code, 503, 'of all hosts together');
    ok t_cmp(request('GET', $path, module => 'sse_stream_red')->code, 503,
             'also of those without a limit of their own');
    ok t_cmp(error_line(qr/SSEMaxStreams 10: the server has/) ? 1 : 0, 1,
             'the log says so');

    configure($original, "\nSSEMaxStreams 4\n");
    my @fewer = let_in(4, $path);
    check_refused(503, 'SSEMaxStreams', $path);
    $_->close for @streams;
    configure($original);
    push @fewer, let_in(12, $path);
    close_all(@fewer);
    $original = undef;
}
