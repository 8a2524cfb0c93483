#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# sensor.pl HUB COUNT: publish the load of this machine, so many times.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use SSEPublish;

my($url, $count) = @ARGV;
my $hub = SSEPublish->new($url);
for (1 .. $count) {
    open my $fh, '<', '/proc/loadavg' or die "/proc/loadavg: $!";
    my($load) = split ' ', scalar <$fh>;
    $hub->publish('/events/sensor', { load => $load }, event => 'load');
    sleep 1 if $_ < $count;
}
