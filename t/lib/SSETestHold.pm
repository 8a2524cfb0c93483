# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Another process that holds the writer lock of an LMDB store and does not let
# go.
#
#   my $hold = SSETestHold->new($dir);
#   undef $hold;  # it lets go

package SSETestHold;

use strict;
use warnings FATAL => 'all';

use FindBin ();
use IPC::Open2 qw(open2);

use Apache::Test ();

# Whether there is what it takes, compiled at the first call.
sub can_hold { return !!program() }

my $program;

sub program {
    return $program if defined $program;
    my $logs = Apache::Test::vars('t_logs');
    my $cc = $ENV{CC} || 'cc';
    my $source = "$FindBin::Bin/../lib/hold_store.c";
    $program = "$logs/hold_store";
    local $ENV{LD_PRELOAD};
    system("$cc -o '$program' '$source' -llmdb >'$program.log' 2>&1") == 0
        or $program = '';
    return $program;
}

sub new {
    my($class, $dir) = @_;

    local $ENV{LD_PRELOAD};
    my $pid = open2(my $out, my $in, program(), $dir);
    my $line = <$out>;
    die "the store $dir cannot be held" unless ($line // '') eq "held\n";
    return bless { pid => $pid, in => $in, out => $out }, $class;
}

sub DESTROY {
    my $self = shift;

    local($?, $!);
    close $self->{in};
    waitpid $self->{pid}, 0;
}

1;
