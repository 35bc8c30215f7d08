package Thralld::Response;

use strict;
use warnings;

use Exporter qw(import);
use Scalar::Util qw(blessed reftype);
use Thralld::App;
use Thralld::Frame qw(:all);
use Thralld::Writer;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(in_one);

# A getline that returns '' has nothing yet: ask again, at first soon.
use constant {FIRST_PAUSE => 0.001, LONGEST_PAUSE => 0.1};

# in_one makes the one frame that most responses are: [status, headers, strings], not
# large, and nothing to do after it. If there is anything else about the response, it
# returns undef; take then finds in its first argument what was asked of the app's
# objects already. No object and no call: this is what a request costs.
sub in_one {
    my (undef, $id, $env, $began) = @_;
    return if ref $_[0] ne 'ARRAY' || @{$_[0]} != 3;
    my ($status, $headers, $body) = @{$_[0]};
    return
           if ref $body ne 'ARRAY'
        || ref $headers ne 'ARRAY'
        || @{$headers} % 2
        || !defined $status
        || length $status != 3
        || $status =~ tr/0-9//c
        || grep { !defined } @{$headers};

    my $whole    = do { no warnings 'uninitialized'; join '', @{$body} };
    my $handlers = $env->{'psgix.cleanup.handlers'};
    my $micros   = 1e6 * (time - $began);
    if (   length $whole <= MAX_PIECE
        && !$env->{'psgix.harakiri.commit'}
        && ref $handlers eq 'ARRAY'
        && !@{$handlers}
        && $micros >= 0
        && $micros <= 0xffffffff)
    {
        my $frame = pack HEAD_LAYOUT, HEAD, END_RESPONSE, $id, $status, $micros, $whole, @{$headers};
        return $frame if utf8::downgrade($frame, 1) && length $frame <= MAX_FRAME;
    }
    $_[0] = [$status, $headers, [$whole]];
    return;
}

# new: nothing of the response has been sent. state goes from '' by 'open' (the
# head is out) to 'done'; busy means that the worker will say when it is idle.
sub new {
    my ($class, $worker, $id, $env, $began) = @_;
    return bless {worker => $worker, id => $id, env => $env, began => $began, state => '', busy => 0}, $class;
}

# take accepts what the app returned: the response, or a callback for it.
sub take {
    my ($self, $returned) = @_;
    return $self->answer($returned) if ref $returned eq 'ARRAY';
    return $self->stream($returned) if Thralld::App::is_code($returned);
    return $self->breach('the app returned ' . describe($returned) . '; want [status, headers, body] or a callback');
}

# answer sends a whole response; the worker is free after it unless there are
# cleanup handlers.
sub answer {
    my ($self, $response) = @_;
    my ($status, $headers, $body) = @{$response};
    return $self->breach('the response has ' . @{$response} . ' elements; want status, headers and body')
        if @{$response} != 3;
    if (my $breach = breach_of_head($status, $headers)) {
        return $self->breach($breach);
    }
    if (ref $body ne 'ARRAY') {
        return $self->send_handle($status, $headers, $body) if is_handle($body);
        return $self->breach('the body is ' . describe($body) . '; want an array or a handle');
    }

    my $whole = do { no warnings 'uninitialized'; join '', @{$body} };
    return $self->send_large($status, $headers, $whole) if length $whole > MAX_PIECE;
    return $self->head(END_RESPONSE, $status, $headers, $whole);
}

# send_large sends a body that does not fit a frame, in pieces.
sub send_large {
    my ($self, $status, $headers, $whole) = @_;
    return $self->breach('the body holds a wide character: encode it') if !utf8::downgrade($whole, 1);
    my @length = has_header($headers, 'content-length', 'transfer-encoding') ? () : ('Content-Length' => length $whole);
    return $self->head(END_RESPONSE, $status, [@{$headers}, @length], '') if $self->is_head;

    $self->head(0, $status, [@{$headers}, @length], substr $whole, 0, MAX_PIECE) or return;
    for (my $at = MAX_PIECE; $at < length $whole; $at += MAX_PIECE) {
        return $self->end(ABORT) if $self->client_left;
        $self->{worker}->tell(frame(BODY, 0, $self->{id}, substr $whole, $at, MAX_PIECE));
    }
    return $self->end(0);
}

