# thralld reload, status and stop: what they say, and what they exit with.
use 5.014;
use warnings;

use lib 'test/lib';
use Cwd qw(abs_path);
use Daemon;
use File::Temp ();
use Gate;
use JSON::PP ();
use POSIX qw(mkfifo);
use Site;
use Test::More;

# While there is a fifo "hold", a worker that loads waits there, unless it finds the folder "one": the first
# to remove it may go on.
my $APP = sprintf <<'END', abs_path('test/lib');
use lib '%s';
use Gate;
if (-e 'hold' && !rmdir 'one') {
    print {*STDERR} "held while loading\n";
    open my $hold, '<', 'hold' or die "hold: $!\n";
    readline $hold;
}
sub {
    my ($env) = @_;
    Gate::wait_at($env) if $env->{HTTP_X_GATE};
    return [200, ['Content-Type' => 'text/plain'], ["$$ $env->{'thralld.generation'}"]];
};
END

sub site {
    my $site = Site->new(files => {'thrall.toml' => "workers = 2\nprobation = 0\n", 'app.psgi' => $APP});
    $site->wait_until(sub { $site->pids == 2 }, 'two workers');
    return $site;
}

# begin starts a command that takes its time, and returns a sub that waits for its end.
sub begin {
    my ($site, @command) = @_;
    my $output = File::Temp->new;
    my $pid    = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>&', $output or POSIX::_exit(126);
        open STDERR, '>&', $output or POSIX::_exit(126);
        exec $ENV{THRALLD} // 'bin/thralld', @command, '--control', $site->path('control') or POSIX::_exit(127);
    }
    my $ended = sub { my ($how) = @_; return waitpid($pid, $how) == $pid };
    my $text  = sub { seek $output, 0, 0; local $/ = undef; return readline($output) // q{} };
    return ($ended, $text);
}

subtest 'reload waits until all is done, and shows how it goes' => sub {
    my $site = site();
    $site->save('app.psgi', "# new\n$APP");
    my ($exit, $text) = $site->command('reload');
    is $exit, 0, 'exit status';
    like $text, qr/\Aloading the app\n(?:\d of 2 workers replaced\n)*2 of 2 workers replaced\nreloaded\n\z/,
        'each step in a line'
        or diag $text;
    like $site->body('/'), qr/ 2\z/, 'the new code answers';
    my $status = $site->status;
    is_deeply [map { $_->{generation} } grep { $_->{state} eq 'ready' } @{$status->{worker_list}}], [2, 2],
        'everywhere';
    is_deeply [@{$status->{last_reload}}{qw(outcome generation error)}], ['done', 2, q{}], 'the status has it';
};

subtest 'a reload that fails says why' => sub {
    my $site = site();
    my $path = $site->path('app.psgi');
    my @pids = $site->pids;
    $site->save('app.psgi', "use strict;\nsub { \$oops }\n");
    my ($exit, $text) = $site->command('reload');
    is $exit, 1, 'exit status';
    like $text, qr/^thralld: reload failed; what ran before runs on:$/m,          'that nothing is lost';
    like $text, qr/^thralld: Global symbol "\$oops" .* at \Q$path\E line 2[.]$/m, 'in the words of Perl' or diag $text;
    $site->save('app.psgi',    $APP);
    $site->save('thrall.toml', "workers = 'many'\n");
    ($exit, $text) = $site->command('reload');
    is $exit, 1, 'the same with mistakes in thrall.toml';
    like $text, qr/^thralld: \S+thrall[.]toml:1: workers: got "many", want a whole number/m, 'with file, line and key'
        or diag $text;
    unlike $text, qr/reloaded/, 'and nothing else is claimed';
    is_deeply [$site->pids], \@pids, 'what ran runs on';

    ($exit, $text) = $site->command('status');
    is $exit, 0, 'a thrall.toml that is broken does not hide the daemon';
    like $text, qr/^last reload  failed \S+ ago: .*workers: got "many"/m, 'which tells what is wrong' or diag $text;
};

subtest 'reload --no-wait' => sub {
    my $site = site();
    mkfifo $site->path('hold'), oct 600 or die "mkfifo: $!\n";
    my ($exit, $text) = $site->command('reload', '--no-wait');
    is_deeply [$exit, $text], [0, "reload begun: thralld status tells how it goes\n"], 'is answered at once';
    $site->daemon->wait_for_log(qr/held while loading/);
    my $status = $site->status;
    is $status->{last_reload}{outcome}, 'running', 'the status shows that it is running';
    like + ($site->command('status'))[1], qr/^last reload  running for /m, 'for people, too';
    open my $hold, '>', $site->path('hold') or die "hold: $!\n";
    $site->remove('hold');
    close $hold or die "hold: $!\n";
    $site->wait_for_status(sub { $_[0]{last_reload}{outcome} eq 'done' });
    like $site->body('/'), qr/ 2\z/, 'and that it is done';
};

