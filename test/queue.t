# Requests that find all workers busy.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Gate;
use Test::More;
use Time::HiRes qw(time);

my $app = 'test/apps/fragile.psgi';

sub asking {
    my ($daemon, $target, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($target, @fields);
    return $connection;
}

# busy starts a daemon and makes all its workers wait at a gate.
sub busy {
    my ($workers, @options) = @_;
    my $daemon = Daemon->new(args => ["--workers=$workers", '--log-level=debug', @options, $app]);
    my $gate   = Gate->new($daemon);
    my @running;
    for (1 .. $workers) {
        push @running, asking($daemon, '/wait', $gate->field);
        $gate->wait_for_app;
    }
    return ($daemon, $gate, @running);
}

sub refused {
    my ($response, $what) = @_;
    is $response->{status}, 503, "$what: 503";
    is_deeply $response->{fields}{'retry-after'}, [1], 'with Retry-After';
    return;
}

subtest 'as many wait as may, and the rest is refused at once' => sub {
    my ($daemon, $gate, $running) = busy(1, '--max-queue=1');

    # Which of two comes first is for the kernel to say: one waits, the other is refused.
    my @clients = (asking($daemon, '/task?1'), asking($daemon, '/task?2'));
    my $refused = $daemon->wait_for_log(sub { ($_[0]{status} // 0) == 503 });
    my ($which) = $refused->{target} =~ /(\d)\z/;
    refused($clients[$which - 1]->response, 'one too many');
    like $refused->{error}, qr/too many requests are waiting/, 'the log says why';
    $gate->open;
    is $running->response->{status}, 200, 'the one that is run is answered';
    like $clients[2 - $which]->response->{body}, qr/\A@{[3 - $which]} by/, 'so is the one that has waited';
    is asking($daemon, '/pid')->response->{status}, 200, 'and then all is as before';
};

subtest 'where none may wait, a busy daemon refuses, and an idle one serves' => sub {
    my ($daemon, $gate, $running) = busy(1, '--max-queue=0');
    refused(asking($daemon, '/pid')->response, 'busy');
    $gate->open;
    is $running->response->{status},                200, 'what is running ends';
    is asking($daemon, '/pid')->response->{status}, 200, 'and the next is served';
};

subtest 'a request waits no longer than it may' => sub {
    my ($daemon, $gate, $running) = busy(1, '--queue-timeout=0.3');
    my $began   = time;
    my $waiting = asking($daemon, '/task?never');
    refused($waiting->response, 'too long');
    my $waited = time - $began;
    cmp_ok $waited, '>', 0.25, 'not at once';
    cmp_ok $waited, '<', 10,   'nor much later';
    $gate->open;
    is $running->response->{status},                200, 'what is running may take longer';
    is asking($daemon, '/pid')->response->{status}, 200, 'the next is served';
    unlike $daemon->log_text, qr/ran never/, 'and the app never hears of the one that was refused';
};

subtest 'those that wait are served when a worker is free, each once' => sub {
    my ($daemon, $gate, @running) = busy(2);
    my @clients = map { asking($daemon, "/task?$_") } 1 .. 30;
    $gate->open for @running;
    is_deeply [map { $_->response->{body} =~ s/ by .*//r } @clients], [1 .. 30], 'each has its own answer';
    is $daemon->stop, 0, 'the daemon ends, and all that its workers printed is in the log';
    my @ran = map { $_->{msg} =~ /\Aran (\d+)\z/ } $daemon->log_events;
    is_deeply [sort { $a <=> $b } @ran], [1 .. 30], 'and was run once';
};

subtest 'no request waits behind a slow one while a worker is idle' => sub {
    my $daemon = Daemon->new(args => ['--workers=2', $app]);
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker ready' && $_[0]{worker} == $_ }) for 0, 1;

    # Quick requests first, so that more than one would be sent ahead to the worker in use.
    asking($daemon, '/pid')->response for 1 .. 100;
    my $gate    = Gate->new($daemon);
    my $slow    = asking($daemon, '/wait', $gate->field);
    my @clients = map { asking($daemon, '/pid') } 1 .. 50;
    $gate->wait_for_app;

    # One that reached the daemon first may have been run by the worker that is slow now. What counts
    # is that the gate is still closed when all of them have been answered.
    is_deeply [map { $_->response->{status} } @clients], [(200) x 50], 'all others are answered meanwhile';
    $gate->open;
    is $slow->response->{status}, 200, 'and it in the end';
};

done_testing;
