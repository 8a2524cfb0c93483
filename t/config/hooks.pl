#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What of webhooks' directives is accepted and what is refused, as errors.pl
# does for the others.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/../lib';
use SSETestConf;

make_keys();

# SSEHook
my $hook = 'http://127.0.0.1:8000/hook';
passes("SSEHook $_") for 'none', 'None', $hook, "$hook open", "$hook CLOSE open",
    "$hook open close publish first last", "$hook publish publish",
    'https://hooks.example.com', 'HTTPS://[::1]:8443/a?b=c%20d',
    "$hook open\nSSEHook $hook close\nSSEHook https://b/ first",
    "none\nSSEHook $hook";
refused("SSEHook $hook $_", "SSEHook: '$_' is not allowed; allowed is open, "
        . 'close, publish, first and last after the URL')
    for qw(opened all none http://b/);
for (
    ['127.0.0.1:8000/hook', 'it must begin with http:// or https://'],
    ['/hook', 'it must begin with http:// or https://'],
    ['ftp://a/b', 'it must begin with http:// or https://'],
    ['http:a', 'it names no host'],
    ['http:///a', 'it names no host'],
    ['http://me:word@a/b', 'a password in it would stand in the logs'],
    ['http://a/b#c', "a '#' and what follows it is never sent"],
    ['"http://a/b c"', '2000 ASCII characters without blanks'],
    ['http://a/' . 'x' x 2000, 'at most 2000 ASCII char'],
) {
    my($value, $why) = @$_;
    refused("SSEHook $value", $why);
    refused("SSEHook $value", 'is not allowed: ');
}
refused("SSEHook http://caf\xc3\xa9/", 'ASCII characters without blanks');
refused("SSEHook $hook \"\"", "SSEHook: an argument is empty ('')");
refused('SSEHook', 'SSEHook takes at least one argument, http(s)://host/path');
refused_in_limit("SSEHook $hook", 'SSEHook cannot stand in <Limit>');

# SSEHookField
passes("SSEHookField $_") for 'none', 'remote %{REMOTE_ADDR}', 'a.b-c_1 "text"',
    "a b\nSSEHookField b c", 'cookie "%{HTTP_COOKIE}"';
refused("SSEHookField $_ x", "SSEHookField: '$_' is not allowed; allowed is a "
        . 'name of 1 to 64 letters, digits')
    for 'a:b', 'x' x 65, '%{x}', 'a/b';
refused('SSEHookField remote', "SSEHookField: 'remote' has no expression; a");
refused("SSEHookField a b\nSSEHookField a c",
        "SSEHookField: the field 'a' is here twice", 2);
refused('SSEHookField a "%{NO_SUCH}"', "SSEHookField: '%{NO_SUCH}' is no "
        . "expression: Variable 'NO_SUCH' does not exist");
refused(join("\n", map { "SSEHookField f$_ x" } 1 .. 33),
        "allowed is at most 32 fields", 33);
refused('SSEHookField', 'SSEHookField takes 1-2 arguments, a name and an');
refused_in_limit('SSEHookField a b', 'SSEHookField cannot stand in');

# SSEHookSecret, SSEHookCA
write_file("$dir/empty.key", '');
write_file("$dir/short.key", "0123456789abcde\n");
for (['SSEHookSecret', 'hook.key'], ['SSEHookCA', 'hook.pem']) {
    my($name, $file) = @$_;
    passes("$name $_") for "$dir/$file", $file, 'none';
    refused("$name $dir/absent.key", "$name: '$dir/absent.key' cannot be read: "
            . 'No such file or directory');
    refused("$name $dir/empty.key", "cannot be read: it is empty");
    refused($name, "$name takes one argument, a file");
    refused_in_limit("$name none", "$name cannot stand in");
}

for (['SSEHookSecret', 'short.key'], ['SSEHookCA', 'hook.key']) {
    my($name, $file) = @$_;
    my($status, $said) = httpd("$name $file", '-t');
    ok $status == 256 && $said =~ /\Q$name: '$dir\/$file': /,
        "refused: $name $file" or diag "exit status $status\n$said";
}

# SSEHookBatch
passes("SSEHookBatch $_") for '1 0', '100 50ms', '1000 60s', '2 1';
refused("SSEHookBatch $_ 1s", "SSEHookBatch: '$_' is not allowed; allowed is 1 "
        . 'to 1000 calls in a request')
    for qw(0 -1 1001 1k all);
refused("SSEHookBatch 10 $_", "SSEHookBatch: '$_' is not allowed; allowed is 0 "
        . "to 60s as the wait: $time")
    for qw(61s -1 1m soon);
refused("SSEHookBatch 10", 'SSEHookBatch takes two arguments, a count and');
refused_in_limit('SSEHookBatch 1 0', 'SSEHookBatch cannot stand in');

# SSEHookConnections, SSEHookQueue
passes("SSEHookConnections $_") for qw(1 8 256);
refused("SSEHookConnections $_", "SSEHookConnections: '$_' is not allowed; "
        . 'allowed is 1 to 256 connections')
    for qw(0 257 -1 many);
passes("SSEHookQueue $_") for '10', '100000 256m', '1000000000 1024g', '10 64k';
refused("SSEHookQueue $_", "SSEHookQueue: '$_' is not allowed; allowed is 10 "
        . 'to 1000000000 calls')
    for qw(0 9 1k -1 1000000001);
refused("SSEHookQueue 10 $_", "SSEHookQueue: '$_' is not allowed; allowed is "
        . "64k to 1024g as the bytes: $size")
    for qw(0 63k 1025g 1s);
refused("<VirtualHost *:80>\n$_\n</VirtualHost>",
        (split)[0] . ' cannot occur within <VirtualHost> section', 2)
    for 'SSEHookConnections 1', 'SSEHookQueue 10';

done_testing;
