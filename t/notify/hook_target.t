# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Webhooks: targets that answer badly, or not at all.  Each has its line in the
# log, and hurts neither a stream nor another target.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHook;
use SSETestHttpd;
use POSIX ();
use Time::HiRes qw(time sleep);

my $mpm = $ENV{SSE_MPM} || 'event';
my $prefork = $mpm eq 'prefork';
my $many = { prefork => 15, worker => 15, event => 60 }->{$mpm};

my $hook = SSETestHook->new;
my $few = SSETestHook->new;                 # for its connections alone
my $down = SSETestHook->new;
my $tls = SSETestHook->new(tls => 1);
my $ca = SSETestHook::suite_file('certs/ca.crt');

# Each of these has a location /bad/NAME, which also tells /good.  What the log
# says of it, and what the target does.
my %bad = (
    page      => ['counts as sent, but .* HTML, it answered 200: \'<h1>Hi</h1>\'',
                  status => 200, headers => { 'Content-Type' => 'text/html' },
                  body => "<h1>Hi</h1>\n"],
    missing   => ['were refused, .* it answered 404: \'<p>No such <b>page</b>.*'
                  . 'takes POST', status => 404,
                  body => "<p>No\0\r\n such\t<b>page</b>"],
    redirect  => ['were refused, .* it answered 302, to go to http://a/b; '
                  . 'redirects are not followed', status => 302,
                  headers => { Location => 'http://a/b?token=x' }],
    unchanged => ['were refused, .* it answered 304', status => 304],
    error     => ['fail, \d+ wait: it answered 500: \'oops\'', status => 500,
                  body => 'oops'],
    nothing   => ['fail, \d+ wait: .*(?:Empty reply|reset)', how => 'close'],
    resets    => ['fail, \d+ wait: .*reset', how => 'reset'],
    cut       => ['fail, \d+ wait: ', how => 'middle'],
    garbage   => ['fail, \d+ wait: ', how => 'raw',
                  body => "220 mail.example ESMTP\r\n\r\n"],
    heads     => ['fail, \d+ wait: the head of its answer is over 65536',
                  how => 'heads'],
    slow      => ['are slow, \d+ wait: there is no answer yet after 3 s',
                  how => 'drip', pause => 1],
    silent    => ['are slow, \d+ wait: there is no answer yet after 3 s',
                  how => 'silence'],
);
# The same for targets that are not reached.
my %unreached = (
    refused => [$down->url, 'Connection refused'],
    unknown => ['http://no-such-host.invalid/', 'resolve host'],
    stranger => [$tls->url('/stranger'), 'issuer certificate|self.signed'],
    name => [$tls->url('/name', host => '127.0.0.1'), 'SSL: .*\b127\.0\.0\.1'],
    plain => ['https://localhost:' . $hook->port . '/plain',
              'are slow|SSL|TLS|wrong version'],
);

