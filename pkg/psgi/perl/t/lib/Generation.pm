package Generation;

use strict;
use warnings;

use Fcntl qw(F_SETFD);
use File::Basename qw(basename dirname);
use File::Temp ();
use Slot;
use Socket qw(AF_UNIX SOCK_SEQPACKET PF_UNSPEC);
use Thralld::Frame qw(:all);

my $RUNTIME = dirname(__FILE__) . '/../..';

# new starts a template as the Go process does: the whole runtime as one program on
# standard input, and what to load in a frame. Options are those of the frame; a list
# stands for a name that may come more than once.
sub new {
    my ($class, %option) = @_;
    my @slots = map { [Slot->ends] } 1 .. 3;
    socketpair my $ours, my $control, AF_UNIX, SOCK_SEQPACKET, PF_UNSPEC or die "socketpair: $!\n";
    pipe my $output, my $log or die "pipe: $!\n";
    $output->blocking(0);

    my $program = program();
    my $pid     = fork;
    die "fork: $!\n" if !defined $pid;
    if ($pid == 0) {
        fcntl $_, F_SETFD, 0 or die "fcntl: $!\n" for $control, map { @{$_}[1, 2] } @slots;
        delete $ENV{PERL5OPT};
        open STDIN,  '<',  "$program" or die "open: $!\n";
        open STDOUT, '>&', $log or die "open: $!\n";
        open STDERR, '>&', $log or die "open: $!\n";
        exec $^X, '-', fileno $control or die "exec: $!\n";
    }
    close $control;
    my @list = (
        app                => '',
        eval               => '',
        env                => 'deployment',
        default_middleware => 1,
        quiet              => '',
        preload            => '',
        generation         => 5,
        threads            => 1,
        thread_stack_size  => 0,
        %option,
        slot => [
            map {
                join ':',
                    map { fileno $_ }
                    @{$_}[1, 2]
            } @slots
        ],
    );
    my @boot;
    while (my ($name, $value) = splice @list, 0, 2) {
        push @boot, map { ($name => $_) } ref $value ? @{$value} : $value;
    }
    send_frame($ours, frame_list(BOOT, 0, @boot)) or die "the template is gone\n";

    my $self = bless {pid => $pid, owner => $$, output => $output, slots => [map { $_->[0] } @slots]}, $class;
    $self->{control} = bless {socket => $ours, output => $output, owner => $$}, 'Slot';
    $self->{loaded}  = $self->{control}->next_frame;
    return $self;
}

# program is what psgi.Program makes in Go, in a file.
sub program {
    my $file = File::Temp->new;
    print {$file} slurp("$RUNTIME/boot.pl"), "\n__END__\n";
    print {$file} '==== Thralld/', basename($_), "\n", slurp($_) for sort glob "$RUNTIME/Thralld/*.pm";
    close $file or die "close: $!\n";
    return $file;
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<', $path or die "cannot read $path: $!\n";
    local $/;
    return scalar readline $fh;
}

# failure is why the template could not load what it was told to.
sub failure {
    my ($self) = @_;
    return $self->{loaded}{type} == FAIL ? $self->{loaded}{payload} : undef;
}

# worker spawns one and returns its slot; it may not be ready yet.
sub worker {
    my ($self, $number) = @_;
    $number ||= 0;
    die 'the template has failed: ' . $self->failure . "\n" if $self->failure;
    $self->{control}->tell(SPAWN, $number);
    my $spawned = $self->{control}->next_frame;
    die "no worker was spawned: $spawned->{payload}\n" if $spawned->{type} != SPAWNED || $spawned->{id} != $number;
    $self->{slots}[$number]{spawned} = unpack 'N', $spawned->{payload};
    return $self->{slots}[$number];
}

# said is why a worker could not load the app.
sub said {
    my ($self) = @_;
    my $frame = $self->worker->next_frame;
    return $frame->{type} == FAIL ? $frame->{payload} : undef;
}

sub log { return $_[0]{control}->log }

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($?, $@, $!);
    delete @{$self}{qw(control slots)};    # all of them end
    waitpid $self->{pid}, 0;
    return;
}

1;

__END__

=head1 NAME

Generation - a template under test, and the Go process that it talks to

=cut
