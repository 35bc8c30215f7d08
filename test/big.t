# Bodies larger than anybody would want in memory: it stays flat in the daemon and in the worker.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Digest::MD5 ();
use File::Temp ();
use Test::More;

my $MB       = 1 << 20;
my $GB       = 1 << 30;
my $PIECE    = 64 << 10;    # of the app
my $ALLOWED  = 24 * $MB;    # what a process may grow by: buffers, and the slack of Go's collector
my $UPLOAD   = 100 * $MB;
my $DOWNLOAD = 1 * $GB;

my $folder = File::Temp->newdir;
my $spool  = File::Temp->newdir;
my $daemon = Daemon->new(
    env  => {TEST_FOLDER => $folder},
    args => ['--workers=1', '--queue-timeout=5', "--spool-dir=$spool", 'test/apps/big.psgi'],
);

# status_of reads a value of /proc/PID/status, which is in kB there.
sub status_of {
    my ($pid, $key) = @_;
    open my $status, '<', "/proc/$pid/status" or die "open the status of $pid: $!\n";
    my ($kilobytes) = map { /\A\Q$key\E:\s+(\d+) kB/ ? $1 : () } readline $status;
    close $status or die "close: $!\n";
    return $kilobytes << 10;
}

# flat does something and finds by how much memory has grown meanwhile, at the most.
sub flat {
    my ($do) = @_;
    my %pid_of = (daemon => $daemon->pid, worker => $daemon->get('/pid')->{content});
    my %before;
    for my $who (sort keys %pid_of) {
        open my $clear, '>', "/proc/$pid_of{$who}/clear_refs" or die "reset the peak of the $who: $!\n";
        print {$clear} '5' or die "reset the peak of the $who: $!\n";
        close $clear or die "reset the peak of the $who: $!\n";
        $before{$who} = status_of($pid_of{$who}, 'VmRSS');
    }
    $do->();
    for my $who (sort keys %pid_of) {
        my $grown = status_of($pid_of{$who}, 'VmHWM') - $before{$who};
        cmp_ok $grown, '<', $ALLOWED, sprintf 'the %s has grown by %.1f MB at most', $who, $grown / $MB;
    }
    is $daemon->get('/pid')->{content}, $pid_of{worker}, 'it is still the same worker';
    return;
}

# upload sends a body that has no two pieces alike, and has the app's word checked.
sub upload {
    my ($head, $frame) = @_;
    my $connection = Connection->new($daemon);
    my $digest     = Digest::MD5->new;
    $connection->send("POST /digest HTTP/1.1\r\nHost: x\r\n$head\r\n\r\n");
    for my $number (1 .. $UPLOAD / $MB) {
        my $piece = sprintf('%016d', $number) x ($MB / 16);
        $digest->add($piece);
        $connection->send($frame->($piece));
    }
    $connection->send($frame->(q{}));
    is $connection->response('POST')->{body}, "$UPLOAD " . $digest->hexdigest, 'the app has read all of it, unchanged';
    is_deeply [glob "$spool/*/*"], [], 'and the disk is free again';
    return;
}

subtest 'an upload of 100 MB' => sub {
    flat(sub {
        upload("Content-Length: $UPLOAD", sub { $_[0] });
    });
};

subtest 'an upload of 100 MB in chunks' => sub {
    flat(sub {
        upload('Transfer-Encoding: chunked', sub { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] });
    });
};

subtest 'a download of 1 GB that a handle generates' => sub {
    flat(sub {
        my $pieces     = $DOWNLOAD / $PIECE;
        my $connection = Connection->new($daemon);
        $connection->get("/handle?$pieces");
        is_deeply $connection->head->{fields}{'content-length'}, [$DOWNLOAD], 'its length is known';
        is $connection->discard($DOWNLOAD - $PIECE), $DOWNLOAD - $PIECE, 'as much arrives';
        is 0 + $connection->bytes(8),                $pieces - 1,        'to the last piece';
    });
};

subtest 'a download of 1 GB that is written piece by piece' => sub {
    flat(sub {
        my $pieces     = $DOWNLOAD / $PIECE;
        my $connection = Connection->new($daemon);
        $connection->get("/stream?$pieces");
        $connection->head;
        my ($length, $last) = (0, q{});
        while (length(my $chunk = $connection->chunk // q{})) {
            $length += length $chunk;
            $last = $chunk;
        }
        is $length,                       $DOWNLOAD,   'all of it arrives, and its end';
        is 0 + substr($last, -$PIECE, 8), $pieces - 1, 'to the last piece';
    });
};

subtest 'a file of 1 GB' => sub {
    open my $file, '>', "$folder/large" or die "make a large file: $!\n";
    truncate $file, $DOWNLOAD or die "make a large file: $!\n";    # a hole: it takes no room
    seek $file, -4, 2;
    print {$file} 'tail' or die "make a large file: $!\n";
    close $file or die "make a large file: $!\n";
    flat(sub {
        my $connection = Connection->new($daemon);
        $connection->get('/large');
        my $head = $connection->head;
        is $head->{status}, 200, 'Plack::App::File has it';
        is_deeply $head->{fields}{'content-length'}, [$DOWNLOAD], 'with its length';
        my $worker = $daemon->get('/pid');
        is $worker->{status},                   200,           'the worker is free while the file is sent';
        is $connection->discard($DOWNLOAD - 4), $DOWNLOAD - 4, 'as much arrives';
        is $connection->bytes(4),               'tail',        'to the end';
    });
};

done_testing;