subtest 'status' => sub {
    my $site   = site();
    my $gate   = Gate->new($site->daemon);
    my $client = $site->ask('/slow?x=1', $gate->field);
    my $there  = $gate->wait_for_app;
    my $status = $site->status;
    is $status->{pid}, $site->daemon->pid, 'pid';
    is_deeply $status->{listeners}, [$site->daemon->address], 'listeners';
    is $status->{app}, $site->path('app.psgi'), 'app';
    is_deeply [@{$status}{qw(workers waiting target stable problem last_reload)}], [2, 0, 1, 1, q{}, undef], 'numbers';
    ok $status->{healthy}, 'healthy';
    like $status->{started}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/, 'started';
    is_deeply [map { "$_->{number} $_->{role}" } @{$status->{generations}}], ['1 target'], 'generations';
    my ($busy, $idle) = sort { @{$b->{doing}} <=> @{$a->{doing}} } @{$status->{worker_list}};
    is $busy->{worker}, $there->{worker}, 'the worker that is busy';
    my ($doing) = @{$busy->{doing}};
    is_deeply [@{$doing}{qw(request_id line)}], [$there->{request_id}, 'GET /slow'], 'and with what';
    cmp_ok $doing->{seconds},     '>', 0,   'for how long';
    cmp_ok $busy->{memory_bytes}, '>', 1e5, 'its memory';
    cmp_ok $busy->{age_seconds},  '>', 0,   'its age';
    is_deeply $idle->{doing}, [], 'the other one does nothing';

    my ($exit, $text) = $site->command('status');
    is $exit, 0, 'for people';
    my $pid = $site->daemon->pid;
    like $text, qr/\Athralld \S+, process $pid, up \S+, healthy\n/, 'first of all, how it is' or diag $text;
    like $text, qr/^$busy->{worker} +1 +$busy->{pid} +ready .* GET \/slow for \S+$/m, 'a line for each worker'
        or diag $text;
    $gate->open;
    is $client->response->{status}, 200, 'nobody is disturbed';
};

subtest 'stop waits for the end' => sub {
    my $site   = site();
    my $gate   = Gate->new($site->daemon);
    my $client = $site->ask('/', $gate->field);
    $gate->wait_for_app;
    my ($ended, $text) = begin($site, 'stop');
    $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'stopping' });
    ok !$ended->(POSIX::WNOHANG), 'as long as a request runs';
    $gate->open;
    is $client->response->{status}, 200, 'which is answered';
    my $pid = $site->daemon->pid;
    is $site->daemon->wait_for_exit_status, 0, 'then the daemon ends';
    ok $ended->(0), 'and the command';
    is $?,        0,                                      'with 0';
    is $text->(), "thralld (process $pid) has stopped\n", 'and says so';
    ok !-e $site->path('control'), 'the socket is gone';
};

subtest 'a stop in the middle of a roll gives the roll up' => sub {
    my $site = site();
    mkdir $site->path('one') or die "mkdir: $!\n";
    mkfifo $site->path('hold'), oct 600 or die "mkfifo: $!\n";
    my ($ended, $text) = begin($site, 'reload');
    $site->daemon->wait_for_log(qr/held while loading/);
    is $site->daemon->stop, 0, 'the daemon ends well';
    ok $ended->(0), 'who waits for the reload is told';
    is $? >> 8, 1, 'that it has not been done';
    like $text->(), qr/^thralld: .*stopping/m, 'and why';
    is_deeply [grep { $_->{level} eq 'error' } $site->daemon->log_events], [], 'nobody is woken for that';
};

subtest 'nobody runs' => sub {
    my $site = Site->new(later => 1, files => {'thrall.toml' => q{}});
    my $path = $site->path('control');
    for my $command (qw(reload status stop)) {
        my ($exit, $text) = $site->command($command);
        is $exit, 1, "$command: exit status";
        like $text, qr{\Athralld: no thralld is running with this configuration: nothing listens on \Q$path\E; },
            'and why';
    }
};

subtest 'the socket is for root and the user of the daemon alone' => sub {
    my $site = site();
    my @stat = stat $site->path('control');
    is sprintf('%04o', $stat[2] & oct 7777), '0600', 'mode';
    is $stat[4],                             $<,     'owner';
};

subtest 'a second daemon does not take the socket of the first' => sub {
    my $site = site();
    my ($exit, $text)
        = Daemon->run('--control', $site->path('control'), qw(--host 127.0.0.1 --port 0), $site->path('app.psgi'));
    is $exit, 1, 'it does not start';
    like $text, qr/\Q@{[$site->path('control')]}\E/, 'and says why' or diag $text;
    is $site->status->{pid}, $site->daemon->pid, 'the first one is still spoken to';
};

subtest 'where nobody has chosen its place, the socket is found by the same options' => sub {
    my $site   = Site->new(later => 1, files => {'app.psgi' => $APP});
    my $run    = $site->path('run');
    my @args   = ('--workers=1', $site->path('app.psgi'));
    my %env    = (RUNTIME_DIRECTORY => $run);
    my $first  = Daemon->new(args => \@args, env => \%env);
    my $second = Daemon->new(args => \@args, env => \%env);    # on another port
    my $event  = $second->wait_for_log(qr/no control socket/);
    is $event->{level}, 'warn', 'a second one runs without, and says so';
    local $ENV{RUNTIME_DIRECTORY} = $run;
    my ($exit, $text) = Daemon->run('status', '--json', qw(--host 127.0.0.1 --port 0), @args);
    is $exit,                               0,           'status' or diag $text;
    is JSON::PP::decode_json($text)->{pid}, $first->pid, 'of the first';
    $first->kill_it;
    ($exit, $text) = Daemon->run('status', qw(--host 127.0.0.1 --port 0), @args);
    is $exit, 1, 'a socket that was left behind is nobody';
    like $text, qr/no thralld is running with this configuration/, 'and that is said';
    my $third = Daemon->new(args => \@args, env => \%env);
    ($exit, $text) = Daemon->run('status', '--json', qw(--host 127.0.0.1 --port 0), @args);
    is JSON::PP::decode_json($text)->{pid}, $third->pid, 'the next daemon takes its place';
};

done_testing;
