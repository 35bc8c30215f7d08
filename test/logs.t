# The log files: the log and the access log, and what becomes of them when somebody renames them.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use File::Temp ();
use IO::Select ();
use JSON::PP ();
use POSIX ();
use Test::More;

my $folder = File::Temp->newdir('test-logs-XXXXXX', TMPDIR => 1);
umask oct 22;
my $hello = 'examples/hello/app.psgi';
my $count = 0;

sub lines {
    my ($path) = @_;
    open my $file, '<', $path or die "open $path: $!\n";
    chomp(my @lines = readline $file);
    close $file;
    return @lines;
}

# daemon starts one that logs into files, and waits until it is ready.
sub daemon {
    my ($args, @options) = @_;
    my $name   = "$folder/" . ++$count;
    my %it     = (errors => "$name.error", access => "$name.access", socket => "$name.socket");
    my @args   = ("--error-log=$it{errors}", "--access-log=$it{access}", @{$args});
    my $daemon = Daemon->new(unix => $it{socket}, silent => 1, args => \@args, @options);
    Daemon->wait_for_line($it{errors}, qr/"msg":"ready"/);
    return ($daemon, \%it);
}

# asking starts a process that makes numbered requests until the first handle is closed; the second
# one then has their number, or why they did not go well.
sub asking {
    my ($daemon) = @_;
    pipe my $told, my $tell or die "pipe: $!\n";
    pipe my $from, my $to or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $tell;
        my ($connection, $number, $wrong) = (Connection->new($daemon), 0, q{});
        until ($wrong || IO::Select->new($told)->can_read(0)) {
            $connection->get('/?' . ++$number);
            my $response = $connection->response;
            $wrong = "request $number failed" if !$response || $response->{status} != 200;
        }
        syswrite $to, ($wrong || $number) . "\n";
        POSIX::_exit(0);
    }
    close $told;
    close $to;
    return ($tell, $from);
}

subtest 'the log is in the file, and nothing of it elsewhere' => sub {
    my ($daemon, $files) = daemon(['--workers=1'], psgi => 'sub { warn "said by the app\n"; [200, [], ["hi"]] }');
    $daemon->raw("GET / HTTP/1.0\r\n\r\n");
    is $daemon->stop, 0, 'the daemon ends';
    my @events = map { JSON::PP::decode_json($_) } lines($files->{errors});
    my %seen   = map { $_->{msg} => 1 } @events;
    is_deeply [map { $seen{$_} } 'ready', 'said by the app', 'stopped'], [1, 1, 1], 'from the beginning to the end';
    is $daemon->log_text,                                     q{},    'standard error has nothing';
    is sprintf('%04o', (stat $files->{errors})[2] & oct 777), '0640', 'not all may read it';
};

subtest 'why a daemon did not start is printed, and in the log' => sub {
    my ($status, $output)
        = Daemon->run("--error-log=$folder/start", '-e', 'die "no app\n"', '--socket', "$folder/none");
    is $status, 1,                   'exit status 1';
    is $output, "thralld: no app\n", 'it is printed, alone';
    my ($failed) = grep { $_->{msg} eq 'start failed' } map { JSON::PP::decode_json($_) } lines("$folder/start");
    is $failed->{error}, 'no app', 'and logged';
};

subtest 'a log is appended to' => sub {
    my $path = "$folder/old";
    open my $file, '>', $path or die "create: $!\n";
    print {$file} "an old line\n" or die "write: $!\n";
    close $file or die "write: $!\n";
    Daemon->run("--error-log=$path", '-e', 'die "no app\n"', '--socket', "$folder/none");
    is((lines($path))[0], 'an old line', 'what was there stays');
};

