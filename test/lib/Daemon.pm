package Daemon;

use 5.014;
use warnings;

use Carp qw(croak);
use Errno qw(EAGAIN EINTR);
use Fcntl qw(F_DUPFD F_GETFL F_SETFL O_NONBLOCK);
use File::Spec ();
use File::Temp ();
use Folder;
use HTTP::Tiny ();
use IO::Handle ();
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX qw(WNOHANG);
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time);

our @CARP_NOT = (__PACKAGE__);

my $THRALLD = File::Spec->rel2abs($ENV{THRALLD} // 'bin/thralld');

# Every wait ends: these are the seconds after which a healthy daemon on a slow machine would long
# have done it.
my $START_SECONDS = 30;
my $STOP_SECONDS  = 30;
my $READ_SECONDS  = 30;

# What a daemon would take from the environment in which the test was started.
delete @ENV{qw(PLACK_ENV NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES SERVER_STARTER_PORT RUNTIME_DIRECTORY)};

my $F_SETPIPE_SZ = 1031;      # Linux
my $MEGABYTE     = 1 << 20;

# ---- the life of a daemon ----

sub new {
    my ($class, %option) = @_;
    my $self = bless {
        owner => $$,
        dir   => Folder->new('thralld'),
        lines => [],
        rest  => q{},
    }, $class;

    my @args = @{delete $option{args} // []};
    my $psgi = delete $option{psgi};
    push @args, $self->file('app.psgi', $psgi) if defined $psgi;
    my $socket = delete $option{unix};
    $socket = "$self->{dir}/socket" if ($socket // q{}) eq '1';
    my $configured = delete $option{configured};
    unshift @args, $socket ? ('--socket', $socket) : qw(--host 127.0.0.1 --port 0) if !$configured;
    unshift @args, "--http-engine=$ENV{HTTP_ENGINE}" if $ENV{HTTP_ENGINE};
    my $silent = delete $option{silent};
    my %how    = map { $_ => delete $option{$_} } qw(env cwd handed);
    croak "Daemon->new: no such option: @{[sort keys %option]}" if %option;

    pipe $self->{log}, my $write_end or croak "make a pipe: $!";
    $self->{log}->blocking(0);

    # While a test waits for an answer nobody reads the log: a large pipe lets the daemon go on.
    fcntl $self->{log}, $F_SETPIPE_SZ, $MEGABYTE;

    $self->{pid} = spawn($write_end, \%how, '--log-format=json', @args);
    close $write_end;
    if ($silent) {
        $self->{address} = $socket;
        return $self;
    }

    my $listening = $self->wait_for_log(sub { message($_[0]) eq 'listening' }, $START_SECONDS);
    $self->{address} = $listening->{address};
    $self->wait_for_log(sub { message($_[0]) eq 'ready' }, $START_SECONDS);
    return $self;
}

sub run {
    my ($class, @args) = @_;
    my $how    = ref $args[0] ? shift @args : {};
    my $output = File::Temp->new;
    my $pid    = spawn($output, $how, @args);
    my $status = wait_for_exit($pid, $START_SECONDS, sub { });
    if (!defined $status) {
        kill KILL => $pid;
        waitpid $pid, 0;
    }
    seek $output, 0, 0;
    my $text = do { local $/ = undef; readline $output };
    croak "thralld @args did not end within $START_SECONDS s:\n$text" if !defined $status;
    return ($status, $text);
}

sub stop {
    my ($self) = @_;
    croak 'the daemon has been stopped already' if !$self->{pid};
    kill TERM => $self->{pid};
    return $self->wait_for_exit_status;
}

sub wait_for_exit_status {
    my ($self, $seconds) = @_;
    $seconds //= $STOP_SECONDS;
    croak 'the daemon has been stopped already' if !$self->{pid};
    my $status = wait_for_exit($self->{pid}, $seconds, sub { $self->read_log($_[0]) });
    if (!defined $status) {
        $self->kill_it;
        croak "thralld did not end within $seconds s. Its log:\n" . $self->log_text;
    }
    $self->{pid} = 0;
    $self->read_log(0);
    return $status;
}

sub signal {
    my ($self, $name) = @_;
    return kill $name => $self->{pid};
}

sub kill_it {
    my ($self) = @_;
    my $pid = $self->{pid} or return;
    $self->{pid} = 0;
    kill KILL => $pid;
    waitpid $pid, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;    # a child that the test has forked
    local ($@, $!, $?);
    $self->kill_it;
    return;
}

# spawn starts thralld with its output going to a handle. Run by root it stays root, unless the test
# says who it becomes: nobody else may read what is in a test's folder.
sub spawn {
    my ($output, $how, @args) = @_;
    -x $THRALLD or croak "there is no $THRALLD: build it (make build), or set THRALLD to another one";
    unshift @args, qw(--user=root --allow-root) if $> == 0 && !grep { /\A--user\b/ } @args;
    my $pid = fork // croak "fork: $!";
    return $pid if $pid;

    my ($name, $value);
    while (($name, $value) = each %{$how->{env} // {}}) {
        if (defined $value) { $ENV{$name} = $value }
        else                { delete $ENV{$name} }
    }
    my $ready
        = (!defined $how->{cwd} || chdir "$how->{cwd}")
        && open(STDIN,  '<',  '/dev/null')
        && open(STDOUT, '>&', $output)
        && open(STDERR, '>&', $output);
    hand_over(@{$how->{handed}}) if $how->{handed};
    exec {$THRALLD} $THRALLD, @args if $ready;
    print {$output} "start $THRALLD: $!\n";
    POSIX::_exit(127);
}

# hand_over makes sockets the descriptors from 3 on, and says so in the environment, as systemd does
# before it starts a program.
sub hand_over {
    my (@named) = @_;
    my $first = 3;

    # Copies out of the way first: a socket may have the number that another one is to have.
    my @copies = map { fcntl $_->[1], F_DUPFD, $first + @named } @named;
    POSIX::dup2($copies[$_], $first + $_) // die "dup2: $!\n" for 0 .. $#copies;
    POSIX::close($_) for @copies;
    @ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, scalar @named, join q{:}, map { $_->[0] } @named);
    return;
}

# wait_for_exit waits until a child has ended, and returns its exit status as a shell gives it, or
# undef when it has not ended in time. Meanwhile it calls $do with the seconds that it may take.
sub wait_for_exit {
    my ($pid, $seconds, $do) = @_;
    my $until = time + $seconds;
    while (waitpid($pid, WNOHANG) == 0) {
        return if time > $until;
        $do->(0.02);
        select undef, undef, undef, 0.02;    ## no critic (ProhibitSleepViaSelect): waitpid has no time limit
    }
    return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

sub processes {
    my ($class, $folder) = @_;
    my @found;
    for my $process (glob '/proc/[0-9]*') {
        my ($pid) = $process =~ /(\d+)\z/;
        next if $pid == $$;
        my $command = Folder::content("$process/cmdline") =~ s/\0+\z//r =~ tr/\0/ /r;
        my $traces  = join "\n", $command, Folder::content("$process/environ"), readlink("$process/cwd") // q{};
        push @found, "$pid $command" if index($traces, $folder) >= 0;
    }
    return @found;
}

sub wait_for_line {
    my ($class, $path, $wanted, $seconds) = @_;
    $seconds //= $READ_SECONDS;
    my $until = time + $seconds;
    while (1) {
        my ($line) = grep { $_ =~ $wanted } split /\n/, Folder::content($path);
        return $line if defined $line;
        croak "$path has no such line after $seconds s:\n" . Folder::content($path) if time > $until;
        select undef, undef, undef, 0.02;    ## no critic (ProhibitSleepViaSelect): nothing tells of a write to a file
    }
}

# ---- what a test asks of it ----

sub pid     { my ($self) = @_; return $self->{pid} }
sub dir     { my ($self) = @_; return "$self->{dir}" }
sub address { my ($self) = @_; return $self->{address} }

sub port {
    my ($self) = @_;
    return $self->{address} =~ /:(\d+)\z/ ? $1 : croak "$self->{address} has no port";
}

sub url {
    my ($self, $path) = @_;
    return 'http://127.0.0.1:' . $self->port . ($path // '/');
}

sub file {
    my ($self, $name, $content) = @_;
    my $path = "$self->{dir}/$name";
    open my $handle, '>:raw', $path or croak "create $path: $!";
    print {$handle} $content or croak "write $path: $!";
    close $handle or croak "write $path: $!";
    return $path;
}

sub get {
    my ($self, $path, %headers) = @_;
    $self->read_log(0);

    # Whatever proxy the environment names is not for the daemon under test.
    my $client = HTTP::Tiny->new(timeout => $READ_SECONDS, proxy => undef, http_proxy => undef);
    return $client->get($self->url($path), {headers => \%headers});
}

sub connect {
    my ($self) = @_;
    my $address = $self->{address};
    my $socket
        = $address =~ m{\A/}
        ? IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $address)
        : IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp', Timeout => $READ_SECONDS);
    return $socket // croak "connect to $address: $!";
}

sub raw {
    my ($self, $bytes, $seconds) = @_;
    $seconds //= $READ_SECONDS;
    my $until  = time + $seconds;
    my $socket = $self->connect;
    $socket->blocking(0);
    local $SIG{PIPE} = 'IGNORE';

    # Sending and reading go on side by side: a server may answer, and close, before it has read all.
    my ($answer, $sent) = (q{}, 0);
    my $select = IO::Select->new($socket);
    while (1) {
        $self->read_log(0);
        my $left = $until - time;
        croak "the connection is still open after $seconds s, and brought:\n$answer" if $left <= 0;
        my $sending = $sent < length $bytes ? $select : undef;
        my ($readable, $writable) = IO::Select->select($select, $sending, undef, $left);
        if (@{$readable // []}) {
            my $count = sysread $socket, $answer, 65_536, length $answer;
            return $answer if defined $count && !$count;
            return $answer if !defined $count && $! != EAGAIN && $! != EINTR;
        }
        if (@{$writable // []}) {
            my $count = syswrite $socket, $bytes, 65_536, $sent;
            if    (defined $count)              { $sent += $count }
            elsif ($! != EAGAIN && $! != EINTR) { $sent = length $bytes }
        }
    }
}

# ---- its log ----

sub log_lines {
    my ($self) = @_;
    $self->read_log(0);
    return @{$self->{lines}};
}

sub log_events {
    my ($self) = @_;
    $self->read_log(0);
    return map { $self->event_at($_) } 0 .. $#{$self->{lines}};
}

sub log_text {
    my ($self) = @_;
    return join q{}, map { "$_\n" } $self->log_lines;
}

sub wait_for_log {
    my ($self, $wanted, $seconds) = @_;
    $seconds //= $READ_SECONDS;
    my $until = time + $seconds;
    my $seen  = 0;
    while (1) {
        my $alive = $self->read_log(0);
        for my $at ($seen .. $#{$self->{lines}}) {
            my $event = $self->event_at($at);
            return $event if ref $wanted eq 'CODE' ? $wanted->($event) : $self->{lines}[$at] =~ $wanted;
        }
        $seen = @{$self->{lines}};
        my $left = $until - time;
        croak "thralld ended before it logged what was waited for. Its log:\n" . $self->log_text if !$alive;
        croak "nothing such was logged within $seconds s. The log:\n" . $self->log_text if $left <= 0;
        IO::Select->new($self->{log})->can_read($left);
    }
}

# read_log takes in what the daemon has logged, and waits for the first of it as long as it is told.
# It returns false when the daemon has closed its end.
sub read_log {
    my ($self, $seconds) = @_;
    IO::Select->new($self->{log})->can_read($seconds) if $seconds;
    my $alive = 1;
    while (1) {
        my $count = sysread $self->{log}, $self->{rest}, 65_536, length $self->{rest};
        next if !defined $count && $! == EINTR;
        $alive = 0 if defined $count && !$count;
        last if !$count;
    }
    my @lines = split /\n/, $self->{rest}, -1;
    $self->{rest} = $alive || !@lines ? pop(@lines) // q{} : q{};
    push @{$self->{lines}}, $alive ? @lines : grep { length } @lines;
    return $alive;
}

# event_at is the event of the line with that number; each is decoded once.
sub event_at {
    my ($self, $at) = @_;
    return $self->{events}[$at] //= event($self->{lines}[$at]);
}

# event decodes a line of the log. A line that is no JSON, Go's own panic for one, is an event, too.
sub event {
    my ($line) = @_;
    my $event = $line =~ /\A[{]/ ? eval { JSON::PP::decode_json($line) } : undef;
    return $event // {msg => $line};
}

sub message {
    my ($event) = @_;
    return $event->{msg} // $event->{message} // q{};
}

1;

__END__

=head1 NAME

Daemon - a thralld of one's own for a test

=head1 SYNOPSIS

    use lib 'test/lib';
    use Daemon;

    my $daemon = Daemon->new(args => ['--workers=2', 'examples/hello/app.psgi']);
    is $daemon->get('/text')->{content}, "Hello, World!\n", 'greets';
    is $daemon->stop, 0, 'ends well';

    my $other = Daemon->new(unix => 1, psgi => 'sub { [200, [], [$$]] }');
    like $other->raw("GET / HTTP/1.0\r\n\r\n"), qr/\AHTTP\/1[.][01] 200 /, 'answers';

    my ($status, $output) = Daemon->run('missing.psgi');

=head1 DESCRIPTION

Starts the built daemon, C<bin/thralld> or what C<THRALLD> names, waits until it is ready, and ends it
when the object goes. It listens on a free port of 127.0.0.1 or on a unix socket in a folder of its
own, so that tests never get into each other's way. Whatever is waited for is waited for in bounded
time; what does not come is an exception with the daemon's log in it.

=head1 METHODS

=over

=item Daemon->new(%options)

Starts a daemon and returns when it is ready. The options: C<args>, its command line; C<psgi>, the
source of an app to serve, instead of one in C<args>; C<unix>, listen on a unix socket, 1 or its path;
C<configured>, the address is in thrall.toml;
C<env>, changes to the environment, undef for what shall not be set; C<cwd>, the folder to start it in;
C<handed>, sockets that it gets as systemd would hand them over, each a name and a socket;
C<silent>, do not wait until the daemon says that it is ready, as it will not (C<-q>).

With C<HTTP_ENGINE> in the environment of the test it serves by that C<http_engine>: what is about HTTP
is tested with each.

When root runs the test, the daemon stays root, unless the arguments have a C<--user>; an empty one is
as good as none for the daemon.

=item Daemon->run(\%how, @args)

For what ends by itself: runs it and returns its exit status and all it printed. C<%how>, which may be
left out, has the options C<env>, C<cwd> and C<handed> of C<new>.

=item Daemon->processes($folder)

The processes, other than the test, that work in that folder, or have it in their command line or their
environment; each is told by its id and its command. What thralld runs shows the path of the app.

=item Daemon->wait_for_line($path, $wanted, $seconds)

Waits until a file, which may be missing at first, has a line that the regular expression matches, and
returns it.

=item stop

Ends it by TERM and returns its exit status, 128 + N when signal N has ended it. It dies when the
daemon takes too long (and has been killed then).

=item wait_for_exit_status($seconds)

The same for one that was told to end in another way.

=item signal($name)

Sends it a signal, as in C<< $daemon->signal('HUP') >>.

=item get($path, %headers)

A GET over TCP; returns what L<HTTP::Tiny> returns.

=item raw($bytes, $seconds)

Opens a connection, sends the bytes and returns everything that comes until the other side closes. It
dies when the connection is still open after so many seconds: ask for C<Connection: close>.

=item connect

A connected socket, for what C<raw> cannot do.

=item wait_for_log($wanted, $seconds)

Waits for a line of the log, old or new, that the regular expression matches, or for whose event (the
decoded JSON) the sub returns true. Returns the event.

=item log_lines, log_events, log_text

What has been logged so far: as lines, as decoded events, as one text.

=item file($name, $content)

Writes a file into the daemon's own folder and returns its path.

=item pid, address, port, url($path), dir

What they say. C<dir> is the folder that goes with the object.

=back

=cut
