# 1 MiB that is made anew for each request, in 16 pieces.
use strict;
use warnings;

my $size  = 1_048_576;
my $piece = $size / 16;
sub {
    return [
        200,
        ['Content-Type' => 'application/octet-stream', 'Content-Length' => $size],
        [map { chr(ord('a') + $_) x $piece } 0 .. 15]
    ];
};
