#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# What docs/guide.md and docs/php-site.md quote is what docs/examples has, and
# each file there is quoted or linked.  PHP, Python and JavaScript are parsed.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Find ();
use Test::More;

chdir dirname(__FILE__) . '/../../docs' or die "chdir: $!";

sub read_file {
    my $file = shift;

    open my $in, '<', $file or return undef;
    local $/;
    return scalar <$in>;
}

# Licences are not quoted.
sub without_licence {
    my $text = shift // return undef;

    $text =~ s/^.*SPDX-License-Identifier.*\n//mg;
    return $text;
}

my %mentioned;
my $quotes = 0;
for my $page (qw(guide.md php-site.md)) {
    my $text = read_file($page);
    while ($text =~ /^\[([^\]\n]+)\]\(examples\/([^)]+)\):\n\n```\w+\n(.*?)^```\n/msg) {
        my($name, $file, $quote) = ($1, $2, $3);
        is $name, $file, "$page: the link's text is the file's name";
        is $quote, without_licence(read_file("examples/$file")),
            "$page quotes examples/$file";
        ++$quotes;
    }
    $mentioned{$_} = 1 for $text =~ /\]\(examples\/([^)#]+)\)/g;
}
cmp_ok $quotes, '>', 20, 'files are quoted';

my @files;
File::Find::find({ no_chdir => 1, wanted => sub {
    push @files, s{^examples/}{}r if -f;
} }, 'examples');
is_deeply [grep { !$mentioned{$_} } sort @files], [],
    'each file is quoted or linked';

my %check = (
    php => [qw(php -n -l)],
    py  => ['/usr/bin/python3', '-c',
            'import ast, sys; ast.parse(open(sys.argv[1]).read())'],
    js  => [qw(node --check)],
    mjs => [qw(node --check)],
    sh  => [qw(sh -n)],
    cgi => [qw(perl -c)],
);
for my $file (sort @files) {
    my($type) = $file =~ /\.(\w+)$/ or next;
    my $command = $check{$type} or next;
    my $said = `@{[map { "'$_'" } @$command, "examples/$file"]} 2>&1 </dev/null`;
    is $?, 0, "examples/$file is well formed" or diag $said;
}

done_testing;
