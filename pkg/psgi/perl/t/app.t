use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use Cwd qw(getcwd);
use File::Path qw(make_path);
use File::Temp ();
use Generation;
use Slot qw(strays);
use Test::More;
use Thralld::Frame qw(:all);

my $folder = File::Temp->newdir;

# file writes a file of the app and returns its path.
sub file {
    my ($name, $source) = @_;
    make_path(dirname("$folder/$name"));
    open my $fh, '>', "$folder/$name" or die "cannot write $name: $!\n";
    print {$fh} $source;
    close $fh or die "cannot write $name: $!\n";
    return "$folder/$name";
}

# body is what an app answers; its options are those of Generation.
sub body {
    my (@option) = @_;
    return Generation->new(@option)->worker->call->{body};
}

subtest 'a file that returns an app, loaded in each worker or once' => sub {
    my $app = file('pid.psgi', 'my $loaded = $$; sub { [200, [], ["$loaded $$"]] }');
    for my $preload ('', 1) {
        my $generation = Generation->new(app => $app, preload => $preload);
        my @workers    = map { $generation->worker($_) } 0, 1;
        for my $worker (@workers) {
            is($worker->ready, $worker->{spawned}, 'the pid of a worker');
            my ($loaded, $pid) = split / /, $worker->call->{body};
            is($pid, $worker->{spawned}, 'the app runs in it');
            is(
                $loaded,
                $preload ? $generation->{pid}              : $pid,
                $preload ? 'it was loaded in the template' : 'and was loaded there'
            );
        }
        $_->tell(QUIT) for @workers;
    }
};

