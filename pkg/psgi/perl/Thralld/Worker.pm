package Thralld::Worker;

use strict;
use warnings;

use POSIX ();
use Socket qw(MSG_DONTWAIT MSG_NOSIGNAL MSG_PEEK);
use Thralld::App;
use Thralld::Frame qw(:all);
use Thralld::Log;
use Thralld::Response qw(in_one);
use Time::HiRes qw(sleep time);

# How often, a millisecond apart, a worker that leaves looks whether the files
# it has handed over have been opened.
use constant PATIENCE => 2000;

# new takes app (a Thralld::App), generation, slot, socket and log.
sub new {
    my ($class, %option) = @_;
    my $self = bless {%option, pid => $$, held => {}, early => [], cancelled => -1}, $class;
    $self->{shared_env} = [%{{$self->shared_env}}];    # keys of a hash know their hash value
    return $self;
}

# shared_env is the part of the environment that is the same for every request.
# What needs to know the request acts on the one being run.
sub shared_env {
    my ($self) = @_;
    return (
        'psgi.errors'          => \*STDERR,
        'psgi.multithread'     => !!0,
        'psgi.multiprocess'    => !!1,
        'psgi.run_once'        => !!0,
        'psgi.nonblocking'     => !!0,
        'psgi.streaming'       => !!1,
        'psgix.input.buffered' => !!1,
        'psgix.harakiri'       => !!1,
        'psgix.cleanup'        => !!1,
        'psgix.logger'         => sub { $self->log_line(@_) },
        'psgix.informational'  => sub { $self->response->inform(@_) if $self->{request} },
        'thralld.generation'   => $self->{generation},
    );
}

# run is the life of a worker: load the app, then serve until told to quit, or
# until the Go process is gone.
sub run {
    my ($self) = @_;
    srand;    # not the numbers of every other worker of this template
    $self->{app}->show_title("worker $self->{slot}, generation $self->{generation}, loading");
    if (!eval { $self->{code} = $self->{app}->load; 1 }) {
        $self->tell(frame(FAIL, 0, 0, substr Thralld::App::message($@), 0, MAX_PIECE));
        exit 1;
    }
    $self->{app}->show_title("worker $self->{slot}, generation $self->{generation}");
    return $self->work;
}

# work says that the worker is ready and serves, until it is told to quit.
sub work {
    my ($self) = @_;
    $self->tell(frame_process(READY, 0, $$));

    until ($self->{leaving} || $self->{quit} && !%{$self->{held}}) {
        $self->end_fork if $$ != $self->{pid};    # a child of the app that has come this far has no business here
        my $frame = '';
        if (!eval { sysread $self->{socket}, $frame, MAX_FRAME or read_frame($self->{socket}, $frame); 1 }) {
            $self->complain('a signal handler of the app died between two requests', $@);
            next if !length $frame;
        }
        last if !length $frame;
        if (ord $frame == REQUEST) {
            $self->serve(\$frame);
        }
        else {
            my ($type, undef, $id) = frame_header($frame);
            $self->obey($type, $id);
        }
        while (@{$self->{early}}) {
            my $early = shift @{$self->{early}};
            $self->serve(\$early);
        }
    }

    # What else is queued is for Go to take back: look, and read no request.
    for (1 .. PATIENCE) {
        last if !%{$self->{held}};
        sleep 0.001;
        $self->attend;
    }
    return;
}

# serve runs one request from its frame to the last cleanup handler. It takes a
# reference, as a stack trace shows arguments, and bodies hold passwords.
sub serve {
    my ($self, $frame) = @_;
    my $began = time;
    my ($flags, $id, $body, $layout, $text) = unpack REQUEST_LAYOUT, ${$frame};
    my %env = (unpack($layout, $text), @{$self->{shared_env}});
    $env{'psgi.version'}           = [1, 1];
    $env{'psgix.cleanup.handlers'} = [];
    local $Thralld::Log::id = $env{'thralld.request_id'};
    Thralld::Log::reattach() if @Thralld::Log::detached;          # the app has started a thread
    my $request = $self->{request} = [$id, \%env, $began, ''];    # and whether it is answered
    $self->connect_client(\%env) if exists $env{'psgix.io'};
    {
        # A block of its own, which an app that says `next` outside a loop leaves.
        eval {
            if (length $body) {
                open $env{'psgi.input'}, '<:raw', $flags & SPOOLED ? $body : \$body
                    or die "cannot open the request's body $body: $!\n";
            }
            else {
                $env{'psgi.input'}
                    = $self->{no_input} && tell $self->{no_input} == 0 ? $self->{no_input} : $self->no_input;
            }
            my $returned = $self->{code}->(\%env);
            my $whole    = in_one($returned, @{$request});
            if (!defined $whole) {
                $self->response->take($returned);
            }
            elsif ($$ != $self->{pid} || !($request->[3] = defined send $self->{socket}, $whole, MSG_NOSIGNAL)) {
                $self->tell($whole);
                $request->[3] = 1;
            }
            1;
        } or $self->response->failed($@);
    }
    $self->finish if !$request->[3];
    $self->{request} = $self->{response} = $self->{offered} = undef;
    return;
}

