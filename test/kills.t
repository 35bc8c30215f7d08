# kill -9 and SIGSTOP, in quiet times and in the middle of a roll: what clients see of it.
use 5.014;
use warnings;

use lib 'test/lib';
use Cwd qw(abs_path);
use Gate;
use Fcntl qw(O_RDWR);
use POSIX qw(mkfifo);
use Folder;
use Site;
use Test::More;
use Visitors;

# Holds a request at the gate that it names, and a worker that loads at the fifo "hold", while there is one,
# unless it finds the folder "one": the first to remove that may go on.
my $app = sprintf <<'END', abs_path('test/lib');
use lib '%s';
use Gate;
if (-e "$ENV{SITE_FOLDER}/hold" && !rmdir "$ENV{SITE_FOLDER}/one") {
    print {*STDERR} "held while loading\n";
    readline $hold if open my $hold, '<', "$ENV{SITE_FOLDER}/hold";
}
sub {
    my ($env) = @_;
    Gate::wait_at($env) if $env->{HTTP_X_GATE};
    return [200, ['Content-Type' => 'text/plain'], ["$$ $env->{'thralld.generation'}"]];
};
END

sub site {
    my (@args) = @_;
    my $site = Site->new(later => 1, files => {'app.psgi' => $app});
    $site->start([@args, $site->path('app.psgi')], {SITE_FOLDER => $site->path(q{})});
    wait_for_workers($site, $args[0] =~ /(\d+)/);
    return $site;
}

sub wait_for_workers {
    my ($site, $count) = @_;
    $site->wait_until(sub { $site->pids == $count }, "$count workers");
    return $site->pids;
}

# pid_of is the first word of an answer.
sub pid_of { my ($body) = @_; return $body =~ /\A(\d+) \d+\z/ ? $1 : "no pid in $body" }

# busy starts a request, and returns when a worker is running it.
sub busy {
    my ($site)  = @_;
    my $gate    = Gate->new($site->daemon);
    my $client  = $site->ask('/', $gate->field);
    my $request = $gate->wait_for_app->{request_id};
    my ($pid)   = map { $_->{pid} } grep {
        grep { $_->{request_id} eq $request }
            @{$_->{doing}}
    } @{$site->status->{worker_list}};
    return ($pid, $client, $gate);
}

# stop_process returns when a process is stopped: until then it may still read a request.
sub stop_process {
    my ($site, $pid) = @_;
    kill STOP => $pid;
    $site->wait_until(sub { Folder::content("/proc/$pid/stat") =~ /[)] T / }, "process $pid is stopped");
    return;
}

sub is_unnoticed {
    my ($visitors, $name) = @_;
    my $seen = $visitors->leave;
    is_deeply [keys %{$seen->{status}}], [200], $name // 'no client notices' or diag explain $seen;
    return;
}

# is_noticed_by_few: each of the workers that were killed was running one request, at most. Two visitors may
# see more than two of them die: who has lost one may come to the next one before that is killed, too.
sub is_noticed_by_few {
    my ($visitors, $killed) = @_;
    my $seen   = $visitors->leave;
    my %status = %{$seen->{status}};
    cmp_ok delete $status{200},      '>',  0,       'clients were answered';
    cmp_ok delete $status{502} // 0, '<=', $killed, 'and 502 is for what was being run';
    is_deeply \%status, {}, 'there is nothing else' or diag explain $seen;
    return;
}

# first_worker waits for the first worker of a new generation, in a roll that has just begun.
sub first_worker {
    my ($site, $generation) = @_;
    my $status = $site->wait_for_status(sub {
        grep { $_->{generation} == $generation && $_->{state} eq 'ready' } @{$_[0]{worker_list}};
    });
    return map { $_->{pid} } grep { $_->{generation} == $generation } @{$status->{worker_list}};
}

# hold has all workers held that load from now on, but so many; let_go lets them go on.
sub hold {
    my ($site, $but) = @_;
    mkdir $site->path('one') or die "mkdir: $!\n" if $but;
    mkfifo $site->path('hold'), oct 600 or die "mkfifo: $!\n";
    return;
}

sub let_go {
    my ($site) = @_;
    sysopen my $hold, $site->path('hold'), O_RDWR or die "open the fifo: $!\n";
    $site->remove('hold');
    close $hold or die "close the fifo: $!\n";
    return;
}

