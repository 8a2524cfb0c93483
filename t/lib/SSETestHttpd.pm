# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# An httpd of the test's own, beside the suite's: with its own configuration and
# store, to be killed as a whole.  One at a time.
#
#   my $httpd = SSETestHttpd->new(store => 'sync=on', conf => '...');
#   $httpd->start;
#   publish('/a', 'x', port => $httpd->port);
#   $httpd->kill_all;
#   ok $httpd->start;
#
# Its configuration has a channel for every /c/NAME, with all of its history,
# and /all: the channels a, b and c.  /status is sse-status.

package SSETestHttpd;

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET ();
use Time::HiRes qw(sleep time);

use Apache::Test ();
use SSETest qw(eventually publish request $test_id);
use SSETestCrash;
use SSETestServer qw(is_alive process_state);

# Two children on event and worker; beside each, room for one that leaves.
my %mpm = (
    event => "StartServers 2\nServerLimit 4\nThreadsPerChild 16\n"
        . "MinSpareThreads 16\nMaxSpareThreads 32\nMaxRequestWorkers 32\n"
        . "AsyncRequestWorkerFactor 400\n",
    worker => "StartServers 2\nServerLimit 4\nThreadsPerChild 32\n"
        . "MinSpareThreads 32\nMaxSpareThreads 64\nMaxRequestWorkers 64\n",
    prefork => "StartServers 20\nServerLimit 60\nMinSpareServers 10\n"
        . "MaxSpareServers 40\nMaxRequestWorkers 60\n",
);

my $count;
my @newest; # the last one that was made: its process and its log

# A test that dies shows what the server has said.
END {
    if ($? && @newest && $newest[0] == $$ && open my $fh, '<', $newest[1]) {
        my @lines = <$fh>;
        print STDERR map { "# $_" } @lines > 30 ? @lines[-30 .. -1] : @lines;
    }
}

# Options: store (more settings of SSEStore), dir (its directory), conf (added at
# the end), mpm (instead of the above), module (instead of the mod_sse under
# test), modules (more of the suite's, "headers"), c_modules (C test modules by
# their names; their logs are those of the suite's server).
sub new {
    my($class, %opt) = @_;

    my $vars = Apache::Test::config()->{vars};
    # The suite has 50 ports of its own, of which it uses the first ones.
    my $self = bless {
        port => $vars->{port} + 45,
        log  => "$vars->{t_logs}/own_log",
        pid_file => "$vars->{t_logs}/own.pid",
        store => $opt{dir} // "$vars->{t_state}/own-$test_id-" . ++$count,
        conf => "$vars->{t_logs}/own.conf",
        stops => $$,
    }, $class;
    unlink $self->{log};
    @newest = ($$, $self->{log});
    open my $fh, '>', $self->{conf} or die "$self->{conf}: $!";
    print $fh $self->configuration($vars, %opt) or die "$self->{conf}: $!";
    close $fh or die "$self->{conf}: $!";
    return $self;
}

