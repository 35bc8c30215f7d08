package Thralld::Threads;

use strict;
use warnings;

use parent -norequire, 'Thralld::Worker';

use Config ();
use POSIX ();
use Socket qw(MSG_DONTWAIT MSG_PEEK);
use Thralld::Frame qw(:all);
use Thralld::Log;
use Thralld::Worker;
use Time::HiRes qw(sleep time);

# How many pieces of a response a thread sends beyond those that the Go process
# has passed on: one less than streamDepth in call.go. So a slow client holds up
# one thread, and not what is read from the others.
use constant WINDOW => 3;

# How many ids of cancelled requests are kept that no thread is known to run: one
# may have read its request a moment ago.
use constant FRESH => 64;

# How many seconds a thread waits for its file to be opened; and until it looks
# again, whatever it waits for.
use constant {PATIENCE => 2, GLANCE => 0.02};

# How many bytes of log a thread writes at a time, so that they stay in one piece.
use constant RUN => 3900;

# enable loads what threads need, which is to be there before the app is. It dies
# with what to do about it when this perl has none.
sub enable {
    my ($threads) = @_;
    die sprintf "threads = %d: this perl (%s, version %vd) is built without threads. Set threads = 1 and start more\n"
        . "workers instead, or set the key perl to a perl for which `perl -V:useithreads` says define\n", $threads,
        $^X, $^V
        if !$Config::Config{useithreads};
    require threads;
    require threads::shared;
    return;
}

# new takes what Thralld::Worker takes, and threads and stack_size (bytes; 0 is
# what perl was built with).
sub new {
    my ($class, %option) = @_;
    enable($option{threads});
    my $self = $class->SUPER::new(%option);

    # What all threads see. Each locks it for a moment only.
    $self->{shared} = threads::shared::shared_clone({
        quit      => 0,        # end instead of reading on
        leaver    => undef,    # the request that ends the worker
        idle      => {},       # the threads that read whatever comes, by number
        running   => {},       # the requests being run; true when the client has left
        acked     => {},       # how many frames of theirs the Go process has acknowledged
        cancelled => [],       # the last ids of cancelled requests that nobody was known to run
        early     => [],       # requests read by mistake, see attend
    });
    $self->{early} = $self->{shared}{early};
    return $self;
}

sub shared_env {
    my ($self) = @_;
    return ($self->SUPER::shared_env, 'psgi.multithread' => !!1);
}

# work starts the threads, says that the worker is ready, and waits for their end:
# in a read, so that handlers of signals run, most of which come to this thread.
sub work {
    my ($self) = @_;
    pipe my $ended, my $ends or die "cannot make a pipe: $!\n";
    threads->set_stack_size($self->{stack_size}) if $self->{stack_size};
    my @threads;
    for my $number (1 .. $self->{threads}) {
        my $thread = threads->create({context => 'void'}, sub { $self->live($ends) });
        if ($thread) {
            push @threads, $thread;
            next;
        }
        $self->tell(frame(FAIL, 0, 0, "cannot start thread $number of $self->{threads} (threads): $!"));
        exit 1;
    }
    Thralld::Log::reattach();
    $self->tell(frame_process(READY, 0, $$));

    my $left = $self->{threads};
    my $wait = sub {
        while ($left > 0 && read_frame($ended, my $bytes)) { $left -= length $bytes }    # each thread writes one
        return 1;
    };
    until (eval { $wait->() }) {
        $self->complain('a signal handler of the app died', $@);
    }
    $_->join for @threads;                                                               # and for none of the app's
    return;
}

# live is the life of a thread. One that dies in the runtime ends the worker, as
# the request that it ran would have no answer.
sub live {
    my ($self, $ends) = @_;
    srand;    # not the numbers of every other thread
    $Thralld::Log::run = RUN;
    if (!eval { $self->serve_all; 1 }) {
        $self->complain('a thread of the worker died', $@);
        POSIX::_exit(1);
    }
    syswrite $ends, '.';
    return;
}

# serve_all serves what this thread reads until the worker is told to quit.
sub serve_all {
    my ($self) = @_;
    while (1) {
        my $frame;
        if (!eval { $frame = $self->next_frame; 1 }) {
            $self->complain('a signal handler of the app died between two requests', $@);
            next;
        }
        return if !$frame;
        my ($type, undef, $id) = frame_header(${$frame});
        if   ($type == REQUEST) { $self->serve($frame) }
        else                    { $self->obey($type, $id) }
    }
    return;
}

# next_frame waits for a frame and returns a reference to it; undef when this
# thread is to end. The Go process sends as many QUITs as there are threads, so
# that one reaches each that waits here.
sub next_frame {
    my ($self) = @_;
    my $shared = $self->{shared};
    my $number = threads->tid;
    my $frame;
    $self->end_fork;    # a child of the app that has come this far has no business here
    {
        lock %{$shared};
        return \$frame if defined($frame = shift @{$shared->{early}});
        return if $shared->{quit};
        $shared->{idle}{$number} = 1;
    }
    my $got = read_frame($self->{socket}, $frame);
    lock %{$shared};
    delete $shared->{idle}{$number};
    threads::shared::cond_broadcast($shared) if !%{$shared->{idle}};    # who waits has to read for itself
    return \$frame if $got;
    $shared->{quit} = 1;                                                # the Go process is gone
    return;
}

