# Under start_server of Server::Starter, which holds the listener, thralld is replaced by a new one
# without a request being lost.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use File::Spec ();
use File::Temp ();
use IO::Select ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX qw(WNOHANG);
use Socket qw(SOCK_STREAM);
use Test::More;

my $CLIENTS = 4;

my $thralld = File::Spec->rel2abs($ENV{THRALLD} // 'bin/thralld');
my $folder  = File::Temp->newdir('test-starter-XXXXXX', TMPDIR => 1);
my $socket  = "$folder/socket";
my @root    = $> == 0 ? qw(--user=root --allow-root) : ();

open my $app, '>', "$folder/app.psgi" or die "create the app: $!\n";
print {$app}
    'sub { [200, ["Content-Type" => "text/plain"], [getppid . " " . join ",", grep { /STARTER_PORT/ } keys %ENV]] }'
    or die "write the app: $!\n";
close $app or die "write the app: $!\n";

# Until the first subtest has started it, there is no start_server.
my $starter = 0;

END {
    my $status = $?;
    if ($starter) {
        kill TERM => $starter;
        waitpid $starter, 0;
    }
    $? = $status;    ## no critic (RequireLocalizedPunctuationVars): the status of the test
}

sub start_starter {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    open STDERR, '>',  "$folder/log" or die "open the log: $!\n";
    open STDOUT, '>&', \*STDERR or die "open the log: $!\n";
    exec 'start_server', "--path=$socket", "--status-file=$folder/status", '--', $thralld, @root, '--workers=2',
        "$folder/app.psgi";
    die "exec start_server: $!\n";
}

sub ask {
    my $client = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $socket) or return "connect: $!";
    print {$client} "GET / HTTP/1.0\r\n\r\n" or return "send: $!";
    local $/ = undef;
    return readline($client) // "read: $!";
}

sub answer {
    my ($body) = ask() =~ m{\AHTTP/1[.][01] 200 OK\r\n.*\r\n\r\n(.*)\z}s;
    return $body;
}

# serving waits until start_server runs that generation alone, and returns its process.
sub serving {
    my ($generation) = @_;
    return (Daemon->wait_for_line("$folder/status", qr/\A$generation:\d+\z/) =~ /:(\d+)/)[0];
}

# clients starts some that ask, each request on a connection of its own, until the pipe is closed;
# then they print what went wrong. Meanwhile each notes which process has answered it, when that is another one.
sub clients {
    pipe my $told, my $tell or die "pipe: $!\n";
    pipe my $from, my $to or die "pipe: $!\n";
    for (1 .. $CLIENTS) {
        my $pid = fork // die "fork: $!\n";
        next if $pid;
        close $tell;
        local $SIG{PIPE} = 'IGNORE';
        my ($asked, $process, @wrong) = (0, 0);
        open my $notes, '>>', "$folder/answered.$_" or POSIX::_exit(1);
        until (IO::Select->new($told)->can_read(0)) {
            my $answer = ask();
            $asked++;
            push @wrong, $answer if $answer !~ m{\AHTTP/1[.][01] 200 OK\r\n};
            next if $answer !~ /\r\n\r\n(\d+) / || $1 == $process;
            $process = $1;
            syswrite $notes, "$process\n";
        }
        syswrite $to, JSON::PP::encode_json([$asked, @wrong]) . "\n";
        POSIX::_exit(0);
    }
    close $told;
    close $to;
    return ($tell, $from);
}

# answered waits until that process has answered each client.
sub answered {
    my ($process) = @_;
    Daemon->wait_for_line("$folder/answered.$_", qr/\A$process\z/) for 1 .. $CLIENTS;
    return;
}

subtest 'it serves on the listener that it is handed' => sub {
    $starter = start_starter();
    Daemon->wait_for_line("$folder/log", qr/"msg":"ready"/);
    is answer(), serving(1) . q{ }, 'and the app does not see how';
};

subtest 'HUP replaces it under load, and no request fails' => sub {
    my $old = serving(1);
    my ($tell, $from) = clients();
    answered($old);
    for my $generation (2 .. 3) {
        kill HUP => $starter;
        my $new = serving($generation);
        isnt $new, $old, 'another process serves';
        Daemon->wait_for_line("$folder/log", qr/old worker $old died, status:0/);
        is answer(), "$new ", 'alone';
        answered($new);
        $old = $new;
    }
    close $tell;
    my ($asked, @wrong) = (0);
    while (my $line = <$from>) {
        my ($count, @answers) = @{JSON::PP::decode_json($line)};
        $asked += $count;
        push @wrong, @answers;
    }
    1 while waitpid(-1, WNOHANG) > 0;
    is_deeply \@wrong, [], "$asked requests were answered, some of each client by each process";
};

subtest 'TERM ends both' => sub {
    kill TERM => $starter;
    waitpid $starter, 0;
    is $?, 0, 'start_server ends well';
    $starter = 0;
    is_deeply [Daemon->processes("$folder")], [], 'nothing is left';
};

done_testing;
