#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# publish.pl CONTRIB URL OPTIONS <CALLS: see publish.py

use strict;
use warnings FATAL => 'all';

use JSON::PP ();

require "$ARGV[0]/perl/SSEPublish.pm";

$| = 1;
my $json = JSON::PP->new->utf8;
my $hub = SSEPublish->new($ARGV[1], %{ $json->decode($ARGV[2]) });
my %call = (
    publish => sub { $hub->publish(@_[0, 1], %{ $_[2] || {} }) },
    batch   => sub { [$hub->publish_batch($_[0], @{ $_[1] })] },
    delete  => sub { $hub->delete($_[0]); undef },
);
while (my $line = <STDIN>) {
    my($name, @args) = @{ $json->decode($line) };
    my $said = eval { [$call{$name}->(@args)] };
    if (my $error = $@) {
        die $error unless ref $error;
        $said = { map { $_ => $error->$_ } qw(status message attempts) };
    }
    print $json->encode($said), "\n";
}
