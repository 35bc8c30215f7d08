# Workers that are replaced in good time: after so many requests, at an age, when they have grown; and
# as many of them as there is work for.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Cwd qw(abs_path);
use Gate;
use List::Util qw(max min);
use Site;
use Test::More;
use Visitors;

my $app = sprintf <<'END', abs_path('test/lib');
use lib '%s';
use Gate;
my @grown;
sub {
    my ($env) = @_;
    Gate::wait_at($env) if $env->{HTTP_X_GATE};
    push @grown, 'x' x 1e6 for 1 .. $env->{QUERY_STRING} || 0;
    return [200, ['Content-Type' => 'text/plain'], [$$]];
};
END

sub site {
    my (@args) = @_;
    my $site = Site->new(later => 1, files => {'app.psgi' => $app});
    $site->start(['--spawn-interval=0', @args, $site->path('app.psgi')]);
    return $site;
}

# served_by counts requests by the worker that has run them.
sub served_by {
    my ($site, $count) = @_;
    my $connection = Connection->new($site->daemon);
    my (%count, @order);
    for (1 .. $count) {
        $connection->get('/');
        my $pid = $connection->response->{body};
        push @order, $pid if !$count{$pid}++;
    }
    return (\%count, @order);
}

# ran_its_limit: on a machine that is busy, the last request may be taken from a worker that has not even
# begun it within a millisecond. Another one runs it, and there is no more for the first.
sub ran_its_limit {
    my ($ran, $limit) = @_;
    return $ran == $limit || $ran == $limit - 1;
}

