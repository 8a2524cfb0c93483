# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What the tests of programs share: a program that does what its query says
# (t/exec/bin/act), and who runs.
#
#   my $mark = mark();                    # unlike any other process' argument
#   my $stream = act('say=a', 'wait=1');  # a stream whose program does that
#   running("say=$mark&wait=1")           # the processes with that argument
#   ends($mark)                           # true once there is none

package SSETestExec;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

use Apache::Test ();
use SSETest;
use SSETestHttpd;

our @EXPORT = qw(act program mark running ends said one_child run_on);

# Its path.
sub program {
    return Apache::Test::vars('serverroot') . "/exec/bin/$_[0]";
}

my $marks = 0;

sub mark { return "mark-$test_id-" . ++$marks . '_' }

sub escape { return $_[0] =~ s/([^\w.\/-])/sprintf '%%%02X', ord $1/ger }

# A hash reference has open_stream()'s options, and path.
sub act {
    my %opt = @_ && ref $_[0] ? %{ shift() } : ();
    my $path = delete $opt{path} // '/exec/act';
    my @steps = map { my($name, $value) = split /=/, $_, 2;
                      "$name=" . escape($value) } @_;

    return open_stream("$path?" . join('&', @steps), %opt);
}

# The processes that have this text in their arguments, but for zombies, whose
# arguments are gone.
sub running {
    my($text) = @_;

    my @pids;
    for my $file (glob '/proc/[0-9]*/cmdline') {
        open my $fh, '<', $file or next;
        local $/;
        my $args = <$fh> // '';
        my($pid) = $file =~ m{/proc/(\d+)/};
        push @pids, $pid if index($args, $text) >= 0 && $pid != $$;
    }
    return @pids;
}

sub ends {
    my($text, $timeout) = @_;

    return eventually(sub { !running($text) }, $timeout);
}

# An httpd that is not started yet, with one child, which runs programs at /run.
sub one_child {
    my $act = program('act');

    return SSETestHttpd->new(mpm => <<'EOI', conf => <<"EOC");
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MinSpareThreads 1
MaxSpareThreads 16
MaxRequestWorkers 16
EOI
<Location "/run">
    SetHandler sse-exec
    SSECommand $act "%{QUERY_STRING}"
    SSEHeartbeat 0
</Location>
EOC
}

# A stream there whose program has begun, and lasts.
sub run_on {
    my($port, $mark, @steps) = @_;

    my $stream = act({ path => '/run', port => $port }, @steps, "say=$mark",
                     'wait=1');
    my $event = $stream->next_event;
    return $event && $event->{data} eq $mark ? $stream : undef;
}

# All data of a stream until its end.
sub said {
    my($stream, $timeout) = @_;

    my @data;
    while (my $event = $stream->next_event($timeout)) {
        push @data, $event->{event} eq 'message' ? $event->{data}
                                                 : "$event->{event}: $event->{data}";
    }
    return @data;
}

1;
