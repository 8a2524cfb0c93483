# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A webhook's target of the test's own, in a process of its own.  It records
# every call and answers as the test says.
#
#   my $hook = SSETestHook->new;            # tls => 1: https, with the suite's
#   $hook->url('/told');                      # certificate for "localhost"
#   $hook->answer(status => 503, times => 2, headers => { 'Retry-After' => 1 });
#   my $told = $hook->wait_told(type => 'close', stream => $id);
#   $told->{reason}; $told->{call}{headers}{'sse-hook-attempt'};
#   $hook->wait_calls(10);                    # ten requests have come
#   $hook->down; $hook->up;                   # nobody listens, and again
#
# A call is one request: { n, conn, time, path, headers, body }; conn is the
# number of its connection, from 1.  What it tells is one object or an array of
# them (a batch): told() has them one by one, each with its "call".

package SSETestHook;

use strict;
use warnings FATAL => 'all';

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use File::Temp ();
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC SOL_SOCKET SO_LINGER IPPROTO_TCP
              TCP_NODELAY);
use Time::HiRes qw(time sleep);

use SSETestWait ();

my $json = JSON::PP->new->utf8->allow_nonref;

# Options:
#   tls    1: https
#   cert, key   files, instead of the suite's
#   port   instead of any that is free
#   dir    where the record is kept: a temporary one
sub new {
    my($class, %opt) = @_;

    my $self = bless { %opt, calls => [], at => 0 }, $class;
    if ($self->{tls}) {
        require IO::Socket::SSL;
        $self->{cert} //= suite_file('certs/server.crt');
        $self->{key} //= suite_file('keys/server.pem');
    }
    $self->{dir} //= File::Temp::tempdir(CLEANUP => 1);
    $self->{record} = "$self->{dir}/hook.$$." . int(rand 1e9);
    my $listener = listen_on($self->{port} // 0);
    $self->{port} = $listener->sockport;
    socketpair $self->{control}, my $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!";
    $self->{owner} = $$;
    defined($self->{pid} = fork) or die "fork: $!";
    if (!$self->{pid}) {
        close $self->{control};
        eval { SSETestHook::Server->new($self, $listener, $other)->run; 1 }
            or print STDERR "the hook target: $@";
        POSIX::_exit(0);
    }
    close $other;
    close $listener;
    return $self;
}

# A file of Apache::Test's certificate authority: "certs/ca.crt".
sub suite_file {
    require Apache::Test;
    return Apache::Test::config()->{vars}{sslca} . "/asf/$_[0]";
}

# Or only have it.
sub listen_on {
    my($port, $is_down) = @_;

    for (1 .. 100) {
        my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         LocalPort => $port,
                                         $is_down ? () : (Listen => 1000),
                                         ReuseAddr => 1);
        return $sock if $sock;
        sleep 0.05;
    }
    die "cannot listen on port $port: $@";
}

sub port { return shift->{port} }

