# What apps do with psgix.io, by path.
use strict;
use warnings;

use Digest::SHA qw(sha1_base64);

my @PLAIN = ('Content-Type' => 'text/plain');

sub note_that { return print {*STDERR} "noted: @_\n" }

# handshake answers as RFC 6455, 4.2.2 has it.
sub handshake {
    my ($env) = @_;
    my $accept = sha1_base64($env->{HTTP_SEC_WEBSOCKET_KEY} . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
    return join "\r\n", 'HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
        "Sec-WebSocket-Accept: $accept", q{}, q{};
}

# message reads a frame of a client, which is short and masked (RFC 6455, 5.2), and returns its opcode and text.
sub message {
    my ($io) = @_;
    read($io, my $head, 6) == 6 or return;
    my ($first, $length, $mask) = unpack 'C C a4', $head;
    $length &= 0x7f;
    read $io, my $text, $length or return if $length;
    return ($first & 0x0f, $length ? $text ^ substr $mask x 32, 0, $length : q{});
}

my %app = (
    '/echo' => sub {
        my ($env) = @_;
        return sub {
            my $io = $env->{'psgix.io'};
            $io->autoflush(1);
            print {$io} handshake($env);
            while (my ($opcode, $text) = message($io)) {
                last if $opcode == 8;
                print {$io} pack 'C C/a*', 0x81, scalar reverse $text;
            }
            note_that('the client has gone');
            close $io or note_that("close: $!");
        };
    },
    '/speak' => sub {
        my ($env) = @_;
        my $io = delete $env->{'psgix.io'};
        syswrite $io, "HTTP/1.1 101 Switching Protocols\r\n\r\n" . 'x' x 1_000_000;
        close $io or note_that("close: $!");
        return [200, [@PLAIN], ['nobody reads this']];
    },
    '/decline' => sub {
        my ($env) = @_;
        return [426, [@PLAIN], [$env->{'psgix.io'} ? 'offered' : 'not offered']];
    },
    '/nothing' => sub {
        return sub { };
    },
    '/die' => sub {
        my ($env) = @_;
        syswrite $env->{'psgix.io'}, "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        die "in the middle\n";
    },
);

sub {
    my ($env) = @_;
    my $app = $app{$env->{PATH_INFO}} || sub { [200, [@PLAIN], [$$]] };
    return $app->($env);
};
