# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Hooks and functions are of use to a module in any load order.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose;
use SSETestServer;

plan tests => 10, need_module('mod_sse', 'mod_sse_close');

my $file = Apache::Test::config()->{vars}{t_conf_file};
my $text = do { local(@ARGV, $/) = $file; <> };
my($line) = $text =~ /^(LoadModule sse_close_module .*\n)/m;
my $sse = qr/^<IfModule !mod_sse\.c>/m;

ok t_cmp($text, qr/$sse.*\Q$line\E/s, 'a module that is loaded after mod_sse');
works();
ok stop_server();
(my $changed = $text) =~ s/\Q$line\E//;
$changed =~ s/(?=$sse)/$line/;
write_conf($changed);
ok t_cmp($changed, qr/\Q$line\E.*$sse/s, 'and before');
ok start_server();
works();
ok stop_server();
write_conf($text);
ok start_server();

END { write_conf($text) if $text }

sub write_conf {
    open my $fh, '>', $file or die "open $file: $!";
    print $fh $_[0];
    close $fh or die "close: $!";
}

sub works {
    my $k = key();
    my $stream = opened($k, reg => 1, rn => 1);
    ok t_cmp(($stream->next_event // {})->{data}, '1', 'functions');
    $stream->close;
    ok t_cmp(ends($k) . ' ' . names($k, 1), '1 1 client 1', 'hooks, callbacks');
}
