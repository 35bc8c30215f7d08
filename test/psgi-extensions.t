# PSGI's extensions: cleanup handlers, harakiri, informational responses, the logger.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Gate;
use Test::More;

my $app = 'test/apps/extensions.psgi';

sub get {
    my ($daemon, $path, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($path, @fields);
    return $connection->response;
}

sub worker_exited {
    my ($daemon, $pid) = @_;
    return $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker exited' && $_[0]{pid} == $pid });
}

subtest 'a cleanup handler runs when the client has its answer' => sub {
    my $daemon = Daemon->new(args => ['--workers=2', $app]);
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker ready' && $_[0]{worker} == $_ }) for 0, 1;
    my $gate    = Gate->new($daemon);
    my $cleaner = get($daemon, '/cleanup?1', $gate->field)->{body};
    like $cleaner, qr/\A\d+\z/, 'it is answered';
    my $there = $gate->wait_for_app;
    isnt get($daemon, '/')->{body}, $cleaner, 'meanwhile requests go to another worker' for 1 .. 20;
    $gate->open;
    my $noted = $daemon->wait_for_log(qr/noted: cleaned up after 1/);
    is $noted->{request_id}, $there->{request_id}, 'the handler gets the environment, and its lines name the request';
};

subtest 'a request waits for a worker that cleans up, when there is no other' => sub {
    my $daemon = Daemon->new(args => ['--workers=1', $app]);
    my $gate   = Gate->new($daemon);
    get($daemon, '/cleanup?2', $gate->field);
    $gate->wait_for_app;
    my $next = Connection->new($daemon);
    $next->get('/');
    $gate->open;
    is $next->response->{status}, 200, 'then it is served';
    ok $daemon->wait_for_log(qr/noted: cleaned up after 2/), 'after the handler';
};

my $daemon = Daemon->new(args => ['--workers=1', '--log-level=debug', $app]);

subtest 'what a cleanup handler returns or dies of does not matter' => sub {
    my $pid = get($daemon, '/cleanup-fails')->{body};
    ok $daemon->wait_for_log(qr/a cleanup handler died: in the first handler/)->{request_id}, 'the log has the death';
    ok $daemon->wait_for_log(qr/noted: the second handler/),                                  'the next handler runs';
    is get($daemon, '/')->{body}, $pid, 'and the worker goes on';
};

subtest 'handlers run after streams and deaths, too' => sub {
    get($daemon, '/cleanup-of-a-stream');
    ok $daemon->wait_for_log(qr/noted: cleaned up after a stream/), 'also one that was added when the stream had ended';
    is get($daemon, '/cleanup-of-the-dead')->{status}, 500, 'an app that dies';
    ok $daemon->wait_for_log(qr/noted: cleaned up after a death/), 'has said how to clean up';
};

subtest 'a worker that commits harakiri ends after its response' => sub {
    my $pid = get($daemon, '/')->{body};
    is get($daemon, '/leave?0')->{body}, $pid, 'one that does not, stays';
    for my $path (qw(/leave?1 /leave-by-a-stream)) {
        my $left   = get($daemon, $path)->{body};
        my $exited = worker_exited($daemon, $left);
        is $exited->{cause},            'harakiri', "$path: the log gives the cause";
        is $exited->{level},            'info',     'as nothing to worry about';
        isnt get($daemon, '/')->{body}, $left,      'another one serves the next request';
    }
};

subtest 'cleanup handlers run before harakiri, and may commit it' => sub {
    my $pid = get($daemon, '/leave-by-cleanup')->{body};
    ok $daemon->wait_for_log(qr/noted: the handler wants to leave/), 'the handler runs';
    is worker_exited($daemon, $pid)->{cause}, 'harakiri', 'the worker leaves';
};

subtest 'a file is sent whole although its worker leaves' => sub {
    my $response = get($daemon, '/leave-with-a-file');
    is length $response->{body}, -s $app, 'all of it';
};

subtest 'harakiri under load loses no request' => sub {
    my $several = Daemon->new(args => ['--workers=3', $app]);
    my (@connections, %status, %pid);
    for my $turn (1 .. 40) {
        push @connections, Connection->new($several);
        $connections[-1]->get($turn % 3 ? '/' : '/leave?1');
    }
    for my $connection (@connections) {
        my $response = $connection->response;
        $status{$response->{status}}++;
        $pid{$response->{body}}++;
    }
    is_deeply \%status, {200 => 40}, 'all are answered';
    cmp_ok keys %pid, '>', 3, 'by many processes';
};

subtest 'an informational response arrives before the answer' => sub {
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->get('/hint', $gate->field);
    my $hint = $connection->head;
    is $hint->{status}, 103, 'at once';
    is_deeply $hint->{fields}{link}, ['</style.css>; rel=preload', '</app.js>; rel=preload'], 'with its header';
    $gate->wait_for_app;
    $gate->open;
    my $response = $connection->response('GET');
    is $response->{status}, 200, 'then the answer';
    is_deeply [map { $_->{status} } @{$response->{informational}}], [102], 'after as many as the app wants';
    ok !$response->{fields}{link}, 'which has none of their lines';
};

subtest 'a client of HTTP/1.0 gets no informational response' => sub {
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->send("GET /hint HTTP/1.0\r\n" . $gate->field . "\r\n\r\n");
    $gate->wait_for_app;
    $gate->open;
    my $response = $connection->response;
    is $response->{status}, 200, 'just the answer';
    is_deeply $response->{informational}, [], 'and nothing before';
};

subtest 'once the response has begun, there are none' => sub {
    my $response = get($daemon, '/hint-late');
    like $response->{body}, qr/\A\d+\z/, 'the response is as if the app had said nothing';
    is_deeply $response->{informational}, [], 'no hint';
};

subtest 'what is no informational response is an error, or sent to nobody' => sub {
    my $response = get($daemon, '/hint-wrong');
    is $response->{status}, 200, 'the app can go on';
    is_deeply $response->{informational}, [], 'the client got none of it';
    ok !$response->{fields}{'set-cookie'}, 'nor a line that was smuggled in';
    for my $why (qw(status.*101 status.*200 status.*x), 'odd number of elements', 'the headers are') {
        ok $daemon->wait_for_log(qr/noted: informational died: .*$why/), $why;
    }
};

subtest 'the logger writes to the log, at its level and with the request' => sub {
    my $response = get($daemon, '/log');
    my $served   = $daemon->wait_for_log(sub { ($_[0]{target} // q{}) eq '/log' });
    my %level_of = (debug => 'debug', info => 'info', warn => 'warn', error => 'error', fatal => 'error');
    for my $level (sort keys %level_of) {
        my $event = $daemon->wait_for_log(qr/"at level $level"/);
        is $event->{level},      $level_of{$level},     "$level is $level_of{$level}";
        is $event->{app_level},  $level,                'the app\'s own word is kept';
        is $event->{request_id}, $served->{request_id}, 'the request';
    }
    ok $daemon->wait_for_log(sub { $_[0]{msg} eq "two\nlines" }), 'a message of two lines stays one event';
};

subtest 'psgix.io is not offered to requests that ask for no upgrade' => sub {
    my $io = Daemon->new(psgi => 'sub { [200, [], [exists $_[0]{"psgix.io"} ? "offered" : "not offered"]] }');
    is $io->get('/')->{content}, 'not offered', 'the key is absent, so that apps fall back';
};

done_testing;
