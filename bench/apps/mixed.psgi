# The hello app, but for requests that ask for a pause: ?sleep=0.5
use strict;
use warnings;

use Time::HiRes qw(sleep);

my $body = 'Hello, World!';
sub {
    my ($env) = @_;
    sleep $1 if $env->{QUERY_STRING} =~ /\bsleep=([0-9.]+)/;
    return [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $body], [$body]];
};
