# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Another process has the store locked, and does not let go: streams are opened
# and closed all the same, pages are served, and crashes are told of meanwhile.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestClose qw(slowly);
use SSETestHold;
use SSETestHttpd;
use SSETestServer qw(stream_pid);
use Time::HiRes qw(sleep time);

my $streams = 24;

plan tests => 9, need need_module('mod_sse', 'mod_sse_crash'),
    { 'liblmdb cannot be compiled against' => SSETestHold->can_hold };

my $log = Apache::Test::vars('t_logs') . '/crashes';
unlink $log;
# With worker all of the streams may be one child's.
my $httpd = SSETestHttpd->new(c_modules => ['sse_crash'], conf => <<'EOI');
SSEMaxThreads 100%
<Location "/crash/">
    SetHandler sse
</Location>
EOI
$httpd->start or die 'it does not start';
my @port = (port => $httpd->port);

sub lines {
    my $re = shift;
    open my $fh, '<', $log or return;
    return grep { $_ =~ $re } <$fh>;
}

sub opened { return open_stream("/crash/$_[0]", @port, timeout => slowly(15)) }

# One that is known, in a child that will die.
my $victim = opened('victim');
ok t_cmp($victim->status, 200, 'a stream, before');
ok t_cmp(scalar(eventually { () = lines(qr/^open /) }), 1, 'is told of');
my($id) = map { /^open (\S+)/ } lines(qr/^open /);

my $hold = SSETestHold->new($httpd->{store});
my $began = time;
my @streams = map { opened($_) } 1 .. $streams;
ok t_cmp((grep { $_->status == 200 } @streams), $streams, 'streams are opened');
ok t_cmp(time - $began < slowly(8), 1, 'in time');
my(@codes, @took);
for (1 .. 3) {
    my $start = time;
    push @codes, request('GET', '/status', @port)->code;
    push @took, time - $start;
}
ok t_cmp("@codes", '200 200 200', 'pages are served');
# The machine may be busy elsewhere for some of them.
ok t_cmp((grep { $_ < slowly(1) } @took) > 0, 1, "at once, after @took s");
$_->close for @streams;
ok t_cmp(scalar(eventually {
    request('GET', '/status', @port)->json->{streams} <= 1;
} slowly(10)), 1, 'and streams are closed');

kill KILL => stream_pid($id);
ok t_cmp(scalar(eventually { () = lines(qr/^crash \Q$id\E /) } slowly(15)), 1,
         'a crash is told of while the other process has the lock');
undef $hold;
sleep 0.5;
ok t_cmp((() = lines(qr/^crash /)), 1, 'and nothing else');
