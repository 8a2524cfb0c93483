# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The loops of docs/guide.md that poll, as they are in docs/examples: against
# this server, and against one that answers all that may come.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use POSIX ();
use SSETest;
use SSETestHook;
use SSETestHttpd;
use Time::HiRes qw(time);

my $dir = "$ENV{SSE_TOP}/docs/examples/poll";
my $logs = Apache::Test::vars('t_logs');

# How each is run: it prints an event in a line, which tells its type and its
# data so.
my %loop = (
    fetch => {
        run => ['node', '--input-type=module', '-e', <<"EOJ"],
import { poll } from "$dir/poll.mjs";
const [url, last] = process.argv.slice(1);
await poll(url, (event) => {
    console.log(JSON.stringify([event.event, event.data]));
}, { last });
EOJ
        line => sub { JSON::PP->new->utf8->encode([@_]) },
    },
    python => {
        run => ['/usr/bin/python3', "$dir/poll.py"],
        line => sub { "$_[0] " . JSON::PP->new->ascii->allow_nonref
                                  ->encode($_[1]) },
    },
    shell => {
        run => ['sh', "$dir/poll.sh"],
        line => sub { my %as = ("\n" => '\n', "\t" => '\t', '\\' => '\\\\');
                      my $text = $_[1] =~ s/([\n\t\\])/$as{$1}/gr;
                      utf8::encode($text);
                      "$_[0]\t$text" },
    },
);
my @names = sort keys %loop;

my %running;
END { local $?; stop($_) for keys %running }

plan tests => 1 + 5 * @names + 4 * @names + 9,
    need need_module('mod_sse'),
    { 'no node, python3, curl or perl-JSON-PP' =>
          !system('node --version && python3 --version && curl --version '
                  . '&& perl -MJSON::PP -e 1 >/dev/null 2>&1 </dev/null') };

my $httpd = SSETestHttpd->new(conf => <<'EOI');
<Location "/c/closed">
    Require all denied
</Location>
EOI
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);
my $base = "http://127.0.0.1:" . $httpd->port;
loops();
immediate();
answers();
ok t_cmp(join('', $httpd->complaints(qr/AH01630: client denied/)), '',
         'nothing is wrong in the log');

# In a group of its own, as a shell's children are to end with it.
sub run {
    my($name, $key, @args) = @_;

    my $file = "$logs/poll-$key-$name";
    open my $out, '>', $file or die "$file: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        setpgrp;
        delete $ENV{LD_PRELOAD};
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $out;
        open STDERR, '>', "$file.err";
        exec @{ $loop{$name}{run} }, @args or POSIX::_exit(127);
    }
    $running{$pid} = 1;
    return { pid => $pid, file => $file };
}

sub stop {
    my $pid = shift;

    kill KILL => -$pid, $pid; # it may not have its group yet
    waitpid $pid, 0;
    delete $running{$pid};
}

