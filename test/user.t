# Whom the daemon becomes, and what its workers may do then. As root everything is tried; what somebody
# else may ask for is little.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Folder;
use Test::More;

# What is in this folder can be read by all.
my $folder = Folder->new('user');
umask 022;
chmod oct 755, "$folder" or die "chmod: $!\n";

sub make_folder {
    my ($name, $mode) = @_;
    mkdir "$folder/$name" or die "mkdir $name: $!\n";
    chmod $mode, "$folder/$name" or die "chmod: $!\n";
    return "$folder/$name";
}

my $app = $folder->write('app.psgi', <<'END');
use strict;
use warnings;

my %page = (
    '/who'    => sub { join q{ }, (getpwuid $>)[0], "$<", "$>", "$(" },
    '/env'    => sub { join q{ }, map { $_ // 'none' } @ENV{qw(HOME USER LOGNAME)} },
    '/file'   => sub { open my $file, '<', $0 or die $!; $file },
    '/size'   => sub { -s $_[0]{'psgi.input'} },
    '/create' => sub {
        open my $file, '>', $_[0]{QUERY_STRING} or return "create: $!";
        sprintf '%o', (stat $file)[2] & 07777;
    },
);
sub {
    my ($env) = @_;
    my $body = $page{$env->{PATH_INFO}}->($env);
    [200, ['Content-Type' => 'text/plain'], ref $body ? $body : [$body]];
};
END

sub content {
    my ($daemon, $path) = @_;
    return $daemon->get($path)->{content};
}

sub refused {
    my (@args) = @_;
    my ($status, $output) = Daemon->run('--host=127.0.0.1', '--port=0', @args);
    is $status, 1, 'exit status 1';
    return $output;
}

# rights_of lists what the threads of a process have of a field of their status: once if all agree.
sub rights_of {
    my ($pid, $field) = @_;
    my %seen;
    for my $status (glob "/proc/$pid/task/*/status") {
        open my $file, '<', $status or next;
        while (my $line = <$file>) {
            $seen{join q{ }, split q{ }, $1}++ if $line =~ /\A$field:(.*)/;
        }
        close $file;
    }
    return [sort keys %seen];
}

sub as_root {
    my ($uid, $gid) = (getpwnam 'nobody')[2, 3];

    subtest 'root that says nothing becomes nobody' => sub {
        local $) = '0 0 4 27';    # the groups of a root that has some
        my $daemon = Daemon->new(args => ['--user=', '--workers=1', $app]);
        my $warned = $daemon->wait_for_log(sub { $_[0]{msg} eq 'started as root, and became nobody' });
        is $warned->{level}, 'warn', 'the log warns of it';
        like $warned->{hint}, qr/set user = "[.]{3}" to choose; .* user = "root" and allow_root = true/,
            'and says how to choose';
        is content($daemon, '/who'), "nobody $uid $uid $gid $gid", 'workers are nobody, with its groups alone';
        is_deeply rights_of($daemon->pid, 'Uid'),    ["$uid $uid $uid $uid"], 'so is each thread of the daemon';
        is_deeply rights_of($daemon->pid, 'Gid'),    ["$gid $gid $gid $gid"], 'with its group';
        is_deeply rights_of($daemon->pid, 'Groups'), [$gid],                  'and no other';
        is_deeply rights_of($daemon->pid, 'Cap(?:Prm|Eff|Amb)'), ['0' x 16],  'without any capability';
        is content($daemon, '/env'), (getpwnam 'nobody')[7] . ' nobody nobody', 'the environment knows';

        like content($daemon, '/file'), qr/\Ause strict;.*\};\n\z/s, 'a file that a worker has opened is sent';
        my $upload = Connection->new($daemon);
        $upload->send("POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" . 'x' x 200_000);
        is $upload->response('POST')->{body}, 200_000, 'a large body finds a place';
        is $daemon->stop,                     0,       'it ends well';
    };

    subtest 'a folder that root has started it in may be closed to the user' => sub {
        my $closed = make_folder('roots', oct 700);
        my $daemon = Daemon->new(args => ['--user=nobody', '--workers=1', $app], cwd => $closed);
        like content($daemon, '/who'), qr/\Anobody /, 'it serves all the same';
    };

    subtest 'root has to ask twice' => sub {
        my $text = qr/^thralld: --user: the app would run with all of root's rights; .* set allow_root = true, too$/m;
        like refused('--user=root', $app), $text, 'not once';
        like refused('--user=0',    $app), $text, 'nor by number';
        like refused('--user=root', '--no-allow-root', $app), $text, 'nor with no';
        my ($status, $output) = Daemon->run('check', '--user=root', $app);
        is $status, 1, 'check says so, too';
        my $daemon = Daemon->new(args => ['--user=root', '--allow-root', '--workers=1', $app]);
        like content($daemon, '/who'), qr/\Aroot 0 0 0 /, 'twice is enough';
        $daemon->stop;
        $daemon = Daemon->new(args => ['--user=', '--allow-root', '--workers=1', $app]);
        like content($daemon, '/who'), qr/\Anobody /, 'to allow it is not to ask for it';
    };

    subtest 'groups are those that were named, the first first' => sub {
        my ($games, $adm) = map { scalar getgrnam $_ } qw(games adm);
        my $daemon = Daemon->new(args => ['--user=nobody', '--group=games, adm', '--workers=1', $app]);
        is content($daemon, '/who'), "nobody $uid $uid $games " . join(q{ }, sort { $a <=> $b } $games, $adm),
            'in workers';
        my $user = Daemon->new(args => ["--user=$uid", "--group=$adm", '--workers=1', $app]);
        is content($user, '/who'), "nobody $uid $uid $adm $adm", 'by number, too';
    };

    subtest 'a reload to an app that the user cannot read is refused, and says why' => sub {
        my $first = make_folder('first', oct 755);
        my $next  = make_folder('next',  oct 700);
        $folder->write("$_/app.psgi", "sub { [200, [], ['$_']] }") for qw(first next);
        symlink 'first', "$folder/current" or die "symlink: $!\n";
        my $daemon = Daemon->new(args => ['--user=games', '--workers=1', "$folder/current/app.psgi"]);
        symlink 'next', "$folder/new" or die "symlink: $!\n";
        rename "$folder/new", "$folder/current" or die "rename: $!\n";
        $daemon->signal('HUP');
        my $event = $daemon->wait_for_log(qr/reload failed/);
        like $event->{error},
            qr{current/app[.]psgi cannot be read by user games: the folder \S+/current is closed to it},
            'with the folder that is in the way';
        is content($daemon, '/'), 'first', 'and the app of before runs on';
    };

    subtest 'the control socket is there also when its folder is the user\'s' => sub {
        my $run = make_folder('run', oct 755);
        chown scalar getpwnam('games'), -1, $run or die "chown: $!\n";
        my @args     = ('--user=games', "--pid=$run/app.pid", $app);
        my $daemon   = Daemon->new(args => ['--workers=1', @args]);
        my ($status) = Daemon->run('status', @args);
        is $status,                                       0,       'thralld status finds it';
        is + (getpwuid +(stat "$run/app.control")[4])[0], 'games', 'it is the socket of that user';
        $daemon->stop;
        ok !-e "$run/app.control", 'who removes it in the end';
    };

    subtest 'an app that the user cannot read is told of' => sub {
        my $closed = make_folder('closed', oct 700);
        make_folder('closed/inside', oct 755);
        my $inside = $folder->write('closed/inside/app.psgi', 'sub { [200, [], []] }');
        my $hint   = qr/^thralld: let this user do it, set user = "[.]{3}" .* user = "root" and allow_root = true$/m;
        like refused('--user=', $inside),
            qr/^thralld: \Q$inside\E cannot be read by user nobody: the folder \Q$closed\E is closed to it\n.*$hint/ms,
            'with the folder that is in the way';
        chmod oct 600, $inside;
        chmod oct 755, $closed;
        like refused('--user=games', $inside), qr/cannot be read by user games: its mode does not allow it/,
            'or its mode';
        my $lib = make_folder('private', oct 700);
        like refused('--user=', "-I$lib", $app), qr/\Q$lib\E cannot be read by user nobody/, 'a folder of modules, too';
        local $ENV{PERL5LIB} = $lib;
        like refused('--user=', $app), qr/\Q$lib\E cannot be read by user nobody/, 'wherever it is named';
        my $perl = "$lib/perl";
        symlink $^X, $perl or die "symlink: $!\n";
        like refused('--user=', "--perl=$perl", $app),
            qr/^thralld: \Q$perl\E cannot be run by user nobody: the folder \Q$lib\E is closed/m,
            'and a perl that it cannot run';
        my ($status, $output) = Daemon->run('check', '--user=', $inside);
        like $output, qr/cannot be read by user nobody/, 'check says so, too';
    };

    subtest 'check becomes the user, too' => sub {
        my $who = $folder->write('who.psgi', 'die "I am ", scalar getpwuid $>');
        my (undef, $output) = Daemon->run('check', '--user=', $who);
        like $output, qr/I am nobody/, 'and boots the worker as that';
    };

    subtest 'files of root\'s that nobody cannot remove are no obstacle next time' => sub {
        my @args   = ('--user=', "--pid=$folder/pid", '--workers=1', $app);
        my $daemon = Daemon->new(unix => "$folder/socket", args => \@args);
        is $daemon->stop, 0, 'it ends';
        ok -S "$folder/socket", 'the socket is there';
        is -s "$folder/pid", 0, 'the pid file is empty';
        $daemon = Daemon->new(unix => "$folder/socket", args => \@args);
        like $daemon->raw("GET /who HTTP/1.0\r\n\r\n"), qr/nobody/, 'a new daemon takes their place';
        $daemon->stop;
    };

    subtest 'log files are the user\'s' => sub {
        my $logs   = make_folder('logs', oct 755);
        my @args   = ("--error-log=$logs/error.log", "--access-log=$logs/access.log");
        my $daemon = Daemon->new(unix => "$folder/socket", silent => 1, args => ['--user=', @args, $app]);
        Daemon->wait_for_line("$logs/error.log", qr/"msg":"ready"/);
        is_deeply [map { sprintf '%d %o', (stat $_)[4, 2] } glob "$logs/*"], [("$uid 100640") x 2],
            'and closed to others';
        $daemon->stop;
    };

    subtest 'root writes no log where others could lead it' => sub {
        my $precious = $folder->write('precious', "root's own\n");
        my $logs     = make_folder('theirs', oct 755);
        symlink $precious, "$logs/error.log" or die "symlink: $!\n";
        chown $uid, -1, $logs or die "chown: $!\n";
        like refused('--user=', "--error-log=$logs/error.log", $app),
            qr{^thralld: open log file \Q$logs\E/error[.]log: user nobody may not write it, and root opens no file}m,
            'but says so';
        is -s $precious, 11, 'what the link leads to is as it was';
        is((stat $precious)[4], 0, 'and root\'s');
    };
    return;
}

