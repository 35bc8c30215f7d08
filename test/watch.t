# watch = true: what is saved in thrall.toml is applied, and only what it needs.
use 5.014;
use warnings;

use lib 'test/lib';
use Site;
use Test::More;

my $APP = <<'END';
sub { [200, ['Content-Type' => 'text/plain'], ["$$ $_[0]{'thralld.generation'} $ENV{PLACK_ENV}"]] }
END
my $BASE = qq{watch = true\nprobation = 0\n};

sub site {
    my $site = Site->new(files => {'thrall.toml' => "$BASE$_[0]", 'app.psgi' => $APP});
    $site->wait_until(sub { $site->pids == 2 }, 'two workers');
    return $site;
}

# reloaded does something, and returns how the reload ended that came of it.
sub reloaded {
    my ($site, $do) = @_;
    return $site->wait_for_next(qr/\A(?:reloaded|reload failed|reload rolled back)/, $do);
}

sub server { my ($site) = @_; return $site->ask('/')->response->{fields}{server}[0] }

subtest 'what needs no new workers changes none' => sub {
    my $site = site("workers = 2\n");
    my @pids = $site->pids;
    reloaded(
        $site,
        sub {
            $site->save('thrall.toml', qq{${BASE}workers = 2\nserver_software = "one"\ntimeout = 7\nmax_queue = 5\n});
        }
    );
    is server($site), 'one', 'the new settings hold';
    is_deeply [$site->pids], \@pids, 'for the workers that are there';
    is $site->logged('rolling'), 0, 'there was no roll';
    my $reload = $site->status->{last_reload};
    is_deeply [@{$reload}{qw(outcome generation error)}], ['done', 0, q{}], 'the status says so';

    reloaded($site, sub { $site->replace('thrall.toml', qq{${BASE}workers = 3\nserver_software = "two"\n}) });
    is server($site), 'two', 'a new file in the place of the old one does as well';
    $site->wait_until(sub { $site->pids == 3 }, 'three workers');
    my %now = map { $_ => 1 } $site->pids;
    is_deeply [grep { !$now{$_} } @pids], [], 'one more worker leaves the others alone';

    reloaded($site, sub { $site->save('thrall.toml', "${BASE}workers = 1\n") });
    $site->wait_until(sub { $site->pids == 1 }, 'one worker');
    ok $now{($site->pids)[0]}, 'and so do fewer';
};

subtest 'what is for Perl comes with new workers' => sub {
    my $site = site("workers = 2\n");
    my @pids = $site->pids;
    like $site->body('/'), qr/\A\d+ 1 deployment\z/, 'before';
    reloaded($site, sub { $site->save('thrall.toml', qq{${BASE}workers = 2\nenv = "staging"\n}) });
    like $site->body('/'), qr/\A\d+ 2 staging\z/, 'env';
    my %old = map { $_ => 1 } @pids;
    is_deeply [grep { $old{$_} } $site->pids], [], 'all workers are new';
    $site->save('inc/Local.pm', "package Local; sub text { 'from inc' } 1;\n");
    reloaded(
        $site,
        sub {
            $site->save('app.psgi',    q{sub { require Local; [200, [], [Local::text()]] }});
            $site->save('thrall.toml', qq{${BASE}workers = 2\nenv = "staging"\ninclude = ["inc"]\n});
        }
    );
    is $site->body('/'), 'from inc', 'include, with the code of now';
};

subtest 'what changes nothing does nothing' => sub {
    my $site = site("workers = 2\n");
    my @pids = $site->pids;
    utime undef, undef, $site->path('thrall.toml') or die "touch: $!\n";
    $site->replace('thrall.toml', "${BASE}workers = 2\n");
    $site->save('thrall.toml', "${BASE}workers = 2\n");
    my $done = reloaded($site, sub { $site->save('thrall.toml', "${BASE}workers = 2\nmax_queue = 3\n") });
    is $done->{msg},            'reloaded', 'the first change is applied';
    is $site->logged('reload'), 1,          'and was the only reload';
    is_deeply [$site->pids], \@pids, 'of no worker';
};

subtest 'a file with mistakes changes nothing, and all of them are told' => sub {
    my $site  = site("workers = 2\n");
    my @pids  = $site->pids;
    my $path  = $site->path('thrall.toml');
    my $event = reloaded(
        $site,
        sub {
            $site->save('thrall.toml',
                qq{${BASE}workers = "many"\nserver_software = "broken"\ntimout = 3\nport = 99999\n});
        }
    );
    is $event->{level}, 'error',                                  'somebody must act';
    is $event->{msg},   'reload failed; what ran before runs on', 'and nothing is lost';
    my @mistakes = split /\n/, $event->{error};
    is @mistakes, 3, 'every mistake' or diag $event->{error};
    like $mistakes[0],    qr/\A\Q$path\E:3: workers: got "many"/, 'with file, line and key';
    like $event->{error}, qr/:5: timout: .*timeout/,              'and with what may have been meant';
    is server($site), 'thralld', 'what is right in the file is not applied alone';
    is_deeply [$site->pids], \@pids, 'workers stay';
    my $reload = $site->status->{last_reload};
    is_deeply [@{$reload}{qw(outcome error)}], ['failed', $event->{error}], 'the status tells it, too';
    $site->remove('thrall.toml');
    reloaded($site, sub { $site->save('thrall.toml', qq{${BASE}workers = 2\nserver_software = "mended"\n}) });
    is server($site), 'mended', 'the next good file is applied';
};

subtest 'what needs a restart is told' => sub {
    my $site  = site("workers = 2\n");
    my $path  = $site->path('thrall.toml');
    my $event = reloaded($site,
        sub { $site->save('thrall.toml', qq{workers = 2\nserver_software = "new"\npid = "new.pid"\n}) });
    is $event->{level}, 'error', 'as an error';
    like $event->{error}, qr/thrall[.]toml:3: pid: to change it to .*new[.]pid" needs a restart/,
        'that names key and line';
    like $event->{error}, qr/watch: to change it to false needs a restart/, 'each of them';
    is server($site), 'thralld', 'what needs none is not applied alone';
};

subtest 'Kubernetes: a link to another folder takes the place of ..data' => sub {
    my $site = Site->new(later => 1, files => {'app.psgi' => $APP, '..one/thrall.toml' => $BASE});
    symlink '..one',              $site->path('..data') or die "symlink: $!\n";
    symlink '..data/thrall.toml', $site->path('thrall.toml') or die "symlink: $!\n";
    $site->start(['-c', $site->path('thrall.toml'), $site->path('app.psgi')]);
    for my $name (qw(two three)) {
        $site->save("..$name/thrall.toml", qq{${BASE}server_software = "$name"\n});
        symlink "..$name", $site->path('..data_tmp') or die "symlink: $!\n";
        reloaded($site, sub { rename $site->path('..data_tmp'), $site->path('..data') or die "rename: $!\n" });
        is server($site), $name, "a new map: $name";
    }
};

subtest 'with -r, the app is watched that the file names now' => sub {
    my $site = Site->new(
        files => {
            'thrall.toml'  => "${BASE}app = \"one/app.psgi\"\nreload = true\n",
            'one/app.psgi' => $APP,
            'two/app.psgi' => $APP
        },
        args => ['--workers=1'],
    );
    reloaded($site, sub { $site->save('thrall.toml', "${BASE}app = \"two/app.psgi\"\nreload = true\n") });
    $site->save('two/app.psgi', q{sub { [200, [], ['edited']] }});
    $site->wait_for_body('/', 'edited');
    pass 'a save of it is seen';
};

done_testing;
