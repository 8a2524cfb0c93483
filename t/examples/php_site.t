# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# docs/php-site.md: the whole of an ordinary PHP site, as it is in
# docs/examples/php-site, with php-fpm behind an httpd of its own.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestApp;
use SSETestExample;
use SSETestHttpd;

plan tests => 33, need need_module('mod_sse', 'mod_proxy_fcgi', 'mod_ssl'),
    { 'php-fpm' => SSETestApp::has_php() };

my $site = 'www.example.com';
my $vars = Apache::Test::vars();
my($http, $https, $hub) = map { $vars->{port} + $_ } 45 .. 47;
my $certificates = "$vars->{sslca}/asf";

my $php = SSETestApp->php_fpm;
my $conf = example('php-site', $site, HTTP => $http, HTTPS => $https,
                   PHP => $php->socket, HUB => "127.0.0.1:$hub",
                   CERT => "$certificates/certs/server.crt",
                   KEY => "$certificates/keys/server.pem");
prepare();
be_patient();
my $httpd = SSETestHttpd->new(modules => \@modules,
                              conf => "Listen 127.0.0.1:$https\n$conf");
ok $httpd->start;

my @plain = (host => $site, port => $http, path => '/login');
my @tls = (host => $site, port => $https, tls => 1, path => '/login');
my $nobody = SSETestExample->nobody(host => $site, port => $http);
my $ann = SSETestExample->log_in('ann', @plain);
my $bob = SSETestExample->log_in('bob', @tls);

front_controller();
streams();
hooks();
reload();
# Those who asked for what is not for browsers, and what PHP says
my $expected = qr/AH01630: client denied|AH01071: .* was last here at/;
ok t_cmp(join('', $httpd->complaints($expected)), '',
         'the log has no complaint');
$php->stop;
ok t_cmp($ann->get('/events')->code, qr/^50[23]$/, 'without PHP, no stream');
ok t_cmp(eventually { scalar $httpd->lines(qr/SSEAuthorize|AH02454/) }, qr/[1-9]/,
         'and the log says why');

# What the page tells the administrator to make.
sub prepare {
    mkdir example_file('php-site', 'log') or die "log: $!";
    open my $fh, '>', example_file('php-site', 'hook.secret')
        or die "hook.secret: $!";
    print $fh unpack('H*', pack 'L*', map { rand 2 ** 32 } 1 .. 8), "\n";
}

# A reload may take longer than the page reckons with.
sub be_patient {
    my $file = example_file('php-site', 'events.conf');
    open my $in, '<', $file or die "$file: $!";
    my $text = join '', <$in>;
    $text =~ s/^( *SSEPresenceGrace +)5s$/${1}60s/m or die "$file: no grace";
    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
}

sub parsed { return JSON::PP->new->utf8->decode($_[0]) }

sub front_controller {
    ok t_cmp($nobody->get('/')->body, qr/You are nobody/, 'a page');
    ok t_cmp($ann->get('/')->body, qr/You are ann/, 'with a session');
    ok t_cmp($bob->get('/')->body, qr/You are bob/, 'and over TLS');
    ok t_cmp($nobody->get('/no/such/page')->code, 404,
             'every path comes to index.php');
    ok t_cmp($nobody->get('/events')->code, 403, 'no stream without a session');
    for my $path ('/sse/auth', '/sse/ended', '/sse/../sse/auth', '//sse/auth',
                  '/%73se/auth') {
        ok t_cmp($ann->get($path)->code, 403, "$path is not for browsers");
    }
    ok t_cmp($nobody->post('/index.php/sse/ended')->code, 404,
             'nor by another way');
}

