# Clients that send or read a byte now and then, and a disk that is full: a worker waits for none of them.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Errno qw(EAGAIN EINTR);
use Folder;
use JSON::PP ();
use Socket qw(AF_INET INADDR_LOOPBACK IPPROTO_TCP SOCK_STREAM SOL_SOCKET SO_RCVBUF pack_sockaddr_in);
use Test::More;
use Time::HiRes qw(sleep time);

my $CROWD      = 200;          # of each kind
my $SIZE       = 1_000_000;    # of a response that is made for each
my $SOON       = 2;            # seconds: a probe on a busy machine
my $TCP_MAXSEG = 2;            # Linux
my $LIMIT      = 30;           # seconds for what has to come

# A small place for the spool takes a mount of our own. Who may not have one goes without.
my $SMALL = $ENV{TEST_SMALL_DISK};
if (!defined $SMALL) {
    local $ENV{TEST_SMALL_DISK} = '1';
    my @unshare = ('unshare', $> ? '-rm' : '-m');
    exec @unshare, $^X, $0 if system("@unshare true 2>/dev/null") == 0;
}

my $APP = <<'APP';
sub {
    my $env = shift;
    my $path = $env->{PATH_INFO};
    if ($path eq '/large') {
        my $size = $env->{QUERY_STRING} || 1_000_000;
        return [200, ['Content-Type' => 'text/plain', 'Content-Length' => $size], [map { $_ x ($size / 10) } 0 .. 9]];
    }
    return [200, ['Content-Type' => 'text/plain'], ["$$"]];
};
APP

sub start {
    my (@args) = @_;
    my $folder = Folder->new('slow');
    my $daemon = Daemon->new(psgi => $APP, args => ['--workers=2', "--control=$folder/control", @args]);
    return ($daemon, "$folder/control", $folder);
}

sub status {
    my ($control) = @_;
    my ($exit, $text) = Daemon->run('status', '--json', "--control=$control");
    return $exit ? die "no status: $text\n" : JSON::PP::decode_json($text);
}

# wait_until waits for a state that nothing announces.
sub wait_until {
    my ($what, $holds) = @_;
    my $until = time + $LIMIT;
    until ($holds->()) {
        return fail "$what: not after $LIMIT s" if time > $until;
        sleep 0.05;
    }
    return pass $what;
}

sub idle {
    my ($control) = @_;
    return !grep { @{$_->{doing}} } @{status($control)->{worker_list}};
}

# slow_reader asks for the large response. The kernel takes in little ahead of it: with segments of the
# loopback's size, it would be megabytes.
sub slow_reader {
    my ($daemon, $size) = @_;
    $size //= $SIZE;
    socket my $socket, AF_INET, SOCK_STREAM, 0 or die "make a socket: $!\n";
    setsockopt $socket, SOL_SOCKET,  SO_RCVBUF,   pack 'i', 65_536 or die "set SO_RCVBUF: $!\n";
    setsockopt $socket, IPPROTO_TCP, $TCP_MAXSEG, pack 'i', 1400 or die "set TCP_MAXSEG: $!\n";
    connect $socket, pack_sockaddr_in($daemon->port, INADDR_LOOPBACK) or die "connect: $!\n";
    syswrite $socket, "GET /large?$size HTTP/1.0\r\n\r\n" or die "ask: $!\n";
    return $socket;
}

# read_all reads to the end, and returns what there was.
sub read_all {
    my ($socket) = @_;
    my $all = q{};
    while (1) {
        my $count = sysread $socket, $all, 65_536, length $all;
        next if !defined $count && ($! == EINTR || $! == EAGAIN);
        return $all if !$count;
    }
}

sub probe {
    my ($daemon) = @_;
    my $began    = time;
    my $answer   = $daemon->get('/')->{status};
    return $answer == 200 ? time - $began : $LIMIT;
}

