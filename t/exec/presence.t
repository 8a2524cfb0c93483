# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Presence where each client has a program of its own: it is on its channel as
# the client of any stream is.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use JSON::PP ();

use Apache::Test qw(-withtestmore);

use lib dirname(__FILE__) . '/../lib';
use SSETest;
use SSETestExec;

plan tests => 12;

my $path = '/exec/present';
my($mark, $seen) = (mark(), mark());

sub told {
    my($look) = @_;

    my $event = $look->next_event or return {};
    return { name => $event->{event},
             %{ JSON::PP->new->utf8->decode($event->{data}) } };
}

my $look = open_stream("$path?presence&say=$seen&wait=1");
my $told = told($look);
is $told->{name}, 'presence', '?presence tells who is there:';
is $told->{streams}, 0, 'nobody';
is $told->{channel}, $path, 'on the channel';
ok !running($seen), 'no program runs for who looks on';

my $stream = act({ path => $path }, "say=$mark", 'wait=1');
is $stream->next_event->{data}, $mark, 'a client has its program';
$told = told($look);
is $told->{name}, 'join', 'and has come,';
my $id = $told->{stream};
ok $id, 'with its stream\'s id';
$stream->close;
$told = told($look);
is $told->{name}, 'leave', 'it leaves';
is $told->{stream}, $id, 'with that id';
ok ends($mark), 'and its program has ended';
$look->close;

is request('GET', '/exec/act?presence')->code, 404,
    'who is there cannot be seen elsewhere';
is_deeply [said(act({ path => $path }, 'say=a'))], ['a'],
    'a program that ends at once';
