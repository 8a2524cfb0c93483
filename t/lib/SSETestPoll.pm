# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Long polls, as a client makes them: with the last answer's id, over the same
# connection where it can.
#
#   my $poll = open_poll('/c/a', wait => 5, id => 7);    # waits: a stream
#   my $answer = answer($poll);                  # { events => [...], last }
#   $answer = poll('/c/a', wait => 0);           # both
#   my $client = SSETestPoll->new('/c/a', port => ...);
#   my @events = $client->next(wait => 2);       # and so on, from "last"
#   texts(@events);                              # their data, in one line

package SSETestPoll;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use JSON::PP ();

use SSETest;
use SSETestLoad ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(open_poll answer poll texts pollers);

# A poll that was sent.  Options are those of open_stream(), and
#   wait   seconds, or any text after "wait="
#   limit  of events
#   id     the Last-Event-ID
#   on     the stream of an answered one, whose connection is used again
sub open_poll {
    my($path, %opt) = @_;

    my($on, $wait, $limit, $id) = delete @opt{qw(on wait limit id)};
    my %headers = (Accept => 'application/json', %{ delete $opt{headers}
                                                    // {} });
    $headers{Prefer} = "wait=$wait" if defined $wait;
    $headers{'Last-Event-ID'} = $id if defined $id;
    $path .= ($path =~ /\?/ ? '&' : '?') . "limit=$limit" if defined $limit;
    return $on ? $on->again($path, %opt, headers => \%headers)
        : open_stream($path, %opt, headers => \%headers);
}

# All that it was answered with: a poll's object; undef if that is not whole, is
# no JSON or lacks something.
sub answer {
    my($stream, $timeout) = @_;

    $stream->wait_end($timeout) && $stream->is_complete or return undef;
    my $answer = eval { JSON::PP->new->utf8->decode($stream->{body}) };
    return undef if ref $answer ne 'HASH' || ref $answer->{events} ne 'ARRAY'
        || !defined $answer->{last};
    for my $event (@{ $answer->{events} }) {
        my $names = join ' ', sort keys %$event;
        return undef if $names ne 'channel data event id'
            || !defined $event->{data} || !length $event->{event};
    }
    return $answer;
}

sub poll {
    my($path, %opt) = @_;

    my $stream = open_poll($path, %opt, $opt{on} ? () : (close => 1));
    my $answer = answer($stream, $opt{timeout});
    $stream->close unless $opt{on};
    return $answer;
}

sub texts { return join ' ', map { $_->{data} } @_ }

# -- A client --

# Options are those of open_stream(), and id.
sub new {
    my($class, $path, %opt) = @_;

    return bless { path => $path, last => delete $opt{id}, opt => \%opt,
                   polls => 0, connections => 0, broken => 0 }, $class;
}

# Ask for what is next.  Options: wait, limit.
sub ask {
    my($self, %opt) = @_;

    my $stream = delete $self->{stream};
    my $reuse = $stream && $stream->is_complete && !$self->is_last($stream);
    $self->{connections}++ unless $reuse;
    $stream->close if $stream && !$reuse;
    $self->{stream} = open_poll($self->{path}, %{ $self->{opt} }, %opt,
                                id => $self->{last},
                                $reuse ? (on => $stream) : ());
    return $self;
}

sub is_last {
    my($self, $stream) = @_;

    return ($stream->header('Connection') // '') =~ /close/i
        || $stream->{framing} eq 'eof';
}

# Its events, once they are there; nothing is lost with an answer that is not
# whole, as the next one begins at the same id.
sub take {
    my($self, $timeout) = @_;

    my $answer = answer($self->{stream}, $timeout);
    if (!$answer) {
        $self->{broken}++;
        (delete $self->{stream})->close;
        return ();
    }
    $self->{polls}++;
    @$self{qw(last retry)} = @$answer{qw(last retry)};
    return @{ $answer->{events} };
}

sub next {
    my($self, %opt) = @_;

    return $self->ask(%opt)->take($opt{timeout});
}

sub stream { return $_[0]{stream} }
sub last_id { return $_[0]{last} }
sub retry { return $_[0]{retry} }
sub polls { return $_[0]{polls} }
sub connections { return $_[0]{connections} }
sub broken { return $_[0]{broken} }

sub close {
    my $self = shift;

    (delete $self->{stream})->close if $self->{stream};
}

# -- Clients in processes of their own --

# Each polls on and on, whatever happens to the server.  Its result is that of
# subscribers() of SSETestLoad: what it got, and whose answers were none in
# "refused".  Options:
#   port
#   after  the id it begins after
#   limit  of events in an answer
#   fresh  1: a new connection for each
#   leave  1: now and then it is gone before it is answered, or just then
sub pollers {
    my($count, $path, %opt) = @_;

    my @port = $opt{port} ? (port => $opt{port}) : ();
    return SSETestLoad::Subscribers->start($count, sub {
        my(undef, $told) = @_;
        srand $$;
        my $client = SSETestPoll->new($path, @port, id => $opt{after});
        my %result = (got => [], refused => [], streams => 0);
        my $end;
        while (1) {
            if (defined(my $upto = $told->())) {
                my($id, $seconds) = split ' ', $upto;
                $end //= time + $seconds;
                last if $client->last_id >= $id || time > $end;
            }
            push @{ $result{got} }, map {
                $_->{event} eq 'sse-gap' ? $_->{event} : $_->{id}
            } $client->turn(\%result, %opt);
        }
        return { %result, broken => $client->broken };
    });
}

sub turn {
    my($self, $result, %opt) = @_;

    $self->close if $opt{fresh} || $self->{stream} && !$self->{stream}->sock;
    ++$result->{streams};
    # Nobody listens, or the kernel's queue went with the server.
    my @limit = $opt{limit} ? (limit => $opt{limit}) : ();
    if (!eval { $self->ask(wait => 2, @limit); 1 }) {
        sleep 0.02;
        return ();
    }
    if ($opt{leave} && rand() < 0.3) {
        sleep rand 0.01;
        my $stream = delete $self->{stream};
        rand() < 0.5 ? $stream->close : $stream->reset;
        return ();
    }
    my $status = $self->{stream}->status;
    push @{ $result->{refused} }, $status
        if SSETestLoad::is_refused($status // 200);
    my @events = $self->take(10);
    sleep 0.02 if !@events;
    return @events;
}

1;
