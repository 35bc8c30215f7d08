use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use File::Temp ();
use Slot qw(answer_of);
use Socket qw(MSG_DONTWAIT);
use Test::More;
use Thralld::Frame qw(:all);

my @TEXT = ('Content-Type' => 'text/plain');

# streaming makes an app that gets its writer, and then does the rest.
sub streaming {
    my ($code) = @_;
    return sub {
        return sub { $code->($_[0]->([200, [@TEXT]])) };
    };
}

subtest 'a callback may answer with a whole response' => sub {
    my $response = answer_of(sub {
        return sub { $_[0]->([200, [@TEXT], ['hello']]) }
    });
    is($response->{body}, 'hello', 'body');
    is_deeply(
        [map { [@{$_}{qw(type flags)}] } @{$response->{frames}}],
        [[HEAD, END_RESPONSE | CLEANUP], [IDLE, 0]],
        'the worker is busy until the callback has returned'
    );
    is($response->{log}, '', 'nothing is logged');
};

subtest 'a callback may answer with a handle' => sub {
    my $file = File::Temp->new;
    print {$file} 'text';
    $file->flush;
    my $response = answer_of(sub {
        return sub { open my $fh, '<', "$file" or die; $_[0]->([200, [@TEXT], $fh]) }
    });
    is($response->{flags}, END_RESPONSE | FILE | CLEANUP, 'it is handed over');
};

subtest 'what is written goes out at once' => sub {
    my $slot = Slot->new(streaming(sub {
        my ($writer) = @_;
        $writer->write('one');
        readline STDIN;    # would wait for ever, were it not at its end
        $writer->write('two');
        $writer->close;
    }));
    my $response = $slot->call;
    is_deeply(
        [map { [@{$_}{qw(type flags)}, $_->{type} == BODY ? $_->{payload} : ''] } @{$response->{frames}}],
        [[HEAD, STREAM, ''], [BODY, 0, 'one'], [BODY, 0, 'two'], [BODY, END_RESPONSE | CLEANUP, ''], [IDLE, 0, '']],
        'each in a frame of its own'
    );
    is_deeply($response->{headers}, \@TEXT, 'header');
    is($slot->finish, '', 'nothing is logged');
};

subtest 'the app waits for what the client does with a piece' => sub {
    pipe my $read, my $write or die "pipe: $!\n";
    my $slot = Slot->new(streaming(sub {
        my ($writer) = @_;
        $writer->write('ping');
        $writer->write('got ' . readline $read);
        $writer->close;
    }));
    $slot->request;
    $slot->next_frame;
    is($slot->next_frame->{payload}, 'ping', 'a piece arrives while the app runs');
    syswrite $write, "pong\n";
    is($slot->response->{body}, "got pong\n", 'and the app goes on');
};

my @writes = (
    ['nothing',                    sub { },                             ''],
    ['an empty string',            sub { $_[0]->write('') },            ''],
    ['undef',                      sub { $_[0]->write(undef) },         ''],
    ['the string 0',               sub { $_[0]->write('0') },           '0'],
    ['more than a frame',          sub { $_[0]->write('x' x 300_000) }, 'x' x 300_000],
    ['bytes marked as characters', sub { my $text = "caf\xe9"; utf8::upgrade($text); $_[0]->write($text) }, "caf\xe9"],
    ['what write returns',         sub { $_[0]->write($_[0]->write('a')) },                                 'a1'],
    ['nothing more by a second close', sub { $_[0]->write('a'); $_[0]->close },                             'a'],
);
for (@writes) {
    my ($name, $code, $want) = @{$_};
    my $response = answer_of(streaming(sub { $code->($_[0]); $_[0]->close }));
    ok(defined $response->{body} && $response->{body} eq $want, "an app writes $name");
    is($response->{flags} & ABORT, 0,  "an app writes $name: the response is complete");
    is($response->{log},           '', "an app writes $name: nothing is logged");
}

subtest 'HEAD gets no pieces' => sub {
    my $response = answer_of(streaming(sub { $_[0]->write('one'); $_[0]->close }), REQUEST_METHOD => 'HEAD');
    is($response->{body},                           '',           'body');
    is($response->{flags} & (ABORT | END_RESPONSE), END_RESPONSE, 'it is complete');
};

# What goes wrong once the head is out: the response is cut, the log names it.
my @cuts = (
    [
        'a write after close',
        sub { $_[0]->close; $_[0]->write('more') },
        qr/failed after its response had begun: write on a writer that is closed/, 0
    ],
    [
        'a writer that is lost',
        sub { $_[0]->write('one') },
        qr/broke the PSGI contract: the app returned without closing its writer/, ABORT
    ],
    [
        'a death',
        sub { $_[0]->write('one'); die "half-way\n" },
        qr/failed after its response had begun: half-way\n/, ABORT
    ],
    [
        'a wide character',
        sub { $_[0]->write("\x{263a}") },
        qr/failed after its response had begun: wide character in the response body: encode it/, ABORT
    ],
);
for (@cuts) {
    my ($name, $code, $log, $abort) = @{$_};
    my $response = answer_of(streaming($code));
    is($response->{flags} & ABORT, $abort, "$name: " . ($abort ? 'the response is cut' : 'the response stands'));
    like($response->{log}, $log, "$name: log");
    is($response->{again}{status}, 200, "$name: the worker lives");
}

