# Reads all of the request's body, as an upload is read, and answers how long it was.
use strict;
use warnings;

sub {
    my ($env) = @_;
    my $length = 0;
    if (my $input = $env->{'psgi.input'}) {    # Feersum gives none to a request without a body
        while (my $got = $input->read(my $part, 65_536)) {
            $length += $got;
        }
    }
    return [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $length], [$length]];
};
