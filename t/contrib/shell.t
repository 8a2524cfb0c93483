# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# contrib/sse-publish: what it sends, prints and exits with; that an event whose
# answer was lost is published once.

use strict;
use warnings FATAL => 'all';

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Apache::Test;
use Apache::TestUtil;
use File::Temp ();
use IPC::Open2 qw(open2);
use SSETest;
use SSETestFront;
use SSETestHttpd;
use SSETestLoad;
use SSETestPublisher;
use Time::HiRes qw(time);

my @faults = qw(drop cut once refuse stall busy);
my @shells = grep { system("command -v $_ >/dev/null") == 0 } qw(sh dash bash);

plan tests => 29 + 2 * @faults + 2 * @shells, need_module('mod_sse');

my $logs = Apache::Test::vars('t_logs');
my $passwords = "$logs/contrib.passwd";
write_file($passwords, "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"); # password
my $httpd = SSETestHttpd->new(
    modules => [qw(auth_basic authn_core authn_file authz_user)],
    conf => <<"EOC");
<Location "/c/login">
    AuthType      Basic
    AuthName      publishers
    AuthUserFile  $passwords
    <Limit POST DELETE>
        Require valid-user
    </Limit>
</Location>
<Location "/two">
    SetHandler sse
    SSEChannel two/a two/b
    SSEPublish On
</Location>
EOC
ok t_cmp($httpd->start, 1, 'an httpd of its own');
my $port = $httpd->port;
my @port = (port => $port);
my $url = "http://127.0.0.1:$port";
my $dir = File::Temp->newdir(TMPDIR => 1);
my $shell = 'sh';

data();
arguments();
lines();
errors();
retries();
ok t_cmp([glob "$dir/*"], [], 'nothing is left in TMPDIR');
ok t_cmp(join('', $httpd->complaints(qr/AH01617|AH01618/)), '',
         'nothing is wrong in the log');

sub write_file {
    my($name, $text) = @_;

    open my $fh, '>', $name or die "$name: $!";
    print $fh $text;
    close $fh or die "$name: $!";
    chmod 0644, $name;
}

# Its exit status, what it prints, and what it complains of.
sub run {
    my($input, @args) = @_;

    my $said = File::Temp->new(DIR => $logs);
    my $given = File::Temp->new(DIR => $logs);
    print $given $input;
    $given->flush;
    local $ENV{TMPDIR} = "$dir";
    open my $out, '-|', 'sh', '-c',
        'in=$1 said=$2; shift 2; exec "$@" <"$in" 2>"$said"', 'sh',
        "$given", "$said", $shell, contrib('sse-publish'), @args
        or die "sh: $!";
    my $printed = join '', <$out>;
    close $out;
    my $status = $? >> 8;
    local $/;
    return($status, $printed, scalar <$said>);
}

sub is_ids {
    my($printed, $count) = @_;
    return $printed =~ /\A(?:[1-9]\d*\n){$count}\z/ ? 1 : 0;
}

# As an argument and from standard input, whatever is valid.
sub data {
    my @texts = ('hello', '@/etc/passwd', q( "quotes" 'and' \ $HOME `id` ),
                 "a\n\nb\n\n", '-n', '%41=1&b=+ ', "\xc3\xb6 \xf0\x9f\x98\x80",
                 '', "\n");
    for (@shells) {
        $shell = $_;
        my($bad) = grep { $_->[0] || !is_ids($_->[1], 1) || $_->[2] } map {
            ([run('', "$url/c/arg-$shell", $_)],
             [run("$_\n", "$url/c/in-$shell")])
        } @texts;
        ok t_cmp($bad, undef, "$shell: each is published, and its id printed");
        # Subscribers get a line end for any of these.
        ok t_cmp([map { [events_of("/c/$_-$shell", @port)] } qw(arg in)],
                 [([map { "message: $_" } @texts]) x 2], 'as it was');
    }
    $shell = 'sh';
    run('no line end', "$url/c/whole");
    run('x' x 60000, "$url/c/whole");
    ok t_cmp([events_of('/c/whole', @port)],
             ['message: no line end', 'message: ' . 'x' x 60000],
             'without a line end; much');
}

