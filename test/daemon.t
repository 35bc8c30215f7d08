# The daemon as a new user meets it: the example of the README, and its end.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Test::More;

my $hello = 'examples/hello/app.psgi';

subtest 'the example answers' => sub {
    my $daemon = Daemon->new(args => ['--workers=2', $hello]);

    my $page = $daemon->get('/', 'User-Agent' => '<script>alert(1)</script>');
    is $page->{status}, 200, 'the page is there';
    like $page->{content},   qr{<dt>worker</dt><dd>\d+</dd>},      'it names its worker';
    like $page->{content},   qr{<dt>generation</dt><dd>1</dd>},    'it is of the first generation';
    like $page->{content},   qr{<dt>request</dt><dd>[^<\s]+</dd>}, 'the request has an id';
    unlike $page->{content}, qr/<script>/,                         'markup of the client is escaped';

    my $text = $daemon->get('/text');
    is $text->{content},                   "Hello, World!\n", 'text comes as it is';
    is $text->{headers}{'content-type'},   'text/plain',      'and says so';
    is $daemon->get('/nowhere')->{status}, 404,               'what is not there is not found';
};

subtest 'the example answers on a unix socket' => sub {
    my $daemon = Daemon->new(unix => 1, args => [$hello]);
    my $answer = $daemon->raw("GET /text HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    like $answer, qr{\AHTTP/1[.]1 200 OK\r\n.*\r\n\r\nHello, World!\n\z}s, 'greets';
};

subtest 'TERM ends it, and its workers with it' => sub {
    my $daemon = Daemon->new(args => ['--workers=2', $hello]);
    my ($worker) = $daemon->get('/')->{content} =~ m{<dt>worker</dt><dd>(\d+)</dd>};
    ok $worker && kill(0 => $worker), 'a worker runs';
    is $daemon->stop, 0, 'the exit status says that all is well';
    ok !kill(0 => $worker), 'the worker is gone';
};

done_testing;
