#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What of a configuration is accepted and what is refused, where, and with
# which words.  See t/lib/SSETestConf.pm; webhooks have hooks.pl.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Spec ();
use Test::More;

use lib dirname(__FILE__) . '/../lib';
use SSETestConf;

my $top = File::Spec->rel2abs(dirname(__FILE__) . '/../..');
make_keys();

# Times: directive, what is allowed, a word of its usage, good ones, and ones
# out of range.
for (
    ['SSEHeartbeat', '0 (off) or 100ms to 24h', 'a time such as 15s',
     [qw(0 100ms 15 15s 2mi 2min 24h 1440mi)], [qw(99ms 86401 25h)]],
    ['SSERetry', '0 (none sent) or 1ms to 24h', 'a time such as 2s',
     [qw(0 1ms 2 500ms 24h)], [qw(86400001ms 25h)]],
    ['SSEDeadPeer', '0 (left to the kernel) or 1s to 24h', 'a time such as 30s',
     [qw(0 0s 1 1000ms 30s 24h)], [qw(1ms 999ms 25h)]],
    ['SSEMaxAge', '0 (no limit) or 100ms to 8760h', 'a time such as 1h',
     [qw(0 100ms 1h 8760h)], [qw(1ms 8761h)]],
    ['SSEPollWait', '0 (polls do not wait) or 100ms to 1h', 'a time such as 25s',
     [qw(0 100ms 25 60mi 1h)], [qw(99ms 3601)]],
) {
    my($name, $allowed, $usage, $good, $bad) = @$_;

    passes("$name $_") for @$good;
    for my $value (@$bad, qw(-1 +1 1m 1d 15sec 15S 1hour 1.5s 0x10 s twelve),
                   '1 s', ' 1', '1s ', '9223372036854775807',
                   '9223372036854775808s', '99999999999999999999',
                   '2562047788015216h') {
        refused(qq($name "$value"),
                "$name: '$value' is not allowed; allowed is $allowed: $time");
    }
    refused("$name", "$name takes one argument, $usage");
    refused(qq($name ""), "$name takes one argument, $usage");
    refused("$name 1s 2s", "$name takes one argument, $usage");
    refused_in_limit("$name 1s", "$name cannot stand in <Limit> or <LimitExc");
}

# SSEMaxEventSize
passes("SSEMaxEventSize $_") for qw(1 64k 64K 1m 64m 67108864);
for my $value (qw(0 -1 +1 64kb 1t 65m 67108865 1g k 1.5k ten 9007199254740992k
                  9223372036854775808), '64 k', ' 1') {
    refused(qq(SSEMaxEventSize "$value"), "SSEMaxEventSize: '$value' is not "
            . "allowed; allowed is 1 to 64m: $size");
}
refused('SSEMaxEventSize', 'SSEMaxEventSize takes one argument, a size such');
refused('SSEMaxEventSize 1 2', 'SSEMaxEventSize takes one argument');
refused_in_limit('SSEMaxEventSize 1k',
                 'SSEMaxEventSize cannot stand in <Limit> or <LimitExcept>');

# SSEQueue
passes("SSEQueue $_")
    for '1k', '256k close', '1024 drop', '1g DROP', '1048576 Close',
        '1k close 0', '64k drop 100ms', '64k close 24h', '1m drop 5';
for my $value (qw(0 1023 2g -256k 256kb 256q close 1.5k
                  18446744073709551616)) {
    refused("SSEQueue $value", "SSEQueue: '$value' is not allowed; allowed is "
            . "1k to 1g: $size");
}
refused("SSEQueue 256k $_",
        "SSEQueue: '$_' is not allowed; allowed is close or drop after")
    for qw(keep drops 1k);
refused('SSEQueue 256k ""', "SSEQueue: an argument is empty ('')");
refused('SSEQueue ""', "SSEQueue: an argument is empty ('')");
refused("SSEQueue 256k close $_", "SSEQueue: '$_' is not allowed; allowed is "
        . '0 (no limit) or 100ms to 24h: a whole number with ms, s, mi')
    for qw(99ms 25h -1 10sec never 1.5s);
refused('SSEQueue', 'SSEQueue takes one to three arguments, bytes [close|drop]');
refused('SSEQueue 1k drop 1 2', 'SSEQueue takes one to three arguments, bytes');
refused_in_limit('SSEQueue 1k', 'SSEQueue cannot stand in');

