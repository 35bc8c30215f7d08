# Options that decide which app is run, and how. Their reading has tests of its own beside the code.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Folder;
use Test::More;

my $folder = Folder->new('options');

sub content {
    my ($daemon, $path) = @_;
    return $daemon->get($path // '/')->{content};
}

my $env_app = $folder->write('env.psgi', <<'END');
sub { my ($env) = @_; [200, ['Content-Type' => 'text/plain'], [join ' ', $ENV{PLACK_ENV}, $0, "@ARGV", $INC{'Word.pm'} // 'none']] };
END

my $bad_app = $folder->write('bad.psgi', <<'END');
sub { my ($env) = @_; die "wrong\n" if $env->{PATH_INFO} eq '/die'; [200, ['Content-Type' => "text/plain\nX: y"], ['bad']] };
END

subtest 'without --env it is a deployment' => sub {
    my $daemon = Daemon->new(args => [$bad_app], env => {PLACK_ENV => undef});
    is $daemon->get('/die')->{content}, 'Internal Server Error', 'nothing is shown of what went wrong';
    is content(Daemon->new(args => [$env_app], env => {PLACK_ENV => undef})), "deployment $env_app  none",
        'and PLACK_ENV says so';
};

subtest 'in development Lint and StackTrace are put around the app' => sub {
    for my $how ([args => ['--env=development', $bad_app]], [args => [$bad_app], env => {PLACK_ENV => 'development'}]) {
        my $daemon = Daemon->new(@{$how});
        my $lint   = $daemon->get('/');
        is $lint->{status}, 500, 'a mistake is an error';
        like $lint->{content}, qr/Response headers MUST NOT contain/, 'which Lint explains';
        my $died = $daemon->get('/die', Accept => 'text/html');
        like $died->{content}, qr{<title>Error: wrong}, 'a death shows its stack';
        ok $daemon->wait_for_log(qr/GET .die HTTP/), 'and requests are logged by AccessLog';
    }
};

subtest '--no-default-middleware leaves it away' => sub {
    my $daemon = Daemon->new(args => ['--env=development', '--no-default-middleware', $bad_app]);
    is content($daemon, '/die'), 'Internal Server Error', 'no stack';
};

subtest 'PLACK_ENV may be anything, and --env wins over it' => sub {
    my $daemon = Daemon->new(args => ['--env=staging', $env_app], env => {PLACK_ENV => 'other'});
    like content($daemon), qr/\Astaging /, 'the app sees it';
};

subtest '-e runs code as the app, inside a builder' => sub {
    my $daemon = Daemon->new(args => ['-e', 'sub { [200, [], ["from -e"]] }']);
    is content($daemon), 'from -e', 'alone';

    $daemon = Daemon->new(args => ['-e', 'enable "Runtime";', $env_app]);
    my $response = $daemon->get('/');
    ok $response->{headers}{'x-runtime'}, 'around an app: middleware';
    like $response->{content}, qr/deployment/, 'and the app';

    $daemon = Daemon->new(args => ['-MPlack::App::File', '-e', "Plack::App::File->new(root => '$folder')->to_app"]);
    like content($daemon, '/env.psgi'), qr/PLACK_ENV/, 'with a module';

    my ($status, $output) = Daemon->run('--host=127.0.0.1', '--port=0', '-e', "sub {\n  1 + }");
    is $status, 1, 'a mistake ends it';
    like $output, qr/syntax error at -e line 2/, 'and has its line';
};

subtest '-I and -M load modules before the app' => sub {
    $folder->write('more/Word.pm',
        'package Word; our @EXPORT_OK = ("word"); use Exporter "import"; sub word { "w" } 1');
    like content(Daemon->new(args => ["-I$folder/more", '-MWord', $env_app])), qr/more.Word.pm/, 'together';
    like content(Daemon->new(args => ['-I', "$folder/more", '-M', 'Word=word', $env_app])), qr/more.Word.pm/, 'apart';
    my $relative = Daemon->new(args => ['-Imore', '-MWord', $env_app], cwd => "$folder");
    like content($relative), qr/Word[.]pm/, 'relative to the working directory';

    $folder->write('lib/Word.pm', 'package Word; 1');
    like content(Daemon->new(args => ['-MWord', $env_app])), qr/lib.Word.pm/,
        'a folder lib beside the app is there anyway';
    like content(Daemon->new(args => ["-I$folder/more", '-MWord', $env_app])), qr/lib.Word.pm|more.Word.pm/,
        'with others';
};

subtest 'the app may be a class' => sub {
    $folder->write('classes/Has/ToApp.pm', 'package Has::ToApp; sub to_app { sub { [200, [], ["to_app"]] } } 1');
    $folder->write('classes/Has/PSGIApp.pm',
        'package Has::PSGIApp; sub psgi_app { sub { [200, [], ["psgi_app"]] } } 1');
    $folder->write('classes/Returns.pm', 'package Returns; sub { [200, [], ["returned"]] }');
    my %says = ('Has::ToApp' => 'to_app', 'Has::PSGIApp' => 'psgi_app', 'Returns' => 'returned');
    for my $class (sort keys %says) {
        is content(Daemon->new(args => ["-I$folder/classes", '--app', $class])), $says{$class}, $class;
    }
    is content(Daemon->new(args => ["-I$folder/classes", 'Has::ToApp'])), 'to_app', 'also without --app';
};

subtest 'app.psgi is the app when none is named' => sub {
    $folder->write('default/app.psgi', 'sub { [200, [], ["by default"]] }');
    is content(Daemon->new(cwd => "$folder/default")), 'by default', 'it is found in the working directory';
};

subtest '--path mounts the app' => sub {
    my $daemon = Daemon->new(
        args => ['--path=/here', '-e', 'sub { [200, [], [join "|", @{$_[0]}{qw(SCRIPT_NAME PATH_INFO)}]] }']);
    is content($daemon, '/here/there'),  '/here|/there', 'there';
    is $daemon->get('/there')->{status}, 404,            'and nowhere else';
};

subtest 'the app is loaded once when it is preloaded, else once in each worker' => sub {
    my $app = $folder->write('loads.psgi', 'print {*STDERR} "loaded\n"; sub { [200, [], [$$]] }');
    for my $preload (0, 1) {
        my $daemon = Daemon->new(args => ['--workers=3', "--preload=$preload", $app]);
        $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker ready' && $_[0]{worker} == $_ }) for 0 .. 2;
        $daemon->stop;    # a worker's lines and its readiness come by different ways: at the end all are in
        my $loads = grep { $_->{msg} eq 'loaded' } $daemon->log_events;
        is $loads, $preload ? 1 : 3, $preload ? 'preloaded' : 'in its workers';
    }
};

subtest 'workers of one template do not share their random numbers' => sub {
    my $app    = $folder->write('random.psgi', 'srand 42; rand; sub { [200, [], [rand]] }');
    my $daemon = Daemon->new(args => ['--workers=1', '--preload', $app]);
    my %seen;
    for (1 .. 3) {
        $seen{content($daemon)}++;
        my ($pid) = map { $_->{pid} } reverse grep { $_->{msg} eq 'worker ready' } $daemon->log_events;
        kill KILL => $pid;
        $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker exited' && $_[0]{pid} == $pid });
    }
    is keys %seen, 3, 'each has its own';
};

subtest '-q logs nothing of what goes well, and a word after it is the app' => sub {
    my $app    = $folder->write('quiet.psgi', 'print {*STDERR} "the app speaks\n"; sub { [200, [], ["hush"]] }');
    my $daemon = Daemon->new(unix => 1, silent => 1, args => ['--workers=1', '-q', $app]);
    $daemon->wait_for_log(qr/the app speaks/);
    like $daemon->raw("GET / HTTP/1.0\r\n\r\n"), qr/hush/, 'it serves';
    is $daemon->stop, 0, 'it ends';
    is_deeply [map { $_->{msg} } $daemon->log_events], ['the app speaks'], 'what the app says is all there is';
};

done_testing;
