# Starts that fail: exit status 1, a reason that helps, and nothing half-started.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Folder;
use IO::Socket::INET ();
use Test::More;

my @LISTEN = qw(--host 127.0.0.1 --port 0);

# All that is started here can be told from other processes by this folder in its environment.
my $folder = Folder->new('failures');
local $ENV{THRALLD_TEST_FOLDER} = "$folder";

# fails runs the daemon with these arguments and checks how it ends.
sub fails {
    my ($wanted, @args)   = @_;
    my ($status, $output) = Daemon->run(@args);
    is $status, 1, 'exit status 1';
    like $output,   $wanted,                                         'it says why';
    unlike $output, qr/panic|goroutine|"msg":"(?:listening|ready)"/, 'and nothing that alarms or misleads';
    is_deeply [Daemon->processes($folder)], [], 'nothing is left running';
    return $output;
}

my $hello = $folder->write('hello.psgi', q{sub { [200, [], ['hello']] }});

my %broken = (
    'does not compile' => [qq{use strict;\n\nmy \$x = ;\n}, qr/syntax error at \S+broken[.]psgi line 3/],
    'dies'             => [qq{\ndie 'of this';\n},          qr/of this at \S+broken[.]psgi line 2[.]/],
    'dies in a module' => [qq{\nuse No::Such::Module;\n},   qr/Can't locate No.Such.Module.*psgi line 2[.]/s],
    'returns a number' => [qq{42;\n},                       qr/broken[.]psgi returned "42"; .*code reference/],
    'returns nothing'  => [qq{return;\n},                   qr/broken[.]psgi returned undef; .*code reference/],
    'returns a list'   => [qq{[200, [], ['not a sub']];\n}, qr/broken[.]psgi returned a reference to ARRAY/],
    'exits'            => [qq{print "before the exit\\n";\nexit 7;\n}, qr/status 7.*before the exit/s],
    'kills itself'     => [qq{kill KILL => \$\$;\n},                   qr/killed/],
);

for my $preload (0, 1) {
    my $when = $preload ? 'preloaded' : 'loaded by its workers';
    for my $what (sort keys %broken) {
        my ($source, $wanted) = @{$broken{$what}};
        subtest "an app that $what, $when" => sub {
            my $app = $folder->write('broken.psgi', $source);
            fails($wanted, @LISTEN, "--preload=$preload", $app);
        };
    }
}

subtest 'an app that is not there' => sub {
    fails(qr/cannot read \S+missing[.]psgi: No such file or directory/, @LISTEN, "$folder/missing.psgi");
    fails(qr/Is a directory|returned|cannot read/,                      @LISTEN, "$folder/");
    fails(qr/Can't locate No.Such.Class/,                               @LISTEN, '--app', 'No::Such::Class');
};

subtest 'an app that never finishes loading' => sub {
    my $app = $folder->write('broken.psgi', qq{print "I am waiting\\n"; sleep 1 while 1;\n});
    fails(qr/did not finish loading within 500ms/, @LISTEN, '--start-timeout=0.5', "--preload=$_", $app) for 0, 1;
};

subtest 'a module of -M that is not there, or dies' => sub {
    fails(qr/Can't locate No.Such.Module/, @LISTEN, '-MNo::Such::Module', $hello);
    $folder->write('Dying.pm', "package Dying;\ndie 'while it is loaded';\n");
    fails(qr/while it is loaded at \S+Dying[.]pm line 2/, @LISTEN, "-I$folder", '-MDying', $hello);
};

subtest 'a perl that is not there, or is none' => sub {
    fails(qr{perl not found .looked for "$folder/perl".}, @LISTEN, "--perl=$folder/perl", $hello);
    fails(qr/perl not found .looked for "no-such-perl"./, @LISTEN, '--perl=no-such-perl', $hello);
    fails(qr/permission denied/i,                         @LISTEN, "--perl=$hello",       $hello);
    my $old = $folder->write('old-perl', "#!/bin/sh\necho 'this perl is too old for that' >&2\nexit 255\n");
    chmod oct 755, $old or die "chmod: $!\n";
    fails(qr/this perl is too old for that/, @LISTEN, "--perl=$old", $hello);
};

subtest 'a port that is taken' => sub {
    my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!\n";
    my $port  = $taken->sockport;
    fails(qr/port $port is already in use by process $$ /, qw(--host 127.0.0.1 --port), $port, $hello);
};

subtest 'a unix socket that is in use' => sub {
    my $daemon
        = Daemon->new(unix => 1, psgi => q{sub { [200, [], ['still here']] }}, env => {THRALLD_TEST_FOLDER => undef});
    my $socket = $daemon->address;
    my $pid    = $daemon->pid;
    fails(qr/\Q$socket\E: this socket is already in use by process $pid .thralld./, '--socket', $socket, $hello);
    like $daemon->raw("GET / HTTP/1.0\r\n\r\n"), qr/still here/, 'the one that listens there is not disturbed';
    ok -S $socket, 'and has its socket';
};

subtest 'a socket that nobody listens on any more is replaced' => sub {
    my $first  = Daemon->new(unix => 1, args => [$hello], env => {THRALLD_TEST_FOLDER => undef});
    my $socket = $first->address;
    $first->kill_it;
    ok -S $socket, 'a daemon that was killed leaves one behind';
    my $second = Daemon->new(unix => $socket, args => [$hello], env => {THRALLD_TEST_FOLDER => undef});
    like $second->raw("GET / HTTP/1.0\r\n\r\n"), qr/hello/, 'the next one serves on it';
    is $second->stop, 0, 'it ends';
    ok !-e $socket, 'and takes its socket along';
};

subtest 'a place for a socket that has something else' => sub {
    my $file = $folder->write('file', 'precious');
    fails(qr/\Q$file\E: a file that is not a socket is in the way/, '--socket', $file, $hello);
    is -s $file, length 'precious', 'which is left alone';
    fails(qr/no such file or directory/i, '--socket', "$folder/nowhere/socket", $hello);
    fails(qr/a socket path of \d+ bytes/, '--socket', "$folder/" . 'x' x 200,   $hello);
};

subtest 'every address that cannot be had is named' => sub {
    my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!\n";
    my $port  = $taken->sockport;
    my $file  = $folder->write('file', 'precious');
    my $text  = fails(qr/port $port is already in use/, "--listen=127.0.0.1:$port", "--listen=$file", $hello);
    like $text, qr/a file that is not a socket/, 'the other one, too';
    fails(qr/192[.]0[.]2[.]1 is no address of this machine/, '--listen=192.0.2.1:5000', $hello);
};

done_testing;
