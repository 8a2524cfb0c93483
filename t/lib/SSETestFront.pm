# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A front between a publisher and the server that does things to connections: a
# line of instructions, one for each connection in its turn.
#
#   my $front = SSETestFront->new($port, 'drop', 'busy');
#   ... a publisher at $front->port ...
#   $front->seen;               # ('drop', 'busy', 'pass')
#   SSETestFront->nobody->port; # where connections are refused
#
#   drop    the server has the request and answers; the client does not get that
#   cut     ... but for its last byte
#   once    the client gets it, and the connection is closed without a word
#   refuse  closed before anything reaches the server
#   stall   never answered, until the client closes
#   busy    answered 503, Retry-After: 1, by the front itself
#   empty   answered 200 with an empty page
#   pass    all goes through both ways; so do connections after the last one

package SSETestFront;

use strict;
use warnings FATAL => 'all';

use IO::Select ();
use IO::Socket::INET ();
use POSIX ();

sub new {
    my($class, $to, @acts) = @_;

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50)
        or die "cannot listen: $@";
    pipe my $in, my $out or die "pipe: $!";
    my $self = bless { port => $listener->sockport, seen => $in, to => $to,
                       owner => $$ }, $class;
    $self->{pid} = fork // die "fork: $!";
    if (!$self->{pid}) {
        close $in;
        setpgrp;
        local $SIG{CHLD} = 'IGNORE';
        while (my $client = $listener->accept) {
            my $act = shift @acts // 'pass';
            syswrite $out, "$act\n";
            next if fork // die "fork: $!";
            close $listener;
            eval { $self->can($act)->($client, $self) };
            POSIX::_exit(0);
        }
        POSIX::_exit(0);
    }
    close $out;
    return $self;
}

# A port that nobody listens on, nor can listen on meanwhile.
sub nobody {
    my $class = shift;

    my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp')
        or die "cannot bind: $@";
    return bless { port => $sock->sockport, bound => $sock }, $class;
}

sub port { return shift->{port} }

# What was done, connection by connection.  Ends the front.
sub seen {
    my $self = shift;

    $self->stop;
    my $in = delete $self->{seen};
    return map { chomp; $_ } <$in>;
}

sub stop {
    my $self = shift;

    return unless $self->{pid} && $self->{owner} == $$;
    kill KILL => -$self->{pid}, $self->{pid};
    waitpid delete $self->{pid}, 0;
}

sub DESTROY {
    my $self = shift;

    local($?, $!, $@);
    $self->stop;
}

# -- in the process of a connection --

sub server {
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                 PeerPort => $_[0]{to}) || die "server: $@";
}

# A whole message with a Content-Length; '' where there is none.
sub message {
    my $sock = shift;

    my $text = '';
    while (1) {
        if ($text =~ /\A(.*?\r\n\r\n)/s) {
            my $head = $1;
            my $length = $head =~ /^Content-Length: *(\d+)/mi ? $1 : 0;
            return $text if length $text >= length($head) + $length;
        }
        sysread $sock, $text, 65536, length $text or return '';
    }
}

sub exchange {
    my($client, $self) = @_;

    my $request = message($client);
    my $server = $self->server;
    syswrite $server, $request;
    return message($server);
}

sub drop { exchange(@_) }

sub cut {
    my $answer = exchange(@_);
    syswrite $_[0], substr $answer, 0, -1;
}

sub once { syswrite $_[0], exchange(@_) }

sub refuse { }

sub stall {
    my $client = shift;
    1 while sysread $client, my $bytes, 65536;
}

sub busy {
    answer(shift, "503 Service Unavailable\r\nRetry-After: 1",
           '{"error":"come back later"}');
}

sub empty { answer(shift, '200 OK', '') }

sub answer {
    my($client, $head, $body) = @_;

    message($client);
    syswrite $client, "HTTP/1.1 $head\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($body)
        . "\r\nConnection: close\r\n\r\n$body";
}

sub pass {
    my($client, $self) = @_;

    my $server = $self->server;
    my $select = IO::Select->new($client, $server);
    while (1) {
        for my $from ($select->can_read) {
            sysread $from, my $bytes, 65536 or return;
            syswrite $from == $client ? $server : $client, $bytes;
        }
    }
}

1;
