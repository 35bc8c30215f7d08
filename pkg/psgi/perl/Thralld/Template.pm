package Thralld::Template;

use strict;
use warnings;

use Fcntl qw(F_SETFD FD_CLOEXEC);
use Thralld::App;
use Thralld::Frame qw(:all);
use Thralld::Worker;

# new takes the descriptor of the control socket.
sub new {
    my ($class, $fd) = @_;
    my $control = open_socket($fd);
    fcntl $control, F_SETFD, FD_CLOEXEC or die "fcntl: $!\n";
    return bless {control => $control, slots => []}, $class;
}

# run is the life of the template; it ends when the Go process is gone.
sub run {
    my ($self) = @_;
    my $boot = read_frame($self->{control});
    exit 0 if !defined $boot;
    $self->boot(unpack 'x8 (N/a*)*', $boot);

    while (defined(my $frame = read_frame($self->{control}))) {
        my ($type, undef, $slot) = frame_header($frame);
        $self->spawn($slot) if $type == SPAWN;
    }
    exit 0;
}

# boot reads what to run, as names and values, and loads what all workers share.
sub boot {
    my ($self, @list) = @_;
    my %option = (include => [], module => []);
    while (my ($name, $value) = splice @list, 0, 2) {
        if    ($name eq 'slot')     { push @{$self->{slots}}, [split /:/, $value] }
        elsif (ref $option{$name}) { push @{$option{$name}},  $value }
        else                       { $option{$name} = $value }
    }
    $self->{generation} = $option{generation};
    $self->{app}        = Thralld::App->new(%option);

    my $ready = eval {
        $self->{app}->prepare;
        $self->{app}->load if $option{preload};
        1;
    };
    if (!$ready) {
        $self->report(frame_list(FAIL, 0, Thralld::App::message($@)));
        exit 1;
    }
    $self->{app}->show_title("template, generation $self->{generation}");
    $self->report(frame_list(LOADED, 0));
    return;
}

# spawn forks a worker twice over, so that it becomes a child of the Go process,
# which adopts orphans: Go learns how it ended from the kernel, also when the
# template has died.
sub spawn {
    my ($self, $slot) = @_;
    pipe my $from_child, my $to_parent or die "pipe: $!\n";
    my $middle = fork;
    if (!defined $middle) {
        $self->report(frame_list(FAIL, $slot, "cannot fork a worker: $!"));
        return;
    }
    if ($middle == 0) {
        close $from_child;
        my $pid = fork;
        if (defined $pid && $pid == 0) {
            close $to_parent;
            $self->become_worker($slot);
        }
        syswrite $to_parent, pack 'N', defined $pid ? $pid : 0;
        kill KILL => $$;    # nothing of what is loaded may run its END here
    }
    close $to_parent;
    sysread $from_child, my $answer, 4;
    waitpid $middle, 0;

    my $pid = length $answer == 4 ? unpack 'N', $answer : 0;
    $self->report(
        $pid
        ? frame_process(SPAWNED, $slot, $pid)
        : frame_list(FAIL, $slot, 'cannot fork a worker: the machine is out of processes or memory'));
    return;
}

# become_worker never returns.
sub become_worker {
    my ($self, $slot) = @_;
    close $self->{control};
    my ($socket, $log);
    for my $i (0 .. $#{$self->{slots}}) {
        my ($fd, $log_fd) = @{$self->{slots}[$i]};
        my @handle = (open_socket($fd), open_socket($log_fd));
        ($socket, $log) = @handle if $i == $slot;    # the others close here
    }
    fcntl $socket, F_SETFD, FD_CLOEXEC or die "fcntl: $!\n";
    open STDOUT, '>&', $log or die "cannot redirect STDOUT: $!\n";
    open STDERR, '>&', $log or die "cannot redirect STDERR: $!\n";
    close $log;
    STDOUT->autoflush(1);
    STDERR->autoflush(1);

    Thralld::Worker->new(
        app        => $self->{app},
        generation => $self->{generation},
        slot       => $slot,
        socket     => $socket,
    )->run;
    exit 0;
}

# report tells the Go process.
sub report {
    my ($self, $frame) = @_;
    send_frame($self->{control}, $frame) or exit 0;
    return;
}

1;

__END__

=head1 NAME

Thralld::Template - the process that forks the workers of one generation

=head1 DESCRIPTION

Started by the Go process with one control socket and, for every slot, the
worker's end of its socket pair and of its log pipe. It loads what workers
share, says so, and from then on does one thing: told to spawn a worker for a
slot, it forks. It reaps nothing, kills nothing and ends when the Go process
closes the control socket.

=cut