# in_a_roll begins a slow roll.
my @SLOWLY = qw(--workers=3 --spawn-interval=0.3 --probation=0);

sub in_a_roll {
    my ($site) = @_;
    $site->daemon->signal('HUP');
    $site->daemon->wait_for_log(qr/"msg":"rolling"/);
    return;
}

sub is_rolled {
    my ($site) = @_;
    ok $site->daemon->wait_for_log(qr/"msg":"reloaded"/), 'the roll comes to its end';
    my $status = $site->wait_for_status(sub {
        my @list = @{$_[0]{worker_list}};
        return @list == 3 && 3 == grep { $_->{state} eq 'ready' } @list;    # an old one may need a moment to end
    });
    is_deeply [map { "$_->{generation} $_->{state}" } @{$status->{worker_list}}], [('2 ready') x 3],
        'with all workers new';
    return;
}

subtest 'an idle worker is killed' => sub {
    my $site = site('--workers=2');
    my ($busy, $client, $gate) = busy($site);
    my ($idle) = grep { $_ != $busy } $site->pids;
    kill KILL => $idle;
    is $site->exited($idle)->{cause}, 'crashed', 'the daemon knows';
    isnt pid_of($site->body('/')),    $idle,     'the next request is answered, by another';
    wait_for_workers($site, 2);
    $gate->open;
    is pid_of($client->response->{body}), $busy, 'what another one runs is not disturbed';
};

subtest 'a busy worker is killed' => sub {
    my $site = site('--workers=2');
    my ($busy, $client, $gate) = busy($site);
    my $visitors = Visitors->new($site->daemon);
    kill KILL => $busy;
    is $client->response->{status}, 502, 'its client is told';
    $site->exited($busy);
    wait_for_workers($site, 2);
    is_unnoticed($visitors, 'no other client notices');
};

subtest 'a worker that loads is killed' => sub {
    my $site     = site('--workers=2');
    my $visitors = Visitors->new($site->daemon);
    hold($site);
    my ($other) = $site->pids;
    kill TERM => $other;
    $site->exited($other);
    $site->daemon->wait_for_log(qr/held while loading/);
    my $status = $site->wait_for_status(sub {
        grep { $_->{state} eq 'booting' && $_->{pid} } @{$_[0]{worker_list}};
    });
    my ($booting) = map { $_->{pid} } grep { $_->{state} eq 'booting' } @{$status->{worker_list}};
    kill KILL => $booting;
    let_go($site);
    my $event = $site->exited($booting);
    is_deeply [@{$event}{qw(cause status)}], ['failed to boot', 'killed by signal 9 (SIGKILL)'], 'the daemon knows';
    wait_for_workers($site, 2);
    my $seen = $visitors->leave;
    cmp_ok delete $seen->{status}{502} // 0, '<=', 1, 'TERM is as good as KILL: 502 for what was being run';
    is_deeply [keys %{$seen->{status}}], [200], 'all others are answered' or diag explain $seen;
};

subtest 'the template is killed' => sub {
    my $site     = site('--workers=2');
    my $visitors = Visitors->new($site->daemon);
    my @before   = $site->pids;
    kill KILL => $site->template;
    $site->daemon->wait_for_log(qr/template exited/);
    is_deeply [$site->pids], \@before, 'its workers stay';
    is_unnoticed($visitors);
};

subtest 'the template and every worker are killed' => sub {
    my $site     = site('--workers=3');
    my $visitors = Visitors->new($site->daemon);
    my ($template, @workers) = ($site->template, $site->pids);
    my @all = ($template, @workers);
    kill KILL => @all;
    $site->exited($_) for @workers;
    my @now = wait_for_workers($site, 3);
    is_deeply [
        grep {
            my $new = $_;
            grep { $_ == $new } @all
        } @now
        ],
        [], 'there are new ones';
    is_noticed_by_few($visitors, 3);
    is $site->body('/nothing') =~ /\A\d+ 1\z/, 1, 'it serves as before';
};

