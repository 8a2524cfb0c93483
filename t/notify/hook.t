# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Webhooks: what is told, of whom, to which target.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHook;
use SSETestHttpd;
use Time::HiRes qw(time);

my $mpm = $ENV{SSE_MPM} || 'event';
# Elsewhere a stream holds a thread or a process.
my $many = $mpm eq 'event' ? 200 : 16;

my $vars = Apache::Test::config()->{vars};
my $hook = SSETestHook->new;
my $other = SSETestHook->new;
my $key = 'a key of more than 16 bytes';
write_file("$vars->{t_logs}/hook.key", "$key\n");
t_mkdir("$vars->{documentroot}/hook");
write_file("$vars->{documentroot}/hook/file.txt", "a file\n");

my $httpd = SSETestHttpd->new(
    c_modules => ['sse_close'], modules => ['alias', $mpm eq 'prefork'
                                            ? 'cgi' : 'cgid'],
    conf => configuration());
my $port = $httpd->port;

my @tests = (\&one_stream, \&privacy, \&fields, \&not_utf8, \&nested,
             \&targets, \&signed, \&publishing, \&by_c, \&batches, \&watched,
             \&watched_stream, \&c_stream, \&channels,
             \&many, \&not_inherited, \&status);
plan tests => 68, need_module('mod_sse');
ok t_cmp($httpd->start, 1, 'it starts');
$_->() for @tests;
ok t_cmp([$httpd->complaints(qr/expression/)], [], 'nothing else in the log');

sub write_file {
    my($file, $text) = @_;

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
}

sub configuration {
    my $cgi = "$FindBin::Bin/cgi";
    my $sock = $mpm eq 'prefork' ? '' : "ScriptSock $vars->{t_logs}/hooksock";

    return <<"EOI";
$sock
Alias "/hook/file.txt" "$vars->{documentroot}/hook/file.txt"
Alias "/cgi/" "$cgi/"
<Directory "$vars->{documentroot}/hook">
    Require all granted
</Directory>
<Directory "$cgi">
    Options +ExecCGI
    SetHandler cgi-script
    Require all granted
</Directory>
SSEHook @{[$other->url('/server')]} publish
<Location "/e/">
    SetHandler sse
    SSEPublish On
    SSEHook @{[$hook->url('/a')]}
</Location>
<Location "/e/two">
    SSEChannel one "two words"
</Location>
<Location "/e/fields">
    SSEHookField remote "%{REMOTE_ADDR}"
    SSEHookField cookie "%{HTTP_COOKIE}"
    SSEHookField x.y "%{HTTP:X-Y}"
    SSEHookField empty "%{HTTP:X-None}"
    SSEHookField broken "%{file:/no/such/file}"
</Location>
<Location "/e/none">
    SSEHook none
</Location>
<Location "/e/targets">
    SSEHook @{[$hook->url('/open')]} open
    SSEHook @{[$hook->url('/close')]} close
    SSEHook @{[$other->url('/both')]} open
    SSEHook @{[$other->url('/both')]} close publish
</Location>
<Location "/e/signed">
    SSEHookSecret "$vars->{t_logs}/hook.key"
</Location>
<Location "/e/publish">
    SSEHook @{[$hook->url('/published')]} publish
    SSEHookField agent "%{HTTP_USER_AGENT}"
</Location>
<Location "/e/batch">
    SSEHook @{[$hook->url('/batch')]} publish
    SSEHookBatch 100 200ms
</Location>
<Location "/e/first">
    SSEHook @{[$hook->url('/first')]} first last
    SSEHook @{[$other->url('/last')]} last
    SSEChannel "%{REQUEST_URI}" "/e/also"
</Location>
<Location "/publish">
    SetHandler sse-close-publish
</Location>
<Location "/hook/">
    SSEWatch On
    SSEHook @{[$hook->url('/watched')]}
</Location>
<Location "/cgi/">
    SSEWatch On
    SSEHook @{[$hook->url('/watched')]}
</Location>
<Location "/e/watched">
    SSEWatch On
</Location>
<Location "/app">
    SetHandler sse-close-app
    SSEHook @{[$hook->url('/app')]}
</Location>
EOI
}

