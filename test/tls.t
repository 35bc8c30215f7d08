# TLS and HTTP/2 of the built daemon, with the clients that people have: openssl, curl, LWP, h2load.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Folder;
use HTTP::Response ();
use LWP::UserAgent ();
use Plack::Test::Suite ();
use Test::More;

my $files = Folder->new('tls');

# openssl runs it, and returns what it printed.
sub openssl {
    my ($command) = @_;
    my $output = qx{cd '$files' && openssl $command 2>&1};
    $? and die "openssl $command:\n$output";
    return $output;
}

my $EC = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
openssl("req -x509 $EC -keyout ca.key -out ca.pem -days 2 -subj /CN=CA");

# certify makes NAME.pem and NAME.key.
sub certify {
    my ($name, $days, $subject, $extension) = @_;
    $files->write("$name.ext", $extension);
    openssl("req $EC -keyout $name.key -out $name.csr -subj '$subject'");
    openssl(
        "x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days $days -extfile $name.ext -out $name.pem"
    );
    return;
}
certify('server', 1,  '/CN=localhost',       "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
certify('www',    30, '/CN=www.test',        "subjectAltName=DNS:www.test\n");
certify('client', 1,  '/O=Example/CN=alice', "extendedKeyUsage=clientAuth\n");

my @TLS = ('--ssl', map { ("--ssl-cert-file=$files/$_.pem", "--ssl-key-file=$files/$_.key") } qw(server www));

# curl returns the whole answer, with its header, and the exit status.
sub curl {
    my (@args) = @_;
    open my $pipe, '-|', 'curl', qw(--silent --show-error --include --max-time 20 --noproxy * --cacert),
        "$files/ca.pem", @args
        or die "curl: $!\n";
    local $/ = undef;
    my $answer = readline($pipe) // q{};
    close $pipe;
    return wantarray ? ($answer, $? >> 8) : $answer;
}

my $daemon = Daemon->new(args => ['--workers=2', '--keepalive-timeout=30', @TLS, 'test/apps/suite.psgi']);
my $base   = 'https://localhost:' . $daemon->port;

# suite runs Plack's tests by a client. What they say of an unencrypted HTTP/1 is known to differ.
sub suite {
    my ($client, %other) = @_;
    my $number = 0;
    for my $test (@Plack::Test::Suite::TEST) {
        my ($name, $check) = @{$test};
        my $index = $number++;
        subtest $name => sub {
            my $answer;
            my $send = sub {
                my ($request) = @_;
                $request->uri->scheme('https');
                $request->uri->port($daemon->port);
                $request->header('X-Plack-Test' => $index);
                return $answer = $client->($request);
            };
            return $check->($send) if !$other{$name};
            $send->(HTTP::Request->new(GET => 'http://127.0.0.1/'));
            is $answer->content, $other{$name}, 'it is as it has to be here';
        };
    }
    return;
}

subtest q{Plack's suite over TLS} => sub {
    my $client = LWP::UserAgent->new(
        max_redirect => 0,
        keep_alive   => 1,
        timeout      => 30,
        ssl_opts     => {SSL_ca_file => "$files/ca.pem"}
    );
    suite(sub { $client->request(@_) }, 'psgi.url_scheme' => 'https');
};

subtest q{Plack's suite over HTTP/2} => sub {
    my $body = "$files/body";
    suite(
        sub {
            my ($request) = @_;
            my @args      = ('--http2', '--request', $request->method);
            my $header    = $request->headers->clone;
            if (length $request->content) {
                $files->write('body', $request->content);
                push @args, '--data-binary', "\@$body";
                $header->remove_header('Content-Length');
            }
            push @args, map { ('--header', $_) } split /\n/, $header->as_string;
            my $answer = curl(@args, $request->uri);
            $answer =~ s{\AHTTP/2 (\d+) *\r\n}{"HTTP/1.1 $1 " . HTTP::Status::status_message($1) . "\r\n"}e
                or die "no answer over HTTP/2: $answer\n";
            my $response = HTTP::Response->parse($answer);
            $response->request($request);
            return $response;
        },
        'psgi.url_scheme'             => 'https',
        'SERVER_PROTOCOL is required' => 'HTTP/2.0',
    );
};

subtest 'the client chooses version and certificate' => sub {
    like curl('--http1.1', "$base/"), qr{\AHTTP/1[.]1 }, 'HTTP/1.1';
    like curl('--http2',   "$base/"), qr{\AHTTP/2 },     'HTTP/2';
    my $www = 'https://www.test:' . $daemon->port;
    like curl('--resolve', 'www.test:' . $daemon->port . ':127.0.0.1', $www), qr{\AHTTP/2 },
        'another name has another certificate';
    like curl($base =~ s/https/http/r), qr{\AHTTP/1[.]1 400 .*https://}s, 'one without TLS is told so';
};

subtest 'ten thousand requests by h2load' => sub {
    $daemon = Daemon->new(args => ['--workers=2', '--keepalive-timeout=30', @TLS, 'examples/hello/app.psgi']);
    my $output = qx{timeout 60 h2load -n 10000 -c 8 -m 10 https://localhost:${\$daemon->port}/text 2>&1};
    like $output, qr/10000 succeeded, 0 failed, 0 errored/, 'all are answered' or diag $output;
};

subtest 'clients are known by their certificates, from a reload on' => sub {
    my $echo
        = 'sub { [200, ["Content-Type" => "text/plain"], [join q{ }, map { $_ // q{-} } @{$_[0]}{qw(SSL_CLIENT_VERIFY SSL_CLIENT_S_DN SSL_PROTOCOL HTTPS)}]] }';
    $files->write('app.psgi', $echo);
    my $config = <<"TOML";
workers = 1
host = "127.0.0.1"
port = 0
ssl = true
ssl_cert_file = "server.pem"
ssl_key_file = "server.key"
probation = 0
TOML
    $files->write('thrall.toml', $config);
    $daemon = Daemon->new(
        configured => 1,
        args       => ["--config=$files/thrall.toml", "--control=$files/control", "$files/app.psgi"]
    );
    $daemon->wait_for_log(qr/"certificate expires soon"/);
    my $url   = 'https://localhost:' . $daemon->port . '/';
    my @alice = ('--cert', "$files/client.pem", '--key', "$files/client.key");
    like curl($url), qr/\r\n\r\nNONE - TLSv1[.]3 on\z/, 'nobody is asked at first';

    my @reload = ('reload', "--config=$files/thrall.toml", "--control=$files/control", "$files/app.psgi");
    $files->write('thrall.toml', $config . qq{ssl_client_ca_file = "ca.pem"\nssl_verify_mode = 3\n});
    is + (Daemon->run(@reload))[0], 0, 'the reload succeeds';
    my ($answer, $status) = curl($url);
    is $answer,   q{}, 'without a certificate there is no answer';
    isnt $status, 0,   'and curl fails';
    like curl(@alice, $url), qr/\r\n\r\nSUCCESS CN=alice,O=Example TLSv1[.]3 on\z/, 'one with a certificate is known';

    my $key = Folder::content("$files/server.key");
    $files->write('server.key', Folder::content("$files/www.key"));
    my ($failed, $said) = Daemon->run(@reload);
    is $failed, 1, 'a pair that does not match fails the reload';
    like $said,              qr/server[.]key: does not belong to the certificate \S+server[.]pem/, 'and is named';
    like curl(@alice, $url), qr/SUCCESS/, 'the one before stays';

    # Without a reload: who shakes hands finds the files changed.
    $files->write('server.key', $key);
    certify('server', 40, '/CN=localhost', "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    my $serial = openssl('x509 -in server.pem -noout -serial');
    my $shown  = q{};
    for (1 .. 60) {    # changed files are left alone for a second
        $shown
            = openssl('s_client -connect '
                . $daemon->address
                . ' -cert client.pem -key client.key </dev/null 2>/dev/null | openssl x509 -noout -serial');
        last if $shown =~ /\Q$serial\E/;
        select undef, undef, undef, 0.05;    ## no critic (ProhibitSleepViaSelect): nothing tells
    }
    like $shown, qr/\Q$serial\E/, 'a renewed certificate is shown';
    $daemon->wait_for_log(qr/"certificate renewed"/);
    like + (Daemon->run('status', @reload[1 .. $#reload]))[1],
        qr/^certificate  localhost, 127[.]0[.]0[.]1, expires in 39d\d+h/m,
        'and status tells how long it lasts';
};

subtest 'what is wrong with certificates is told at once' => sub {
    my ($status, $said) = Daemon->run(
        'check',                           '--ssl',
        "--ssl-cert-file=$files/none.pem", "--ssl-key-file=$files/ca.pem",
        "--ssl-ca-file=$files/app.psgi",   "$files/app.psgi"
    );
    is $status, 1, 'it is a failure';
    like $said, qr/certificate \S+none[.]pem: cannot be read: no such file or directory\n/,
        'a certificate that is not there';
    like $said, qr/key \S+ca[.]pem: holds no key, but CERTIFICATE; are the files in each other/, 'a key that is none';
    like $said, qr/chain \S+app[.]psgi: holds no certificate in PEM form/, 'authorities that are none';
};

done_testing;
