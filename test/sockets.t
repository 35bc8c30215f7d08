# Sockets of every kind: who may connect to those on the file system, and those that systemd hands over.
use 5.014;
use warnings;

use lib 'test/lib';
use Daemon;
use Deployment;
use Folder;
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use Socket qw(SOCK_STREAM);
use Test::More;

my $app = <<'END';
sub {
    my ($env) = @_;
    my $left = join q{,}, grep { /\ALISTEN_/ } keys %ENV;
    [200, ['Content-Type' => 'text/plain'], ["$env->{SERVER_NAME} $env->{SERVER_PORT}$left"]];
};
END

# access_of is the mode and the owners of a file, as ls shows them.
sub access_of {
    my ($path) = @_;
    my (undef, undef, $mode, undef, $uid, $gid) = lstat $path or return "no $path";
    return sprintf '%04o %d %d', $mode & oct(7777), $uid, $gid;
}

# reload_to writes another thrall.toml and has it applied.
sub reload_to {
    my ($daemon, $toml) = @_;
    $daemon->write('thrall.toml', $toml);
    my ($exit, $output) = $daemon->reload;
    return $exit ? $output : 'done';
}

sub table {
    my ($path, %keys) = @_;
    return join "\n", 'workers = 1', 'probation = 0', '[[listener]]', qq{address = "$path"},
        (map { qq{$_ = "$keys{$_}"} } sort keys %keys), q{};
}

# answer is what a server says on a connection that somebody else has made.
sub answer {
    my ($client) = @_;
    print {$client} "GET / HTTP/1.0\r\nHost: me\r\n\r\n" or return "send: $!";
    local $/ = undef;
    return (readline($client) // "read: $!") =~ s/.*\r\n\r\n//sr;
}

subtest 'the mode of a socket is set, and changes by a reload' => sub {
    my $daemon = Deployment->new(
        app        => $app,
        configured => 1,
        files      => {'thrall.toml' => table('./web.sock', mode => '0600')}
    );
    my $socket = $daemon->folder . '/web.sock';
    is access_of($socket),                                      "0600 $> " . ($) + 0), 'as thrall.toml says';
    is answer($daemon->connect),                                'me 80',               'it answers';
    is reload_to($daemon, table('./web.sock', mode => '0666')), 'done',                'a reload is done';
    is access_of($socket),                                      "0666 $> " . ($) + 0), 'and has changed it';
    like reload_to($daemon, table('./web.sock')), qr/name them, or restart/, 'what the umask says needs a restart';
    is access_of($socket), "0666 $> " . ($) + 0), 'and nothing was changed';
    is $daemon->stop,      0,                     'it ends well';
    ok !-e $socket, 'and removes its socket';
};

SKIP: {
    skip 'only root can give a socket away', 1 if $> != 0;
    my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
    subtest 'a socket belongs to whom it was given' => sub {
        my $open   = umask 022;
        my $toml   = table('./web.sock', owner => 'nobody', group => $gid);
        my $daemon = Deployment->new(app => $app, configured => 1, files => {'thrall.toml' => $toml});
        my $socket = $daemon->folder . '/web.sock';
        umask $open;
        is access_of($socket), "0660 $uid $gid", 'for the owner and the group, and nobody else';
        is reload_to($daemon, table('./web.sock', owner => 0, group => 0, mode => '0606')), 'done', 'a reload is done';
        is access_of($socket), '0606 0 0', 'and has given it to another one';
        my ($exit, $output)
            = Daemon->run('check', '--socket=/run/x', '--socket-owner=no-such-user', "$daemon->{folder}/app.psgi");
        is $exit,   1, 'thralld check does not like';
        is $output, "thralld: --socket-owner: no user named no-such-user on this machine\n", 'a user that there is not';
    };
}

subtest 'sockets that systemd hands over' => sub {
    my $folder = Folder->new('handed');
    my $path   = "$folder/admin.sock";
    my @web    = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) // die "listen: $!\n" } 1, 2;
    my $admin  = IO::Socket::UNIX->new(Local => $path, Listen => 5, Type => SOCK_STREAM) // die "listen: $!\n";
    my @handed = ([web => $web[0]], [admin => $admin], [web => $web[1]]);
    my $client = IO::Socket::INET->new(PeerAddr => $web[0]->sockhost, PeerPort => $web[0]->sockport)
        // die "connect: $!\n";
    my $daemon = Deployment->new(
        app        => $app,
        configured => 1,
        toml       => {workers => 1, probation => 0, listen => ['systemd:web', 'systemd:admin']},
        handed     => \@handed,
    );
    is answer($client), '127.0.0.1 ' . $web[0]->sockport, 'who came before the daemon is answered';

    for my $port (map { $_->sockport } @web) {
        is answer(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)), "127.0.0.1 $port",
            'each of a name serves';
    }
    is answer(IO::Socket::UNIX->new(Peer => $path)), 'me 80', 'a unix socket, too';
    is reload_to($daemon, "workers = 1\nprobation = 0\nlisten = ['127.0.0.1:0', 'systemd:admin', 'systemd:web']\n"),
        'done',
        'a reload keeps them';
    is answer(IO::Socket::UNIX->new(Peer => $path)), 'me 80', 'and they serve on';
    like reload_to($daemon, "workers = 1\nprobation = 0\nlisten = ['systemd:web']\n"),
        qr/\Qsystemd has handed over $path as "admin", and no listener names it; listen on systemd:admin, too\E/,
        'none may be left out';
    is $daemon->stop, 0, 'it ends well';
    ok -S $path, 'and leaves the file of the socket where it is';

    my ($exit, $output) = Daemon->run({handed => \@handed},
        '--listen=systemd:wbe', '--listen=systemd:admin', "$daemon->{folder}/app.psgi");
    is $exit, 1, 'a start with another name fails';
    like $output, qr/^thralld: listen on systemd:wbe: systemd has handed over no socket of that name, but web, admin$/m,
        'with the names that there are';
    ($exit, $output)
        = Daemon->run({handed => \@handed}, '--daemonize', '--error-log=log', '--port=0', "$daemon->{folder}/app.psgi");
    is $exit, 1, 'it does not go into the background';
    like $output, qr/^thralld: --daemonize: systemd has handed sockets over, /, 'where it would lose them';
    ($exit, $output) = Daemon->run('--listen=systemd:web', "$daemon->{folder}/app.psgi");
    is $exit, 1, 'without systemd it fails, too';
    like $output, qr/^thralld: listen on systemd:web: systemd has handed no socket over; /, 'and says why';
};

done_testing;
