# psgix.io (PSGI::Extensions): an app that takes the client's connection over.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Test::More;

my @UPGRADE = ('Upgrade: websocket', 'Connection: keep-alive, Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');

my $daemon = Daemon->new(args => ['--workers=1', '--log-level=debug', 'test/apps/upgrade.psgi']);

sub upgrade {
    my ($path, $ahead) = @_;
    my $connection = Connection->new($daemon);
    $connection->send(join "\r\n", "GET $path HTTP/1.1", 'Host: localhost', @UPGRADE, q{}, $ahead // q{});
    return $connection;
}

# masked is a text message as a client sends it (RFC 6455, 5.3).
sub masked {
    my ($text) = @_;
    my $mask = "\x11\x22\x33\x44";
    return pack 'C C a4 a*', 0x81, 0x80 | length $text, $mask, $text ^ substr $mask x 32, 0, length $text;
}

subtest 'a websocket' => sub {
    my $client = upgrade('/echo');
    my $head   = $client->head;
    is $head->{status},                            101,                            'the app answers by itself';
    is $head->{fields}{'sec-websocket-accept'}[0], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'the handshake of RFC 6455';
    for my $text ('hello', 'a' x 100) {
        $client->send(masked($text));
        is substr($client->bytes(2 + length $text), 2), scalar reverse($text), 'a message there and back';
    }
    $client->finish_sending;
    ok $daemon->wait_for_log(qr/noted: the client has gone/), 'the app notices that the client leaves';
    is $client->rest,               q{}, 'and the connection ends';
    is $daemon->get('/')->{status}, 200, 'the worker serves on';
};

subtest 'what the client sends ahead of the handshake is not lost' => sub {
    my $client = upgrade('/echo', masked('early'));
    $client->head;
    is substr($client->bytes(7), 2), 'ylrae', 'it reaches the app';
    $client->reset;
    ok $daemon->wait_for_log(qr/noted: the client has gone/), 'a lost connection is the end of the stream, too';
};

subtest 'what the app writes before it closes arrives' => sub {
    my $client = upgrade('/speak');
    is $client->head->{status}, 101,       'the head';
    is length $client->rest,    1_000_000, 'all of it, and not the response that the app returned';
};

subtest 'an app that answers declines the offer' => sub {
    my $client = upgrade('/decline');
    push @{$client->{methods}}, 'GET';
    my $response = $client->response;
    is $response->{body}, 'offered', 'the answer';
    $client->get('/decline');
    is $client->response->{body}, 'not offered',
        'the connection is kept, and nothing is offered unless it is asked for';
};

subtest 'an app that does neither' => sub {
    my $client = upgrade('/nothing');
    push @{$client->{methods}}, 'GET';
    is $client->response->{status}, 500, 'is at fault';
    ok $daemon->wait_for_log(qr/broke the contract/), 'and the log says so';
};

subtest 'an app that dies after it took the connection' => sub {
    my $client = upgrade('/die');
    is $client->head->{status}, 101, 'what it wrote arrives';
    is $client->rest,           q{}, 'and nothing else';
    ok $daemon->wait_for_log(qr/the app failed: in the middle/), 'the log has the reason';
};

subtest 'the log has the connection as a line' => sub {
    my $event = $daemon->wait_for_log(sub { $_[0]{msg} =~ /connection taken/ && $_[0]{target} eq '/echo' });
    ok $event, 'with its target';
};

subtest 'a stop ends what was taken when its time is over' => sub {
    my $own    = Daemon->new(args => ['--workers=1', '--stop-timeout=0.2', 'test/apps/upgrade.psgi']);
    my $client = Connection->new($own);
    $client->send(join "\r\n", 'GET /echo HTTP/1.1', 'Host: localhost', @UPGRADE, q{}, q{});
    $client->head;
    $own->signal('TERM');
    $client->rest;
    is $own->wait_for_exit_status, 0, 'the daemon has ended';
};

done_testing;
