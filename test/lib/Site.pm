package Site;

use 5.014;
use warnings;

use Carp qw(croak);
use Connection;
use Daemon;
use Folder;
use JSON::PP ();
use Time::HiRes qw(sleep time);

our @CARP_NOT = qw(Daemon Connection);

# How long a change may take on a slow machine, and how often one looks whether it has come.
my $SECONDS = 20;
my $PERIOD  = 0.01;

sub new {
    my ($class, %option) = @_;
    my $self  = bless {folder => Folder->new('site')}, $class;
    my %files = %{$option{files} // {}};
    $self->save($_, $files{$_}) for sort keys %files;
    my @where = ("--control=$self->{folder}/control");
    push @where, '-c', $self->path('thrall.toml') if exists $files{'thrall.toml'};
    $self->{where} = \@where;
    $self->start(@option{qw(args env)}) if !$option{later};
    return $self;
}

sub start {
    my ($self, $args, $env) = @_;
    my $app = -e $self->path('app.psgi') ? [$self->path('app.psgi')] : [];
    $self->{daemon}
        = Daemon->new(cwd => $self->{folder}, env => $env // {}, args => [@{$self->{where}}, @{$args // $app}]);
    return $self->{daemon};
}

sub daemon { my ($self) = @_; return $self->{daemon} }
sub path { my ($self, $name) = @_; return "$self->{folder}/$name" }

# ---- what somebody does who works on it ----

sub save {
    my ($self, $name, $content) = @_;
    return $self->{folder}->write($name, $content);
}

sub replace {
    my ($self, $name, $content) = @_;
    my $new = $self->save("$name.new~", $content);
    rename $new, $self->path($name) or croak "rename $new: $!";
    return;
}

sub remove {
    my ($self, $name) = @_;
    unlink $self->path($name) or croak "remove $name: $!";
    return;
}

sub command {
    my ($self, $command, @args) = @_;
    return Daemon->run($command, @{$self->{where}}, @args);
}

# ---- what one sees of it ----

sub status {
    my ($self) = @_;
    my ($exit, $text) = $self->command(status => '--json');
    croak "thralld status: exit status $exit:\n$text" if $exit;
    return JSON::PP::decode_json($text);
}

# pids are those of the workers that are ready.
sub pids {
    my ($self) = @_;
    my @pids = sort { $a <=> $b } map { $_->{pid} } grep { $_->{state} eq 'ready' } @{$self->status->{worker_list}};
    return @pids;
}

sub template {
    my ($self) = @_;
    return $self->status->{generations}[-1]{template_pid};
}

sub wait_for_status {
    my ($self, $wanted) = @_;
    my $status;
    $self->wait_until(sub { $wanted->($status = $self->status) }, 'status');
    return $status;
}

sub ask {
    my ($self, $target, @fields) = @_;
    my $connection = Connection->new($self->{daemon});
    $connection->get($target, @fields);
    return $connection;
}

sub body {
    my ($self, $target, @fields) = @_;
    my $response = $self->ask($target, @fields)->response or croak "no answer to $target";
    return $response->{body};
}

# wait_for_body asks until the body is the one that is wanted, and returns all that came before.
sub wait_for_body {
    my ($self, $target, $wanted) = @_;
    my @seen;
    $self->wait_until(
        sub {
            push @seen, $self->body($target);
            return ref $wanted ? $seen[-1] =~ $wanted : $seen[-1] eq $wanted;
        },
        "the answer $wanted"
    );
    pop @seen;
    return @seen;
}

sub wait_until {
    my ($self, $true, $what) = @_;
    my $until = time + $SECONDS;
    until ($true->()) {
        croak "$what: did not come within $SECONDS s. The log:\n" . $self->{daemon}->log_text if time > $until;
        sleep $PERIOD;
    }
    return;
}

# logged are the events with that message so far.
sub logged {
    my ($self, $message) = @_;
    return grep { ref $message ? $_->{msg} =~ $message : $_->{msg} eq $message } $self->{daemon}->log_events;
}

# wait_for_next does something, and returns the first event with that message which comes after it.
sub wait_for_next {
    my ($self, $message, $do) = @_;
    my $before = $self->logged($message);
    $do->();
    return $self->{daemon}
        ->wait_for_log(sub { (ref $message ? $_[0]{msg} =~ $message : $_[0]{msg} eq $message) && --$before < 0 });
}

# exited waits until the daemon has told of a worker's end.
sub exited {
    my ($self, $pid) = @_;
    return $self->{daemon}->wait_for_log(sub { $_[0]{msg} eq 'worker exited' && $_[0]{pid} == $pid });
}

1;

__END__

=head1 NAME

Site - a folder with an app, its settings and the daemon that serves it

=head1 SYNOPSIS

    my $site = Site->new(files => {'app.psgi' => 'sub { [200, [], [1]] }', 'thrall.toml' => "watch = true\n"});
    $site->save('app.psgi', 'sub { [200, [], [2]] }');
    is +($site->command('reload'))[0], 0, 'reloaded';
    is $site->body('/'), 2, 'the new code answers';

=head1 DESCRIPTION

For tests of a daemon whose files change and that is asked what it does. The daemon has its control
socket in the folder, and works there. Whatever is waited for is asked for again and again until it has
come, for 20 seconds at most; then an exception has the daemon's log in it.

=head1 METHODS

=over

=item Site->new(%options)

Makes the folder and starts the daemon. The options: C<files>, their content by name; C<args>, more of
the command line, which begins with C<--control> and, where there is a thrall.toml, C<-c>, and else ends
with app.psgi; C<env>, as for L<Daemon>; C<later>, it is C<start> that starts it.

=item start($args, $env)

Starts a daemon in the folder, and returns it.

=item daemon, path($name)

The L<Daemon>; the path of a file in the folder.

=item save($name, $content), replace($name, $content), remove($name)

Write a file in place; write a new one and rename it over the old one; remove one.

=item command($command, @args)

Runs thralld with a command, such as C<reload>, for this daemon. Returns its exit status and what it printed.

=item status, wait_for_status($wanted), pids, template

What C<thralld status --json> says; the same once the sub finds it right; the process ids of the workers
that are ready; that of the youngest template.

=item ask($target, @fields), body($target, @fields), wait_for_body($target, $wanted)

A L<Connection> that has sent a GET; the body of the answer; ask until the answer is that string, or
matches that expression, and return the bodies that came before it.

=item wait_until($true, $what)

Calls a sub until it returns true.

=item logged($message), wait_for_next($message, $do), exited($pid)

The events of the log with that message, which may be an expression; the first such event after what a
sub has done; the event of the end of a worker.

=back

=cut
