use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use IO::Socket::UNIX ();
use Slot qw(answer_of);
use Test::More;
use Thralld::Frame qw(:all);

my @TEXT = ('Content-Type' => 'text/plain');

# shape lists the types of a response's frames with their flags.
sub shape {
    return [map { [@{$_}{qw(type flags)}] } @{$_[0]{frames}}];
}

subtest 'an informational response goes ahead of the answer' => sub {
    my $response = answer_of(sub {
        my ($env) = @_;
        $env->{'psgix.informational'}->(103, [Link => '</a.css>', Link => '</b.js>']);
        return [200, [@TEXT], ['hello']];
    });
    my ($info, $head) = @{$response->{frames}};
    is_deeply([@{$info}{qw(type id status)}], [INFO, 1, 103], 'it comes first');
    is_deeply($info->{headers}, [Link => '</a.css>', Link => '</b.js>'], 'header');
    is($head->{body}, 'hello', 'and then the answer');
};

my @refused = (
    [101,     [],                  qr/the status is "101"; want a number from 102 to 199/],
    [200,     [],                  qr/the status is "200"; want/],
    ['abc',   [],                  qr/the status is "abc"; want/],
    ["103\n", [],                  qr/the status is "103\\x\{a\}"; want/],
    [undef,   [],                  qr/the status is undef; want/],
    [103,     ['X'],               qr/the headers have an odd number of elements/],
    [103,     undef,               qr/the headers are undef/],
    [103,     ['X' => "\x{263a}"], qr/a header holds a wide character/],
);
{
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my (undef, $i) = split m{/}, $env->{PATH_INFO};
        $env->{'psgix.informational'}->(@{$refused[$i]}[0, 1]);
        return [200, [], []];
    });
    for my $i (0 .. $#refused) {
        my $response = $slot->call(PATH_INFO => "/$i");
        is_deeply(shape($response), [[HEAD, END_RESPONSE | FAILED]], 'a bad informational response is not sent');
        is($response->{status}, 500, 'it is an error of the app');
        like($slot->log, qr/\Athe app failed: psgix.informational: $refused[$i][2]/, 'log');
    }
}

subtest 'an informational response after the head is dropped' => sub {
    my $response = answer_of(sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, [@TEXT]]);
            $env->{'psgix.informational'}->(103, []);
            $writer->close;
        };
    });
    is_deeply(shape($response), [[HEAD, STREAM], [BODY, END_RESPONSE | CLEANUP], [IDLE, 0]], 'frames');
};

subtest 'psgix.logger' => sub {
    my $response = answer_of(sub {
        my ($env) = @_;
        my $log = $env->{'psgix.logger'};
        $log->({level => 'warn',  message => 'plain'});
        $log->({level => 'error', message => "\x{263a}"});
        $log->({level => 'info',  message => 'x' x 300_000});
        $log->({level => 'debug'});
        eval { die "kept\n" };
        $log->({level => 'fatal', message => bless {}, 'Some::Error'});
        return [200, [@TEXT], [$@]];
    });
    my @lines = @{$response->{frames}};
    is((pop @lines)->{body}, "kept\n", 'the response follows, and the app keeps its $@');
    is_deeply([map { @{$_}{qw(type id)} } @lines], [(LOG, 1) x 5],             'each line is a frame of this request');
    is_deeply($lines[0]{list},                     [warn => 'plain'],          'level and message');
    is_deeply($lines[1]{list},                     [error => "\xe2\x98\xba"],  'wide characters become UTF-8');
    is_deeply([map { length } @{$lines[2]{list}}], [4, 65_536],                'what is longer than a frame is cut');
    is_deeply($lines[3]{list},                     [debug => 'unknown error'], 'no message');
    like($lines[4]{list}[1], qr/\ASome::Error=HASH/, 'an object');
};

subtest 'cleanup handlers run after the response and before the worker is idle' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        push @{$env->{'psgix.cleanup.handlers'}}, sub {
            my ($given) = @_;
            $given->{'psgix.logger'}->({level => 'info', message => $given == $env ? 'same env' : 'another env'});
            push @{$given->{'psgix.cleanup.handlers'}}, sub { print STDERR "added late\n" };
        };
        return [200, [@TEXT], ['hello']];
    });
    my $response = $slot->call;
    is_deeply(shape($response), [[HEAD, END_RESPONSE | CLEANUP], [LOG, 0], [IDLE, 0]], 'frames');
    is($response->{frames}[1]{list}[1], 'same env',     'a handler is given the environment');
    is($slot->log,                      "added late\n", 'a handler may add another');
    is_deeply(shape($slot->call), shape($response), 'the next request has handlers of its own');
};

subtest 'cleanup handlers that die, and one that does not' => sub {
    my $response = answer_of(sub {
        my ($env) = @_;
        @{$env->{'psgix.cleanup.handlers'}} = (sub { die "first\n" }, 'no code', sub { print STDERR "last\n" });
        return [200, [@TEXT], ['hello']];
    });
    is($response->{body}, 'hello', 'the response stands');
    like($response->{log}, qr/\Aa cleanup handler died: first\na cleanup handler died: .*no code.*\nlast\n\z/, 'log');
    is($response->{again}{status}, 200, 'the worker lives');
};

