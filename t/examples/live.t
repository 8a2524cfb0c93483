# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What docs/guide.md shows of programs, of publishing from programs, and of
# Prometheus, as it is in docs/examples.  The journal's program is one of the
# test's own: few machines that run tests have a journal.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use CPAN::Meta::YAML ();
use JSON::PP ();
use SSETest;
use SSETestExample;
use SSETestHttpd;
use SSETestPublisher;

plan tests => 36, need_module('mod_sse');

my $logs = Apache::Test::vars('t_logs');
my $own = Apache::Test::vars('port') + 45;
my $log = "$logs/live-log";
my $jobs = "$logs/live-jobs";
my $journalctl = "$logs/live-journalctl";
unlink $log, glob "$jobs/*";
mkdir $jobs;
chmod 0755, $jobs;
add($log, map { "line $_" } 1 .. 25);
add($journalctl, '#!/bin/sh', 'echo "pid $$, asked for $*"',
    'while sleep 0.05; do echo "an entry"; done');
chmod 0755, $journalctl;

my $httpd = SSETestHttpd->new(modules => \@modules, conf => join '',
    example('live', 'live.example', PORT => $own, LOG => $log, JOBS => $jobs,
            JOURNALCTL => $journalctl, VIEWERS => '127.0.0.1'));
ok t_cmp($httpd->start, 1, 'httpd takes it');
my @live = (host => 'live.example', port => $own);

logged();
job();
machine();
journal();
publishers();
prometheus();
ok t_cmp(join('', $httpd->complaints(qr/AH01630: client denied/)), '',
         'the log has no complaint');

sub add {
    my($file, @lines) = @_;

    open my $fh, '>>', $file or die "$file: $!";
    print $fh map { "$_\n" } @lines;
    close $fh or die "$file: $!";
    chmod 0644, $file;
}

