# A worker that dies in the way that the path names; or works a little, and does not.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Gate;
use POSIX ();
use Time::HiRes qw(sleep);

# The test may forbid further workers to load.
die "loading is forbidden\n" if defined $ENV{TEST_FORBIDDEN} && -e $ENV{TEST_FORBIDDEN};

my @PLAIN = ('Content-Type' => 'text/plain');

my %app = (
    '/pid'  => sub { return [200, [@PLAIN], [$$]] },
    '/wait' => sub {
        my ($env) = @_;
        print {*STDERR} "last words\n";
        Gate::wait_at($env);
        return [200, [@PLAIN], [$$]];
    },
    '/stream' => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, [@PLAIN]]);
            $writer->write('begun');
            Gate::wait_at($env);
            $writer->close;
        };
    },
    '/cleanup' => sub {
        my ($env) = @_;
        push @{$env->{'psgix.cleanup.handlers'}}, sub { Gate::wait_at($env) };
        return [200, [@PLAIN], [$$]];
    },
    '/exit'  => sub { exit 3 },
    '/_exit' => sub { POSIX::_exit(4) },
    '/segv'  => sub { kill SEGV => $$; sleep 30 },
    '/task'  => sub {
        my ($env) = @_;
        print {*STDERR} "ran $env->{QUERY_STRING}\n";
        sleep 0.005;
        return [200, [@PLAIN], ["$env->{QUERY_STRING} by $$"]];
    },
);

sub {
    my ($env) = @_;
    return $app{$env->{PATH_INFO}}->($env);
};
