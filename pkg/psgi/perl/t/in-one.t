# Most responses are answered by a short cut. What an app may do so that it must not
# be taken, and what it may do to the runtime while it is.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use Slot qw(answer_of);
use Test::More;
use Thralld::Frame qw(:all);
use Time::HiRes ();

my @TEXT = ('Content-Type' => 'text/plain');

subtest 'an app that always returns the same array finds it as it was' => sub {
    my @constant
        = ([200, [@TEXT], ['hello']], [200, [@TEXT], [('x' x 1000) x 200]], [200, [@TEXT, X => "\xe9"], ["\xe9"]],);
    for my $response (@constant) {
        my @before = map { ref() ? [@{$_}] : $_ } @{$response};
        my $slot   = Slot->new(sub {
            push @{$_[0]{'psgix.cleanup.handlers'}}, sub { }
                if $_[0]{PATH_INFO} eq '/2';
            $response;
        });
        my @bodies = map { $slot->call(PATH_INFO => "/$_")->{body} } 1 .. 3;
        is_deeply(\@bodies, [(join '', @{$before[2]}) x 3], 'each answer is the same');
        my $seen = Slot->new(sub {
            my ($env) = @_;
            return $response if $env->{PATH_INFO} eq '/';
            return [200, [], [join '|', map { ref() ? @{$_} : $_ } @{$response}]];
        });
        $seen->call;
        is(
            $seen->call(PATH_INFO => '/look')->{body},
            join('|', map { ref() ? @{$_} : $_ } @before),
            'nor has it changed'
        );
    }
};

subtest 'an app that goes on changing what it has returned' => sub {
    my (@headers, @body);
    my $slot = Slot->new(sub {
        @headers = (@TEXT, X => $_[0]{PATH_INFO});
        @body    = ("answer to $_[0]{PATH_INFO}");
        return [200, \@headers, \@body];
    });
    for my $path ('/1', '/2') {
        my $response = $slot->call(PATH_INFO => $path);
        is($response->{body}, "answer to $path", "$path: body");
        is_deeply($response->{headers}, [@TEXT, X => $path], "$path: header");
    }
};

subtest 'arrays that are tied' => sub {
    my $response = answer_of(sub {
        tie my @response, 'Tied', 200, tied_to(@TEXT, X => 1), tied_to('one ', undef, 'two');
        return \@response;
    });
    is($response->{status}, 200,       'status');
    is($response->{body},   'one two', 'body');
    is_deeply($response->{headers}, [@TEXT, X => 1], 'header');
    is($response->{log}, '', 'nothing is logged');

    $response = answer_of(sub { [200, tied_to(X => undef), []] });
    is($response->{status}, 500, 'an undefined value of a tied array is found');
    like($response->{log}, qr/: the value of the header X is undefined\n\z/, 'and named');
};

# What takes the long way has its objects asked once, too. PATH_INFO says which.
my %long = (
    plain   => sub { return '' },
    cleanup => sub {
        push @{$_[0]{'psgix.cleanup.handlers'}}, sub { };
        return '';
    },
    handlers => sub { $_[0]{'psgix.cleanup.handlers'} = 'none'; return '' },
    harakiri => sub { $_[0]{'psgix.harakiri.commit'}  = 1;      return '' },
    large    => sub { return 'x' x 140_000 },
    wide     => sub { return "\x{263a}" },
);
for my $name (sort keys %long) {
    subtest "an object in the body becomes text once: $name" => sub {
        my $slot = Slot->new(sub {
            my ($env) = @_;
            my $times = 0;
            my $text  = sub { my $more = $long{$name}->($env); print {*STDERR} "asked\n"; return ++$times . $more };
            return [200, [@TEXT], [bless $text, 'Lazy']];
        });
        my $response = $slot->call;
        is(() = $slot->log =~ /^asked$/mg, 1, 'once');
        my %want = (wide => 'Internal Server Error', large => '1' . 'x' x 140_000);
        ok($response->{body} eq ($want{$name} || '1'), 'and that is the answer');
        my $flags = $response->{flags} & (CLEANUP | LEAVING | FAILED);
        is($flags, {cleanup => CLEANUP, harakiri => LEAVING, wide => FAILED}->{$name} || 0,
            'what it asked for is done');
    };
}

