# A small answer and, at /large, 1 MiB that is made anew for each request.
use strict;
use warnings;

my $size  = 1_048_576;
my $piece = $size / 16;
sub {
    my $env = shift;
    return [200, ['Content-Type' => 'text/plain'], ['hello']] if $env->{PATH_INFO} ne '/large';
    return [
        200,
        ['Content-Type' => 'application/octet-stream', 'Content-Length' => $size],
        [map { chr(ord('a') + $_) x $piece } 0 .. 15]
    ];
};
