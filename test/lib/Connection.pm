package Connection;

use 5.014;
use warnings;

use Carp qw(croak);
use Errno qw(EAGAIN EINTR);
use IO::Select ();
use Socket qw(SHUT_WR SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

my $SECONDS = 30;
my $PIECE   = 256 << 10;

sub new {
    my ($class, $daemon, $seconds) = @_;
    my $socket = $daemon->connect;
    $socket->blocking(0);
    return bless {
        daemon  => $daemon,
        socket  => $socket,
        seconds => $seconds // $SECONDS,
        buffer  => q{},
        methods => [],
    }, $class;
}

# ---- what the client says ----

sub send {    ## no critic (ProhibitBuiltinHomonyms): what a client does
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $sent = 0;
    while ($sent < length $bytes) {
        my $count = syswrite $self->{socket}, $bytes, $PIECE, $sent;
        if    (defined $count)              { $sent += $count }
        elsif ($! != EAGAIN && $! != EINTR) { return 0 }
        else                                { $self->wait_to('can_write') }
    }
    return 1;
}

sub request {
    my ($self, $method, $target, %option) = @_;
    my $body   = $option{body};
    my @fields = ($option{host} // 'Host: localhost', @{$option{fields} // []});
    push @fields,             'Content-Length: ' . length $body if defined $body;
    push @{$self->{methods}}, $method;
    return $self->send(join("\r\n", "$method $target HTTP/1.1", @fields, q{}, $body // q{}));
}

sub get {
    my ($self, $target, @fields) = @_;
    return $self->request(GET => $target, fields => \@fields);
}

sub finish_sending {
    my ($self) = @_;
    return shutdown $self->{socket}, SHUT_WR;
}

sub close {    ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames): what a client does
    my ($self) = @_;
    return CORE::close $self->{socket};
}

sub reset {    ## no critic (ProhibitBuiltinHomonyms): TCP's word
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 or croak "set SO_LINGER: $!";
    return CORE::close $self->{socket};
}

# ---- what it is told ----

sub response {
    my ($self, $method) = @_;
    my $sent = shift @{$self->{methods}};
    $method //= $sent // 'GET';
    my (@informational, $response);
    while (1) {
        $response = $self->head or return;
        last if $response->{status} >= 200;
        push @informational, $response;
    }
    $response->{informational} = \@informational;
    @{$response}{qw(body whole)} = $self->body($method, $response);
    return $response;
}

sub head {
    my ($self) = @_;
    while ($self->{buffer} !~ /\r\n\r\n/) {
        next if $self->fill;
        return if $self->{buffer} eq q{};
        croak "the connection ended inside a head:\n$self->{buffer}";
    }
    $self->{buffer} =~ s/\A(.*?\r\n)\r\n//s;
    my $text = $1;
    my ($first, @lines) = split /\r\n/, $text;
    my ($protocol, $status, $reason) = $first =~ m{\A(HTTP/1[.][01]) ([0-9]{3}) ?(.*)\z}
        or croak "no HTTP status line: $first";
    my %fields;
    for my $line (@lines) {
        my ($name, $value) = $line =~ /\A([^:\s]+):[ \t]*(.*?)[ \t]*\z/ or croak "no header line: $line";
        push @{$fields{lc $name}}, $value;
    }
    return {protocol => $protocol, status => $status, reason => $reason, lines => \@lines, fields => \%fields};
}

# body returns the body, and whether it came to its end as the head has announced it.
sub body {
    my ($self, $method, $response) = @_;
    my $fields = $response->{fields};
    return (q{}, 1) if $method eq 'HEAD' || $response->{status} == 204 || $response->{status} == 304;
    if ($fields->{'transfer-encoding'}) {
        my $body = q{};
        while (1) {
            my $chunk = $self->chunk // return ($body, 0);
            return ($body, 1) if $chunk eq q{};
            $body .= $chunk;
        }
    }
    if (my ($length) = @{$fields->{'content-length'} // []}) {
        my $body = $self->bytes($length);
        return ($body, length $body == $length);
    }
    my $body = $self->rest;
    return ($body, !$self->{cut});
}

sub chunk {
    my ($self) = @_;
    while ($self->{buffer} !~ /\n/) {
        return if !$self->fill;
    }
    $self->{buffer} =~ s/\A([0-9a-fA-F]+)\r\n// or croak "no size of a chunk: $self->{buffer}";
    my $size = hex $1;
    my $data = $self->bytes($size + 2);
    return if length $data < $size + 2;
    croak 'a chunk does not end where it should' if substr($data, -2, 2, q{}) ne "\r\n";
    return $data;
}

sub bytes {
    my ($self, $count) = @_;
    while (length $self->{buffer} < $count) {
        last if !$self->fill;
    }
    return substr $self->{buffer}, 0, $count, q{};
}

sub rest {
    my ($self) = @_;
    1 while $self->fill;
    return delete($self->{buffer}) . ($self->{buffer} = q{});
}

# discard reads so many bytes and forgets them. It returns how many there were.
sub discard {
    my ($self, $count) = @_;
    my $seen = 0;
    while ($seen < $count) {
        if ($self->{buffer} eq q{}) {
            last if !$self->fill;
        }
        $seen += length substr $self->{buffer}, 0, $count - $seen, q{};
    }
    return $seen;
}

# fill waits for more; false when the server has closed the connection.
sub fill {
    my ($self) = @_;
    while (1) {
        my $count = sysread $self->{socket}, $self->{buffer}, $PIECE, length $self->{buffer};
        return $count if $count;
        next if !defined $count && $! == EINTR;
        if (defined $count || $! != EAGAIN) {
            $self->{cut} = !defined $count;
            return 0;
        }
        $self->wait_to('can_read');
    }
}

sub wait_to {
    my ($self, $what) = @_;
    my $until  = time + $self->{seconds};
    my $select = IO::Select->new($self->{socket});
    while (!$select->$what(1)) {
        $self->{daemon}->log_lines;    # its pipe must not fill up
        next if time < $until;
        croak "the server let us wait for $self->{seconds} s, after it had said:\n"
            . substr($self->{buffer}, 0, 1000)
            . "\nIts log:\n"
            . $self->{daemon}->log_text;
    }
    return;
}

1;

__END__

=head1 NAME

Connection - one HTTP/1 conversation, byte by byte where it matters

=head1 SYNOPSIS

    my $connection = Connection->new($daemon);
    $connection->get('/stream');
    my $head = $connection->head;
    is $connection->chunk, 'one', 'the first piece comes alone';

    $connection->request(POST => '/', body => 'x=1');
    my $response = $connection->response;
    is $response->{status}, 200, 'answered';
    ok $response->{whole}, 'to the end';

=head1 DESCRIPTION

A client that sends what the test says and hides nothing of what comes back. Every wait ends after 30
seconds, or as many as C<new> was given, in an exception that carries the daemon's log.

=head1 METHODS

=over

=item Connection->new($daemon, $seconds)

Connects to a L<Daemon>.

=item send($bytes)

Sends bytes; false when the server has closed the connection.

=item request($method, $target, %options), get($target, @fields)

Sends a request of HTTP/1.1. The options: C<fields>, lines of the header; C<body>, which also gives it a
Content-Length; C<host>, a line in place of C<Host: localhost>.

=item response($method)

Reads a whole response: C<status>, C<reason>, C<protocol>, C<lines> of the header, C<fields> by name in
lower case (each an array), C<body>, C<informational>: the heads that came before it, and C<whole>:
whether the body came to its announced end. Nothing when the server has closed the connection instead.
The method is that of the request, where C<request> has sent it.

=item head, chunk, bytes($count), rest, discard($count)

Read a head alone; the next chunk of a chunked body (an empty string is the last one, nothing means that
the connection was cut); so many bytes, or fewer where the connection ends; all until its end; so many
bytes without keeping them.

=item finish_sending, close, reset

End our side of the connection; close it; close it as a process that was killed does, by RST.

=back

=cut
