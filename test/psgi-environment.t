# The environment that an app finds (PSGI, "The Environment").
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use JSON::PP qw(decode_json);
use Test::More;

my $app    = 'test/apps/environment.psgi';
my $daemon = Daemon->new(args => ['--workers=1', '--log-level=debug', $app]);

# env sends a request and returns the environment that the app had, and what the app found about it.
sub env {
    my ($method, $target, %option) = @_;
    my $connection = Connection->new(delete $option{daemon} // $daemon);
    $connection->request($method, $target, %option);
    my $response = $connection->response('GET');
    is $response->{status}, 200, "$method $target is answered" or diag $response->{body};
    my $told = decode_json($response->{body});
    return @{$told}{qw(env about)};
}

sub status_of {
    my ($server, $bytes) = @_;
    return $server->raw($bytes) =~ m{\AHTTP/1[.]1 (\d+) } ? $1 : undef;
}

sub fields { return fields => [@_] }

subtest 'it is a plain hash, of strings and of what PSGI names' => sub {
    my ($env, $about) = env(GET => '/a%C3%A4?b=%C3%A4', fields("X-Bytes: \xc3\xa4"));
    is $about->{kind}, 'HASH', 'a hash, not an object';
    is $about->{tied}, 0,      'not a tied one';
    is_deeply $about->{characters},                                        [], 'all of it are bytes';
    is_deeply $about->{undefined},                                         [], 'nothing is undefined';
    is_deeply [grep { /[.]/ && !/\A(?:psgix?|thralld)[.]/ } keys %{$env}], [], 'keys with a dot have a known prefix';
    is_deeply [grep { !/[.]/ && !/\A[A-Z][A-Z0-9_]*\z/ } keys %{$env}],    [], 'keys without one are in capitals';
};

subtest 'what an app changes in it is not there for the next request' => sub {
    for my $turn (1, 2) {
        my ($env) = env(GET => '/');
        ok !exists $env->{'test.left'}, 'no key of an earlier request';
        is $env->{REQUEST_METHOD},           'GET',        'the method is its own';
        is $env->{'psgi.url_scheme'},        'http',       'so is the scheme';
        is $env->{'psgi.version'},           'ARRAY[1,1]', 'the version is back';
        is $env->{'psgix.cleanup.handlers'}, 'ARRAY[]',    'no handler is left over';
    }
};

subtest 'every method made of capital letters reaches the app' => sub {
    for my $method (qw(GET POST PUT DELETE PATCH OPTIONS TRACE BREW)) {
        my ($env) = env($method => '/');
        is $env->{REQUEST_METHOD}, $method, $method;
    }
    for my $method (qw(get M-SEARCH B2B CONNECT)) {
        is status_of($daemon, "$method / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 501,
            "$method, which PSGI cannot name, is refused";
    }
};

subtest 'the path is decoded once, and otherwise left alone' => sub {
    my %path_of = (
        '/'                 => '/',
        '/%2525'            => '/%25',
        '/a%2Fb%20c'        => '/a/b c',
        '/%E3%81%82'        => "/\xe3\x81\x82",
        '/%ff%00x'          => "/\xff\0x",
        "/\xc3\xa4"         => "/\xc3\xa4",
        '//a///b//'         => '//a///b//',
        '/a/../b/./c'       => '/a/../b/./c',
        '/a+b;c=d'          => '/a+b;c=d',
        'http://localhost'  => '/',
        'http://localhost/' => '/',
    );
    for my $target (sort keys %path_of) {
        my ($env) = env(GET => $target);
        is $env->{PATH_INFO},   $path_of{$target}, 'PATH_INFO';
        is $env->{SCRIPT_NAME}, q{},               'SCRIPT_NAME is empty at the root';
    }
};

subtest 'REQUEST_URI is what the client sent, without scheme, host and fragment' => sub {
    my %uri_of = (
        '/a%20b//c?d=%2F&e'              => '/a%20b//c?d=%2F&e',
        '/a?'                            => '/a?',
        '/a#b'                           => '/a',
        'http://localhost:80/a%2Fb?c=d'  => '/a%2Fb?c=d',
        'http://other.example/x?y#z'     => '/x?y',
        'HTTP://other.example?y=http://' => '/?y=http://',
    );
    for my $target (sort keys %uri_of) {
        my ($env) = env(GET => $target);
        is $env->{REQUEST_URI}, $uri_of{$target}, 'REQUEST_URI';
    }
};

subtest 'QUERY_STRING is always there, and not decoded' => sub {
    my %query_of = ('/' => q{}, '/?' => q{}, '/?a=%20b&c' => 'a=%20b&c', '/?a?b=/c' => 'a?b=/c', '/%3Fa' => q{});
    for my $target (sort keys %query_of) {
        my ($env) = env(GET => $target);
        is $env->{QUERY_STRING}, $query_of{$target}, 'QUERY_STRING';
    }
};

subtest 'below a mount point SCRIPT_NAME has it, and PATH_INFO the rest' => sub {
    my $mounted  = Daemon->new(args => ['--workers=1', '--path=/my/app', $app]);
    my %place_of = (
        '/my/app'        => ['/my/app', q{}],
        '/my/app/'       => ['/my/app', '/'],
        '/my/app//x%20y' => ['/my/app', '//x y'],
        '/my/%61pp/x'    => ['/my/app', '/x'],
    );
    for my $target (sort keys %place_of) {
        my ($env) = env(GET => $target, daemon => $mounted);
        is_deeply [@{$env}{qw(SCRIPT_NAME PATH_INFO)}], $place_of{$target}, 'SCRIPT_NAME and PATH_INFO';
        is $env->{REQUEST_URI}, $target, 'REQUEST_URI has both';
    }
    for my $target ('/', '/my', '/my/apple', '/other') {
        is $mounted->get($target)->{status}, 404, "$target is outside of it";
    }
};

subtest 'server and client are named by their addresses' => sub {
    my $connection = Connection->new($daemon);
    my $port       = $connection->{socket}->sockport;
    $connection->request(GET => '/', host => 'Host: example.org:8080');
    my $env = decode_json($connection->response->{body})->{env};
    is $env->{SERVER_NAME}, '127.0.0.1',        'SERVER_NAME';
    is $env->{SERVER_PORT}, $daemon->port,      'SERVER_PORT';
    is $env->{SERVER_ADDR}, '127.0.0.1',        'SERVER_ADDR';
    is $env->{REMOTE_ADDR}, '127.0.0.1',        'REMOTE_ADDR';
    is $env->{REMOTE_PORT}, $port,              'REMOTE_PORT';
    is $env->{HTTP_HOST},   'example.org:8080', 'HTTP_HOST is the one that the client used';
    ok !exists $env->{$_}, "no $_" for qw(REMOTE_USER HTTPS REMOTE_HOST AUTH_TYPE);
};

subtest 'on a unix socket the server has the name that the client used' => sub {
    my $unix = Daemon->new(unix => 1, args => ['--workers=1', $app]);
    my ($env) = env(GET => '/', daemon => $unix, host => 'Host: example.org:8080');
    is_deeply [@{$env}{qw(SERVER_NAME SERVER_PORT)}], ['example.org', '8080'], 'with its port';
    is_deeply [@{$env}{qw(REMOTE_ADDR REMOTE_PORT)}], [q{},           '0'],    'and the client no address';
    ($env) = env(GET => '/', daemon => $unix, host => 'Host: example.org');
    is_deeply [@{$env}{qw(SERVER_NAME SERVER_PORT)}], ['example.org', '80'], 'without port it is 80';
    my ($json) = $unix->raw("GET / HTTP/1.0\r\n\r\n") =~ /\r\n\r\n(.*)/s;
    $env = decode_json($json)->{env};
    is_deeply [@{$env}{qw(SERVER_NAME SERVER_PORT)}], ['localhost', '80'], 'a client that used none says localhost';
    ok !exists $env->{HTTP_HOST}, 'and there is no HTTP_HOST then';
};

subtest 'SERVER_PROTOCOL is the version of the request' => sub {
    my ($env) = env(GET => '/');
    is $env->{SERVER_PROTOCOL}, 'HTTP/1.1', 'HTTP/1.1';
    my ($json) = $daemon->raw("GET / HTTP/1.0\r\n\r\n") =~ /\r\n\r\n(.*)/s;
    is decode_json($json)->{env}{SERVER_PROTOCOL}, 'HTTP/1.0', 'HTTP/1.0';
};

subtest 'CONTENT_LENGTH and CONTENT_TYPE are there when the client sent them' => sub {
    my ($env) = env(GET => '/');
    ok !exists $env->{$_}, "GET without a body: no $_" for qw(CONTENT_LENGTH CONTENT_TYPE);
    ($env) = env(POST => '/', body => 'a=b', fields('Content-Type: text/x; charset=y'));
    is_deeply [@{$env}{qw(CONTENT_LENGTH CONTENT_TYPE)}], ['3', 'text/x; charset=y'], 'POST: both';
    ok !exists $env->{$_}, "never $_" for qw(HTTP_CONTENT_LENGTH HTTP_CONTENT_TYPE);
    ($env) = env(POST => '/', body => q{});
    is $env->{CONTENT_LENGTH}, '0', 'an empty body has a length, too';
};

subtest 'a body in chunks has the length that it turned out to have' => sub {
    my $connection = Connection->new($daemon);
    my @chunks     = ("4\r\nwiki\r\n", "5;x=y\r\npedia\r\n", "0\r\nX-Trailer: 1\r\n\r\n");
    $connection->send(join q{}, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", @chunks);
    my $env = decode_json($connection->response->{body})->{env};
    is $env->{CONTENT_LENGTH}, '9', 'CONTENT_LENGTH';
    ok !exists $env->{$_}, "no $_" for qw(HTTP_TRANSFER_ENCODING HTTP_CONTENT_LENGTH HTTP_X_TRAILER);
};

subtest 'header fields are HTTP_*, and those of one name are joined' => sub {
    my @list = ('X-List: a', 'x-other: z', 'x-list: b', 'X-LIST:  c, d ');
    my ($env) = env(GET => '/', fields(@list, 'Cookie: a=1', 'Cookie: b=2', 'X-Empty:', 'Authorization: Basic Zm9v'));
    is $env->{HTTP_X_LIST},        'a, b, c, d', 'in their order, by commas';
    is $env->{HTTP_X_OTHER},       'z',          'whatever the case';
    is $env->{HTTP_COOKIE},        'a=1; b=2',   'cookies by semicolons';
    is $env->{HTTP_X_EMPTY},       q{},          'an empty one is there';
    is $env->{HTTP_AUTHORIZATION}, 'Basic Zm9v', 'Authorization is for the app';
    ok !exists $env->{COOKIE}, 'there is no COOKIE';
};

subtest 'no header field can pass for something else' => sub {
    my @spoof = ('X_Forwarded_For: 6.6.6.6', 'Proxy: http://evil', 'psgi.version: 9', 'Remote-User: root', 'HTTPS: on');
    my ($env) = env(GET => '/', fields('X-Forwarded-For: 1.2.3.4', @spoof));
    is $env->{HTTP_X_FORWARDED_FOR}, '1.2.3.4', 'an underscore is no hyphen';
    ok !exists $env->{HTTP_PROXY}, 'what HTTP clients take for a proxy is not there';
    is $env->{'psgi.version'}, 'ARRAY[1,1]', 'a key of PSGI stays what it is';
    ok !exists $env->{$_}, "no $_" for qw(REMOTE_USER HTTPS);
};

subtest 'the keys of PSGI and its extensions' => sub {
    my ($env) = env(GET => '/');
    my %want = (
        'psgi.version'         => 'ARRAY[1,1]',
        'psgi.url_scheme'      => 'http',
        'psgi.multithread'     => q{},
        'psgi.multiprocess'    => 1,
        'psgi.run_once'        => q{},
        'psgi.nonblocking'     => q{},
        'psgi.streaming'       => 1,
        'psgi.input'           => 'GLOB',
        'psgi.errors'          => 'GLOB',
        'psgix.input.buffered' => 1,
        'psgix.harakiri'       => 1,
        'psgix.cleanup'        => 1,
        'psgix.logger'         => 'CODE',
        'psgix.informational'  => 'CODE',
    );
    is $env->{$_}, $want{$_}, $_ for sort keys %want;
    ok !exists $env->{$_}, "no $_" for qw(psgix.io psgix.session psgix.harakiri.commit);
};

subtest 'its own keys tell request and generation, as the log does' => sub {
    my ($env) = env(GET => '/which');
    my $id = $env->{'thralld.request_id'};
    is $env->{'thralld.generation'}, 1, 'the first generation';
    my $logged = $daemon->wait_for_log(sub { ($_[0]{request_id} // q{}) eq $id });
    is $logged->{target}, '/which', 'the log knows the request by the same id';
    my ($next) = env(GET => '/which');
    isnt $next->{'thralld.request_id'}, $id, 'the next one has another';
};

done_testing;
