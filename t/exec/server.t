# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-exec: limits, restarts, children that are killed, the server's stop: no
# program is left.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use JSON::PP ();

use Apache::Test qw(-withtestmore);

use lib dirname(__FILE__) . '/../lib';
use SSETest;
use SSETestExec;
use SSETestHttpd;
use SSETestServer qw(process_state is_alive);

plan tests => 54;

my $act = program('act');
my $piece = 'x' x 8_000; # an expression has a limit of its own
my $long = '%{env:PIECE}' x 18;
my $many = join ' ', 1 .. 9_999;
my $docs = Apache::Test::vars('t_state') . "/docs-$$";
mkdir $_ or die "$_: $!" for $docs, "$docs/theirs";
open my $htaccess, '>', "$docs/theirs/.htaccess" or die "$docs: $!";
print $htaccess "SSECommand $act\n";
close $htaccess;
my $httpd = SSETestHttpd->new(conf => <<"EOI");
LogFormat "%r %>s close=%{sse-close}n refused=%{sse-refused}n" exec
CustomLog "${\ Apache::Test::vars('t_logs') }/own_access" exec
DocumentRoot "$docs"
<Directory "$docs/theirs">
    AllowOverrideList SSECommand
    SetHandler sse-exec
</Directory>
SSECommandMax 4
<Location "/run">
    SetHandler sse-exec
    SSECommand $act "%{QUERY_STRING}"
</Location>
<Location "/all">
    SetHandler sse-exec
    SSECommand $act "%{QUERY_STRING}"
    SSECommandShare On
    SSECommandLinger 10s
</Location>
<Location "/many">
    SetHandler sse-exec
    SSECommand $act "show=1" $many
    SSEMaxEventSize 1m
</Location>
<Location "/large">
    SetEnv PIECE $piece
    SetHandler sse-exec
    SSECommand $act "show=1" "$long"
</Location>
<Location "/missing">
    SetHandler sse-exec
    SSECommand /no/such/program
</Location>
<Location "/directory">
    SetHandler sse-exec
    SSECommand /usr/bin
</Location>
EOI
ok $httpd->start, 'a server starts where a program is missing';
ok eventually { $httpd->lines(qr{SSECommand /no/such/program \(\S+:\d+\): the program is not there; requests}) },
    'but warns of it';
ok eventually { $httpd->lines(qr{SSECommand /usr/bin \(\S+:\d+\): that is no file}) },
    'and of one that is none';

# Or undef: some children may be about to leave.
sub run { return run_on($httpd->port, @_) }

is request('GET', '/theirs/x', port => $httpd->port)->code, 500,
    'an .htaccess file has no programs run';
ok eventually { $httpd->lines(qr/SSECommand cannot stand in \.htaccess/) },
    'which the log says';

# Of the process that starts programs, and httpd's.
sub zombies {
    return grep { process_state($_) eq 'Z' } all_processes();
}

sub all_processes {
    my %parent;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        $parent{$1} = $2 if (<$fh> // '') =~ /^(\d+) \(.*\) \S (\d+) /s;
    }
    my @all = my @new = $httpd->pid;
    while (@new) {
        my %is_new = map { $_ => 1 } @new;
        push @all, @new = grep { $is_new{ $parent{$_} } } keys %parent;
    }
    return @all;
}