my $broken   = file('broken.psgi', "use strict;\nmy \$app = sub {\n    \$undeclared = 1;\n};\n");
my @failures = (
    [
        'does not compile',
        $broken, qr/\AGlobal symbol "\$undeclared" requires explicit package name .*at \Q$broken\E line 3[.]/
    ],
    ['dies', file('dies.psgi', "\ndie 'no database'"), qr/\Ano database at \Q$folder\E\/dies.psgi line 2[.]\z/],
    ['dies with an object', file('object.psgi', 'die bless {}, "My::Error"'), qr/\AMy::Error=HASH/],
    [
        'returns no code',
        file('number.psgi', '42'),
        qr{\A\Q$folder\E/number.psgi returned "42"; its last value has to be the app, a code reference\z}
    ],
    ['returns undef',  file('undef.psgi', 'undef'),                 qr/returned undef; its last value/],
    ['returns a hash', file('hash.psgi',  '{}'),                    qr/returned a reference to HASH; its last value/],
    ['lacks a module', file('lacks.psgi', "use No::Such::Module;"), qr/\ACan't locate No\/Such\/Module[.]pm in \@INC/],
    [
        'does not exist',
        "$folder/missing.psgi", qr{\Acannot read \Q$folder\E/missing[.]psgi: No such file or directory\z}
    ],
    ['has wide characters in its death', file('wide.psgi', 'die "\x{263a}\n"'), qr/\A\xe2\x98\xba\z/],
    ['is no class that there is',    'No::Such::App', qr/\ACan't locate No\/Such\/App[.]pm in \@INC/],
    ['is a class that makes no app', 'File::Spec',    qr/\AFile::Spec \(\S+\) is no PSGI app: .*no method to_app\z/],
);
for (@failures) {
    my ($name, $app, $want) = @{$_};
    like(Generation->new(app => $app, preload => 1)->failure, $want, "an app that $name, preloaded");
    like(Generation->new(app => $app)->said,                  $want, "an app that $name, in a worker");
}

subtest 'a template whose preloaded app exits' => sub {
    my $generation = Generation->new(app => file('exits.psgi', 'print STDERR "gone\n"; exit 3'), preload => 1);
    is($generation->{loaded}, undef, 'it says nothing');
};

file('lib/My/Class.pm',
    'package My::Class; sub to_app { my ($class) = @_; sub { [200, [], ["to_app of $class"]] } } 1');
file('lib/My/Mojo.pm',     'package My::Mojo; sub to_psgi_app { sub { [200, [], ["to_psgi_app"]] } } 1');
file('lib/My/Catalyst.pm', 'package My::Catalyst; sub psgi_app { sub { [200, [], ["psgi_app"]] } } 1');
file('lib/My/Code.pm',     'package My::Code; sub { [200, [], ["its file"]] }');
file('lib/My/Export.pm',
          'package My::Export; sub import { my ($class, @what) = @_; no strict "refs";'
        . '*{caller() . "::imported"} = sub { "@what" } } 1');

subtest 'a class' => sub {
    my @include = (include => ["$folder/lib"]);
    is(body(@include, app => 'My::Class'),    'to_app of My::Class', 'with to_app');
    is(body(@include, app => 'My::Mojo'),     'to_psgi_app',         'with to_psgi_app');
    is(body(@include, app => 'My::Catalyst'), 'psgi_app',            'with psgi_app');
    is(body(@include, app => 'My::Code'),     'its file',            'whose file returns the app');
};

subtest 'an object' => sub {
    is(
        body(
            app => file(
                'object.psgi',
                'package O; use overload "&{}" => sub { sub { [200, [], ["called"]] } }, fallback => 0; bless []'
            )
        ),
        'called',
        'that can be called'
    );
    is(body(app => file('to_app.psgi', 'package O; sub to_app { sub { [200, [], ["made"]] } } bless []')),
        'made', 'that makes the app');
};

subtest 'a folder lib beside the app, and folders to include' => sub {
    is(body(app => file('uses.psgi', 'use My::Class; My::Class->to_app')), 'to_app of My::Class', 'lib is found');
    make_path("$folder/first", "$folder/second");
    my $app = file('inc.psgi', 'my @inc = @INC[0 .. 2]; sub { [200, [], [join " ", @inc]] }');
    is(
        body(app => $app, include => ["$folder/first", "$folder/second"]),
        "$folder/first $folder/second $folder/lib",
        'those to include come first'
    );
    is(body(app => file('hook.psgi', 'my $hooks = grep { ref } @INC; sub { [200, [], [$hooks]] }')),
        0, 'the runtime leaves no hook in @INC');
};

subtest 'two apps of the same names do not meet' => sub {
    is(
        body(app => file('strange name (1).psgi', 'my $app = sub { [200, [], [__PACKAGE__]] }'))
            =~ /\AThralld::Sandbox::\w+\z/ ? 1 : 0,
        1,
        'an app has a package of its own'
    );
};

subtest 'code in place of an app, and around it' => sub {
    is(body(eval => 'sub { [200, [], ["from -e"]] }'), 'from -e', '-e alone');
    is(
        body(
            eval => 'enable sub { my $app = shift; sub { my $r = $app->(@_); push @{$r->[2]}, " wrapped"; $r } }',
            app  => file('plain.psgi', 'sub { [200, [], ["plain"]] }')
        ),
        'plain wrapped',
        '-e around an app'
    );
    like(
        Generation->new(eval => "\n\nmy \$app = ;", preload => 1)->failure,
        qr/\Asyntax error at -e line 3/,
        'a mistake in it has its line'
    );
    like(
        Generation->new(eval => '42', preload => 1)->failure,
        qr/\Athe code of -e returned "42"/,
        'it has to return an app'
    );
};

subtest 'modules to load before the app' => sub {
    my @include = (include => ["$folder/lib"]);
    is(body(@include, module => ['My::Export=one,two'], eval => 'sub { [200, [], [imported()]] }'),
        'one two', 'with what they export');
    is(body(@include, module => ['My::Export'], eval => 'my $app = sub { [200, [], ["<" . imported() . ">"]] }'),
        '<>', 'with their defaults');
    like(
        Generation->new(module => ['No::Such::Module'], app => $broken)->failure,
        qr/\ACan't locate No\/Such\/Module[.]pm/,
        'one that is not there'
    );
    file('lib/Loads.pm',
        'package Loads; sub import { no strict "refs"; *{caller() . "::$_"} = sub { die "clash" } for qw(load message wrap) } 1'
    );
    is(body(@include, module => ['Loads'], eval => 'sub { [200, [], ["fine"]] }'),
        'fine', 'one that exports names that the runtime uses');
};

subtest 'the middleware of the development environment' => sub {
    my $app    = file('nonsense.psgi', 'sub { [200, ["Content-Type", "text/plain", "Status", "200"], ["hello"]] }');
    my @option = (app => $app, env => 'development');
    my $worker = Generation->new(@option)->worker;
    my $answer = $worker->call(HTTP_ACCEPT => 'text/html', REMOTE_ADDR => '127.0.0.1');
    is($answer->{status}, 500, 'Lint refuses a breach');
    like($answer->{body}, qr/<html|Response headers MUST NOT contain a key named Status/, 'StackTrace shows it');
    like($worker->log,    qr/^127[.]0[.]0[.]1 .* 500 /m,                                  'AccessLog logs it');
    $worker = Generation->new(@option, quiet => 1)->worker;
    $worker->call(REMOTE_ADDR => '127.0.0.1');
    unlike($worker->log, qr/^127[.]0[.]0[.]1 /m, 'quiet: no AccessLog');
    is(Generation->new(@option, default_middleware => '')->worker->call->{status},
        200, 'none of it when it is not wanted');
    is(Generation->new(@option, env => 'deployment')->worker->call->{status}, 200, 'none of it in deployment');
};

subtest 'the app sees its own file' => sub {
    my $app = file('self.psgi',
        'use FindBin; my $loading = $0; sub { [200, [], [join " ", $loading, $0, __FILE__, $FindBin::Bin, scalar @ARGV]] }'
    );
    is(body(app => $app), "$app $app $app $folder 0", '$0, __FILE__, FindBin, and an empty @ARGV');
    my $bin = 'use FindBin; sub { [200, [], ["$0 $FindBin::Bin"]] }';
    is(body(eval => $bin), '-e ' . getcwd(), 'code of -e: as under perl -e');
};

subtest 'ps shows what a process is, until the app renames it' => sub {
    my $app        = file('title.psgi', 'sub { $0 = "mine" if $_[0]{PATH_INFO} eq "/rename"; [200, [], [$0]] }');
    my $generation = Generation->new(app => $app);
    my $worker     = $generation->worker;
    is($worker->call->{body}, $app, '$0 is the app');
    like(command($worker->{spawned}), qr/\Athralld: worker 0, generation 5, \Q$app\E/, 'a worker');
    like(command($generation->{pid}), qr/\Athralld: template, generation 5, \Q$app\E/, 'the template');
    is($worker->call(PATH_INFO => '/rename')->{body}, 'mine', 'the app renames itself');
    like(command($worker->{spawned}), qr/\Amine/, 'and ps shows it');
};

subtest 'an app that prints while it is loaded, and while it runs' => sub {
    my $app
        = file('prints.psgi', 'print "loading\n"; warn "warned\n"; sub { print "running\n"; [200, [], ["hello"]] }');
    my $worker = Generation->new(app => $app)->worker;
    is($worker->call->{body}, 'hello',                      'the protocol is not disturbed');
    is($worker->log,          "loading\nwarned\nrunning\n", 'it is in the log of the worker');
    my $generation = Generation->new(app => $app, preload => 1);
    is($generation->log, "loading\nwarned\n", 'preloaded: in the log of the template');
    $worker = $generation->worker;
    $worker->call;
    is($worker->log, "running\n", 'and only there');
};

subtest 'STDIN is at its end' => sub {
    is(
        body(
            app => file(
                'stdin.psgi',
                'my $line = <STDIN>; sub { [200, [], [defined $line ? $line : "nothing", readlink "/proc/self/fd/0"]] }'
            )
        ),
        'nothing/dev/null',
        '/dev/null'
    );
};

subtest 'each worker has random numbers of its own' => sub {
    my $app        = file('rand.psgi', 'srand 42; my $at_load = rand; sub { [200, [], [rand]] }');
    my $generation = Generation->new(app => $app, preload => 1);
    my %seen       = map { $generation->worker($_)->call->{body} => 1 } 0 .. 2;
    is(keys %seen, 3, 'three workers, three numbers');
};

subtest 'a lost connection is an error, not a death' => sub {
    my $app = file(
        'pipe.psgi', q{
        sub {
            pipe my $read, my $write or die;
            close $read;
            my $error   = syswrite($write, 'x') ? 'none' : "$!";
            my $default = qx{$^X -e 'print \$SIG{PIPE} || "default"'};
            return [200, [], ["$error $default"]];
        }
    }
    );
    is(body(app => $app), 'Broken pipe default', 'and what the app executes starts with the default');
};

subtest 'what the app executes while it is loaded inherits no slot' => sub {
    my $app  = file('executes.psgi', 'my $fds = qx{ls -l /proc/self/fd}; sub { [200, [], [$fds]] }');
    my $mine = strays(scalar qx{ls -l /proc/self/fd});    # what the tests were started with
    for my $preload ('', 1) {
        is(strays(body(app => $app, preload => $preload)), $mine, $preload ? 'preloaded' : 'in a worker');
    }
};

subtest 'a preloaded app that reaps all children' => sub {
    my $app = file('reaps.psgi', '$SIG{CHLD} = sub { 1 while waitpid(-1, 1) > 0 }; sub { [200, [], ["hello"]] }');
    my $generation = Generation->new(app => $app, preload => 1);
    is($generation->worker($_)->call->{body}, 'hello', 'workers are spawned all the same') for 0 .. 2;
};

subtest 'a perl with an environment of its own' => sub {
    my $app = file('bytes.psgi',
        'sub { die "caf\x{e9} \x{263a}\n" if $_[0]{PATH_INFO} eq "/die"; [200, [], ["caf\xc3\xa9"]] }');
    local $ENV{PERL_UNICODE} = 'SDA';
    my $worker = Generation->new(app => $app)->worker;
    is($worker->call(body => "\xff")->{body}, "caf\xc3\xa9", 'PERL_UNICODE: bytes are bytes');
    $worker->call(PATH_INFO => '/die');
    is($worker->log, "the app failed: caf\xc3\xa9 \xe2\x98\xba\n", 'and so are log lines');
};

done_testing;

# command is what ps shows.
sub command {
    my ($pid) = @_;
    open my $fh, '<', "/proc/$pid/cmdline" or die "cannot read the command of $pid: $!\n";
    return scalar readline $fh;
}
