# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# Applications of the test's own behind the server under test: php-fpm, and a
# back end in Python 3.  Both listen on a Unix socket that t/conf names
# (@t_logs@/php.sock, @t_logs@/python.sock), run as the user of the server's
# children, and end with the test.
#
#   my $php = SSETestApp->php_fpm;             # pool settings: children => 4
#   my $app = SSETestApp->python;              # t/lib/app/answer.py
#   my $own = SSETestApp->python("$dir/own.py", socket => "$dir/own.sock");
#   $app->pid; $app->stop;
#
#   ProxyPass "/py/" "unix:@t_logs@/python.sock|http://localhost/"
#   SetHandler "proxy:unix:@t_logs@/php.sock|fcgi://localhost"
#
# t/lib/app/answer.py, answer.php and answer.cgi answer what the query says:
#
#   status=403    h[]=Name:%20value (several)    body=text    size=N (bytes)
#   wait=1.5 (seconds before the answer)
#
# and the one in Python also until=name (until release(name)), how=close (no
# answer), cut (half a body), garbage, early (a 103 before the answer), endless,
# drip (a byte now and then).  Each appends what it was asked to a file, which
# asked() reads.

package SSETestApp;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Path ();
use FindBin ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Apache::Test ();
use SSETestWait ();

our @EXPORT_OK = qw(asked forget_asked query release);

my @running;
my $tester = $$;

sub logs { return Apache::Test::vars('t_logs') }

sub log_file { return logs() . '/app_log' }

# The user of the server's children, where the test is root.
sub user {
    return $> ? () : @{ Apache::Test::vars() }{qw(user group)};
}

# php-fpm's name has its version in it.
sub php_program {
    for my $dir (split(/:/, $ENV{PATH} // ''), qw(/usr/sbin /usr/local/sbin)) {
        my($found) = sort grep { -x } glob "$dir/php-fpm*";
        return $found if $found;
    }
    return undef;
}

sub has_php { return !!php_program() }

# Options:
#   socket     where it listens: logs/php.sock
#   children   how many requests it serves at a time: 4
#   env        { NAME => value }: in the scripts' environment
#   settings   more lines of the pool
sub php_fpm {
    my($class, %opt) = @_;

    my $program = php_program() or die 'there is no php-fpm';
    my $socket = $opt{socket} // logs() . '/php.sock';
    my $dir = logs() . "/php-$$-" . @running;
    my($user, $group) = user();
    File::Path::make_path("$dir/sessions");
    chown +(getpwnam $user)[2, 3], "$dir/sessions" if $user;
    my %env = (APP_LOG => log_file(), %{ $opt{env} // {} });
    my $children = $opt{children} // 4;
    open my $conf, '>', "$dir/conf" or die "open $dir/conf: $!";
    print $conf <<"EOC", map { "env[$_] = $env{$_}\n" } sort keys %env;
[global]
pid = $dir/pid
error_log = $dir/log
daemonize = no
[tests]
listen = $socket
listen.mode = 0666
pm = static
pm.max_children = $children
php_admin_value[session.save_path] = $dir/sessions
catch_workers_output = yes
EOC
    print $conf "user = $user\ngroup = $group\n" if $user;
    print $conf $opt{settings} // '';
    close $conf or die "close: $!";
    # The master stays root, as it does on a server.
    return $class->start(socket => $socket, log => "$dir/output",
                         command => [$program, '-n', '-F', '-y', "$dir/conf"]);
}

# A program that listens on the socket which is its first argument.
sub python {
    my($class, $script, %opt) = @_;

    my $socket = $opt{socket} // logs() . '/python.sock';
    $script //= "$FindBin::Bin/../lib/app/answer.py";
    return $class->start(socket => $socket, log => logs() . '/python.log',
                         user => [user()],
                         env => { APP_LOG => log_file(),
                                  %{ $opt{env} // {} } },
                         command => ['/usr/bin/python3', $script, $socket,
                                     @{ $opt{args} // [] }]);
}

sub start {
    my($class, %opt) = @_;

    my $self = bless { %opt }, $class;
    touch_log();
    unlink $self->{socket};
    defined($self->{pid} = fork) or die "fork: $!";
    $self->run unless $self->{pid};
    push @running, $self;
    my $end = SSETestWait::patience(10);
    until (IO::Socket::UNIX->new(Peer => $self->{socket})) {
        die "$self->{command}[0] has ended: see $self->{log}"
            if waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};
        die "$self->{command}[0] does not listen: see $self->{log}"
            if time > $end;
        sleep 0.01;
    }
    return $self;
}

# In the child.
sub run {
    my $self = shift;

    my($user, $group) = @{ $self->{user} // [] };
    eval {
        open STDIN, '<', '/dev/null' or die $!;
        open STDOUT, '>>', $self->{log} or die "$self->{log}: $!";
        open STDERR, '>&', \*STDOUT or die $!;
        $ENV{$_} = $self->{env}{$_} for keys %{ $self->{env} // {} };
        if ($user) {
            my($uid, $gid) = ((getpwnam $user)[2], (getgrnam $group)[2]);
            $) = "$gid $gid";
            POSIX::setgid($gid) && POSIX::setuid($uid) or die "setuid: $!";
        }
        no warnings 'exec';
        exec @{ $self->{command} } or die "exec $self->{command}[0]: $!";
    };
    print STDERR $@;
    POSIX::_exit(1);
}

sub pid { return $_[0]{pid} }
sub socket { return $_[0]{socket} }

sub stop {
    my $self = shift;

    my $pid = delete $self->{pid} or return;
    local($?, $!);
    kill TERM => $pid;
    my $end = SSETestWait::patience(5);
    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        kill KILL => $pid if time > $end;
        sleep 0.01;
    }
    unlink $self->{socket};
}

END {
    if ($$ == $tester) {
        local $?;
        $_->stop for @running;
    }
}

# -- What the applications were asked --

my $offset = 0;

# All users of the applications write to it.
sub touch_log {
    open my $fh, '>>', log_file() or die log_file() . ": $!";
    chmod 0666, log_file();
    $offset = -s $fh if !@running;
}

# From here on.
sub forget_asked { $offset = -s log_file() // 0 }

# The requests since the file's test began, or since forget_asked(), oldest
# first: { by => 'php', env => { NAME => value } } with the environment as CGI
# has it, or { by => 'python', path =>, headers => [[name, value], ...],
# all => { lower-case name => value } }; and in both cases uri, what the client
# asked for as SSEAuthorize tells it, else the path.  Those whose uri matches.
sub asked {
    my $re = shift // qr/./;

    open my $fh, '<', log_file() or return ();
    seek $fh, $offset, 0;
    my @all = map { JSON::PP->new->utf8->decode($_) }
        grep { /\n\z/ } <$fh>;
    for my $one (@all) {
        $one->{all}{lc $_->[0]} = $_->[1] for @{ $one->{headers} // [] };
        $one->{uri} = $one->{all}{'sse-uri'} // $one->{env}{SSE_URI}
            // $one->{path} // $one->{env}{REQUEST_URI};
    }
    return grep { $_->{uri} =~ $re } @all;
}

# Those that wait for this name go on.
sub release {
    open my $fh, '>', log_file() . ".$_[0]" or die $!;
}

# The query that makes them answer so: query(status => 403, 'h[]' => 'A: b').
sub query {
    my @pairs;

    while (my($name, $value) = splice @_, 0, 2) {
        s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge for $name, $value;
        push @pairs, "$name=$value";
    }
    return join '&', @pairs;
}

1;
