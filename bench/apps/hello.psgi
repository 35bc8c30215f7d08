# The smallest real answer: what is measured is the server.
use strict;
use warnings;

my $body = 'Hello, World!';
sub { [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $body], [$body]] };
