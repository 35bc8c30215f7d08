package Thralld::Writer;

use strict;
use warnings;

use Scalar::Util qw(blessed weaken);

# new takes the response, whose head is out.
sub new {
    my ($class, $response) = @_;
    my $self = bless {response => $response}, $class;
    weaken $self->{response};    # an app that keeps its writer keeps nothing else
    return $self;
}

# write sends a piece at once. It dies when the client has left or the writer is
# closed, so that an app that streams without end comes to one.
sub write {    ## no critic (ProhibitBuiltinHomonyms)
    my ($self, $piece) = @_;
    my $response = $self->{response};
    die "write on a writer that is closed\n" if !$response || $response->{state} ne 'open';
    die Thralld::Writer::Gone->new if $response->client_left;
    return 1 if !defined $piece || !length $piece || $response->is_head;
    $response->piece(0, undef, undef, $piece);
    return 1;
}

# close ends the response; closing twice is harmless.
sub close {    ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
    my ($self) = @_;
    my $response = delete $self->{response};
    $response->end(0) if $response && $response->{state} eq 'open';
    return 1;
}

# is_gone tells the death of a write to a client that has left from other deaths.
sub is_gone { return blessed $_[0] && $_[0]->isa('Thralld::Writer::Gone') }

package Thralld::Writer::Gone;    ## no critic (ProhibitMultiplePackages)

use overload '""' => sub { 'the client has left' }, fallback => 1;

sub new { my ($class) = @_; return bless {}, $class }

1;

__END__

=head1 NAME

Thralld::Writer - what a responder returns to a streaming app

=head1 DESCRIPTION

The writer of the PSGI streaming interface: C<write> and C<close>.

=cut