$hook->answer(path => "/$_", @{ $bad{$_} }[1 .. $#{ $bad{$_} }]) for keys %bad;
$down->down;

# None of these counts.
local @ENV{qw(http_proxy https_proxy ALL_PROXY)} = ('http://127.0.0.1:9/') x 3;
my $httpd = SSETestHttpd->new(conf => configuration());
my $port = $httpd->port;

plan tests => 1 + 4 * (keys(%bad) + keys %unreached) + 2 + 4 + 4 + 4 + 5 + 2 + 3
            + 2 + 2 + 1 + 1, need_module('mod_sse', 'mod_ssl');
my $began = time;
ok t_cmp($httpd->start, 1, 'it starts');
my %stream = map { $_ => subscribe("/bad/$_") } keys %bad, keys %unreached;
eventually { $hook->told(type => 'open', path => '/good') >= keys %stream };
begin();
goes_up();
bad_targets();
repeats();
order();
batches();
connections();
comes_up();
https();
retry_after();
accepted();
logged();
ok t_cmp(stops_soon(), 1, 'and at the end nobody is waited for');

sub configuration {
    my $good = $hook->url('/good');
    my $conf = "SSEHookConnections 3\n";
    my %url = ((map { $_ => $hook->url("/$_?token=secret") } keys %bad),
               map { $_ => $unreached{$_}[0] } keys %unreached);
    for my $name (sort keys %url) {
        my $authority = $name eq 'name' ? "SSEHookCA $ca" : '';
        $conf .= "<Location /bad/$name>\n$authority\n"
            . "SSEHook $url{$name}\nSSEHook $good\n</Location>\n";
    }
    return $conf . <<"EOI";
<Location /bad/>
    SetHandler sse
    SSEPublish On
</Location>
<Location /e/>
    SetHandler sse
    SSEPublish On
</Location>
<Location /e/repeat>
    SSEHook @{[$hook->url('/repeat')]} close
</Location>
<Location /e/later>
    SSEHook @{[$hook->url('/later')]} close
</Location>
<Location /e/date>
    SSEHook @{[$hook->url('/date')]} close
</Location>
<Location /e/torn>
    SSEHook @{[$hook->url('/torn')]} close
</Location>
<Location /e/endless>
    SSEHook @{[$hook->url('/endless')]} close
</Location>
<Location /e/order>
    SSEHook @{[$hook->url('/order')]}
</Location>
<Location /e/batch>
    SSEHook @{[$hook->url('/batch')]} publish
    SSEHookBatch 10 5s
</Location>
<Location /e/few>
    SSEHook @{[$few->url('/few')]}
</Location>
<Location /e/https>
    SSEHook @{[$tls->url('/https')]}
    SSEHookCA $ca
</Location>
EOI
}

sub subscribe {
    my $stream = open_stream($_[0], port => $port);
    $stream->next_block or die "no stream of $_[0]";
    return $stream;
}

sub told { return scalar $hook->told(path => $_[0], unique => 1) }

# Each stream lives while its target fails, and its end is told to the good one
# at once.
sub bad_targets {
    for my $name (sort keys %stream) {
        publish("/bad/$name", 'x', port => $port);
        ok t_cmp(($stream{$name}->next_event // {})->{data}, 'x',
                 "$name: the stream lives");
        $stream{$name}->close;
    }
    for my $name (sort keys %stream) {
        my $words = ($bad{$name} // [])->[0] // "fail, .*$unreached{$name}[1]";
        my $close = $hook->wait_told(type => 'close', uri => "/bad/$name",
                                     path => '/good');
        ok t_cmp(!!$close, 1, "$name: a good target hears of it");
        my $late = $close->{call}{time} - $close->{time};
        ok t_cmp($late < 8, 1, "at once: after $late s");
        # The line that tells of it, up to the query
        $words = $unreached{$name}[1] if $name eq 'plain';
        my $line = eventually {
            ($httpd->lines(qr{webhooks? to \S+(?:/\Q$name\E)? .*$words}i),
             $httpd->lines(qr{webhooks? to [^ ?]*:\d+\S* .*$words}i))[0]
        };
        ok t_cmp($line // '', qr/$words/i, 'and the log');
    }
    ok t_cmp([$httpd->lines(qr/token=/)], [], 'what may be secret is not logged');
    my %times;
    ++$times{ /\[pid (\d+)/ && $1 } for $httpd->lines(qr{to \S+/error fail, });
    my($most) = sort { $b <=> $a } values %times;
    ok t_cmp($most <= 1 + int((time - $began) / 60), 1,
             'and no child says so again and again');
}

# The same call again, with the same id, until it is taken.
sub repeats {
    $hook->wait_for(sub { $hook->told(path => '/repeat') >= 3 });
    my @calls = map { $_->{call} } $hook->told(path => '/repeat');
    ok t_cmp(scalar @calls, 3, 'three attempts');
    ok t_cmp([map { $_->{headers}{'sse-hook-attempt'} } @calls], [1, 2, 3],
             'with their numbers');
    ok t_cmp([map { $_->{headers}{'sse-hook-id'} . $_->{body} } @calls],
             [($calls[0]{headers}{'sse-hook-id'} . $calls[0]{body}) x 3],
             'one call');
    my $gap = $calls[1]{time} - $calls[0]{time};
    ok t_cmp($gap >= 0.45, 1, "not at once, but after $gap s");
}

# What takes its time while other things are tested.
my $due; # what /date asks to wait for

sub begin {
    $due = int(time) + 3;
    my $date = POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $due);

    $hook->answer(path => '/later', status => 429, times => 1,
                  headers => { 'Retry-After' => 2 });
    $hook->answer(path => '/date', status => 503, times => 1,
                  headers => { 'Retry-After' => $date });
    # Accepted, whatever becomes of the bodies.
    $hook->answer(path => '/torn', status => 200, how => 'body');
    $hook->answer(path => '/endless', status => 200, how => 'endless');
    $hook->answer(path => '/repeat', status => 503, times => 2);
    subscribe("/e/$_")->close for qw(later date torn endless repeat);
}

sub retry_after {
    for my $path ('/later', '/date') {
        $hook->wait_for(sub { $hook->told(path => $path) >= 2 });
        my @calls = map { $_->{call} } $hook->told(path => $path);
        my $since = $path eq '/date' ? $due - 2 : $calls[0]{time};
        my $gap = @calls > 1 ? $calls[1]{time} - $since : 0;
        ok t_cmp($gap >= 1.4, 1, "Retry-After, $path: $gap s");
        ok t_cmp(scalar(@calls), 2, 'and once more');
    }
}

# The end of a stream is not told before its opening has been taken.
sub order {
    $hook->answer(path => '/order', type => 'open', status => 500, times => 5);
    $_->close for map { subscribe('/e/order') } 1 .. $many;
    my $all = $hook->wait_count($many, path => '/order', type => 'close',
                                unique => 1);
    ok t_cmp($all, 1, "$many ends");
    my(%opened, %closed, $early);
    for my $told ($hook->told(path => '/order')) {
        my $stream = $told->{stream};
        $told->{type} eq 'close' ? ++$closed{$stream} : ++$opened{$stream};
        $early = "stream $stream" if $told->{type} eq 'open' && $closed{$stream}
            || $told->{type} eq 'close' && !$opened{$stream};
    }
    ok t_cmp($early, undef, 'none before its opening, which may have failed');
    my @again = grep { $_ > 1 } values %opened;
    ok t_cmp(scalar(@again) >= 1, 1, 'some of these failed');
    ok t_cmp([grep { $_ != 1 } values %closed], [], 'each once');
}

sub batches {
    $hook->answer(path => '/batch', status => 500, times => 1);
    my $body = join '', map { "data: $_\n\n" } 1 .. 25;
    publish('/e/batch', $body, port => $port,
            'Content-Type' => 'text/event-stream');
    $hook->wait_for(sub { 4 <= grep { $_->{path} eq '/batch' } $hook->calls });
    my @calls = grep { $_->{path} eq '/batch' } $hook->calls;
    my %by_id;
    push @{ $by_id{ $_->{headers}{'sse-hook-id'} } }, $_ for @calls;
    ok t_cmp(scalar(keys %by_id), 3, '25 calls in three requests');
    ok t_cmp(scalar(@calls), 4, 'one of which was sent again');
    my($twice) = grep { @$_ == 2 } values %by_id;
    ok t_cmp($twice->[0]{body}, $twice->[1]{body}, 'as it was');
    my @told = map { $_->{event}{data} } $hook->told(path => '/batch',
                                                     unique => 1);
    ok t_cmp([sort { $a <=> $b } @told], [1 .. 25], 'with all events');
    ok t_cmp($calls[0]{body}, qr/\A\[\{.*\}\]\z/, 'in an array');
}

sub connections {
    $few->answer(delay => 0.01);
    $_->close for map { subscribe('/e/few') } 1 .. $many;
    $few->wait_count(2 * $many, path => '/few', unique => 1);
    my %conn = map { $_->{conn} => 1 } $few->calls;
    my $children = $prefork ? 60 : 4;
    ok t_cmp(scalar($few->told(path => '/few', unique => 1)), 2 * $many,
             'openings and ends of ' . $many);
    my $n = keys %conn;
    ok t_cmp($n <= 3 * $children, 1,
             "kept alive: $n connections, 3 at most to a child");
}

# Before it would be tried more and more rarely.
sub goes_up {
    my $line = eventually {
        ($httpd->lines(qr{to http://127.0.0.1:\d+/hook fail, }))[0]
    };
    ok t_cmp($line, qr/cannot connect: Connection refused/, 'nobody is there');
    $down->up;
}

# What was told while nobody was there, and after that.
sub comes_up {
    my $told = $down->wait_told(type => 'close', uri => '/bad/refused',
                                timeout => 30);
    my @told = map { $_->{type} } $down->told(unique => 1);
    ok t_cmp(\@told, ['open', 'close'], 'and now all is told, in order');
    eventually { $httpd->lines(qr/work again/) };
    ok t_cmp(scalar($httpd->lines(qr{to http://127.0.0.1:\d+/hook work again}))
             >= 1, 1, 'as the log says');
}

sub https {
    subscribe('/e/https')->close;
    my $told = $tls->wait_told(type => 'close', path => '/https');
    ok t_cmp($told && $told->{uri}, '/e/https', 'https, with SSEHookCA');
    ok t_cmp(scalar(map { $tls->told(path => $_) } '/stranger', '/name'), 0,
             'and nothing is told where the certificate is wrong');
}

sub logged {
    ok t_cmp([$httpd->lines(qr/sse:(?:crit|emerg|alert)/)], [],
             'nobody was alarmed');
}

sub accepted {
    ok t_cmp(scalar($hook->told(path => $_)), 1, "$_: not sent again")
        for '/torn', '/endless';
}

sub stops_soon {
    my $began = time;
    $httpd->stop('TERM');
    my $took = time - $began;
    return $took < 15 || $took;
}
