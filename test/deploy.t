# Deployment by a symbolic link: what runs is what the link named when it was loaded, until a reload.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Cwd qw(abs_path);
use Deployment;
use File::Temp ();
use Gate;
use Test::More;

my $lib = abs_path('test/lib');

# release is a folder with an app that loads its modules as late as it can.
sub release {
    my ($number) = @_;
    my $app = <<"APP";
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib', '$lib';
use Gate;
sub {
    Gate::wait_at(\$_[0]) if \$_[0]{HTTP_X_GATE};
    require Beside;
    require Included;
    require Lib;
    open my \$file, '<', 'release' or die "open release: \$!";
    my \$read = readline \$file;
    close \$file;
    return [200, ['Content-Type' => 'text/plain'],
        [join ' ', \$\$, "app $number", 'beside', Beside::from(), 'included', Included::from(), 'lib', Lib::from(), 'cwd', \$read]];
};
APP
    return (
        "releases/$number/app.psgi"            => $app,
        "releases/$number/lib/Beside.pm"       => "package Beside; sub from { $number } 1;\n",
        "releases/$number/include/Included.pm" => "package Included; sub from { $number } 1;\n",
        "releases/$number/perl5lib/Lib.pm"     => "package Lib; sub from { $number } 1;\n",
        "releases/$number/release"             => $number,
    );
}

# point_to puts the link to another release, in one moment.
sub point_to {
    my ($folder, $number) = @_;
    symlink "releases/$number", "$folder/current.new" or die "symlink: $!\n";
    rename "$folder/current.new", "$folder/current" or die "rename: $!\n";
    return;
}

sub all_of {
    my ($number) = @_;
    return "app $number beside $number included $number lib $number cwd $number";
}

for my $preload (qw(false true)) {
    subtest "preload = $preload" => sub {
        my $place = File::Temp->newdir('test-releases-XXXXXX', TMPDIR => 1);
        my %file  = (release(1), release(2));
        Deployment::replace("$place/$_", $file{$_}) for keys %file;
        point_to($place, 1);
        my $daemon = Deployment->new(
            toml => {
                app       => "$place/current/app.psgi",
                include   => ["$place/current/include"],
                workers   => 2,
                probation => 0,
                preload   => $preload,
            },
            cwd => "$place/current",
            env => {PWD => "$place/current", PERL5LIB => "$place/current/perl5lib"},
        );
        my $status = $daemon->wait_for_status(sub { $_[0]{stable} && @{$_[0]{worker_list}} == 2 });

        # Nobody has asked anything yet: all modules are still to be loaded.
        point_to($place, 2);
        my ($killed) = map { $_->{pid} } @{$status->{worker_list}};
        kill KILL => $killed;
        $daemon->wait_for_status(sub {
            my @pids = map { $_->{state} eq 'ready' ? $_->{pid} : () } @{$_[0]{worker_list}};
            return @pids == 2 && !grep { $_ == $killed } @pids;
        });

        # While one is held at the gate the other one answers.
        my $gate = Gate->new($daemon);
        my $held = Connection->new($daemon);
        $held->get('/', $gate->field);
        $gate->wait_for_app;
        my @answers = $daemon->get('/')->{content};
        $gate->open;
        push @answers, $held->response->{body};
        my @pids = map { /\A(\d+) / } @answers;
        isnt $pids[0], $pids[1], 'both workers answer';
        is_deeply [map { s/\A\d+ //r } @answers], [(all_of(1)) x 2],
            'after the switch they run release 1, also the new one';
        $daemon->reload_by_hup;
        my $now = $daemon->wait_for_status(sub { @{$_[0]{worker_list}} == 2 && $_[0]{target} == 2 });
        like $daemon->get('/')->{content}, qr/\A\d+ \Q@{[all_of(2)]}\E\z/, 'after HUP it is release 2';
        is $daemon->stop, 0, 'it ends well';
    };
}

subtest 'a release without its app is refused, and the old one runs on' => sub {
    my $place = File::Temp->newdir('test-releases-XXXXXX', TMPDIR => 1);
    my %file  = release(1);
    Deployment::replace("$place/$_", $file{$_}) for keys %file;
    point_to($place, 1);
    my $daemon = Deployment->new(
        toml => {app => "$place/current/app.psgi", include => ["$place/current/include"], workers => 1, probation => 0},
        cwd  => "$place/current",
        env  => {PERL5LIB => "$place/current/perl5lib"},
    );
    point_to($place, 2);
    my ($exit, $output) = $daemon->reload;
    is $exit, 1, 'thralld reload says that it failed';
    like $output,                      qr{/current\b},                 'and what is not there';
    like $daemon->get('/')->{content}, qr/\A\d+ \Q@{[all_of(1)]}\E\z/, 'release 1 answers';
    is $daemon->stop, 0, 'it ends well';
};

subtest 'everything is in the release, thrall.toml too, and nothing but the folder is named' => sub {
    my $place = File::Temp->newdir('test-releases-XXXXXX', TMPDIR => 1);
    for my $number (1, 2) {
        my $app = qq{sub { [200, ["Content-Type" => "text/plain"], ["app $number env \$ENV{PLACK_ENV}"]] }};
        Deployment::replace("$place/releases/$number/app.psgi", $app);
        my $toml = Deployment::toml(env => "release$number", workers => 1, probation => 0);
        Deployment::replace("$place/releases/$number/thrall.toml", $toml);
    }
    point_to($place, 1);
    my $daemon = Daemon->new(cwd => "$place/current", env => {PWD => "$place/current"});
    is $daemon->get('/')->{content}, 'app 1 env release1', 'release 1 runs';
    point_to($place, 2);
    $daemon->signal('HUP');
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'reloaded' });
    is $daemon->get('/')->{content}, 'app 2 env release2', 'after HUP it is release 2';
    is $daemon->stop,                0,                    'it ends well';
};

done_testing;
