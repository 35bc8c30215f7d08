use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use Slot qw(answer_of strays);
use Test::More;
use Thralld::Frame qw(:all);
use Time::HiRes ();

my @TEXT = ('Content-Type' => 'text/plain');

subtest 'a worker is ready, and ends when it is told to' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], [$$]] });
    is($slot->ready,        $slot->{pid}, 'it says who it is');
    is($slot->call->{body}, $slot->{pid}, 'the app runs in it');
    $slot->tell(QUIT);
    is($slot->leave, 0, 'it ends well');
};

subtest 'a worker finishes what is queued before it quits' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], ['hello']] });
    $slot->request for 1 .. 3;
    $slot->tell(QUIT);
    is($slot->response->{body}, 'hello', 'a request that was queued') for 1 .. 3;
    is($slot->leave,            0,       'it ends well');
};

subtest 'a worker ends when the Go process is gone' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], ['hello']] });
    $slot->ready;
    delete $slot->{socket};
    is($slot->leave, 0, 'it ends well');
};

subtest 'a worker that streams ends when the Go process is gone' => sub {
    my $slot = Slot->new(sub {
        return sub { my $writer = $_[0]->([200, [@TEXT]]); $writer->write('tick') while 1 }
    });
    $slot->request;
    $slot->next_frame;
    delete $slot->{socket};
    is($slot->leave, 0, 'it ends well');
};

subtest 'exit in the app ends the worker, with its END blocks' => sub {
    my $slot = Slot->new(sub { Blocks::arm(); exit 7 });
    is($slot->call->{status}, undef,           'no response');
    is($slot->leave >> 8,     7,               'the status is that of the app');
    is($slot->log,            "END has run\n", 'log');
};

# How an app may come back into the runtime in a process that it has forked.
my %strays = (
    returns          => sub { [200, [@TEXT], ['from the child']] },
    'returns a file' => sub { open my $fh, '<', __FILE__ or die; [200, [@TEXT], $fh] },
    'returns undef'  => sub { },
    dies             => sub { die "the child failed\n" },
    streams          => sub {
        sub { my $writer = $_[0]->([200, []]); $writer->write('from the child'); $writer->close }
    },
    'sends a hint' => sub { $_[0]{'psgix.informational'}->(103, []);                                 [200, [], []] },
    'logs'         => sub { $_[0]{'psgix.logger'}->({level => 'info', message => 'from the child'}); [200, [], []] },
);
my %said = (dies => "the app failed: the child failed\n", logs => "info: from the child\n");
for my $name (sort keys %strays) {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my $pid = fork;
        die "fork: $!\n" if !defined $pid;
        return $strays{$name}->($env) if !$pid;
        waitpid $pid, 0;
        return [200, [@TEXT], ["the child ended with $?"]];
    });
    my $response = $slot->call;
    is($response->{body},             'the child ended with 0', "a child that $name: the parent answers");
    is(scalar @{$response->{frames}}, 1,                        "a child that $name: nobody else does");
    is($slot->log,                    $said{$name} // '',       "a child that $name: log");
}

subtest 'a child forked while a body is closed takes no request' => sub {
    {

        package Forking::Body;    ## no critic (ProhibitMultiplePackages)
        sub getline { my ($self) = @_; return shift @{$self} }
        sub close { my $pid = fork; die "child\n" if defined $pid && !$pid; waitpid $pid, 0; return }
    }
    my $slot = Slot->new(sub { [200, [@TEXT], bless ["pid $$"], 'Forking::Body'] });
    is($slot->call->{body}, "pid $slot->{pid}", 'the parent answers') for 1 .. 3;
};

subtest 'a stack trace shows nothing of the request' => sub {
    my $slot = Slot->new(sub { require Carp; [200, [@TEXT], [Carp::longmess('here')]] });
    my $body = $slot->call(HTTP_COOKIE => 'SECRET', 'psgi.body' => 'SECRET')->{body};
    like($body, qr/Thralld::Worker::serve/, 'it comes as far as the runtime');
    unlike($body, qr/SECRET/, 'which passes references');
};

subtest 'a child forked in mid-stream' => sub {
    my $slot = Slot->new(sub {
        return sub {
            my $writer = $_[0]->([200, [@TEXT]]);
            my $pid    = fork;
            die "fork: $!\n" if !defined $pid;
            $writer->write($pid ? 'parent ' : 'child ');
            waitpid $pid, 0;
            $writer->write("$?");
            $writer->close;
        };
    });
    is($slot->call->{body}, 'parent 0', 'writes nothing');
};

subtest 'what the app executes inherits neither the slot nor its log' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], [scalar qx{ls -l /proc/self/fd}]] });
    is(strays($slot->call->{body}), strays(scalar qx{ls -l /proc/self/fd}), 'it has what the tests were started with');
};