subtest 'variables of perl that the app has changed' => sub {
    my $slot = Slot->new(sub {
        ($,, $\, $/, $;, $")
            = ('COMMA', 'END', undef, 'SEMICOLON', 'SPACE');    ## no critic (RequireLocalizedPunctuationVars)
        ($@, $!, $_, $|) = ("an error\n", 5, 'topic', 1);       ## no critic (RequireLocalizedPunctuationVars)
        return $_[0]{PATH_INFO} eq '/undef' ? undef : [200, [@TEXT, A => 'b'], ['one', 'two']];
    });
    for my $path ('/1', '/2') {
        my $response = $slot->call(PATH_INFO => $path);
        is($response->{body}, 'onetwo', 'body');
        is_deeply($response->{headers}, [@TEXT, A => 'b'], 'header');
    }
    is($slot->log, '', 'nothing is logged');
    $slot->call(PATH_INFO => '/undef');
    like($slot->log, qr/\Athe app broke the PSGI contract: the app returned undef; [^\n]*\n\z/, 'log');
};

subtest 'the app finds $@, $! and $_ as it has left them' => sub {
    my $slot = Slot->new(sub {
        my $found = defined $_ ? $_ : 'undef';
        $_ = $_[0]{PATH_INFO};    ## no critic (RequireLocalizedPunctuationVars)
        return [200, [@TEXT], [$found]];
    });
    $slot->call(PATH_INFO => '/1');
    is($slot->call(PATH_INFO => '/2')->{body}, '/1', 'the topic');
};

my @statuses = (
    ['200',                      200, 'a string'],
    [200.0,                      200, 'a fraction without one'],
    [2e2,                        200, 'an exponent'],
    ['099',                      99,  'a leading zero'],
    [bless(sub { 204 }, 'Lazy'), 204, 'an object'],
    ['2e2',                      500, 'a string with an exponent'],
    [' 20',                      500, 'a blank'],
    ['-20',                      500, 'a sign'],
    ["\x{0662}00",               500, 'a digit of another script'],
    [200.5,                      500, 'a fraction'],
    [20,                         500, 'two digits'],
    [2000,                       500, 'four digits'],
    ['',                         500, 'nothing'],
);
{
    my $slot = Slot->new(sub { [$statuses[substr $_[0]{PATH_INFO}, 1][0], [@TEXT], []] });
    for my $i (0 .. $#statuses) {
        my (undef, $want, $name) = @{$statuses[$i]};
        is($slot->call(PATH_INFO => "/$i")->{status}, $want, "a status that is $name");
    }
}

subtest 'what is destroyed with the response sends nothing behind it' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my $guard = bless {env => {%{$env}}}, 'Informing';
        return [200, [@TEXT], [bless sub { $guard && 'hello' }, 'Lazy']];
    });
    for (1 .. 2) {
        my $response = $slot->call;
        is($response->{body}, 'hello', 'the answer');
        is_deeply([map { $_->{type} } @{$response->{frames}}], [HEAD], 'in one frame');
    }
    is($slot->finish, "destroyed\n" x 2, 'and the log was open');
};

my $hint  = sub { $_[0]{'psgix.informational'}->(103, [Link => '</x>']) };
my %hints = (
    'while the app runs'          => sub { my ($env) = @_; $hint->($env); [200, [@TEXT], ['hello']] },
    'while the body becomes text' => sub {
        my ($env) = @_;
        return [200, [@TEXT], [bless sub { $hint->($env); 'hello' }, 'Lazy']];
    },
);
for my $when (sort keys %hints) {
    subtest "an informational response $when" => sub {
        my $slot = Slot->new($hints{$when});
        for (1 .. 3) {
            my $response = $slot->call;
            is($response->{body}, 'hello', 'the answer');
            is_deeply([map { $_->{type} } @{$response->{frames}}], [INFO, HEAD], 'the hint, and one answer');
            is($response->{frames}[$_]{id}, $slot->{id}, 'of this request') for 0, 1;
        }
        is($slot->finish, '', 'nothing is logged');
    };
}

subtest 'a child forked while the body becomes text does not answer' => sub {
    my $slot = Slot->new(sub {
        my $text = sub {
            my $pid = fork;
            die "fork: $!\n" if !defined $pid;
            return 'child' if !$pid;
            waitpid $pid, 0;
            return "the child ended with $?";
        };
        return [200, [@TEXT], [bless $text, 'Lazy']];
    });
    is($slot->call->{body}, 'the child ended with 0', 'the parent answers') for 1 .. 2;
};

subtest 'a handler that dies while an answer waits to be sent' => sub {
    my $slot = Slot->new(sub {
        $SIG{ALRM} = sub { print {*STDERR} "late\n"; die "too slow\n" };  ## no critic (RequireLocalizedPunctuationVars)
        Time::HiRes::alarm(0.05) if $_[0]{PATH_INFO} eq '/first';
        return [200, [@TEXT], ['x' x 100_000]];
    });
    my $count = 20;                                                       # more than a socket holds
    $slot->request(PATH_INFO => '/first');
    $slot->request for 2 .. $count;
    vec(my $output = '', fileno $slot->{output}, 1) = 1;
    is(select($output, undef, undef, 10), 1, 'the handler runs');
    my @answers = map { $slot->next_frame } 1 .. $count;
    is_deeply([map { $_->{id} } @answers], [1 .. $count], 'each request has one answer');
    cmp_ok(scalar(grep { $_->{status} == 500 } @answers), '<=', 1, 'of which one may be the failure');
    $slot->request;
    is($slot->next_frame->{id}, $count + 1, 'and the next has the next');
};

done_testing;

sub tied_to { my (@list) = @_; tie my @array, 'Tied', @list; return \@array }

package Tied;    ## no critic (ProhibitMultiplePackages)

sub TIEARRAY  { my ($class, @list) = @_; return bless \@list, $class }
sub FETCH     { return $_[0][$_[1]] }
sub FETCHSIZE { return scalar @{$_[0]} }

package Lazy;    ## no critic (ProhibitMultiplePackages)
use overload '""' => sub { $_[0]->() }, fallback => 1;

package Informing;    ## no critic (ProhibitMultiplePackages)

sub DESTROY {
    my ($self) = @_;
    $self->{env}{'psgix.informational'}->(103, [Link => '</x>']);
    print {*STDERR} "destroyed\n";
    return;
}
