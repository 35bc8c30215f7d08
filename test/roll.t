# The slow restart: workers of a new generation take the place of the old ones, one by one, and no
# client notices.
use 5.014;
use warnings;

use lib 'test/lib';
use Deployment;
use List::Util qw(max min);
use Load;
use Test::More;
use Time::HiRes qw(time);

# It answers by its generation and its process.
my $app = 'sub { [200, ["Content-Type" => "text/plain"], ["$_[0]{q{thralld.generation}} $$"]] }';

subtest 'a hundred HUPs under load, many of them in the middle of a roll' => sub {
    my $workers = 10;
    my $daemon  = Deployment->new(
        app  => $app,
        toml => {workers => $workers, spawn_interval => '10ms', probation => '10ms', keepalive_timeout => '60s'},
    );
    my $folder = $daemon->folder;
    my $load   = Load->new($daemon, asking => 4, uploading => 2);

    # Every tenth HUP comes just when a roll has begun, the others at random.
    my ($most, @targets) = (0);
    my $random = int rand 1 << 31;
    srand $random;
    diag "srand $random" if $ENV{TEST_VERBOSE};
    for my $number (1 .. 100) {
        if ($number % 10 == 0) {
            push @targets, $daemon->status->{target};
            $daemon->next_event(sub { $daemon->hup }, sub { $_[0]{msg} eq 'rolling' });
            next;
        }
        $daemon->hup;
        my $until = time + rand 0.06;
        do {
            $most = max($most, scalar $daemon->workers);
            $daemon->read_log(0);
        } while time < $until;
    }
    $daemon->hup;
    my $status = $daemon->wait_for_status(sub {
        my ($s) = @_;
        $most = max($most, scalar $daemon->workers);
        return $s->{last_reload}{outcome} eq 'done' && !grep { $_->{generation} != $s->{target} } @{$s->{worker_list}};
    });
    is_deeply [map { $_->{generation} } @{$status->{worker_list}}], [($status->{target}) x $workers],
        'at the end all workers are of the last generation';
    is $status->{stable}, $status->{target}, 'which is the stable one';
    my $seen = $load->stop;
    is_deeply $seen->{failures}, [], "of $seen->{requests} requests none failed";
    cmp_ok max(map { /\A(\d+) / } keys %{$seen->{bodies}}), '<=', $status->{target}, 'no answer is from the future';
    is_deeply \@targets, [sort { $a <=> $b } @targets], 'the number of the generation only grows';
    my @superseded = grep { $_->{msg} eq 'reload superseded' } $daemon->log_events;
    cmp_ok scalar @superseded, '>',  0,            'rolls were superseded';
    cmp_ok $most,              '<=', $workers + 1, 'there was never more than one worker too many';
    diag "$seen->{requests} requests, generation $status->{target}, @{[scalar @superseded]} superseded, most $most"
        if $ENV{TEST_VERBOSE};
    is $daemon->stop, 0, 'it ends well';
    is_deeply [Daemon->processes($folder)], [], 'and leaves nothing behind';
};

subtest 'retirements are spawn_interval apart' => sub {
    my $daemon = Deployment->new(app => $app, toml => {workers => 4});
    my $status = $daemon->wait_for_status(sub { $_[0]{stable} });
    my %old    = map { $_->{pid} => 1 } @{$status->{worker_list}};
    is keys %old, 4, 'there are four workers';
    $daemon->configure(workers => 4, spawn_interval => 1, probation => 0);
    my $began = time;
    $daemon->hup;
    my ($until, @ended) = (time + 30);

    while (%old && time < $until) {
        my %alive = map { $_ => 1 } $daemon->workers;
        for my $pid (grep { !$alive{$_} } keys %old) {
            delete $old{$pid};
            push @ended, time;
        }
        $daemon->read_log(0.005);
    }
    my @apart = map { $ended[$_] - $ended[$_ - 1] } 1 .. $#ended;
    is @apart, 3, 'all of them have gone';

    # A process needs a moment from being told to having ended, and not always the same. What it cannot do is to end
    # before it was told: the second one a second after the first at the earliest, and so on.
    cmp_ok $ended[$_] - $began, '>=', $_,  "$_ s after the first one could be told at the earliest" for 1 .. $#ended;
    cmp_ok min(@apart),         '>',  0.8, 'one second apart';
    cmp_ok max(@apart),         '<',  3,   'and not much more';
};

done_testing;
