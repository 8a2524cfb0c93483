# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Hosts that have a hub in common and not its channels: the start tells.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use SSETest;
use SSETestHttpd;

my $port = Apache::Test::vars('port') + 45;
my $said = qr/sse:notice\].*the hub in .* belongs to several hosts/;

# As Debian has it: the default host has no name, the site has one.
my $site = "<VirtualHost *:$port>\nServerAdmin nobody\@localhost\n"
    . "</VirtualHost>\n<VirtualHost *:$port>\nServerName www.example.com\n"
    . "</VirtualHost>\n";
my $own = "<Location \"/own/\">\nSetHandler sse\nSSEPublish On\n</Location>\n";

plan tests => 20, need_module('mod_sse');

# @return the notices
sub start {
    my($name, $conf) = @_;

    my $httpd = SSETestHttpd->new(conf => $conf);
    ok t_cmp($httpd->start, 1, "$name: it starts");
    return ($httpd, $httpd->lines($said));
}

my($httpd, @lines) = start('one host', '');
ok t_cmp(scalar @lines, 0, 'nothing to tell');
undef $httpd;

($httpd, @lines) = start('a site beside the default host', $site);
ok t_cmp(scalar @lines, 2, 'each hub is told of once');
my $file = quotemeta Apache::Test::vars('t_logs') . '/own.conf';
ok t_cmp($lines[0], qr{hub in <LocationMatch "\^/c/.*> belongs}, 'which hub');
ok t_cmp($lines[0], qr/channels: ServerName localhost \($file:\d+\), ServerName www\.example\.com \($file:\d+\)\. /,
         'which hosts, and where they are; not the main server');
ok t_cmp($lines[0], qr/Set the same SSENamespace/, 'what to set');
my @answer = map {
    publish('/c/hosts', 'x', port => $port, host => $_)->json->{namespace}
} 'localhost', 'www.example.com';
ok t_cmp("@answer", 'localhost www.example.com', 'so it is');
ok t_cmp($httpd->restart('USR1'), 1, 'a graceful restart');
ok t_cmp(scalar(eventually { 4 == $httpd->lines($said) }), 1,
         'it is told again');
undef $httpd;

($httpd, @lines) = start('one namespace', "SSENamespace site\n$site");
ok t_cmp(scalar @lines, 0, 'nothing to tell');
undef $httpd;

(my $each = $site) =~ s/^(Server(?:Name|Admin).*)/$1\nSSENamespace n@{[++$a]}/mg;
($httpd, @lines) = start('each its own on purpose', $each);
ok t_cmp(scalar @lines, 0, 'nothing to tell');
undef $httpd;

(my $one = $site) =~ s/www\.example\.com/$&\nSSENamespace site/;
($httpd, @lines) = start('only the site has one', $one);
ok t_cmp($lines[0], qr/ServerName localhost \(.*SSENamespace site \(/,
         'the default host is not in it');
undef $httpd;

# A location of one host is no other's; the same one in two hosts is both's.
(my $two = $site) =~ s/www\.example\.com/$&\n$own/;
$two =~ s/^(?=<Virt)/<VirtualHost *:$port>\nServerName a.example\n$own<\/VirtualHost>\n/;
($httpd, @lines) = start('locations of hosts', $two);
my @own = grep { m{hub in <Location "/own/">} } @lines;
ok t_cmp($own[0], qr/channels: ServerName a\.example \([^)]*\), ServerName www\.example\.com \([^)]*\)\. /,
         'those that have it');
undef $httpd;

# Where another address is listened to, the main server answers there.
my $other = $port + 1;
($httpd, @lines) = start('the main server is asked, too',
    "Listen 127.0.0.1:$other\nServerName main.example\n"
    . ($site =~ s/\*:/127.0.0.1:/gr));
ok t_cmp($lines[0], qr/channels: ServerName main\.example \(the main server\), /,
         'it is named');
undef $httpd;