# A stream that is open.
sub subscribe {
    my($path, %opt) = @_;

    my $stream = open_stream($path, port => $port, %opt);
    $stream->next_block or die "no stream of $path";
    return $stream;
}

# What is told of a stream, by its URI: the opening and the end.
sub both {
    my($uri, %want) = @_;

    my $open = $hook->wait_told(type => 'open', uri => $uri, %want);
    my $close = $hook->wait_told(type => 'close', uri => $uri, %want);
    return ($open // {}, $close // {});
}

sub one_stream {
    my $began = time;
    my $stream = subscribe('/e/one?a=b');
    my $open = $hook->wait_told(type => 'open', uri => '/e/one?a=b');
    ok t_cmp(!!$open, 1, 'an opening is told while the stream is open');
    my $id = publish('/e/one', 'x', port => $port)->json->{id};
    $stream->next_event;
    $stream->close;
    my $close = $hook->wait_told(type => 'close', stream => $open->{stream});
    ok t_cmp(!!$close, 1, 'and its end');
    ok t_cmp($open->{id}, "$open->{stream}.open", 'an id of its own');
    ok t_cmp($close->{id}, "$open->{stream}.close", 'another one');
    ok t_cmp([map { $_->{call}{headers}{'sse-hook-id'} } $open, $close],
             [map { $_->{id} } $open, $close], 'in the header, too');
    ok t_cmp([@$open{qw(host channels)}], ['localhost', ['/e/one']],
             'its host and channel');
    ok t_cmp([@$close{qw(host channels)}], ['localhost', ['/e/one']],
             'at the end, too');
    ok t_cmp([map { $_ // 'null' } @$open{qw(remote user session)}],
             [('null') x 3], 'what has no value is null');
    ok t_cmp([@$close{qw(reason by_client events last_event_id)}],
             ['client', $close->{by_client}, 1, $id], 'why, and what was sent');
    ok t_cmp($close->{by_client} && ref $close->{by_client} ? 1 : 0, 1,
             'by the client, a boolean');
    ok t_cmp($close->{bytes} > 5, 1, "$close->{bytes} bytes");
    # It is opened a little before that is told.
    my $least = ($close->{time} - $open->{time}) * 1000 - 2;
    my $most = (time - $began) * 1000;
    ok t_cmp($close->{duration_ms} >= $least && $close->{duration_ms} <= $most,
             1, "times: $least ms between them, duration $close->{duration_ms}");
    ok t_cmp(abs($open->{call}{time} - $open->{time}) < 20, 1, 'in seconds');
    ok t_cmp([grep { !exists $open->{$_} } qw(type id time host channels stream
                                              uri remote user session fields)],
             [], 'each member is there');

    subscribe('/e/two?x')->close;
    ($open) = both('/e/two?x');
    ok t_cmp($open->{channels}, ['one', 'two words'], 'several channels');
}

sub privacy {
    my $stream = subscribe('/e/private',
                           headers => { Cookie => 'secret=1',
                                        Authorization => 'Basic c2VjcmV0' });
    $stream->close;
    my($open, $close) = both('/e/private');
    ok t_cmp(!!$close->{id}, 1, 'a client with a cookie');
    ok t_cmp("$open->{call}{body} $close->{call}{body}",
             qr/\A(?:(?!127\.0\.0\.1|secret|c2Vj).)*\z/s,
             'neither its address nor its headers are told');
    ok t_cmp([$open->{fields}, $close->{fields}], [{}, {}], 'there are no fields');
}

sub fields {
    subscribe('/e/fields', headers => { Cookie => 'a="b\\c"',
                                        'X-Y' => 'first' })->close;
    my($open, $close) = both('/e/fields');
    my $want = { remote => '127.0.0.1', cookie => 'a="b\\c"',
                 'x.y' => 'first', empty => '' };
    ok t_cmp($open->{fields}, $want, 'fields, as they were at the opening');
    ok t_cmp($close->{fields}, $want, 'and at the end');
    ok t_cmp(!!$httpd->lines(qr/expression.*\/no\/such\/file/i), 1,
             'the log tells of one that fails, which is left out');
    ok t_cmp($close->{remote}, '127.0.0.1', 'the field "remote" is "remote"');
}

sub not_utf8 {
    my $stream = open_stream('/e/fields?%ff', port => $port, headers =>
        { Cookie => "caf\xe9 \xc3\xa9", 'X-Y' => "\xff\xfe\"\\" });
    $stream->next_block or die 'no stream';
    $stream->close;
    my($open) = both('/e/fields?%ff');
    ok t_cmp($open->{fields}{cookie}, "caf\x{fffd} \x{e9}",
             'what is not UTF-8 is replaced');
    ok t_cmp($open->{fields}{'x.y'}, "\x{fffd}\x{fffd}\"\\", 'byte by byte');
    # It is no URI, but httpd takes it.
    subscribe("/e/raw?\xff\xe9")->close;
    my $told = $hook->wait_told(type => 'close',
                                uri => "/e/raw?\x{fffd}\x{fffd}");
    ok t_cmp(!!$told, 1, 'also in the URI');
}

sub nested {
    subscribe('/e/none/x')->close;
    subscribe('/e/after')->close;
    both('/e/after');
    ok t_cmp([grep { ($_->{uri} // '') =~ /none/ } $hook->told], [],
             'SSEHook none: nothing is told there');
}

sub targets {
    my $stream = subscribe('/e/targets');
    publish('/e/targets', 'x', port => $port);
    $stream->close;
    ok t_cmp(!!$other->wait_told(path => '/both', type => 'close'), 1,
             'a target of several lines');
    ok t_cmp(!!$other->wait_told(path => '/both', type => 'publish'), 1,
             'is told of all that they name');
    ok t_cmp(!!$hook->wait_told(path => '/close', type => 'close'), 1,
             'a target that wants ends alone');
    ok t_cmp(!!$hook->wait_told(path => '/open', type => 'open'), 1,
             'one that wants openings alone');
    ok t_cmp([sort map { "$_->{call}{path} $_->{type}" }
                  grep { $_->{call}{path} =~ m{^/(?:open|close)$} } $hook->told],
             ['/close close', '/open open'], 'and nothing else');
    ok t_cmp([sort map { $_->{type} } $other->told(path => '/both')],
             [qw(close open publish)], 'each once');
    ok t_cmp([grep { ($_->{uri} // '') eq '/e/targets' }
                   $hook->told(path => '/a')], [],
             'the list of the enclosing section is replaced');
}

sub signed {
    subscribe('/e/signed')->close;
    my($open, $close) = both('/e/signed');
    ok t_cmp(!!SSETestHook::is_signed($_->{call}, $key), 1, 'signed')
        for $open, $close;
    ok t_cmp(!!SSETestHook::is_signed($close->{call}, 'another key, long too'),
             '', 'by that key');
    my($plain) = both('/e/one?a=b');
    ok t_cmp($plain->{call}{headers}{'sse-hook-signature'}, undef,
             'without a key there is no signature');
}

sub publishing {
    my $answer = publish('/e/publish/x', "a\nb \"q\"", port => $port,
                         'User-Agent' => 'tester', 'Idempotency-Key' => 'k1');
    my $id = $answer->json->{id};
    my $told = $hook->wait_told(path => '/published', id => "$id.publish") // {};
    ok t_cmp($told->{event},
             { id => $id, event => 'message', data => "a\nb \"q\"" },
             'an event is told');
    ok t_cmp([$told->{channels}, $told->{uri}, $told->{fields}, $told->{stream}],
             [['/e/publish/x'], '/e/publish/x', { agent => 'tester' }, undef],
             'with its channel, and the publisher\'s request');
    publish('/e/publish/x', 'again', port => $port, 'Idempotency-Key' => 'k1');
    my $body = "event: note\ndata: 1\n\ndata: 2\n\n";
    my $ids = publish('/e/publish/x', $body, port => $port,
                      'Content-Type' => 'text/event-stream')->json->{ids};
    $hook->wait_count(3, path => '/published');
    my @all = sort { $a->{event}{id} <=> $b->{event}{id} }
        $hook->told(path => '/published');
    ok t_cmp([map { $_->{event}{id} } @all], [$id, @$ids],
             'each event of a batch, and no repetition');
    ok t_cmp([map { "$_->{event}{event} $_->{event}{data}" } @all[1, 2]],
             ['note 1', 'message 2'], 'with its type');
}

sub by_c {
    request('GET', '/publish?channel=/c/mod&data=by+c&event=e', port => $port);
    my $told = $other->wait_told(path => '/server', type => 'publish') // {};
    ok t_cmp([$told->{channels}, $told->{uri}, $told->{event}{event}],
             [['/c/mod'], undef, 'e'],
             'what a C module publishes: the settings of the host');
}

sub batches {
    publish('/e/batch', join('', map { "data: $_\n\n" } 1 .. 150),
            port => $port, 'Content-Type' => 'text/event-stream');
    $hook->wait_count(150, path => '/batch');
    my @calls = grep { $_->{path} eq '/batch' } $hook->calls;
    ok t_cmp(@calls < 10, 1, '150 events in ' . @calls . ' requests');
    ok t_cmp([grep { $_->{body} !~ /\A\[.*\]\z/s } @calls], [], 'arrays');
    ok t_cmp([sort { $a <=> $b }
              map { $_->{event}{data} } $hook->told(path => '/batch')],
             [1 .. 150], 'all of them');
}

sub watched {
    request('GET', '/hook/file.txt', port => $port);
    my($open, $close) = both('/hook/file.txt', path => '/watched');
    ok t_cmp([@$open{qw(channels type)}], [[], 'open'], 'a file is watched');
    ok t_cmp([@$close{qw(reason stream)}], ['complete', $open->{stream}],
             'its end is told');
    request('GET', '/cgi/wait.sh?wait=1', port => $port);
    ($open, $close) = both('/cgi/wait.sh?wait=1', path => '/watched');
    ok t_cmp([$close->{reason}, $close->{stream} // 'none'],
             ['complete', $open->{stream}], "a CGI, too");
}

# It opens twice, as it were, and is told of once.
sub watched_stream {
    subscribe('/e/watched')->close;
    my($open, $close) = both('/e/watched');
    ok t_cmp([@$close{qw(reason stream)}], ['client', $open->{stream}],
             'a watched request that becomes a stream has one end');
    subscribe('/e/last')->close;
    both('/e/last');
    ok t_cmp(scalar $hook->told(uri => '/e/watched'), 2, 'and one opening');
}

sub c_stream {
    my $stream = open_stream('/app?k=hook', port => $port);
    $stream->next_block;
    $stream->close;
    my($open, $close) = both('/app?k=hook');
    ok t_cmp([$open->{channels}, $close->{reason}], [[], 'client'],
             "a C module's stream is told of");
}

# Who has come is known a moment after the stream's first bytes.
sub streams_on {
    return request('GET', "/status?channel=$_[0]", port => $port)->json->{streams};
}

# A channel's first and last subscriber in all children.
sub channels {
    my $of = sub { join ' ', sort map { "$_->{type} @{$_->{channels}}" } @_ };
    my @streams = map { subscribe('/e/first/a') } 1 .. 3;
    eventually { streams_on('/e/first/a') == 3 };
    $hook->wait_count(2, path => '/first');
    my @first = $hook->told(path => '/first');
    ok t_cmp($of->(@first), 'first /e/also first /e/first/a',
             'a channel has its first subscriber');
    ok t_cmp([$first[0]{host}, map { $_ // 'null' }
              @{ $first[0] }{qw(stream uri user)}],
             ['localhost', ('null') x 3], 'of the server, of no stream');
    ok t_cmp(abs($first[0]{call}{time} - $first[0]{time}) < 20, 1, 'in time');
    push @streams, subscribe('/e/first/b');
    $hook->wait_count(3, path => '/first');
    ok t_cmp($of->(($hook->told(path => '/first'))[2 .. 2]), 'first /e/first/b',
             'another channel');
    $_->close for @streams[0, 1, 3];
    $hook->wait_count(4, path => '/first');
    ok t_cmp($of->(($hook->told(path => '/first'))[3 .. 3]), 'last /e/first/b',
             'its last one leaves');
    $streams[2]->close;
    $hook->wait_count(6, path => '/first');
    my @all = $hook->told(path => '/first');
    ok t_cmp($of->(@all[4, 5]), 'last /e/also last /e/first/a', 'the others');
    ok t_cmp(scalar @all, 6, 'nothing comes twice');
    $other->wait_count(3, path => '/last');
    ok t_cmp($of->($other->told(path => '/last')),
             'last /e/also last /e/first/a last /e/first/b',
             'a target that wants the last one alone');
    my %ids = map { $_->{id} => 1 } @all;
    ok t_cmp(scalar keys %ids, 6, 'each has an id of its own');
}

# The connections to that port: the numbers that /proc has for their sockets.
sub sockets_to {
    my $to = sprintf ':%04X', shift;

    open my $in, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!";
    return map { (split)[9] } grep { (split)[2] =~ /$to$/ } <$in>;
}

# The programs that a child starts (mod_cgi) have none of its connections to
# targets.
sub not_inherited {
    my %to = map { ("socket:[$_]" => 1) } sockets_to($hook->{port});
    my($n, @inherited) = 0;

    for my $fd (map { glob "/proc/$_/fd/*" } $httpd->children) {
        next unless $to{readlink($fd) // ''};
        (my $info = $fd) =~ s{/fd/}{/fdinfo/};
        open my $in, '<', $info or next;
        my($flags) = map { /^flags:\s*(\d+)/ ? oct $1 : () } <$in>;
        next unless defined $flags;
        ++$n;
        push @inherited, $fd unless $flags & 02000000; # O_CLOEXEC
    }
    ok t_cmp($n > 0, 1, "$n connections are kept");
    ok t_cmp(\@inherited, [], 'and closed in what a child starts');
}

# In all children: each opening comes once, before its end.
sub many {
    my @streams = map { open_stream("/e/many/$_", port => $port) } 1 .. $many;
    $_->next_block for @streams;
    my $told = sub { grep { ($_->{uri} // '') =~ m{^/e/many/} } $hook->told(@_) };
    my $children = sub {
        my %pids = map { (split /\./, $_->{stream})[1] => 1 } $told->();
        return scalar keys %pids;
    };
    # A child that stands still meanwhile leaves them to the other.
    my $most = $mpm eq 'event' ? 400 : 20; # of one child
    my $left = 0;
    eventually {
        return 1 if $children->() > 1;
        $streams[$left++]->close if @streams - $left >= $most;
        push @streams, subscribe('/e/many/' . @streams);
        return 0;
    };
    my $n = @streams;
    $_->close for @streams;
    $hook->wait_for(sub { $told->(type => 'close') >= $n }, 20);
    my @told = $told->();
    my(%open, %close, @wrong);
    for my $call (@told) {
        my $stream = $call->{stream};
        if ($call->{type} eq 'open') {
            push @wrong, "opened twice: $call->{uri}" if $open{$stream}++;
        }
        else {
            push @wrong, "not open: $call->{uri}" unless $open{$stream};
            push @wrong, "closed twice: $call->{uri}" if $close{$stream}++;
        }
    }
    ok t_cmp(\@wrong, [], 'in order, each once');
    ok t_cmp([scalar keys %open, scalar keys %close], [$n, $n],
             "$n streams: all openings and ends");
    ok t_cmp($children->() > 1, 1, 'of several children');
}

sub status {
    my($hooks, $told);
    eventually { $told = $hook->told + $other->told;
                 $hooks = request('GET', '/status', port => $port)->json->{hooks};
                 !$hooks->{waiting} && $hooks->{sent} == $told };
    ok t_cmp($hooks, { waiting => 0, failed => 0, dropped => 0, sent => $told },
             'sse-status');
}