sub streams {
    my @streams = ($ann->stream('/events', 'X-Forwarded-For' => '192.0.2.7'),
                   $bob->stream('/events'));
    ok t_cmp([map { $_->status } @streams], [200, 200], 'two streams');
    my @to = ('Content-Type' => 'text/plain', port => $hub);
    my $answer = publish('/channel/everybody', 'news', @to);
    ok t_cmp($answer->json->{namespace}, $site, 'PHP publishes');
    ok t_cmp([map { $_->next_event(5)->{data} } @streams], [qw(news news)],
             'to the plain site and to TLS');
    publish('/channel/user-bob', 'for bob', @to);
    publish('/channel/user-ann', 'for ann', @to);
    ok t_cmp([map { $_->next_event(5)->{data} } @streams],
             ['for ann', 'for bob'], 'and to one user');
    ok t_cmp($ann->send('POST', '/events', 'x')->code, 405,
             'nobody publishes from outside');
    my $second = $ann->stream('/events');
    $_->close for $second, @streams;
    eventually { access_log(qr/ close=client /) == 3 };
    my($line) = access_log(qr/^192\.0\.2\.7 /);
    ok t_cmp($line, qr/^192\.0\.2\.7 ann \[.* close=client events=2 session=[0-9a-f]{16} /,
             'the log has the client, its user and its word');
    my %words = map { / ann .* session=(\w+)/ ? ($1 => 1) : () }
        access_log(qr/close=/);
    ok t_cmp(scalar keys %words, 1, 'which is the same in one session');
}

sub access_log {
    my $re = shift;

    open my $fh, '<', example_file('php-site', 'log/access.log') or return ();
    return grep { /\n\z/ && /$re/ } <$fh>;
}

sub hooks {
    my @left;
    eventually {
        @left = map { /(\w+) was last here at/ } $httpd->lines(qr/was last here/);
        @left >= 3;
    };
    ok t_cmp([sort @left], [qw(ann ann bob)],
             'PHP is told when users have left, also over TLS, and finds it genuine');
    my $body = '{"type":"close","by_client":true,"user":"eve"}';
    my @as = (port => $hub, host => $site, body => $body);
    ok t_cmp(request('POST', '/sse/ended', @as)->code, 403,
             'without a signature nobody can tell it');
    my $answer = request('POST', '/sse/ended', @as, headers => {
        'SSE-Hook-Signature' => 't=' . time . ',v1=' . 'a' x 64 });
    ok t_cmp($answer->code, 403, 'nor with a wrong one');
    ok t_cmp(scalar $httpd->lines(qr/eve was last here/), 0, 'it was not told');
}

# Whether nobody is there: PHP may hear of an end before the list knows of it.
sub is_empty {
    my $answer = request('GET', '/sse-status?channel=/channel/everybody',
                         port => $hub, host => $site);
    return !@{ $answer->json->{members} };
}

# Who is back within the grace time over a reload has not left.
sub reload {
    ok t_cmp(eventually { is_empty() }, 1, 'nobody is left');
    my $list = $bob->stream('/events?presence');
    $list->next_event(5) for 1, 2; # one for each of bob's channels
    my $stream = $ann->stream('/events');
    my $event = $list->next_event(5);
    ok t_cmp(parsed($event->{data})->{user} . " $event->{event}", 'ann join',
             'ann is seen to come');
    my $left = scalar $httpd->lines(qr/was last here/);
    ok t_cmp($httpd->restart('USR1'), 1, 'a reload of httpd');
    ok t_cmp($stream->wait_end(10) && $list->wait_end(10), 1,
             'ends the streams');
    $stream = $ann->back('/events');
    $list = $bob->back('/events?presence', 'Last-Event-ID' => $event->{id});
    my $carl = SSETestExample->log_in('carl', @plain)->back('/events');
    my $told = $list->next_event(5);
    ok t_cmp(parsed($told->{data})->{user} . " $told->{event}", 'carl join',
             'nobody was seen to leave or to join but who is new');
    ok t_cmp(scalar $httpd->lines(qr/was last here/), $left,
             'and PHP does not take it for leaving');
    $stream->close;
    $told = $list->next_event(5);
    ok t_cmp(parsed($told->{data})->{user} . " $told->{event}", 'ann leave',
             'who closes the tab leaves at once');
    $_->close for $list, $carl;
}