subtest 'four hundred slow clients, two workers' => sub {
    my ($daemon, $control, $folder) = start();
    my @senders = map { $daemon->connect } 1 .. $CROWD;
    syswrite $_, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx" for @senders;
    my @readers = map { slow_reader($daemon) } 1 .. $CROWD;
    cmp_ok probe($daemon), '<', $LIMIT, 'one among them is answered';

    wait_until('all that they asked for is made', sub { idle($control) });
    my $status = status($control);
    cmp_ok $status->{spooled_bytes}, '>', $CROWD * $SIZE / 2, 'and kept for them';
    my $worst = 0;
    for my $round (1 .. 20) {
        for my $number (map { ($round * 10 + $_) % $CROWD } 1 .. 10) {
            syswrite $senders[$number], 'x' or die "send a byte: $!\n";
            sysread $readers[$number], my $byte, 1 or die "read a byte: $!\n";
        }
        my $took = probe($daemon);
        $worst = $took if $took > $worst;
    }
    cmp_ok $worst, '<', $SOON, 'while they send and read a byte now and then, probes are answered';
    ok idle($control), 'and no worker waits';

    my $last = read_all(pop @readers);
    is length $last, length($last =~ s/\r\n\r\n.*//sr) + 4 + $SIZE, 'who reads on gets all of it';
    close $_ for @readers, @senders;
    wait_until('nothing is kept for those who have left', sub { !status($control)->{spooled_bytes} });
    is $daemon->stop, 0, 'the daemon ends';
};

subtest 'when there is no room left, a worker waits, and the status tells' => sub {
    my ($daemon, $control, $folder) = start('--max-spool=100KiB');
    my $reader = slow_reader($daemon, 3 * $SIZE);    # more than is on its way
    wait_until('the response holds its worker', sub { status($control)->{holding} == 1 });
    $daemon->wait_for_log(qr/workers wait for slow clients: max_spool is reached/);
    cmp_ok probe($daemon), '<', $SOON, 'the other one answers';
    ok !idle($control), 'a worker is busy with it';
    cmp_ok length read_all($reader), '>', 3 * $SIZE, 'who reads on gets all of it';
    my $status = status($control);
    is_deeply [@{$status}{qw(holding held spooled_bytes)}], [0, 1, 0], 'and the worker is free';
};

subtest 'a disk that is full' => sub {
    my $disk = Folder->new('disk');
    plan skip_all => 'no mount of our own: unshare is not permitted' if !$SMALL;
    plan skip_all => 'no mount of a small disk' if system(qw(mount -t tmpfs -o size=64k none), "$disk") != 0;
    my ($daemon, $control, $folder) = start('--workers=1', "--spool-dir=$disk");
    my $worker = $daemon->get('/')->{content};

    my $upload = Connection->new($daemon);
    $upload->request(POST => '/', body => 'x' x 200_000);
    my $refused = $upload->response;
    is $refused->{status},                   503, 'an upload is refused';
    is $refused->{fields}{'retry-after'}[0], 5,   'for a while';

    my $reader = slow_reader($daemon);
    wait_until('the worker does not wait for the reader',
        sub { status($control)->{worker_list}[0]{requests} == 2 && idle($control) });
    cmp_ok length read_all($reader), '<', $SIZE, 'whose response is cut';
    my $cut = $daemon->wait_for_log(sub { $_[0]{msg} eq 'response cut' });
    like $cut->{error}, qr/no space left on device/, 'and the log has the reason';
    is $daemon->get('/')->{content}, $worker, 'the worker lives';
    is $daemon->stop,                0,       'the daemon ends';
    system 'umount', "$disk";
};

subtest 'who is too slow for too long is sent away' => sub {
    my ($daemon, $control, $folder) = start('--timeout=1', '--min-rate=100KB');
    my $sender = Connection->new($daemon);
    $sender->send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx");
    my $reader = slow_reader($daemon);
    is $sender->response->{status}, 408, 'a sender, by an answer';
    wait_until('a reader, without a word', sub { status($control)->{connections} == 0 });
    cmp_ok length read_all($reader), '<', $SIZE, 'in the middle';
};

done_testing;
