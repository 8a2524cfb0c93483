# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# 24, 25: what may block has threads, and they are there: ready functions that
# run for long delay no close callback; a log that nobody reads delays no event;
# and where the system gives no more threads, nothing runs on the loop, and what
# could not be told of does not open.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use POSIX ();
use SSETest;
use SSETestClose;
use SSETestHttpd;
use SSETestNumbers;
use Time::HiRes qw(sleep time);

use constant READY => 6;

my $has_prlimit = !system 'prlimit --version >/dev/null 2>&1';
my $prefork = have_apache_mpm('prefork');
plan tests => 1 + 5 + 3 + ($prefork ? 6 : 7) + 6 + 1,
    need need_module('mod_sse', 'mod_sse_close'),
        { 'prlimit(1) is missing' => sub { $has_prlimit } };

# One child has it all, but on prefork, where each request takes one until its
# end is in the log.
my $mpm = $prefork
    ? "StartServers 50\nServerLimit 50\nMinSpareServers 1\n"
        . "MaxSpareServers 50\nMaxRequestWorkers 50\n"
    : "StartServers 1\nServerLimit 1\nThreadsPerChild 96\n"
        . "MinSpareThreads 1\nMaxSpareThreads 96\nMaxRequestWorkers 96\n";
my $logs = Apache::Test::vars('t_logs');
my($script, $log, $pid_file) = map { "$logs/workers-$_" } qw(logger log pid);
unlink $log, $pid_file;
write_logger();
my $httpd = SSETestHttpd->new(c_modules => ['sse_close'], mpm => $mpm,
                              conf => <<"EOI");
ErrorLog "|$^X $script $log $pid_file"
<Location "/app">
    SetHandler sse-close-app
</Location>
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

no_thread_at_first();
ready_and_close();
no_more_threads();
stuck_log();
ok t_cmp($httpd->stop('TERM', slowly(20)), 1, 'it stops');

# Before the server is stopped, whatever has happened.
END {
    local($?, $!);
    kill CONT => loggers() if $pid_file;
}

# A log's program, with a pipe that holds 4 KB.
sub write_logger {
    open my $fh, '>', $script or die "$script: $!";
    print $fh <<'EOI';
my($log, $pid_file) = @ARGV;
fcntl STDIN, 1031, 4096 or die "F_SETPIPE_SZ: $!";
open my $out, '>>', $log or die "$log: $!";
open my $pid, '>>', $pid_file or die "$pid_file: $!";
print $pid "$$\n";
close $pid;
syswrite $out, $_ while sysread STDIN, $_, 4096;
EOI
    close $fh or die "$script: $!";
}

# httpd starts it twice, as it reads its configuration twice, and the first one
# ends again; either may be the last to write its number.
sub loggers {
    open my $fh, '<', $pid_file or return ();
    return grep { kill 0 => $_ } map { $_ + 0 } <$fh>;
}

sub logger {
    return eventually(sub { (loggers())[-1] }) // die "no logger is left\n";
}

sub lines {
    my $re = shift;

    open my $fh, '<', $log or return ();
    return grep { $_ =~ $re } <$fh>;
}

sub get {
    my($path, @args) = @_;

    return open_stream(@args ? url($path, @args) : $path, @port);
}

# And the log's program.  prefork starts its children one after the other.
sub all_children {
    my @pids;

    eventually(sub {
        @pids = $httpd->children;
        @pids == 1 + ($prefork ? 50 : 1);
    }, slowly(10)) or die scalar(@pids), " children, not all of them\n";
    return @pids;
}

# The children get no more threads than those that there are; or again as many
# as they like.  Only their own user may say so.
sub threads {
    my $none = shift;

    for my $pid (grep { $_ != logger() } all_children()) {
        my($uid, $gid) = (stat "/proc/$pid")[4, 5];
        my $soft = $none ? 1 : hard_limit($pid);
        my $child = fork // die "fork: $!";
        if (!$child) {
            POSIX::setgid($gid);
            POSIX::setuid($uid);
            exec 'prlimit', "--pid=$pid", "--nproc=$soft:" or POSIX::_exit(1);
        }
        waitpid $child, 0;
        die "prlimit: $?" if $?;
    }
}

sub hard_limit {
    open my $fh, '<', "/proc/$_[0]/limits" or die "limits: $!";
    return (map { /^Max processes\s+\S+\s+(\S+)/ ? $1 : () } <$fh>)[0];
}

