# The pid file tells which process is the daemon, for as long as it lives, and harms no other file.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Folder;
use Test::More;

my $folder = Folder->new('pidfile');
umask oct 22;
my $hello = 'examples/hello/app.psgi';

sub daemon {
    my ($pid, @args) = @_;
    return Daemon->new(args => ['--workers=1', "--pid=$pid", @args, $hello]);
}

# refused starts a daemon that does not come to serve, and returns what it says.
sub refused {
    my ($pid,    @args)   = @_;
    my ($status, $output) = Daemon->run('--host=127.0.0.1', '--port=0', "--pid=$pid", @args ? @args : $hello);
    is $status, 1, 'exit status 1';
    return $output;
}

subtest 'it is there while the daemon is' => sub {
    my $path   = "$folder/one.pid";
    my $daemon = daemon($path);
    is Folder::content($path),                     $daemon->pid . "\n", 'it holds the process id';
    is sprintf('%04o', (stat $path)[2] & oct 777), '0644',              'all may read it';
    is $daemon->stop,                              0,                   'the daemon ends';
    ok !-e $path, 'and the file with it';
};

subtest 'a second daemon is refused, and the first goes on' => sub {
    my $path   = "$folder/two.pid";
    my $daemon = daemon($path);
    my $pid    = $daemon->pid;
    like refused($path), qr/pid file \Q$path\E: thralld runs already, as process $pid [(].*--pid=\Q$path\E/,
        'the error names its process and command';
    is Folder::content($path),          "$pid\n", 'the file is as it was';
    is $daemon->get('/text')->{status}, 200,      'the first one serves';
    is $daemon->stop,                   0,        'until it is stopped';
};

subtest 'what a killed daemon has left is taken over' => sub {
    my $path  = "$folder/three.pid";
    my $first = daemon($path);
    $first->kill_it;
    ok -s $path, 'it is there';
    my $daemon = daemon($path);
    is Folder::content($path), $daemon->pid . "\n", 'it holds the id of the new one';
    $daemon->stop;
    $folder->write('three.pid', "$$\n");
    $daemon = daemon($path);
    is Folder::content($path), $daemon->pid . "\n", 'also when the number is that of another process now';
};

subtest 'other files are left alone' => sub {
    my $app = $folder->write('app.psgi', 'sub { [200, [], ["hello"]] }');
    like refused($app), qr/is no pid file/, 'one that holds something else';
    is Folder::content($app), 'sub { [200, [], ["hello"]] }', 'is as it was';

    my $number = $folder->write('number', "42\n");
    symlink $number, "$folder/link" or die "symlink: $!\n";
    like refused("$folder/link"), qr/a symbolic link is in its place; remove it/, 'a link is not followed';
    is Folder::content($number), "42\n", 'what it leads to is as it was';
    like refused("$folder/no/such.pid"), qr{^thralld: --pid: there is no folder \Q$folder\E/no$}m,
        'a missing folder is an error';
};

subtest 'a daemon that does not come to serve leaves none' => sub {
    my $path = "$folder/four.pid";
    like refused($path, '-e', 'die "no app\n"'), qr/no app/, 'the app does not load';
    ok !-e $path, 'there is no file';
};

subtest 'a daemon does not remove the file of another' => sub {
    my $path   = "$folder/five.pid";
    my $daemon = daemon($path);
    unlink $path or die "unlink: $!\n";
    $folder->write('five.pid', "1\n");
    is $daemon->stop,          0,     'the daemon ends';
    is Folder::content($path), "1\n", 'the file is as it was';
};

done_testing;
