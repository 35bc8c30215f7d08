package Deployment;

use 5.014;
use warnings;

use Carp qw(croak);
use Connection;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Folder;
use JSON::PP ();
use Time::HiRes qw(time);

use parent qw(Daemon);

our @CARP_NOT = qw(Daemon);

my $SECONDS = 30;

# ---- its files ----

sub new {
    my ($class, %option) = @_;
    my $folder = Folder->new('deployed');
    my %files  = %{delete $option{files} // {}};
    $files{'app.psgi'}    //= delete $option{app} if exists $option{app};
    $files{'thrall.toml'} //= toml(%{delete $option{toml} // {}});
    replace("$folder/$_", $files{$_}) for keys %files;

    my @args   = ("--config=$folder/thrall.toml", "--control=$folder/control", @{delete $option{args} // []});
    my $daemon = $class->SUPER::new(cwd => $folder, %option, args => \@args);
    $daemon->{folder} = $folder;
    return $daemon;
}

sub folder { my ($self) = @_; return "$self->{folder}" }

sub write {    ## no critic (ProhibitBuiltinHomonyms): it writes
    my ($self, $name, $content) = @_;
    return replace("$self->{folder}/$name", $content);
}

# replace gives a file its content in one moment, so that nobody reads half of it.
sub replace {
    my ($path, $content) = @_;
    make_path(dirname($path));
    open my $handle, '>:raw', "$path.new" or croak "create $path.new: $!";
    print {$handle} $content or croak "write $path.new: $!";
    close $handle or croak "write $path.new: $!";
    rename "$path.new", $path or croak "write $path: $!";
    return $path;
}

sub configure {
    my ($self, %keys) = @_;
    return $self->write('thrall.toml', toml(%keys));
}

# toml is the text of a thrall.toml: what is no number and no truth is a text.
sub toml {
    my (%keys) = @_;
    return join q{}, map { "$_ = " . value($keys{$_}) . "\n" } sort keys %keys;
}

sub value {
    my ($value) = @_;
    return '[' . join(', ', map { value($_) } @{$value}) . ']' if ref $value;
    return $value =~ /\A(?:-?(?:0|[1-9][0-9.]*)|true|false)\z/ ? $value : qq{"$value"};
}

# ---- what is asked of it while it runs ----

sub command {
    my ($self, @words) = @_;
    return Daemon->run(@words, "--config=$self->{folder}/thrall.toml", "--control=$self->{folder}/control");
}

sub reload { my ($self) = @_; return $self->command('reload') }

sub status {
    my ($self) = @_;
    my ($exit, $text) = $self->command(qw(status --json));
    croak "thralld status: $text" if $exit;
    return JSON::PP::decode_json($text);
}

sub wait_for_status {
    my ($self, $wanted, $seconds) = @_;
    $seconds //= $SECONDS;
    my $until = time + $seconds;
    while (1) {
        my $status = $self->status;
        return $status if $wanted->($status);
        croak "no such status within $seconds s, but\n", JSON::PP->new->pretty->encode($status), $self->log_text
            if time > $until;
        $self->read_log(0.02);
    }
}

# to is a connection to one of its addresses.
sub to {
    my ($self, $address) = @_;
    local $self->{address} = $address;
    return Connection->new($self);
}

sub hup { my ($self) = @_; return $self->signal('HUP') }

# next_event does something, and waits for an event that is logged from then on.
sub next_event {
    my ($self, $do, $wanted, $seconds) = @_;
    my $until = time + ($seconds // $SECONDS);
    my $seen  = () = $self->log_lines;
    $do->();
    while (1) {
        my $alive = $self->read_log(0.1);
        while ($seen < @{$self->{lines}}) {
            my $event = $self->event_at($seen++);
            return $event if $wanted->($event);
        }
        croak "what was waited for was not logged. The log:\n", $self->log_text if !$alive || time > $until;
    }
}

sub reload_by {
    my ($self, $do) = @_;
    return $self->next_event($do, sub { $_[0]{msg} =~ /\Areload(?:ed| failed| rolled back| superseded)/ });
}

sub reload_by_hup {
    my ($self) = @_;
    return $self->reload_by(sub { $self->hup });
}

# ---- its processes ----

# workers are the ids of the worker processes that live: the daemon's children that lead no process
# group of their own, as a template does. What has ended and was not buried yet is none.
sub workers {
    my ($self) = @_;
    return grep { $self->{kin}{$_} eq 'worker' } $self->children;
}

# children are the ids of the daemon's children that live.
sub children {
    my ($self) = @_;
    my @found;
    $self->{kin} = {};
    opendir my $proc, '/proc' or croak "open /proc: $!";
    for my $pid (grep { /\A[0-9]+\z/ } readdir $proc) {
        my ($state, $parent, $group) = Folder::content("/proc/$pid/stat") =~ /.*[)] (\S) (\d+) (\d+)/s or next;
        next if $parent != $self->pid || $state eq 'Z' || $state eq 'X';
        $self->{kin}{$pid} = $group == $pid ? 'template' : 'worker';
        push @found, $pid;
    }
    closedir $proc;
    return grep { lives($_) } @found;    # one may have taken the place of another while we looked
}

sub lives {
    my ($pid)   = @_;
    my ($state) = Folder::content("/proc/$pid/stat") =~ /.*[)] (\S)/s or return 0;
    return $state ne 'Z' && $state ne 'X';
}

1;

__END__

=head1 NAME

Deployment - a daemon with an app and a thrall.toml that change while it runs

=head1 SYNOPSIS

    my $deployment = Deployment->new(app => 'sub { [200, [], ["one"]] }', toml => {workers => 2});
    $deployment->write('app.psgi', 'sub { [200, [], ["two"]] }');
    my ($exit, $output) = $deployment->reload;

=head1 DESCRIPTION

A L<Daemon> that was started in a folder of its own, where app.psgi and thrall.toml are, and that has its
control socket there, too.

=head1 METHODS

=over

=item Deployment->new(%options)

The options are those of L<Daemon>, and C<app>, the source of app.psgi; C<toml>, the keys of thrall.toml;
C<files>, other files by their path in the folder.

=item folder, write($name, $content), configure(%keys)

Its folder; give a file there another content; the same for thrall.toml.

=item command(@words), reload, status

Runs thralld with these words, to talk to the daemon, and returns its exit status and all it printed;
C<reload> does so with C<thralld reload>. C<status> returns what C<thralld status --json> tells.

=item wait_for_status($wanted, $seconds)

Asks for the status until the sub returns true for it, and returns it.

=item to($address)

A L<Connection> to an address that it listens on.

=item next_event($do, $wanted, $seconds)

Calls the first sub, and returns the first event of the log for which the second one returns true and
that was not logged before.

=item hup, reload_by($do), reload_by_hup

Sends HUP; does whatever makes the daemon reload, and returns the event that tells how it ended; does so
by HUP.

=item workers, children

The ids of its workers; of all its children.

=back

=cut