subtest 'each request has a line in the access log' => sub {
    my ($daemon, $files) = daemon(['--workers=1', $hello]);
    $daemon->raw("GET /text?a=b HTTP/1.0\r\nReferer: http://example.org/\r\nUser-Agent: Test \"one\"\xe9\r\n\r\n");
    $daemon->raw("HEAD /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    $daemon->raw("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    $daemon->stop;
    my $time  = qr{\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]};
    my @lines = map { s/$time/TIME/r } lines($files->{access});
    is_deeply \@lines,
        [
        '- - - TIME "GET /text?a=b HTTP/1.0" 200 14 "http://example.org/" "Test \"one\"\xe9"',
        '- - - TIME "HEAD /nowhere HTTP/1.1" 404 - "-" "-"',
        '- - - TIME "-" 400 12 "-" "-"',
        ],
        'also what was refused';
};

subtest 'the client is named by its address' => sub {
    my $access = "$folder/tcp";
    my $daemon = Daemon->new(args => ["--access-log=$access", '--workers=1', $hello]);
    $daemon->get('/text');
    $daemon->stop;
    like(
        (lines($access))[0],
        qr{\A127[.]0[.]0[.]1 - - .* "GET /text HTTP/1[.]1" 200 14 "-" "HTTP-Tiny/.*"\z},
        'over TCP'
    );
};

subtest '/dev/stderr and /dev/stdout are streams' => sub {
    my $daemon = Daemon->new(args => ['--error-log=/dev/stderr', '--access-log=/dev/stdout', '--workers=1', $hello]);
    $daemon->get('/text');
    ok $daemon->wait_for_log(qr{"GET /text HTTP/1[.]1" 200}), 'the access log is there';
    $daemon->signal('USR1');
    ok $daemon->wait_for_log(qr/log files reopened/), 'to reopen them changes nothing';
    $daemon->get('/nowhere');
    ok $daemon->wait_for_log(qr{"GET /nowhere HTTP/1[.]1" 404}), 'it goes on';
};

