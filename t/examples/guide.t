# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The applications of docs/guide.md, as they are in docs/examples, with php-fpm
# and Python behind an httpd of their own.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use SSETest;
use SSETestApp;
use SSETestExample;
use SSETestHook;
use SSETestHttpd;
use SSETestServer;
use Time::HiRes qw(time);

plan tests => 58, need need_module('mod_sse', 'mod_proxy_fcgi'),
    { 'php-fpm' => SSETestApp::has_php() };

my $first = Apache::Test::vars('port') + 46;
my %hub = map { $_ => $first++ } qw(notify chat job);
my $jobs_port = $first;
my $jobs_pid;
END {
    if ($jobs_pid) {
        local $?;
        kill TERM => children_of($jobs_pid), $jobs_pid;
        waitpid $jobs_pid, 0;
    }
}
my $own = Apache::Test::vars('port') + 45;

my $hook = SSETestHook->new;
my $secret = write_file('secret', unpack('H*', pack 'L*',
    map { rand 2 ** 32 } 1 .. 8) . "\n");
my $signed = <<"EOC";
<Location "/c/signed">
    SSEHook @{[$hook->url('/told')]} open close
    SSEHookSecret $secret
</Location>
EOC
my $php = SSETestApp->php_fpm;
my @common = (PORT => $own, PHP => $php->socket);
my $httpd = SSETestHttpd->new(modules => \@modules, conf => join '', $signed,
    example('notify', 'notify.example', @common,
            HUB => "127.0.0.1:$hub{notify}"),
    example('online', 'online.example', @common, HUB => 'unused'),
    example('chat', 'chat.example', @common, HUB => "127.0.0.1:$hub{chat}"),
    example('job', 'job.example', PORT => $own,
            HUB => "127.0.0.1:$hub{job}", JOBS => "127.0.0.1:$jobs_port"));
ok $httpd->start;

notify();
online();
chat();
job();
signature();
# Those who asked for what is not for browsers
ok t_cmp(join('', $httpd->complaints(qr/AH01630: client denied/)), '',
         'the log has no complaint');

sub browser {
    my($site, $user) = @_;

    my @opt = (host => "$site.example", port => $own);
    return defined $user ? SSETestExample->log_in($user, @opt)
        : SSETestExample->nobody(@opt);
}

sub parsed { return JSON::PP->new->utf8->decode($_[0]) }

