package Load;

use 5.014;
use warnings;

use Carp qw(croak);
use Connection;
use IO::Handle ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

my $PAUSE = 0.003;    # of a client between two requests, so that the test and the daemon get to run

sub new {
    my ($class, $daemon, %option) = @_;
    my $self = bless {owner => $$, clients => []}, $class;
    $self->start($daemon, \&asking)    for 1 .. $option{asking}    // 2;
    $self->start($daemon, \&uploading) for 1 .. $option{uploading} // 0;
    for my $client (@{$self->{clients}}) {
        defined readline $client->{from} or croak "a client has ended before it began. The log:\n" . $daemon->log_text;
    }
    return $self;
}

# start starts a client in a process of its own; it writes a line when it has had the first answer,
# and another one with all that it has seen when it is told to stop.
sub start {
    my ($self, $daemon, $do) = @_;
    pipe my $from, my $to or croak "make a pipe: $!";
    my $pid = fork // croak "fork: $!";
    if ($pid) {
        close $to;
        push @{$self->{clients}}, {pid => $pid, from => $from};
        return;
    }
    my $target = bless {daemon => $daemon}, 'Load::Target';
    my ($stopped, %seen) = (0, requests => 0, failures => [], bodies => {});
    local $SIG{TERM} = sub { $stopped = 1 };
    while (!$stopped) {
        my $failure = eval { $do->(\%seen, $target) } // "died: $@";
        push @{$seen{failures}}, $failure if $failure ne q{};
        delete $seen{connection} if $failure ne q{};
        if (++$seen{requests} == 1) {
            $to->syswrite("begun\n");
        }
        sleep $PAUSE;
    }
    delete $seen{connection};
    print {$to} JSON::PP::encode_json(\%seen), "\n";
    $to->flush;
    return POSIX::_exit(0);
}

# stop ends all clients and returns what they have seen together.
sub stop {
    my ($self)  = @_;
    my %seen    = (requests => 0, failures => [], bodies => {});
    my @clients = splice @{$self->{clients}};
    kill TERM => map { $_->{pid} } @clients;
    for my $client (@clients) {
        my $line = readline($client->{from}) // croak 'a client has died';
        waitpid $client->{pid}, 0;
        my $its = JSON::PP::decode_json($line);
        $seen{requests} += $its->{requests};
        push @{$seen{failures}}, @{$its->{failures}};
        $seen{bodies}{$_} += $its->{bodies}{$_} for keys %{$its->{bodies}};
    }
    return \%seen;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($@, $!, $?);
    for my $client (@{$self->{clients}}) {
        kill KILL => $client->{pid};
        waitpid $client->{pid}, 0;
    }
    return;
}

# ---- one request; what failed, or the empty string ----

sub asking {
    my ($seen, $target) = @_;
    my $connection = $seen->{connection} //= Connection->new($target);
    $connection->get('/');
    return answered($seen, $connection->response('GET'));
}

# uploading sends a body in pieces, as a slow client does.
sub uploading {
    my ($seen, $target) = @_;
    my $connection = $seen->{connection} //= Connection->new($target);
    my $pieces     = 10;
    $connection->send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: $pieces\r\n\r\n");
    for (1 .. $pieces) {
        sleep $PAUSE;
        $connection->send('x');
    }
    return answered($seen, $connection->response('POST'));
}

sub answered {
    my ($seen, $response) = @_;
    return 'the connection was closed instead of an answer' if !$response;
    return "status $response->{status}: $response->{body}" if $response->{status} != 200;
    return 'the answer was cut' if !$response->{whole};
    $seen->{bodies}{$response->{body}}++;
    delete $seen->{connection} if ($response->{fields}{connection}[0] // q{}) eq 'close';
    return q{};
}

# Load::Target is the daemon as a client in another process may use it: its log is not for it to read.
package Load::Target;    ## no critic (ProhibitMultiplePackages): of no use elsewhere

sub connect   { my ($self) = @_; return $self->{daemon}->connect }
sub log_lines { return }
sub log_text  { return '(the test has it)' }

1;

__END__

=head1 NAME

Load - clients that ask one thing after the other while the test does something else

=head1 SYNOPSIS

    my $load = Load->new($daemon, asking => 4, uploading => 2);
    ...
    my $seen = $load->stop;
    is_deeply $seen->{failures}, [], 'no request failed';

=head1 DESCRIPTION

Each client is a process with one kept connection.

=head1 METHODS

=over

=item Load->new($daemon, %options)

Starts C<asking> clients that get C</>, 2 by default, and C<uploading> ones that post slowly, none by
default. It returns when each has had an answer.

=item stop

Ends them, and returns how many C<requests> there were, the C<failures> in words (whatever is not a whole
answer with the status 200), and the C<bodies> with how often each came.

=back

=cut
