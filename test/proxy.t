# Behind nginx and haproxy: who the client is, and that all agree where a request ends.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Errno qw(EINTR);
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP qw(decode_json);
use Plack::Middleware::ReverseProxy ();
use Proxy;
use Smuggling;
use Test::More;

# Clients come from here, and proxies from 127.0.0.1.
my $CLIENT  = '127.0.0.5';
my $SECONDS = 20;
my @TRUST   = (
    '--trusted-proxies=127.0.0.1,unix',
    '--request-id-header=X-Request-ID',
    map { "--forwarded-headers=x-forwarded-$_" } qw(for proto host port)
);

# both returns a daemon with a TCP port and a unix socket, and their addresses.
sub both {
    my ($app, @args) = @_;
    my $folder = Folder->new('sockets');
    my @listen = ('--listen=127.0.0.1:0', "--listen=$folder/socket");
    my $daemon = Daemon->new(configured => 1, args => ['--workers=1', @listen, @args, $app]);
    my @at     = map { $_->{address} } grep { ($_->{msg} // q{}) eq 'listening' } $daemon->log_events;
    $daemon->{sockets} = $folder;
    return ($daemon, sort @at);    # a slash comes before a digit
}

# env is the environment of a request that comes by a proxy, and the response.
sub env {
    my ($proxy, $target, @fields) = @_;
    my $connection = Connection->new($proxy);
    $connection->get($target, @fields);
    my $response = $connection->response;
    is $response->{status}, 200, "$target is answered" or diag $response->{body}, $proxy->log_text;
    return (decode_json($response->{body})->{env}, $response);
}

# answer is all that comes for some bytes until the connection is closed.
sub answer {
    my ($socket, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, $bytes;
    my $answer = q{};
    while (IO::Select->new($socket)->can_read($SECONDS)) {
        my $count = sysread $socket, $answer, 65_536, length $answer;
        return $answer if !$count && !(!defined $count && $! == EINTR);
    }
    return "$answer\nAND IT IS STILL OPEN";
}

my @spoofed = (
    'X-Forwarded-For: 192.0.2.66',
    'X-Forwarded-Host: evil.example',
    'X-Forwarded-Port: 666',
    'Forwarded: for=192.0.2.66;proto=https;host=evil.example',
    'X-Request-ID: mine',
);

my ($daemon, $unix, $tcp) = both('test/apps/environment.psgi', @TRUST);

subtest 'nginx tells who the client is by X-Forwarded-For and the like' => sub {
    my $nginx = Proxy->nginx(<<"NGINX");
upstream tcp { server $tcp; keepalive 4; }
upstream unix { server unix:$unix; keepalive 4; }
server {
    LISTEN
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host \$http_host;
    proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Host "";
    proxy_set_header X-Forwarded-Port "";
    proxy_set_header X-Request-ID \$request_id;
    location /tcp { proxy_pass http://tcp; }
    location /unix { proxy_pass http://unix; }
}
NGINX
    for my $way (qw(tcp unix)) {
        my ($env, $response) = env($nginx->from($CLIENT), "/$way", @spoofed);
        is $env->{REMOTE_ADDR},           $CLIENT,     "by $way: REMOTE_ADDR";
        is $env->{REMOTE_PORT},           0,           'the port is not told';
        is $env->{'psgi.url_scheme'},     'https',     'the scheme';
        is $env->{HTTPS},                 'on',        'HTTPS';
        is $env->{SERVER_PORT},           443,         'SERVER_PORT';
        is $env->{HTTP_HOST},             'localhost', 'HTTP_HOST is not what the client has written elsewhere';
        is $env->{'thralld.remote_addr'}, $way eq 'tcp' ? '127.0.0.1' : q{}, 'the proxy is told, too';
        like $env->{'thralld.request_id'}, qr/\A[0-9a-f]{32}\z/, 'the id is that of nginx';
        is_deeply $response->{fields}{'x-request-id'}, [$env->{'thralld.request_id'}], 'in the response, too';
    }
};

subtest 'haproxy does' => sub {
    my $haproxy = Proxy->haproxy(<<"HAPROXY");
listen all
    mode http
    LISTEN
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header X-Forwarded-Port 8443
    option forwardfor
    server thralld $tcp
HAPROXY
    my ($env) = env($haproxy->from($CLIENT), '/', @spoofed);
    is $env->{REMOTE_ADDR},       $CLIENT,          'REMOTE_ADDR';
    is $env->{'psgi.url_scheme'}, 'http',           'the scheme';
    is $env->{HTTP_HOST},         'localhost:8443', 'HTTP_HOST';
    is $env->{SERVER_PORT},       8443,             'SERVER_PORT';
};

subtest 'an app sees what Plack::Middleware::ReverseProxy would show it' => sub {
    my @keys       = qw(REMOTE_ADDR psgi.url_scheme HTTP_HOST SERVER_PORT);
    my $middleware = Plack::Middleware::ReverseProxy->wrap(sub { return $_[0] });
    my $stranger   = Daemon->new(args => ['--workers=1', 'test/apps/environment.psgi']);
    my $trusted    = bless {%{$daemon}, owner => 0, address => $tcp}, ref $daemon;
    for my $said (
        ['X-Forwarded-For: 192.0.2.1'],
        ['X-Forwarded-For: 192.0.2.2, 192.0.2.1'],
        ['X-Forwarded-For: 2001:db8::1', 'X-Forwarded-Proto: https'],
        ['X-Forwarded-Proto: https',     'X-Forwarded-Host: example.org'],
        ['X-Forwarded-Proto: http',      'X-Forwarded-Host: first.example, example.org'],
        ['X-Forwarded-Proto: https',     'X-Forwarded-Host: example.org:8443'],
        ['X-Forwarded-Proto: https',     'X-Forwarded-Host: example.org:8443', 'X-Forwarded-Port: 81'],
        ['X-Forwarded-Proto: https',     'X-Forwarded-Host: example.org',      'X-Forwarded-Port: 8443'],
        )
    {
        for my $host (qw(localhost localhost:8080)) {
            my ($without, $with) = map {
                my $connection = Connection->new($_);
                $connection->request(GET => '/', host => "Host: $host", fields => $said);
                decode_json($connection->response->{body})->{env};
            } $stranger, $trusted;
            my $shown = $middleware->($without);
            is_deeply {
                map { $_ => $with->{$_} } @keys
            }, {map { $_ => $shown->{$_} } @keys}, join '; ', $host, @{$said};
        }
    }
};

subtest 'what a client says itself is not believed' => sub {
    my $stranger = IO::Socket::INET->new(PeerAddr => $tcp, LocalAddr => $CLIENT) // die "connect to $tcp: $!\n";
    my $response = answer($stranger, join "\r\n", 'GET / HTTP/1.0', 'Host: localhost', @spoofed, q{}, q{});
    my $env      = decode_json($response =~ s/.*?\r\n\r\n//sr)->{env};
    is $env->{REMOTE_ADDR},            $CLIENT,      'REMOTE_ADDR';
    is $env->{HTTP_HOST},              'localhost',  'HTTP_HOST';
    is $env->{HTTP_X_FORWARDED_FOR},   '192.0.2.66', 'what it says is there for the app to see';
    isnt $env->{'thralld.request_id'}, 'mine',       'it does not choose its id';
    ok !exists $env->{'thralld.remote_addr'}, 'there is no other address';
};

subtest 'an introduction by the PROXY protocol goes before all else' => sub {
    my ($introduced, $its_unix, $its_tcp) = both('test/apps/environment.psgi', @TRUST, '--proxy-protocol');
    my $haproxy = Proxy->haproxy(<<"HAPROXY");
frontend all
    mode http
    LISTEN
    use_backend %[path,field(2,/)]
backend v1-tcp
    mode http
    server thralld $its_tcp send-proxy
backend v1-unix
    mode http
    server thralld unix\@$its_unix send-proxy
backend v2-tcp
    mode http
    server thralld $its_tcp send-proxy-v2 proxy-v2-options ssl,unique-id
backend v2-unix
    mode http
    server thralld unix\@$its_unix send-proxy-v2
backend none
    mode http
    server thralld $its_tcp
HAPROXY
    for my $way (qw(v1-tcp v1-unix v2-tcp v2-unix)) {
        my $connection = Connection->new($haproxy->from($CLIENT));
        for my $turn (1, 2) {    # on one connection
            $connection->request(POST => "/$way", fields => \@spoofed, body => 'x' x 70_000);
            my $env = decode_json($connection->response->{body})->{env};
            is $env->{REMOTE_ADDR},            $CLIENT,                           "$way: REMOTE_ADDR";
            is $env->{REMOTE_PORT},            $connection->{socket}->sockport,   'and its port';
            is $env->{SERVER_PORT},            $haproxy->port,                    'SERVER_PORT is that of the proxy';
            is $env->{'thralld.remote_addr'},  $way =~ /tcp/ ? '127.0.0.1' : q{}, 'the proxy is told, too';
            isnt $env->{'thralld.request_id'}, 'mine',                            'the client does not choose its id';
        }
    }
    like answer($haproxy->connect, "GET /none HTTP/1.0\r\n\r\n"), qr{\AHTTP/1[.][01] 502 },
        'a proxy that does not introduce is left';
    like $introduced->wait_for_log(qr/connection closed/)->{error}, qr/does not begin with a PROXY header/,
        'the log says why';
};

# The app remembers which requests it has had. If a proxy has sent one of them without knowing, there
# is none among the answers that a client got for it.
my $counting = <<'APP';
my @seen;
sub {
    my ($env) = @_;
    my $request = "$env->{REQUEST_METHOD} $env->{REQUEST_URI}";
    return [200, [], [join "\n", splice @seen]] if $env->{PATH_INFO} eq '/seen';
    push @seen, $request;
    return [200, [], ["app: $request\n"]];
};
APP

subtest 'nobody loses count of the requests' => sub {
    my $folder = Folder->new('counting');
    my ($counter, undef, $at)
        = both($folder->write('app.psgi', $counting), @TRUST, '--max-reqs-per-child=0', '--timeout=5');
    my %way = (
        'alone'        => $counter,
        'behind nginx' => Proxy->nginx(<<"NGINX"),
upstream thralld { server $at; keepalive 4; }
server {
    LISTEN
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    proxy_next_upstream off;
    location / { proxy_pass http://thralld; }
}
NGINX
        'behind haproxy' => Proxy->haproxy(<<"HAPROXY"),
listen all
    mode http
    LISTEN
    retries 0
    http-reuse always
    server thralld $at
HAPROXY
    );
    $counter->{address} = $at;
    my @corpus = Smuggling::corpus();
    for my $way (sort keys %way) {
        my (@answered, @open);
        for (my $i = 0; $i < @corpus; $i += 2) {
            my $answer = answer($way{$way}->connect, $corpus[$i + 1]);
            push @answered, $answer                =~ /^app: (.*)$/gm;
            push @open,     $corpus[$i] if $answer =~ /STILL OPEN\z/;
        }
        my ($seen) = answer($counter->connect, "GET /seen HTTP/1.0\r\n\r\n") =~ /\r\n\r\n(.*)\z/s;
        is $seen, join("\n", @answered), "$way: what the app has had is what was answered";
        cmp_ok scalar @answered, '>', 20, 'and that was not nothing';
        is "@open", q{}, 'every connection ends';
    }
};

done_testing;
