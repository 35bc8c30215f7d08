# An app whose workers do not stay alive: the daemon does, tries again at growing intervals, and says it once.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Folder;
use Site;
use Test::More;
use Time::HiRes qw(time);

# Each worker notes when it loads.
my $APP = <<'END';
use strict;
use warnings;
use File::Basename qw(dirname);
use Time::HiRes ();
open my $times, '>>', dirname(__FILE__) . '/times' or die "times: $!\n";
syswrite $times, Time::HiRes::time() . "\n";
close $times;
-e 'needed' or die "cannot do without the file needed: No such file or directory\n";
sub {
    my ($env) = @_;
    if ($env->{PATH_INFO} eq '/die') {
        print {*STDERR} "a last <word>\n";
        require POSIX;
        POSIX::_exit(7);
    }
    return [200, ['Content-Type' => 'text/plain'], [$$]];
};
END

sub site {
    my (@args) = @_;
    my $site = Site->new(later => 1, files => {'app.psgi' => $APP, needed => q{}});
    $site->start([qw(--workers=1 --log-level=debug), @args, $site->path('app.psgi')]);
    return $site;
}

# failures waits for so many ends of workers, and returns their events.
sub failures {
    my ($site, $count) = @_;
    my $left = $count;
    $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'worker exited' && !--$left });
    return grep { defined } ($site->logged('worker exited'))[0 .. $count - 1];
}

# delays are the times from one moment, before the first worker ended, and from the loading of each worker, in
# which it ended, to the loading of the next: at least as long as nobody spawned one.
sub delays {
    my ($site, $count, $moment) = @_;
    my (undef, @times) = split /\n/, Folder::content($site->path('times'));
    unshift @times, $moment;
    return map { $times[$_] - $times[$_ - 1] } 1 .. $count;
}

subtest 'a worker that cannot load any more' => sub {
    my $site = site();
    my $pid  = $site->body('/');
    $site->remove('needed');
    my $killed = time;
    kill KILL => $pid;
    my @failures = failures($site, 6);
    is_deeply [map { $_->{cause} } @failures],    ['crashed', ('failed to boot') x 5], 'is tried again and again';
    is_deeply [map { $_->{failures} } @failures], [1 .. 6],                            'failures in a row are counted';
    my @delays = delays($site, 5, $killed);
    my $least  = 0.05;

    for my $delay (@delays) {
        cmp_ok $delay, '>=', $least, sprintf 'not before %.2f s', $least;
        $least *= 2;
    }
    my @told = grep { $_->{level} eq 'error' } $site->daemon->log_events;
    is_deeply [map { $_->{msg} } @told], ['worker exited', 'workers keep failing', 'worker exited'],
        'the log tells it until it is clear that it goes on'
        or diag explain \@told;
    like $told[1]{error}, qr/cannot do without the file needed/, 'in the words of Perl';
    ok $told[1]{next_attempt_in}, 'and when it is tried again';

    my $status = $site->status;
    ok !$status->{healthy}, 'the status: not healthy';
    like $status->{problem}, qr/app[.]psgi.*cannot do without the file needed/s, 'and why';
    my ($exit, $text) = $site->command('status');
    is $exit, 0, 'the daemon lives';
    like $text, qr/not healthy.*\nproblem      .*cannot do without the file needed/, 'for people, too';
    $site->save('needed', q{});
    $site->wait_for_status(sub { $_[0]{healthy} });
    is $site->ask('/')->response->{status}, 200, 'when the cause is gone it recovers';
    is $site->daemon->stop,                 0,   'and ends well';
};

subtest 'err_respawn_interval is the least delay' => sub {
    my $site = site('--err-respawn-interval=0.5');
    my $pid  = $site->body('/');
    $site->remove('needed');
    my $killed = time;
    kill KILL => $pid;
    failures($site, 3);
    cmp_ok $_, '>=', 0.5, 'also after the first failures' for delays($site, 2, $killed);
};

subtest 'workers that die while they serve' => sub {
    my $site  = site();
    my $asked = time;
    is $site->ask('/die')->response->{status}, 502, 'each request costs a worker' for 1 .. 4;
    my @failures = failures($site, 4);
    is_deeply [map { $_->{failures} } @failures], [1 .. 4], 'they are counted';
    $site->wait_until(sub { 5 <= (() = Folder::content($site->path('times')) =~ /\n/g) }, 'the fifth worker');
    cmp_ok $_, '>=', 0.05, 'and the next worker comes after a delay' for delays($site, 4, $asked);
    my ($told) = $site->logged('workers keep failing');
    like $told->{error}, qr/exited with status 7.*a last <word>/s, 'the log has their last lines';
    is $site->logged('workers keep failing'), 1, 'once';
    is_deeply [map { $_->{level} } @failures], [('warn') x 4], 'and each request that was lost';
    my $status = $site->status;
    like $status->{problem},              qr/exited with status 7.*a last <word>/s,  'the status has them, too';
    like + ($site->command('status'))[1], qr/^problem\n    .*\n    a last <word>$/m, 'for people as well';
    is $site->ask('/')->response->{status}, 200, 'other requests are served as soon as there is a worker';
};

subtest 'while all is as it should be but for one app, the daemon does not start' => sub {
    my $site = Site->new(later => 1, files => {'app.psgi' => $APP});
    my ($exit, $text) = Daemon->run(qw(--host 127.0.0.1 --port 0), $site->path('app.psgi'));
    is $exit, 1, 'exit status';
    like $text, qr/^thralld: .*cannot do without the file needed/m, 'and what Perl says';
    $site->save('app.psgi', "use strict;\nsub { \$oops }\n");
    ($exit, $text) = Daemon->run(qw(--host 127.0.0.1 --port 0 --preload), $site->path('app.psgi'));
    is $exit, 1, 'the same with preload';
    my $path = $site->path('app.psgi');
    like $text, qr/^thralld: Global symbol "\$oops" .* at \Q$path\E line 2/m, 'with file and line';
};

done_testing;