# SSEHistory
passes("SSEHistory $_") for '0', '1000', '1000 1h', '1000 1h 16m', '5 0 0',
    '1000000000 8760h 1024g', '10 500ms 1';
refused("SSEHistory $_", "SSEHistory: '$_' is not allowed; allowed is "
        . '0 to 1000000000 events as the count')
    for qw(-1 +1 1k 1000000001 1h ten 4294967296 99999999999999999999);
refused("SSEHistory 10 $_", "SSEHistory: '$_' is not allowed; allowed is "
        . "0 (any age) to 8760h as the age: $time")
    for qw(-1s 16m 8761h 1d none 99999999999999999999);
refused("SSEHistory 10 1h $_", "SSEHistory: '$_' is not allowed; allowed is "
        . "0 (any size) to 1024g as the bytes: $size")
    for qw(-1 1025g 1t 1h 99999999999999999999 17179869184g);
refused('SSEHistory 10 ""', "SSEHistory: '' is not allowed; allowed is 0 (any");
refused('SSEHistory 10 1h ""', "SSEHistory: '' is not allowed; allowed is 0");
refused('SSEHistory', 'SSEHistory takes one, two or three arguments, what');
refused('SSEHistory 1 1h 1m 1', 'SSEHistory takes one, two or three arguments');
refused_in_limit('SSEHistory 1', 'SSEHistory cannot stand');

# SSEReplay
passes("SSEReplay $_") for qw(none all All 0 1 1000000000);
refused("SSEReplay $_", "SSEReplay: '$_' is not allowed; allowed is none, all, "
        . 'or 0 to 1000000000 events')
    for qw(-1 -2 some 1k 1000000001 +1 10s);
refused('SSEReplay', 'SSEReplay takes one argument, none, all or a count');
refused('SSEReplay all 10', 'SSEReplay takes one argument');
refused_in_limit('SSEReplay all', 'SSEReplay cannot stand in');

# SSEPresence, SSEPresenceGrace
passes("SSEPresence $_") for qw(Off Count On on);
refused("SSEPresence $_",
        "SSEPresence: '$_' is not allowed; allowed is Off, Count or On")
    for qw(1 yes Who);
passes("SSEPresenceGrace $_") for '0', '100ms', '5', '1h', '30s all', '1mi ALL';
refused("SSEPresenceGrace $_", "SSEPresenceGrace: '$_' is not allowed; allowed "
        . 'is 0 (none) or 100ms to 1h: ') for qw(-1 99ms 61mi 5x all);
refused('SSEPresenceGrace 5s client', "SSEPresenceGrace: 'client' is not "
        . "allowed; allowed is a time, and after it 'all' or nothing");
refused('SSEPresenceGrace', 'SSEPresenceGrace takes 1-2 arguments');
refused_in_limit('SSEPresence On', 'SSEPresence cannot stand in <Limit> or');
refused_in_limit('SSEPresenceGrace 1s',
                 'SSEPresenceGrace cannot stand in <Limit> or');

# SSEWatch, SSECallbackThreads
passes("SSEWatch $_") for qw(On Off Abort on abort);
refused("SSEWatch $_",
        "SSEWatch: '$_' is not allowed; allowed is On, Off or Abort")
    for qw(yes 1 kill);
refused('SSEWatch', 'SSEWatch takes one argument, On, Off or Abort');
refused_in_limit('SSEWatch On', 'SSEWatch cannot stand in <Limit> or');
passes("SSECallbackThreads $_") for qw(1 4 256);
refused("SSECallbackThreads $_", "SSECallbackThreads: '$_' is not allowed; "
        . 'allowed is 1 to 256 threads')
    for qw(0 257 -1 4k four 99999999999999999999);
refused('SSECallbackThreads', 'SSECallbackThreads takes one argument, a count');
refused("<VirtualHost *:80>\nSSECallbackThreads 2\n</VirtualHost>",
        'SSECallbackThreads cannot occur within <VirtualHost> section', 2);

# SSEMaxStreams, SSEMaxStreamsPerClient
for my $name (qw(SSEMaxStreams SSEMaxStreamsPerClient)) {
    passes("$name $_") for qw(0 1 20000 1000000000);
    passes("<VirtualHost *:80>\n$name 5\n</VirtualHost>");
    refused(qq($name "$_"), "$name: '$_' is not allowed; allowed is 0 (no "
            . 'limit) to 1000000000 open streams')
        for qw(-1 +1 1k 1.5 ten 1000000001 4294967297 99999999999999999999
               off), ' 1';
    refused($name, "$name takes one argument, a count: the streams that");
    refused("$name 1 2", "$name takes one argument, a count");
}
passes("<Location /a>\nSSEMaxStreamsPerClient 5\n</Location>");
refused_in_limit('SSEMaxStreamsPerClient 5',
                 'SSEMaxStreamsPerClient cannot stand in <Limit> or');
