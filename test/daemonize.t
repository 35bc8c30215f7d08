# In the background: the command ends when the daemon serves, or says why it does not.
use 5.014;
use warnings;

use lib 'test/lib';
use Cwd qw(abs_path);
use Daemon;
use Fcntl qw(LOCK_EX);
use Folder;
use HTTP::Tiny ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX qw(mkfifo);
use Socket qw(SOCK_STREAM);
use Test::More;

my $folder = Folder->new('daemonize');
my $hello  = abs_path('examples/hello/app.psgi');
my $count  = 0;

# events are those of a log file.
sub events {
    my ($path) = @_;
    return map { JSON::PP::decode_json($_) } grep { /\A[{]/ } split /\n/, Folder::content($path);
}

# background starts a daemon in the background, and returns how that went.
sub background {
    my (@args) = @_;
    my $name   = "$folder/" . ++$count;
    my %it     = (socket => "$name.sock", pid => "$name.pid", log => "$name.log");
    my @paths  = ("--socket=$it{socket}", "--pid=$it{pid}", "--error-log=$it{log}");
    @it{qw(status output)} = Daemon->run('--daemonize', '--workers=1', @paths, @args);
    $it{process} = Folder::content($it{pid}) =~ /\A(\d+)\n\z/ ? $1 : undef;
    return \%it;
}

# stop ends a daemon in the background and waits until it has let go of its pid file.
sub stop {
    my ($it, $signal) = @_;
    open my $file, '+<', $it->{pid} or die "open $it->{pid}: $!\n";
    kill $signal // 'TERM', $it->{process};
    local $SIG{ALRM} = sub { die "the daemon has not ended: " . Folder::content($it->{log}) };
    alarm 30;
    flock $file, LOCK_EX or die "lock: $!\n";
    alarm 0;
    close $file;
    return;
}

sub get {
    my ($it, $path) = @_;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $it->{socket}) or return;
    print {$socket} "GET $path HTTP/1.0\r\n\r\n" or return;
    local $/ = undef;
    my (undef, $body) = split /\r\n\r\n/, readline($socket) // q{}, 2;
    return $body;
}

sub process_status {
    my ($pid, $field) = @_;
    my ($value) = Folder::content("/proc/$pid/status") =~ /^$field:\s*(.*)/m;
    return $value;
}

subtest 'the command ends when the daemon serves' => sub {
    my $it = background($hello);
    is $it->{status},     0,                 'with exit status 0' or diag $it->{output};
    is get($it, '/text'), "Hello, World!\n", 'and it does, at once';
    my @stat = split q{ }, Folder::content("/proc/$it->{process}/stat") =~ s/.*[)] //r;
    is $stat[3], $it->{process}, 'the daemon leads a session';
    is $stat[4], 0,              'without a terminal';
    my %leads = map { $_ => readlink "/proc/$it->{process}/fd/$_" } 0 .. 2;
    is_deeply \%leads, {0 => '/dev/null', 1 => '/dev/null', 2 => $it->{log}}, 'its streams lead to the log at most';
    is readlink("/proc/$it->{process}/cwd"), abs_path('.'), 'it stays in its folder';
    like $it->{output}, qr/"msg":"ready"/, 'what it logged until then is shown';
    is_deeply [grep { $_ eq 'ready' } map { $_->{msg} } events($it->{log})], ['ready'], 'and is in the log';

    stop($it);
    like Folder::content($it->{log}), qr/"msg":"stopped"/, 'the log goes on to the end';
    ok !-e $it->{socket}, 'the socket is removed';
    ok !-e $it->{pid},    'so is the pid file';
    is_deeply [Daemon->processes("$folder/$count.")], [], 'nothing is left';
};

subtest 'the app finds the environment as it was' => sub {
    my $app
        = $folder->write('environment.psgi', 'sub { [200, [], [join "\n", map { "$_=$ENV{$_}" } sort keys %ENV]] }');
    local $ENV{SECRET_OF_APP} = 'kept';
    my $it  = background($app);
    my $env = get($it, '/');
    like $env,   qr/^SECRET_OF_APP=kept$/m, 'what is for the app';
    unlike $env, qr/^THRALLD_/m,            'and nothing of how the daemon came about';
    stop($it);
};

subtest 'an app that does not load is told of, with its own words' => sub {
    my $app = $folder->write('broken.psgi', "warn qq{on the way\\n};\ndie qq{it is\\nbroken};\n");
    my $it  = background($app);
    is $it->{status}, 1, 'exit status 1';
    like $it->{output}, qr/^thralld: it is\nthralld: broken at \Q$app\E line 2/m, 'the error is printed';
    like $it->{output}, qr/on the way/,                                           'what the app has printed, too';
    my ($failed) = grep { $_->{msg} eq 'start failed' } events($it->{log});
    like $failed->{error},            qr/broken at \Q$app\E line 2/, 'the log has the error';
    like Folder::content($it->{log}), qr/"msg":"on the way"/,        'and what the app has printed';
    ok !-e $it->{pid}, 'there is no pid file';
    is_deeply [Daemon->processes("$folder/$count.")], [], 'nothing is left';
};

subtest 'a command that is stopped while the app loads stops the daemon' => sub {
    mkfifo "$folder/never", oct 600 or die "mkfifo: $!\n";
    my $app    = $folder->write('slow.psgi', 'warn "loading\n"; open my $wait, "<", $ENV{NEVER}; sub { }');
    my $daemon = Daemon->new(
        unix   => "$folder/slow.sock",
        silent => 1,
        env    => {NEVER => "$folder/never"},
        args   => ['--daemonize', "--error-log=$folder/slow.log", $app],
    );
    $daemon->wait_for_log(qr/"loading"/);
    is $daemon->stop, 1, 'exit status 1';
    like $daemon->log_text, qr/^thralld: stopped before it served$/m, 'it says so';
    is_deeply [Daemon->processes("$folder/slow")], [], 'nothing is left';
};

subtest 'an address that is taken is told of' => sub {
    my $first = background($hello);
    my $it    = background($hello, "--socket=$first->{socket}");
    is $it->{status}, 1, 'exit status 1';
    like $it->{output},
        qr/^thralld: listen on \Q$first->{socket}\E: this socket is already in use by process $first->{process}/m,
        'who has it';
    like Folder::content($it->{log}), qr/already in use by process $first->{process}/, 'the log says it, too';
    stop($first);
};

subtest 'a second daemon is refused' => sub {
    my $first = background($hello);
    my ($status, $output) = Daemon->run('--daemonize', "--pid=$first->{pid}", "--error-log=$first->{log}", $hello);
    is $status, 1, 'exit status 1';
    like $output, qr/thralld runs already, as process $first->{process} /, 'why';
    stop($first);
};

subtest 'without a log file it is refused' => sub {
    my ($status, $output) = Daemon->run('--daemonize', $hello);
    is $status, 1, 'exit status 1';
    like $output, qr/^thralld: --daemonize: needs error_log = "FILE", or the log would be lost$/m, 'why';
};

subtest 'Go\'s own last words go into the log, also after it was reopened' => sub {
    my $it = background($hello);
    rename $it->{log}, "$it->{log}.old" or die "rename: $!\n";
    kill USR1 => $it->{process};
    Daemon->wait_for_line($it->{log}, qr/log files reopened/);
    is readlink("/proc/$it->{process}/fd/2"), $it->{log}, 'standard error is the new file';
    stop($it, 'ABRT');
    like Folder::content($it->{log}), qr/^SIGABRT: abort$/m, 'there they are';
    unlink $it->{pid}, $it->{socket};
};

done_testing;
