# The end of the daemon, and what becomes of the requests that it has.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Cwd qw(abs_path);
use Daemon;
use File::Temp ();
use Gate;
use IO::Select ();
use IO::Socket::INET ();
use POSIX qw(mkfifo);
use Test::More;
use Time::HiRes qw(time);

# Whatever is started here works in this folder.
my $folder = File::Temp->newdir('test-stop-XXXXXX', TMPDIR => 1);
my $app    = abs_path('test/apps/fragile.psgi');

sub asking {
    my ($daemon, $target, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($target, @fields);
    return $connection;
}

# at_the_gate starts a request and waits until it is being run.
sub at_the_gate {
    my ($daemon, $target) = @_;
    my $gate       = Gate->new($daemon);
    my $connection = asking($daemon, $target, $gate->field);
    $gate->wait_for_app;
    return ($gate, $connection);
}

# uploading starts a request that the daemon is about to read the rest of.
sub uploading {
    my ($daemon, $target) = @_;
    my $connection = Connection->new($daemon);
    $connection->send("POST $target HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    $connection->head;
    return $connection;
}

sub stopping {
    my ($daemon, $signal) = @_;
    $daemon->signal($signal);
    return $daemon->wait_for_log(sub { $_[0]{msg} eq 'stopping' });
}

sub refuses {
    my ($daemon) = @_;
    return !IO::Socket::INET->new(PeerAddr => $daemon->address, Timeout => 10);
}

for my $signal (qw(TERM INT QUIT)) {
    subtest "$signal lets the requests that are there finish" => sub {
        my $daemon = Daemon->new(cwd => $folder, args => ['--workers=1', '--keepalive-timeout=30', $app]);
        my $idle   = asking($daemon, '/pid');
        my $pid    = $idle->response->{body};
        my ($gate, $running) = at_the_gate($daemon, '/wait');
        my $waiting = uploading($daemon, '/task?1');
        stopping($daemon, $signal);
        is $idle->rest, q{}, 'a connection without a request is closed at once';
        ok refuses($daemon), 'there are no new ones';
        $gate->open;
        my $response = $running->response;
        is $response->{body}, $pid, 'what is running is answered';
        is_deeply $response->{fields}{connection}, ['close'], 'and told that this was the last';
        $waiting->send('x');
        is $waiting->response('POST')->{status}, 200, 'what has only begun to arrive, too';
        is $daemon->wait_for_exit_status,        0,   'exit status 0';
        is_deeply [Daemon->processes($folder)], [], 'nothing is left';
        my ($exited) = grep { $_->{msg} eq 'worker exited' } $daemon->log_events;
        is_deeply [@{$exited}{qw(cause status)}], ['retired', 'exited with status 0'], 'the worker ended in peace';
    };
}

subtest 'a stream may come to its end' => sub {
    my $daemon = Daemon->new(cwd => $folder, args => ['--workers=1', $app]);
    my ($gate, $stream) = at_the_gate($daemon, '/stream');
    stopping($daemon, 'TERM');
    $gate->open;
    ok $stream->response->{whole}, 'and does';
    is $daemon->wait_for_exit_status, 0, 'then the daemon ends';
};

subtest 'a cleanup handler may come to its end' => sub {
    my $daemon = Daemon->new(cwd => $folder, args => ['--workers=1', $app]);
    my ($gate, $client) = at_the_gate($daemon, '/cleanup');
    is $client->response->{status}, 200, 'the client has its answer';
    stopping($daemon, 'TERM');
    $gate->open;
    is $daemon->wait_for_exit_status, 0, 'exit status 0';
    unlike $daemon->log_text, qr/workers were ended while they ran a request/, 'the worker was not cut off';
};

subtest 'a second TERM ends it at once' => sub {
    my $daemon = Daemon->new(cwd => $folder, args => ['--workers=2', $app]);
    my ($wait,   $waiting)   = at_the_gate($daemon, '/wait');
    my ($stream, $streaming) = at_the_gate($daemon, '/stream');
    stopping($daemon, 'TERM');
    my $began = time;
    $daemon->signal('TERM');
    is $daemon->wait_for_exit_status(10), 0, 'exit status 0';
    cmp_ok time - $began, '<', 4, 'soon';
    my $answer = $waiting->response;
    ok !$answer || $answer->{status} >= 500, 'what has not begun gets no answer, or an error';
    ok !$streaming->response->{whole},       'what has begun is cut';
    like $daemon->log_text, qr/stopping at once/, 'the log says so';
    is_deeply [Daemon->processes($folder)], [], 'nothing is left running';
};

subtest 'what is not done within stop_timeout is cut' => sub {
    my $daemon = Daemon->new(cwd => $folder, args => ['--workers=1', '--stop-timeout=0.3', $app]);
    my ($gate, $streaming) = at_the_gate($daemon, '/stream');
    stopping($daemon, 'TERM');
    ok !$streaming->response->{whole}, 'the client sees that';
    is $daemon->wait_for_exit_status(15), 0, 'exit status 0';
    like $daemon->log_text, qr/requests were cut/, 'the log says so';
    is_deeply [Daemon->processes($folder)], [], 'nothing is left running';
};

subtest 'a daemon that is killed leaves no worker behind' => sub {
    mkfifo "$folder/alive", oct 600 or die "mkfifo: $!\n";

    # Each worker holds the fifo open: its end is read when the last one is gone.
    my $daemon = Daemon->new(
        env  => {ALIVE => "$folder/alive"},
        psgi => 'open our $alive, "+<", $ENV{ALIVE} or die $!; print {*STDERR} "alive\n"; sub { [200, [], [$$]] }',
        args => ['--workers=3'],
    );
    my $workers = 0;
    open my $alive, '<', "$folder/alive" or die "open the fifo: $!\n";
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'alive' && ++$workers == 3 });
    $daemon->kill_it;
    ok(IO::Select->new($alive)->can_read(20), 'they all end');
    is sysread($alive, my $nothing, 1), 0, 'for good';
};

done_testing;
