# Apps that break the PSGI contract: the client gets no wrong answer, the log says what was wrong, and the
# worker serves on.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Test::More;

my $daemon = Daemon->new(args => ['--workers=1', '--log-level=debug', 'test/apps/breaches.psgi']);

sub get {
    my ($path) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($path);
    my $response = $connection->response;
    $response->{connection} = $connection;
    return $response;
}

# logged waits for a line about a request to that path that says what was wrong.
sub logged {
    my ($path, $wanted) = @_;
    my $served = $daemon->wait_for_log(sub { ($_[0]{target} // q{}) eq $path });
    my $event  = $daemon->wait_for_log(sub {
        my $text = join q{: }, grep { defined } @{$_[0]}{qw(msg error)};
        return ($_[0]{request_id} // q{}) eq $served->{request_id} && $text =~ $wanted;
    });
    return $event;
}

sub serves_on {
    is get('/hello')->{body}, 'hello', 'the next request is served';
    unlike $daemon->log_text, qr/worker exited/, 'by the same worker';
    return;
}

# refused: a 500, from which the client learns nothing, and a line in the log.
sub refused {
    my ($path, $wanted) = @_;
    my $response = get($path);
    is $response->{status}, 500, "$path is a 500";
    like $response->{body}, qr/\AInternal Server Error\n?\z/, 'in so many words';
    ok !$response->{fields}{'set-cookie'}, 'without a line of the app\'s';
    ok logged($path, $wanted),             "the log says: $wanted";
    return;
}

# cut: the head was out, so the client is shown that something is missing.
sub cut {
    my ($path, $body, $wanted) = @_;
    my $response = get($path);
    is $response->{status}, 200,   "$path has begun";
    is $response->{body},   $body, 'what came before the breach';
    ok !$response->{whole}, 'has no end';
    is $response->{connection}->rest, q{}, 'the connection is closed';
    ok logged($path, $wanted), "the log says: $wanted";
    return;
}

subtest 'what is no response is a 500' => sub {
    my %breach = (
        '/undef'         => qr/the app returned undef/,
        '/a-number'      => qr/the app returned "42"/,
        '/a-hash'        => qr/the app returned a reference to HASH/,
        '/two-elements'  => qr/the response has 2 elements/,
        '/four-elements' => qr/the response has 4 elements/,
        '/status-0'      => qr/the status is "0"/,
        '/status-undef'  => qr/the status is undef/,
        '/status-words'  => qr/the status is "200 OK"/,
        '/status-1xx'    => qr/status 102/,
        '/status-1000'   => qr/the status is "1000"/,
        '/headers-hash'  => qr/the headers are a reference to HASH/,
        '/headers-odd'   => qr/the headers have an odd number/,
        '/value-undef'   => qr/the value of the header X-Undef is undefined/,
        '/body-undef'    => qr/the body is undef/,
        '/body-string'   => qr/the body is "text"/,
        '/body-number'   => qr/the body is "42"/,
        '/body-hash'     => qr/the body is a reference to HASH/,
        '/body-useless'  => qr/Can't locate object method "getline" via package "Useless"/,
    );
    refused($_, $breach{$_}) for sort keys %breach;
    serves_on();
};

subtest 'header lines that would split the response are refused' => sub {
    my %breach = (
        '/value-crlf'        => qr/header X-Split: .*control character/,
        '/value-lf'          => qr/header X-Split: .*control character/,
        '/value-nul'         => qr/header X-Split: .*control character/,
        '/name-crlf'         => qr/header name .*is not allowed/,
        '/name-colon'        => qr/header name "X-Split:"/,
        '/name-empty'        => qr/a header name is empty/,
        '/name-status'       => qr/header Status/,
        '/transfer-encoding' => qr/Transfer-Encoding/,
        '/bad-chunks'        => qr/chunk/,
        '/stream-crlf'       => qr/header X-Split: .*control character/,
    );
    refused($_, $breach{$_}) for sort keys %breach;
    serves_on();
};

subtest 'characters that are no bytes are an error, not UTF-8' => sub {
    refused('/wide-array',    qr/the body holds a wide character/);
    refused('/wide-large',    qr/the body holds a wide character/);
    refused('/wide-header',   qr/a header holds a wide character/);
    refused('/wide-handle',   qr/wide character in the response body/);
    refused('/wide-1st-byte', qr/a header holds a wide character/);
    cut('/wide-midway', 'begun', qr/wide character in the response body/);
    cut('/wide-stream', 'begun', qr/wide character in the response body/);
    serves_on();
};

subtest 'a Content-Length that is wrong from the start is a 500' => sub {
    my $length = -s 'test/apps/breaches.psgi';
    refused('/array-short',  qr/Content-Length is 9, but the body has 3 bytes/);
    refused('/array-long',   qr/Content-Length is 2, but the body has 3 bytes/);
    refused('/file-short',   qr/Content-Length is 1000000, but the body has $length bytes/);
    refused('/file-long',    qr/Content-Length is 2, but the body has $length bytes/);
    refused('/length-words', qr/Content-Length "many" is no number/);
    refused('/length-twice', qr/Content-Length stands there twice/);
    serves_on();
};

subtest 'one that turns out to be too large cuts the connection' => sub {
    cut($_, 'abc', qr/shorter than its Content-Length/) for qw(/handle-short /stream-short);
    serves_on();
};

subtest 'one that turns out to be too small cuts the body, and then the connection' => sub {
    for my $path (qw(/handle-long /stream-long)) {
        my $response = get($path);
        is $response->{body},             'ab', "$path: what was promised, and no byte of the rest";
        is $response->{connection}->rest, q{},  'the connection is closed';
        ok logged($path, qr/longer than its Content-Length/), 'the log says why';
    }
    serves_on();
};

subtest 'on a kept connection nothing is left of a broken answer' => sub {
    my $connection = Connection->new($daemon);
    for my $path (qw(/array-short /array-long /value-crlf /never /wide-large /handle-dies-first)) {
        $connection->get($path);
        is $connection->response->{status}, 500, "$path is refused";
        $connection->get('/hello');
        is $connection->response->{body}, 'hello', 'and the next answer begins where it should';
    }
};

subtest 'a body that dies midway leaves no end that looks well, and is closed' => sub {
    refused('/handle-dies-first', qr/the app failed: the body died/);
    cut('/handle-dies', 'begun', qr/failed after its response had begun: the body died/);
    ok logged($_, qr/\Aa body was closed/), "$_: closed" for qw(/handle-dies-first /handle-dies);
    serves_on();
};

subtest 'a responder that is never called is a 500 at once, not a wait without end' => sub {
    refused('/never', qr/without calling the responder/);
    refused('/keep',  qr/without calling the responder/);
    like get('/late')->{body}, qr/the responder was called too late/, 'calling it after that is an error';
    serves_on();
};

subtest 'a responder that is called twice answers once' => sub {
    my $response = get('/twice');
    is $response->{body}, 'first', 'the first time counts';
    ok $response->{whole},                                           'and that answer is whole';
    ok logged('/twice', qr/the responder was called a second time/), 'the second is an error';
    cut('/twice-stream', 'first', qr/the responder was called a second time/);
    serves_on();
};

subtest 'a responder that is given nonsense is a 500' => sub {
    refused('/respond-undef', qr/the responder was given undef/);
    refused('/respond-one',   qr/the responder was given an array of 1/);
    refused('/respond-body',  qr/the body is "text"/);
    serves_on();
};

subtest 'a writer that is lost without close cuts the response' => sub {
    cut('/lost',    'begun', qr/returned without closing its writer/);
    cut('/hoarded', 'begun', qr/returned without closing its writer/);
    serves_on();
};

done_testing;
