# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A store that cannot take anything while the server runs: its disk is full, its
# directory is gone or another one.  Publishers are refused and told why,
# subscribers stay, the log says it, and all goes on by itself, or with another
# directory from the next restart on.  And one that is
# no good when the server starts.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Fcntl qw(O_RDONLY O_DIRECTORY LOCK_EX);

use Apache::Test;
use Apache::TestUtil;
use File::Path qw(remove_tree);
use SSETest;
use SSETestClose qw(slowly);
use SSETestHttpd;
use Time::HiRes qw(sleep);

my $vars = Apache::Test::vars();
# Below what is the suite's user's, root makes and gives away nothing.
my $disk = "$vars->{serverroot}/disk-$$";
my $store = "$disk/store";
my $owner = $$;
my $httpd;

sub run { return system("@_ >/dev/null 2>&1") == 0 }

# The server first: it has the disk open.
END {
    my $status = $?;
    if (($owner // 0) == $$) {
        undef $httpd;
        run("umount $disk || umount -l $disk");
        rmdir $disk;
    }
    $? = $status;
}
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

# Only root's own directories cannot be made again by the server's user.
my $able = $> == 0 && mkdir($disk)
    && run("mount -t tmpfs -o size=6m,mode=755 tmpfs $disk");
plan tests => 12 + 9 + 12 + 9 + 5 + 6, need need_module('mod_sse'),
    { 'no tmpfs may be mounted here (root)' => $able };

$httpd = SSETestHttpd->new(dir => $store, store => 'size=64m',
                           conf => 'SSEHeartbeat 300ms');
$httpd->start or die 'it does not start';
my @port = (port => $httpd->port);
my $path = '/c/full';
my @ids; # of all that was answered, in this store

full_disk();
away();
replaced();
earlier();
restarted();
damaged();

sub is_refused {
    my($answer, $why, $text) = @_;

    my $error = $answer->code == 507 ? ($answer->json // {})->{error} : '';
    ok t_cmp($error, $why, $text);
}

# True once one is taken, within some seconds.
sub is_taken {
    my($data, $text) = @_;

    my $answer;
    my $taken = eventually {
        $answer = publish($path, $data, @port);
        $answer->code == 200;
    } slowly(5);
    push @ids, $answer->json->{id} if $taken;
    ok t_cmp($taken, 1, $text);
}

# Until one is refused.
sub publish_until_refused {
    my($data, $most) = @_;

    for (1 .. $most) {
        my $answer = publish($path, $data, @port);
        return $answer if $answer->code != 200;
        push @ids, $answer->json->{id};
    }
    die "$most events were taken";
}

sub live {
    my $stream = open_stream($path, @port, @_);
    $stream->next_block(10)
        or die 'no stream: ', $stream->status // 'no answer';
    return $stream;
}

# The next event, by its data, that is none of these.
sub next_data {
    my($stream, $not) = @_;

    while (my $event = $stream->next_event(slowly(5))) {
        my $data = ($event->{event} // '') eq 'sse-gap' ? 'sse-gap'
            : $event->{data};
        return $data if !$not || $data !~ $not;
    }
    return 'nothing';
}

# The ids that are kept after the first one.
sub kept {
    my @got;
    my $stream = live(headers => { 'Last-Event-ID' => $ids[0] });
    while (my $event = $stream->next_event(@got == $#ids ? 0.5 : slowly(5))) {
        push @got, ($event->{event} // '') eq 'sse-gap' ? 'sse-gap'
            : $event->{id};
    }
    $stream->close;
    return "@got";
}

sub logged { return scalar $httpd->lines($_[0]) }

sub remove_store { remove_tree($store) }

# Each child looks for itself whether the directory is in its place: with its
# first write a second after it has last looked.
sub all_look { sleep 1.2 }

sub full_disk {
    is_taken('first', 'disk: a first event');
    my $stream = live();
    my $ballast = "$disk/ballast";
    open my $fh, '>', $ballast or die "$ballast: $!";
    { local $SIG{__WARN__} = sub {}; 1 while syswrite $fh, 'x' x 65536 }
    close $fh;
    my $answer = publish_until_refused('y' x 30_000, 500);
    is_refused($answer, qr/its disk has no room/, 'disk: full, and told so');
    my $batch = '[' . join(',', map { qq({"data":"part $_) . 'z' x 20_000 . '"}' }
                           1 .. 3) . ']';
    $answer = publish($path, $batch, @port,
                      'Content-Type' => 'application/json');
    is_refused($answer, qr/its disk has no room/, 'disk: a batch too');
    publish($path, 'y' x 30_000, @port) for 1 .. 30;
    my $lines = logged(qr/takes nothing.*disk is full/);
    my $children = $httpd->children;
    ok t_cmp($lines >= 1 && $lines <= $children, 1,
             "disk: logged $lines times by $children children");
    next_data($stream) for 2 .. @ids;
    ok t_cmp(ref $stream->next_block(slowly(10)), 'HASH',
             'disk: the subscriber has its heartbeats');
    ok t_cmp(kept(), "@ids[1 .. $#ids]", 'disk: all that was answered, no more');
    unlink $ballast or die "$ballast: $!";
    is_taken('room', 'disk: there is room again');
    ok t_cmp(next_data($stream, qr/^y/), 'room', 'disk: and subscribers get it');
    is_taken("more $_", "disk: and on: $_") for 1 .. 2;
    # By a child that had refused one.
    my $again = eventually {
        push @ids, publish($path, 'more', @port)->json->{id};
        !!logged(qr/takes events again/);
    } slowly(5);
    ok t_cmp($again, 1, 'disk: which is logged');
    ok t_cmp($httpd->store_check, 'sound', 'disk: the store is sound');
    $stream->close;
}

sub away {
    my $stream = live();
    rename $store, "$disk/away" or die "rename: $!";
    my $answer;
    # For a moment it goes on in the directory that was moved.
    eventually { $answer = publish($path, 'meanwhile', @port);
                 push @ids, $answer->json->{id} if $answer->code == 200;
                 $answer->code != 200 };
    is_refused($answer, qr/directory is gone/, 'away: refused, and told so');
    all_look();
    ok t_cmp(kept(), "@ids[1 .. $#ids]", 'away: what is kept can be read');
    is_refused(request('DELETE', $path, @port), qr/directory is gone/,
               'away: nothing can be deleted either');
    rename "$disk/away", $store or die "rename: $!";
    is_taken('back', 'away: it is back');
    ok t_cmp(next_data($stream, qr/meanwhile/), 'back',
             'away: subscribers go on, without a gap');
    is_taken("again $_", "away: and on: $_") for 1 .. 2;
    ok t_cmp(kept(), "@ids[1 .. $#ids]", 'away: nothing is lost');
    ok t_cmp($httpd->store_check, 'sound', 'away: the store is sound');
    $stream->close;
}

# An empty directory in its place, as an administrator would make it: it is the
# store from the next restart on.
sub replaced {
    my $stream = live();
    my $old = $ids[-1];
    remove_store();
    is_refused(publish($path, 'lost', @port), qr/directory is gone/,
               'replaced: gone first');
    mkdir $store or die "$store: $!";
    run("chown $vars->{user} $store") or die 'chown';
    is_refused(publish($path, 'lost', @port), qr/directory is gone/,
               'replaced: an empty one is not used as yet');
    ok t_cmp(kept(), "@ids[1 .. $#ids]", 'replaced: the old one can be read');
    ok t_cmp($httpd->new_generation, 1, 'replaced: a graceful restart');
    @ids = ();
    is_taken('anew', 'replaced: uses it');
    ok t_cmp($ids[0] > $old, 1, 'replaced: with ids above the old ones');
    is_taken('live', 'replaced: more');
    my $again = live(headers => { 'Last-Event-ID' => $old });
    ok t_cmp(next_data($again), 'sse-gap',
             'replaced: one that resumes is told of the gap');
    ok t_cmp(next_data($again), 'anew', 'replaced: before what is kept');
    ok t_cmp(next_data($again), 'live', 'replaced: and gets what comes');
    $_->close for $stream, $again;
    while_opening();
}

# Another process has the directory locked, as who opens the store does, until
# after the children have begun: those that have yet to open it wait for a
# moment.
sub while_opening {
    sysopen my $dir, $store, O_RDONLY | O_DIRECTORY or die "$store: $!";
    flock $dir, LOCK_EX or die "flock: $!";
    ok t_cmp($httpd->restart('USR1'), 1, 'opening: a restart meanwhile');
    sleep slowly(3); # a child tries for 2 s before it serves
    my $began = time;
    my @streams = map { open_stream($path, @port) } 1 .. 8;
    sleep 0.3;
    close $dir;
    # They wait for 1 s, and then are answered 503.
    my $code = time - $began < 0.8 ? 200 : '(?:200|503)';
    ok t_cmp((join ' ', map { $_->status // 'no answer' } @streams),
             qr/^(?:$code ?){8}$/, 'opening: who comes meanwhile waits');
    $_->close for @streams;
}

# An older copy is put back, whose ids are lower: used from the next restart on.
sub earlier {
    run("cp -a $store $disk/copy") or die 'cp';
    is_taken("later $_", "earlier: an event after the copy: $_") for 1 .. 2;
    my $lost = $ids[-1];
    rename $store, "$disk/newer" or die "rename: $!";
    rename "$disk/copy", $store or die "rename: $!";
    my $told = eventually { !!logged(qr/files were replaced/) } slowly(15);
    ok t_cmp($told, 1, 'earlier: the administrator is told');
    all_look();
    is_refused(publish($path, 'lost', @port), qr/directory is gone/,
               'earlier: the copy is not used as yet');
    ok t_cmp($httpd->new_generation, 1, 'earlier: a graceful restart');
    splice @ids, -2;
    is_taken('again', 'earlier: the copy is used');
    my $stream = live(headers => { 'Last-Event-ID' => $lost });
    ok t_cmp(next_data($stream), 'sse-gap', 'earlier: who comes back is told');
    is_taken('next', 'earlier: more');
    ok t_cmp(next_data($stream, qr/^(?:anew|live|again)/), 'next',
             'earlier: and gets what comes');
    remove_tree("$disk/newer");
    $stream->close;
}

# A restart makes the directory.
sub restarted {
    my $old = $ids[-1];
    remove_store();
    ok t_cmp($httpd->new_generation, 1, 'removed: a graceful restart');
    @ids = ();
    is_taken('restarted', 'removed: makes it again');
    ok t_cmp($ids[0] > $old, 1, 'removed: the ids grow');
    my $stream = live(headers => { 'Last-Event-ID' => $old });
    ok t_cmp(next_data($stream), 'sse-gap', 'removed: an old id is a gap');
    ok t_cmp(next_data($stream), 'restarted', 'removed: what is kept follows');
    $stream->close;
}

sub damaged {
    my $old = $ids[-1];
    $httpd->stop;
    open my $fh, '+<', "$store/data.mdb" or die "data.mdb: $!";
    syswrite $fh, 'no store at all ' x 1024;
    close $fh;
    ok t_cmp($httpd->start, 1, 'damaged: it starts');
    ok t_cmp(logged(qr/was damaged .*it is kept there as data\.mdb\.damaged/), 1,
             'damaged: and says what it did');
    my @kept = glob "$store/data.mdb.damaged-*";
    ok t_cmp(scalar @kept, 1, 'damaged: the old one is there');
    @ids = ();
    is_taken('sound', 'damaged: a new one is begun');
    my $stream = live(headers => { 'Last-Event-ID' => $old });
    ok t_cmp(next_data($stream), 'sse-gap', 'damaged: an old id is a gap');
    ok t_cmp(next_data($stream), 'sound', 'damaged: what is kept follows');
    $stream->close;
}
