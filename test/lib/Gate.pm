package Gate;

use 5.014;
use warnings;

use Carp qw(croak);
use Fcntl qw(O_NONBLOCK O_RDWR);
use POSIX qw(mkfifo);

sub new {
    my ($class, $daemon) = @_;
    state $count = 0;
    my $path = $daemon->dir . '/gate' . ++$count;
    mkfifo $path, oct 600 or croak "make the fifo $path: $!";

    # Held open at both ends, so that nobody waits for the other one to come.
    sysopen my $fifo, $path, O_RDWR | O_NONBLOCK or croak "open $path: $!";
    return bless {daemon => $daemon, path => $path, fifo => $fifo}, $class;
}

sub field { my ($self) = @_; return "X-Gate: $self->{path}" }

sub wait_for_app {
    my ($self) = @_;
    my $times = ++$self->{times};
    return $self->{daemon}->wait_for_log(sub { $_[0]{msg} eq "at the gate $self->{path}" && !--$times });
}

sub open {    ## no critic (ProhibitBuiltinHomonyms): it is a gate
    my ($self) = @_;
    syswrite $self->{fifo}, "\n" or croak "open the gate $self->{path}: $!";
    return;
}

# wait_at is the app's side: it says that it is there, and waits to be let through. When the test has
# ended, it need not wait any more.
sub wait_at {
    my ($env) = @_;
    my $path = $env->{HTTP_X_GATE} // croak 'the request names no gate';
    CORE::open my $fifo, '<', $path or croak "open $path: $!";
    print {*STDERR} "at the gate $path\n";
    sysread $fifo, my $let_through, 1;
    close $fifo or croak "close $path: $!";
    return;
}

1;

__END__

=head1 NAME

Gate - a place where an app waits until the test lets it go on

=head1 SYNOPSIS

    my $gate = Gate->new($daemon);
    $connection->get('/wait', $gate->field);
    my $event = $gate->wait_for_app;    # names the worker and the request
    $gate->open;                        # both once for each time that the app waits

    use Gate;                           # in the app
    Gate::wait_at($env);

=head1 DESCRIPTION

Holds a request in its middle for as long as a test needs it there, without anybody sleeping. The gate is
a named pipe whose path goes to the app in a header field.

=cut