# send_handle sends a body by getline, as far as the client listens, and closes it once.
sub send_handle {
    my ($self, $status, $headers, $body) = @_;
    if ($self->is_head) {
        $self->head(END_RESPONSE, $status, $headers, '');
        return $self->{worker}->close_body($body);
    }
    return if $self->hand_over($status, $headers, $body);
    $self->{busy} = CLEANUP if ref $body ne 'GLOB';    # its close may take long
    if (!eval { $self->pump($status, $headers, $body); 1 }) {
        $self->failed($@);
    }
    return $self->{worker}->close_body($body);
}

sub pump {
    my ($self, $status, $headers, $body) = @_;
    my $flags = ref $body eq 'GLOB' ? 0 : STREAM;
    my $pause = FIRST_PAUSE;
    local $/ = \65536;
    while (1) {
        my $piece = $body->getline;
        last if !defined $piece;
        return $self->end(ABORT) if $self->client_left;
        if (length $piece) {
            $pause = FIRST_PAUSE;
            return $self->whole($status, $headers, $body, $piece) if $self->is_whole($headers, $piece);
            $self->piece($flags, $status, $headers, $piece);
            return if $self->{state} eq 'done';
            next;
        }
        if (!$self->{state}) {
            $self->head($flags, $status, $headers, '') or return;
        }
        sleep $pause;
        $pause = $pause * 2 < LONGEST_PAUSE ? $pause * 2 : LONGEST_PAUSE;
    }
    return $self->{state} ? $self->end(0) : $self->head(END_RESPONSE, $status, $headers, '');
}

# is_whole tells of the first piece that came whether it is all that the head promises.
sub is_whole {
    my ($self, $headers, $piece) = @_;
    return 0 if $self->{state} || length $piece > MAX_PIECE;
    my @declared
        = map { lc $headers->[2 * $_] eq 'content-length' ? $headers->[2 * $_ + 1] : () } 0 .. $#{$headers} / 2;
    return @declared == 1 && $declared[0] eq length $piece && !has_header($headers, 'transfer-encoding');
}

# whole answers with all of the body in one frame, as if it were a string. The client
# need not wait for what getline and close do at the end of it.
sub whole {
    my ($self, $status, $headers, $body, $piece) = @_;
    $self->{busy} = CLEANUP;
    $self->head(END_RESPONSE, $status, $headers, $piece) or return;
    while (defined(my $more = $body->getline)) {
        next if !length $more;
        $self->{worker}->complain('the app broke the PSGI contract', 'the body is longer than its Content-Length');
        last;
    }
    return;
}

# piece sends the next piece of a body, the first one with the head.
sub piece {
    my ($self, $flags, $status, $headers, $piece) = @_;
    utf8::downgrade($piece, 1) or die "wide character in the response body: encode it\n";
    my $from = 0;
    if (!$self->{state}) {
        $self->head($flags, $status, $headers, substr $piece, 0, MAX_PIECE) or return;
        $from = MAX_PIECE;
    }
    for (; $from < length $piece; $from += MAX_PIECE) {
        $self->{worker}->tell(frame(BODY, 0, $self->{id}, substr $piece, $from, MAX_PIECE));
    }
    return;
}