sub configuration {
    my($self, $vars, %opt) = @_;

    open my $fh, '<', $vars->{httpd_conf} or die "$vars->{httpd_conf}: $!";
    my $modules = join '|', qw(mpm_\w+ unixd authz_core env log_config sse),
        @{ $opt{modules} // [] };
    my $load = join '', grep { /^LoadModule (?:$modules)_module / } <$fh>;
    $load =~ s/^(LoadModule sse_module ).*/$1$opt{module}/m if $opt{module};
    my $root = $opt{c_modules} ? $vars->{serverroot} : $vars->{t_logs};
    $load .= test_module($vars, $_) for @{ $opt{c_modules} // [] };
    my $user = $> ? '' : "User $vars->{user}\nGroup $vars->{group}\n";
    my $mpm = $opt{mpm} // $mpm{ $ENV{SSE_MPM} || 'event' };
    my $store = $opt{store} // '';
    my $conf = $opt{conf} // '';
    return <<"EOI";
$load$user$mpm
ServerName localhost
ServerRoot "$root"
DefaultRuntimeDir "$vars->{t_logs}"
CoreDumpDirectory "$vars->{t_logs}"
Listen 127.0.0.1:$self->{port}
ListenBacklog 511
PidFile "$self->{pid_file}"
ErrorLog "$self->{log}"
LogLevel info sse:info
GracefulShutdownTimeout 10
SSEStore lmdb "dir=$self->{store}" size=256m $store
SSEHeartbeat 0
SSERetry 200ms
SSEHistory 1000000 1h 0
<LocationMatch "^/c/(?<NAME>.+)\$">
    SetHandler sse
    SSEPublish On
    SSEChannel "%{env:MATCH_NAME}"
</LocationMatch>
<Location "/all">
    SetHandler sse
    SSEChannel a b c
</Location>
<Location "/status">
    SetHandler sse-status
</Location>
$conf
EOI
}

sub test_module {
    my($vars, $name) = @_;

    open my $fh, '<', $vars->{t_conf_file} or die "$vars->{t_conf_file}: $!";
    my($line) = grep { /^\s*LoadModule ${name}_module / } <$fh>;
    return $line // die "no test module $name";
}

sub port { return $_[0]{port} }

sub pid {
    my $self = shift;

    open my $fh, '<', $self->{pid_file} or return 0;
    my $pid = <$fh> // '';
    return $pid =~ /^(\d+)/ && is_alive($1) ? $1 : 0;
}

# Its children, without those that are dead and not waited for yet, and without
# the supervisor of programs.
sub children {
    my $parent = shift->pid or return ();

    my @pids;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my $line = <$fh> // '';
        push @pids, $1 if $line =~ /^(\d+) \(.*\) [^ZX] (\d+) /s
            && $2 == $parent && $line !~ /^\d+ \(sse-programs\) /;
    }
    return @pids;
}

sub answers {
    my $self = shift;

    return eval { request('GET', '/status', port => $self->{port})->code // 0 }
        // 0;
}

# True once it answers.
sub start {
    my($self, $timeout) = @_;

    my $httpd = Apache::Test::vars('httpd');
    # Where nobody has waited for a killed one, httpd takes it for running.
    unlink $self->{pid_file} unless $self->pid;
    $self->{starts} = $self->starts;
    $self->{leaving} = {};
    local $ENV{TSAN_OPTIONS} = ($ENV{TSAN_OPTIONS} // '')
        . ":suppressions=$ENV{SSE_TOP}/t/san/tsan-stop.supp";
    my $said = qx{$httpd -f "$self->{conf}" -D APACHE2 -k start 2>&1 </dev/null};
    die "the server does not start: $said", $self->left_over if $?;
    return eventually(sub { $self->pid && $self->answers == 200 },
                      $timeout // 60);
}

# Processes of this configuration, which may hold its port; their states.
sub left_over {
    my $self = shift;

    return grep { /\Q$self->{conf}\E/ } qx{ps -eo pid,ppid,stat,etimes,args};
}

# True once it is gone, and its children are: a parent may give up waiting.
sub stop {
    my($self, $signal, $timeout) = @_;

    my $pid = $self->pid or return 1;
    kill $signal // 'TERM', $pid;
    return eventually(sub { !is_alive($pid) && !$self->left_over },
                      $timeout // 20);
}

sub lines {
    my($self, $re) = @_;

    open my $fh, '<', $self->{log} or return ();
    # One that is being written may be there in part.
    return grep { /\n\z/ && $_ =~ $re } <$fh>;
}

# How often it has said that it is there: with each start and restart.
sub starts {
    my $self = shift;

    return scalar(() = $self->lines(qr/resuming normal operations/));
}

# True once the new generation is there; its children may not be, yet.
sub restart {
    my($self, $signal) = @_;

    # It may answer before it has said that it is there.
    my $before = $self->{starts};
    eventually(sub { ($before = $self->starts) > $self->{starts} }, 20);
    my $pid = $self->pid or die "it does not run"; # 0 is all of us
    $self->{leaving} = { map { $_ => 1 } $self->children };
    kill $signal, $pid or die "kill $signal: $!";
    return eventually(sub { $self->starts > $before }, 20);
}

# A graceful restart, and those of the old generation are gone: a child that has
# not run since then does not know yet that it has to leave, and goes on.  One of
# prefork's may wait for a connection until there is one.
sub new_generation {
    my($self, $timeout) = @_;

    my @old = $self->children;
    return $self->restart('USR1') && eventually(sub {
        IO::Socket::INET->new("127.0.0.1:$self->{port}");
        return !grep { is_alive($_) } @old;
    }, $timeout // 20);
}

# One of the children, but for those that a restart has told to leave: after the
# death of one of these httpd may have more children than it tells to stop, and
# kills the others.  There may be none for a second, until the MPM sees to it.
# @return its process id
sub kill_child {
    my $self = shift;

    my @children;
    eventually(sub {
        @children = grep { !$self->{leaving}{$_} } $self->children;
    }) or die 'no child to kill';
    my $pid = $children[rand @children];
    kill KILL => $pid;
    return $pid;
}

# As if the machine's OOM killer or its administrator had lost patience: no
# process of it is left, and none could say anything.
sub kill_all {
    my $self = shift;

    my $pid = $self->pid or die 'it does not run';
    kill STOP => $pid; # so that it makes no child meanwhile
    eventually { process_state($pid) =~ /[TZ]|\A\z/ };
    my @all = ($self->children, $pid);
    kill KILL => @all;
    return eventually(sub { !grep { is_alive($_) } @all }, 20);
}

# Whether sse-store finds the store sound; else what it says.
sub store_check {
    my($status, $said) = shift->store_tool('check');
    return !$status && $said =~ /^sound/ ? 'sound' : "$status: $said";
}

# What sse-store says: its exit status and its output.
sub store_tool {
    my($self, @args) = @_;

    my($dir) = $ENV{SSE_MODULE} =~ m{\A(.*)/};
    # A child of ours, and no preloaded runtime.
    my $said = qx{"$dir/sse-store" -d "$self->{store}" @args 2>&1 </dev/null};
    return ($? >> 8, $said);
}

# A number of sse-store stat.
sub store_stat {
    my($self, $name) = @_;

    my(undef, $said) = $self->store_tool('stat');
    return $said =~ /^\Q$name\E: +(\d+)$/m ? $1 : undef;
}

# The words for a store that others, as they stood still, kept a child from
# opening, if they are in the log and the store is used all the same.
sub store_pause {
    my $self = shift;

    my $words = qr/the event store cannot be opened/;
    return undef unless $self->lines($words);
    return $words unless $self->pid;
    my $bad = grep {
        (publish('/c/pause', $_, port => $self->{port})->code // 0) != 200
    } 1 .. 40;
    return $bad ? undef : $words;
}

# What should not be in the log, but for the lines that are expected.
sub complaints {
    my($self, $expected) = @_;

    my @lines = grep { !$expected || $_ !~ $expected } $self->lines(
        qr/exit signal|:(?:error|crit|alert|emerg)\]|sse:warn\]|Assertion/);
    # A child that stops at once closes its threads' sockets under them.
    @lines = grep { !/\(9\)Bad file descriptor: AH(?:0309[23]|03465|10503)/ } @lines;
    @lines = map {
        /child pid (\d+) exit signal/ ? $self->crash($1, $_) : $_
    } @lines;
    # httpd's own words where threads and children are few, as here.
    @lines = grep { !/AH0016[12]|AH0028[678]|AH00484|AH03490|AH10159/ } @lines;
    # A test's own target of webhooks, or who had the store's lock, stood still
    # with the machine.
    my $slow = qr/webhooks to \S+ are slow, |gave no answer for 2 s|another process has it locked/;
    @lines = grep { !/$slow/ } @lines;
    # A sanitizer makes a child miss the time that a stop gives it.
    @lines = grep { !/AH00046|leaving without it|exiting anyway/ } @lines if $ENV{SSE_SAN};
    my $pause = $self->store_pause;
    return $pause ? grep { !/$pause/ } @lines : @lines;
}

# The line that tells of a crash, the report, and what libraries have said;
# nothing when it is httpd's own.
sub crash {
    my($self, $pid, $line) = @_;

    return () if is_httpds_own_crash($pid);
    return ($line, crash_report($pid), library_lines($self->lines(qr/^/)));
}

sub DESTROY {
    my $self = shift;

    return if $self->{stops} != $$; # a process that the test forked
    local($?, $@);
    $self->stop;
}

1;
