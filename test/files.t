# Files that are sent without a worker: static ones, those that an app names, and ranges of its own.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use File::Temp ();
use POSIX qw(mkfifo);
use Test::More;

my $LARGE  = join q{}, map { "line $_ of a file that takes a while\n" } 1 .. 40_000;
my $folder = File::Temp->newdir;
mkdir "$folder/$_" or die "mkdir $_: $!\n" for qw(files public public/css);
write_file('files/large',         $LARGE);
write_file('secret',              'secret');
write_file('public/index.html',   '<p>index');
write_file('public/css/a.css',    'a { }');
write_file('public/css/a.css.gz', 'compressed');
write_file('public/.hidden',      'hidden');
write_file('public/of-both',      'the file');
symlink '../secret', "$folder/$_/link" or die "symlink: $!\n" for qw(files public);
mkfifo("$folder/$_/fifo", oct 644) or die "mkfifo: $!\n" for qw(files public);

my $config = File::Temp->new(SUFFIX => '.toml');
configure("dir = '$folder/public'");

my $daemon = Daemon->new(
    env  => {TEST_FOLDER => "$folder/files"},
    args => ['--workers=1', '--probation=0', '--log-level=debug', "--config=$config", 'test/apps/files.psgi'],
);

sub write_file {
    my ($name, $text) = @_;
    open my $file, '>:raw', "$folder/$name" or die "create $name: $!\n";
    print {$file} $text or die "write $name: $!\n";
    close $file or die "write $name: $!\n";
    utime 1_700_000_000, 1_700_000_000, "$folder/$name" or die "utime: $!\n";
    return;
}

sub configure {
    my ($dir) = @_;
    open my $file, '>', $config->filename or die "write thrall.toml: $!\n";
    print {$file} <<"TOML" or die "write thrall.toml: $!\n";
[[static]]
path = "/"
$dir
index = "index.html"
cache_control = "max-age=60"
precompressed = true
pass_through = true

[[static]]
path = "/only"
$dir

[[sendfile]]
dir = "$folder/files"
prefix = "/protected"
TOML
    close $file or die "write thrall.toml: $!\n";
    return;
}

sub status_of { return $daemon->get(@_)->{status} }

subtest 'a handle of the app is sent, whole or by ranges' => sub {
    my $whole = $daemon->get('/handle');
    ok $whole->{content} eq $LARGE, 'all of it';
    my $part = $daemon->get('/handle', Range => 'bytes=5-9');
    is $part->{status},                   206,                          'a range of it';
    is $part->{content},                  substr($LARGE, 5, 5),         'is that part';
    is $part->{headers}{'content-range'}, 'bytes 5-9/' . length $LARGE, 'and says so';
    my $end = length($LARGE) - 5;
    is $daemon->get('/handle', Range => 'bytes=-5')->{content},       substr($LARGE, $end), 'its end';
    is $daemon->get('/handle', Range => 'bytes=99999999-')->{status}, 416,                  'beyond its end is nothing';
    is $daemon->get('/string', Range => 'bytes=2-3')->{content},      '23',                 'a string has ranges, too';
    my $parts = $daemon->get('/string', Range => 'bytes=0-0,-1');
    like $parts->{headers}{'content-type'}, qr{\Amultipart/byteranges; boundary=},
        'several of them are told by their type';
    like $parts->{content}, qr{bytes 0-0/10\r\n\r\n0\r\n.*bytes 9-9/10\r\n\r\n9\r\n}s, 'and all there';
};

