# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# sse-status as metrics: both formats, exactly; who gets which; and each metric
# is in the manual.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use List::Util qw(sum0);
use SSETest;
use SSETestHttpd;
use SSETestMetrics;

my $open = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
my $classic = 'text/plain; version=0.0.4; charset=utf-8';

# What Prometheus sends, of several years, and others.
my @accepts = (
    ['application/openmetrics-text;version=1.0.0,'
     . 'application/openmetrics-text;version=0.0.1;q=0.75,'
     . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1', $open],
    ['application/openmetrics-text; version=0.0.1,'
     . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1', $open],
    ['text/plain;version=0.0.4;q=1,*/*;q=0.1', $classic],
    ['application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;'
     . 'encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3', $classic],
    ['application/openmetrics-text', $open],
    ['*/*', 'application/json'],
    ['application/json, text/plain;q=0.5', 'application/json'],
    ['image/png', 'application/json'],
    [undef, 'application/json'],
);

# The fixed names, and those that the module has besides.
my %types = (
    streams => 'gauge', opened => 'counter', closed => 'counter',
    published => 'counter', published_bytes => 'counter',
    delivered => 'counter', delivered_bytes => 'counter',
    dropped => 'counter', gaps => 'counter', refused => 'counter',
    polls => 'counter', auth => 'counter', hook => 'counter',
    hook_waiting => 'gauge', commands => 'gauge', queue_bytes => 'gauge',
    loop_lag_seconds => 'histogram', delivery_seconds => 'histogram',
    close_seconds => 'histogram', store_bytes => 'gauge',
    store_channels => 'gauge', store_size_bytes => 'gauge',
    build => 'info', start_time_seconds => 'gauge', children => 'gauge',
    threads => 'gauge', polled => 'counter', streams_limit => 'gauge',
    publishers_stalled => 'gauge', store_events => 'gauge',
    store_limit_bytes => 'gauge',
);

plan tests => 1 + 6 + @accepts + 4 + 5 + 6 + 8 + 3, need_module('mod_sse');

my $httpd = SSETestHttpd->new;
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my @port = (port => $httpd->port);

sub scrape {
    my($accept, $query, $method) = @_;

    return request($method // 'GET', '/status' . ($query // ''), @port,
                   headers => defined $accept ? { Accept => $accept } : {});
}

sub metrics {
    return (read_metrics(scrape(undef, '?format=metrics')->body))[0];
}

sub open_streams {
    return sum0 map { $_->{value} } @{ $_[0]{modsse_streams}{samples} };
}

# The head.
my $answer = scrape($open);
ok t_cmp($answer->code, 200, 'it answers');
ok t_cmp($answer->header('Content-Type'), $open, 'OpenMetrics');
ok t_cmp($answer->header('Cache-Control'), 'no-store', 'not to be kept');
ok t_cmp($answer->header('Vary'), 'Accept', 'what it depends on');
ok t_cmp($answer->header('X-Content-Type-Options'), 'nosniff', 'nor guessed');
ok t_cmp($answer->header('Content-Length'), length $answer->body, 'in one piece');

for (@accepts) {
    my($accept, $type) = @$_;
    ok t_cmp(scrape($accept)->header('Content-Type'), $type,
             'Accept: ' . ($accept // 'none'));
}
ok t_cmp(scrape('text/html', '?format=metrics')->header('Content-Type'), $open,
         'format= comes first');
ok t_cmp(scrape($accepts[2][0], '?format=metrics')->header('Content-Type'),
         $classic, 'in the form that is accepted');
ok t_cmp(scrape($open, '?format=json')->header('Content-Type'),
         'application/json', 'JSON all the same');
my $head = scrape($open, '', 'HEAD');
ok t_cmp(join(' ', $head->code, $head->header('Content-Type'), $head->body),
         "200 $open ", 'HEAD: the head alone');

for my $format ('xml', 'JSON', '', '%00', '%zz') {
    my $refused = scrape(undef, "?format=$format");
    ok t_cmp(join(' ', $refused->code, $refused->json->{error} // ''),
             qr/^400 .*metrics/, "format=$format is not known");
}

# Some traffic, and then both formats by their rules.
my @streams = map { open_stream("/c/$_", @port) } 1 .. 3;
$_->next_block for @streams;
# Until a stream is counted, what comes is its history: its time is not told.
eventually { open_streams(metrics()) == 3 } or die 'they are not counted';
publish('/c/1', 'four', @port);
publish('/c/x', 'bytes', @port);
ok t_cmp($streams[0]->next_event->{data}, 'four', 'an event arrives');
(pop @streams)->close;
# Of the streams and the event, this is what may be counted last.
ok t_cmp(eventually {
    my $now = metrics();
    metric($now, 'modsse_closed_total{reason="client"}') == 1
        && metric($now, 'modsse_delivered_total') == 1
        && metric($now, 'modsse_delivery_seconds_count') == 1
        && open_streams($now) == 2
}, 1, 'and is counted, as is a client that has left');
my($families, @faults) = read_metrics(scrape($open)->body);
ok t_cmp(join("\n", @faults), '', 'OpenMetrics, to the letter');
my($old, @old_faults) = read_metrics(scrape($classic)->body, 'classic');
ok t_cmp(join("\n", @old_faults), '', 'the older format, likewise');
ok t_cmp(join(' ', map { "$_=" . ($families->{"modsse_$_"}{type} // 'none') }
              sort keys %types),
         join(' ', map { "$_=$types{$_}" } sort keys %types),
         'the metrics that there are');
ok t_cmp(join(' ', grep { !$types{ s/^modsse_//r } } sort keys %$families), '',
         'and no other');

ok t_cmp(open_streams($families), 2, 'open streams, by drive and protocol');
ok t_cmp(metric($families, 'modsse_opened_total'), 3, 'opened ones');
ok t_cmp(metric($families, 'modsse_published_total'), 2, 'published events');
ok t_cmp(metric($families, 'modsse_published_bytes_total'), 9, 'their bytes');
ok t_cmp(metric($families, 'modsse_delivery_seconds_count'), 1,
         'how long a delivery took');
ok t_cmp(metric($families, 'modsse_close_seconds_count') >= 1, 1, 'or an end');
ok t_cmp(metric($families, 'modsse_store_channels'), 2, 'channels');
ok t_cmp(join(' ', sort keys %{ $families->{modsse_refused}{samples}[0]{labels} }),
         'limit', 'no label says which channel');

# The manual.
sub manual {
    open my $fh, '<', "$ENV{SSE_TOP}/docs/operations.md" or die $!;
    local $/;
    return <$fh>;
}
my $manual = manual();
my @missing = grep { my $whole = $_->{samples}[0]{name}; $whole =~ s/_bucket\z//;
                     $manual !~ /`\Q$whole\E(?:\{[^`]*)?`/ }
    map { $families->{$_} } sort keys %$families;
ok t_cmp(join(' ', map { $_->{name} } @missing), '', 'each is in the manual');
my %known = map { $_->{name} => 1, (map { $_->{name} => 1 } @{ $_->{samples} }) }
    values %$families;
ok t_cmp(join(' ', grep { !$known{$_} } $manual =~ /`(modsse_\w+)/g), '',
         'which has no other');
my @values = map { values %{ $_->{labels} } }
    map { @{ $families->{$_}{samples} } } qw(modsse_closed modsse_refused
    modsse_auth modsse_hook modsse_streams);
ok t_cmp(join(' ', grep { $manual !~ /`\Q$_\E`/ } @values), '',
         'the values of labels are, too');
$_->close for @streams;
