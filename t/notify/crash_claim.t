# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Who is told of a crash blocks while more children die: that takes one thread
# and no more, other ends are told, webhooks too, and no death is missed.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHook;
use SSETestHttpd;
use SSETestServer qw(stream_pid);
use Time::HiRes qw(sleep);

# More than SSECallbackThreads.
my $victims = 6;
my $mpm = have_apache_mpm('prefork')
    ? "StartServers 12\nServerLimit 12\nMinSpareServers 1\n"
        . "MaxSpareServers 12\nMaxRequestWorkers 12\n"
    : "StartServers 8\nServerLimit 8\nThreadsPerChild 4\nMinSpareThreads 1\n"
        . "MaxSpareThreads 32\nMaxRequestWorkers 32\n";

plan tests => 2 + 2 + $victims + 3 + 4,
    need_module('mod_sse', 'mod_sse_crash');

my $logs = Apache::Test::config()->{vars}{t_logs};
my $log = "$logs/crashes";
my $hold = "$logs/crash-hold";
my $hook = SSETestHook->new;
my $url = $hook->url;
my $httpd = SSETestHttpd->new(c_modules => ['sse_crash'], mpm => $mpm,
                              conf => <<"EOI");
<Location "/crash/">
    SetHandler sse
    SSEHook $url close
</Location>
EOI

sub told {
    my($what, $id) = @_;
    open my $fh, '<', $log or return;
    return grep { /^$what \Q$id\E / } <$fh>;
}

sub ids {
    open my $fh, '<', $log or return;
    return map { /^open (\S+) / ? $1 : () } <$fh>;
}

# True once none of their threads runs.
sub stop_all {
    my @pids = @_;

    kill STOP => @pids;
    return eventually(sub {
        my @states;
        for my $file (map { glob "/proc/$_/task/*/stat" } @pids) {
            open my $fh, '<', $file or next;
            push @states, <$fh> // '';
        }
        !grep { !/\) T / } @states;
    }, slowly(5));
}

# A stream in this child: the others take no connections meanwhile, but for one
# that has just been made.
sub stream_in {
    my $pid = shift;

    for (1 .. 20) {
        my %before = map { $_ => 1 } ids();
        my @others = grep { $_ != $pid } $httpd->children;
        stop_all(@others) or die 'they do not stop';
        my $stream = open_stream('/crash/held', port => $httpd->port);
        $stream->head;
        my $id = eventually { (grep { !$before{$_} } ids())[0] } slowly(5);
        kill CONT => @others;
        return ($stream, $id) if $id && stream_pid($id) == $pid;
        $stream->close;
    }
    die 'always in another child';
}

sub is_reaped { return !-e "/proc/$_[0]" }

unlink $log, $hold;
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my $want = have_apache_mpm('prefork') ? 12 : 8;
my @pids;
ok t_cmp(eventually(sub { $want == (@pids = $httpd->children) }, slowly(10)), 1,
         'all its children');

my(%stream, %id);
for my $pid (@pids[0 .. $victims]) {
    ($stream{$pid}, $id{$pid}) = stream_in($pid);
}
my($survivor, @lost) = @pids[0 .. $victims];
ok t_cmp(scalar keys %id, $victims + 1, 'one stream in each');

# Those that are killed tell of nothing; new children may.  The parent takes note
# of one that is stopped or killed each second.
open my $fh, '>', $hold or die "$hold: $!";
close $fh;
my @others = grep { $_ != $survivor } $httpd->children;
stop_all(@others) or die 'they do not stop';
for my $pid (@lost) {
    kill KILL => $pid;
    ok t_cmp(eventually(sub { is_reaped($pid) }, slowly(30)), 1, 'one is dead');
    sleep 0.1;
}
ok t_cmp(eventually(sub { told('telling', $id{$lost[0]}) }, slowly(5)), 1,
         'the first is being told');
ok t_cmp(!!$hook->wait_count($victims, type => 'close', reason => 'crash',
                             timeout => slowly(5)), 1,
         'webhooks do not wait for that');
my %telling;
$telling{ (split)[2] }++ for map { told('telling', $id{$_}) } @lost;
ok t_cmp(scalar(grep { $_ > 1 } values %telling), 0,
         'no child tells of another at the same time');
$stream{$survivor}->close;
ok t_cmp(eventually(sub { scalar told('close', $id{$survivor}) }, slowly(5)), 1,
         'another end is told meanwhile');
unlink $hold;
ok t_cmp(eventually(sub {
    $victims == grep { told('crash', $id{$_}) } @lost
}, slowly(5)), 1, 'then all the others are');
ok t_cmp(scalar(map { told('crash', $id{$_}) } @lost), $victims, 'once');
kill CONT => @others;
ok t_cmp(join('', $httpd->complaints(qr/AH00052/)), '', 'no complaints');
$stream{$_}->close for @lost;
ok t_cmp($httpd->stop, 1, 'it stops');
