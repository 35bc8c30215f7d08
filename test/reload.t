# HUP, TTIN, TTOU and what a saved thrall.toml changes.
use 5.014;
use warnings;

use lib 'test/lib';
use Deployment;
use Gate;
use POSIX qw(mkfifo);
use Fcntl qw(O_NONBLOCK O_RDWR);
use Test::More;
use Time::HiRes qw(time);

my $app = 'sub { [200, ["Content-Type" => "text/plain"], ["$_[0]{q{thralld.generation}} $$"]] }';

# Each worker that loads it says so, and waits until the test writes a byte into the pipe.
my $waiting_app = <<'APP';
use 5.014;
print {*STDERR} "loading\n";
open my $pipe, '<', $ENV{TEST_PIPE} or die "open: $!\n";
sysread $pipe, my $byte, 1;
close $pipe;
sub { [200, ['Content-Type' => 'text/plain'], [$$]] };
APP

# pipe_for makes the pipe, held open so that nobody waits for the other end.
sub pipe_for {
    my ($path) = @_;
    mkfifo $path, oct 600 or die "mkfifo: $!\n";
    sysopen my $pipe, $path, O_RDWR | O_NONBLOCK or die "open $path: $!\n";
    return $pipe;
}

sub wait_until_loading {
    my ($daemon, $times) = @_;
    return $daemon->wait_for_log(sub { $_[0]{msg} eq 'loading' && !--$times });
}

sub let_load {
    my ($pipe) = @_;
    syswrite $pipe, 'x' or die "write into the pipe: $!\n";
    return;
}

sub pids {
    my ($status) = @_;
    return [sort map { $_->{pid} } @{$status->{worker_list}}];
}

# with_workers waits until so many workers are ready, and no others are there.
sub with_workers {
    my ($daemon, $count) = @_;
    return $daemon->wait_for_status(sub {
        my ($status) = @_;
        my @ready = grep { $_->{state} eq 'ready' } @{$status->{worker_list}};
        return
               @ready == $count
            && @{$status->{worker_list}} == $count
            && $status->{workers} == $count
            && $status->{stable} == $status->{target};
    });
}

# saved gives thrall.toml other settings, which are applied as the file is watched.
sub saved {
    my ($daemon, %toml) = @_;
    my $event = $daemon->reload_by(sub { $daemon->configure(%toml) });
    return is $event->{msg}, 'reloaded', 'the saved file is applied';
}

# asking_for_reload runs thralld reload in another process, and returns where its exit status can be read.
sub asking_for_reload {
    my ($daemon) = @_;
    my $pid = open(my $from, '-|') // die "fork: $!\n";
    return $from if $pid;
    my ($exit) = $daemon->reload;
    syswrite STDOUT, "$exit\n" or die "write: $!\n";
    POSIX::_exit(0);
}

subtest 'HUP while the app is loaded for the first time' => sub {
    my $folder = File::Temp->newdir;
    my $pipe   = pipe_for("$folder/pipe");
    my $daemon = Deployment->new(
        app    => $waiting_app,
        toml   => {workers   => 1, probation => 0},
        env    => {TEST_PIPE => "$folder/pipe"},
        silent => 1,
    );
    wait_until_loading($daemon, 1);
    $daemon->hup;
    let_load($pipe);
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'ready' });
    wait_until_loading($daemon, 2);
    let_load($pipe);
    is $daemon->wait_for_log(sub { $_[0]{msg} =~ /\Areload / || $_[0]{msg} eq 'reloaded' })->{msg}, 'reloaded',
        'is heeded when it serves';
    is with_workers($daemon, 1)->{target}, 2, 'by a second generation';
    is $daemon->stop,                      0, 'it ends well';
};

subtest 'fifty HUPs at once are two reloads' => sub {
    my $folder = File::Temp->newdir;
    my $pipe   = pipe_for("$folder/pipe");
    let_load($pipe);
    my $daemon = Deployment->new(
        app  => $waiting_app,
        toml => {workers   => 1, probation => 0},
        env  => {TEST_PIPE => "$folder/pipe"},
    );
    $daemon->hup;
    wait_until_loading($daemon, 2);
    $daemon->hup for 1 .. 49;
    is $daemon->status->{last_reload}{outcome}, 'running', 'the first one is running when the others have come';
    let_load($pipe);
    wait_until_loading($daemon, 3);
    let_load($pipe);
    my $ended = 2;
    $daemon->wait_for_log(sub { $_[0]{msg} =~ /\Areload(?:ed| superseded)/ && !--$ended });
    is with_workers($daemon, 1)->{target}, 3, 'it is the third generation';
    let_load($pipe);
    is [$daemon->reload]->[0],             0, 'thralld reload makes another one';
    is with_workers($daemon, 1)->{target}, 4, 'the fourth';
    is scalar(grep { $_->{msg} eq 'reload' && $_->{why} eq 'SIGHUP' } $daemon->log_events), 2, 'there were two reloads';
    is $daemon->stop,                                                                       0, 'it ends well';
};

