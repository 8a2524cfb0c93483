# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# The applications of docs/examples as an administrator would run them: copied
# to where the server's children can read them, with the values of site.conf for
# this machine.  And a browser's part: it logs in, and has a cookie then.
#
#   my $conf = example('notify', 'notify.example', PORT => 8574, HUB => ...);
#   my $httpd = SSETestHttpd->new(modules => \@modules, conf => $conf);
#   my $ann = SSETestExample->log_in('ann', host => 'notify.example', ...);
#   my $stream = $ann->stream('/events');
#   $ann->post('/send.php', to => 'bob', text => 'hello')->code;

package SSETestExample;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

use Apache::Test ();
use SSETest;
use SSETestServer ();

our @EXPORT = qw(@modules example example_file quoted);

# Of httpd, for all of the examples.
our @modules = qw(authz_host alias dir env proxy proxy_fcgi proxy_http
                  remoteip rewrite socache_shmcb ssl);

sub example_file {
    my($name, $file) = @_;

    return Apache::Test::vars('t_logs') . "/examples/$name/$file";
}

# Copies an example, and returns the configuration that includes it: site.conf,
# with these values.  It must give a value for each name in it but APP.
sub example {
    my($name, $site, %values) = @_;

    my $from = "$ENV{SSE_TOP}/docs/examples";
    my $to = Apache::Test::vars('t_logs') . '/examples';
    system('sh', '-c', 'mkdir -p "$2" && cp -R "$1/$3" "$2/" '
           . '&& chmod -R a+rX "$2"', 'sh', $from, $to, $name) == 0
        or die "cannot copy $from/$name";
    my($file) = grep { -e } "$from/$name/site.conf", "$from/site.conf";
    open my $fh, '<', $file or die "$file: $!";
    my $conf = join '', <$fh>;
    my %left = (%values, SITE => $site, APP => "$to/$name");
    $conf =~ s/^(Define (\w+) +).*$/$1 . quoted(delete $left{$2}
        \/\/ die "$file: no value for $2")/mge;
    die "$file has no @{[sort keys %left]}" if %left;
    return $conf;
}

sub quoted { return qq("$_[0]") }

# A browser in which that user is logged in.  Options are those of open_stream();
# path: where to log in.
sub log_in {
    my($class, $user, %opt) = @_;

    my $path = delete $opt{path} // '/';
    my $self = bless { opt => \%opt, cookie => '' }, $class;
    my $answer = $self->post($path, user => $user);
    my($cookie) = ($answer->header('Set-Cookie') // '')
        =~ /.*\b(PHPSESSID=[^;,\s]+)/;
    die "no login of $user: " . ($answer->code // 'no answer')
        unless $cookie && $answer->code == 303;
    $self->{cookie} = $cookie;
    return $self;
}

# One in which nobody is.
sub nobody {
    my($class, %opt) = @_;

    return bless { opt => \%opt, cookie => '' }, $class;
}

sub options {
    my($self, %headers) = @_;

    $headers{Cookie} = $self->{cookie} if $self->{cookie};
    return (%{ $self->{opt} }, headers => \%headers);
}

# A stream; its headers by name.
sub stream {
    my($self, $path, %headers) = @_;

    my $stream = open_stream($path, $self->options(%headers));
    $stream->head;
    return $stream;
}

# One after a restart of the server, whose old children say "retry: 500" and no
# more.
sub back {
    my($self, $path, %headers) = @_;

    return SSETestServer::subscribe($path, $self->options(%headers));
}

sub get {
    my($self, $path, %headers) = @_;

    return request('GET', $path, $self->options(%headers));
}

# A form.
sub post {
    my($self, $path, @fields) = @_;

    my @pairs;
    while (my($name, $value) = splice @fields, 0, 2) {
        s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge for $name, $value;
        push @pairs, "$name=$value";
    }
    return $self->send('POST', $path, join('&', @pairs),
                       'Content-Type' => 'application/x-www-form-urlencoded');
}

# Any method and body; its headers by name.
sub send {
    my($self, $method, $path, $body, %headers) = @_;

    return request($method, $path, $self->options(%headers), body => $body);
}

1;
