package Thralld::Template;

use strict;
use warnings;

use IO::Handle ();
use Thralld::App;
use Thralld::Frame qw(:all);
use Thralld::Log;
use Thralld::Threads;
use Thralld::Worker;

# new takes the descriptor of the control socket.
sub new {
    my ($class, $fd) = @_;
    return bless {control => open_descriptor($fd), slots => []}, $class;
}

# run is the life of the template; it ends when the Go process is gone.
sub run {
    my ($self) = @_;
    STDOUT->autoflush(1);
    read_frame($self->{control}, my $boot) or exit 0;
    $self->boot(unpack LIST_LAYOUT, $boot);

    while (read_frame($self->{control}, my $frame)) {
        my ($type, undef, $slot) = frame_header($frame);
        $self->spawn($slot) if $type == SPAWN;
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
        Thralld::Threads::enable($self->{threads}) if $self->{threads} > 1;
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
share, says so, and from then on does one thing: told to spawn a worker for a
slot, it forks. It reaps nothing, kills nothing and ends when the Go process
closes the control socket.

=cut
