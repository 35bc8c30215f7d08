# A file of 1 MiB, opened anew for each request: BENCH_FILE has its path.
use strict;
use warnings;

my $path = $ENV{BENCH_FILE};
sub {
    open my $file, '<:raw', $path or die "open $path: $!\n";
    return [200, ['Content-Type' => 'application/octet-stream', 'Content-Length' => -s $file], $file];
};
