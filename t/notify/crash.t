# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A child is killed with streams open: another one tells of each of them, once.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestServer;

my $streams = have_apache_mpm('prefork') ? 20 : 50;

plan tests => 11 + 4, need_module('mod_sse', 'mod_sse_crash');

my $path = "/crash/$$";
my $log = Apache::Test::config()->{vars}{t_logs} . '/crashes';

sub told {
    my($what, $id) = @_;
    open my $fh, '<', $log or return;
    return grep { /^$what \Q$id\E / } <$fh>;
}

sub ids {
    open my $fh, '<', $log or return;
    return map { /^open (\S+) / ? $1 : () } <$fh>;
}

# One after the other, so that no child that is slow leaves them to others.
sub open_all {
    my $n = () = ids();

    return map {
        my $stream = subscribe($path);
        ++$n;
        eventually { $n <= (() = ids()) };
        $stream;
    } 1 .. $streams;
}

unlink $log;
my @streams = open_all();
ok t_cmp(scalar(() = ids()), $streams, 'all are open');
my @ids = ids();

my %of;
push @{ $of{ stream_pid($_) } }, $_ for @ids;
my($victim) = sort { @{ $of{$b} } <=> @{ $of{$a} } } keys %of;
my @lost = @{ $of{$victim} };
my @others = grep { stream_pid($_) != $victim } @ids;
kill KILL => $victim or die "kill: $!";

ok t_cmp(eventually { @lost == grep { told('crash', $_) } @lost }, 1,
         'the end of each is told');
my @lines = map { told('crash', $_) } @lost;
ok t_cmp(scalar @lines, scalar @lost, 'once');
ok t_cmp(scalar(grep { m{ \Q$path\E 127\.0\.0\.1$} } @lines), scalar @lost,
         'with channel and client');
ok t_cmp(scalar(grep { (split)[2] == $victim } @lines), 0,
         'by another process');
ok t_cmp(scalar(map { told('close', $_) } @lost), 0, 'and not as closed');
ok t_cmp(scalar(map { told('crash', $_) } @others), 0,
         'nobody is told of streams that live');
ok t_cmp(eventually { server_status()->{streams} == @others }, 1,
         'they are no longer counted');

publish($path, 'still here');
my @alive = grep {
    my $e = $_->next_event(10);
    $e && $e->{data} eq 'still here';
} @streams;
ok t_cmp(scalar @alive, scalar @others, 'the other children go on');

$_->close for @streams;
ok t_cmp(eventually { @others == grep { told('close', $_) } @others }, 1,
         'and tell of their own');
ok no_streams();

# The whole server dies: the children of its next start tell.
@streams = open_all();
my $before = @ids;
ok t_cmp(scalar(() = ids()), $before + $streams, 'all are open again');
@lost = (ids())[$before .. $before + $streams - 1];
kill_server();
ok start_server();
ok t_cmp(eventually { @lost == grep { told('crash', $_) } @lost }, 1,
         'the next start tells of each');
ok t_cmp(scalar(map { told('crash', $_), told('close', $_) } @lost),
         scalar @lost, 'once, and of no other end');
