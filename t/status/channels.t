# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Channels in sse-status: lists by prefix, page by page; one channel, with who is
# on it; and only those of the request's own host.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use JSON::PP ();
use SSETest;
use SSETestHttpd;

use constant MANY => 130;

# An attack by a name, in the query and as the server has it.
my $evil = q(<script>alert("1")</script>'&);
my $evil_query = '%3Cscript%3Ealert(%221%22)%3C/script%3E%27%26';

my @bad = ('channels=&limit=0', 'channels=&limit=1001', 'channels=&limit=x',
           'channels=&limit=', 'channels=&limit=-1', 'channels=&limit=1e2',
           'channels=%00', 'channels=%ff', 'channels=a%0ab', 'channels=%zz',
           'channels=&after=%01', 'channel=', 'channel', 'channel=%ff',
           'channel=a&format=metrics', 'channels=&format=stream',
           'channels=' . 'x' x 401);

plan tests => 2 + 8 + 6 + 4 + @bad + 7 + 6 + 4, need_module('mod_sse');

my $httpd = SSETestHttpd->new(modules => ['authn_core'], conf => <<'EOI');
SSEPresence On
<VirtualHost *>
    ServerName localhost
</VirtualHost>
<VirtualHost *>
    ServerName other.example
</VirtualHost>
EOI
my @port = (port => $httpd->port);
ok t_cmp($httpd->start, 1, 'an httpd of its own');

sub get {
    my($query, @more) = @_;

    my $answer = request('GET', "/status?$query", @port, @more);
    return wantarray ? ($answer->json, $answer) : $answer->json;
}

sub page { return request('GET', "/status?$_[0]&format=html", @port)->body }

sub names { return join ' ', map { $_->{channel} } @{ $_[0]{channels} } }

# Nothing yet.
ok t_cmp(JSON::PP->new->canonical->encode(get('channels=')),
         '{"channels":[],"namespace":"localhost","next":null,"prefix":""}',
         'no channel');

publish('/c/news', $_, @port) for qw(one three);
publish('/c/new', 'x', @port);
publish('/c/old', 'x', @port);
publish('/c/theirs', 'x', @port, host => 'other.example');
my $stream = open_stream('/c/online', @port);
$stream->next_block;
my $list;
ok t_cmp(eventually {
    names($list = get('channels=')) eq 'new news old online'
}, 1, 'in the order of their names: with events, or somebody there');
ok t_cmp(names(get('channels=ne')), 'new news', 'by the beginning');
ok t_cmp(names(get('channels=news')), 'news', 'a whole name');
ok t_cmp(names(get('channels=x')), '', 'none of that');
my($news) = grep { $_->{channel} eq 'news' } @{ $list->{channels} };
ok t_cmp(join(' ', @$news{qw(events bytes streams users)}), '2 8 0 0',
         'what is kept');
ok t_cmp($news->{last} - $news->{first}, 1, 'ids');
ok t_cmp($news->{first_time} <= $news->{last_time}
         && abs($news->{last_time} - time) < 60, 1, 'and times');
my($online) = grep { $_->{channel} eq 'online' } @{ $list->{channels} };
ok t_cmp(JSON::PP->new->canonical->encode($online),
         '{"bytes":0,"channel":"online","events":0,"first":null,'
         . '"first_time":null,"last":null,"last_time":null,"streams":1,"users":0}',
         'a channel without events');

# Page by page.
my($first, $second) = (get('channels=&limit=3'), {});
ok t_cmp(names($first) . " $first->{next}", 'new news old old', 'the first three');
$second = get("channels=&limit=3&after=$first->{next}");
ok t_cmp(names($second) . ' ' . ($second->{next} // 'end'), 'online end',
         'the rest');
ok t_cmp(names(get('channels=n&after=new')), 'news', 'within a prefix');
ok t_cmp(names(get('channels=&after=zzz')), '', 'after the last');
publish(sprintf('/c/many/%03d', $_), 'x', @port) for 1 .. MANY;
my $many = get('channels=many/');
ok t_cmp(scalar(@{ $many->{channels} }) . " $many->{next}", '100 many/100',
         'a hundred, unless told otherwise');
ok t_cmp(scalar @{ get('channels=many/&limit=1000')->{channels} }, MANY,
         'up to a thousand');

# Another host's are its own.
my $theirs = get('channels=', host => 'other.example');
ok t_cmp(names($theirs), 'theirs', 'another host has its channels');
ok t_cmp($theirs->{namespace}, 'other.example', 'in its namespace');
ok t_cmp(get('channel=news', host => 'other.example')->{events}, 0,
         "and does not see the first one's");
ok t_cmp(names(get('channels=theirs')), '', 'nor does that one see these');

for my $query (@bad) {
    my($json, $answer) = get($query);
    ok t_cmp($answer->code . ' ' . ($json->{error} // ''), qr/^400 .../,
             substr $query, 0, 40);
}

# One channel.
my $one = get('channel=online');
ok t_cmp(join(' ', @$one{qw(channel namespace streams events)}),
         'online localhost 1 0', 'one channel, with who is there');
ok t_cmp(scalar @{ $one->{members} }, 1, 'by their streams');
$one = get('channel=news');
ok t_cmp(join(' ', @$one{qw(channel streams users events bytes)}),
         'news 0 0 2 8', 'one channel, with its events');
ok t_cmp("$one->{first} $one->{last}", "$news->{first} $news->{last}", 'its ids');
$one = get('channel=nothing');
ok t_cmp(join(' ', $one->{events}, $one->{last} // 'null'), '0 null',
         'one that is not known');
my $events = open_stream('/c/new', @port, headers => { 'Last-Event-ID' => 'x' });
$events->next_block;
ok t_cmp(eventually { get('channel=new')->{streams} == 1 }, 1, 'streams come');
$events->close;
ok t_cmp(eventually { get('channel=new')->{streams} == 0 }, 1, 'and go');

# The pages.
ok t_cmp(page('channels=ne'), qr{<a\ href="\?channel=news&amp;format=html">news</a></th>
                   <td>2</td><td\ class="more">8</td><td>0</td>}x, 'a list as a page');
my $page = page('channels=');
ok t_cmp($page, qr{<a href="\?channels=&amp;limit=100&amp;after=[^"]*" rel="next">},
         'which leads to the next');
ok t_cmp(page('channels=&after=zzz'), qr/There is none/, 'or says that it is empty');
$page = page('channel=online');
ok t_cmp($page, qr/Streams \(with SSEPresence\)<\/th><td>1</, 'one as a page');
ok t_cmp($page, qr/<caption>Streams on the channel<\/caption>/, 'who is there');
ok t_cmp(page('channel=news'), qr/Events kept<\/th><td>2</, 'or its events');

# Names are others' text.
publish("/c/$evil_query", 'x', @port);
ok t_cmp((grep { $_ eq $evil } map { $_->{channel} }
              @{ get('channels=&limit=1')->{channels} })[0], $evil,
         'a name that is markup');
for my $query ('channels=', "channels=$evil_query", "channel=$evil_query") {
    ok t_cmp(page($query) =~ /<script|alert\("/ ? 'markup' : 'text', 'text',
             'is text on the page');
}
$stream->close;