# The child that has the other end of a stream's connection.
sub child_of {
    my($stream) = @_;

    my($here, $there) = map { sprintf ':%04X', $_ } $httpd->port,
        $stream->sock->sockport;
    open my $fh, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    my($inode) = map { my(undef, $local, $remote, @more) = split;
                       $local =~ /$here$/ && $remote =~ /$there$/
                           ? $more[6] : () } <$fh>;
    for my $pid ($inode ? $httpd->children : ()) {
        return $pid if grep { (readlink // '') eq "socket:[$inode]" }
            glob "/proc/$pid/fd/*";
    }
    die 'no child has the stream';
}

sub access {
    my($re) = @_;

    open my $fh, '<', Apache::Test::vars('t_logs') . '/own_access' or return;
    return scalar grep { $_ =~ $re } <$fh>;
}

# --- arguments

my $event = open_stream('/many', port => $httpd->port)->next_event;
is_deeply(JSON::PP->new->utf8->decode($event->{data})->{args},
          ['show=1', 1 .. 9_999], '10,000 arguments come whole');
my $answer = request('GET', '/large', port => $httpd->port);
is $answer->code, 500, 'an argument that is larger than the system allows: 500';
like $answer->json->{error}, qr/larger than the system allows/, 'in words';

# --- SSECommandMax

my $metrics = sub { request('GET', '/status?format=metrics',
                            port => $httpd->port)->body };
ok eventually { $metrics->() =~ /^modsse_commands 0$/m }, 'none runs';
my @marks = map { mark() } 1 .. 4;
my @streams = map { run($_) } @marks;
is scalar(grep { $_ } @streams), 4, 'as many programs as SSECommandMax';
$answer = request('GET', '/run?say=x', port => $httpd->port);
is $answer->code, 503, 'one more: 503';
is $answer->header('retry-after'), 10, 'with Retry-After';
like $answer->json->{error}, qr/\(SSECommandMax\) is reached/, 'in words';
ok eventually { $httpd->lines(qr/SSECommandMax 4: that many programs run/) },
    'the log says so';
ok eventually { access(qr/503 close=- refused=SSECommandMax/) },
    'and the note sse-refused';
like $metrics->(), qr/^modsse_commands 4$/m, 'four programs are counted';
like $metrics->(), qr/^modsse_refused_total\{limit="commands"\} 1$/m,
    'and one refusal';
(shift @streams)->close;
ok ends(shift @marks), 'when one has ended';
my $mark = mark();
my $stream;
ok eventually { $stream = run($mark) }, 'there is room for another one';
push @marks, $mark;
push @streams, $stream;
ok eventually { !zombies() }, 'there are no zombies';

# --- how many run, also for nobody

$_->close for @streams;
@streams = ();
ok ends($_) for splice @marks;
ok eventually { $metrics->() =~ /^modsse_commands 0$/m }, 'none is counted';
$mark = mark();
$stream = act({ path => '/all', port => $httpd->port }, "say=$mark", 'wait=1');
is $stream->next_event->{data}, $mark, 'a shared program runs';
$stream->close;
ok eventually { $metrics->() !~ /^modsse_streams\b.* [1-9]/m }, 'for nobody';
is_deeply [$metrics->() =~ /^modsse_commands (\d)$/m, scalar running($mark)],
    [1, 1], 'while it lingers it is counted';
ok ends($mark, 30), 'it is ended';
ok eventually { $metrics->() =~ /^modsse_commands 0$/m }, 'and is not';
@marks = map { mark() } 1 .. 4;
@streams = map { my $mark = $_; eventually { run($mark) } } @marks;
is scalar(grep { $_ } @streams), 4, 'others run';

# --- a graceful restart

ok $httpd->restart('USR1'), 'a graceful restart';
ok !(grep { !$_->wait_end(10) } @streams), 'ends the streams';
ok ends($_), 'and a program' for @marks;
ok eventually { access(qr/close=shutdown/) == 4 }, 'the log says shutdown';
ok eventually { $metrics->() =~ /^modsse_commands 0$/m }, 'none is counted';
$mark = mark();
ok eventually { $stream = run($mark) }, 'the new children start programs';
$stream->close;
ok ends($mark), 'and end them';

# --- children that are killed

@marks = map { mark() } 1 .. 4;
@streams = map { my $mark = $_; eventually { run($mark) } } @marks;
is scalar(grep { $_ } @streams), 4, 'programs of some children';
kill KILL => child_of($streams[0]);
ok $streams[0]->wait_end(10), 'a child with one of them is killed';
my @over = grep { $streams[$_]->wait_end(1) } 0 .. $#streams;
ok !(grep { !ends($marks[$_]) } @over), 'what ran for it is ended';
# httpd, which has had to make new children, may end an idle one meanwhile.
ok eventually {
    my @lost = grep { !running($marks[$_]) } 0 .. $#streams;
    !(grep { !$streams[$_]->wait_end(0.1) } @lost);
}, 'what runs for others runs on';
$_->close for @streams;
ok ends($_) for @marks;
ok eventually { $metrics->() =~ /^modsse_commands 0$/m }, 'none is counted';
ok eventually { !zombies() }, 'there are no zombies';

# --- the server stops

$mark = mark();
ok eventually { $stream = run($mark, 'ignore=1', 'keep=60') },
    'a program that ignores SIGTERM, with a child';
ok $httpd->stop, 'the server stops';
ok ends($mark, 20), 'and nothing is left';
