# What hangs, or is put in the way of a file that is opened again, keeps the daemon neither from
# serving nor from its stop.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Folder;
use IO::Socket::UNIX ();
use POSIX qw(mkfifo);
use Test::More;

my $folder = Folder->new('hangs');

# replace puts a FIFO that nobody writes to, or reads, in the place of a file.
sub replace {
    my ($path) = @_;
    unlink $path or die "remove $path: $!\n";
    mkfifo($path, oct 600) or die "make $path: $!\n";
    return;
}

sub logged {
    my ($daemon, $message) = @_;
    return $daemon->wait_for_log(sub { $_[0]{msg} eq $message });
}

my $app = $folder->write('app.psgi', <<"PSGI");
open my \$loading, '>', "$folder/loading" or die "mark: \$!\n";
syswrite \$loading, "loading\n";
sleep 1 while -e "$folder/hang";
sub { [200, [], ["here\\n"]] }
PSGI

subtest 'an app that hangs in a reload, while another reload waits' => sub {
    my $daemon = Daemon->new(args => ['--workers=1', '--start-timeout=600', "--control=$folder/control", $app]);
    $folder->write('hang', q{});
    my $client = IO::Socket::UNIX->new(Peer => "$folder/control") or die "connect: $!\n";
    print {$client} qq({"do":"reload"}\n) or die "ask: $!\n";
    $client->flush;
    logged($daemon, 'reload');
    $daemon->signal('HUP');
    is $daemon->get('/')->{content}, "here\n", 'the code of before answers';
    is $daemon->stop,                0,        'the daemon stops';
    like join(q{}, readline $client), qr/"error":"[^"]*stopping[^"]*"/, 'the client is told why there is no reload';
    unlink "$folder/hang" or die "remove hang: $!\n";
};

subtest 'a FIFO in the place of thrall.toml' => sub {
    my $config = $folder->write('thrall.toml', "workers = 1\n");
    my $daemon = Daemon->new(args => ['-c', $config, $app]);
    replace($config);
    $daemon->signal('HUP');
    like logged($daemon, 'reload failed; what ran before runs on')->{error},
        qr/\Q$config\E: cannot be read again: something that is not a file is in its place/, 'the reload fails';
    is $daemon->get('/')->{content}, "here\n", 'what ran before answers';
    is $daemon->stop,                0,        'the daemon stops';
};

subtest 'a FIFO in the place of a log file' => sub {
    my $access = $folder->write('access.log', q{});
    my $daemon = Daemon->new(args => ['--workers=1', "--access-log=$access", $app]);
    replace($access);
    $daemon->signal('USR1');
    like logged($daemon, 'log files not reopened, the old ones stay in use')->{error}, qr/\Q$access\E/,
        'the error names it';
    is $daemon->get('/')->{content}, "here\n", 'requests are answered';
    is $daemon->stop,                0,        'the daemon stops';
};

subtest 'a thrall.toml that changes while the app is loaded for the first time' => sub {
    my $config = $folder->write('first.toml', "watch = true\nworkers = 1\n");
    $folder->write('hang',    q{});
    $folder->write('loading', q{});
    my $daemon = Daemon->new(silent => 1, args => ['-c', $config, $app]);
    Daemon->wait_for_line("$folder/loading", qr/loading/);
    $folder->write('first.toml', "watch = true\nworkers = 2\n");
    unlink "$folder/hang" or die "remove hang: $!\n";
    is logged($daemon, 'reload')->{why}, 'thrall.toml has changed', 'it is read again';
    is $daemon->stop,                    0,                         'the daemon stops';
};

done_testing;
