# After many reloads the daemon is as small as after a few.
use 5.014;
use warnings;

use lib 'test/lib';
use Deployment;
use Folder;
use Test::More;
use Time::HiRes qw(time);

# How many reloads: TEST_RELOADS=1000 takes a minute or more.
my $FEW  = 10;
my $MANY = $ENV{TEST_RELOADS} || 200;

# Go's collector lets the heap grow before it looks at it: what is a leak grows with each reload.
my $ALLOWED_KB = 8192;

# What is counted exactly.
my @COUNTED = ('children', 'descriptors', 'descriptors of a template', 'descriptors of a worker', 'files');

sub start {
    return Deployment->new(
        app  => 'sub { [200, ["Content-Type" => "text/plain"], [$$]] }',
        toml => {workers => 2,  probation   => 0},
        env  => {GOGC    => 10, GOTRACEBACK => 'all', GOMAXPROCS => 2},
    );
}

# size is what the daemon holds.
sub size {
    my ($daemon)   = @_;
    my $status     = $daemon->wait_for_status(sub { @{$_[0]{generations}} == 1 && @{$_[0]{worker_list}} == 2 });
    my ($template) = map { $_->{template_pid} } @{$status->{generations}};
    my $told       = Folder::content('/proc/' . $daemon->pid . '/status');
    my ($rss)      = $told =~ /^VmRSS:\s+(\d+) kB/m;
    my ($threads)  = $told =~ /^Threads:\s+(\d+)/m;
    my @files      = glob $daemon->folder . '/*';
    my %size       = (
        'KB of memory'              => $rss,
        'threads'                   => $threads,
        'children'                  => scalar $daemon->children,
        'descriptors'               => descriptors($daemon->pid),
        'descriptors of a template' => descriptors($template),
        'descriptors of a worker'   => descriptors($status->{worker_list}[0]{pid}),
        'files'                     => scalar @files,
    );
    return \%size;
}

# at_rest is its size when it has closed what it needed for the answer to us, and its template what it needed
# for a worker: it is asked until it holds as few descriptors as it should, or for long enough.
sub at_rest {
    my ($daemon, $wanted) = @_;
    my $size = size($daemon);
    for (1 .. 20) {
        last if $wanted && !grep { $size->{$_} > $wanted->{$_} } @COUNTED;
        $daemon->read_log(0.05);
        my $again = size($daemon);
        $size = $again if !grep { $again->{$_} > $size->{$_} } @COUNTED;
    }
    return $size;
}

sub descriptors {
    my ($pid) = @_;
    my $count = () = glob "/proc/$pid/fd/*";
    return $count;
}

# reload_times returns how many reloads did not work.
sub reload_times {
    my ($daemon, $times) = @_;
    return scalar grep { $daemon->reload_by_hup->{msg} ne 'reloaded' } 1 .. $times;
}

# goroutines ends the daemon in the way that has Go tell of every goroutine, and counts them.
sub goroutines {
    my ($daemon) = @_;
    $daemon->signal('ABRT');
    $daemon->wait_for_exit_status;
    return scalar grep { /\Agoroutine \d+ / } $daemon->log_lines;
}

my $young = start();
is reload_times($young, $FEW), 0, "$FEW reloads work";
at_rest($young);
my $goroutines = goroutines($young);

my $daemon = start();
is reload_times($daemon, $FEW), 0, "$FEW reloads work";
my $few   = at_rest($daemon);
my $began = time;
is reload_times($daemon, $MANY - $FEW), 0, "and $MANY";
my $each = (time - $began) / ($MANY - $FEW);
my $many = at_rest($daemon, $few);
for my $what (@COUNTED) {
    is $many->{$what}, $few->{$what}, "there are as many $what as before";
}

# Go makes another thread whenever all are busy, and keeps it: a few for each busy moment, none for each reload.
cmp_ok $many->{threads},        '<=', $few->{threads} + $MANY / 10, 'there is not a thread more for each reload';
cmp_ok $many->{'KB of memory'}, '<=', $few->{'KB of memory'} + $ALLOWED_KB, 'the memory is about the same';
if ($ENV{TEST_VERBOSE}) {
    diag sprintf 'a reload took %.0f ms', 1000 * $each;
    diag "$_: $few->{$_}, then $many->{$_}" for sort keys %{$few};
}

# One more or less may be about to end.
my $then = goroutines($daemon);
cmp_ok $goroutines, '>',  10,              'Go tells of its goroutines';
cmp_ok $then,       '<=', $goroutines + 3, 'and there are as many as before';
diag "goroutines: $goroutines, then $then" if $ENV{TEST_VERBOSE};

done_testing;
