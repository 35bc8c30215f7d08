package Thralld::Template;

use strict;
use warnings;

use IO::Handle ();
use Thralld::App;
use Thralld::Frame qw(:all);
use Thralld::Log;
use Thralld::Worker;

# How many seconds a fork may look for the stack.
use constant PATIENCE => 5;

# new takes the descriptor of the control socket, and what finds the modules of the
# runtime that are not needed yet, as an element of @INC.
sub new {
    my ($class, $fd, $later) = @_;
    return bless {control => open_descriptor($fd), later => $later, slots => []}, $class;
}

# run is the life of the template; it ends when the Go process is gone.
sub run {
    my ($self) = @_;
    STDOUT->autoflush(1);
    read_frame($self->{control}, my $boot) or exit 0;
    $self->boot(unpack LIST_LAYOUT, $boot);

    while (read_frame($self->{control}, my $frame)) {
        my ($type, undef, $slot) = frame_header($frame);
        if    ($type == SPAWN)     { $self->spawn($slot) }
        elsif ($type == CALIBRATE) { $self->calibrate }
    }
    exit 0;
}

# boot reads what to run, as names and values, and loads what all workers share.
sub boot {
    my ($self, @list) = @_;
    my %option = (include => [], module => [], slot => []);
    while (my ($name, $value) = splice @list, 0, 2) {
        if (ref $option{$name}) { push @{$option{$name}}, $value }
        else                    { $option{$name} = $value }
    }
    $self->{generation} = $option{generation};
    $self->{threads}    = $option{threads};
    $self->{stack_size} = $option{thread_stack_size};
    $self->{slots}      = [map { [map { open_descriptor($_) } split /:/] } @{$option{slot}}];
    $self->{app}        = Thralld::App->new(%option);

    my $ready = eval {
        $self->enable_threads if $self->{threads} > 1;
        $self->{app}->prepare;
        $self->{app}->load if $option{preload};
        1;
    };
    if (!$ready) {
        $self->report(FAIL, 0, Thralld::App::message($@));
        exit 1;
    }
    $self->{app}->show_title("template, generation $self->{generation}");
    $self->report(LOADED, 0, '');
    return;
}

# enable_threads loads what workers with threads need, ahead of the app.
sub enable_threads {
    my ($self) = @_;
    local @INC = ($self->{later}, @INC);
    require Thralld::Threads;
    return Thralld::Threads::enable($self->{threads});
}

# spawn forks a worker twice over, so that it becomes a child of the Go process,
# which adopts orphans: Go learns how it ended from the kernel, also when the
# template has died.
sub spawn {
    my ($self, $slot) = @_;
    pipe my $from_middle, my $to_template or return $self->report(FAIL, $slot, "cannot fork a worker: $!");
    my $middle = fork;
    return $self->report(FAIL, $slot, "cannot fork a worker: $!") if !defined $middle;

    if ($middle == 0) {
        close $from_middle;
        my $pid = fork;
        if (defined $pid && $pid == 0) {
            close $to_template;
            $self->become_worker($slot);
        }
        syswrite $to_template,
            defined $pid ? frame_process(SPAWNED, $slot, $pid) : frame(FAIL, 0, $slot, "cannot fork a worker: $!");
        kill KILL => $$;    # nothing of what is loaded may run its END here
    }
    close $to_template;
    my $told = read_frame($from_middle, my $answer);
    waitpid $middle, 0;
    return $self->report(FAIL, $slot, 'cannot fork a worker: its parent was killed') if !$told;
    return $self->tell($answer);
}

# become_worker never returns.
sub become_worker {
    my ($self,   $slot) = @_;
    my ($socket, $log)  = @{$self->{slots}[$slot]};
    delete @{$self}{qw(control slots)};    # closes what belongs to others
    open STDOUT, '>&', $log or die "cannot redirect STDOUT: $!\n";
    open STDERR, '>&', $log or die "cannot redirect STDERR: $!\n";
    Thralld::Log::attach($_) for \*STDOUT, \*STDERR, $log;

    my $class = $self->{threads} > 1 ? 'Thralld::Threads' : 'Thralld::Worker';
    $class->new(
        app        => $self->{app},
        generation => $self->{generation},
        slot       => $slot,
        socket     => $socket,
        log        => $log,
        threads    => $self->{threads},
        stack_size => $self->{stack_size},
    )->run;
    exit 0;
}

# calibrate tells where this perl keeps its stack, which Go reads in the memory of
# workers. A fork looks for it: what it needs to load, and to touch, ends with it.
sub calibrate {
    my ($self) = @_;
    pipe my $from_fork, my $to_template or return $self->report(LAYOUT, 0, "unavailable: cannot make a pipe: $!");
    my $pid = fork;
    return $self->report(LAYOUT, 0, "unavailable: cannot fork: $!") if !defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(ALRM __DIE__ __WARN__);
        alarm PATIENCE;
        unshift @INC, $self->{later};
        syswrite $to_template, eval { require Thralld::Stack; Thralld::Stack::layout() } || "unavailable: $@";
        kill KILL => $$;    # nothing of what is loaded may run its END here
    }
    close $to_template;
    my $told = read_frame($from_fork, my $layout);
    waitpid $pid, 0;
    return $self->report(LAYOUT, 0, $told ? $layout : 'unavailable: the process that looked for it was killed');
}

# report tells the Go process how something went.
sub report {
    my ($self, $type, $slot, $text) = @_;
    return $self->tell(frame($type, 0, $slot, substr $text, 0, MAX_PIECE));
}

sub tell {
    my ($self, $frame) = @_;
    send_frame($self->{control}, $frame) or exit 0;    # the Go process is gone
    return;
}

1;

__END__

=head1 NAME

Thralld::Template - the process that forks the workers of one generation

=head1 DESCRIPTION

Started by the Go process with one control socket and, for every slot, the
worker's end of its socket pair and of its log pipe. It loads what workers
share, says so, and from then on does two things: told to spawn a worker for a
slot, it forks; asked where perl keeps its stack, it has another fork find out,
with L<Thralld::Stack>. It kills nothing and ends when the Go process closes the
control socket.

=cut