# host => '127.0.0.1' where it is not to be "localhost".
sub url {
    my($self, $path, %opt) = @_;

    return ($self->{tls} ? 'https' : 'http') . '://'
        . ($opt{host} // ($self->{tls} ? 'localhost' : '127.0.0.1'))
        . ":$self->{port}" . ($path // '/hook');
}

# How calls are answered from now on: the first rule that fits, in the order
# they were given; without any, 204.  What a rule may have:
#   times    so many calls, then it is used up
#   path     a part of the path; type: of what is told ("close"), also in a
#            batch; stream; it fits these calls only
#   status   200; reason, headers => { Name => value }, body
#   delay    seconds until the answer begins
#   how      'reset': RST; 'close': closed without an answer; 'middle': closed
#            in the middle of the head; 'body': closed in the middle of the
#            body; 'silence': no answer, ever; 'endless': a body without end; 'heads': a head without end;
#            'drip': head and body byte by byte, one in a "pause" (0.1 s);
#            'raw': the body and nothing else, then closed;
#            'last': a good answer, with Connection: close
sub answer {
    my($self, %rule) = @_;
    return $self->command({ do => 'rule', rule => \%rule });
}

# The rules are forgotten.
sub answer_well { return shift->command({ do => 'clear' }) }

# Nobody listens, and all connections are reset; then the same port again.  The
# longer nobody was there the rarer are attempts, and the longer all waits are.
sub down {
    my $self = shift;

    $self->{down} = time;
    return $self->command({ do => 'down' });
}

sub up {
    my $self = shift;

    $self->command({ do => 'up' });
    $self->{back} = time + 10 + 2 * (time - $self->{down});
    return $self;
}

# All connections are closed, as a target does after its keep-alive time.
sub close_connections { return shift->command({ do => 'close' }) }

# Stop reading: connections are accepted by the kernel, and nothing more.
sub freeze { return shift->command({ do => 'freeze' }) }
sub thaw { return shift->command({ do => 'thaw' }) }

sub command {
    my($self, $command) = @_;

    my $text = $json->encode($command) . "\n";
    syswrite $self->{control}, $text;
    my $control = $self->{control};
    my $ack = readline $control;
    die 'the hook target has died' unless defined $ack;
    return $self;
}

sub stop {
    my $self = shift;

    return unless $self->{pid} && $self->{owner} == $$;
    # A target that was made later has a copy of the descriptor.
    shutdown $self->{control}, 2;
    close $self->{control};
    waitpid delete $self->{pid}, 0;
}

sub DESTROY {
    my $self = shift;

    local($?, $!, $@);
    $self->stop;
}

# All that has come so far, in order of arrival.
sub calls {
    my $self = shift;

    open my $fh, '<:raw', $self->{record} or return;
    seek $fh, $self->{at}, 0;
    while (defined(my $line = readline $fh)) {
        last unless $line =~ /\n\z/;
        my($conn, $time, $head, $body) = split ' ', $line;
        my $n = read $fh, my $bytes, $head + $body;
        last if !defined $n || $n < $head + $body;
        $self->{at} = tell $fh;
        push @{ $self->{calls} },
            parsed(scalar @{ $self->{calls} } + 1, $conn, $time,
                   substr($bytes, 0, $head), substr($bytes, $head));
    }
    return @{ $self->{calls} };
}

sub parsed {
    my($n, $conn, $time, $head, $body) = @_;

    my($first, @lines) = split /\r\n/, $head;
    my($method, $path) = split ' ', $first;
    my %headers;
    for (@lines) {
        my($name, $value) = /\A([^:]+):[ \t]*(.*?)[ \t]*\z/ or next;
        $name = lc $name;
        $headers{$name} = exists $headers{$name}
            ? "$headers{$name}, $value" : $value;
    }
    return { n => $n, conn => $conn, time => $time, method => $method,
             path => $path, headers => \%headers, body => $body };
}

# What has been told, one by one; filtered by members ("type", "stream",
# "reason", ...), and by path.  Repetitions of a call are in it: unique => 1
# has only the first of those with one SSE-Hook-Id (and place in the batch).
sub told {
    my($self, %want) = @_;

    my($path, $unique) = delete @want{qw(path unique)};
    my(@told, %seen);
    for my $call ($self->calls) {
        next if defined $path && $call->{path} ne $path;
        next if $unique && $seen{$call->{headers}{'sse-hook-id'} // ''}++;
        push @told, grep { fits($_, \%want) } objects($call);
    }
    return @told;
}

sub objects {
    my $call = shift;

    $call->{told} //= do {
        my $value = eval { $json->decode($call->{body}) };
        [map { { %$_, call => $call } }
             grep { ref eq 'HASH' } ref $value eq 'ARRAY' ? @$value : $value];
    };
    return @{ $call->{told} };
}

sub fits {
    my($told, $want) = @_;

    for my $name (keys %$want) {
        my $value = $told->{$name};
        return 0 if !defined $value || "$value" ne "$want->{$name}";
    }
    return 1;
}

# What the block returns as soon as that is true; its last value after the time
# (10 s).
sub wait_for {
    my($self, $block, $timeout) = @_;

    my $end = SSETestWait::patience($timeout);
    $end = $self->{back} if ($self->{back} // 0) > $end;
    while (1) {
        my $value = $block->();
        return $value if $value || time >= $end;
        sleep 0.01;
    }
}

# The first such object, once it was told; undef after the time.
sub wait_told {
    my($self, %want) = @_;

    my $timeout = delete $want{timeout};
    return $self->wait_for(sub { ($self->told(%want))[0] }, $timeout);
}

# Whether there are at least that many, within the time.
sub wait_count {
    my($self, $n, %want) = @_;

    my $timeout = delete $want{timeout};
    return $self->wait_for(sub { $self->told(%want) >= $n }, $timeout);
}

# The same for calls; returns them.
sub wait_calls {
    my($self, $n, $timeout) = @_;

    $self->wait_for(sub { $self->calls >= $n }, $timeout);
    return $self->calls;
}

# Whether the call is signed with that key.
sub is_signed {
    my($call, $key) = @_;

    require Digest::SHA;
    my($t, $v1) = ($call->{headers}{'sse-hook-signature'} // '')
        =~ /\At=(\d+),v1=([0-9a-f]{64})\z/ or return 0;
    return abs(time - $t) < 600
        && $v1 eq Digest::SHA::hmac_sha256_hex("$t.$call->{body}", $key);
}

package SSETestHook::Server;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

sub new {
    my($class, $hook, $listener, $control) = @_;

    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    $SIG{$_} = 'DEFAULT' for qw(TERM INT ALRM __DIE__ __WARN__);
    $SIG{PIPE} = 'IGNORE';
    open my $record, '>>:raw', $hook->{record} or die "$hook->{record}: $!";
    my $self = bless { hook => $hook, listener => $listener,
                       control => $control, record => $record, rules => [],
                       conns => {}, count => 0, commands => '', timers => [] },
                     $class;
    $listener->blocking(0);
    if ($hook->{tls}) {
        $self->{tls} = IO::Socket::SSL::SSL_Context->new(
            SSL_server => 1, SSL_cert_file => $hook->{cert},
            SSL_key_file => $hook->{key})
            or die IO::Socket::SSL::errstr();
    }
    $self->{select} = IO::Select->new($listener, $control);
    $self->{writing} = IO::Select->new;
    return $self;
}

# Until the test is gone.
sub run {
    my $self = shift;

    while (!$self->{is_over}) {
        my @timers = sort { $a->[0] <=> $b->[0] } @{ $self->{timers} };
        my $wait = @timers ? $timers[0][0] - time : 60;
        my($in, $out) = IO::Select::select($self->{select}, $self->{writing},
                                           undef, $wait > 0 ? $wait : 0);
        $self->run_timers;
        for my $sock (@{ $out // [] }) {
            my $conn = $self->{conns}{fileno($sock) // -1} or next;
            $self->write_out($conn) if $conn->{sock} == $sock;
        }
        for my $sock (@{ $in // [] }) {
            if ($sock == $self->{control}) {
                $self->on_command;
            }
            elsif ($self->{listener} && $sock == $self->{listener}) {
                $self->on_accept;
            }
            else {
                my $conn = $self->{conns}{fileno($sock) // -1} or next;
                $self->on_input($conn) if $conn->{sock} == $sock;
            }
        }
    }
}

sub after {
    my($self, $seconds, $fn) = @_;
    push @{ $self->{timers} }, [time + $seconds, $fn];
}

sub run_timers {
    my $self = shift;

    my $now = time;
    my @due = sort { $a->[0] <=> $b->[0] }
        grep { $_->[0] <= $now } @{ $self->{timers} };
    return unless @due;
    @{ $self->{timers} } = grep { $_->[0] > $now } @{ $self->{timers} };
    $_->[1]->() for @due;
}

sub on_command {
    my $self = shift;

    my $n = sysread $self->{control}, $self->{commands}, 65536,
        length $self->{commands};
    if (!$n) {
        $self->{is_over} = 1;
        return;
    }
    while ($self->{commands} =~ s/\A([^\n]*)\n//) {
        my $command = $json->decode($1);
        my $do = "do_$command->{do}";
        $self->$do($command);
        syswrite $self->{control}, "ok\n";
    }
}

sub do_rule { push @{ $_[0]{rules} }, $_[1]{rule} }
sub do_clear { $_[0]{rules} = [] }

sub do_down {
    my $self = shift;

    if (my $listener = delete $self->{listener}) {
        $self->{select}->remove($listener);
        close $listener;
        # Nobody else is to have the port meanwhile.
        $self->{reserved} = SSETestHook::listen_on($self->{hook}{port}, 1);
    }
    $self->drop($_, 1) for values %{ $self->{conns} };
}

sub do_up {
    my $self = shift;

    my $listener = delete $self->{reserved} or return;
    listen $listener, 1000 or die "listen: $!";
    $self->{listener} = $listener;
    $self->{listener}->blocking(0);
    $self->{select}->add($self->{listener}) unless $self->{is_frozen};
}

sub do_close {
    my $self = shift;
    $self->drop($_) for values %{ $self->{conns} };
}

sub do_freeze {
    my $self = shift;

    $self->{is_frozen} = 1;
    $self->{select} = IO::Select->new($self->{control});
}

sub do_thaw {
    my $self = shift;

    $self->{is_frozen} = 0;
    $self->{select} = IO::Select->new($self->{control},
        $self->{listener} // (), map { $_->{sock} } values %{ $self->{conns} });
}

sub on_accept {
    my $self = shift;

    while (my $sock = $self->{listener}->accept) {
        setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
        my $conn = { n => ++$self->{count}, in => '', out => '' };
        if ($self->{tls}) {
            $sock->blocking(1);
            IO::Socket::SSL->start_SSL($sock, SSL_server => 1, Timeout => 5,
                                       SSL_reuse_ctx => $self->{tls})
                or next; # the client does not trust us, say
        }
        $sock->blocking(0);
        $conn->{sock} = $sock;
        $self->{conns}{fileno $sock} = $conn;
        $self->{select}->add($sock);
        $self->on_input($conn) if $self->{tls};
    }
}

sub drop {
    my($self, $conn, $is_reset) = @_;

    my $sock = delete $conn->{sock} or return;
    $self->{select}->remove($sock);
    $self->{writing}->remove($sock);
    delete $self->{conns}{fileno $sock};
    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0 if $is_reset;
    $self->{tls} ? $sock->close(SSL_no_shutdown => $is_reset ? 1 : 0)
                 : $sock->close;
}

sub on_input {
    my($self, $conn) = @_;

    while (1) {
        my $n = sysread $conn->{sock}, $conn->{in}, 65536, length $conn->{in};
        last if !defined $n && ($!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR});
        return $self->drop($conn) if !$n;
        last if !$self->{tls} && $n < 65536;
    }
    $self->take_calls($conn);
}

sub take_calls {
    my($self, $conn) = @_;

    while ($conn->{sock} && $conn->{in} =~ /\r\n\r\n/) {
        my $end = $+[0];
        my $head = substr $conn->{in}, 0, $end;
        my($length) = $head =~ /^content-length:\s*(\d+)/im;
        $length //= 0;
        return if length($conn->{in}) < $end + $length;
        my $body = substr $conn->{in}, $end, $length;
        substr $conn->{in}, 0, $end + $length, '';
        syswrite $self->{record}, sprintf("%d %.6f %d %d\n", $conn->{n}, time,
                                          $end, $length) . $head . $body;
        $self->reply($conn, $self->rule_for($head, $body));
    }
}

sub rule_for {
    my($self, $head, $body) = @_;

    for my $rule (@{ $self->{rules} }) {
        next if defined $rule->{times} && $rule->{times} <= 0;
        next if defined $rule->{path}
            && index((split ' ', $head)[1], $rule->{path}) < 0;
        next if defined $rule->{type} && $body !~ /"type":\s*"\Q$rule->{type}"/;
        next if defined $rule->{stream}
            && $body !~ /"stream":\s*"\Q$rule->{stream}"/;
        --$rule->{times} if defined $rule->{times};
        return $rule;
    }
    return { status => 204 };
}

sub reply {
    my($self, $conn, $rule) = @_;

    my $go = sub { $self->answer($conn, $rule) if $conn->{sock} };
    $rule->{delay} ? $self->after($rule->{delay}, $go) : $go->();
}

sub text_of {
    my $rule = shift;

    my $status = $rule->{status} // 200;
    my %headers = %{ $rule->{headers} // {} };
    my $body = $rule->{body} // '';
    my $how = $rule->{how} // '';
    $headers{'Content-Length'} //= length $body
        unless $status == 204 || $status < 200 || $how eq 'endless';
    $headers{Connection} = 'close' if $how eq 'last' || $how eq 'endless';
    $headers{'Content-Length'} = length($body) + 1000 if $how eq 'body';
    my $text = "HTTP/1.1 $status " . ($rule->{reason} // 'Status') . "\r\n";
    $text .= "$_: $headers{$_}\r\n" for sort keys %headers;
    return "$text\r\n$body";
}

sub answer {
    my($self, $conn, $rule) = @_;

    my $how = $rule->{how} // '';
    return $self->drop($conn, 1) if $how eq 'reset';
    return $self->drop($conn) if $how eq 'close';
    return if $how eq 'silence';
    my $text = $how eq 'raw' ? $rule->{body} : text_of($rule);
    $text = substr $text, 0, 12 if $how eq 'middle';
    $text =~ s/\r\n\r\n.*/\r\n/s if $how eq 'heads';
    return $self->drip($conn, $text, $rule->{pause} // 0.1)
        if $how eq 'drip';
    $conn->{out} .= $text;
    $conn->{is_last} = $how =~ /\A(?:middle|body|last|raw)\z/;
    $conn->{endless} = { endless => 'x' x 16384,
                         heads => 'X-More: ' . 'x' x 16384 . "\r\n" }->{$how};
    $self->write_out($conn);
}

sub drip {
    my($self, $conn, $text, $pause) = @_;

    return if !$conn->{sock} || !length $text;
    $conn->{out} .= substr $text, 0, 1, '';
    $self->write_out($conn);
    $self->after($pause, sub { $self->drip($conn, $text, $pause) });
}

sub write_out {
    my($self, $conn) = @_;

    while ($conn->{sock}) {
        $conn->{out} .= $conn->{endless} if $conn->{endless};
        last unless length $conn->{out};
        my $n = syswrite $conn->{sock}, $conn->{out};
        if (defined $n) {
            substr $conn->{out}, 0, $n, '';
            last if $conn->{endless};
        }
        elsif ($!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR}) {
            last;
        }
        else {
            return $self->drop($conn);
        }
    }
    return unless $conn->{sock};
    if (length $conn->{out} || $conn->{endless}) {
        $self->{writing}->add($conn->{sock});
    }
    else {
        $self->{writing}->remove($conn->{sock});
        $self->drop($conn) if $conn->{is_last};
    }
}

1;