subtest 'an idle worker is stopped, and goes on' => sub {
    my $site = site('--workers=2');
    my ($used) = pid_of($site->body('/'));    # the next request is for it as well
    stop_process($site, $used);
    my %seen;
    $seen{pid_of($site->body('/'))}++ for 1 .. 50;
    is keys %seen, 1, 'another one serves';
    ok !$seen{$used}, 'at once';
    my ($busy, $client, $gate) = busy($site);
    my $waiting = $site->ask('/');
    kill CONT => $used;
    is pid_of($waiting->response->{body}), $used, 'when it goes on it serves again';
    $gate->open;
    is pid_of($client->response->{body}), $busy, 'and the other one, too';
};

subtest 'a busy worker is stopped, and goes on' => sub {
    my $site = site('--workers=2');
    my ($busy, $client, $gate) = busy($site);
    stop_process($site, $busy);
    my $visitors = Visitors->new($site->daemon);
    $gate->open;
    is_unnoticed($visitors, 'others serve on');
    kill CONT => $busy;
    is pid_of($client->response->{body}), $busy, 'then its request is answered';
};

subtest 'in a roll: an old worker is killed, and a new one' => sub {
    my $site     = site(@SLOWLY);
    my ($old)    = $site->pids;
    my $visitors = Visitors->new($site->daemon);
    in_a_roll($site);
    my ($new) = first_worker($site, 2);
    kill KILL => $old, $new;
    $site->exited($_) for $old, $new;
    is_rolled($site);
    is_noticed_by_few($visitors, 2);
    is $site->status->{last_reload}{outcome}, 'done', 'it is no failure of the new code';
};

subtest 'in a roll: the busy worker of the old code is killed' => sub {
    my $site = site(@SLOWLY);
    my ($busy, $client, $gate) = busy($site);
    my $visitors = Visitors->new($site->daemon);
    in_a_roll($site);
    kill KILL => $busy;
    is $client->response->{status}, 502, 'its client is told';
    is_rolled($site);
    is_unnoticed($visitors, 'no other client notices');
};

subtest 'in a roll: a worker of the new code is killed while it loads' => sub {
    my $site     = site(@SLOWLY);
    my $visitors = Visitors->new($site->daemon);
    hold($site, 1);
    in_a_roll($site);
    first_worker($site, 2);
    $site->daemon->wait_for_log(qr/held while loading/);
    my $status = $site->wait_for_status(sub {
        grep { $_->{state} eq 'booting' && $_->{pid} } @{$_[0]{worker_list}};
    });
    my ($booting) = map { $_->{pid} } grep { $_->{state} eq 'booting' } @{$status->{worker_list}};
    kill KILL => $booting;
    $site->exited($booting);
    let_go($site);
    is_rolled($site);
    is_unnoticed($visitors);
};

subtest 'in a roll: both templates are killed' => sub {
    my $site     = site(@SLOWLY);
    my $visitors = Visitors->new($site->daemon);
    hold($site, 1);
    in_a_roll($site);
    first_worker($site, 2);
    $site->daemon->wait_for_log(qr/held while loading/);    # so that the roll is in its middle
    my @templates = grep { $_ } map { $_->{template_pid} } @{$site->status->{generations}};
    is @templates, 2, 'each generation has one';
    kill KILL => @templates;
    let_go($site);
    is_rolled($site);
    is_unnoticed($visitors);
};

subtest 'in a roll: all are killed at once' => sub {
    my $site     = site(@SLOWLY);
    my $visitors = Visitors->new($site->daemon);
    hold($site, 1);
    in_a_roll($site);
    first_worker($site, 2);
    $site->daemon->wait_for_log(qr/held while loading/);
    my $status  = $site->status;
    my @workers = map { $_->{pid} } @{$status->{worker_list}};
    kill KILL => grep { $_ } (map { $_->{template_pid} } @{$status->{generations}}), @workers;
    let_go($site);
    is_rolled($site);
    is_noticed_by_few($visitors, scalar @workers);
};

subtest 'in a roll: an idle worker of the old code is stopped' => sub {
    my $site = site(@SLOWLY);
    my ($used) = pid_of($site->body('/'));
    stop_process($site, $used);
    my $visitors = Visitors->new($site->daemon);
    in_a_roll($site);
    $site->daemon->wait_for_log(qr/"msg":"rolled"/);
    is_unnoticed($visitors);
    kill CONT => $used;
    is $site->exited($used)->{cause}, 'retired', 'once it goes on it ends as it was told to';
};

done_testing;
