# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The publishers of contrib/ for PHP, Python, Perl and Node: what they send,
# what they say of an error, and that an event whose answer was lost is
# published once.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestFront;
use SSETestHttpd;
use SSETestLoad;
use SSETestPublisher;

my @types = sort keys %program;
my @faults = qw(drop cut once refuse stall busy);

plan tests => @types * (22 + 3 * @faults) + 4,
    need_module('mod_sse');

my $passwords = Apache::Test::vars('t_logs') . '/contrib.passwd';
open my $fh, '>', $passwords or die "$passwords: $!";
print $fh "ann:{SHA}4UaMD+XtfaItptFBURdfPBZobek=\n"; # see refusals()
close $fh;
my $httpd = SSETestHttpd->new(
    modules => [qw(auth_basic authn_core authn_file authz_user)],
    conf => <<"EOC");
KeepAliveTimeout 60
<Location "/c/login">
    AuthType      Basic
    AuthName      publishers
    AuthUserFile  $passwords
    <Limit POST DELETE>
        Require valid-user
    </Limit>
</Location>
EOC
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my $port = $httpd->port;
my @port = (port => $port);

# A machine that stands still for a moment is no reason to try again.
my %patient = (timeout => 30, patience => 60);

for my $type (@types) {
    sends($type);
    refusals($type);
    keeps($type);
    no_patience($type);
}
no_server();
faults();
restarts();
# AH00046: a child that leaves gracefully takes no notice of SIGTERM (event.c).
my $expected = qr/AH01617|AH01618|AH01629|AH00046/;
ok t_cmp(join('', $httpd->complaints($expected)), '',
         'nothing is wrong in the log');

sub is_id { return $_[0] && !ref $_[0] && $_[0] =~ /\A[1-9]\d*\z/ }

sub sends {
    my $type = shift;

    my $path = "/c/$type \xf6?&%2F+/x";
    my $text = "\@/etc/passwd \"q\" '\\' %41&a=b+c\n\n \xe9\x{1f600} <\x{2028}>\n";
    my @said = run_publisher($type, $port, {},
        ['publish', $path, $text],
        ['publish', $path, { b => [1, 'x'], u => "\xe9" }, { event => 'e' }],
        ['publish', $path, '', { event => 'empty', retry => 1500 }],
        ['publish', $path, 'first', { key => 'k/"1"' }],
        ['publish', $path, 'again', { key => 'k/"1"' }],
        ['batch', $path, [{ data => 'one' }, { data => [2], event => 'two' },
                          { data => 'three', id => 'third' }]],
        ['batch', $path, [{ data => 'three again', id => 'third' }]],
        ['batch', $path, []]);
    ok t_cmp(scalar(grep { is_id($_->[0]) } @said[0 .. 4]), 5, "$type: ids");
    ok t_cmp($said[4], $said[3], 'a key that was there: the same id');
    my @ids = @{ $said[5][0] };
    ok t_cmp(scalar(grep { is_id($_) } @ids), 3, 'ids of a batch');
    ok t_cmp($said[6], [[$ids[2]]], 'a batch has keys, too');
    ok t_cmp($said[7], [[]], 'and may be empty');

    utf8::encode(my $bytes = $path);
    $bytes =~ s{([^\w/])}{sprintf '%%%02X', ord $1}gea;
    utf8::encode(my $data = $text);
    ok t_cmp([events_of($bytes, @port)],
             ["message: $data", qq(e: {"b":[1,"x"],"u":"\xc3\xa9"}), 'empty: ',
              'message: first', 'message: one', 'two: [2]', 'message: three'],
             'subscribers get what was meant');
    my $stream = open_stream($bytes, @port);
    $stream->next_block;
    ok t_cmp([run_publisher($type, $port, {}, ['delete', $path])], [[undef]],
             'delete');
    ok t_cmp($stream->wait_end, 1, 'ends the streams');
}

sub refusals {
    my $type = shift;

    my $path = "/c/refused-$type";
    my @said = run_publisher($type, $port, \%patient,
        ['publish', $path, 'x', { event => 'sse-x' }],
        ['batch', $path, [{ data => 'a' }, { data => 'b', event => "b\n" }]],
        ['publish', '/nothing', 'x'],
        ['publish', '/c/login', 'x']);
    ok t_cmp([map { "$_->{status} $_->{attempts}" } @said],
             ['400 1', '400 1', '404 1', '401 1'], "$type: refused, at once");
    ok t_cmp($said[0]{message}, qr/^event names that begin with sse- /,
             "in the server's words");
    ok t_cmp($said[1]{message}, qr/^event 2: /, 'which event it was');
    ok t_cmp($said[2]{message}, qr/Not Found/, 'or at least what HTTP says');
    ok t_cmp([events_of($path, @port)], [], 'all of a batch or none');
    my $password = "J\xf6rg: x";
    @said = run_publisher($type, $port, { user => 'ann', password => $password },
                          ['publish', '/c/login', "of $type"]);
    ok is_id($said[0][0]);
    my($answers) = run_publisher($type, $port, {},
                                 ['publish', '/status', 'x']);
    ok t_cmp($answers->{status}, qr/^40[45]$/, 'what is no channel');
}

