package Slot;

use strict;
use warnings;

use Exporter qw(import);
use IO::Handle ();
use Socket qw(AF_UNIX SOCK_SEQPACKET PF_UNSPEC);
use Thralld::Frame qw(:all);
use Thralld::Template;
use Thralld::Threads;

our @EXPORT_OK = qw(answer_of strays);

# After how many seconds a worker on a slow machine would long have done anything.
use constant LIMIT => 30;

# new forks a worker that runs the code, in one thread or as many as the option
# threads says, and plays the Go process for it. With
# both_ends it keeps the worker's end of the socket, too, as the Go process does;
# then nobody sees a worker end by its socket.
sub new {
    my ($class, $code,   %option) = @_;
    my ($slot,  $socket, $log)    = $class->ends;
    my $pid = fork;
    die "fork: $!\n" if !defined $pid;
    if ($pid == 0) {
        delete $slot->{socket};
        my %template = (
            slots      => [[$socket, $log]],
            app        => bless({code => $code}, 'Slot::App'),
            generation => 3,
            threads    => $option{threads} || 1,
            stack_size => 0,
        );
        bless(\%template, 'Thralld::Template')->become_worker(0);
    }
    $slot->{pid}         = $pid;
    $slot->{workers_end} = $socket if $option{both_ends};
    return $slot;
}

# ends makes a slot without a worker, and returns the worker's ends with it.
sub ends {
    my ($class) = @_;
    socketpair my $ours, my $socket, AF_UNIX, SOCK_SEQPACKET, PF_UNSPEC or die "socketpair: $!\n";
    pipe my $output, my $log or die "pipe: $!\n";
    $output->blocking(0);
    $log->autoflush(1);
    return bless({socket => $ours, output => $output, id => 0, owner => $$}, $class), $socket, $log;
}

# ready waits until the worker is, and returns its pid.
sub ready {
    my ($self) = @_;
    return $self->{ready} if $self->{ready};
    my $frame = $self->next_frame;
    die "the worker is not ready: $frame->{payload}\n" if $frame->{type} != READY;
    return $self->{ready} = unpack 'N', $frame->{payload};
}

# request sends a request and returns its id. Keys are those of the environment, and
# body or spool_file.
sub request {
    my ($self, %env) = @_;
    $self->ready;
    my $id    = ++$self->{id};
    my $spool = delete $env{spool_file};
    my $body  = delete $env{body};
    $body = '' if !defined $body;
    my @env = (
        REQUEST_METHOD    => 'GET',
        SCRIPT_NAME       => '',
        PATH_INFO         => '/',
        REQUEST_URI       => '/',
        QUERY_STRING      => '',
        SERVER_NAME       => 'localhost',
        SERVER_PORT       => 5000,
        SERVER_PROTOCOL   => 'HTTP/1.1',
        'psgi.url_scheme' => 'http',
        %env,
    );
    my $layout = join '', map { 'a' . length } @env;
    $self->send(
        pack 'C C x2 N N/a* N/a* a*',
        REQUEST, defined $spool ? (SPOOLED, $id, $spool) : (0, $id, $body),
        $layout, join '', @env
    );
    return $id;
}

# tell sends a frame without content: quit, cancel, ack.
sub tell {
    my ($self, $type, $id) = @_;
    return $self->send(frame($type, 0, $id || 0, ''));
}

sub send {
    my ($self, $frame) = @_;
    send_frame($self->{socket}, $frame) or die "the worker is gone\n";
    return;
}

# next_frame waits for a frame; undef when the worker has left without one.
sub next_frame {
    my ($self) = @_;
    local $SIG{ALRM} = sub { die "nothing came from the worker; its log: " . $self->log };
    alarm LIMIT;
    my $got = read_frame($self->{socket}, my $bytes);
    alarm 0;
    return if !$got;
    my %frame = (length => length $bytes);
    @frame{qw(type flags id payload)} = unpack 'C C x2 N a*', $bytes;

    if ($frame{type} == HEAD) {
        (@frame{qw(status time body)}, my $list) = unpack 'n N N/a* a*', $frame{payload};
        $frame{headers} = list($list);
    }
    elsif ($frame{type} == INFO) {
        ($frame{status}, my $list) = unpack 'n a*', $frame{payload};
        $frame{headers} = list($list);
    }
    elsif ($frame{type} == LOG) {
        $frame{list} = list($frame{payload});
    }
    return \%frame;
}

sub list { return [length $_[0] ? unpack '(N/a*)*', $_[0] : ()] }

# response collects the frames of a response up to the end and, if the worker says
# that it is still busy, until it is idle.
sub response {
    my ($self) = @_;
    my %response = (frames => []);
    while (my $frame = $self->next_frame) {
        push @{$response{frames}}, $frame;
        next if $frame->{type} != HEAD && $frame->{type} != BODY && $frame->{type} != IDLE;
        @response{qw(status headers body)} = @{$frame}{qw(status headers body)} if $frame->{type} == HEAD;
        $response{body} .= $frame->{payload} if $frame->{type} == BODY;
        $response{flags} |= $frame->{flags};
        last if $frame->{type} == IDLE || ($frame->{flags} & (END_RESPONSE | CLEANUP)) == END_RESPONSE;
    }
    return $self->{last} = \%response;
}

# call is a request and its response.
sub call {
    my ($self, %request) = @_;
    $self->request(%request);
    return $self->response;
}

# answer_of is the response of a code reference to one request, and what was logged.
sub answer_of {
    my ($code, %request) = @_;
    my $slot     = Slot->new($code);
    my $response = $slot->call(%request);
    $response->{log}   = $slot->log;
    $response->{again} = $slot->call(PATH_INFO => '/again');
    return $response;
}

# strays counts the sockets and pipes in a listing of /proc/PID/fd, beyond the three
# standard handles.
sub strays { return scalar(() = $_[0] =~ /\s(?:[3-9]|[1-9][0-9]+) -> (?:socket|pipe):/g) }

# log returns what the worker has printed since the last time.
sub log {
    my ($self) = @_;
    my $text = '';
    while (sysread $self->{output}, my $part, 65_536) {
        $text .= $part;
    }
    $text =~ s/\x1e[^\x1f]*\x1f//g;    # marks, see Thralld::Log
    return $text;
}

# finish lets the worker end, and returns what it had still to say.
sub finish {
    my ($self) = @_;
    $self->tell(QUIT);
    $self->leave;
    return $self->log;
}

# leave waits until the worker has ended, and returns its status.
sub leave {
    my ($self) = @_;
    local $SIG{ALRM} = sub { die "the worker does not end; its log: " . $self->log };
    alarm LIMIT;
    waitpid delete $self->{pid}, 0;
    alarm 0;
    return $?;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{pid};
    local ($?, $@, $!);
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    return;
}

# What a worker needs of an app that is loaded already.
package Slot::App;    ## no critic (ProhibitMultiplePackages) it is part of the same fake

sub load       { return $_[0]{code} }
sub show_title { return }

1;

__END__

=head1 NAME

Slot - a worker under test, and the Go process that it talks to

=cut
