#!/usr/bin/env perl
# Has one worker answer so many requests, outside the daemon, and prints its pid: under callgrind this
# tells how many instructions a request takes. It is run in the repository's folder.
use strict;
use warnings;

use lib qw(pkg/psgi/perl pkg/psgi/perl/t/lib);
use Slot;

my ($requests) = @ARGV;
my $app        = do './bench/apps/hello.psgi' or die "bench/apps/hello.psgi: ", $@ || $!, "\n";

# What wrk sends, as the daemon hands it over.
my %env = (
    SERVER_NAME          => '127.0.0.1',
    SERVER_PORT          => '5000',
    REMOTE_ADDR          => '127.0.0.1',
    REMOTE_PORT          => '54321',
    HTTP_HOST            => '127.0.0.1:5000',
    'thralld.request_id' => '0123456789abcdef',
);

my $slot = Slot->new($app);
my $pid  = $slot->ready;
for (1 .. $requests) {
    my $response = $slot->call(%env);
    die "status $response->{status}\n" if $response->{status} != 200;
}
$slot->finish;
print "$pid\n";
