#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What "make install" puts where, and that httpd takes it.
#   HTTPD       the server's program
#   LIBEXECDIR  where its modules are
#   MAKE        make

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find ();
use File::Temp qw(tempdir);
use Test::More;

for my $name (qw(HTTPD LIBEXECDIR MAKE)) {
    BAIL_OUT("$name is not set") unless $ENV{$name};
}
my $top = abs_path(dirname(__FILE__) . '/..');
my $dest = tempdir('sse-install-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $apxs = $ENV{APXS} || 'apxs';
my %dir = map { chomp(my $dir = qx{$apxs -q $_}); ($_ => $dir) }
    qw(LIBEXECDIR BINDIR SBINDIR INCLUDEDIR SYSCONFDIR);

# Other words of this make are not that one's.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL DESTDIR CONFDIR)};

sub make_install {
    my(@args) = @_;

    my $said = qx{umask 077; cd "$top" && $ENV{MAKE} -s install @args 2>&1};
    is($?, 0, "make install @args") or diag $said;
    return $said;
}

# Every file below a directory, with its mode.
sub files {
    my($below) = @_;

    my %files;
    File::Find::find({ no_chdir => 1, wanted => sub {
        $files{ substr $_, length $below } = sprintf '%o', (stat)[2] & 0777
            if -f;
    } }, $below);
    return \%files;
}

sub slurp {
    my($file) = @_;

    open my $in, '<', $file or return "$file: $!";
    local $/;
    return scalar <$in>;
}

sub spew {
    my($file, $text) = @_;

    open my $out, '>', $file or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
}

# -- on Debian
my $available = "$dir{SYSCONFDIR}/mods-available";
my %want = ("$dir{LIBEXECDIR}/mod_sse.so" => '644',
            "$dir{SBINDIR}/sse-store" => '755',
            "$dir{BINDIR}/sse-publish" => '755',
            "$dir{INCLUDEDIR}/mod_sse.h" => '644');
make_install("DESTDIR='$dest/a'", "CONFDIR=$available");
is_deeply(files("$dest/a"),
          { %want, "$available/sse.load" => '644', "$available/sse.conf" => '644' },
          'these files, for all to read');
if (-d $available || -e '/etc/debian_version') {
    make_install("DESTDIR='$dest/b'");
    is_deeply(files("$dest/b"), files("$dest/a"), "it is Debian's place");
}

# -- elsewhere
make_install("DESTDIR='$dest/c'", 'SYSCONFDIR=/opt/httpd/conf',
             'CONFDIR=/opt/httpd/conf/extra', 'LIBEXECDIR=/opt/httpd/modules');
is(slurp("$dest/c/opt/httpd/conf/extra/sse.load"),
   "LoadModule sse_module /opt/httpd/modules/mod_sse.so\n",
   'sse.load names the module where it is');
my $said = make_install("CONFDIR='$dest/d/conf/extra'", "LIBEXECDIR='$dest/d/m'",
                        "BINDIR='$dest/d/b'", "SBINDIR='$dest/d/s'",
                        "INCLUDEDIR='$dest/d/i'");
like($said, qr{Include "\Q$dest\E/d/conf/extra/sse.load"}, 'how to load it');

# -- httpd takes it as it is
my $load = join '', map {
    my $file = "$ENV{LIBEXECDIR}/mod_$_.so";
    -e $file ? "LoadModule ${_}_module $file\n" : ();
} qw(mpm_event authz_core authz_host);
for my $define ('', "Define SSE_EXAMPLE\n") {
    spew("$dest/httpd.conf", <<"EOI");
${load}${define}ServerName localhost
Listen 127.0.0.1:9
PidFile $dest/pid
ErrorLog $dest/error_log
DefaultRuntimeDir $dest
Include "$dest/d/conf/extra/sse.load"
Include "$dest/d/conf/extra/sse.conf"
EOI
    $said = qx{$ENV{HTTPD} -t -d "$dest" -f "$dest/httpd.conf" 2>&1};
    like($said, qr/^Syntax OK$/m, 'httpd takes it');
}

# -- what was changed is kept
my $conf = "$dest/a$available/sse.conf";
spew($conf, "# mine\n");
$said = make_install("DESTDIR='$dest/a'", "CONFDIR=$available");
is(slurp($conf), "# mine\n", 'a configuration that was changed is kept');
is(slurp("$conf.new"), slurp("$top/conf/sse.conf"), 'the new one is beside it');
like($said, qr/is kept: see sse\.conf\.new/, 'it says so');

done_testing();
