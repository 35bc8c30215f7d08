# The apps of Plack::Test::Suite, watched by Lint, on workers that do not live long: so many of them have
# a part in a run, and each names itself.
use strict;
use warnings;

# Plack::Test::Suite loads this for tests that fork, which this app does not; and it dies under threads.
BEGIN { $INC{'Test/SharedFork.pm'} = __FILE__; $Test::SharedFork::VERSION = 1 }

use Plack::Middleware::Lint;
use Plack::Test::Suite;
use Plack::Util;

my $REQUESTS = 5;

my $suite = Plack::Middleware::Lint->wrap(Plack::Test::Suite->test_app_handler);
my $count = 0;

sub {
    my ($env) = @_;
    $env->{'psgix.harakiri.commit'} = ++$count >= $REQUESTS;
    return Plack::Util::response_cb($suite->($env), sub { push @{$_[0][1]}, 'X-Worker' => $$ });
};