# hand_over gives a regular file to the Go process, which sends it while this
# worker is free again. It declines whatever is more than bytes on a disk:
# objects with methods of their own, tied handles, layers that translate.
# A path method, which PSGI lets a server use, is not asked. With a handle it tells
# nothing new: the handle is the file, also when the name has gone, and knows where
# it has been read to. Without one only getline knows what the body is: a wrapper
# that compresses or counts has the path of what it wraps. An app that means the file
# says so by X-Sendfile.
sub hand_over {
    my ($self, $status, $headers, $body) = @_;
    return 0 if reftype $body ne 'GLOB' || has_header($headers, 'transfer-encoding');    # it holds the chunks, too
    return 0 if tied *{$body}           || !-f $body;
    return 0 if blessed $body && grep { $body->can($_) != IO::Handle->can($_) } qw(getline close);
    return 0 if grep                  { $_ !~ /^(?:unix|perlio|stdio)$/ } PerlIO::get_layers($body);
    my $fd     = fileno $body;
    my $at     = tell $body;
    my $length = (-s _) - $at;
    return 0 if !defined $fd || $fd < 0 || $at < 0 || $length <= 0;                      # in /proc files seem empty

    $self->{worker}{held}{$self->{id}} = $body;
    $self->head(END_RESPONSE | FILE, $status, $headers, file_ref($fd, $at, $length))
        or $self->{worker}->close_body(delete $self->{worker}{held}{$self->{id}});
    return 1;
}

# stream calls the app's callback with the responder. The worker is busy until
# the callback has returned, whenever the response is complete.
sub stream {
    my ($self, $callback) = @_;
    $self->{busy} = CLEANUP;
    my $called;
    my $responder = sub {
        my ($response) = @_;
        die "the responder was called a second time\n" if $called++;
        die "the responder was called too late\n" if $self->{state};
        my $elements = ref $response eq 'ARRAY' ? @{$response} : 0;
        if ($elements == 3) {
            $self->answer($response);
            return;
        }
        my $breach
            = $elements != 2
            ? 'the responder was given ' . describe($response) . '; want [status, headers] or [status, headers, body]'
            : breach_of_head(@{$response});
        if ($breach) {
            $self->breach($breach);
            die "$breach\n";
        }
        $self->head(STREAM, @{$response}, '') or die "the response's head was refused\n";
        return Thralld::Writer->new($self);
    };
    $callback->($responder);
    return if $self->{state} eq 'done';
    return $self->end(ABORT) if $self->{gone} || !$called && $self->{worker}{offered}; # Go knows whether it has written
    return $self->breach(
        $called
        ? 'the app returned without closing its writer, and psgi.nonblocking is false'
        : 'the app returned without calling the responder, and psgi.nonblocking is false'
    );
}

# inform sends an informational response ahead of the answer.
sub inform {
    my ($self, $status, $headers) = @_;
    return if $self->{state};
    my $is_informational = defined $status && $status =~ /\A1[0-9]{2}\z/ && $status > 101;
    my $breach
        = $is_informational
        ? breach_of_head($status, $headers)
        : 'the status is ' . describe($status) . '; want a number from 102 to 199';
    die "psgix.informational: $breach\n" if $breach;
    my $frame = info_frame($self->{id}, $status, $headers);
    utf8::downgrade($frame, 1) or die "psgix.informational: a header holds a wide character\n";
    die "psgix.informational: the headers are too large\n" if length $frame > MAX_FRAME;
    $self->{worker}->tell($frame);
    return;
}

# head sends the head with the first bytes of the body, or refuses it; with
# END_RESPONSE it is the whole response.
sub head {
    my ($self, $flags, $status, $headers, $body) = @_;
    my $micros = int(1e6 * (time - $self->{began}));
    $micros = 0 if $micros < 0;
    $micros = 0xffffffff if $micros > 0xffffffff;
    $flags |= $self->end_flags if $flags & END_RESPONSE;
    my $frame = head_frame($flags, $self->{id}, $status, $micros, $body, $headers);
    if (!utf8::downgrade($frame, 1)) {
        my $where = utf8::downgrade($body, 1) ? 'a header' : 'the body';
        $self->breach("$where holds a wide character: encode it");
        return 0;
    }
    if (length $frame > MAX_FRAME) {
        $self->breach('the headers are larger than ' . (MAX_FRAME - MAX_PIECE) . ' bytes');
        return 0;
    }
    $self->{worker}->tell($frame);
    $self->{state} = $flags & END_RESPONSE ? 'done' : 'open';
    return 1;
}