# The next events' data.
sub data {
    my($stream, $count) = @_;

    return join ' ', map { ($stream->next_event // {})->{data} // 'none' }
        1 .. $count;
}

sub logged {
    my $stream = open_stream('/live/log', @live);
    ok t_cmp($stream->status, 200, 'the log');
    ok t_cmp(data($stream, 20), join(' ', map { "line $_" } 6 .. 25),
             'its last lines');
    add($log, 'one more');
    ok t_cmp(data($stream, 1), 'one more', 'and each new one');
    ok t_cmp(open_stream('/live/log', @live, from => '127.0.0.2')->status, 403,
             'not for everybody');
    ok t_cmp(request('GET', '/', @live)->body, qr/src="live\.js"/, 'the page');
    $stream->close;
}

sub job {
    my $stream = open_stream('/live/job/nightly', @live);
    ok t_cmp($stream->status, 200, 'a job that has not begun');
    add("$jobs/nightly", '10 reading', '50 half <b>');
    ok t_cmp(data($stream, 2), '10 reading 50 half <b>', 'its progress');
    add("$jobs/nightly", '100 done');
    ok t_cmp(data($stream, 1), '100 done', 'its last line');
    my $end = $stream->next_event;
    ok t_cmp("$end->{event} $end->{data}", 'end done', 'its end');
    ok t_cmp($stream->wait_end && $stream->is_complete, 1,
             'which is the stream\'s');
    ok t_cmp([map { request('GET', "/live/job/$_", @live)->code }
              'No', '..%2fx', 'a%20b'], [404, 404, 404], 'names of no job');
}

sub machine {
    my @streams = map { open_stream('/live/machine', @live) } 1, 2;
    for my $stream (@streams) {
        my $event = $stream->next_event // { event => 'none', data => '{}' };
        my $data = JSON::PP->new->decode($event->{data});
        ok t_cmp("$event->{event} @{[sort keys %$data]}",
                 'machine cpu free_kb running', 'vmstat');
        ok t_cmp($data->{cpu}, qr/\A\d{1,3}\z/, 'in per cent');
    }
    my @ids = map { $_->next_event->{id} } @streams;
    ok t_cmp($ids[0], $ids[1], 'one for both');
    $_->close for @streams;
}

sub journal {
    my $stream = open_stream('/live/journal', @live);
    my $first = data($stream, 1);
    ok t_cmp($first, qr/^pid \d+, asked for -f -n 20 -o short-iso$/,
             'the journal');
    ok t_cmp(data($stream, 2), 'an entry an entry', 'its entries');
    my $other = open_stream('/live/journal?last-event-id=0', @live);
    ok t_cmp($other->next_event->{event}, 'sse-gap', 'another one');
    ok t_cmp(data($other, 1), $first, 'has the same program');
    $_->close for $stream, $other;
}

# -- publishing --

# Each of the examples, in a directory with the publishers.
sub publishers {
    my $dir = "$logs/live-publish";
    system('sh', '-c', 'rm -rf "$3" && mkdir "$3" && cp "$1"/* "$3" && '
           . 'cp "$2"/sse-publish "$2"/*/* "$3"', 'sh',
           "$ENV{SSE_TOP}/docs/examples/publish", contrib(), $dir) == 0
        or die 'cannot copy the publishers';
    local $ENV{PATH} = "$dir:$ENV{PATH}";
    local $ENV{PYTHONDONTWRITEBYTECODE} = 1;
    # The channels of SSETestHttpd begin with /c.
    my $hub = "http://127.0.0.1:$own/c";
    my @port = (port => $own);

    system("sh $dir/backup.sh $hub true");
    ok t_cmp($?, 0, 'shell');
    system("sh $dir/backup.sh $hub ls /not/there");
    my @events = events_of('/c/events/ops', @port);
    ok t_cmp($events[0], 'done: true is done', 'that it is done');
    ok t_cmp($events[1], qr{^failed: ls failed:\nls: .*/not/there}, 'or not');

    my @said = map { scalar qx{php -n $dir/order.php $hub 7} } 1, 2;
    ok t_cmp($said[0], qr/^published as \d+$/, 'PHP');
    ok t_cmp($said[1], $said[0], 'twice is once');
    ok t_cmp([events_of('/c/events/orders', @port)], ['order: {"number":7}'],
             'the order');

    my $lines = qx{seq 250 | /usr/bin/python3 $dir/import.py $hub};
    ok t_cmp($lines, qr/^100 events.*\n100 events.*\n50 events.*\n\z/, 'Python');
    ok t_cmp([events_of('/c/events/import', @port)],
             [map { "message: $_" } 1 .. 250], 'in their order');

    system($^X, "$dir/sensor.pl", $hub, 1);
    ok t_cmp(join("\n", events_of('/c/events/sensor', @port)),
             qr/\Aload: \{"load":"[\d.]+"\}\z/, 'Perl');

    my $stream = open_stream('/c/events/room', @port);
    $stream->next_block;
    system('node', "$dir/room.mjs", $hub, 'room');
    ok t_cmp($stream->next_event->{event}, 'notice', 'Node');
    ok t_cmp($stream->wait_end, 1, 'it has closed the room');
}

# -- Prometheus --

# Each series that the rules ask for is one that the server has.
sub prometheus {
    my %yaml;
    for my $name (qw(prometheus.yml mod_sse.rules.yml)) {
        open my $fh, '<', "$ENV{SSE_TOP}/docs/examples/prometheus/$name"
            or die "$name: $!";
        local $/;
        $yaml{$name} = CPAN::Meta::YAML->read_string(scalar <$fh>)->[0];
    }
    my $job = $yaml{'prometheus.yml'}{scrape_configs}[0];
    ok t_cmp("$job->{metrics_path} @{ $yaml{'prometheus.yml'}{rule_files} }",
             '/sse-status mod_sse.rules.yml', 'prometheus.yml');
    # As Prometheus asks
    my $accept = 'application/openmetrics-text;version=1.0.0,'
        . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
    my $metrics = request('GET', '/status', port => $own,
                          headers => { Accept => $accept })->body;
    my @asked = map { $_->{expr} =~ /(modsse_\w+(?:\{[^}]*\})?)/g }
        @{ $yaml{'mod_sse.rules.yml'}{groups}[0]{rules} };
    my @missing = grep {
        my($name, $label) = /^(\w+)(?:\{(.*)\})?$/;
        undef $label if ($label // '') =~ /^job=/; # Prometheus' own
        $metrics !~ /^\Q$name\E(?:\{[^}]*\Q@{[$label \/\/ '']}\E[^}]*\})? /m;
    } @asked;
    ok t_cmp([@missing], [], 'the rules ask for what there is');
    ok t_cmp(@asked > 10, 1, 'they ask for something');
}
