# Plack's own tests for a server, under Lint, against the real daemon with several workers.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use File::Temp ();
use HTTP::Request ();
use LWP::UserAgent ();
use Plack::Test::Suite ();
use Test::More;

my $THRALLD = $ENV{THRALLD} // 'bin/thralld';
my @ROOT    = $> == 0 ? qw(--user=root --allow-root) : ();    # nobody else may read what is in root's folders
my $APP     = 'test/apps/suite.psgi';
my $SUITE   = \@Plack::Test::Suite::TEST;
my $TESTS   = 36;                                             # in Plack 1.0050; later ones may have more

# counted makes each of the suite's tests a subtest, and notes that it ran, and the workers it met.
sub counted {
    my ($seen) = @_;
    return map {
        my ($name, $client, @rest) = @{$_};
        my $counting = sub {
            my ($send) = @_;
            my $send_noting = sub {
                my $response = $send->(@_);
                $seen->{workers}{$response->header('X-Worker') // q{}}++;
                return $response;
            };
            subtest $name => sub { $client->($send_noting) };
            $seen->{tests}{$name}++;
        };
        [$name, $counting, @rest];
    } @{$SUITE};
}

sub check {
    my ($seen, $workers) = @_;
    my @missing = grep { !$seen->{tests}{$_} } map { $_->[0] } @{$SUITE};
    is "@missing", q{}, 'every test has been run';
    cmp_ok keys %{$seen->{tests}},   '>=', $TESTS,   "those are $TESTS, or more";
    cmp_ok keys %{$seen->{workers}}, '>=', $workers, 'several workers had a part in it';
    return;
}

for my $with (['three workers', 3], ['two workers of four threads', 2, '--threads=4']) {
    my ($what, $workers, @more) = @{$with};
    subtest "the suite passes over TCP, with $what" => sub { over_tcp($workers, @more) };
}

sub over_tcp {
    my ($workers, @more) = @_;
    my %seen;
    my $log = File::Temp->new;
    local @Plack::Test::Suite::TEST = counted(\%seen);
    Plack::Test::Suite->run_server_tests(sub {
        my ($port) = @_;
        open STDERR, '>&', $log or die "redirect STDERR: $!\n";
        exec $THRALLD, '--host=127.0.0.1', "--port=$port", "--workers=$workers", @ROOT, @more, $APP
            or die "start $THRALLD: $!\n";
    });
    return check(\%seen, $workers);
}

subtest 'the suite passes over a unix socket' => sub {
    my $daemon = Daemon->new(unix => 1, args => ['--workers=3', $APP]);
    my $socket = $daemon->address;
    ok -S $socket, 'the only listener is a socket in the file system';

    # What LWP connects to by http: is now that socket, whatever the URL says.
    my $client = LWP::UserAgent->new(max_redirect => 0, keep_alive => 1, timeout => 30);
    LWP::Protocol::implementor(http => 'OverUnix');
    local $OverUnix::Socket::path = $socket;

    my %seen;
    my $number = 0;
    for my $test (counted(\%seen)) {
        my $index = $number++;
        $test->[1]->(sub {
            my ($request) = @_;
            $request->header('X-Plack-Test' => $index);
            return $client->request($request);
        });
    }
    check(\%seen, 3);
};

done_testing;

package OverUnix;    ## no critic (ProhibitMultiplePackages): LWP wants a class

use parent 'LWP::Protocol::http';

sub socket_class { return 'OverUnix::Socket' }

package OverUnix::Socket;    ## no critic (ProhibitMultiplePackages): and the class wants one

use IO::Socket::UNIX ();
use Net::HTTP::Methods ();
use Socket qw(SOCK_STREAM);
use parent -norequire, qw(LWP::Protocol::http::SocketMethods Net::HTTP::Methods IO::Socket::UNIX);

our $path;

# LWP notes the peer in its response.
sub peerhost { return $path }
sub peerport { return 0 }

sub http_connect {
    my ($self) = @_;
    return $self->IO::Socket::UNIX::configure({Type => SOCK_STREAM, Peer => $path});
}