# What an app may do to perl's variables: responses and logs do not heed it. Doing what one should
# not is the point of it.
## no critic (RequireLocalizedPunctuationVars ProhibitOneArgSelect RequireEncodingWithUTF8Layer)
my %meddling = (
    '$,'            => sub { $, = 'COMMA' },
    '$\\'           => sub { $\ = 'BACKSLASH' },
    '$/'            => sub { $/ = undef },
    '$"'            => sub { $" = 'QUOTE' },
    '$;'            => sub { $; = 'SEMICOLON' },
    '$_'            => sub { $_ = 'UNDERSCORE' },
    '$|'            => sub { $| = 0 },
    '$0'            => sub { $0 = 'renamed' },
    'select'        => sub { open my $fh, '>', \my $buffer or die; select $fh },
    'STDERR closed' => sub { close STDERR },
    'STDERR tied'   => sub { tie *STDERR,    'Swallow' },
    'STDERR utf8'   => sub { binmode STDERR, ':utf8' },
    'STDERR raw'    => sub { binmode STDERR },
    'STDOUT closed' => sub { close STDOUT },
    '__DIE__'       => sub {
        $SIG{__DIE__} = sub { die "handled: $_[0]" }
    },
    '__DIE__ exits' => sub {
        $SIG{__DIE__} = sub { $_[0] =~ /no good/ or exit 3 }
    },
    '__WARN__' => sub {
        $SIG{__WARN__} = sub { die @_ }
    },
    'chdir'        => sub { chdir '/' or die },
    '%ENV'         => sub { %ENV = () },
    '@INC'         => sub { @INC = () },
    '%INC'         => sub { %INC = () },
    'umask'        => sub { umask oct 77 },
    'srand'        => sub { srand 1 },
    'CHLD ignored' => sub { $SIG{CHLD} = 'IGNORE' },
);
## use critic
for my $name (sort keys %meddling) {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        $meddling{$name}->() if $env->{PATH_INFO} eq '/meddle';
        die "no good \x{e9}\x{263a}\n" if $env->{PATH_INFO} eq '/die';
        return [200, [@TEXT, 'X-A' => 'a', 'X-B' => 'b'], ['one', 'two']];
    });
    my $first = $slot->call(PATH_INFO => '/first');
    $slot->call(PATH_INFO => '/meddle');
    my $then = $slot->call(PATH_INFO => '/then');
    delete @{$_}{qw(time payload id)} for map { @{$_->{frames}} } $first, $then;
    is_deeply($then, $first, "$name: a response is the same afterwards");
    $slot->log;
    is($slot->call(PATH_INFO => '/die')->{status}, 500, "$name: a death is a 500");
    like(
        $slot->log,
        qr/\Athe app failed: (?:handled: )?no good \xc3\xa9\xe2\x98\xba\n\z/,
        "$name: a log line is the same"
    );
}

subtest 'an alarm that goes off between two requests, with a handler that dies' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        if ($env->{PATH_INFO} eq '/alarm') {
            $SIG{ALRM} = sub { die "too slow\n" };
            Time::HiRes::ualarm(500_000);    # not before the response is out
        }
        return [200, [@TEXT], ['hello']];
    });
    $slot->call(PATH_INFO => '/alarm');
    vec(my $ready = '', fileno $slot->{output}, 1) = 1;
    is(select($ready, undef, undef, 10), 1,                                                      'it goes off');
    is($slot->log,          "a signal handler of the app died between two requests: too slow\n", 'log');
    is($slot->call->{body}, 'hello',                                                             'the worker lives');
};

subtest 'an alarm that goes off while the app runs' => sub {
    my $response = answer_of(sub {
        my ($env) = @_;
        return [200, [@TEXT], ['hello']] if $env->{PATH_INFO} ne '/';
        local $SIG{ALRM} = sub { die "too slow\n" };
        Time::HiRes::ualarm(20_000);
        pipe my $silent, my $writer or die "pipe: $!\n";
        readline $silent;
        return [200, [@TEXT], ['never']];
    });
    is($response->{status},      500,                          'is a 500');
    is($response->{log},         "the app failed: too slow\n", 'log');
    is($response->{again}{body}, 'hello',                      'the worker lives');
};

subtest 'a signal with a handler while the worker waits' => sub {
    my $slot = Slot->new(sub {
        $SIG{USR1} = sub { print STDERR "noted\n" };
        [200, [@TEXT], ['hello']];
    });
    $slot->call;
    kill USR1 => $slot->{pid};
    is($slot->call->{body}, 'hello',   'the wait goes on');
    is($slot->log,          "noted\n", 'the handler has run');
};

subtest 'a request whose app has closed the log' => sub {
    my $response = answer_of(sub { close STDOUT; close STDERR; [200, [@TEXT], ['hello']] });
    is($response->{body}, 'hello', 'is answered');
};

done_testing;

package Swallow;    ## no critic (ProhibitMultiplePackages)

sub TIEHANDLE { my ($class) = @_; return bless [], $class }
sub PRINT     { die "PRINT of a tied STDERR\n" }

package Blocks;     ## no critic (ProhibitMultiplePackages)

my $armed;
sub arm { return $armed = 1 }
END { print STDERR "END has run\n" if $armed }
