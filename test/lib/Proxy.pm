package Proxy;

use 5.014;
use warnings;

use Carp qw(croak);
use Fcntl qw(F_GETFD F_SETFD FD_CLOEXEC);
use Folder;
use IO::Socket::INET ();
use POSIX qw(WNOHANG);
use Socket qw(SOMAXCONN);
use Time::HiRes qw(time);

our @CARP_NOT = (__PACKAGE__);

my $READ_SECONDS = 30;
my $STOP_SECONDS = 10;

# Debian has both where a shell of somebody who is not root may not look.
local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
my %program_of = map { $_ => find($_) } qw(nginx haproxy);

sub find {
    my ($name) = @_;
    my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
    return $path;
}

# ---- the life of a proxy ----

sub nginx {
    my ($class, $http) = @_;
    my $self   = $class->prepare('nginx');
    my $folder = $self->{dir};
    my $temp   = join q{ }, map { "${_}_temp_path $folder/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
    my $port   = $self->port;
    my $config = $folder->write('nginx.conf', <<"CONFIG");
daemon off;
@{[$> == 0 ? "user root;" : q{}]}
worker_processes 1;
pid $folder/pid;
error_log stderr;
events { worker_connections 100; }
http {
    access_log off;
    $temp
    client_header_timeout 2s;
    client_body_timeout 2s;
    @{[$http =~ s/LISTEN/listen 127.0.0.1:$port;/r]}
}
CONFIG
    return $self->run({NGINX => fileno($self->{listener}) . q{;}}, '-p', "$folder", '-c', $config, '-e', 'stderr');
}

sub haproxy {
    my ($class, $sections) = @_;
    my $self   = $class->prepare('haproxy');
    my $fd     = fileno $self->{listener};
    my $config = $self->{dir}->write('haproxy.cfg', <<"CONFIG");
defaults
    timeout connect 5s
    timeout client 2s
    timeout server 20s
@{[$sections =~ s/LISTEN/bind fd\@$fd/r]}
CONFIG
    return $self->run({}, '-db', '-f', $config);
}

# prepare opens the port on which the proxy will listen: clients that connect before it accepts wait
# for it, and so nobody has to find out whether it is ready.
sub prepare {
    my ($class, $program) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => SOMAXCONN) // croak "listen: $!";
    my $flags    = fcntl $listener, F_GETFD, 0;
    fcntl $listener, F_SETFD, $flags & ~FD_CLOEXEC or croak "hand over a listener: $!";
    return bless {owner => $$, dir => Folder->new($program), program => $program, listener => $listener}, $class;
}

sub run {
    my ($self, $env, @args) = @_;
    my $program = $program_of{$self->{program}} // croak "there is no $self->{program}: see test/install-deps";
    my $log     = "$self->{dir}/log";
    my $pid     = fork // croak "fork: $!";
    if (!$pid) {
        local @ENV{keys %{$env}} = values %{$env};
        my $ready = open(STDIN, '<', '/dev/null') && open(STDOUT, '>', $log) && open STDERR, '>&', \*STDOUT;
        exec {$program} $program, @args if $ready;
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    return $self;
}

sub log_text { my ($self) = @_; return Folder::content("$self->{dir}/log") }

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$ || !$self->{pid};
    local ($@, $!, $?);
    kill TERM => $self->{pid};
    my $until = time + $STOP_SECONDS;
    while (waitpid($self->{pid}, WNOHANG) == 0) {
        kill KILL => $self->{pid} if time > $until;
        select undef, undef, undef, 0.01;    ## no critic (ProhibitSleepViaSelect): waitpid has no time limit
    }
    return;
}

# ---- what a test asks of it ----

sub port { my ($self) = @_; return $self->{listener}->sockport }

# These two make a Connection work with it as with a daemon.
sub log_lines { return }

sub connect {    ## no critic (ProhibitBuiltinHomonyms): as Daemon has it
    my ($self) = @_;
    my %from = $self->{from} ? (LocalAddr => $self->{from}) : ();
    return IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $self->port,
        Proto    => 'tcp',
        Timeout  => $READ_SECONDS,
        %from
    ) // croak "connect to $self->{program}: $!\n" . $self->log_text;
}

# from is the same proxy for clients that come from another address of this machine.
sub from {
    my ($self, $address) = @_;
    return bless {%{$self}, from => $address, pid => 0, proxy => $self}, ref $self;
}

1;

__END__

=head1 NAME

Proxy - nginx or haproxy in front of a daemon under test

=head1 SYNOPSIS

    my $nginx = Proxy->nginx("server { LISTEN location / { proxy_pass http://$address; } }");
    my $connection = Connection->new($nginx->from('127.0.0.5'));
    $connection->get('/');

=head1 DESCRIPTION

Runs a proxy of Debian's on a free port of 127.0.0.1, with a folder of its own, until the object goes.

=head1 METHODS

=over

=item Proxy->nginx($http)

Starts nginx with this in its C<http> block. LISTEN is where it listens.

=item Proxy->haproxy($sections)

Starts haproxy with these sections behind its C<defaults>. LISTEN is the C<bind> line.

=item from($address)

The same proxy for clients that connect from this address of the loopback network.

=item connect, log_lines

What L<Connection> wants.

=item port, log_text

What they say.

=back

=cut
