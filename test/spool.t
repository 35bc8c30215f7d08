# The folder for request bodies that are too large for memory.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use File::Temp ();
use Gate;
use Test::More;

my $app   = 'test/apps/fragile.psgi';
my $LARGE = 'x' x 200_000;

# start returns when a request has been served, so that the spool has been looked after.
sub start {
    my ($spool) = @_;
    my $daemon = Daemon->new(args => ['--workers=1', "--spool-dir=$spool", $app]);
    $daemon->get('/pid');
    return $daemon;
}

# upload sends a large body and waits until the app has it.
sub upload {
    my ($daemon)   = @_;
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->request(POST => '/wait', body => $LARGE, fields => [$gate->field]);
    $gate->wait_for_app;
    return ($connection, $gate);
}

subtest 'a body is there while its request is run, for nobody else to read' => sub {
    my $spool  = File::Temp->newdir;
    my $daemon = start($spool);
    my ($connection, $gate) = upload($daemon);
    my ($folder) = glob "$spool/*";
    my ($file)   = glob "$folder/*";
    is -s $file, length $LARGE, 'all of it';
    is sprintf('%o', (stat $folder)[2] & oct 777), '700', 'the folder is closed to others';
    is sprintf('%o', (stat $file)[2] & oct 777),   '600', 'and so is the file';
    $gate->open;
    is $connection->response->{status}, 200, 'the request ends';
    ok !-e $file, 'and its body goes';
    is $daemon->stop, 0, 'the daemon ends';
    is_deeply [glob "$spool/*"], [], 'and its folder goes';
};

subtest 'what a daemon that was killed has left, the next one removes' => sub {
    my $spool  = File::Temp->newdir;
    my $killed = start($spool);
    my ($connection, $gate) = upload($killed);    # kept: without them the request ends
    $killed->kill_it;
    my ($left) = glob "$spool/*/*";
    is -s $left, length $LARGE, 'a body is left behind';
    my $next = start($spool);
    ok !-e $left, 'it is gone when the next daemon is ready';
    my @folders = glob "$spool/*";
    is scalar @folders, 1, 'with its folder';
};

subtest 'the folder of a daemon that is running is not touched by another one' => sub {
    my $spool = File::Temp->newdir;
    my $first = start($spool);
    my ($connection, $gate) = upload($first);
    my $second = start($spool);
    $gate->open;
    is $connection->response->{status}, 200, 'it goes on';
    ($connection, $gate) = upload($first);
    is scalar(() = glob "$spool/*/*"), 1, 'and has its place for the next body';
    $gate->open;
    is $connection->response->{status}, 200, 'which is served';
};

subtest 'what else is there belongs to others, whatever its name' => sub {
    my $spool = File::Temp->newdir;
    my @files = map { "$spool/$_" } qw(thralld-app/app.psgi thralld-123/precious other/file);
    for my $file (@files) {
        mkdir $file =~ s{/[^/]*\z}{}r or die "mkdir for $file: $!\n";
        open my $handle, '>', $file or die "create $file: $!\n";
        print {$handle} 'precious' or die "write $file: $!\n";
        close $handle or die "write $file: $!\n";
    }
    my $daemon = start($spool);
    ok -e $_, s{\A\Q$spool/}{}r . ' is still there' for @files;
    is $daemon->stop, 0, 'the daemon ends';
    ok -e $_, 'and leaves it alone' for @files;
};

subtest 'a folder that was tidied away is made anew' => sub {
    my $spool    = File::Temp->newdir;
    my $daemon   = start($spool);
    my ($folder) = glob "$spool/*";
    rmdir $folder or die "rmdir $folder: $!\n";
    my ($connection, $gate) = upload($daemon);
    $gate->open;
    is $connection->response->{status}, 200, 'a large body is taken in all the same';
};

done_testing;
