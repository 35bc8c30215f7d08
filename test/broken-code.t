# A reload to code that does not work: what ran before runs on, and who asked is told why.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Deployment;
use Load;
use POSIX ();
use Test::More;

# good is an app that answers by its version and its process.
sub good {
    my ($version) = @_;
    return qq{sub { [200, ["Content-Type" => "text/plain"], ["$version \$\$"]] }\n};
}

sub pids {
    my ($status) = @_;
    return [sort map { $_->{pid} } @{$status->{worker_list}}];
}

my $DYING = <<'APP';
use POSIX ();
use Time::HiRes qw(alarm setitimer ITIMER_REAL);
sub expire { print {*STDERR} "the license has expired\n"; POSIX::_exit(9) }
APP

# The first worker of it is ready, and dies when there is the file "die". All others load until then, and die.
my $DYING_LATER = $DYING . <<'APP';
if (!rmdir 'one') {
    select undef, undef, undef, 0.01 until -e 'die';
    expire();
}
$SIG{ALRM} = sub { expire() if -e 'die' };
setitimer(ITIMER_REAL, 0.01, 0.01);
APP

my @broken = (
    {
        name   => 'code that does not compile',
        app    => "use strict;\n\nmy \$x = ;\nsub { [200, [], []] }\n",
        reason => qr/syntax error at \S*app[.]psgi line 3/,
    },
    {
        name   => 'code that does not compile, loaded once for all workers',
        app    => "use strict;\n\$y = 1;\nsub { [200, [], []] }\n",
        toml   => {preload => 'true'},
        reason => qr/Global symbol "\$y" requires explicit package name .* at \S*app[.]psgi line 2/,
    },
    {
        name   => 'code that dies while it is loaded',
        app    => "use strict;\n\n\ndie 'no database';\n",
        reason => qr/no database at \S*app[.]psgi line 4/,
    },
    {
        name   => 'an error in a module that it loads',
        app    => "use lib 'lib';\nuse Wrong;\n" . good(2),
        files  => {'lib/Wrong.pm' => "package Wrong;\nuse strict;\nmy \$x = ;\n1;\n"},
        reason => qr/syntax error at lib\/Wrong[.]pm line 3/,
    },
    {
        name   => 'a file that returns no app',
        app    => "use strict;\n1;\n",
        reason => qr/app[.]psgi/,
    },
    {
        name   => 'code that ends perl while it is loaded',
        app    => "exit 3;\n",
        reason => qr/app[.]psgi: its process exited with status 3 while it was loading/,
    },
    {
        name   => 'code that dies within probation',
        app    => $DYING . "\$SIG{ALRM} = \\&expire;\nalarm 1;\n" . good(2),
        reason => qr/app[.]psgi: its process exited with status 9 .* after it was born; .*the license has expired/s,
    },
    {
        name   => 'code that hangs while it is loaded',
        app    => "sleep 1 while 1;\n",
        toml   => {start_timeout => '700ms'},
        reason => qr/app[.]psgi did not finish loading within 700ms \(start_timeout\)/,
    },
    {
        name   => 'code that hangs while it is loaded once for all workers',
        app    => "sleep 1 while 1;\n",
        toml   => {start_timeout => '700ms', preload => 'true'},
        reason => qr/app[.]psgi did not finish loading within 700ms \(start_timeout\)/,
    },
);

# dies reloads to an app whose workers die when the roll has begun, and returns what thralld reload does.
sub dies {
    my ($deployment, $app) = @_;
    my $folder = $deployment->folder;
    $deployment->write('dying.psgi', $DYING_LATER . $app);
    unlink "$folder/die";
    mkdir "$folder/one" or die "mkdir: $!\n";
    my ($pid, $from);
    $deployment->next_event(
        sub {
            $pid = open($from, '-|') // die "fork: $!\n";
            return if $pid;
            my ($exit, $output) = $deployment->reload;
            syswrite STDOUT, "$exit\n$output";
            POSIX::_exit(0);
        },
        sub { $_[0]{msg} eq 'rolling' }
    );
    $deployment->write('die', q{});
    my ($exit, @output) = readline $from;
    close $from or die "thralld reload: $?\n";
    return 0 + $exit, join q{}, @output;
}

# Workers that come anew would load what is broken: none is to reach its limit.
my %toml = (workers => 2, keepalive_timeout => '60s', max_reqs_per_child => 0);

