# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# An HTTP/2 client that checks all that the server sends (t/client/h2_client.py,
# over python3-h2), and reads at all times, as a browser does.
#
#   my $h2 = SSETestH2Strict->new('127.0.0.1:8443', window => 1 << 20);
#   my $id = $h2->get('/events/a', 'last-event-id' => 5);
#   $h2->wait_for($id, qr/data: 1\n\n/, 5);
#   my $when = $h2->reset_stream($id);       # of CLOCK_MONOTONIC, in seconds
#   $h2->close;                              # or 'rst', 'notify', 'half'
#   $h2->error;                              # what the server did wrong; undef

package SSETestH2Strict;

use strict;
use warnings FATAL => 'all';

use IPC::Open2 ();
use JSON::PP ();
use Time::HiRes qw(time);

use SSETestWait ();

my $python = '/usr/bin/python3';
my($pid, $to, $from); # one process has all connections of the test
my $tester = $$;

sub is_there {
    return -x $python && !system "$python -c 'import h2' >/dev/null 2>&1";
}

END {
    if ($pid && $$ == $tester) {
        local($?, $!);
        close $to;
        waitpid $pid, 0;
    }
}

sub start {
    $pid = IPC::Open2::open2($from, $to, $python, '-B',
                             "$ENV{SSE_TOP}/t/client/h2_talk.py");
    $to->autoflush(1);
}

sub ask {
    my(%command) = @_;

    start() unless $pid;
    local $SIG{PIPE} = 'IGNORE';
    print $to JSON::PP->new->ascii->canonical->encode(\%command), "\n";
    my $line = readline $from;
    die "no answer of the client to $command{do}" unless defined $line;
    my $answer = JSON::PP->new->ascii->decode($line);
    die "$answer->{died}" if $answer->{died};
    return $answer;
}

# "address:port".  Options: plain (no TLS), name (the host's), window (of the
# connection, in all: 15 MB), stream_window (65535), holds (give no window back),
# rcvbuf.
sub new {
    my($class, $where, %opt) = @_;

    my($addr, $port) = $where =~ /^(.+):(\d+)$/ or die "no address: $where";
    my %args = (port => $port + 0, address => $addr,
                tls => $opt{plain} ? JSON::PP::false : JSON::PP::true,
                host => $opt{name} // 'localhost',
                gives => $opt{holds} ? JSON::PP::false : JSON::PP::true);
    $args{$_} = $opt{$_} + 0
        for grep { defined $opt{$_} } qw(window stream_window rcvbuf);
    my $answer = ask(do => 'connect', %args);
    return bless { c => $answer->{c}, streams => {} }, $class;
}

sub tell {
    my($self, $do, @args) = @_;
    return ask(do => $do, c => $self->{c}, @args);
}

# A stream's id.  ":method", ":body" and ":keep" (0: its bytes are only counted)
# come first.
sub get {
    my($self, $path, @headers) = @_;

    my %own;
    while (@headers && $headers[0] =~ /^:(method|body|keep)$/) {
        $own{$1} = $headers[1];
        splice @headers, 0, 2;
    }
    $own{keep} = $own{keep} ? JSON::PP::true : JSON::PP::false
        if exists $own{keep};
    my @pairs;
    while (my($name, $value) = splice @headers, 0, 2) {
        push @pairs, [lc $name, "$value"];
    }
    my $id = $self->tell('get', path => $path, headers => \@pairs, %own)->{s};
    $self->{streams}{$id} = { body => '' };
    return $id;
}

sub post {
    my($self, $path, $body, @headers) = @_;

    push @headers, 'content-type' => 'text/plain'
        unless grep { /^content-type$/i } @headers;
    return $self->get($path, ':method' => 'POST', ':body' => $body, @headers);
}

sub take {
    my($self, $id, $seen) = @_;

    my $stream = $self->{streams}{$id};
    $stream->{body} .= delete $seen->{body};
    @$stream{keys %$seen} = values %$seen;
    return $stream;
}

# All that is known of a stream: body, status, headers, length, md5, ended,
# reset (a code), came (when its last bytes came).
sub look {
    my($self, $id) = @_;

    return $self->take($id, $self->tell('look', s => $id,
        start => length $self->{streams}{$id}{body}));
}

sub body { return $_[0]->look($_[1])->{body} }
sub is_ended { return defined $_[0]->look($_[1])->{ended} }
sub is_reset { return defined $_[0]->look($_[1])->{reset} }
sub header { return $_[0]->look($_[1])->{headers}{$_[2]} }

# Until the block is true of the stream; it is asked whenever bytes have come.
sub wait_until {
    my($self, $id, $done, $timeout) = @_;

    my $end = SSETestWait::patience($timeout);
    my $stream = $self->look($id);
    while (!$done->($stream)) {
        my $left = $end - time;
        return 0 if $left <= 0 || defined $stream->{ended}
            || defined $stream->{reset};
        # Its last bytes may have come together with the connection's end.
        return !!$done->($self->look($id)) if $self->state->{closed};
        my $start = defined $stream->{status} ? $stream->{length} : -1;
        $stream = $self->take($id, $self->tell('wait', s => $id,
            start => $start, seconds => $left + 0));
    }
    return 1;
}

sub wait_for {
    my($self, $id, $re, $timeout) = @_;
    return $self->wait_until($id, sub { $_[0]{body} =~ $re }, $timeout);
}

sub wait_end {
    my($self, $id, $timeout) = @_;
    return $self->wait_until($id, sub { defined $_[0]{ended} }, $timeout);
}

# The status, once it is there.
sub status {
    my($self, $id, $timeout) = @_;

    $self->wait_until($id, sub { defined $_[0]{status} }, $timeout);
    return $self->{streams}{$id}{status};
}

# port (its own), closed (when), error, goaway (its code), pongs.
sub state { return $_[0]->tell('state') }

# What the server did that it may not; undef: nothing.
sub error { return $_[0]->state->{error} }

sub wait_closed {
    my($self, $timeout) = @_;
    return $self->tell('wait_closed',
                       seconds => SSETestWait::patience($timeout) - time);
}

# Whether the server answers a PING.
sub ping {
    my($self, $timeout) = @_;

    my $n = $self->state->{pongs} + 1;
    $self->tell('ping');
    $self->tell('wait_pongs', n => $n,
                seconds => SSETestWait::patience($timeout) - time);
    return $self->state->{pongs} >= $n;
}

sub reset_stream { return $_[0]->tell('reset_stream', s => $_[1])->{at} }

# Give no window back: of a stream; of the connection (undef).
sub hold { $_[0]->tell('hold', defined $_[1] ? (s => $_[1]) : ()) }

sub give {
    $_[0]->tell('hold', on => JSON::PP::false, defined $_[1] ? (s => $_[1]) : ());
}

# Read nothing any more; read on.
sub stop_reading { $_[0]->tell('read', on => JSON::PP::false) }
sub read_on { $_[0]->tell('read', on => JSON::PP::true) }

# Bytes that the client does not know of.
sub write_bytes { $_[0]->tell('raw', bytes => $_[1]) }

sub close { return $_[0]->tell('close', how => $_[1] // 'fin')->{at} }

1;