subtest 'USR1 opens renamed files anew, and no line is lost' => sub {
    my ($daemon, $files)
        = daemon(['--workers=2'],
        psgi => 'sub { my ($env) = @_; warn "request $env->{QUERY_STRING}\n"; [200, [], ["hi"]] }');
    my ($tell, $from) = asking($daemon);
    for my $turn (1 .. 5) {
        Daemon->wait_for_line($files->{access}, qr/HTTP/);    # lines go where they should by now
        rename $files->{$_}, "$files->{$_}.$turn" or die "rename: $!\n" for qw(errors access);
        $daemon->signal('USR1');
        Daemon->wait_for_line($files->{errors}, qr/log files reopened/);
    }
    close $tell;
    my $asked = readline $from;
    chomp $asked;
    cmp_ok $asked, '>', 5, "$asked requests are answered";
    is $daemon->stop, 0, 'the daemon ends';

    my @requests = map { m{"GET /[?](\d+) } ? $1 : () } map { lines($_) } glob "$files->{access}*";
    is_deeply [sort { $a <=> $b } @requests], [1 .. $asked], 'the access log has each of them';
    my @said = map { /"request (\d+)"/ ? $1 : () } map { lines($_) } glob "$files->{errors}*";
    is_deeply [sort { $a <=> $b } @said], [1 .. $asked], 'the log has what the app printed for each';
};

subtest 'the tokens are those of Plack::Middleware::AccessLog' => sub {
    my @tokens = qw(%h %l %s %>s %b %v %V %p %P %m %U %q %H %% %{Host}i %{X-Two}i %{content-type}i %{X-None}i
        %{Content-Type}o %{X-Answer}o %{X-None}o %{%Y-%m-%d}t);
    my $format = join '|', @tokens, '%r';
    my ($wanted, $got) = map { "$folder/tokens.$_" } qw(wanted got);
    my $psgi = <<"PERL";
use Plack::Middleware::AccessLog;
open my \$file, '>>', '$wanted' or die "open: \$!";
\$file->autoflush(1);
Plack::Middleware::AccessLog->wrap(
    sub { [201, ['Content-Type' => 'text/plain', 'X-Answer' => '4 2', 'x-answer' => 43], ["hello\\n"]] },
    format => '$format', logger => sub { print {\$file} \@_ },
);
PERL
    my $daemon
        = Daemon->new(psgi => $psgi, args => ['--workers=1', "--access-log=$got", "--access-log-format=$format"]);
    $daemon->raw($_)
        for "GET /a/b?c=d&e HTTP/1.0\r\nX-Two: 1\r\nx-two: 2\r\nHost: example.org:81\r\n\r\n",
        "POST /%41%20%0a%c3%a9? HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
        "GET //a/../%2f HTTP/1.0\r\n\r\n";
    $daemon->stop;
    my @wanted = lines($wanted);
    s/\\x0a/\\n/ for @wanted;    # Apache has names for some characters
    is scalar(@wanted), 3, 'three lines';
    is_deeply [lines($got)], \@wanted, 'each is the same';
};

subtest 'a reload changes file and form, and no line is lost' => sub {
    my $config = "$folder/changing.toml";
    my @forms  = (['%q "%r"', qr/\A[?]/], ['common', qr/\A127[.]/]);
    my $write  = sub {
        my ($turn) = @_;
        my $form = $forms[$turn % 2][0];
        open my $file, '>', $config or die "create: $!\n";
        print {$file} "workers = 2\nprobation = 0\naccess_log = 'changing.$turn'\naccess_log_format = '$form'\n"
            or die "write: $!\n";
        close $file or die "write: $!\n";
    };
    $write->(0);
    my $daemon = Daemon->new(args => ['-c', $config, $hello]);
    my ($tell, $from) = asking($daemon);
    for my $turn (1 .. 4) {
        $write->($turn);
        $daemon->signal('HUP');
        $daemon->wait_for_log(sub { $_[0]{msg} eq 'reloaded' && $_[0]{generation} == 1 + $turn });
        Daemon->wait_for_line("$folder/changing.$turn", $forms[$turn % 2][1]);
    }
    close $tell;
    chomp(my $asked = readline $from);
    is $daemon->stop, 0, 'the daemon ends';
    my @requests = map { m{"GET /[?](\d+) } ? $1 : () } map { lines($_) } glob "$folder/changing.[0-9]";
    is_deeply [sort { $a <=> $b } @requests], [1 .. $asked], "each of $asked requests is in one of them";
};

subtest 'a reader that does not read holds up nobody' => sub {
    my $fifo = "$folder/fifo";
    POSIX::mkfifo($fifo, oct 600) or die "mkfifo: $!\n";
    open my $reader, '+<', $fifo or die "open $fifo: $!\n";
    my $daemon = Daemon->new(args => ['--workers=1', "--access-log=$fifo", "--control=$folder/fifo.control", $hello]);
    my $connection = Connection->new($daemon);
    for my $number (1 .. 50) {
        $connection->get('/' . 'x' x 60_000);
        $connection->response->{status} == 404 or die "request $number failed\n";
    }
    my $said = $daemon->wait_for_log(qr/lines of the access log are lost/);
    cmp_ok $said->{lines}, '>', 0, 'the log tells it';
    my (undef, $status) = Daemon->run('status', '--json', "--control=$folder/fifo.control");
    cmp_ok JSON::PP::decode_json($status)->{access_log_lost}, '>=', $said->{lines}, 'and the status how many';
};

subtest 'a file that cannot be opened anew stays in use' => sub {
    my ($daemon, $files) = daemon(['--workers=1', $hello]);
    unlink $files->{access} or die "unlink: $!\n";
    mkdir $files->{access} or die "mkdir: $!\n";
    $daemon->signal('USR1');
    my $line = Daemon->wait_for_line($files->{errors}, qr/log files not reopened/);
    my $said = JSON::PP::decode_json($line);
    is $said->{level}, 'error',                                            'someone must act';
    is $said->{error}, "reopen log file $files->{access}: is a directory", 'on this';
    like $daemon->raw("GET /text HTTP/1.0\r\n\r\n"), qr/Hello, World/, 'the daemon serves';
    is $daemon->stop, 0, 'and ends well';
};

done_testing;
