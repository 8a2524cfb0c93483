# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Programs of sse-exec when the supervisor, or all of the server, is killed; and
# what CGI programs beside them are given.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestExec;
use SSETestHttpd;
use SSETestServer;
use Time::HiRes qw(sleep);

my $cgi = ($ENV{SSE_MPM} // '') eq 'prefork' ? 'cgi' : 'cgid';
my $logs = Apache::Test::vars('t_logs');
my $script = "$logs/fds.cgi";

# What programs do.
my @steps = (['ignore=1'], ['keep=60'], ['escape=60'], []);
my $httpd = SSETestHttpd->new(modules => [$cgi, 'alias'], conf => conf());
my $port = $httpd->port;

my @tests = (\&supervisor_killed, \&cgi, \&stopped, \&all_killed, \&debugged);
plan tests => 26, need_module('mod_sse');
ok t_cmp($httpd->start, 1, 'it starts');
$_->() for @tests;
my $told = qr/supervisor of programs has ended|runs the programs of sse-exec has/;
ok t_cmp([$httpd->complaints($told)], [], 'nothing else in the log');

sub conf {
    my $act = program('act');
    my $sock = $cgi eq 'cgid' ? "ScriptSock $logs/own_cgisock" : '';
    open my $fh, '>', $script or die "$script: $!";
    print $fh <<'EOI';
#!/bin/sh
printf 'Content-Type: text/plain\n\n'
ls -l /proc/self/fd | sed -n 's/.* -> //p'
env
EOI
    close $fh;
    chmod 0755, $script;
    return <<"EOI";
$sock
ScriptAlias /cgi "$script"
<Location "/run">
    SetHandler sse-exec
    SSECommand $act "%{QUERY_STRING}"
</Location>
EOI
}

# A stream whose program has begun; some children may be about to leave.
sub run {
    my($mark, @steps) = @_;

    for (1 .. 100) {
        my $stream = act({ path => '/run', port => $port }, @steps,
                         "say=$mark", 'wait=1');
        my $event = $stream->next_event;
        return $stream if $event && $event->{data} eq $mark;
        sleep 0.1;
    }
    return;
}

# Processes of this server's programs, wherever they have gone: by their
# environment.
sub marked {
    my @pids;
    for my $file (glob '/proc/[0-9]*/environ') {
        open my $fh, '<', $file or next;
        local $/;
        my $env = <$fh> // '';
        push @pids, $1 if $env =~ /(?:^|\0)SSE_PROGRAM=/
            && $env =~ /(?:^|\0)SERVER_PORT=$port(?:\0|$)/ && $file =~ m{/proc/(\d+)/};
    }
    return @pids;
}

sub supervisor {
    my $parent = $httpd->pid;

    my $pid;
    eventually {
        for my $file (glob '/proc/[0-9]*/stat') {
            open my $fh, '<', $file or next;
            my $line = <$fh> // '';
            $pid = $1 if $line =~ /^(\d+) \(sse-programs\) [^ZX] (\d+) /
                && $2 == $parent;
        }
        $pid;
    };
    return $pid;
}

sub run_all {
    my @streams = map { run(mark(), @$_) } @steps;

    ok t_cmp(scalar @streams, scalar @steps, 'programs run');
    ok t_cmp(marked() >= @steps + 2, 1, 'some with others');
    return @streams;
}

sub supervisor_killed {
    my @streams = run_all();

    my $pid = supervisor();
    kill KILL => $pid;
    ok t_cmp((grep { $_->wait_end(10) } @streams) + 0, scalar @steps,
             'the supervisor is killed: the streams end');
    ok t_cmp(eventually { my $now = supervisor(); $now && $now != $pid }, 1,
             'there is another one');
    ok t_cmp(eventually { !marked() }, 1, 'which ends what programs have left');
    my $stream = run(mark());
    ok t_cmp(!!$stream, 1, 'and starts new ones');
    $stream->close if $stream;
    ok t_cmp(eventually { !marked() }, 1, 'which end');
}

sub cgi {
    my $stream = run(mark());
    my $answer = request('GET', '/cgi', port => $port);
    ok t_cmp($answer->code, 200, "a CGI program runs beside ($cgi)");
    my($fds, $env) = split /^(?=[A-Z_]+=)/m, $answer->body, 2;
    # Its pipes, the log, and the listing of /proc itself.
    my @others = grep { m{^socket:|^/memfd:|^anon_inode:\[signalfd} }
        split /\n/, $fds;
    # mod_cgid gives its own socket to a program.
    ok t_cmp(scalar @others <= ($cgi eq 'cgid' ? 1 : 0), 1,
             "it has no door to the supervisor: @others");
    ok t_cmp($answer->body !~ /SSE_PROGRAM/, 1, 'nor the mark of our programs');
    $stream->close if $stream;
    ok t_cmp(eventually { !marked() }, 1, 'the program beside ends');
}

sub stopped {
    my @streams = run_all();
    my $pid = supervisor();

    ok $httpd->stop;
    ok t_cmp(!is_alive($pid), 1, 'no supervisor is left');
    ok t_cmp(eventually { !marked() }, 1, 'and nothing of programs');
}

sub all_killed {
    ok $httpd->start;
    my @streams = run_all();
    ok $httpd->kill_all;
    ok t_cmp(eventually { !marked() }, 1,
             'all of the server is killed: nothing of programs is left');
    ok t_cmp(eventually { !$httpd->left_over }, 1, 'nor the supervisor');
}

# One process for all, as a debugger wants it.
sub debugged {
    my $httpd_bin = Apache::Test::vars('httpd');
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        open STDIN, '<', '/dev/null';
        exec $httpd_bin, '-f', $httpd->{conf}, '-D', 'APACHE2', '-X';
        die;
    }
    eventually(sub { $httpd->answers == 200 }, 60);
    my $stream = run(mark());
    ok t_cmp(!!$stream, 1, 'with -X, too, programs run');
    kill TERM => $pid;
    waitpid $pid, 0;
    ok t_cmp(eventually { !marked() && !$httpd->left_over }, 1, 'and end');
}