# The next event's type and what its data has of these, in one line.
sub told {
    my($stream, @names) = @_;

    my $event = $stream->next_event(5) or return 'nothing';
    my $data = parsed($event->{data});
    return join ' ', $event->{event}, map { $_ // 'null' } @$data{@names};
}

sub notify {
    my $nobody = browser('notify');
    ok t_cmp($nobody->get('/')->body, qr/<button>Log in</, 'a form to log in');
    my $answer = $nobody->get('/events');
    ok t_cmp($answer->code, 403, 'notify: no stream without a session');
    ok t_cmp($answer->body, "Log in first.\n", 'in words of the application');

    my($ann, $bob) = map { browser('notify', $_) } qw(ann bob);
    ok t_cmp($ann->get('/')->body, qr/Notifications for ann/, 'her page');
    my($to_ann, $to_bob) = map { $_->stream('/events') } $ann, $bob;
    ok t_cmp([map { $_->status } $to_ann, $to_bob], [200, 200], 'streams');
    my $text = "<b>J\xc3\xb6rg</b> & co";
    ok t_cmp($bob->post('/send.php', to => 'ann', text => $text)->code, 303,
             'bob sends something to ann');
    ok t_cmp(told($to_ann, qw(from)), 'notification bob', 'she is told');
    $ann->post('/send.php', to => 'bob', text => 'thanks');
    ok t_cmp(told($to_bob, qw(from text)), 'notification ann thanks',
             'he is told his own, and nothing else');
    $answer = publish('/user/ann', '{"event":"notification","data":'
                      . '{"from":"cron","text":"Backup done"}}',
                      'Content-Type' => 'application/json',
                      port => $hub{notify});
    ok t_cmp($answer->json->{namespace}, 'notify.example', 'from a shell');
    ok t_cmp(told($to_ann, qw(from text)), 'notification cron Backup done',
             'it comes, too');
    my $again = $ann->stream('/events');
    ok t_cmp(parsed($again->next_event(5)->{data})->{text},
             "<b>J\x{f6}rg</b> & co", 'her next page has the last ones');

    ok t_cmp($nobody->post('/send.php', to => 'ann', text => 'x')->code, 403,
             'nobody sends nothing');
    ok t_cmp($ann->get('/auth.php')->code, 403, 'auth.php is not for browsers');
    ok t_cmp($ann->send('POST', '/events', 'data=x')->code, 405,
             'nor is publishing');
    ok t_cmp($nobody->get('/events', 'SSE-User' => 'ann',
                          'SSE-Channel' => '/user/ann')->code, 403,
             'headers of the client itself do not help');
    request('DELETE', '/user/ann', port => $hub{notify});
    ok t_cmp($to_ann->wait_end(5), 1, 'deleting a channel ends its streams');
    $to_bob->close;
}

sub online {
    ok t_cmp(browser('online')->get('/online')->code, 403,
             'online: no stream without a session');
    my($ann, $bob) = map { browser('online', $_) } qw(ann bob);
    ok t_cmp($ann->get('/')->body, qr/ online</, 'the page');
    my $list = $ann->stream('/online?presence');
    my $event = $list->next_event(5);
    ok t_cmp($event->{event}, 'presence', 'first the list');
    ok t_cmp(parsed($event->{data})->{members}, [], 'nobody is there');
    my($of_ann, $of_bob) = map {
        my $stream = $_->stream('/online');
        [$stream, told($list, qw(user stream))];
    } $ann, $bob;
    ok t_cmp($of_ann->[1], qr/^join ann \S/, 'ann is there');
    ok t_cmp($of_bob->[1], qr/^join bob \S/, 'bob is there');
    my $other = $bob->stream('/online?presence');
    ok t_cmp([sort map { $_->{user} }
              @{ parsed($other->next_event(5)->{data})->{members} }],
             [qw(ann bob)], 'bob, who comes later, has both at once');

    # She goes to another page of the site; he leaves.  Where the machine stood
    # still meanwhile, she may have been away for too long.
    my($old, $stream) = map { $_->[1] =~ /(\S+)$/ } $of_ann, $of_bob;
    my $began = time;
    $of_ann->[0]->close;
    my $next = $ann->stream('/online');
    eventually { scalar $httpd->lines(qr/stream \Q$old\E ended: /) };
    eventually { is_online('ann') };
    my $late = time - $began > 1 ? 'ann' : '';
    $of_bob->[0]->close;
    my %online = map { reverse /^join (\S+) (\S+)/ } $of_ann->[1], $of_bob->[1];
    for my $one ($list, $other) {
        ok t_cmp(first_to_leave($one, $late, %online), "bob $stream client",
                 'bob is the one who leaves');
    }
    $_->close for $next, $list, $other;
}

# By the list that the server gives an application.
sub is_online {
    my $user = shift;

    my $answer = request('GET', '/status?channel=/online', port => $own,
                         host => 'online.example');
    return scalar grep { $_->{user} eq $user && !$_->{away} }
        @{ $answer->json->{members} };
}

# As the page reckons: who is the first user that no stream is left of.  (Of a
# page's two streams the new one may come before the old one has left.)
sub first_to_leave {
    my($list, $late, %online) = @_;

    while (my $event = $list->next_event(5)) {
        my $data = parsed($event->{data});
        my($stream, $user) = @$data{qw(stream user)};
        if ($event->{event} eq 'join') {
            $online{$stream} = $user;
            next;
        }
        delete $online{$stream};
        return "$user $stream $data->{reason}"
            unless grep { $_ eq $user } $late, values %online;
    }
    return 'nobody';
}

sub chat {
    my $nobody = browser('chat');
    ok t_cmp($nobody->get('/room/lobby')->code, 403,
             'chat: no stream without a session');
    ok t_cmp($nobody->post('/say.php', room => 'lobby', text => 'x')->code, 403,
             'and no word');
    my($ann, $bob) = map { browser('chat', $_) } qw(ann bob);
    ok t_cmp($ann->get('/')->body, qr/<form id="say">/, 'the page');
    my $list = $ann->stream('/room/lobby?presence');
    $list->next_event(5);
    my @streams = map { $_->stream('/room/lobby') } $ann, $bob;
    ok t_cmp([sort map { told($list, 'user') } @streams],
             ['join ann', 'join bob'], 'who is in the room');
    ok t_cmp($bob->post('/say.php', room => 'lobby', text => 'hello')->code,
             204, 'bob speaks');
    ok t_cmp([map { told($_, qw(from text)) } @streams],
             [('say bob hello') x 2], 'both hear him');
    my $cem = browser('chat', 'cem');
    my $late = $cem->stream('/room/lobby');
    ok t_cmp(told($late, qw(from text)), 'say bob hello',
             'who comes later has what was said');
    ok t_cmp(told($list, qw(user)), 'join cem', 'and is seen to come');

    my $notice = '{"event":"notice","data":"Closing at ten"}';
    my @json = ('Content-Type' => 'application/json');
    ok t_cmp($bob->send('POST', '/room/lobby', $notice, @json)->code, 403,
             'a user publishes nothing past say.php');
    ok t_cmp($bob->send('DELETE', '/room/lobby', '')->code, 403,
             'and deletes nothing');
    ok t_cmp($ann->send('POST', '/room/lobby', $notice, @json)->code, 200,
             'a moderator does');
    ok t_cmp($streams[1]->next_event(5)->{data}, 'Closing at ten',
             'all hear it');
    ok t_cmp($ann->send('DELETE', '/room/lobby', '')->code, 200,
             'she empties the room');
    ok t_cmp($late->wait_end(5), 1, 'streams end, and come back');
    $late = $cem->stream('/room/lobby');
    $bob->post('/say.php', room => 'lobby', text => 'again');
    ok t_cmp(told($late, qw(from text)), 'say bob again', 'to an empty one');
    $_->close for $late, $list, @streams;
}

# -- signature --

sub write_file {
    my($name, $text) = @_;

    my $file = Apache::Test::vars('t_logs') . "/guide-$name";
    open my $fh, '>', $file or die "$file: $!";
    print $fh $text or die "$file: $!";
    close $fh or die "$file: $!";
    return $file;
}

# What httpd sends is genuine to each program of the guide, and nothing else is.
sub signature {
    my $stream = open_stream('/c/signed?' . "\xc3\xb6'\"", port => $own);
    $stream->next_block(5);
    $stream->close;
    my $call = $hook->wait_told(type => 'close')->{call};
    my $body = write_file('body', $call->{body});
    my $other = write_file('other', $call->{body} =~ s/client/server/r);
    my %program = (php => 'php -n', py => '/usr/bin/python3', mjs => 'node',
                   sh => 'sh');
    for my $type (sort keys %program) {
        my $command = "$program{$type} $ENV{SSE_TOP}/docs/examples/signature/"
            . "verify.$type '$secret' '$call->{headers}{'sse-hook-signature'}'";
        ok t_cmp([map { system("$command <$_ >/dev/null 2>&1") >> 8 }
                  $body, $other], [0, 1], "signature: verify.$type");
    }
}

# -- job --

# jobs.py with a job that prints a line, waits for a file, and prints another.
sub start_jobs {
    my $file = shift;

    $jobs_pid = fork // die "fork: $!";
    if (!$jobs_pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', example_file('job', 'output');
        open STDERR, '>&', \*STDOUT;
        my $work = 'echo started; until [ -e "$0" ]; do sleep 0.05; done; '
            . 'echo done';
        exec('/usr/bin/python3', example_file('job', 'jobs.py'),
             "127.0.0.1:$jobs_port", "127.0.0.1:$hub{job}",
             'sh', '-c', $work, $file)
            or POSIX::_exit(1);
    }
    my $listens = sub {
        IO::Socket::INET->new(PeerAddr => "127.0.0.1:$jobs_port")
    };
    eventually { $listens->() } or die 'jobs.py does not listen';
}

# The processes that a process has started, of those that are alive.
sub children_of {
    my $parent = shift;

    my @pids;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next; # it has ended
        push @pids, $1 if (<$fh> // '') =~ /^(\d+) \(.*\) \S $parent /;
    }
    return grep { is_alive($_) } @pids;
}

sub job {
    my $file = example_file('job', 'finish');
    start_jobs($file);
    my $page = browser('job');
    ok t_cmp($page->get('/index.html')->body, qr/id="start"/, 'job: the page');
    ok t_cmp($page->get('/events?unknown')->code, 404, 'a word of no job');

    my($word, $stream, $process) = begin($page);
    ok t_cmp($word, qr/^\w{32}$/, 'the page is given a word');
    ok t_cmp($stream->next_event(5)->{data}, 'started',
             'the job runs, and its output comes');
    $stream->close;
    ok t_cmp(eventually { !is_alive($process) }, 1,
             'its user has left: the process is gone');
    ok t_cmp($page->get("/job/auth?$word")->code, 403,
             'only mod_sse asks whose job it is');
    ok t_cmp($page->post('/ended')->code, 404, 'and only it tells of an end');

    ($word, $stream, $process) = begin($page);
    $stream->next_event(5);
    ok t_cmp($httpd->restart('USR1'), 1, 'a reload of httpd');
    ok t_cmp($stream->wait_end(10), 1, 'ends the stream');
    $stream = $page->back("/events?$word");
    $stream->next_event(5); # the first line again
    ok t_cmp(is_alive($process), 1, 'and not the job: the browser is back');
    open my $fh, '>', $file or die "$file: $!";
    ok t_cmp($stream->next_event(5)->{data}, 'done', 'it comes to its end');
    my $end = $stream->next_event(5);
    ok t_cmp("$end->{event} $end->{data}", 'end 0', 'which the page is told');
    $stream->close;
}

# A job, its word, its page's stream and its process.
sub begin {
    my $page = shift;

    my $word = $page->post('/job/start')->body;
    my $stream = $page->stream("/events?$word");
    my @processes;
    eventually { @processes = children_of($jobs_pid) };
    return($word, $stream, $processes[0]);
}