# What goes wrong before the head is out: a 500.
my @refusals = (
    ['a responder that is never called', sub { },                qr/the app returned without calling the responder/],
    ['a death',                          sub { die "early\n" },  qr/the app failed: early/],
    ['a response of one element',        sub { $_[0]->([200]) }, qr/the responder was given an array of 1; want/],
    ['no response',                      sub { $_[0]->() },      qr/the responder was given undef; want/],
    ['a bad status',                     sub { $_[0]->(['abc', []]) },     qr/the status is "abc"/],
    ['a bad status of a whole response', sub { $_[0]->(['abc', [], []]) }, qr/the status is "abc"/],
    ['a wide header', sub { $_[0]->([200, ['X' => "\x{263a}"]]) },         qr/a header holds a wide character/],
);
for (@refusals) {
    my ($name, $code, $log) = @{$_};
    my $response = answer_of(sub { return $code });
    is($response->{status}, 500, "$name: 500");
    like($response->{log}, $log, "$name: log");
    is($response->{again}{status}, 500, "$name: the worker lives");
}

subtest 'a responder that is called twice' => sub {
    my $response = answer_of(sub {
        return sub {
            my ($responder) = @_;
            $responder->([200, [@TEXT], ['first']]);
            $responder->([200, [@TEXT], ['second']]);
        }
    });
    is($response->{body}, 'first', 'the first response stands');
    like($response->{log}, qr/after its response had begun: the responder was called a second time/, 'log');
    is($response->{again}{body}, 'first', 'the worker lives');
};

subtest 'a responder that is called by a later request' => sub {
    my $kept;
    my $slot = Slot->new(sub {
        my ($env) = @_;
        return sub { $kept = $_[0] }
            if $env->{PATH_INFO} eq '/keep';
        my $late = eval { $kept->([200, [@TEXT], ['late']]); 1 };
        return [200, [@TEXT], [$late ? 'it was taken' : $@]];
    });
    is($slot->call(PATH_INFO => '/keep')->{status}, 500, 'the request that it belongs to has failed');
    is($slot->call->{body},                         "the responder was called too late\n", 'and it dies');
};

subtest 'a writer that is used by a later request' => sub {
    my $kept;
    my $slot = Slot->new(sub {
        my ($env) = @_;
        if ($env->{PATH_INFO} eq '/keep') {
            return sub { $kept = $_[0]->([200, [@TEXT]]); $kept->close };
        }
        eval { $kept->write('late') };
        $kept->close;
        return [200, [@TEXT], [$@]];
    });
    $slot->call(PATH_INFO => '/keep');
    is($slot->call->{body}, "write on a writer that is closed\n", 'it dies; closing it is harmless');
};

# endless is a worker that streams for ever; what it makes of a client that leaves
# is up to code.
sub endless {
    my ($code) = @_;
    my $app = streaming(sub {
        my ($writer) = @_;
        $code->(sub { $writer->write('tick') while 1 });
    });
    my $slot = Slot->new($app, both_ends => 1);
    my $id   = $slot->request;
    $slot->next_frame for 1 .. 3;
    return ($slot, $id);
}

subtest 'a client that leaves makes write die' => sub {
    my ($slot, $id) = endless(sub { $_[0]->() });
    $slot->tell(CANCEL, $id);
    my $response = $slot->response;
    is($response->{flags} & ABORT, ABORT, 'the response is cut');
    is($slot->finish,              '',    'that is no failure of the app: nothing is logged');
};

subtest 'a client that leaves an app that catches it' => sub {
    my ($slot, $id) = endless(sub {
        eval { $_[0]->() };
        print STDERR "caught: $@\n";
    });
    $slot->tell(CANCEL, $id);
    my $response = $slot->response;
    is($response->{flags} & ABORT, ABORT,                           'the response is cut, though the writer is lost');
    is($slot->finish,              "caught: the client has left\n", 'only the app has logged');
};

subtest 'the client of another request leaves' => sub {
    pipe my $read, my $write or die "pipe: $!\n";
    my $slot = Slot->new(streaming(sub {
        my ($writer) = @_;
        readline $read;
        $writer->write('still here');
        $writer->close;
    }));
    my $id = $slot->request;
    $slot->tell(CANCEL, $id - 1);
    syswrite $write, "go\n";
    is($slot->response->{body}, 'still here', 'this one goes on');
};

subtest 'a client that leaves is seen behind other frames' => sub {
    my $file = File::Temp->new;
    my $slot = Slot->new(sub {
        my ($env) = @_;
        if ($env->{PATH_INFO} eq '/file') {
            open my $fh, '<', "$file" or die "open: $!\n";
            return [200, [@TEXT], $fh];
        }
        return sub { my $writer = $_[0]->([200, [@TEXT]]); $writer->write('tick') while 1 };
    });
    $slot->call(PATH_INFO => '/file');
    my $id = $slot->request;
    $slot->next_frame for 1 .. 3;
    $slot->tell(ACK, 1);
    $slot->tell(QUIT);
    $slot->tell(CANCEL, $id);
    is($slot->response->{flags} & ABORT, ABORT, 'the response is cut');
    is($slot->leave,                     0,     'and the worker quits, as it was told meanwhile');
};

subtest 'requests that wait behind a stream can be taken back' => sub {
    my ($slot, $id) = endless(sub { $_[0]->() });
    my $next = $slot->request(PATH_INFO => '/next');
    $slot->next_frame for 1 .. 1000;
    recv $slot->{workers_end}, my $taken, MAX_FRAME, MSG_DONTWAIT;
    is_deeply([(frame_header($taken))[0, 2]], [REQUEST, $next], 'the worker has looked and left it there');
    $slot->tell(CANCEL, $id);
    is($slot->response->{flags} & ABORT, ABORT, 'and what comes behind is seen again');
};

done_testing;