for my $value (qw(1 100 1000000000 1% 75% 100%)) {
    passes("SSEMaxThreads $value");
}
for my $value (qw(0 0% 101% -1 1.5 7_5 % 75%% 75%x 1000000001 many)) {
    refused("SSEMaxThreads $value",
            "SSEMaxThreads: '$value' is not allowed; allowed is 1 to "
            . '1000000000 threads, or 1% to 100%');
}
passes("<VirtualHost *:1>\nSSEMaxThreads 10\n</VirtualHost>");
refused("<Location /a>\nSSEMaxThreads 5\n</Location>", 'SSEMaxThreads', 2);
refused("\n<$_>\nSSEMaxStreams 5\n</" . (split)[0] . '>',
        "SSEMaxStreams not allowed in <" . (split)[0] . "> context", 3)
    for 'Location /', 'Directory /', 'Files x';

# SSEHTTP2
passes("SSEHTTP2 $_") for qw(splice threads Off Splice THREADS off);
refused("SSEHTTP2 $_",
        "SSEHTTP2: '$_' is not allowed; allowed is splice, threads or Off")
    for qw(On 1 none splices);
refused('SSEHTTP2', 'SSEHTTP2 takes one argument, splice, threads or Off');
refused('SSEHTTP2 ""', 'SSEHTTP2 takes one argument, splice, threads or Off');
refused('SSEHTTP2 splice Off', 'SSEHTTP2 takes one argument');
passes("<VirtualHost *:1>\nSSEHTTP2 Off\n</VirtualHost>");
refused("<Location /a>\nSSEHTTP2 Off\n</Location>", 'SSEHTTP2', 2);

# SSEPublish, SSEHalfClose
passes("SSEPublish $_") for qw(On Off on OFF);
refused("SSEPublish $_",
        "SSEPublish: '$_' is not allowed; allowed is On or Off")
    for qw(yes 1 Only);
refused('SSEPublish', 'SSEPublish takes one argument, On or Off');
refused('SSEPublish On Off', 'SSEPublish takes one argument, On or Off');
refused_in_limit('SSEPublish On', 'SSEPublish cannot stand in <Limit> or');
passes("SSEHalfClose $_") for qw(close keep Keep);
refused("SSEHalfClose $_",
        "SSEHalfClose: '$_' is not allowed; allowed is close or keep")
    for qw(open On kept);
refused('SSEHalfClose', 'SSEHalfClose takes one argument, close or keep');
refused('SSEHalfClose close keep', 'SSEHalfClose takes one argument');
refused_in_limit('SSEHalfClose keep', 'SSEHalfClose cannot stand in <Limit>');

# SSEChannel
passes("SSEChannel $_") for 'news', 'news sport', '"user-%{REMOTE_USER}"',
    '"%{tolower:%{HTTP_HOST}}"', '"100%"', "x" x 400, "caf\xc3\xa9",
    join(' ', map { "c$_" } 1 .. 100);
refused('SSEChannel', 'SSEChannel takes at least one argument, the channels\'');
refused('SSEChannel ""', "SSEChannel: an argument is empty ('')");
refused('SSEChannel a "" b', "SSEChannel: an argument is empty ('')");
refused('SSEChannel a ""', "SSEChannel: an argument is empty ('')");
refused('SSEChannel news "u-%{REMOTE_USER"',
        "SSEChannel: 'u-%{REMOTE_USER' is no expression: syntax error");
refused('SSEChannel "%{NO_SUCH}"', "SSEChannel: '%{NO_SUCH}' is no expression: "
        . "Variable 'NO_SUCH' does not exist; allowed is text with");
refused('SSEChannel "%{nosuch:x}"', "SSEChannel: '%{nosuch:x}' is no "
        . "expression: Function 'nosuch' does not exist");
my $channel_allowed = ' is not allowed; allowed is a name of 1 to 400 bytes of '
    . 'UTF-8 without control characters';
