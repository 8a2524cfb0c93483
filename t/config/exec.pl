#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What of programs' directives is accepted and what is refused, as errors.pl
# does for the others.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Test::More;

use lib dirname(__FILE__) . '/../lib';
use SSETestConf;

# SSECommand
passes("SSECommand $_") for 'none', 'None', '/bin/cat', '/bin/cat -n "a b"',
    '/bin/sh -c "echo %{REMOTE_ADDR} %{QUERY_STRING}"',
    '/bin/cat ' . join(' ', (1) x 10_000), '"/bin/a b"', '/no/such/program';
refused("SSECommand $_", "SSECommand: '$_' is not allowed; allowed is an "
        . 'absolute path, such as /usr/bin/tail')
    for 'cat', './cat', '%{env:PROGRAM}';
refused('SSECommand none -n', "SSECommand: 'none' is not allowed");
refused('SSECommand /bin/cat ""', "SSECommand: an argument is empty ('')");
refused('SSECommand /bin/cat "%{NO_SUCH}"', "SSECommand: '%{NO_SUCH}' is no "
        . "expression: Variable 'NO_SUCH' does not exist");
refused('SSECommand /bin/cat ' . join(' ', (1) x 10_001),
        'SSECommand takes 10000 arguments at most');
refused('SSECommand', 'SSECommand takes at least one argument, what sse-exec');
refused_in_limit('SSECommand /bin/cat', 'SSECommand cannot stand in <Limit>');

# SSECommandFormat, SSECommandShare
passes("SSECommandFormat $_") for qw(lines sse SSE);
refused('SSECommandFormat json', "SSECommandFormat: 'json' is not allowed; "
        . 'allowed is lines or sse');
refused('SSECommandFormat', 'SSECommandFormat takes one argument, lines or');
refused_in_limit('SSECommandFormat sse', 'SSECommandFormat cannot stand in');
passes("SSECommandShare $_") for qw(On off);
refused('SSECommandShare yes', "SSECommandShare: 'yes' is not allowed; allowed "
        . 'is On or Off');
refused_in_limit('SSECommandShare On', 'SSECommandShare cannot stand in');

# SSECommandLinger
passes("SSECommandLinger $_") for qw(0 10 500ms 24h);
refused("SSECommandLinger $_", "SSECommandLinger: '$_' is not allowed; allowed "
        . 'is 0 to 24h')
    for qw(25h -1 1d x);
refused_in_limit('SSECommandLinger 1s', 'SSECommandLinger cannot stand in');

# SSECommandMax
passes("SSECommandMax $_") for qw(1 100 100000);
refused("SSECommandMax $_", "SSECommandMax: '$_' is not allowed; allowed is 1 "
        . 'to 100000 programs')
    for qw(0 100001 -1 5% many);

done_testing;