sub delivers {
    my($stream, $path, $name) = @_;

    my $began = time;
    my $text = "to $name";
    publish($path, $text, @port);
    ok t_cmp(($stream->next_event(slowly(5)) // {})->{data}, $text,
             "$name: an event comes");
    my $took = time - $began;
    ok t_cmp($took < slowly(8), 1, "$name: after $took s");
}

# Nobody had a ready function as yet.
sub no_thread_at_first {
    threads('none');
    my $refused = get('/app', key());
    ok t_cmp($refused->status, 503, 'no thread for ready functions: refused');
    ok t_cmp($refused->header('Retry-After') // '', qr/^\d+$/,
             'no thread for ready functions: and told when to come back');
    my $said = eventually(sub { (lines(qr/cannot create a thread for callbacks/))[0] });
    ok t_cmp($said, qr/TasksMax/, 'no thread for ready functions: logged');
    ok t_cmp(numbers(@port)->{refused_by}{callbacks}, 1,
             'no thread for ready functions: counted');
    threads();
    my $ready = key();
    my $stream = get('/app', $ready);
    ok t_cmp(told($ready, 'ready')->{open}, 1, 'later there is one');
    $stream->close;
}

# More than they have threads.
sub ready_and_close {
    my @keys = map { key() } 1 .. READY;
    # They return when their streams end, and register something.
    my @long = map { get('/app', $_, rwait => slowly(30_000), rlate => 0) }
        @keys;
    my $busy = $prefork ? READY : 4;
    ok t_cmp(eventually(sub { $busy == how_many { told($_, 'ready', 0)->{open} }
                              @keys }, slowly(5)) // 0, 1,
             'ready functions that run for long');
    my $short = key();
    my $stream = get('/app', $short, reg => 1);
    $stream->next_block(slowly(5));
    told($short, 'open');
    $stream->close;
    my $close = told($short, 'close', slowly(5));
    ok t_cmp($close->{reason}, 'client', 'an end is told all the same');
    ok t_cmp((how_many { seen($_, 'registered') } @keys) + 0, 0,
             'while they run');
    $_->close for @long;
    eventually(sub { READY == how_many { count_seen($_, 'close') } @keys },
               slowly(20));
}

# The threads of the last part have gone when this begins.
sub no_more_threads {
    my $path = '/c/others';
    my $other = get($path);
    $other->next_block(slowly(5));
    my($slow, $next) = (key(), key());
    my @streams = map { get('/app', $_, reg => 1, 'hold-1' => 1) } $slow, $next;
    told($_, 'ready') for $slow, $next;
    $_->next_block(slowly(5)) for @streams;
    sleep 1.5;
    threads('none');
    hold();
    $_->close for @streams;
    told($slow, 'begin');
    delivers($other, $path, 'no more threads');
    let_go();
    ok t_cmp(told($_, 'cb', slowly(15))->{reason}, 'client',
             'no more threads: the callback runs') for $slow, $next;
    # On prefork it may be another child, which never had a thread for that.
    my $late = key();
    my $ready = get('/app', $late, reg => 1);
    ok t_cmp($ready->status, $prefork ? qr/200|503/ : 200,
             'no more threads: a ready function has one');
    $ready->next_block(slowly(5));
    $_->close for $ready, $other;
    $prefork or ok t_cmp(told($late, 'cb')->{reason}, 'client',
                         'no more threads: an end');
    ok t_cmp(scalar(my @l = $httpd->children) > 0, 1, 'no child has died');
    threads();
}

sub stuck_log {
    my $path = '/c/stuck';
    my $stream = get($path);
    $stream->next_block(slowly(5));
    my $before = () = lines(qr/ended: /);
    kill STOP => logger();
    # More than fit into the pipe, as lines.
    my @keys = map { key() } 1 .. ($prefork ? 35 : 60);
    for my $key (@keys) {
        my $one = get('/app', $key, reg => 1);
        told($key, 'open', slowly(10)) or last;
        $one->close;
    }
    in_all(\@keys, scalar @keys, 'a log that nobody reads: all ends are told',
           sub { told($_, 'cb')->{reason} });
    delivers($stream, $path, 'a log that nobody reads');
    my $now = () = lines(qr/ended: /);
    ok t_cmp($now < $before + @keys, 1, 'a log that nobody reads: is behind');
    kill CONT => logger();
    my $all = eventually(sub {
        (() = lines(qr/ended: /)) >= $before + @keys
    }, slowly(10));
    ok t_cmp($all, 1, 'a log that nobody reads: later it has all lines');
    $stream->close;
    ok t_cmp(eventually(sub {
        request('GET', '/status', @port)->json->{streams} == 0
    }, slowly(10)), 1, 'a log that nobody reads: no stream is left');
}
