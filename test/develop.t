# Development: a saved file of the app swaps it at once (-r, -R), and a broken one is shown in the browser.
use 5.014;
use warnings;

use lib 'test/lib';
use POSIX qw(mkfifo);
use Site;
use Test::More;
use Time::HiRes qw(time);

# A worker loads the app when it is spawned: of several, one might be so late that it finds the next edit.
my @ONE = ('--workers=1');

my @REPLY = q{[200, ['Content-Type' => 'text/plain'],};

sub app {
    my ($text) = @_;
    return "use lib 'lib';\nuse Foo;\nsub { @REPLY ['$text ' . Foo::text()]] }\n";
}

sub module {
    my ($text) = @_;
    return "package Foo;\nuse strict;\nsub text { '$text' }\n1;\n";
}

sub site {
    my (@args) = @_;
    my $site = Site->new(later => 1, files => {'app.psgi' => app('app1'), 'lib/Foo.pm' => module('foo1')});
    $site->start([@ONE, @args, $site->path('app.psgi')]);
    return $site;
}

# is_at_once does something, and wants the answer to be another one soon, and from then on.
sub is_at_once {
    my ($site, $name, $do, $wanted) = @_;
    my $before = $site->body('/');
    my $began  = time;
    $do->();
    my @old  = $site->wait_for_body('/', $wanted);
    my $took = time - $began;
    is_deeply [grep { $_ ne $before } @old], [], "$name: before the new answer comes the old one, and nothing else"
        or diag "the answers: @old; the log:\n" . $site->daemon->log_text;
    my %seen;
    $seen{$site->body('/')}++ for 1 .. 10;
    is_deeply [keys %seen], [$wanted], 'then the new one alone';
    return $took;
}

subtest 'whatever is saved, the next answer is new' => sub {
    my $site = site('-r');
    is_at_once($site, 'the app',        sub { $site->save('app.psgi',   app('app2')) },    'app2 foo1');
    is_at_once($site, 'a module of it', sub { $site->save('lib/Foo.pm', module('foo2')) }, 'app2 foo2');
    is_at_once(
        $site,
        'the app, by a new file in its place',
        sub { $site->replace('app.psgi', app('app3')) },
        'app3 foo2'
    );
    is_at_once($site, 'a module, the same way', sub { $site->replace('lib/Foo.pm', module('foo3')) }, 'app3 foo3');
    $site->save('lib/Bar/Baz.pm', "package Bar::Baz;\nsub text { 'baz' }\n1;\n");
    is_at_once(
        $site,
        'a module in a new folder',
        sub { $site->save('app.psgi', "use lib 'lib';\nuse Bar::Baz;\nsub { @REPLY [Bar::Baz::text()]] }\n") }, 'baz'
    );
    is_at_once(
        $site,
        'what is in it',
        sub { $site->save('lib/Bar/Baz.pm', "package Bar::Baz;\nsub text { 'new' }\n1;\n") }, 'new'
    );
};

subtest 'ten edits, and how long each took' => sub {
    my $site = site('-r');
    my @took = map {
        my $number = $_;
        is_at_once($site, "edit $number", sub { $site->save('app.psgi', app("edit$number")) }, "edit$number foo1");
    } 1 .. 10;
    note sprintf 'from the save to its first answer: %s ms', join q{, }, map { sprintf '%.0f', 1000 * $_ } @took;
    is @took, 10, 'each came by itself';
};

subtest '-R names further folders' => sub {
    my $read = 'open my $file, "<", "other/text" or die; our $text = readline $file; chomp $text;';
    my $site = Site->new(
        later => 1,
        files => {'app.psgi' => "$read sub { @REPLY [\$text]] }", 'other/text' => "one\n", 'templates/x' => q{}}
    );
    $site->start([@ONE, '-R', 'other,templates', $site->path('app.psgi')]);
    is_at_once($site, 'the first', sub { $site->save('other/text', "two\n") }, 'two');
    is_at_once($site, 'the second',
        sub { $site->save('other/text', "three\n"); $site->save('templates/x', 'changed') }, 'three');
    is_at_once($site, 'and the app', sub { $site->save('app.psgi', "$read sub { @REPLY [uc \$text]] }") }, 'THREE');
};

subtest 'a broken edit is shown in the browser, until the next good one' => sub {
    my $site = site(qw(-r -E development));
    my $path = $site->path('app.psgi');
    $site->save('app.psgi', "use strict;\nmy \$answer = '<b>&' . ;\nsub { }\n");
    my @before = $site->wait_for_body('/', qr/does not load/);
    is_deeply [grep { $_ ne 'app1 foo1' } @before], [], 'before it is known the old code answers';
    my $page = $site->ask('/any/path')->response;
    is $page->{status}, 500, 'the status';
    is_deeply $page->{fields}{'content-type'}, ['text/html; charset=utf-8'], 'for a browser';
    like $page->{body}, qr/syntax error at \Q$path\E line 2, near &#34;[.] ;/,
        'Perl says what and where, and nothing of it is taken for HTML';
    my $event = $site->daemon->wait_for_log(qr/"msg":"reload failed/);
    is $event->{level}, 'error', 'the log has it, too';
    like $event->{error}, qr/syntax error at \Q$path\E line 2/, 'in full';

    $site->save('app.psgi', "die '<script>alert(1)</script>';\n");
    $site->wait_for_body('/', qr/&lt;script&gt;alert/);
    pass 'the next broken one has its own page';
    is_at_once($site, 'a good one', sub { $site->save('app.psgi', app('good')) }, 'good foo1');
    $site->save('lib/Foo.pm', "package Foo;\n0;\n");
    $site->wait_for_body('/', qr/Foo[.]pm did not return a true value/);
    pass 'a module that is broken is no different';
    is_at_once($site, 'a good module', sub { $site->replace('lib/Foo.pm', module('better')) }, 'good better');
};

subtest 'where others look on, the old code answers while an edit is broken' => sub {
    my $site = site(qw(-r -E deployment));
    $site->wait_for_next(qr/\Areload failed/, sub { $site->save('app.psgi', "sub { no closing brace\n") });
    is $site->body('/'), 'app1 foo1', 'the code of before';
    is_at_once($site, 'a good one', sub { $site->save('app.psgi', app('good')) }, 'good foo1');
};

subtest 'twenty saves in a row end in the last one' => sub {
    my $site = site('-r');
    $site->save('app.psgi', $_ % 2 ? app("quick$_") : "broken $_ {\n") for 1 .. 19;
    $site->save('app.psgi', app('last'));

    # Whether one of those before was seen as well depends on how long the saves took.
    my @before = $site->wait_for_body('/', 'last foo1');
    is_deeply [grep { !/\A(?:app1 foo1|quick\d+ foo1)\z/ } @before], [], 'before the last one come good ones at most';
    my %seen;
    $seen{$site->body('/')}++ for 1 .. 10;
    is_deeply [keys %seen], ['last foo1'], 'then the last one alone';
    my $slow = $site->wait_for_status(sub { $_[0]{last_reload}{outcome} ne 'running' });
    is $slow->{last_reload}{outcome}, 'done', 'and that is all';
};

subtest 'an app that is removed and comes back' => sub {
    for my $env (qw(development deployment)) {
        my $site = site('-r', '-E', $env);
        $site->wait_for_next(qr/\Areload failed/, sub { $site->remove('app.psgi') });
        my $path = $site->path('app.psgi');
        my $body = $site->body('/');
        if   ($env eq 'development') { like $body, qr/\Q$path\E/, 'the page names it' }
        else                         { is $body,   'app1 foo1',   'in deployment the old code answers' }
        is_at_once($site, 'back again', sub { $site->save('app.psgi', app('back')) }, 'back foo1');
        is $site->daemon->stop, 0, 'the daemon lives and ends well';
    }
};

# An app that waits at the fifo "hold" while it loads, as long as there is one.
sub slow_app {
    my ($text) = @_;
    return "if (-e 'hold') { print {*STDERR} \"loading $text\\n\"; open my \$hold, '<', 'hold'; readline \$hold }\n"
        . app($text);
}

subtest 'what is saved while the app loads is not missed' => sub {
    my $site = site('-r');
    mkfifo $site->path('hold'), oct 600 or die "mkfifo: $!\n";
    $site->wait_for_next('loading slow', sub { $site->save('app.psgi', slow_app('slow')) });
    is_at_once(
        $site,
        'the next one, although the one before it never ends',
        sub { $site->save('app.psgi', app('next')) },
        'next foo1'
    );
};

subtest 'nor while it loads for the first time' => sub {
    my $site = Site->new(later => 1, files => {'app.psgi' => slow_app('first'), 'lib/Foo.pm' => module('foo1')});
    mkfifo $site->path('hold'), oct 600 or die "mkfifo: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {    # Daemon->new returns when the app is loaded, so somebody else saves it meanwhile
        open my $hold, '>', $site->path('hold') or POSIX::_exit(1);
        unlink $site->path('hold');
        $site->save('app.psgi', app('second'));
        POSIX::_exit(0);
    }
    $site->start(['-r', $site->path('app.psgi')]);
    waitpid $pid, 0;
    $site->wait_for_body('/', 'second foo1');
    pass 'it is served';
};

done_testing;
