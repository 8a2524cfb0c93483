# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The server under test as a process: restart it, stop and start it, count its
# open streams.

package SSETestServer;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Socket::INET ();
use Time::HiRes qw(sleep time);

use Apache::Test ();
use SSETest;

our @EXPORT = qw(subscribe server_pid server_status no_streams takes_no_thread
                 graceful_restart hard_restart new_generation stop_server
                 kill_server start_server stream_pid
                 streams_of server_children supervisor_pid is_alive process_state);

# A stream that has had its first bytes.  Like a browser it comes back when the
# child that it meets is leaving: that says "retry: 500" and ends.
sub subscribe {
    my @args = @_;

    return eventually(sub {
        my $stream = open_stream(@args);
        my $first = $stream->next_block(10);
        return $first && ($first->{retry} // 0) != 500 ? $stream : undef;
    }, 20) // die 'no child of the server takes a stream';
}

sub server_pid {
    open my $fh, '<', Apache::Test::config()->{vars}{t_logs} . '/httpd.pid'
        or return 0;
    my $pid = <$fh>;
    return $pid && $pid =~ /^(\d+)/ ? $1 : 0;
}

# To be signalled: without one, 0 would be all of us.
sub running_pid { return server_pid() || die 'the server does not run' }

# What the handler sse-status tells; {} where nothing answers.  A child that is
# about to leave may not.
sub server_status {
    return eventually(sub { request('GET', '/stream/status')->json }) // {};
}

# Whether no stream is open in any child, within the time (5 s).
sub no_streams {
    return eventually(sub { (server_status()->{streams} // -1) == 0 }, $_[0]);
}

# Whether no stream has a thread, as with the event MPM; elsewhere, whether some
# have.  Within the time (5 s): those of before may be at their end.
sub takes_no_thread {
    my $want = ($ENV{SSE_MPM} || 'event') eq 'event' ? qr/^0$/ : qr/^[1-9]/;
    return eventually(sub { (server_status()->{threads} // '') =~ $want }, 5);
}

# The child that a stream was in, by its id in the log.
sub stream_pid {
    return hex((split /\./, $_[0])[1]);
}

# The streams of these paths by the log, and the reasons of their ends:
# { path => { id => [reason] } }.  Clients that leave at once are far ahead of
# the server: so this looks until each has one end and nothing has changed for a
# second, and returns what it then saw, or after the time.
sub streams_of {
    my($timeout, @paths) = @_;

    my($streams, $since);
    my $count = -1;
    eventually(sub {
        my @lines = error_lines(qr/stream \S+ (?:open on|ended:) /);
        ($count, $since) = (scalar @lines, time) if @lines != $count;
        my %ended;
        /stream (\S+) ended: (\S+),/ && push @{ $ended{$1} }, $2 for @lines;
        $streams = { map { $_ => {} } @paths };
        for (@lines) {
            $streams->{$2}{$1} = $ended{$1} // []
                if /stream (\S+) open on (\S+)$/ && $streams->{$2};
        }
        return time - $since >= 1
            && !grep { @$_ != 1 } map { values %$_ } values %$streams;
    }, $timeout);
    return $streams;
}

# The processes whose parent is the server, each with its name.
sub processes {
    my $server = server_pid();
    my %names;

    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next; # it has ended
        my $stat = <$fh> // '';
        $names{$1} = $2
            if $stat =~ /^(\d+) \((.*)\) \S (\d+)/ && $3 == $server;
    }
    return \%names;
}

# Its children, of whatever generation; not the supervisor of programs, which
# outlives restarts.
sub server_children {
    my $names = processes();
    return grep { $names->{$_} ne 'sse-programs' } keys %$names;
}

# The supervisor of programs; undef if there is none.
sub supervisor_pid {
    my $names = processes();
    return (grep { $names->{$_} eq 'sse-programs' } keys %$names)[0];
}

# As ps has it, "S"; '' when there is none.
sub process_state {
    open my $fh, '<', "/proc/$_[0]/stat" or return '';
    return (<$fh> // '') =~ /\) (\S) / ? $1 : '';
}

# A process that is dead but not waited for by its parent is gone too, when the
# last of its threads is: until then its sockets are open.
sub is_alive {
    my $state = process_state($_[0]);
    return $state =~ /[^ZX]/ || (() = glob "/proc/$_[0]/task/*") > 1 ? 1 : 0;
}

# How often the server has begun to serve, since the test file began.
sub generations {
    return scalar error_lines(qr/resuming normal operations/);
}

sub restart {
    my($signal, $timeout) = @_;

    my $before = generations();
    kill $signal => running_pid() or die "kill $signal: $!";
    return eventually(sub { generations() > $before }, $timeout // 20);
}

# True once the new generation is there.  Its children may not be, yet.
sub graceful_restart { return restart('USR1', @_) }
sub hard_restart { return restart('HUP', @_) }

# The same, once those of the old generation are gone: a child that has not run
# since then does not know yet that it has to leave, and takes another stream.
# One of prefork's may wait for a connection until there is one.
sub new_generation {
    my @old = server_children();

    return graceful_restart() && eventually(sub {
        can_connect();
        return !grep { is_alive($_) } @old;
    }, $_[0] // 20);
}

# True once the server is gone, and its children are: they have its sockets.
sub stop_server {
    my($signal, $timeout) = @_;

    my $pid = running_pid();
    kill $signal // 'TERM', $pid or die "kill: $!";
    return eventually(sub { !is_alive($pid) && !can_connect() },
                      $timeout // 20);
}

# All its processes, as in a power cut.  A pid file whose process its parent has
# not waited for would keep the next start from being one.
sub kill_server {
    my $pid = running_pid();
    my $vars = Apache::Test::config()->{vars};

    kill KILL => -getpgrp $pid or die "kill: $!";
    eventually(sub { !is_alive($pid) && !can_connect() }, 20)
        or die 'the server does not die';
    unlink "$vars->{t_logs}/httpd.pid";
}

sub can_connect {
    my $vars = Apache::Test::config()->{vars};

    return !!IO::Socket::INET->new(PeerAddr => $vars->{remote_addr},
                                   PeerPort => $vars->{port}, Timeout => 2);
}

# True once the server answers.  That it may do before it has said that it is
# there, which the next restart would take for its own.
sub start_server {
    my $timeout = shift // 60;

    my $before = generations();
    my $command = Apache::Test::config()->server->start_cmd;
    system("$command >/dev/null 2>&1 </dev/null") == 0
        or die "the server does not start: $command";
    return eventually(sub {
        server_pid() && can_connect() && generations() > $before
    }, $timeout);
}

1;