sub arguments {
    my(undef, $first) = run('', '-k', q(k "1" \\), '-t', q(a "b" \\ &=%),
                              "$url/c/args?x=y", 'text');
    my(undef, $again) = run('', '-k', q(k "1" \\), "$url/c/args", 'other');
    ok t_cmp($again, $first, 'the same key: the same id');
    ok t_cmp([events_of('/c/args', @port)], [q(a "b" \\ &=%: text)],
             'and no second event; its type');
    ok t_cmp([run('', '-q', "$url/c/args", 'x')], [0, '', ''], '-q');
    ok t_cmp(is_ids((run('', "$url/two", 'x'))[1], 2), 1,
             'two channels, two ids');

    ok t_cmp((run('', '-u', 'ann:password', "$url/c/login", 'x'))[0], 0, '-u');
    write_file("$logs/contrib.netrc",
               "machine 127.0.0.1 login ann password password\n");
    ok t_cmp((run('', '-n', "$logs/contrib.netrc", "$url/c/login", 'x'))[0], 0,
             '-n');
    ok t_cmp((run('', '-H', 'X-Other: 1',
                  '-H', 'Authorization: Basic YW5uOnBhc3N3b3Jk',
                  "$url/c/login", 'x'))[0], 0, '-H, twice');

    my @wrong = ([], ['-x', $url], ['-w', '1m', $url], ['-l', $url, 'x'],
                 [$url, 'x', 'y'], ['-t', "a\nb", $url, 'x']);
    ok t_cmp([map { (run('', @$_))[0] } @wrong], [(2) x @wrong],
             'wrong arguments');
    my($help) = (run('', '-h'))[1];
    ok t_cmp($help, qr/^usage: sse-publish .*Exit status: 0/s, 'help');
}

sub lines {
    my($status, $printed) = run("one\n\n  a\\tb \nlast", '-l', '-k', 'job',
                                "$url/c/lines");
    ok t_cmp($status, 0, '-l');
    ok t_cmp(is_ids($printed, 4), 1, 'an id for each line');
    run("one\n\n  a\\tb \nlast\nmore\n", '-l', '-k', 'job', "$url/c/lines");
    ok t_cmp([events_of('/c/lines', @port)],
             ['message: one', 'message: ', 'message:   a\\tb ', 'message: last',
              'message: more'], 'with -k again: only what is new');
    ok t_cmp([run('', '-l', "$url/c/lines")], [0, '', ''], 'no line at all');

    # Each as soon as it comes.
    my $stream = open_stream('/c/live', @port);
    $stream->next_block;
    my $pid = open2(my $out, my $in, contrib('sse-publish'), '-l',
                    "$url/c/live");
    print $in "now\n";
    ok t_cmp($stream->next_event->{data}, 'now', 'a line comes at once');
    ok t_cmp(is_ids(scalar(<$out>), 1), 1, 'and its id');
    close $in;
    waitpid $pid, 0;
    $stream->close;
}

sub errors {
    my($status, $printed, $said) = run('', '-t', 'sse-x', "$url/c/x", 'x');
    ok t_cmp($status, 1, 'refused');
    ok t_cmp($said, qr/\Asse-publish: 400 Bad Request: event names that begin /,
             "in the server's words");
    ($status, undef, $said) = run("\0", "$url/c/x");
    ok t_cmp($said, qr/: data must not contain a NUL byte$/, 'no byte is lost');
    ($status, undef, $said) = run('', "$url/c/login", 'x');
    ok t_cmp($said, "sse-publish: 401 Unauthorized\n", 'words of HTTP');
    ($status, undef, $said) = run('', 'nohttp://127.0.0.1/', 'x');
    ok t_cmp("$status $said", qr/^1 sse-publish: \S/, 'words of curl');
    my $front = SSETestFront->new($port, 'empty');
    ($status, undef, $said) = run('', 'http://127.0.0.1:' . $front->port, 'x');
    ok t_cmp("$status $said", qr/^1 .*answers, but publishes nothing/,
             'what is no channel');

    my $gone = SSETestFront->nobody;
    my $began = time;
    ($status, undef, $said) = run('', '-w', 3,
                                  'http://127.0.0.1:' . $gone->port, 'x');
    ok t_cmp("$status $said", qr/^3 .*onnect.* \(gave up after 3 s\)$/,
             'nobody listens');
    ok t_cmp(time - $began > 0.5, 1, 'it tried again');
    $front = SSETestFront->new($port, ('busy') x 3);
    ($status, undef, $said) = run('', '-w', 0,
                                  'http://127.0.0.1:' . $front->port, 'x');
    ok t_cmp("$status $said", "3 sse-publish: 503 Service Unavailable: "
             . "come back later (gave up after 0 s)\n", 'no time to try again');
    ok t_cmp([$front->seen], ['busy'], 'once');
}

sub retries {
    my @got = SSETestLoad->start(scalar @faults, sub {
        my $fault = $faults[$_[0] - 1];
        my $front = SSETestFront->new($port, $fault);
        my($status, $printed, $said) = run("$fault\n", '-w', 60,
            'http://127.0.0.1:' . $front->port . "/c/$fault");
        return [$status, is_ids($printed, 1), $said, $front->seen];
    })->results('');
    for my $fault (@faults) {
        my $want = $fault eq 'once' ? [0, 1, '', 'once']
            : [0, 1, '', $fault, 'pass'];
        ok t_cmp(shift @got, $want, "$fault: published");
        ok t_cmp([events_of("/c/$fault", @port)], ["message: $fault"], 'once');
    }
}
