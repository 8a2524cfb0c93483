# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A store that cannot be used when the server restarts: its sites are served
# all the same, publishers are told, and it is used again by itself.  A start
# fails, and so does a test of the configuration, with the same words.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use POSIX qw(mkfifo);
use SSETest;
use SSETestClose qw(slowly);
use SSETestHold;
use SSETestHttpd;
use SSETestServer qw(is_alive);
use Time::HiRes qw(sleep time);

my $vars = Apache::Test::vars();
my $root = $> == 0;

my @obstacles = (
    [ 'a data.mdb that is a FIFO', \&fifo, qr/data\.mdb/ ],
    [ 'a data.mdb that is a symbolic link', \&symlink_to, qr/data\.mdb/ ],
    [ 'a data.mdb that has a second name', \&hard_link, qr/data\.mdb/ ],
    [ 'a data.mdb that is a directory', \&directory, qr/data\.mdb/ ],
    [ 'a lock.mdb that is a FIFO', \&lock_fifo, qr/lock\.mdb/ ],
);
@obstacles = () unless $root; # who cannot use them meets them like any other

plan tests => 3 + 9 + 6 + 8 + 7 * @obstacles,
    need need_module('mod_sse'),
    { 'liblmdb cannot be compiled against' => SSETestHold->can_hold };

my $httpd = SSETestHttpd->new;
my $dir = $httpd->{store};
$httpd->start or die 'it does not start';
my @port = (port => $httpd->port);
my $path = '/c/life';

ok t_cmp(publish($path, 'first', @port)->code, 200, 'it works');
my $stream = open_stream($path, @port);
ok t_cmp($stream->status, 200, 'and has a subscriber');
ok t_cmp(configtest(), 'OK', 'its configuration is good');
unreadable();
locked();
held_start();
obstacle(@$_) for @obstacles;

# What "httpd -t" says: "OK", or the exit status and the module's words.
sub configtest {
    my $program = $vars->{httpd};
    my $said = qx{$program -t -f "$httpd->{conf}" -D APACHE2 2>&1 </dev/null};
    return 'OK' if !$? && $said =~ /Syntax OK/;
    return ($? >> 8) . ": $said";
}

# Restart, and see that all but the store works.
sub restart_without {
    my($text, $re) = @_;

    my $before = () = $httpd->lines($re);
    my $began = time;
    my @old = $httpd->children;
    ok t_cmp($httpd->restart('USR1'), 1, "$text: it restarts");
    ok t_cmp(time - $began < slowly(15), 1, "$text: soon");
    # They have the store open; and one of prefork's waits for a connection.
    eventually(sub { $httpd->answers; !grep { is_alive($_) } @old }, 20)
        or die 'old ones stay';
    ok t_cmp(scalar(eventually { $httpd->answers == 200 }), 1,
             "$text: and serves");
    ok t_cmp((() = $httpd->lines($re)) > $before, 1,
             "$text: its log says why");
}

sub works_again {
    my $text = shift;

    ok t_cmp(scalar(eventually {
        publish($path, $text, @port)->code == 200;
    } slowly(10)), 1, "$text: it is used again by itself");
}

sub unreadable {
    my $text = 'an unreadable directory';

    # Root's own children could use it; the server's user cannot.
    chmod 0, $dir or die "chmod: $!";
    ok t_cmp(configtest(), qr/\A1: .*SSEStore: .*\Q$dir\E.*cannot be used/s,
             "$text: a test of the configuration says so");
    restart_without($text, qr/SSEStore: .* cannot be used .*The server goes on/);
    my $answer = publish($path, 'x', @port);
    ok t_cmp($answer->code, 507, "$text: publishers are told");
    ok t_cmp($answer->json->{error}, qr/directory/, "$text: why");
    chmod 0700, $dir or die "chmod: $!";
    works_again($text);
    ok t_cmp(configtest(), 'OK', "$text: and found good");
}

# The writer's lock in another process's hands, during a restart.
sub locked {
    my $text = 'a locked store';
    my $hold = SSETestHold->new($dir);

    restart_without($text, qr/gave no answer for 2 s: another process has it/);
    my $stream = open_stream($path, @port, headers => { 'Last-Event-ID' => 1 });
    ok t_cmp($stream->status, 200, "$text: subscribers are served");
    undef $hold;
    works_again($text);
}

# Only the first start fails.
sub held_start {
    my $text = 'a locked store at the start';
    my $hold = SSETestHold->new($dir);

    ok t_cmp($httpd->stop, 1, "$text: it stops");
    my $began = time;
    ok t_cmp(!eval { $httpd->start(3) }, 1, "$text: it does not start");
    ok t_cmp(scalar(eventually { !$httpd->left_over } slowly(12)), 1,
             "$text: and is gone");
    ok t_cmp(time - $began < slowly(20), 1, "$text: soon");
    ok t_cmp((() = $httpd->lines(qr/another process has it locked/)) > 1, 1,
             "$text: and why");
    ok t_cmp(configtest(), 'OK', "$text: what is locked is not tested");
    undef $hold;
    ok t_cmp($httpd->start, 1, "$text: later it does");
    works_again($text);
}

sub aside { rename "$dir/$_[0]", "$dir/../kept-$$" or die "rename: $!" }
sub back { rename "$dir/../kept-$$", "$dir/$_[0]" or die "rename: $!" }

sub fifo { aside('data.mdb'); mkfifo("$dir/data.mdb", 0666); 'data.mdb' }
sub lock_fifo { aside('lock.mdb'); mkfifo("$dir/lock.mdb", 0666); 'lock.mdb' }
sub directory { aside('data.mdb'); mkdir "$dir/data.mdb"; 'data.mdb' }

sub symlink_to {
    aside('data.mdb');
    symlink "/etc/hostname", "$dir/data.mdb" or die "symlink: $!";
    return 'data.mdb';
}

sub hard_link {
    aside('data.mdb');
    link "$dir/../kept-$$", "$dir/data.mdb" or die "link: $!";
    return 'data.mdb';
}

sub obstacle {
    my($text, $make, $re) = @_;

    my $name = $make->();
    ok t_cmp(configtest(), qr/\A1: .*SSEStore: .*$re/s,
             "$text: a test of the configuration says so");
    restart_without($text, qr/SSEStore: .*$re.*The server goes on/);
    unlink("$dir/$name") || rmdir("$dir/$name") or die "unlink: $!";
    back($name);
    works_again($text);
    ok t_cmp(configtest(), 'OK', "$text: it is good again");
}
