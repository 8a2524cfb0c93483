#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A program that channels share: feed.pl DIRECTORY WHAT NAME.  Notes its pid in
# DIRECTORY, in a file that is named like NAME, and writes
#
#   count   a number, from 1 on, each 5 ms
#   steady, limited  the same
#   events  the same as events of the type "tick"
#   hand    what a test writes to the pipe DIRECTORY/NAME.pipe
#   kept    the same
#   end     two lines, the second without its end, and exits with 3
#   flood   numbers, as fast as it can

use strict;
use warnings FATAL => 'all';

use Fcntl qw(O_RDWR O_WRONLY O_APPEND O_CREAT);
use POSIX ();
use Time::HiRes qw(sleep);

my($dir, $what, $name) = @ARGV;
$name =~ tr{/}{_};

sysopen my $pids, "$dir/$name.pids", O_WRONLY | O_APPEND | O_CREAT or die $!;
syswrite $pids, "$$\n";
$| = 1;

if ($what =~ /^(?:count|steady|limited)$/) {
    for (my $n = 1; ; ++$n) {
        print "$n\n";
        sleep 0.005;
    }
}
elsif ($what eq 'events') {
    for (my $n = 1; ; ++$n) {
        print ": comment\nevent: tick\nid: $$-$n\ndata: $n\n\n";
        sleep 0.02;
    }
}
elsif ($what =~ /^(?:hand|kept)$/) {
    my $pipe = "$dir/$name.pipe";
    -p $pipe or POSIX::mkfifo($pipe, 0666) or die "$pipe: $!";
    # Both ends, so that it never ends.
    sysopen my $in, $pipe, O_RDWR or die "$pipe: $!";
    while (sysread $in, my $text, 65536) {
        print $text;
    }
}
elsif ($what eq 'end') {
    print STDERR "the end is near\n";
    print "first\nlast";
    exit 3;
}
elsif ($what eq 'flood') {
    $| = 0;
    for (my $n = 1; ; ++$n) {
        print "$n\n";
    }
}
