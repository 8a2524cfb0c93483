# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What the tests of the configuration share.  Each case is one run of
# "httpd -t".
#   HTTPD       the server's program
#   LIBEXECDIR  where its modules are
#   SSE_MODULE  mod_sse.so

package SSETestConf;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Socket::INET ();
use Test::More;

for my $name (qw(HTTPD LIBEXECDIR SSE_MODULE)) {
    BAIL_OUT("$name is not set") unless $ENV{$name};
    BAIL_OUT("$name: there is no $ENV{$name}") unless -e $ENV{$name};
}

our @EXPORT = qw($dir $time $size write_file read_file load_modules httpd
                 name_of passes refused refused_in_limit make_keys);

our $dir = tempdir('sse-conf-XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub write_file {
    my($file, $text) = @_;

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
}

sub read_file {
    my($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return scalar <$in>;
}

# What some builds have inside has no file.
sub load_modules {
    return join '', map {
        my $file = "$ENV{LIBEXECDIR}/mod_$_.so";
        -e $file ? "LoadModule ${_}_module $file\n" : ();
    } @_;
}

# A port that is free, should a server that ought to stop not do so.
my $port = do {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no port: $!";
    $socket->sockport;
};

write_file("$dir/httpd.conf", load_modules(qw(mpm_event authz_core)) . <<"END");
LoadModule sse_module $ENV{SSE_MODULE}
ServerName localhost
Listen 127.0.0.1:$port
PidFile $dir/httpd.pid
DefaultRuntimeDir $dir
ErrorLog $dir/error_log
IncludeOptional $dir/modules.con[f]
Include $dir/case.conf
END

# Run httpd on this text, which is the whole of case.conf.  Returns its exit
# status and all it said.
sub httpd {
    my($text, @args) = @_;

    write_file("$dir/case.conf", "$text\n");
    unlink "$dir/error_log";
    my $pid = fork;
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        open STDOUT, '>', "$dir/said" or die "$dir/said: $!";
        open STDERR, '>&', \*STDOUT or die "stderr: $!";
        alarm 20;
        exec $ENV{HTTPD}, '-f', "$dir/httpd.conf", '-d', $dir, @args
            or die "$ENV{HTTPD}: $!";
    }
    waitpid $pid, 0;
    return ($?, read_file("$dir/said") . read_file("$dir/error_log"));
}

# A test's name is one line, in ASCII, and not too long.
sub name_of {
    my($text) = @_;

    $text =~ s/\n/\\n/g;
    $text =~ s/[^ -~]/?/g;
    return length $text > 70 ? substr($text, 0, 70) . '...' : $text;
}

sub passes {
    my($text, $name) = @_;

    my($status, $said) = httpd($text, '-t');
    $name ||= 'passes: ' . name_of($text);
    ok $status == 0 && $said =~ /^Syntax OK$/m, $name
        or diag "exit status $status\n$text\n$said";
}

# refused TEXT, WORDS: it is, at that line of TEXT (the first, unless told),
# and these words are in the message.
sub refused {
    my($text, $words, $line) = @_;

    my($status, $said) = httpd($text, '-t');
    my $where = "Syntax error on line " . ($line || 1) . " of $dir/case.conf:";
    my $ok = $status == 256 && index($said, $where) >= 0
        && index($said, $words) >= 0;
    ok $ok, 'refused: ' . name_of($text)
        or diag "exit status $status\nwant: $where\n      $words\ngot:  $said";
}

# In <Limit>, where the server's own directives are of no effect.
sub refused_in_limit {
    my($directive, $words) = @_;

    for my $section ('Limit POST', 'LimitExcept GET') {
        my($end) = split ' ', $section;
        refused("<Location /a>\n<$section>\n$directive\n</$end>\n</Location>",
                $words, 3);
    }
}

our $time = 'a whole number with ms, s, mi (minutes) or h, or alone for seconds';
our $size = 'a whole number of bytes, or with k, m or g';

# A key, hook.key, and a certificate, hook.pem.
sub make_keys {
    write_file("$dir/hook.key", "0123456789abcdef\n");
    my $files = qq(-keyout "$dir/ca.key" -out "$dir/hook.pem");
    my $made = qx{openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=a $files 2>&1};
    BAIL_OUT("openssl makes no certificate: $made") if $?;
}

1;