sub as_somebody {
    subtest 'only root can become another user' => sub {
        like refused('--user=root', '--allow-root', $app), qr/only root can become another user, and this is /,
            'not root';
        like refused('--user=4294967', '--group=0', $app), qr/only root can become another user, and this is /,
            'nor another';
        like refused('--group=root', $app), qr/only root can take groups/, 'nor a group';
        my $daemon = Daemon->new(args => ["--user=$>", '--workers=1', $app]);
        like content($daemon, '/who'), qr/ $> $> /, 'but itself';
    };
    return;
}

subtest 'a user that is not there' => sub {
    like refused('--user=no.such.user', $app), qr/^thralld: --user: no user named no[.]such[.]user on this machine;/m,
        'is an error';
};

subtest 'files that workers create have the modes of the umask' => sub {
    my $open = make_folder('open', oct 777);
    for my $case (['0', '666'], ['027', '640'], ['0077', '600']) {
        my ($umask, $mode) = @{$case};
        my $daemon = Daemon->new(args => ["--umask=$umask", '--user=', '--workers=1', $app]);
        is content($daemon, "/create?$open/$umask"), $mode, "mode $mode with umask $umask";
    }
    my $before = umask oct 22;
    my $daemon = Daemon->new(args => ['--user=', '--workers=1', $app]);
    umask $before;
    is content($daemon, "/create?$open/none"), '644', 'without one it stays as it was';
};

if   ($> == 0) { as_root() }
else           { as_somebody() }

done_testing;