# connect_client makes psgix.io, of the address at which the Go process offers the
# client's connection to this request.
sub connect_client {
    my ($self, $env) = @_;
    my $address = delete $env->{'psgix.io'};
    my $client  = eval {
        local $SIG{__DIE__};    # what fails here is no matter for the app
        require IO::Socket::UNIX;
        IO::Socket::UNIX->new(Peer => $address) || die "$!\n";
    };
    return $self->complain('psgix.io is missing', $@) if !$client;
    $env->{'psgix.io'} = $client;
    $self->{offered}   = 1;
    return;
}

# no_input makes the body of requests that have none. They share it until an app closes
# it: to open one for each would be the most expensive thing that is done for hello.
sub no_input {
    my ($self) = @_;
    open my $input, '<:raw', \'' or die "cannot open a body of nothing: $!\n";
    return $self->{no_input} = $input;
}

# response is that of the request being run, for all but the commonest answers.
sub response {
    my ($self) = @_;
    my ($id, $env, $began, $answered) = @{$self->{request}};
    my $response = $self->{response} ||= Thralld::Response->new($self, $id, $env, $began);
    $response->{state} = 'done' if $answered;
    return $response;
}

# finish does what is left to do when the app has returned.
sub finish {
    my ($self) = @_;
    my $response = $self->response;
    $response->breach('the app left its code by next or last') if $response->{state} ne 'done';
    return if !$response->{busy};
    my ($id, $env) = @{$response}{qw(id env)};
    $self->clean_up($env);
    return $self->tell(frame(IDLE, $self->leave($env, $id), $id, ''));
}

# leave notes whether the worker ends after this request (psgix.harakiri), and
# returns the flag that says so.
sub leave {
    my ($self, $env) = @_;
    return 0 if !$env->{'psgix.harakiri.commit'};
    $self->{leaving} = 1;
    return LEAVING;
}

# clean_up runs the cleanup handlers (PSGI::Extensions): their results and
# deaths touch nothing but the log.
sub clean_up {
    my ($self, $env) = @_;
    my $handlers = $env->{'psgix.cleanup.handlers'};
    return if ref $handlers ne 'ARRAY';
    for my $handler (@{$handlers}) {
        eval { $handler->($env); 1 } or $self->complain('a cleanup handler died', $@);
    }
    return;
}

# log_line is psgix.logger.
sub log_line {
    my ($self, $line) = @_;
    return $self->complain(@{$line}{qw(level message)}) if $$ != $self->{pid};    # a child has no say
    my ($level, $message) = map { substr Thralld::App::message($_), 0, MAX_PIECE / 2 } @{$line}{qw(level message)};
    $self->tell(frame_list(LOG, $self->{request} ? $self->{request}[0] : 0, $level, $message));
    return;
}

# tell sends a frame up.
sub tell {
    my ($self, $frame) = @_;
    $self->end_fork if $$ != $self->{pid};
    send_frame($self->{socket}, $frame) or $self->orphaned;
    return;
}

# orphaned ends this process, as the Go process is gone.
sub orphaned { exit 0 }

# end_fork ends a process that the app forked and that came back into the
# runtime: it must never read or answer on its parent's socket.
sub end_fork {
    my ($self) = @_;
    POSIX::_exit(0) if $$ != $self->{pid};
    return;
}

# obey does what a frame other than a request says.
sub obey {
    my ($self, $type, $id) = @_;
    if    ($type == ACK)    { $self->close_body(delete $self->{held}{$id}) }
    elsif ($type == CANCEL) { $self->{cancelled} = $id }
    elsif ($type == QUIT)   { $self->{quit} = 1 }
    return;
}

# attend obeys what has come, without waiting. It leaves requests where they
# are; but Go may take one frame back between our look and our read, and the
# next one is a request: then that one is served next.
sub attend {
    my ($self) = @_;
    $self->end_fork;
    while (defined recv $self->{socket}, my $next, 8, MSG_PEEK | MSG_DONTWAIT) {
        return if length $next < 8 || (frame_header($next))[0] == REQUEST;
        defined recv $self->{socket}, my $frame, MAX_FRAME, MSG_DONTWAIT or return;
        return if length $frame < 8;
        my ($type, undef, $id) = frame_header($frame);
        if ($type == REQUEST) { push @{$self->{early}}, $frame }
        else                  { $self->obey($type, $id) }
    }
    return;
}

# cancelled tells, without waiting, whether the client of this request has left.
sub cancelled {
    my ($self, $id) = @_;
    $self->attend;
    return $self->{cancelled} == $id;
}

# complain writes to the worker's log, whatever the app has made of STDERR.
sub complain {
    my ($self, $what, $why) = @_;
    local ($,, $\);
    print {$self->{log}} "$what: ", Thralld::App::message($why), "\n";
    return;
}

# close_body ends a body as PSGI asks: once, and whatever became of the rest.
sub close_body {
    my ($self, $body) = @_;
    return if !defined $body;
    eval { $body->close; 1 } or $self->complain('closing the response body failed', $@);
    $self->end_fork;
    return;
}

1;

__END__

=head1 NAME

Thralld::Worker - one process that runs the app, one request at a time

=head1 DESCRIPTION

Reads requests from its slot, makes the PSGI environment, calls the app and
hands what it returns to L<Thralld::Response>. All state of a request lives in
one response object; the worker itself keeps its socket, the app, and the files
it has handed over and may not close yet.

=cut
