# Apps that print, fork, catch signals and change directory: a worker is a process, so they may.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Cwd qw(abs_path);
use Daemon;
use File::Temp ();
use Test::More;

my $folder = File::Temp->newdir;
mkdir "$folder/lib" or die "mkdir: $!\n";
open my $module, '>', "$folder/lib/Lazy.pm" or die "create a module: $!\n";
print {$module} "package Lazy; sub word { return 'found' } 1;\n" or die "write a module: $!\n";
close $module or die "write a module: $!\n";

my $app    = abs_path('test/apps/unruly.psgi');
my $daemon = Daemon->new(cwd => "$folder", args => ['--workers=2', '-Ilib', $app]);

sub get {
    my ($path) = @_;
    return $daemon->get($path)->{content};
}

# always: several requests, so that what one leaves behind meets the next.
sub always {
    my ($path, $wanted, $name) = @_;
    my %seen;
    $seen{get($path)}++ for 1 .. 10;
    is_deeply \%seen, {$wanted => 10}, $name;
    return;
}

subtest 'what an app prints while it loads and runs is in the log, and nowhere else' => sub {
    for my $line ('printed at compile time', 'printed while loading', 'complained while loading') {
        my $event = $daemon->wait_for_log(sub { $_[0]{msg} eq $line });
        is $event->{generation}, 1, $line;
        like $event->{worker}, qr/\A[01]\z/, 'by a worker';
    }
    always('/print', 'clean', 'the answer is clean');
    $daemon->wait_for_log(qr/printed while running/);
    ok $daemon->wait_for_log(qr/printed by a program/), 'also what a program prints';
};

subtest 'an app may change directory' => sub {
    always('/cwd', '/', 'where it has gone while loading');
    is get('/chdir'), '/usr',  'or while running';
    is get('/lazy'),  'found', 'what it loads later is found by a relative -I';
    my $connection = Connection->new($daemon);
    $connection->request(POST => '/big', body => 'x' x 200_000);
    is $connection->response->{body}, 200_000, 'and so is a body that is in a file';
};

subtest 'an app may fork, whatever becomes of the child' => sub {
    always('/fork-and-exit',    'the child said 3',  'one that exits');
    always('/fork-and-return',  'the parent',        'one that comes back with a response of its own');
    always('/fork-and-die',     'the parent',        'one that dies');
    always('/fork-and-stream',  'the parent',        'one that goes on with the parent\'s stream');
    always('/children-ignored', 'the child is gone', 'one that nobody waits for');
    my $pid = get('/fork-and-leave');
    like $pid, qr/\A\d+\z/, 'one that lives on';
    ok $daemon->wait_for_log(qr/a child lived on/), 'may still print';
    always('/program', "from a program\n2", 'other programs can be run, too');
};

subtest 'an app may set alarms and catch signals' => sub {
    always('/alarm', "woken by alarm\n", 'an alarm');
    like get('/signals'), qr/\ATERM=\d+ HUP=\d+ USR1=\d+\z/, 'signals that it catches do not end it';
    always('/broken-pipe', 'an error: Broken pipe', 'nor does a broken pipe');
    is get('/alarm-later'), 'alarm is set', 'an alarm that goes off when the request is over';
    ok $daemon->wait_for_log(qr/died between two requests: alarm between requests/), 'is logged';
    always('/hello', 'hello', 'and harms nobody');
};

subtest 'no worker was lost by any of that, and it ends well' => sub {
    unlike $daemon->log_text, qr/"worker exited"/, 'none has exited';
    is $daemon->stop, 0, 'the daemon stops';
    is_deeply [map { $_->{cause} } grep { $_->{msg} eq 'worker exited' } $daemon->log_events], [qw(retired retired)],
        'and its workers, which catch TERM, are retired all the same';
};

done_testing;