refused("SSEChannel $_", "SSEChannel: '$_'$channel_allowed") for 'x' x 401;
# An error log writes such bytes in its own way.
refused("SSEChannel $_", $channel_allowed)
    for "a\x01b", "bad\xff", "a\x7f", "c1\xc2\x85";
refused_in_limit('SSEChannel a', 'SSEChannel cannot stand in');

# SSEAuthorize
passes("SSEAuthorize $_") for '/auth.php', '"/auth?u=%{REMOTE_USER}" all',
    '/a subscribe', '/a PUBLISH', 'none', 'Off', 'off publish', '%{env:WHO}',
    "/a\nSSEAuthorize /b publish";
refused("SSEAuthorize $_", 'is not allowed; allowed is a path of this host that '
        . 'begins with one slash, an expression that gives one, or none alone')
    for qw(auth.php //host/path http://a/auth On %REMOTE_USER);
refused("SSEAuthorize /a $_", "SSEAuthorize: '$_' is not allowed; allowed is "
        . 'subscribe, publish or all')
    for qw(both none On);
refused('SSEAuthorize "/a%{NO_SUCH}"', "SSEAuthorize: '/a%{NO_SUCH}' is no "
        . 'expression: ');
refused('SSEAuthorize', 'SSEAuthorize takes one or two arguments');
refused('SSEAuthorize ""', "SSEAuthorize: an argument is empty ('')");
refused('SSEAuthorize /a all /b', 'SSEAuthorize takes');
refused_in_limit('SSEAuthorize /a', 'SSEAuthorize cannot stand in');

# SSEAllowOrigin
passes("SSEAllowOrigin $_") for '*', 'none', 'None', 'https://a.example',
    'HTTPS://A.Example:8443', 'http://localhost:3000 https://b',
    'http://127.0.0.1', 'https://[::1]:65535', 'http://[2001:DB8::1]',
    'capacitor://localhost', 'chrome-extension://abcdef', '* *',
    '* https://a', "https://a\nSSEAllowOrigin *",
    "https://a\nSSEAllowOrigin https://b", "none\nSSEAllowOrigin https://b";
my $origin_allowed = "allowed is scheme://host[:port] or '*', once or more, or "
    . 'none alone';
for (
    ['null', 'every sandboxed frame and every local file sends it'],
    ['NULL', 'every sandboxed frame and every local file sends it'],
    ['a.example', "it does not begin with a scheme such as 'https://'"],
    ['//a.example', 'it does not begin with a scheme'],
    ['1http://a', 'it does not begin with a scheme'],
    ['https:a.example', 'it does not begin with a scheme'],
    ['https://', "it has no host after '://'"],
    ['https://:8443', "it has no host after '://'"],
    ['https://a.example/', 'no path, not even \'/\''],
    ['https://a.example:8443/', 'no path, not even \'/\''],
    ['https://a.example/app', 'no path'],
    ['https://a.example?x', 'no path'],
    ['https://*.example', "part of a host cannot be left open by '*'"],
    ['https://a.*', "part of a host cannot be left open by '*'"],
    ['https://me@a.example', 'an origin has no user'],
    ['https://a.example:', 'a port is 1 to 65535'],
    ['https://a.example:0', 'a port is 1 to 65535'],
    ['https://a.example:08443', 'a port is 1 to 65535'],
    ['https://a.example:65536', 'a port is 1 to 65535'],
    ['https://a.example:99999999999999999999', 'a port is 1 to 65535'],
    ['https://a.example:-1', 'a port is 1 to 65535'],
    ['https://a.example:http', 'a port is 1 to 65535'],
    ['https://a.example:8443x', 'digits, \'-\', \'_\' and \'.\' only'],
    ['https://a,https://b', 'digits, \'-\', \'_\' and \'.\' only'],
    ['https://[::1', 'between [ and ] must be an IPv6 address'],
    ['https://[1.2.3.4]', 'between [ and ] must be an IPv6 address'],
    ['https://[]', 'between [ and ] must be an IPv6 address'],
) {
    my($value, $why) = @$_;

    refused("SSEAllowOrigin $value",
            "SSEAllowOrigin: '$value' is not allowed: ");
    refused("SSEAllowOrigin https://ok $value", $why);
    refused("SSEAllowOrigin $value", $origin_allowed);
}
refused("SSEAllowOrigin https://b\xc3\xbccher.example", 'in ASCII (xn--...)');
refused('SSEAllowOrigin', 'SSEAllowOrigin takes at least one argument, scheme');
refused('SSEAllowOrigin ""', "SSEAllowOrigin: an argument is empty ('')");
refused('SSEAllowOrigin none https://a',
        "SSEAllowOrigin: 'none' is not allowed: ");
refused_in_limit('SSEAllowOrigin *', 'SSEAllowOrigin cannot stand in');

# SSETrustFilter
passes("SSETrustFilter $_") for 'a', 'none', 'MODSECURITY_OUT b',
    '"a b"', "a\nSSETrustFilter b", "none\nSSETrustFilter b";
refused($_, 'SSETrustFilter requires at least one argument, names of')
    for 'SSETrustFilter', 'SSETrustFilter ""';
refused_in_limit('SSETrustFilter a', 'SSETrustFilter cannot stand in');

# SSENamespace
passes("SSENamespace $_") for 'shop', 'www.Example.com', 'x' x 109, 'a:b/c';
my $ns_allowed = ' is not allowed; allowed is a name of 1 to 109 ASCII '
    . 'characters without blanks';
refused("SSENamespace $_", "SSENamespace: '$_'$ns_allowed") for 'x' x 110;
refused('SSENamespace "a b"', "SSENamespace: 'a b'$ns_allowed");
refused("SSENamespace $_", $ns_allowed) for "a\x01", "caf\xc3\xa9", "a\x7f";
refused('SSENamespace', 'SSENamespace takes one argument, a name');
refused('SSENamespace ""', 'SSENamespace takes one argument, a name');
refused('SSENamespace a b', 'SSENamespace takes one argument, a name');
refused("\n<$_>\nSSENamespace a\n</" . (split)[0] . '>',
        "SSENamespace not allowed in <" . (split)[0] . "> context", 3)
    for 'Location /', 'Directory /', 'Files x';
refused_in_limit('SSENamespace a', 'SSENamespace not allowed in <Limit');

# SSEStore
passes("SSEStore $_") for 'lmdb', 'lmdb dir=sse size=1g sync=off',
    'lmdb namespace=1%', 'lmdb size=64m namespace=100%',
    qq(lmdb "dir=$dir/with a blank" sync=on), 'lmdb size=1m',
    'lmdb dir=../elsewhere';
refused("SSEStore $_", "SSEStore: '$_' is not allowed; allowed is the store's "
        . 'name: lmdb [key=value ...]')
    for qw(redis memory dir=sse), 'LM';
refused("SSEStore lmdb $_", "SSEStore: lmdb: $_")
    for qw(size=1 size=0 size=-1m size=1x size= size=1mb sync=yes sync= colour
           shards=4 namespace= namespace=0% namespace=101% namespace=25
           namespace=2.5% namespace=% namespace=a);
refused('SSEStore lmdb size=12parsecs', 'size=12parsecs is not a size; allowed '
        . 'are bytes, with k, m or g if you like, from 1m to');
refused('SSEStore lmdb dir="sse"', 'put the marks around the whole setting');
passes('SSEStore lmdb "dir=my events"');
# What a start would find.
write_file("$dir/plain", 'a file');
for (["SSEStore lmdb dir=$dir/plain", 'Not a directory'],
     ["SSEStore lmdb dir=$dir/plain/sse", 'Not a directory'],
     ["SSEStore lmdb dir=$dir/none/none/sse", undef],
     ["SSEStore lmdb dir=/none/none/sse", 'cannot be made']) {
    my($text, $words) = @$_;
    if (!$words) {
        passes($text);
        next;
    }
    my($status, $said) = httpd($text, '-t');
    ok $status == 256 && $said =~ /SSEStore: the store's directory .*\Q$words/,
        'refused: ' . name_of($text) or diag "exit status $status\n$said";
}
refused('SSEStore lmdb sync=maybe', 'allowed are sync=on and sync=off');
refused('SSEStore lmdb colour=red',
        'allowed are dir=, size=, sync= and namespace=');
refused('SSEStore lmdb namespace=25', 'namespace=25 is not a part of the '
        . 'store; allowed are namespace=1% to namespace=100%');
refused('SSEStore lmdb ""', "SSEStore: an argument is empty ('')");
refused('SSEStore', 'SSEStore takes at least one argument, where events live');
refused('SSEStore ""', "SSEStore: an argument is empty ('')");
refused("<VirtualHost *:80>\nSSEStore lmdb\n</VirtualHost>",
        'SSEStore cannot occur within <VirtualHost> section', 2);
refused("\n<$_>\nSSEStore lmdb\n</" . (split)[0] . '>',
        "SSEStore not allowed in <" . (split)[0] . "> context", 3)
    for 'Location /', 'Directory /', 'Files x';
refused_in_limit('SSEStore lmdb', 'SSEStore not allowed in <Limit');

# Everywhere that each of the others may stand.
my $all = join '', map { "    $_\n" } 'SSEChannel "%{REQUEST_URI}"',
    'SSEPublish On', 'SSEHistory 10 1h 1m', 'SSEReplay all', 'SSEHeartbeat 5s',
    'SSERetry 1s', 'SSEDeadPeer 10s', 'SSEHalfClose keep', 'SSEQueue 1m drop',
    'SSEMaxAge 1h', 'SSEPollWait 1h', 'SSEMaxEventSize 1m', 'SSEAllowOrigin https://a.example',
    'SSEAuthorize /auth.php all', 'SSETrustFilter my-filter', 'SSEWatch On', "SSEHook http://a/b",
    'SSEHookField a b', 'SSEHookSecret hook.key', 'SSEHookCA none',
    'SSEHookBatch 10 1s';
passes($all, 'in the main server: all but none');
for my $section ('VirtualHost *:80', 'Directory /', 'DirectoryMatch ^/a',
                 'Location /a/', 'LocationMatch ^/a', 'Files a', 'If "true"',
                 'Proxy *') {
    next if $section =~ /^Proxy/ && !-e "$ENV{LIBEXECDIR}/mod_proxy.so";
    my $load = $section =~ /^Proxy/ ? load_modules('proxy') : '';
    passes("$load<$section>\n$all</" . (split ' ', $section)[0] . '>',
           "in <$section>: all but SSEStore and SSENamespace");
}
passes("<VirtualHost *:80>\nSSENamespace a\n</VirtualHost>");
passes("<Location /events/>\nSetHandler sse\nSSEPublish On\n"
       . "<Limit POST DELETE>\nRequire all denied\n</Limit>\n</Location>",
       'a hub that nobody may publish to');

# Only the whole configuration shows these: the server does not start.
sub does_not_start {
    my($text, $words, $name) = @_;

    my($status, $said) = httpd($text, '-DFOREGROUND');
    ok $status != 0 && !($status & 127) && index($said, $words) >= 0, $name
        or diag "exit status $status\nwant: $words\ngot:  $said";
}

my $long = join '.', ('x' x 27) x 4;    # 111 bytes
does_not_start("ServerName $long", "ServerName '$long' (the main server",
               'a ServerName too long for a namespace stops the start');
does_not_start(
    "<VirtualHost *:80>\nServerName $long\n</VirtualHost>",
    "ServerName '$long' ($dir/case.conf:1) cannot be the namespace of this "
        . "host's channels: it has 111 bytes, allowed are 1 to 109; set "
        . 'SSENamespace for this host',
    'so does that of a virtual host, which is named');
does_not_start('ServerName :80', "it has 0 bytes, allowed are 1 to 109",
               'so does an empty one');
passes("<VirtualHost *:80>\nServerName $long\nSSENamespace short\n"
       . '</VirtualHost>', 'SSENamespace makes up for it');

# The reference configuration and the manual's examples.
write_file("$dir/modules.conf", load_modules(
    qw(log_config authz_host authn_core authn_file auth_basic authz_user proxy
       proxy_http)));
my $reference = read_file("$top/conf/sse.conf");
like $reference, qr/^#SSEHeartbeat/m, 'conf/sse.conf is there';
passes("Include $top/conf/sse.conf", 'conf/sse.conf passes');
passes("Define SSE_EXAMPLE\nInclude $top/conf/sse.conf",
       'with its example hub, too');
(my $uncommented = $reference) =~ s/^#(?=SSE)//mg;
passes("Define SSE_EXAMPLE\n$uncommented", 'and with no directive commented');

my %least = ('docs/directives.md' => 14, 'README.md' => 4,
             'docs/operations.md' => 1);
for my $file (sort keys %least) {
    my @examples = read_file("$top/$file") =~ /^```apache\n(.*?)^```$/msg;
    cmp_ok scalar @examples, '>=', $least{$file}, "$file has examples";
    for my $example (@examples) {
        $example =~ s{/etc/apache2/\S+\.(key|pem)}{$dir/hook.$1}g;
        my($first) = $example =~ /^\s*([^#\s].*)$/m;
        passes($example, "$file: $first ...");
    }
}

done_testing;