subtest 'a stop while a reload loads the app' => sub {
    my $folder = File::Temp->newdir;
    my $pipe   = pipe_for("$folder/pipe");
    let_load($pipe);
    my $daemon = Deployment->new(app => $waiting_app, toml => {workers => 1}, env => {TEST_PIPE => "$folder/pipe"});
    $daemon->hup;
    wait_until_loading($daemon, 2);
    my $began = time;
    is $daemon->stop, 0, 'ends the daemon';
    cmp_ok time - $began, '<', 8, 'without waiting for it';
    is_deeply [Daemon->processes($folder)],                               [], 'and leaves nothing behind';
    is_deeply [grep { $_->{level} =~ /warn|error/ } $daemon->log_events], [], 'nobody has to do anything about that';
    my ($event) = grep { $_->{msg} eq 'reload given up' } $daemon->log_events;
    is $event->{error}, 'the server is stopping', 'the log says what became of the reload';
};

subtest 'a stop in the middle of a roll' => sub {
    my %toml   = (workers => 3, probation => 0, spawn_interval => '5s');
    my $daemon = Deployment->new(app => $app, toml => {%toml, spawn_interval => 0});
    with_workers($daemon, 3);
    $daemon->configure(%toml);
    my $event = $daemon->next_event(sub { $daemon->hup }, sub { $_[0]{msg} eq 'rolling' });
    is $daemon->stop, 0, 'ends the daemon';
    is_deeply [grep { $_->{level} =~ /warn|error/ } $daemon->log_events], [], 'nobody has to do anything about that';
    is_deeply [Daemon->processes($daemon->folder)],                       [], 'nothing is left behind';
};

subtest 'three who ask for a reload at once all get what they asked for' => sub {
    my $daemon = Deployment->new(app => $app, toml => {workers => 3, probation => 0, spawn_interval => '100ms'});
    with_workers($daemon, 3);
    my @asking = map { asking_for_reload($daemon) } 1 .. 3;
    is readline($_),                       "0\n", 'exit status 0' for @asking;
    is with_workers($daemon, 3)->{target}, 4,     'and the last of three generations runs';
    is $daemon->stop,                      0,     'it ends well';
};

subtest 'kept connections live on when timeouts change' => sub {
    my %toml   = (watch => 'true', workers => 2, keepalive_timeout => '60s', timeout => '60s');
    my $daemon = Deployment->new(app => $app, toml => \%toml);
    with_workers($daemon, 2);
    my @kept = map { Connection->new($daemon) } 1 .. 3;
    for my $connection (@kept) {
        $connection->get('/');
        is $connection->response->{status}, 200, 'a connection is used';
    }
    my $waits = pop @kept;
    saved($daemon, %toml, keepalive_timeout => '300ms', timeout => '5s');
    for my $connection (@kept) {
        $connection->get('/');
        is $connection->response->{status}, 200, 'and used again afterwards';
    }
    for my $connection (@kept) {
        my $began = time;
        is $connection->rest, q{}, 'then the new keepalive_timeout ends it';
        cmp_ok time - $began, '<', 20, 'and not the one of before';
    }
    $waits->get('/');
    is $waits->response->{status}, 200, 'one that waited all the time was not closed';
    is $daemon->stop,              0,   'it ends well';
};

subtest 'TTIN and TTOU make it a worker more or less' => sub {
    my $daemon = Deployment->new(app => $app, toml => {workers => 2, probation => 0});
    with_workers($daemon, 2);
    for my $count (3 .. 6) {
        $daemon->signal('TTIN');
        is with_workers($daemon, $count)->{target}, 1, "there are $count, of the same generation";
    }
    $daemon->signal('TTIN');
    my $status = with_workers($daemon, 7);
    is $status->{target}, 2, 'where there is no room for another one, a new generation has it';
    is_deeply [map { $_->{generation} } @{$status->{worker_list}}], [(2) x 7], 'all are of it';
    my $count = 7;
    while (--$count) {
        $daemon->signal('TTOU');
        is with_workers($daemon, $count)->{target}, 2, "there are $count";
    }
    $daemon->signal('TTOU');
    my $adjusted = 11;
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'workers adjusted' && $_[0]{workers} == 1 && --$adjusted });
    with_workers($daemon, 1);
    pass 'and one stays';
    $daemon->reload_by_hup;
    is with_workers($daemon, 2)->{target}, 3, 'a reload makes it as many as thrall.toml says';
    is $daemon->stop,                      0, 'it ends well';
};

subtest 'workers is changed while it runs' => sub {
    my %toml   = (watch => 'true', workers => 2, probation => 0);
    my $daemon = Deployment->new(app => $app, toml => \%toml);
    my $two    = with_workers($daemon, 2);
    saved($daemon, %toml, workers => 4);
    my $four = with_workers($daemon, 4);
    is $four->{target}, 1, 'more, within the room that there is: no new generation';
    my %is_of_four = map { $_ => 1 } @{pids($four)};
    is_deeply [grep { !$is_of_four{$_} } @{pids($two)}], [], 'and those that were there stay';
    saved($daemon, %toml, workers => 1);
    my $one = with_workers($daemon, 1);
    ok $is_of_four{pids($one)->[0]}, 'fewer: one of them stays';
    saved($daemon, %toml, workers => 12);
    is with_workers($daemon, 12)->{target}, 2, 'more than there is room for: a new generation';
    saved($daemon, %toml, workers => 3);
    is with_workers($daemon, 3)->{target}, 2, 'and fewer again';
    saved($daemon, %toml, workers => 3, env => 'other');
    is with_workers($daemon, 3)->{target}, 3, 'a key that only new workers can take makes them';
    is $daemon->stop,                      0, 'it ends well';
};

done_testing;