subtest 'cleanup handlers after a stream, a failure, a file' => sub {
    my %app = (
        stream => sub {
            sub { my $writer = $_[0]->([200, []]); $writer->close }
        },
        death => sub { die "no good\n" },
        large => sub { [200, [], ['x' x 200_000]] },
        file  => sub { open my $fh, '<', __FILE__ or die; [200, [], $fh] },
    );
    for my $name (sort keys %app) {
        my $slot = Slot->new(sub {
            my ($env) = @_;
            push @{$env->{'psgix.cleanup.handlers'}}, sub { print STDERR "cleaned up\n" };
            return $app{$name}->();
        });
        my $response = $slot->call;
        is_deeply(shape($response)->[-1], [IDLE, 0], "$name: idle at last");
        like($slot->log, qr/^cleaned up\n\z/m, "$name: the handler has run");
    }
};

subtest 'something else in place of the list of handlers' => sub {
    my $response = answer_of(sub { $_[0]{'psgix.cleanup.handlers'} = 'nonsense'; [200, [@TEXT], ['hello']] });
    is_deeply(shape($response), [[HEAD, END_RESPONSE]], 'no handlers');
};

subtest 'harakiri: the worker ends after the response' => sub {
    my $slot     = Slot->new(sub { $_[0]{'psgix.harakiri.commit'} = 1; [200, [@TEXT], ['bye']] });
    my $response = $slot->call;
    is($response->{body}, 'bye', 'the response is whole');
    is_deeply(shape($response), [[HEAD, END_RESPONSE | LEAVING]], 'frames');
    is($slot->leave, 0, 'the worker has ended by itself');
};

subtest 'harakiri after a stream' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        $env->{'psgix.harakiri.commit'} = 1;
        return sub { my $writer = $_[0]->([200, [@TEXT]]); $writer->write('bye'); $writer->close };
    });
    is_deeply(shape($slot->call)->[-1], [IDLE, LEAVING], 'it leaves when it is idle');
    is($slot->leave, 0, 'the worker has ended by itself');
};

subtest 'harakiri with cleanup handlers, and decided by one' => sub {
    for my $early (1, 0) {
        my $slot = Slot->new(sub {
            my ($env) = @_;
            $env->{'psgix.harakiri.commit'} = $early;
            push @{$env->{'psgix.cleanup.handlers'}},
                sub { $_[0]{'psgix.harakiri.commit'} = 1; print STDERR "cleaned up\n" };
            return [200, [@TEXT], ['bye']];
        });
        is_deeply(shape($slot->call), [[HEAD, END_RESPONSE | CLEANUP], [IDLE, LEAVING]], 'it leaves when it is idle');
        is($slot->leave, 0,              'the worker has ended by itself');
        is($slot->log,   "cleaned up\n", 'after the handlers');
    }
};

subtest 'harakiri leaves what is queued to others' => sub {
    pipe my $read, my $write or die "pipe: $!\n";
    my $slot = Slot->new(sub { readline $read; $_[0]{'psgix.harakiri.commit'} = 1; return [200, [@TEXT], ['bye']] },
        both_ends => 1,);
    $slot->request;
    my $next = $slot->request;
    syswrite $write, "go\n";
    $slot->response;
    is($slot->leave, 0, 'the worker ends');
    read_frame($slot->{workers_end}, my $frame);
    is_deeply([(frame_header($frame))[0, 2]], [REQUEST, $next], 'and has not read the next request');
};

# offer makes the address that the Go process gives a request, and a socket that listens at it.
sub offer {
    my $address  = "\0thralld-test-$$-" . rand;
    my $listener = IO::Socket::UNIX->new(Local => $address, Listen => 1) or die "listen: $!\n";
    return ($address, $listener);
}

subtest 'psgix.io is a stream socket to what the Go process offers' => sub {
    my ($address, $listener) = offer();
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my $io = $env->{'psgix.io'};
        return sub { print {$io} 'fileno: ', fileno $io > 2 ? 'yes' : 'no'; close $io };
    });
    my $response = $slot->call('psgix.io' => $address);
    is(do { local $/; readline $listener->accept }, 'fileno: yes', 'what the app writes arrives');
    is($response->{flags} & ABORT,                  ABORT, 'that it has not answered is left to the Go process');
    is($slot->finish,                               '',    'and is no breach');
};

subtest 'psgix.io is missing when the offer is over' => sub {
    my $response = answer_of(sub { [200, [@TEXT], [exists $_[0]{'psgix.io'} ? 'there' : 'not there']] },
        'psgix.io' => "\0thralld-test-$$-nobody");
    is($response->{body}, 'not there', 'the app runs without');
    like($response->{log}, qr/\Apsgix[.]io is missing: Connection refused/, 'and the log says why');
};

done_testing;
