# HTTP/1 itself, where Plack's suite does not look: HEAD, chunks, expectations, kept connections.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Test::More;
use Time::HiRes qw(time);

my $app    = 'test/apps/http.psgi';
my $daemon = Daemon->new(args => ['--workers=2', '--keepalive-timeout=30', '--max-body-bytes=2MB', $app]);

sub field {
    my ($response, $name) = @_;
    return join '|', @{$response->{fields}{$name} // []};
}

subtest 'HEAD is GET without the body, for every kind of body' => sub {
    my $watched    = Daemon->new(args => ['--workers=2', $app]);
    my $connection = Connection->new($watched);
    for my $kind (qw(array empty large told object file missing nothing delayed stream stream-length die)) {
        my %response;
        for my $method (qw(GET HEAD)) {
            $connection->request($method => "/$kind");
            $response{$method} = $connection->response;
        }
        my ($get, $head) = @response{qw(GET HEAD)};
        is $head->{status},  $get->{status},  "$kind: the status";
        is $head->{body},    q{},             'no body';
        is field($head, $_), field($get, $_), $_ for qw(content-type x-kind connection);
        my $length = field($head, 'content-length');
        ok $length eq q{} || $length == length $get->{body}, 'Content-Length is that of GET, or not there';
    }
    is $watched->stop, 0, 'the daemon ends, and all that its workers printed is in the log';
    my $told = () = $watched->log_text =~ /the body was closed/g;
    is $told, 2, 'a body that is not sent is closed as well';
};

subtest 'a body in chunks reaches the app, and what follows it is the next request' => sub {
    my $connection = Connection->new($daemon);
    my $head       = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    my $chunks     = "4\r\nWiki\r\n05;name=\"value\"\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\nX-Trailer: y\r\n\r\n";
    $connection->send($head . $chunks . $head . "0\r\n\r\n");
    $connection->get('/echo');
    is $connection->response('POST')->{body}, "POST Wikipedia in\r\n\r\nchunks.", 'in one piece';
    is $connection->response('POST')->{body}, 'POST ',                            'an empty one';
    is $connection->response('GET')->{body},  'GET ',                             'a request after them';

    $connection->send("PUT /echo HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n");
    $connection->send("1\r\n$_\r\n") for 'a' .. 'j';
    $connection->send("0\r\n\r\n");
    is $connection->response('PUT')->{body}, 'PUT abcdefghij', 'chunks that come one by one';
};

subtest 'a client that expects 100 is told to go on when it shall' => sub {
    my $connection = Connection->new($daemon);
    my @expecting  = ('POST /echo HTTP/1.1', 'Host: x', 'Expect: 100-continue');
    $connection->send(join "\r\n", @expecting, 'Content-Length: 5', q{}, q{});
    is $connection->head->{status}, 100, 'before it has sent its body';
    $connection->send('hello');
    is $connection->response->{body}, 'POST hello', 'the app has the body';

    $connection->send(join "\r\n", @expecting, 'Content-Length: 5', q{}, 'again');
    is $connection->response->{body}, 'POST again', 'a body that comes unasked is fine, too';

    $connection->send(join "\r\n", @expecting, 'Content-Length: 3000000', q{}, q{});
    my $refused = $connection->response;
    is $refused->{status}, 413, 'a body that is too large is refused';
    is_deeply $refused->{informational}, [], 'before it is sent';
    is $connection->rest, q{}, 'and the connection is closed, as nobody knows what the client sends now';

    like $daemon->raw("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\n"),
        qr{\AHTTP/1[.]1 417 }, 'another expectation cannot be met';
};

subtest 'a connection is kept, also after bodies that were sent, unread or refused' => sub {
    my $connection = Connection->new($daemon);
    for my $turn (1 .. 5) {
        $connection->request(POST => '/echo', body => "turn $turn");
        is $connection->response->{body}, "POST turn $turn", 'a body that the app reads';
        $connection->request(POST => '/ignore', body => 'GET /die HTTP/1.1' x 10_000);
        is $connection->response->{body}, 'ignored', 'one that it does not';
        $connection->request(POST => '/die', body => 'x');
        is $connection->response->{status}, 500, 'an app that fails';
        $connection->get('/stream');
        is $connection->response->{body}, 'abc', 'a stream';
    }
};

subtest 'requests that are sent at once are answered in their order' => sub {
    my $connection = Connection->new($daemon);
    my $pipeline   = q{};
    for my $number (1 .. 20) {
        my $body = "$number" x $number;
        $pipeline .= "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: @{[length $body]}\r\n\r\n$body";
        $pipeline .= "POST /ignore HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
        $pipeline .= "HEAD /large HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
    }
    $connection->send($pipeline);
    for my $number (1 .. 20) {
        is $connection->response('POST')->{body},   'POST ' . "$number" x $number, "POST $number";
        is $connection->response('POST')->{body},   'ignored',                     'in chunks';
        is $connection->response('HEAD')->{status}, 200,                           'HEAD';
        is $connection->response('GET')->{body},    'abc',                         'GET';
    }
};

subtest 'a client of HTTP/1.0 gets its answer, and the end of the connection' => sub {
    my $answer = $daemon->raw("GET /array HTTP/1.0\r\n\r\n");
    like $answer, qr{\AHTTP/1[.][01] 200 OK\r\n.*\r\n\r\nabc\z}s,         'no Host is needed';
    like $daemon->raw("GET /stream HTTP/1.0\r\n\r\n"), qr{\r\n\r\nabc\z}, 'a stream has no chunks';

    my $connection = Connection->new($daemon);
    $connection->send("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi") for 1, 2;
    for (1, 2) {
        my $response = $connection->response('POST');
        is $response->{body},                 'POST hi',    'one that asks for it may keep the connection';
        is lc field($response, 'connection'), 'keep-alive', 'and is told so';
    }
};

subtest 'a client that says close has the connection closed' => sub {
    my $connection = Connection->new($daemon);
    $connection->get('/array', 'Connection: close');
    my $response = $connection->response;
    is field($response, 'connection'), 'close', 'the answer says it';
    is $connection->rest,              q{},     'and it is';
};

subtest 'an idle connection is kept for as long as is set' => sub {
    my $hasty      = Daemon->new(args => ['--workers=1', '--keepalive-timeout=0.3', $app]);
    my $connection = Connection->new($hasty);
    my $before     = time;    # when the answer has come here, it may have been idle for a while
    $connection->get('/array');
    is $connection->response->{body}, 'abc', 'an answer';
    is $connection->rest,             q{},   'then the server closes it';
    my $idle = time - $before;
    cmp_ok $idle, '>', 0.3, 'not at once';
    cmp_ok $idle, '<', 10,  'nor much later';
};

subtest 'keeping connections can be limited, or turned off' => sub {
    my %requests_of = ('--max-keepalive-reqs=1' => 1, '--max-keepalive-reqs=3' => 3, '--keepalive-timeout=0' => 1);
    for my $option (sort keys %requests_of) {
        my $limited    = Daemon->new(args => ['--workers=1', $option, $app]);
        my $connection = Connection->new($limited);
        for my $left (reverse 1 .. $requests_of{$option}) {
            $connection->get('/array');
            is field($connection->response, 'connection'), $left > 1 ? q{} : 'close', "$option: $left left";
        }
        is $connection->rest, q{}, 'the server closes it';
    }
};

subtest 'a target may be absolute, and its host is then the one that counts' => sub {
    my $connection = Connection->new($daemon);
    $connection->request(GET => 'http://example.org:81/host', host => 'Host: other.example');
    is $connection->response->{body}, 'example.org:81', 'HTTP_HOST';
    $connection->request(OPTIONS => q{*});
    is $connection->response->{body}, 'OPTIONS *', 'OPTIONS * is about the server as a whole';
};

subtest 'what could be read in two ways is refused, and the connection closed' => sub {
    my $host = "GET /array HTTP/1.1\r\nHost: x\r\n";
    my $post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
    my %bad  = (
        'two framings'                => "${post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        'two lengths'                 => "${post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        'a length that is no number'  => "${post}Content-Length: +3\r\n\r\nabc",
        'a chunk size that is none'   => "${post}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        'a chunk that is longer'      => "${post}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        'an unknown transfer coding'  => "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        'a folded line'               => "${host}X-Folded: a\r\n b\r\n\r\n",
        'a space before the colon'    => "${host}X-Space : a\r\n\r\n",
        'a line that ends in LF only' => "${host}X-Line: a\nX-Other: b\r\n\r\n",
        'a CR inside a value'         => "${host}X-Line: a\rb\r\n\r\n",
        'no Host'                     => "GET /array HTTP/1.1\r\n\r\n",
        'two Hosts'                   => "${host}Host: y\r\n\r\n",
        'no version'                  => "GET /array\r\n\r\n",
        'no HTTP at all'              => "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    );
    for my $what (sort keys %bad) {
        my $answer   = $daemon->raw("${host}\r\n$bad{$what}GET /array HTTP/1.1\r\nHost: x\r\n\r\n");
        my @statuses = $answer =~ m{HTTP/1[.]1 (\d+) }g;
        my $last     = pop @statuses;
        is "@statuses", '200', "$what: the request before it is answered";
        ok $last == 400 || $last == 501 && $what =~ /coding/, 'it is refused, and nothing after it';
    }
    like $daemon->raw("GET /array HTTP/3.0\r\nHost: x\r\n\r\n"), qr{\AHTTP/1[.]1 (?:400|505) }, 'an unknown version';
};

subtest 'a client that falls silent in its request is told 408' => sub {
    my $impatient = Daemon->new(args => ['--workers=1', '--timeout=1', $app]);
    for my $part ("GET /array HTTP/1.1\r\nHos", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc") {
        my $connection = Connection->new($impatient);
        $connection->send($part);
        is $connection->response->{status}, 408, 'the status';
        is $connection->rest,               q{}, 'and that is the end';
    }
};

subtest 'a head that is too large is refused by its part' => sub {
    my $long = 'x' x 70_000;
    like $daemon->raw("GET /$long HTTP/1.1\r\nHost: x\r\n\r\n"),             qr{\AHTTP/1[.]1 414 }, 'the line';
    like $daemon->raw("GET / HTTP/1.1\r\nHost: x\r\nX-Long: $long\r\n\r\n"), qr{\AHTTP/1[.]1 431 }, 'the header';
};

done_testing;
