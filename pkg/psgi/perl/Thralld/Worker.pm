package Thralld::Worker;

use strict;
use warnings;

use Fcntl qw(F_GETFD);
use Socket qw(MSG_DONTWAIT MSG_PEEK);
use Thralld::App;
use Thralld::Frame qw(:all);
use Thralld::Response;
use Time::HiRes qw(time);

# new takes app (a Thralld::App), generation, slot and socket.
sub new {
    my ($class, %option) = @_;
    my $self = bless {%option, pid => $$, held => {}}, $class;
    $self->{extensions} = $self->extensions;
    return $self;
}

# run is the life of a worker: load the app, then serve until told to quit, or
# until the Go process is gone.
sub run {
    my ($self) = @_;
    srand;    # not the numbers of every other worker of this template
    $self->{app}->show_title("worker $self->{slot}, generation $self->{generation}, loading");
    if (!eval { $self->{code} = $self->{app}->load; 1 }) {
        my $message = Thralld::App::message($@);
        $self->tell(frame_list(FAIL, 0, substr $message, 0, MAX_PIECE));
        exit 1;
    }
    $self->{app}->show_title("worker $self->{slot}, generation $self->{generation}");
    $self->tell(frame_process(READY, 0, $$));

    my $quit;
    until ($self->{leaving} || $quit && !%{$self->{held}}) {
        my $frame = read_frame($self->{socket});
        last if !defined $frame;
        my ($type, undef, $id) = frame_header($frame);
        if    ($type == REQUEST) { $self->serve($frame) }
        elsif ($type == ACK)     { $self->close_body(delete $self->{held}{$id}) }
        elsif ($type == QUIT)    { $quit = 1 }
    }
    return;
}

# serve runs one request from its frame to the last cleanup handler.
sub serve {
    my ($self, undef) = @_;
    my $began = time;
    my ($flags, $id, $body, %env) = unpack 'x C x2 N N/a* (N/a*)*', $_[1];
    my $env = \%env;
    $self->{request} = Thralld::Response->new($self, $id, $env, $began);

    $env->{'psgi.version'}          = [1, 1];
    $env->{'psgi.errors'}           = \*STDERR;
    $env->{'psgi.multithread'}      = !!0;
    $env->{'psgi.multiprocess'}     = !!1;
    $env->{'psgi.run_once'}         = !!0;
    $env->{'psgi.nonblocking'}      = !!0;
    $env->{'psgi.streaming'}        = !!1;
    $env->{'psgix.input.buffered'}  = !!1;
    $env->{'psgix.harakiri'}        = !!1;
    $env->{'psgix.cleanup'}         = !!1;
    $env->{'psgix.cleanup.handlers'} = [];
    $env->{'psgix.logger'}          = $self->{extensions}{logger};
    $env->{'psgix.informational'}   = $self->{extensions}{informational};
    $env->{'thralld.generation'}    = $self->{generation};

    my $response = $self->{request};
    if ($flags & SPOOLED ? open $env->{'psgi.input'}, '<:raw', $body : open $env->{'psgi.input'}, '<:raw', \$body) {
        my $returned;
        if (eval { $returned = $self->{code}->($env); 1 }) {
            $response->take($returned);
        }
        else {
            $response->failed($@);
        }
    }
    else {
        $response->failed("cannot open the request's body in $body: $!");
    }

    if ($response->{busy}) {
        $self->clean_up($env);
        $self->{leaving} ||= $env->{'psgix.harakiri.commit'};
        $self->tell(pack 'C C x2 N', IDLE, $self->{leaving} ? LEAVING : 0, $id);
    }
    $self->{request} = undef;
    return;
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

# extensions makes the code references that every environment shares: they act
# on the request being run.
sub extensions {
    my ($self) = @_;
    return {
        logger => sub {
            my ($line) = @_;
            my @line = map { Thralld::App::message($_) } @{$line}{qw(level message)};
            $self->tell(frame_list(LOG, $self->{request} ? $self->{request}{id} : 0, $line[0], substr $line[1], 0, MAX_PIECE));
        },
        informational => sub {
            $self->{request}->inform(@_) if $self->{request};
        },
    };
}

# tell sends a frame up. A process that the app forked and that came back here
# ends instead: it must never answer on its parent's socket.
sub tell {
    my ($self, $frame) = @_;
    if ($$ != $self->{pid}) {
        require POSIX;
        POSIX::_exit(0);
    }
    send_frame($self->{socket}, $frame) or exit 0;    # the Go process is gone
    return;
}

# cancelled looks, without waiting, whether the client of this request has left.
sub cancelled {
    my ($self, $id) = @_;
    defined recv $self->{socket}, my $next, 8, MSG_PEEK | MSG_DONTWAIT or return 0;
    return 0 if length $next < 8;
    my ($type, undef, $cancelled) = frame_header($next);
    return 0 if $type != CANCEL;
    read_frame($self->{socket});
    return $cancelled == $id || $self->cancelled($id);
}

# complain writes to the app's log.
sub complain {
    my (undef, $what, $why) = @_;
    print STDERR "$what: ", Thralld::App::message($why), "\n";
    return;
}

# close_body ends a body as PSGI asks: once, and whatever became of the rest.
sub close_body {
    my ($self, $body) = @_;
    return if !defined $body;
    eval { $body->close; 1 } or $self->complain('closing the response body failed', $@);
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