sub lines {
    my $run = shift;

    open my $fh, '<', $run->{file} or die "$run->{file}: $!";
    # Python's lines begin with the id.
    return map { chomp; s/^(?:\d+|None) //r } grep { /\n\z/ } <$fh>;
}

# What it has printed, once that is so many lines.
sub printed {
    my($run, $n, $timeout) = @_;

    eventually { lines($run) >= $n } $timeout // 20;
    return join "\n", lines($run);
}

sub expected {
    my($name, @events) = @_;

    return join "\n", map { $loop{$name}{line}->(@$_) } @events;
}

# Events, a restart of the server in between, a gap, a refusal.
sub loops {
    my $id = publish('/c/loop', 'zero', @port)->json->{id};
    my %run = map { $_ => run($_, 'loop', "$base/c/loop", $id) } @names;
    my @events = (['message', 'one'], ['message', "two\nlines\tand \\"],
                  ['note', "J\x{f6}rg \x{2713}"]);
    publish('/c/loop', 'one', @port);
    publish('/c/loop', JSON::PP->new->utf8->encode(
                [map { { event => $_->[0], data => $_->[1] } } @events[1, 2]]),
            'Content-Type' => 'application/json', @port);
    for my $name (@names) {
        ok t_cmp(printed($run{$name}, 3), expected($name, @events),
                 "$name: each event, as it is");
    }
    my $began = time;
    ok t_cmp($httpd->stop, 1, 'the server stops');
    $httpd->start;
    my $away = time - $began;
    push @events, map { ['message', $_] } 'three', 'four';
    publish('/c/loop', $_->[1], @port) for @events[3, 4];
    for my $name (@names) {
        # Each pause is as long as all those before it together.
        ok t_cmp(printed($run{$name}, 5, 20 + 2 * $away),
                 expected($name, @events), "$name: goes on where it was");
        stop($run{$name}{pid});
    }
    %run = map { $_ => run($_, 'gap', "$base/c/loop?last-event-id=x") } @names;
    for my $name (@names) {
        eventually { lines($run{$name}) >= 6 } 20;
        my($gap, @rest) = lines($run{$name});
        ok t_cmp($gap, qr/\bsse-gap\b/, "$name: a gap is told");
        ok t_cmp(join("\n", @rest[0 .. 4]),
                 expected($name, ['message', 'zero'], @events[0 .. 3]),
                 'and then what is kept');
        stop($run{$name}{pid});
    }
    %run = map { $_ => run($_, 'closed', "$base/c/closed") } @names;
    for my $name (@names) {
        ok t_cmp(ends($run{$name}), qr/^1: .*403/s,
                 "$name: ends where it may not");
    }
}

# Its exit status and what it says.
sub ends {
    my $run = shift;

    my $ended = eventually { waitpid($run->{pid}, POSIX::WNOHANG()) } 20;
    return 'does not end' if !$ended;
    my $status = $? >> 8;
    delete $running{$run->{pid}};
    open my $fh, '<', "$run->{file}.err" or return 'no file';
    return "$status: " . join '', <$fh>;
}

sub look {
    return scalar qx{sh $dir/look.sh $base/c/look $logs/poll-look 2>&1};
}

sub immediate {
    unlink "$logs/poll-look";
    publish('/c/look', 'old', @port);
    ok t_cmp(look(), '', 'cron: the first look');
    publish('/c/look', $_, @port) for "J\xc3\xb6rg", 'b';
    ok t_cmp(look(), "J\xc3\xb6rg\nb\n", 'the second one has what is new');
    ok t_cmp(look(), '', 'the third one has nothing');
    publish('/c/look', 'c', @port);
    $httpd->stop;
    ok t_cmp(look(), qr/^curl: /, 'one says why it fails');
    ok t_cmp($? != 0, 1, 'and so does its status');
    $httpd->start;
    ok t_cmp(look(), "c\n", 'the next one has all');
    ok t_cmp(join(' ', glob "$logs/poll-look*"), "$logs/poll-look",
             'it leaves one file');
}

# A server that answers: half a body; that it is busy; a pause; an event; no.
sub answers {
    my %hook = map { $_ => SSETestHook->new } @names;
    my $event = '{"id":"9","channel":"/c","event":"message","data":"x"}';
    for my $hook (values %hook) {
        $hook->answer(how => 'body', body => '{"events":[', times => 1);
        $hook->answer(status => 503, headers => { 'Retry-After' => 1 },
                      times => 1);
        $hook->answer(body => '{"events":[],"last":"5","retry":1500}',
                      times => 1);
        $hook->answer(body => qq({"events":[\n$event],"last":"9"}),
                      times => 1);
        $hook->answer(status => 404, body => 'no such thing');
    }
    my %run = map { $_ => run($_, 'answers', $hook{$_}->url('/c')) } @names;
    for my $name (@names) {
        ok t_cmp(ends($run{$name}), qr/^1: .*404.*no such thing/s,
                 "$name: ends with a refusal");
        ok t_cmp(printed($run{$name}, 1), expected($name, ['message', 'x']),
                 'has had its event');
        my @calls = $hook{$name}->calls;
        ok t_cmp(join(' ', map { $_->{headers}{'last-event-id'} // '-' } @calls),
                 '- - - 5 9', 'has asked for what came after');
        my @pauses = map { $calls[$_]{time} - $calls[$_ - 1]{time} } 1 .. 4;
        ok t_cmp($pauses[0] > 0.2 && $pauses[1] > 0.9 && $pauses[2] > 1.4, 1,
                 'has waited: ' . join(' ', map { sprintf '%.1f', $_ } @pauses));
    }
}