# One connection for all calls; PHP has none that it could keep.
sub keeps {
    my $type = shift;

    my $front = SSETestFront->new($port);
    run_publisher($type, $front->port, \%patient,
                  map { ['publish', "/c/keeps-$type", "x$_"] } 1 .. 5);
    ok t_cmp(scalar(my @seen = $front->seen), $type eq 'php' ? 5 : 1,
             "$type: connections");
}

# Each event is there, once, and has its id.  All at the same time: they wait.
sub faults {
    my @rows = map { my $type = $_; map { [$type, $_] } @faults } @types;
    my @got = SSETestLoad->start(scalar @rows, sub {
        my($type, $fault) = @{ $rows[$_[0] - 1] };
        my $front = SSETestFront->new($port, $fault, 'pass');
        my $path = "/c/$type-$fault";
        my @said = run_publisher($type, $front->port, 
            { timeout => 2, patience => 60 },
            ['publish', $path, 'one'],
            ['batch', $path, [{ data => 'two' }, { data => 'three' }]]);
        return { said => \@said, seen => join ' ', $front->seen };
    })->results('');
    for my $row (@rows) {
        my($type, $fault) = @$row;
        my $got = shift @got;
        ok t_cmp($got->{seen}, qr/^$fault pass/, "$type, $fault: tried again");
        my @ids = map { ref eq 'ARRAY' ? ref $_->[0] ? @{ $_->[0] } : $_->[0]
                                       : () } @{ $got->{said} };
        ok t_cmp(scalar(grep { is_id($_) } @ids), 3, 'published');
        ok t_cmp([events_of("/c/$type-$fault", @port)],
                 ['message: one', 'message: two', 'message: three'],
                 'and there once');
    }
}

# All at the same time: none gives up before it has tried again.
sub no_server {
    my @got = SSETestLoad->start(scalar @types, sub {
        my $gone = SSETestFront->nobody;
        return [run_publisher($types[$_[0] - 1], $gone->port,
                              { patience => 6 }, ['publish', '/c/x', 'x'])];
    })->results('');
    for my $type (@types) {
        my($said) = @{ shift @got };
        ok t_cmp($said->{status}, 0, "$type: nobody listens");
        ok t_cmp($said->{message}, qr/refused/i, 'in words');
        ok t_cmp($said->{attempts} > 1, 1, 'it was tried again');
    }
}

sub no_patience {
    my $type = shift;

    my $front = SSETestFront->new($port, ('busy') x 9);
    my($said) = run_publisher($type, $front->port,
                              { timeout => 30, patience => 0 },
                              ['publish', '/c/x', 'x']);
    ok t_cmp("$said->{status} $said->{message} $said->{attempts}",
             '503 come back later 1', "$type: no patience: one try");
}

# All at work while the server is reloaded, stopped and started.
sub restarts {
    my $count = 300;
    my @streams = map { open_stream("/c/restarts-$_", @port) } @types;
    $_->next_block for @streams;
    my $load = SSETestLoad->start(scalar @types, sub {
        my $type = $types[$_[0] - 1];
        my @said = run_publisher($type, $port, { patience => 60 }, map {
            ['publish', "/c/restarts-$type", $_]
        } 1 .. $count);
        return { said => \@said };
    });
    for my $stream (@streams) {
        $stream->next_event for 1 .. 5;
    }
    ok t_cmp($httpd->restart('USR1'), 1, 'a reload meanwhile');
    $httpd->stop;
    ok t_cmp($httpd->start, 1, 'and a stop');
    my @got = $load->results('');
    for my $type (@types) {
        my $got = shift @got;
        ok t_cmp(scalar(grep { ref eq 'ARRAY' && is_id($_->[0]) }
                        @{ $got->{said} // [] }), $count,
                 "$type: all published");
        ok t_cmp([events_of("/c/restarts-$type", @port)],
                 [map { "message: $_" } 1 .. $count], 'each is there once');
    }
}
