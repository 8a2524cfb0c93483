#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-store on stores at rest and in use, sound, damaged and missing.
#   SSE_STORE_TOOL  the tool
#   SSE_MAKE_STORE  the program of t/unit/make_store.c, which makes the stores

use strict;
use warnings FATAL => 'all';

use File::Copy qw(copy);
use File::Temp qw(tempdir);
use IPC::Open2 qw(open2);
use IPC::Open3 qw(open3);
use Symbol qw(gensym);
use Test::More;
use Time::HiRes qw(sleep);

my($tool, $maker) = @ENV{qw(SSE_STORE_TOOL SSE_MAKE_STORE)};
for my $program ($tool, $maker) {
    BAIL_OUT('SSE_STORE_TOOL or SSE_MAKE_STORE is not set') unless $program;
    BAIL_OUT("there is no $program") unless -x $program;
}
delete $ENV{SSE_STORE};
my $top = tempdir('sse-tool-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# Exit status, stdout and stderr of the tool.
sub tool {
    my(@args) = @_;
    open my $err, '+>', "$top/stderr" or die "stderr: $!";
    my $pid = open3(my $in, my $out, '>&' . fileno $err, $tool, @args);

    close $in;
    my $said = do { local $/; <$out> };
    waitpid $pid, 0;
    my $status = $? & 127 ? "signal $?" : $? >> 8;
    seek $err, 0, 0;
    my $words = do { local $/; <$err> };
    return ($status, $said // '', $words // '');
}

sub make {
    my($name, @commands) = @_;

    for my $command (@commands) {
        system($maker, "$top/$name", $command) == 0
            or die "make_store $name $command: $?";
    }
    return "$top/$name";
}

# A process that goes on with the store until its stdin is closed.
sub start {
    my($dir, $command) = @_;
    my $pid = open2(my $out, my $in, $maker, $dir, $command);

    is(scalar <$out>, "begun\n", "somebody is there to $command");
    return { pid => $pid, in => $in, out => $out };
}

sub stop {
    my($process) = @_;

    close $process->{in};
    my $said = readline $process->{out};
    waitpid $process->{pid}, 0;
    is($?, 0, 'who used it had no failure');
    return $said;
}

sub names {
    my($dir) = @_;

    opendir my $handle, $dir or die "$dir: $!";
    return join ' ', sort grep { !/^\.\.?$/ } readdir $handle;
}

sub refused {
    my($name, $status, $words, @args) = @_;
    my($got, $out, $err) = tool(@args);

    is($got, $status, "$name: exit status");
    like($err, $words, "$name: in words");
    is($out, '', "$name: nothing on stdout");
}

# The newest id.
sub last_id {
    return (tool('-d', $_[0], 'stat'))[1] =~ /^last: (\d+)/m ? $1 : 0;
}

sub slurp {
    my($file) = @_;

    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

# -- how it is called
{
    my($status, $out, $err) = tool('--help');

    is($status, 0, 'help');
    like($out, qr/list.*dump.*members.*stat.*check.*Exit status/s,
         'names all there is');
    is($err, '', 'on stdout');
    refused('no command', 2, qr/list, dump, members, stat or check/,
            '-d', $top);
    refused('another command', 2, qr/no command wipe/, '-d', $top, 'wipe');
    refused('no directory', 2, qr/-d.*SSE_STORE/, 'stat');
    refused('no channel', 2, qr/name a channel/, '-d', $top, 'dump');
    refused('too much', 2, qr/too many/, '-d', $top, 'stat', 'x');
    refused('-n with stat', 2, qr/-n/, '-d', $top, '-n', 'x', 'stat');
    refused('another option', 2, qr/--help/, '-x');
}

# -- nothing there, and nothing made
for my $command ('list', 'stat', 'check', 'dump /x') {
    refused("$command, missing directory", 3, qr/No such file.*SSEStore/,
            '-d', "$top/missing", split ' ', $command);
    mkdir "$top/empty";
    refused("$command, missing store", 3, qr/no store in it.*SSEStore/,
            '-d', "$top/empty", split ' ', $command);
}
ok(!-e "$top/missing", 'no directory was made');
is(names("$top/empty"), '', 'no file was made');
system('mkfifo', "$top/empty/data.mdb") == 0 or die 'mkfifo';
refused('no plain file', 3, qr/not a plain file/, '-d', "$top/empty", 'stat');
unlink "$top/empty/data.mdb";
open my $touch, '>', "$top/empty/data.mdb" or die $!;
close $touch;
refused('empty file', 3, qr/no store was begun/, '-d', "$top/empty", 'stat');
is(-s "$top/empty/data.mdb", 0, 'which stays empty');

# -- at rest
my $dir = make('rest', 'fill');
my $before = slurp("$dir/data.mdb");
{
    my($status, $out, $err) = tool('-d', $dir, 'list');
    my @lines = split /\n/, $out;
    my %row;

    is("$status$err", 0, 'list');
    is(shift @lines, join("\t", qw(namespace channel events bytes first last
                                   age members)), 'its heading');
    for my $line (@lines) {
        my($ns, $name, @numbers) = split /\t/, $line;
        $row{"$ns $name"} = \@numbers;
    }
    is(@lines, 8, 'as many channels as there are');
    is_deeply([@{ $row{'a.example /events/news'} }[0, 1]], [3, 16],
              'events and bytes');
    my($first, $last, $age) = @{ $row{'a.example /events/news'} }[2, 3, 4];
    is($last, $first + 2, 'first and last id');
    ok($age =~ /^\d+$/ && $age < 60, 'age of the newest');
    is($row{'a.example /events/two'}[0], 2, 'a history of two');
    is_deeply([@{ $row{'a.example /short'} }[0 .. 2]], [0, 0, 0],
              'what is over its age does not count');
    ok($row{'a.example /odd\x5c \x1b'}, 'no control character gets out');
    ok($row{'b.example /none'}, 'one that keeps none');
    is($row{'a.example /events/news'}[5], 302, 'members');
    is($row{'a.example /events/two'}[5], 0, 'or none');
    is("@{ $row{'b.example /quiet'} }", '0 0 0 0 0 1',
       'a channel that has nothing but a member');

    ($status, $out) = tool('-d', $dir, 'list', '/events/t');
    is(() = $out =~ /\n/g, 2, 'list with a prefix');
    like($out, qr{^a\.example\t/events/two\t}m, 'has what begins with it');
    ($status, $out) = tool('-d', $dir, '-n', 'B.example', 'list');
    is(() = $out =~ /^b\.example\t/gm, 4, 'list of a namespace');
    unlike($out, qr/^a\.example/m, 'has no other');

    ($status, $out, $err)
        = tool('-d', $dir, 'dump', '/events/news', '-n', 'a.example');
    is("$status$err", 0, 'dump');
    is($out, "id: $first\ndata: one\n\n"
           . 'id: ' . ($first + 1) . "\nevent: tick\nretry: 1500\n"
           . "data: two\ndata: lines\n\n"
           . "id: $last\ndata: \n\n", 'is text/event-stream with ids');
    ($status, $out) = tool('-d', $dir, 'dump', '/events/two');
    is($status, 0, 'dump needs no namespace where there is one');
    is(() = $out =~ /^data: xxxx$/gm, 2, 'all that is kept');
    is_deeply([tool('-d', $dir, 'dump', '/short')], [0, '', ''],
              'dump of none kept');
    refused('dump of one in two namespaces', 2,
            qr/-n.*a\.example b\.example/, '-d', $dir, 'dump', '/events/news');
    refused('dump of none', 4, qr/no such channel/, '-d', $dir, 'dump', '/no');
    refused('dump of none there', 4, qr/no such channel/,
            '-d', $dir, 'dump', '/short', '-n', 'b.example');

    ($status, $out, $err)
        = tool('-d', $dir, 'members', '/events/news', '-n', 'a.example');
    is("$status$err", 0, 'members');
    @lines = map { [split /\t/] } split /\n/, $out;
    is("@{ shift @lines }", 'name stream user child age waits', 'its heading');
    is(@lines, 302, 'all of them, in pieces');
    is("@{ $lines[0] }[0 .. 3, 5]", 'back again ann 77.1 -',
       'one that has returned is the first to have come');
    is("@{ $lines[299] }[0 .. 3, 5]", 's298 s298  77.1 -',
       'one without a user');
    is($lines[301][2], 'b\x5c\x1b', 'no control character gets out');
    ok($lines[301][5] > 3000 && $lines[301][5] <= 3600, 'the last one waits');
    ok(!grep({ $_->[4] !~ /^\d+$/ || $_->[4] > 60 } @lines), 'for how long');
    ($status, $out) = tool('-d', $dir, 'members', '/quiet');
    is(() = $out =~ /^alone\talone\tann\t/gm, 1, 'of a channel without events');
    is((tool('-d', $dir, 'members', '/events/two'))[1],
       "name\tstream\tuser\tchild\tage\twaits\n", 'none');
    is_deeply([tool('-d', $dir, 'dump', '/quiet')], [0, '', ''],
              'dump of members');
    refused('members of none', 4, qr/no such channel/, '-d', $dir, 'members',
            '/no');

    local $ENV{SSE_STORE} = $dir;
    ($status, $out, $err) = tool('stat');
    my %stat = $out =~ /^(\w+): (\d+)/gm;
    is("$status$err", 0, 'stat, by SSE_STORE');
    is($stat{version}, 2, 'version');
    is($stat{origin}, $first - 1, 'origin');
    is($stat{last}, $first + 13, 'last id');
    is($stat{channels}, 7, 'channels');
    is($stat{events}, 14, 'events in the log');
    is($stat{lingering}, 6, 'lingering');
    is($stat{presence}, 2, 'channels with members');
    is($stat{members}, 303, 'members');
    is($stat{limit}, 16 << 20, 'limit');
    ok($stat{used} > 0 && $stat{used} < $stat{soft}
       && $stat{soft} < $stat{limit}, 'used, soft');
    is($stat{readers}, 0, 'nobody reads');

    is_deeply([tool('-d', $dir, 'check')],
              [0, "sound: 7 channels, 14 events in the log, 303 members\n", ''],
              'check');
    my $full = system("$tool -d $dir stat >/dev/full 2>$top/full") >> 8;
    is($full, 3, 'output that cannot be written');
    like(slurp("$top/full"), qr/disk is full/, 'in words');
}
ok($before eq slurp("$dir/data.mdb"), 'not a byte of it was changed');
is(names($dir), 'data.mdb lock.mdb', 'and no file made');

# -- a copy
mkdir "$top/copy";
copy("$dir/data.mdb", "$top/copy/data.mdb") or die $!;
is((tool('-d', "$top/copy", 'check'))[0], 0, 'a copy without its lock file');
is(names("$top/copy"), 'data.mdb', 'gets none');

# -- in use
{
    my $busy = make('busy', 'fill');
    my $writer = start($busy, 'write');
    my %status;

    for (1 .. 10) {
        my($status, $out, $err) = tool('-d', $busy, 'check');
        ++$status{"$status$err"};
        ($status, $out, $err) = tool('-d', $busy, 'list');
        ++$status{"$status$err"};
        ++$status{join '', (tool('-d', $busy, 'members', '/quiet'))[0, 2]};
        ($status, $out, $err) = tool('-d', $busy, 'dump', 'channel-3');
        ++$status{"$status$err"};
        my @ids = $out =~ /^id: (\d+)$/gm;
        is("@ids", join(' ', sort { $a <=> $b } @ids), 'ids grow');
    }
    is_deeply(\%status, { 0 => 40 }, 'all commands with a writer');
    my $last = last_id($busy);
    my $tries = 0;
    sleep 0.02 while last_id($busy) < $last + 2000 && ++$tries < 1000;
    ok($tries < 1000, 'the writer goes on beside all that');
    ok(stop($writer) > 2000, 'it has written');
    is((tool('-d', $busy, 'check'))[0], 0, 'and it is sound at the end');

    my $reader = start($busy, 'read');
    my($status, $out) = tool('-d', $busy, 'stat');
    like($out, qr/^readers: 1\nreading: 1$/m, 'a reader is seen');
    stop($reader);
}

# -- of another version
make('version', 'fill', 'version');
for my $command ('list', 'stat', 'check', 'dump /events/two') {
    refused("$command, another version", 3, qr/version 9.*reads version 2/,
            '-d', "$top/version", split ' ', $command);
}

# -- damaged
make('lose', 'fill', 'lose');
refused('an event is missing', 1, qr/damaged: .*index.*without its event/,
        '-d', "$top/lose", 'check');
is((tool('-d', "$top/lose", 'dump', '/events/news', '-n', 'a.example'))[0], 1,
   'dump says so as well');
make('miscount', 'fill', 'miscount');
refused('a count is wrong', 1, qr/damaged: .*channels.*not what it says/,
        '-d', "$top/miscount", 'check');
make('unmark', 'fill', 'unmark');
refused('a member is not found', 1, qr/damaged: .*presence.*as many users/,
        '-d', "$top/unmark", 'check');

sub spoilt {
    my($name, $spoil) = @_;
    my $spoilt = make($name, 'fill');

    open my $file, '+<:raw', "$spoilt/data.mdb" or die $!;
    $spoil->($file, -s $file);
    close $file or die $!;
    refused($name, 1, qr/damaged: .*stop httpd/s, '-d', $spoilt, 'check');
}

sub overwrite {
    my($file, $from, $to) = @_;

    seek $file, $from, 0;
    print $file "\xa5" x ($to - $from);
}

spoilt('no page is what it was', sub { overwrite($_[0], 8192, $_[1]) });
spoilt('not even the first', sub { overwrite($_[0], 0, $_[1]) });
spoilt('cut off', sub { truncate $_[0], 8192 });

# -- whose it is
SKIP: {
    skip 'only root can be others', 5 if $>;
    my($uid, $gid) = (getpwnam 'nobody')[2, 3];
    my $other = make('owned', 'fill');

    chmod 0755, $top;
    chown $uid, $gid, $other, "$other/data.mdb", "$other/lock.mdb";
    is((tool('-d', $other, 'check'))[0], 0, 'root looks into it');
    is((stat "$other/lock.mdb")[4], $uid, 'whose files stay whose they are');
    unlink "$other/data.mdb";
    copy("$dir/data.mdb", "$top/secret") or die $!;
    chmod 0600, "$top/secret";
    symlink "$top/secret", "$other/data.mdb" or die $!;
    is((tool('-d', $other, 'check'))[0], 3, 'root follows no link in there');
    # The tool may lie where that user cannot go.
    copy($tool, "$top/sse-store") or die $!;
    chmod 0755, "$top/sse-store";
    for my $case ([$dir, 3, 'another user may not'], [$top, 2, 'though it can run the tool']) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            $) = "$gid $gid";
            ($(, $<, $>) = ($gid, $uid, $uid);
            open STDERR, '>', '/dev/null';
            no warnings 'exec';
            exec "$top/sse-store", '-d', $case->[0],
                $case->[1] == 3 ? 'check' : 'wipe' or exit 99;
        }
        waitpid $pid, 0;
        is($? >> 8, $case->[1], $case->[2]);
    }
}

done_testing();