# serve runs one request; this thread is not free before its file may be closed.
sub serve {
    my ($self, $frame) = @_;
    my $shared = $self->{shared};
    my (undef, undef, $id) = frame_header(${$frame});
    {
        lock %{$shared};
        $shared->{running}{$id} = scalar grep { $_ == $id } @{$shared->{cancelled}};
    }
    $self->{pieces} = 0;
    $self->SUPER::serve($frame);

    $self->settle($id) if $self->{held}{$id};
    lock %{$shared};
    delete $shared->{$_}{$id} for qw(running acked);
    return;
}

# settle closes the file that was the body when the Go process has opened it.
sub settle {
    my ($self, $id) = @_;
    my $deadline = time + PATIENCE;
    my $acked    = $self->{shared}{acked};
    $self->await(sub { $acked->{$id} || time > $deadline });
    return $self->close_body(delete $self->{held}{$id});
}

# tell sends a frame up; a piece of a body only when most of those before it have
# been passed on, or nobody wants them any more.
sub tell {
    my ($self, $frame) = @_;
    my ($type, $flags, $id) = frame_header($frame);
    if ($type == BODY && !($flags & END_RESPONSE)) {
        my ($running, $acked) = @{$self->{shared}}{qw(running acked)};
        $self->end_fork;
        $self->await(sub { $running->{$id} || $self->{pieces} - ($acked->{$id} || 0) < WINDOW });
        $self->{pieces}++;
    }
    return $self->SUPER::tell($frame);
}

# orphaned ends at once: perl's exit does not do well while other threads run.
sub orphaned { return POSIX::_exit(0) }

# leave ends all threads, each after the request that it runs. The first one to
# leave says so.
sub leave {
    my ($self, $env, $id) = @_;
    return 0 if !$env->{'psgix.harakiri.commit'};
    $self->end_fork;
    my $shared = $self->{shared};
    lock %{$shared};
    $shared->{quit}   = 1;
    $shared->{leaver} = $id if !defined $shared->{leaver};
    return $shared->{leaver} == $id ? LEAVING : 0;
}

# obey does what a frame other than a request says, for whichever thread it is.
sub obey {
    my ($self, $type, $id) = @_;
    my $shared = $self->{shared};
    lock %{$shared};
    if    ($type == QUIT)                   { $shared->{quit} = 1 }
    elsif (!exists $shared->{running}{$id}) { $self->remember($id) if $type == CANCEL }
    elsif ($type == CANCEL)                 { $shared->{running}{$id} = 1 }
    elsif ($type == ACK)                    { $shared->{acked}{$id}++ }
    threads::shared::cond_broadcast($shared);
    return;
}

# remember notes that a request was cancelled which has been answered already, or
# will be run in a moment by the thread that has read it.
sub remember {
    my ($self, $id) = @_;
    my $cancelled = $self->{shared}{cancelled};
    push @{$cancelled}, $id;
    shift @{$cancelled} if @{$cancelled} > FRESH;
    return;
}

# attend obeys what has come, without waiting, if no thread is idle: one that is
# reads everything. It tells whether there was something.
sub attend {
    my ($self) = @_;
    $self->end_fork;
    my $shared = $self->{shared};
    lock %{$shared};
    return 0 if %{$shared->{idle}};
    my $count = 0;
    while (defined recv $self->{socket}, my $next, 8, MSG_PEEK | MSG_DONTWAIT) {
        $self->orphaned if !length $next;
        last if (frame_header($next))[0] == REQUEST;
        defined recv $self->{socket}, my $frame, MAX_FRAME, MSG_DONTWAIT or last;
        last if length $frame < 8;
        my ($type, undef, $id) = frame_header($frame);
        if ($type == REQUEST) { push @{$shared->{early}}, $frame }
        else                  { $self->obey($type, $id) }
        $count++;
    }
    return $count;
}

# await obeys what comes until a condition is met, which is asked with all that is
# shared locked. As long as a thread is idle, that one reads, and wakes this one.
sub await {
    my ($self, $met) = @_;
    my $shared = $self->{shared};
    vec(my $socket = '', fileno $self->{socket}, 1) = 1;
    while (1) {
        $self->attend;
        {
            lock %{$shared};
            until ($met->()) {
                last if !%{$shared->{idle}};
                threads::shared::cond_timedwait($shared, time + GLANCE);
            }
            return if $met->();
        }
        next if select(my $readable = $socket, undef, undef, GLANCE) <= 0 || $self->attend;
        sleep 0.001;    # a request: the thread that will read it is on its way
    }
    return;
}

sub cancelled {
    my ($self, $id) = @_;
    $self->attend;
    my $shared = $self->{shared};
    lock %{$shared};
    return $shared->{running}{$id};
}

1;

__END__

=head1 NAME

Thralld::Threads - a worker that runs the app in several threads

=head1 DESCRIPTION

A L<Thralld::Worker> whose threads are perl's: each is a copy of the interpreter,
made after the app has been loaded. All of them read the worker's slot, so a
request goes to whichever is idle, and a frame about a request may be read by
another thread than the one that runs it: what it says is shared.

What is perl's own rule in threads: C<exit> in one ends the process, without its
C<END> blocks; handlers of signals run in the first thread, which runs no
request, unless the kernel chooses another; C<alarm> belongs to the process,
which it ends; and what programs that the app runs see of C<%ENV> is what it was
when the app was loaded.

=cut
