# Delayed and streamed responses (PSGI, "Delayed Response and Streaming Body").
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Gate;
use Test::More;

my $daemon = Daemon->new(args => ['--workers=1', '--log-level=debug', 'test/apps/streaming.psgi']);

sub get {
    my ($path) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($path);
    return $connection->response;
}

# noted waits for what the app has noted, with its request.
sub noted {
    my ($text) = @_;
    my $event = $daemon->wait_for_log(qr/noted: \Q$text\E/);
    return $event->{msg} =~ s/\Anoted: //r;
}

subtest 'a response may come by callback, in one' => sub {
    for my $path ('/whole', '/whole?object') {
        my $response = get($path);
        is $response->{body}, 'in one', "$path: the body";
        is_deeply $response->{fields}{'content-length'}, [6], 'with its length';
    }
    my $response = get('/handle');
    is $response->{status}, 201,              'or with a handle';
    is $response->{body},   "from\na handle", 'which is read';
};

subtest 'each piece is delivered when it is written, and the head before all' => sub {
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->get('/pieces', $gate->field);
    is $connection->head->{status}, 200, 'the head is there before the app writes anything';
    for my $piece (qw(one two)) {
        $gate->wait_for_app;
        $gate->open;
        is $connection->chunk, $piece, "'$piece' is there before the app writes more";
    }
    $gate->open;
    is $connection->chunk, q{}, 'the end comes with close';
};

subtest 'to a client of HTTP/1.0 as well, which learns the end by that of the connection' => sub {
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->send("GET /pieces HTTP/1.0\r\n" . $gate->field . "\r\n\r\n");
    my $head = $connection->head;
    ok !$head->{fields}{'transfer-encoding'}, 'no chunks';
    $gate->open;
    is $connection->bytes(3), 'one', 'the first piece';
    $gate->open for 1 .. 2;
    is $connection->rest, 'two', 'the second one, and the end';
};

subtest 'write returns true, and takes what is empty, too' => sub {
    is get('/values')->{body},  "a0\xff\0z",                               'what was written';
    is noted('write returned'), 'write returned true true true true true', 'what it returned';
};

subtest 'a piece may be larger than what is sent at a time' => sub {
    is get('/large')->{body}, 'a' x 700_000 . 'b' x 700_000, 'all of it arrives';
};

subtest 'a length that the app tells is kept' => sub {
    my $response = get('/length');
    is $response->{body}, 'abcdef', 'the body';
    is_deeply $response->{fields}{'content-length'}, [6], 'its length';
    ok !$response->{fields}{'transfer-encoding'}, 'no chunks then';
};

subtest 'a stream may have nothing in it' => sub {
    my $response = get('/nothing');
    is $response->{body}, q{}, 'no body';
    ok $response->{whole}, 'but an end';
};

subtest 'the writer has write and close, and no poll_cb' => sub {
    is get('/writer')->{body}, 'has write has close no poll_cb', 'psgi.nonblocking is false';
};

subtest 'a writer that is closed stays so' => sub {
    is get('/after-close')->{body}, 'all', 'the response is what came before';
    ok noted('closed again'), 'closing it twice is harmless';
    like noted('write died'), qr/write on a writer that is closed/, 'writing is an error';
};

subtest 'the response ends with close, whatever the app does then' => sub {
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->get('/busy-after-close', $gate->field);
    ok $connection->response->{whole}, 'the client has all of it while the app works on';
    $connection->get('/whole');
    $gate->wait_for_app;
    $gate->open;
    is $connection->response->{body}, 'in one', 'the worker takes the next request after that';
};

subtest 'an app that dies before its response is a 500' => sub {
    my $response = get('/die-first');
    is $response->{status}, 500,                     'the status';
    is $response->{body},   'Internal Server Error', 'and no more';
    ok $daemon->wait_for_log(qr/the app failed: died before the response/)->{request_id}, 'the log says of what';
};

subtest 'an app that dies midway leaves no end that looks well' => sub {
    for my $path (qw(/die-midway /die-midway-length)) {
        my $response = get($path);
        is $response->{status}, 200,     "$path: the head was out";
        is $response->{body},   'begun', 'what was written arrives';
        ok !$response->{whole}, 'the connection is cut instead of an end';
    }
    my $cut = $daemon->wait_for_log(sub { $_[0]{msg} eq 'response cut' && $_[0]{target} eq '/die-midway' });
    ok $cut, 'the log names the request';
    my $cause = qr/failed after its response had begun: died midway/;
    ok $daemon->wait_for_log(sub { $_[0]{msg} =~ $cause && $_[0]{request_id} eq $cut->{request_id} }),
        'and the cause, by the same id';

    my $old = Connection->new($daemon);
    $old->send("GET /die-midway HTTP/1.0\r\n\r\n");
    ok !$old->response->{whole}, 'a client of HTTP/1.0 sees the connection reset';
};

subtest 'an app that dies at the very end spoils nothing' => sub {
    my $response = get('/die-at-the-end');
    is $response->{body}, 'all', 'the body';
    ok $response->{whole},                                       'is whole';
    ok $daemon->wait_for_log(qr/died at the end/)->{request_id}, 'and the log knows';
};

subtest 'all of that was one worker, which called each callback once' => sub {
    my $log = $daemon->log_text;
    unlike $log, qr/worker exited/,                'it is still the first one';
    unlike $log, qr/the callback is called again/, 'no callback was called twice';
};

done_testing;
