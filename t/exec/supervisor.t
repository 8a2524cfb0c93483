# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The supervisor of programs beside httpd: it is there where a program is
# configured, outlives restarts, and nobody's death leaves anything.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;
use SSETestServer;
use Time::HiRes qw(sleep time);

my $programs = <<'EOI';
<Location "/program">
    SetHandler sse-exec
    SSECommand /bin/cat
</Location>
EOI

my $httpd = SSETestHttpd->new(conf => $programs);
my $conf = $httpd->{conf};

my @tests = (\&starts, \&restarts, \&killed, \&unneeded, \&stopped, \&abandoned);
plan tests => 29, need_module('mod_sse');
$_->() for @tests;
ok t_cmp([$httpd->complaints(qr/supervisor of programs has ended|AH00052/)],
         [], 'nothing else in the log');

# Those of this server, whether it is there or not: they have its arguments.
sub supervisors {
    my @pids;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my $line = <$fh> // '';
        push @pids, $1 if $line =~ /^(\d+) \(sse-programs\) [^ZX] /
            && grep { $_ eq $conf } arguments($1);
    }
    return @pids;
}

sub arguments {
    my $pid = shift;

    open my $fh, '<', "/proc/$pid/cmdline" or return;
    local $/;
    return split /\0/, <$fh> // '';
}

sub one_supervisor {
    my $pid;

    return 0 unless eventually {
        my @pids = supervisors();
        $pid = $pids[0];
        @pids == 1;
    };
    return $pid;
}

# What the directories and links of /proc say of a process.
sub proc_links {
    my($pid, $what) = @_;

    return map { readlink // () } glob "/proc/$pid/$what";
}

sub owner {
    my $pid = shift;

    open my $fh, '<', "/proc/$pid/status" or return '';
    my($uids, $groups) = ('', '');
    while (<$fh>) {
        $uids = $1 if /^Uid:\s+(.*?)\s*$/;
        $groups = $1 if /^Groups:\s*(.*?)\s*$/;
    }
    return "$uids groups $groups";
}

sub write_conf {
    my $text = shift;

    open my $fh, '>', $conf or die "$conf: $!";
    print $fh $text or die "$conf: $!";
    close $fh or die "$conf: $!";
}

sub read_conf {
    open my $fh, '<', $conf or die "$conf: $!";
    local $/;
    return scalar <$fh>;
}

sub starts {
    ok t_cmp($httpd->start, 1, 'it starts');
    my $pid = one_supervisor();
    ok t_cmp(!!$pid, 1, 'with one supervisor');
    # A child that has just begun is another user's.
    my $is_same = eventually {
        !grep { owner($_) ne owner($pid) } $httpd->children;
    };
    ok t_cmp($is_same, 1, 'as the user whom the children are');
    # Its signals are the last that it opens; then it looks into /proc.
    my @open;
    eventually {
        @open = proc_links($pid, 'fd/*');
        grep({ $_ eq 'anon_inode:[signalfd]' } @open) && !grep { m{^/proc} } @open;
    };
    ok t_cmp(scalar(grep { $_ eq '/dev/null' } @open), 3,
             'its standard descriptors lead nowhere');
    ok t_cmp([grep { !m{^/dev/null$|^socket:|^anon_inode:\[signalfd\]$} } @open],
             [], 'it has no log and no file open');
    ok t_cmp(scalar(grep { /^socket:/ } @open), 1, 'one socket: its door');
    ok t_cmp(listens($pid), '', 'no listening one');
}

# Whether one of the process's sockets is a TCP socket.
sub listens {
    my $pid = shift;

    my %inode = map { /^socket:\[(\d+)\]/ ? ($1 => 1) : () }
        proc_links($pid, 'fd/*');
    open my $fh, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    return join '', grep { $inode{ (split)[9] } } <$fh>;
}

sub restarts {
    my $pid = one_supervisor();
    ok $httpd->restart('USR1');
    ok t_cmp(one_supervisor(), $pid, 'it outlives a graceful restart');
    ok $httpd->restart('HUP');
    ok t_cmp(one_supervisor(), $pid, 'and one at once');
    ok t_cmp(eventually { $httpd->answers == 200 }, 1, 'the server answers');
    ok t_cmp(scalar $httpd->lines(qr/supervisor of programs runs/), 1,
             'it was started once');
}

sub killed {
    my $pid = one_supervisor();
    kill KILL => $pid;
    my $next;
    ok t_cmp(eventually { ($next = one_supervisor()) && $next != $pid }, 1,
             'killed, it is started again');
    ok t_cmp(scalar $httpd->lines(qr/supervisor .* has ended by signal 9/), 1,
             'the log tells');
    ok $httpd->restart('USR1');
    ok t_cmp(one_supervisor(), $next, 'the new one outlives restarts, too');
    kill KILL => $next;
    # One that has lived for less than a second is not replaced at once.
    ok t_cmp(eventually(sub { my $now = one_supervisor();
                              $now && $now != $next }, 30), 1,
             'and is seen to die after one');
}

# Until none is needed, and then one is again.
sub unneeded {
    my $whole = read_conf();
    (my $without = $whole) =~ s/SSECommand .*//;
    write_conf($without);
    ok $httpd->restart('USR1');
    ok t_cmp(eventually { !supervisors() }, 1,
             'where no program is configured there is none');
    write_conf($whole);
    ok $httpd->restart('USR1');
    ok t_cmp(!!one_supervisor(), 1, 'where one is again, there is');
}

sub stopped {
    ok $httpd->stop;
    ok t_cmp([supervisors()], [], 'the server stops, and it is gone');
}

# The parent is killed: nobody is left to tell.
sub abandoned {
    ok $httpd->start;
    my $pid = one_supervisor();
    ok $httpd->kill_all;
    ok t_cmp(eventually { !is_alive($pid) }, 1,
             'the server is killed: it ends by itself');
    ok t_cmp(eventually { !$httpd->left_over }, 1, 'nothing is left');
}