subtest 'a file that the app names is sent in place of its body' => sub {
    for my $path (qw(/sendfile?large /accel?large /middleware /stream)) {
        my $response = $daemon->get($path);
        ok $response->{status} == 200 && $response->{content} eq $LARGE, "$path is the file";
        is $response->{headers}{'content-type'}, 'text/plain', 'of the type that the app says';
        ok $response->{headers}{etag},                                       'with an ETag';
        ok !grep({ /\Ax-(?:sendfile|accel)/ } keys %{$response->{headers}}), 'and nobody learns where it is';
        is status_of($path, 'If-None-Match' => $response->{headers}{etag}), 304,    'which is good for a condition';
        is $daemon->get($path, Range => 'bytes=0-3')->{content},            'line', 'and ranges';
    }
    is status_of('/sendfile?missing'), 404, 'one that is not there is not found';
    is $daemon->get('/type', 'X-Sendfile-Type' => 'X-Accel-Redirect')->{content}, 'none',
        'a client cannot choose how the app names files';
};

subtest 'a file that the app may not name is a breach' => sub {
    for my $path (qw(/sendfile?../secret /sendfile?link /sendfile?fifo /sendfile? /accel?../secret /accel?link)) {
        is status_of($path), 500, $path;
    }
    my $event = $daemon->wait_for_log(qr/app broke the contract/);
    like $event->{error}, qr/X-Sendfile names nothing within the folders/, 'the log names it';
    ok !grep({ /secret"/ && /broke the contract.*error.*secret/ } $daemon->log_lines), 'but not the file';
    is $daemon->get('/pid')->{status}, 200, 'the worker lives';
};

subtest 'a static file is sent without a worker' => sub {
    my $response = $daemon->get('/css/a.css', 'Accept-Encoding' => 'br');
    is $response->{content},                  'a { }',                              'the file';
    is $response->{headers}{'content-type'},  'text/css; charset=utf-8',            'its type';
    is $response->{headers}{'cache-control'}, 'max-age=60',                         'how long it may be kept';
    is $response->{headers}{'last-modified'}, 'Tue, 14 Nov 2023 22:13:20 GMT',      'when it was made';
    is status_of('/css/a.css', 'If-None-Match' => $response->{headers}{etag}), 304, 'whether it has changed';
    is $daemon->get('/css/a.css', Range => 'bytes=0-0')->{content},            'a', 'a range of it';
    my $gzip = $daemon->get('/css/a.css', 'Accept-Encoding' => 'gzip');
    is $gzip->{content},                     'compressed',      'what was compressed before';
    is $gzip->{headers}{'content-encoding'}, 'gzip',            'is told as such';
    is $daemon->get('/')->{content},         '<p>index',        'the index of a folder';
    is $daemon->get('/css')->{content},      'the app at /css', 'a folder without one is the app\'s';
};

subtest 'what is not there, or not to be served, is left to the app, or not found' => sub {
    for my $path (qw(/missing /.hidden /link /fifo /../secret /%2e%2e/secret /css%2fa.css /css/../of-both /of-both%00))
    {
        my $raw = $daemon->raw("GET $path HTTP/1.0\r\n\r\n");
        like $raw, qr/\r\n\r\nthe app at /, "$path is the app's";
        $raw = $daemon->raw("GET /only$path HTTP/1.0\r\n\r\n");
        like $raw, qr{\AHTTP/1[.][01] 404 }, "/only$path is not found";
    }
    like $daemon->raw("POST /only/of-both HTTP/1.0\r\n\r\n"), qr{\AHTTP/1[.][01] 405 .*^Allow: GET, HEAD\r}ms,
        'nor is a POST';
};

subtest 'a folder that is missing is told, and nothing changes' => sub {
    configure("dir = '$folder/missing'");
    $daemon->signal('HUP');
    my $event = $daemon->wait_for_log(qr/open folder/);
    like $event->{error}, qr{static files at /only: open folder \Q$folder\E/missing: no such file or directory},
        'by its path';
    is $daemon->get('/of-both')->{content}, 'the file', 'the old one is served';
    configure("dir = '$folder/files'");
    $daemon->signal('HUP');
    $daemon->wait_for_log(qr/"msg":"reloaded"/);
    is $daemon->get('/only/large')->{status}, 200, 'another one is served after a reload';
};

is $daemon->stop, 0, 'the daemon ends well';

done_testing;
