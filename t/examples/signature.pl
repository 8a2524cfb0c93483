#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The guide's ways to verify a webhook's signature, in four languages: they
# take what is genuine and nothing else.  (t/examples/php_site.t verifies what
# httpd sends.)

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_hex);
use File::Basename qw(dirname);
use File::Temp ();
use Test::More;

chdir dirname(__FILE__) . '/../../docs/examples/signature' or die "chdir: $!";

my $dir = File::Temp::tempdir(CLEANUP => 1);
my %program = (php => 'php -n', py => '/usr/bin/python3', mjs => 'node',
               sh => 'sh');

sub write_file {
    my($name, $text) = @_;

    open my $fh, '>', "$dir/$name" or die "$dir/$name: $!";
    print $fh $text or die "$dir/$name: $!";
    close $fh or die "$dir/$name: $!";
    return "$dir/$name";
}

my $body = qq({"type":"close","user":"J\xc3\xb6rg \xe2\x98\x83","text":"a\\nb",)
    . qq("fields":{"x":"%20'\\"\$HOME`"}});
my $key = 'a1b2c3d4' x 8;
my $secret = write_file('secret', "$key\n");

sub signature {
    my(%opt) = @_;

    my $time = $opt{time} // time;
    my $mac = hmac_sha256_hex("$time." . ($opt{body} // $body),
                              $opt{key} // $key);
    return "t=$time,v1=$mac";
}

sub verify {
    my($type, $signature, $text) = @_;

    my $file = write_file('body', $text // $body);
    my $said = `$program{$type} verify.$type '$secret' '$signature' <'$file' 2>&1`;
    my $status = $? >> 8;
    return $said eq '' && $status =~ /^[01]$/ ? !$status : "$status: $said";
}

for my $type (sort keys %program) {
    is verify($type, signature()), 1, "$type: genuine";
    is verify($type, signature(body => ''), ''), 1, 'with an empty body, too';
    is verify($type, signature(time => time - 250)), 1, 'some minutes old';
    is verify($type, signature(), "$body "), '', 'another body';
    is verify($type, signature(body => "$body\n"), $body), '',
        'a line end less than was signed';
    is verify($type, signature(key => "$key\n")), '', 'another key';
    is verify($type, signature(time => time - 400)), '', 'too old';
    is verify($type, signature(time => time + 400)), '', 'from the future';
    my $later = time;
    is verify($type, signature(time => time - 400) =~ s/^t=\d+/t=$later/r), '',
        'an old one under a new time';
    is verify($type, ''), '', 'none';
    is verify($type, 'garbage'), '', 'garbage';
    is verify($type, signature() =~ s/,v1=.*/,v1=/r), '', 'an empty one';
    is verify($type, uc signature()), '', 'in capitals';
}

done_testing;