my $daemon = Deployment->new(app => good(1), toml => \%toml);
my $first  = $daemon->wait_for_status(sub { @{$_[0]{worker_list}} == 2 && $_[0]{stable} });
my $load   = Load->new($daemon, asking => 3);
for my $case (@broken) {
    subtest "$case->{name}: what ran before runs on" => sub {
        $daemon->configure(%toml, %{$case->{toml} // {}});
        $daemon->write($_,         $case->{files}{$_}) for keys %{$case->{files} // {}};
        $daemon->write('app.psgi', $case->{app});
        my ($exit, $output) = $daemon->reload;
        is $exit, 1, 'thralld reload says that it failed';
        like $output,   $case->{reason},  'and why';
        unlike $output, qr/generation 0/, 'of no generation that there is not';
        my $status = $daemon->status;
        is $status->{last_reload}{outcome}, 'failed', 'thralld status says so, too';
        like $status->{last_reload}{error}, $case->{reason}, 'with the reason';
        is_deeply pids($status), pids($first), 'the workers are those of before';
        is $status->{target}, $first->{target}, 'of the generation of before';
        ok $status->{healthy}, 'they are healthy';
        my ($failed) = grep { $_->{msg} =~ /\Areload failed/ } reverse $daemon->log_events;
        like $failed->{error}, $case->{reason}, 'and the log has the reason';
    };
}
my $seen = $load->stop;
is_deeply $seen->{failures},                          [], "meanwhile of $seen->{requests} requests none failed";
is_deeply [grep { !/\A1 / } keys %{$seen->{bodies}}], [], 'all were answered by the good code';

subtest 'the next reload to good code works' => sub {
    $daemon->configure(%toml, probation => 0);
    $daemon->write('app.psgi', good(2));
    my ($exit, $output) = $daemon->reload;
    is $exit, 0, 'thralld reload says so' or diag $output;
    like $output,                      qr/^reloaded$/m, 'in a word';
    like $daemon->get('/')->{content}, qr/\A2 /,        'the new code answers';
    my $status = $daemon->status;
    is_deeply [map { $_->{generation} } @{$status->{worker_list}}], [($status->{target}) x 2], 'of all workers';
    is $status->{last_reload}{outcome}, 'done', 'and thralld status shows it';
};

# Each of these versions has a file of its own, as a deployment should: in the place of a worker that is
# lost in a roll, another one can then be started of the code of before.
subtest 'code whose workers die after probation is rolled back' => sub {
    my %rolling = (%toml, probation => 0, spawn_interval => '300ms');
    $daemon->write('good.psgi', good(3));
    $daemon->configure(%rolling, app => 'good.psgi');
    is [$daemon->reload]->[0], 0, 'the roll takes its time';
    my $before = $daemon->status;
    my $with   = Load->new($daemon, asking => 2);

    $daemon->configure(%rolling, app => 'dying.psgi');
    my ($exit, $output) = dies($daemon, good(4));
    is $exit, 1, 'thralld reload says that it failed';
    like $output,
        qr/could not keep its workers alive and was rolled back to generation $before->{target}: .*the license has expired/s,
        'and why';
    my $status = $daemon->wait_for_status(sub {
        my @old = grep { $_->{generation} == $before->{target} } @{$_[0]{worker_list}};
        return @old == 2 && @{$_[0]{worker_list}} == 2;
    });
    is $status->{last_reload}{outcome}, 'rolled back',     'thralld status says so';
    is $status->{target},               $before->{target}, 'the old generation is the target again';
    my $answers = $with->stop;
    my @lost    = map { @{$_->{requests_lost} // []} } $daemon->log_events;
    is @{$answers->{failures}}, @lost, 'only what a dying worker was running got lost'
        or diag explain $answers->{failures};
    like $daemon->get('/')->{content}, qr/\A3 /, 'the old code answers';
    $daemon->write('app.psgi', good(5));
    $daemon->configure(%rolling);
    is [$daemon->reload]->[0], 0, 'and a good one takes its place';
    like $daemon->get('/')->{content}, qr/\A5 /, 'and answers';
};

is $daemon->stop, 0, 'it ends well';

subtest 'broken code on disk: a worker that reaches its limit runs on until another can take its place' => sub {
    my $limit   = 100;
    my %limited = (workers => 1, max_reqs_per_child => $limit, keepalive_timeout => '60s');
    my $other   = Deployment->new(app => good(1), toml => \%limited);
    my $client  = Connection->new($other);
    my $ask     = sub { $client->get('/'); return $client->response->{body} };
    my $first   = $ask->();
    $other->write('app.psgi', "die 'half copied';\n");

    # When a tenth is left another one is started.
    $ask->() for 1 .. $limit * 0.9;
    $other->wait_for_log(sub { ($_[0]{cause} // q{}) eq 'failed to boot' });
    my %answers = map { $ask->() => 1 } 1 .. 2 * $limit;
    is_deeply [keys %answers], [$first], 'it still answers';
    $other->write('app.psgi', good(2));
    my $booted = grep { $_->{msg} eq 'worker ready' } $other->log_events;
    $other->wait_for_log(sub { $_[0]{msg} eq 'worker ready' && --$booted < 0 });
    my $asked = 0;

    while ($asked++ < 10 * $limit) {
        last if $ask->() =~ /\A2 /;
    }
    cmp_ok $asked, '<', 10 * $limit, 'once the code is whole it is replaced' or diag $other->log_text;
    is $other->stop, 0, 'it ends well';
};

subtest 'rolled back is to what ran whole, not to a reload that was under way' => sub {
    my %first = (workers => 3, probation => 0, spawn_interval => '300ms', env => 'first', listen => ['127.0.0.1:0']);
    my $other = Deployment->new(app => good(1), toml => {%first, spawn_interval => 0}, configured => 1);
    $other->wait_for_status(sub { $_[0]{stable} && @{$_[0]{worker_list}} == 3 });
    $other->configure(%first);
    is $other->reload_by_hup->{msg}, 'reloaded', 'the roll takes its time';
    my $before = $other->status;

    # So slow that the second one is under way when the third has its first worker, which waits as well.
    my @slowly = (env => 'second', spawn_interval => '3s');
    $other->configure(%first, @slowly, listen => ['127.0.0.1:0', './second.sock']);
    $other->next_event(sub { $other->hup }, sub { $_[0]{msg} eq 'rolling' });
    $other->configure(%first, app => 'dying.psgi', listen => ['127.0.0.1:0', './third.sock']);
    my ($exit, $output) = dies($other, good(3));
    is $exit, 1, 'the third one fails';
    like $output, qr/rolled back to generation $before->{target}:/, 'the first one is restored';
    is_deeply $other->status->{listeners}, $before->{listeners}, 'with its listeners';

    # And so it is what a next reload starts from.
    $other->write('app.psgi', good(4));
    $other->configure(%first, env => 'second', listen => ['127.0.0.1:0']);
    is [$other->reload]->[0], 0, 'the next one works';
    is $other->stop,          0, 'it ends well';
};

done_testing;