# recycled are the events of the workers that have been replaced so far.
sub recycled {
    my ($site) = @_;
    return grep { ($_->{cause} // q{}) eq 'recycled' } $site->logged('worker exited');
}

sub wait_for_recycled {
    my ($site, $count) = @_;
    return $site->daemon->wait_for_log(sub { ($_[0]{cause} // q{}) eq 'recycled' && !--$count });
}

subtest 'after so many requests, and not one more, whatever the load' => sub {
    my $site     = site(qw(--workers=2 --max-reqs-per-child=40));
    my @visitors = map { Visitors->new($site->daemon, count => 2, one_each => $_) } 0, 1;
    wait_for_recycled($site, 12);
    my (%served, %status);
    for my $seen (map { $_->leave } @visitors) {
        $served{$_} += $seen->{body}{$_}   for keys %{$seen->{body}};
        $status{$_} += $seen->{status}{$_} for keys %{$seen->{status}};
    }
    is_deeply [keys %status], [200], 'no request failed' or diag explain \%status;
    cmp_ok max(values %served), '<=', 40, 'no worker has run more';
    is_deeply [grep { $_->{limit} ne 'requests' } recycled($site)], [], 'the log names the limit';
    is_deeply [grep { $_->{requests_lost} } recycled($site)],       [], 'and nothing is lost';
    is_deeply [$site->logged(qr/fail|kill/)],                       [], 'all of them ended in peace';
};

subtest 'requests count, not connections' => sub {
    my $site = site(qw(--workers=1 --max-reqs-per-child=10));
    my ($count, @order) = served_by($site, 32);
    my $last = pop @order;
    is_deeply [grep { !ran_its_limit($_, 10) } map { $count->{$_} } @order], [], 'on one connection'
        or diag explain $count;
    is @order, 3, 'after so many the next worker serves';
    cmp_ok $count->{$last}, '<', 10, 'which has not come as far';
};

subtest 'one request a worker, under load' => sub {
    my $site     = site(qw(--workers=2 --max-reqs-per-child=1));
    my $visitors = Visitors->new($site->daemon, count => 3);
    wait_for_recycled($site, 20);
    my $seen = $visitors->leave;
    is_deeply [keys %{$seen->{status}}], [200], 'no request failed' or diag explain $seen;
    is max(values %{$seen->{body}}), 1, 'and each has its own worker';
};

subtest 'the successor is there before a worker goes' => sub {
    my $site = site(qw(--workers=2 --max-reqs-per-child=10));
    $site->wait_until(sub { $site->pids == 2 }, 'two workers');
    my $gate   = Gate->new($site->daemon);
    my $client = $site->ask('/', $gate->field);
    $gate->wait_for_app;
    my %before = map { $_ => 1 } $site->pids;
    my ($count, $first) = served_by($site, 9);
    is_deeply $count, {$first => 9}, 'while one runs a long request the other one serves';
    $site->wait_until(sub { $site->pids == 3 }, 'the successor, while it still has a request left to run');
    my ($successor) = grep { !$before{$_} } $site->pids;
    my ($then, @order) = served_by($site, 3);
    cmp_ok $then->{$first} // 0, '<=', 1, 'it runs no more than that';
    ok $then->{$successor}, 'and the successor serves at once';
    $gate->open;
    is $client->response->{status}, 200, 'the long request has its answer';
};

subtest 'limits are drawn between min_reqs_per_child and max_reqs_per_child' => sub {
    my $site = site(qw(--workers=1 --min-reqs-per-child=5 --max-reqs-per-child=15));
    my ($count, @order) = served_by($site, 200);
    pop @order;                                               # which is not done yet
    my @served = map { $count->{$_} } @order;
    cmp_ok min(@served), '>=', 5 - 1, 'none goes earlier';    # see ran_its_limit
    cmp_ok max(@served), '<=', 15,    'nor later';
    my %different = map { $_ => 1 } @served;
    cmp_ok scalar keys %different, '>', 1, 'and not all after as many';
};

for my $none (qw(inf 0)) {
    subtest "max_reqs_per_child = $none: no limit" => sub {
        my $site = site('--workers=1', "--max-reqs-per-child=$none");
        my ($count) = served_by($site, 1100);                              # more than the default
        is_deeply [values %{$count}], [1100], 'one worker serves on';
    };
}

subtest 'a quiet worker is replaced at its age' => sub {
    my $site   = site(qw(--workers=2 --max-lifetime=0.5 --max-reqs-per-child=0));
    my @before = $site->pids;
    my $gate   = Gate->new($site->daemon);
    my $client = $site->ask('/', $gate->field);
    $gate->wait_for_app;
    my $visitors = Visitors->new($site->daemon, count => 1);
    is wait_for_recycled($site, 1)->{limit}, 'lifetime', 'without a request';
    wait_for_recycled($site, 2);
    is_deeply [keys %{$visitors->leave->{status}}], [200], 'no client notices';
    $gate->open;
    is $client->response->{status}, 200, 'one that is busy may end what it runs';
};

subtest 'one that has grown is replaced' => sub {
    my $site = site(qw(--workers=1 --max-memory=60MB));
    my $fat  = $site->body('/?100');
    is $site->exited($fat)->{limit}, 'memory', 'the log names the reason';
    my $event = $site->daemon->wait_for_log(qr/worker has grown too large/);
    is_deeply [@{$event}{qw(pid max_memory)}], [$fat, 60_000_000], 'which worker, and the limit';
    cmp_ok $event->{memory}, '>', 60_000_000, 'and its size';    # it may have been looked at while it grew
    my $slim = $site->body('/');
    isnt $slim,          $fat,  'another one serves';
    is $site->body('/'), $slim, 'and stays';
};

subtest 'min_workers: as many workers as the load asks for' => sub {
    my $site = site(qw(--min-workers=1 --workers=3 --max-reqs-per-child=inf));
    is $site->pids, 1, 'at rest there are few';
    my @running = map {
        my $gate   = Gate->new($site->daemon);
        my $client = $site->ask('/', $gate->field);
        $gate->wait_for_app;    # it found a worker
        [$gate, $client];
    } 1 .. 3;
    is $site->pids, 3, 'requests that would wait bring more';
    my $waiting = $site->ask('/');
    $site->wait_for_status(sub { $_[0]{waiting} == 1 });
    is @{$site->status->{worker_list}}, 3, 'up to workers: what comes then waits';
    $_->[0]->open for @running;
    is_deeply [map { $_->response->{status} } $waiting, map { $_->[1] } @running], [(200) x 4], 'all are answered';
};

done_testing;