# end completes a response whose head is out; with ABORT the client learns that
# it is not whole.
sub end {
    my ($self, $flags) = @_;
    $self->{worker}->tell(frame(BODY, END_RESPONSE | $flags | $self->end_flags, $self->{id}, ''));
    $self->{state} = 'done';
    return;
}

# end_flags tells what the worker does after the last frame of a response.
sub end_flags {
    my ($self)   = @_;
    my $env      = $self->{env};
    my $handlers = $env->{'psgix.cleanup.handlers'};
    $self->{busy} ||= ref $handlers eq 'ARRAY' && @{$handlers} ? CLEANUP : 0;
    return CLEANUP if $self->{busy};
    return $self->{worker}->leave($env, $self->{id});
}

# failed reports that the app died, and ends what it began.
sub failed {
    my ($self, $error) = @_;
    return $self->end(ABORT) if $self->{state} eq 'open' && Thralld::Writer::is_gone($error);
    $self->{worker}
        ->complain($self->{state} ? 'the app failed after its response had begun' : 'the app failed', $error);
    return $self->refuse;
}

# breach reports what the app did against the contract, and ends what it began.
sub breach {
    my ($self, $what) = @_;
    $self->{worker}->end_fork;    # it was not meant to answer
    $self->{worker}->complain('the app broke the PSGI contract', $what);
    return $self->refuse;
}

# refuse answers 500, or cuts the response that has begun.
sub refuse {
    my ($self) = @_;
    return if $self->{state} eq 'done';
    return $self->end(ABORT) if $self->{state} eq 'open';
    my $text    = 'Internal Server Error';
    my @headers = ('Content-Type' => 'text/plain', 'Content-Length' => length $text);
    return $self->head(END_RESPONSE | FAILED, 500, \@headers, $text);
}

sub is_head { return $_[0]{env}{REQUEST_METHOD} eq 'HEAD' }

sub client_left {
    my ($self) = @_;
    return $self->{gone} ||= $self->{worker}->cancelled($self->{id});
}

# breach_of_head names what is wrong with the shape of a head; Go checks its bytes.
sub breach_of_head {
    my ($status, $headers) = @_;
    return 'the status is ' . describe($status) . '; want a number of three digits'
        if !defined $status || $status !~ /\A[0-9]{3}\z/;
    return 'the headers are ' . describe($headers) . '; want an array' if ref $headers ne 'ARRAY';
    return 'the headers have an odd number of elements' if @{$headers} % 2;
    for my $i (0 .. $#{$headers}) {
        next if defined $headers->[$i];
        return $i % 2 ? "the value of the header $headers->[$i - 1] is undefined" : 'a header name is undefined';
    }
    return;
}

# has_header looks for one of some names, given in lower case.
sub has_header {
    my ($headers, @names) = @_;
    my %wanted = map { $_ => 1 } @names;
    return scalar grep { !($_ % 2) && $wanted{lc $headers->[$_]} } 0 .. $#{$headers};
}

sub is_handle {
    my ($body) = @_;
    return blessed $body || ref $body && reftype $body eq 'GLOB';
}

sub describe {
    my ($thing) = @_;
    return 'undef' if !defined $thing;
    return 'an object of ' . blessed $thing if blessed $thing;
    return ref $thing eq 'ARRAY' ? 'an array of ' . @{$thing} : 'a reference to ' . ref $thing if ref $thing;
    $thing =~ s/([^\x20-\x7e])/sprintf '\x{%x}', ord $1/ge;
    return sprintf '"%.60s"', $thing;
}

1;

__END__

=head1 NAME

Thralld::Response - sends what the app returns

=head1 DESCRIPTION

The response to one request, from what the app returned to the last frame: an
array of strings, a handle, or a callback with a responder and a writer. A
breach of the contract becomes a line in the log that names it and an answer
500, or, once the head is out, an aborted response.

=cut
