# What becomes of the responses that an app may return (PSGI, "The Response").
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Test::More;

my $CONTENT = "one\r\ntwo\r\n" . join q{}, map { chr } 0 .. 9, 11, 12, 14 .. 255;

my $folder = File::Temp->newdir;
my $file   = "$folder/file";
open my $handle, '>:raw', $file or die "create $file: $!\n";
print {$handle} $CONTENT or die "write $file: $!\n";
close $handle or die "write $file: $!\n";

my $daemon
    = Daemon->new(env => {TEST_FILE => $file}, args => ['--workers=1', '--log-level=debug', 'test/apps/response.psgi']);
my $connection = Connection->new($daemon);

# get asks on one and the same connection, so that an answer of the wrong length would spoil the next.
sub get {
    my ($path) = @_;
    $connection->get($path);
    my $response = $connection->response // do {
        $connection = Connection->new($daemon);
        $connection->get($path);
        $connection->response;
    };
    ok $response->{whole}, "$path is answered in whole";
    return $response;
}

sub field {
    my ($response, $name) = @_;
    return join '|', @{$response->{fields}{$name} // []};
}

# times_logged counts lines. The worker's last one is there when all others are.
sub times_logged {
    my ($wanted) = @_;
    state $asked = 0;
    get('/mark?' . ++$asked);
    $daemon->wait_for_log(sub { $_[0]{msg} eq "mark $asked" });
    return scalar grep { $_ =~ $wanted } $daemon->log_lines;
}

subtest 'an object that can be called is an app' => sub {
    is get('/text')->{body}, 'text', 'it answers';
};

subtest 'the status is a number, however it is written' => sub {
    my $response = get('/string');
    is $response->{status}, 404,         'a string will do';
    is $response->{reason}, 'Not Found', 'with the words of the status';
    for my $status (200, 201, 299, 418, 503, 599, 999) {
        is get("/status?$status")->{status}, $status, "status $status";
    }
};

subtest 'header lines come as they are, in their order' => sub {
    my $response = get('/headers');
    my @lines    = grep { /\A(?:Set-Cookie|X-)/i } @{$response->{lines}};
    is field($response, 'set-cookie'), 'a=1|b=2', 'a name that stands there twice makes two lines';
    is field($response, 'x-two'),      '2',       'a number';
    is field($response, 'x-zero'),     '0',       'a zero';
    is scalar @lines, 4, 'and no more than that';
};

subtest 'the server adds Date and Server, and guesses nothing' => sub {
    my $response = get('/untyped');
    is field($response, 'content-type'), q{},       'no Content-Type that the app has not sent';
    is field($response, 'server'),       'thralld', 'Server';
    like field($response, 'date'), qr/\A\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\z/, 'Date';
    $response = get('/software');
    is field($response, 'server'), 'mine',  'unless the app has a Server';
    is field($response, 'date'),   'today', 'or a Date of its own';
};

subtest 'a length that is known is told' => sub {
    for my $path (qw(/text /length)) {
        my $response = get($path);
        is field($response, 'content-length'),    '4', "Content-Length of $path";
        is field($response, 'transfer-encoding'), q{}, 'and no chunks';
    }
    is field(get('/none'), 'content-length'), '0',             'also when it is none';
    is field(get('/glob'), 'content-length'), length $CONTENT, 'and for a file';
};

subtest 'an app may ask for the end of the connection' => sub {
    my $response = get('/close');
    is $response->{body},              'bye',   'it is answered';
    is field($response, 'connection'), 'close', 'the client is told';
    is field($response, 'keep-alive'), q{},     'the rest of the connection is not the app\'s';
    is $connection->rest,              q{},     'and then it ends';
    is get('/text')->{body},           'text',  'the next connection is like any other';
};

subtest 'a status that allows no body has none, and no header lines about one' => sub {
    for my $status (204, 304) {
        my $response = get("/bodiless?$status");
        is field($response, $_),     q{},   "$status: no $_" for qw(content-type content-length transfer-encoding);
        is field($response, 'etag'), '"x"', 'what is not about the body stays';
        is get('/text')->{body}, 'text', 'and no body that the next response would begin with';
    }
    my $event = $daemon->wait_for_log(qr/response has what its status does not allow/);
    is_deeply $event->{dropped}, [qw(Content-Type Content-Length body)], 'the log says what was left out';
    ok $event->{request_id}, 'and for which request';
};

subtest 'an app that dies is a 500, and the worker lives on' => sub {
    my $response = get('/die');
    is $response->{status}, 500,                     'the status';
    is $response->{body},   'Internal Server Error', 'the client learns no more';
    my $event = $daemon->wait_for_log(qr/the app has died of this/);
    is $event->{worker}, 0, 'the log names the worker';
    ok $event->{request_id}, 'and the request';
    is get('/text')->{body},            'text', 'the next request is served';
    is times_logged(qr/worker exited/), 0,      'by the same worker';
};

subtest 'the elements of a body array are joined, byte by byte' => sub {
    my %body_of = ('/none' => q{}, '/empty' => q{}, '/many' => "a0\xff\0z", '/upgraded' => "\xe4");
    is get($_)->{body},       $body_of{$_},                                     'the body' for sort keys %body_of;
    is get('/large')->{body}, join(q{}, map { chr(97 + $_) x 100_000 } 0 .. 9), 'also a large one';
};

subtest 'a body that the app has cut in chunks itself arrives in one' => sub {
    is get('/chunked')->{body}, 'one two', 'once framed, not twice';
    my $answer = $daemon->raw("GET /chunked HTTP/1.0\r\n\r\n");
    like $answer,   qr/\r\n\r\none two\z/,  'and without chunks for a client of HTTP/1.0';
    unlike $answer, qr/transfer-encoding/i, 'which is told of none';
};

subtest 'a body with getline is read until undef, and closed once' => sub {
    my $response = get('/lines');
    is $response->{body},                   "one\n0two\n" . 'x' x 300_000, 'neither 0 nor an empty string is the end';
    is times_logged(qr/a body was closed/), 1,                             'it was closed';
    is get('/silent')->{body},              q{},                           'a body that has nothing at all';
    is times_logged(qr/a body was closed/), 2,                             'is closed as well';
    my ($separator) = get('/separator')->{body};
    like $separator, qr/\ASCALAR \d{4,}\z/, 'while it is read, $/ asks for blocks, not for lines';
};

subtest 'a path that leads nowhere does not matter' => sub {
    is get('/path')->{body}, 'from getline', 'the body is what getline says';
};

subtest 'a handle on a file gives the file' => sub {
    is get($_)->{body},          $CONTENT,                   'byte by byte' for qw(/glob /iofile);
    is get('/position')->{body}, $CONTENT =~ s/\Aone\r\n//r, 'from where the app has read it to';
    is get('/at-end')->{body},   q{},                        'and nothing when that is its end';
    is get('/unlinked')->{body}, 'nowhere to be found',      'also when the file has no name any more';
};

subtest 'a layer on a handle is respected' => sub {
    my $response = get('/layer');
    is $response->{body}, $CONTENT =~ s/\r\n/\n/gr, 'the app wanted line ends translated';
};

subtest 'a handle need not be on a file' => sub {
    is get('/memory')->{body}, "in\nmemory", 'a string';
    is get('/pipe')->{body},   "a\nb",       'a program';
};

subtest 'what the app has opened is closed again' => sub {
    my $before = get('/fds')->{body};
    get($_) for (qw(/glob /iofile /position /layer /pipe /unlinked)) x 5;
    is get('/fds')->{body}, $before, 'as many files are open as before';
};

done_testing;
