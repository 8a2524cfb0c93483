# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# A publisher of contrib/ at work, in its own language, and what its channel then
# has.
#
#   my @said = run_publisher('py', $port, { user => 'ann' },
#                            ['publish', '/c/a', 'text', { event => 'x' }]);
#   # ([id]), or ({ status => 400, message => '...', attempts => 1 })
#   events_of('/c/a', port => $port);      # ('x: text')

package SSETestPublisher;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Open2 qw(open2);
use JSON::PP ();

use SSETest;

our @EXPORT = qw(%program contrib run_publisher events_of);

our %program = (php => ['php', '-n'], py => ['/usr/bin/python3'],
                pl => [$^X], mjs => ['node']);

# Node counts in milliseconds.
my %scale = (mjs => { timeout => 1000, patience => 1000 });

my $json = JSON::PP->new->utf8->canonical;

# A file of contrib/, or the folder.
sub contrib { return join '/', "$ENV{SSE_TOP}/contrib", @_ }

# One line comes back for each call.
sub run_publisher {
    my($type, $port, $options, @calls) = @_;

    my %options = %$options;
    $options{$_} *= $scale{$type}{$_} // 1
        for grep { exists $options{$_} } qw(timeout patience);
    my($dir) = $INC{'SSETestPublisher.pm'} =~ m{\A(.*)/};
    local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
    my $pid = open2(my $out, my $in, @{ $program{$type} },
                    "$dir/app/publish.$type", contrib(),
                    "http://127.0.0.1:$port", %options ? $json->encode(\%options)
                                                       : '{}');
    local $SIG{PIPE} = 'IGNORE';
    print $in $json->encode($_), "\n" for @calls;
    close $in;
    my @said = map { $json->decode($_) } <$out>;
    waitpid $pid, 0;
    die "publish.$type ended with status $?" if $?;
    return @said;
}

# What a channel has now, in its order: "type: data".  Options as in SSETest.
sub events_of {
    my($path, %opt) = @_;

    my $end = publish($path, 'the end', %opt)->json->{id};
    my $stream = open_stream("$path?last-event-id=0", %opt);
    my @events;
    while (my $event = $stream->next_event) {
        last if ($event->{id} // '') eq $end;
        push @events, "$event->{event}: $event->{data}"
            unless $event->{event} eq 'sse-gap';
    }
    $stream->close;
    return @events;
}

1;
