#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Whether src/config, conf/sse.conf and docs/directives.md speak of the same
# directives, with the same defaults and contexts.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use Test::More;

chdir dirname(__FILE__) . '/../..' or die "chdir: $!";

sub read_file {
    my($file) = @_;

    open my $in, '<', $file or BAIL_OUT("$file: $!");
    local $/;
    return scalar <$in>;
}

my $header = read_file('src/config/sse_config.h');
my $config = read_file('src/config/sse_config.c');
my $source = join '', map { read_file($_) } glob 'src/config/sse_directives*.c';
my $conf = read_file('conf/sse.conf');
my $docs = read_file('docs/directives.md');

# --- what the code says

# The table: the function that reads each, and where it may stand.
my %reader;
my %where;
while ($source =~ /AP_INIT_\w+\(\s*"(\w+)",\s*(\w+),\s*[^"]*?\b(SSE_\w+),\s*"/g)
{
    $reader{$1} = $2;
    $where{$1} = $3;
}
my $rows = () = $source =~ /\bAP_INIT_/g;
is scalar keys %reader, $rows, "each of the table's $rows rows is understood";

# The body of a function tells which contexts it refuses.
sub context {
    my($name) = @_;

    my($body) = $source =~ /^(?:static )?const char [^;{}]*?\b$reader{$name}\(.*?^\{(.*?)^\}/ms
        or return 'unknown: its function is not found';
    if ($where{$name} eq 'SSE_IN_SERVER') {
        return $body =~ /GLOBAL_ONLY/ ? 'server config'
            : $body =~ /NOT_IN_DIR_CONTEXT/ ? 'server config, virtual host'
            : 'unknown: its function refuses nothing';
    }
    return 'server config, virtual host, directory, location';
}

# SSE_DIR_MEMBERS and the default history.
my %member;
my($list) = $header =~ /#define SSE_DIR_MEMBERS\(X\)(.*?)\n\n/s
    or BAIL_OUT('no SSE_DIR_MEMBERS in src/config/sse_config.h');
while ($list =~ /\bX\([^,]+,\s*(\w+),\s*\w+,\s*(.*?)\)\s*(?:\\\n|\z)/g) {
    $member{$1} = $2;
}
my($history) = $config =~ /sse_default_history = \{(.*?)\}/s
    or BAIL_OUT('no sse_default_history in src/config/sse_config.c');
my @history = map { s/^\s+|\s+$//gr } split /,/, $history;

sub product {
    my($text) = @_;
    my $n = 1;

    $text =~ s/\bAPR_U?INT64_C\((\d+)\)/$1/g;
    $text =~ /^[\d* ]+$/ or return;
    $n *= $_ for split /\s*\*\s*/, $text;
    return $n;
}

# A C value as a directive would say it.
sub as_count {
    my($c) = @_;
    return product($c);
}

sub as_time {
    my($c) = @_;
    my($unit, $n) = $c =~ /^apr_time_from_(sec|msec)\((.*)\)$/;

    return $c eq '0' ? '0' : "not understood: $c" unless $unit;
    $n = product($n);
    return $n . 'ms' if $unit eq 'msec';
    return $n % 3600 == 0 ? $n / 3600 . 'h' : $n . 's';
}

sub as_size {
    my($c) = @_;
    my $n = product($c) // return "not understood: $c";

    for my $unit ('', 'k', 'm') {
        return $n . $unit if $n % 1024 || !$n;
        $n /= 1024;
    }
    return $n . 'g';
}

sub as_word {
    my(%words) = @_;
    return sub { $words{$_[0]} // "not understood: $_[0]" };
}

# Directive: its members and how each is said.
my %said_by = (
    SSEChannel => [channels => as_word(NULL => '"%{REQUEST_URI}"')],
    SSEAuthorize => [ask_subscribe => as_word(NULL => 'none'),
                     ask_publish => sub { $_[0] eq 'NULL' ? () : $_[0] }],
    SSEPublish => [publish => as_word(0 => 'Off', 1 => 'On')],
    SSEReplay => [replay => as_word(SSE_REPLAY_NONE => 'none',
                                    SSE_REPLAY_ALL => 'all')],
    SSEHeartbeat => [heartbeat => \&as_time],
    SSERetry => [retry => \&as_time],
    SSEDeadPeer => [dead_peer => \&as_time],
    SSEHalfClose => [half_close_keep => as_word(0 => 'close', 1 => 'keep')],
    SSEQueue => [queue_bytes => \&as_size,
                 queue_drop => as_word(0 => 'close', 1 => 'drop'),
                 queue_time => \&as_time],
    SSEMaxAge => [max_age => \&as_time],
    SSEPollWait => [poll_wait => \&as_time],
    SSEMaxStreamsPerClient => [max_per_client => \&as_count],
    SSEMaxEventSize => [max_event => \&as_size],
    SSEAllowOrigin => [origins => as_word(NULL => 'none')],
    SSETrustFilter => [filters => as_word(NULL => 'none')],
    SSEPresence => [presence => as_word(SSE_PRESENCE_OFF => 'Off')],
    SSEPresenceGrace => [presence_grace => \&as_time,
                         presence_grace_all => as_word(0 => '')],
    SSEWatch => [watch => as_word(0 => 'Off')],
    SSEHook => [hooks => as_word(NULL => 'none')],
    SSEHookField => [hook_fields => as_word(NULL => 'none')],
    SSEHookSecret => [hook_secret => as_word(NULL => 'none')],
    SSEHookCA => [hook_ca => as_word(NULL => 'none')],
    SSEHookBatch => [hook_batch => \&as_count,
                     hook_batch_time => sub { $_[0] }],
    SSECommand => [command => as_word(NULL => 'none')],
    SSECommandFormat => [command_format => as_word(0 => 'lines')],
    SSECommandShare => [command_share => as_word(0 => 'Off')],
    SSECommandLinger => [command_linger => \&as_time],
    SSEHistory => [history => as_word('&sse_default_history' => join ' ',
        as_count($history[0]), as_time($history[1]), as_size($history[2]))],
);

my %default;
my %said;
for my $name (sort keys %said_by) {
    my @parts;
    my @pairs = @{ $said_by{$name} };
    while (my($member, $say) = splice @pairs, 0, 2) {
        ++$said{$member};
        push @parts, $say->($member{$member} // 'no such member');
    }
    $default{$name} = join ' ', grep { length } @parts;
}
# A server's own settings have their defaults beside the list.
($default{SSECallbackThreads}) =
    $header =~ /#define SSE_CALLBACK_THREADS (\d+)/;
($default{SSEMaxStreams}) = $header =~ /#define SSE_MAX_STREAMS (\d+)/;
($default{SSEMaxThreads}) =
    map { "$_%" } $header =~ /#define SSE_MAX_THREADS_PERCENT (\d+)/;
my($http2) = $header =~ /#define SSE_HTTP2_DEFAULT (\w+)/;
$default{SSEHTTP2} = as_word(SSE_HTTP2_SPLICE => 'splice',
    SSE_HTTP2_THREADS => 'threads', SSE_HTTP2_OFF => 'Off')->($http2);
($default{SSECommandMax}) = $header =~ /#define SSE_COMMAND_MAX (\d+)/;
($default{SSEHookConnections}) =
    $header =~ /#define SSE_HOOK_CONNECTIONS (\d+)/;
my($hook_bytes) = $header =~ /#define SSE_HOOK_QUEUE_BYTES \((.*)\)/;
$default{SSEHookQueue} = join ' ',
    $header =~ /#define SSE_HOOK_QUEUE_COUNT (\d+)/, as_size($hook_bytes);
is_deeply [sort keys %said], [sort keys %member],
    'each member of SSE_DIR_MEMBERS is set by a directive known here';

# --- what the others say

# The default is what stands alone on a line with one # before it.
my %in_conf = $conf =~ /^#(SSE\w+)\s+(.*?)\s*$/mg;
my @lines = $conf =~ /^#(SSE\w+)/mg;
is scalar @lines, scalar keys %in_conf, 'conf/sse.conf has no line twice';

my %in_docs;
while ($docs =~ /^## (SSE\w+)\n(.*?)(?=^## |\z)/msg) {
    my($name, $text) = ($1, $2);
    fail "docs/directives.md has $name twice" if $in_docs{$name};
    $in_docs{$name} = $text;
}

is_deeply [sort keys %in_conf], [sort keys %reader],
    'conf/sse.conf has the directives of the code';
is_deeply [sort keys %in_docs], [sort keys %reader],
    'docs/directives.md has the directives of the code';

# Neither speaks of one that is not there.
for (['conf/sse.conf', $conf], ['docs/directives.md', $docs]) {
    my($file, $text) = @$_;
    my %spoken = map { $_ => 1 } $text =~ /\b(SSE[A-Z]\w*[a-z]\w*)\b/g;
    is_deeply [grep { !$reader{$_} } sort keys %spoken], [],
        "$file speaks of no other";
}

# What the code decides in other ways than by a member.
my %elsewhere = (SSEStore => 1, SSENamespace => 1);

for my $name (sort keys %reader) {
    my $text = $in_docs{$name} // '';
    my($syntax) = $text =~ /^- \*\*Syntax:\*\* `(.*)`$/m;
    my($docs_default) = $text =~ /^- \*\*Default:\*\* (.*)$/m;
    my($docs_context) = $text =~ /^- \*\*Context:\*\* (.*)$/m;

    ok $syntax && $syntax =~ /^$name /, "$name: syntax";
    is $docs_context, context($name), "$name: context";
    like $text, qr/^```apache\n(?:.*\n)*?.*\b$name\b/m, "$name: an example";
    like $text, qr/^Pitfalls:\n- /m, "$name: pitfalls";
    if ($elsewhere{$name}) {
        ok $docs_default, "$name: a default in the manual";
    }
    else {
        ok defined $default{$name}, "$name: the code has a default";
        is $in_conf{$name}, $default{$name}, "$name: default in conf/sse.conf";
        is $docs_default, "`$name $default{$name}`",
            "$name: default in the manual";
    }
    my($row) = $docs =~ /^\| \[$name\]\(#\L$name\E\) \| (.*?) \|/m;
    ok $row, "$name: a row in the manual's table";
    if ($name ne 'SSEChannel' && $docs_default =~ /^`$name (.*)`$/) {
        is $row, "`$1`", "$name: default in the manual's table";
    }
}
is "`SSEStore $in_conf{SSEStore}`",
    ($in_docs{SSEStore} =~ /^- \*\*Default:\*\* (.*)$/m)[0],
    'SSEStore: one default in both';

done_testing;
