use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use Slot qw(answer_of);
use Test::More;
use Thralld::Frame qw(:all);

my @TEXT = ('Content-Type' => 'text/plain');

subtest 'a small response is one frame' => sub {
    my $response = answer_of(sub { [201, [@TEXT, 'Set-Cookie' => 'a=1', 'Set-Cookie' => 'b=2'], ['hello ', 'world']] });
    is(scalar @{$response->{frames}}, 1,             'one frame');
    is($response->{flags},            END_RESPONSE,  'flags');
    is($response->{status},           201,           'status');
    is($response->{body},             'hello world', 'body');
    is_deeply($response->{headers}, [@TEXT, 'Set-Cookie' => 'a=1', 'Set-Cookie' => 'b=2'], 'header in its order');
    is($response->{log}, '', 'nothing is logged');
};

my @bodies = (
    ['an empty array',             [],                         ''],
    ['an empty element',           [''],                       ''],
    ['undefined elements',         [undef, 'a', undef, 'b'],   'ab'],
    ['the element 0',              ['0'],                      '0'],
    ['a number',                   [42],                       '42'],
    ['bytes',                      ["\x00\xff\xc3\xa9"],       "\x00\xff\xc3\xa9"],
    ['an object that is a string', [bless [], 'Text'],         'text of an object'],
    ['bytes marked as characters', [upgraded("caf\xe9\xff")],  "caf\xe9\xff"],
    ['bytes, marked and unmarked', [upgraded("\xe9"), "\xe9"], "\xe9\xe9"],
);
for (@bodies) {
    my ($name, $body, $want) = @{$_};
    my $response = answer_of(sub { [200, [@TEXT], $body] });
    is($response->{body}, $want, "body of $name");
    is($response->{log},  '',    "body of $name: nothing is logged");
}

subtest 'a status that is a string, and values that are objects or marked as characters' => sub {
    my $response = answer_of(sub { ['200', [Location => (bless [], 'Text'), 'X-Latin' => upgraded("\xe9")], []] });
    is($response->{status}, 200, 'status');
    is_deeply($response->{headers}, [Location => 'text of an object', 'X-Latin' => "\xe9"], 'header');
};

subtest 'a large body goes in pieces, and its length is known' => sub {
    my $body     = join '', map { pack 'N', $_ } 1 .. 100_000;
    my $response = answer_of(sub { [200, [@TEXT], [$body]] });
    ok($response->{body} eq $body, 'the body arrives');
    is_deeply($response->{headers}, [@TEXT, 'Content-Length' => 400_000],      'Content-Length is added');
    is_deeply([map { $_->{type} } @{$response->{frames}}], [HEAD, (BODY) x 4], 'frames');
    ok(!(grep { $_->{length} > MAX_FRAME } @{$response->{frames}}), 'none is larger than a frame may be');
    is($response->{flags}, END_RESPONSE, 'flags');
};

subtest 'a large body of the length that the app gave' => sub {
    my $response = answer_of(sub { [200, ['content-length' => 400_000], ['x' x 400_000]] });
    is_deeply($response->{headers}, ['content-length' => 400_000], 'no second Content-Length');
};

subtest 'a large body marked as characters' => sub {
    my $body     = "\xe9" x 200_000;
    my $response = answer_of(sub { [200, [], [upgraded($body)]] });
    ok($response->{body} eq $body, 'its bytes arrive');
    is_deeply($response->{headers}, ['Content-Length' => 200_000], 'the length is that of the bytes');
};

subtest 'HEAD of a large body has its length and not its bytes' => sub {
    my $response = answer_of(sub { [200, [], ['x' x 400_000]] }, REQUEST_METHOD => 'HEAD');
    is($response->{body}, '', 'body');
    is_deeply($response->{headers}, ['Content-Length' => 400_000], 'header');
};

subtest 'an app that is an object, and one that answers by an object' => sub {
    my $response = answer_of((bless [], 'Callable'));
    is($response->{body}, 'called for /', 'the object is called');
    $response = answer_of(sub {
        my ($env) = @_;
        return bless [sub { $_[0]->(Callable::app($env)) }], 'Callback';
    });
    is($response->{body}, 'called for /', 'the object is called with the responder');
};

# What is wrong, and what the log says of it. All of it is a 500, and the worker lives on.
my @breaches = (
    [undef,                    'the app returned undef; want [status, headers, body] or a callback'],
    [200,                      'the app returned "200"; want'],
    ["a\n\x{263a}",            'the app returned "a\x{a}\x{263a}"; want'],
    [{},                       'the app returned a reference to HASH; want'],
    [bless({}, 'Some::Class'), 'the app returned an object of Some::Class; want'],
    [[],                       'the response has 0 elements; want status, headers and body'],
    [[200, []],                'the response has 2 elements; want status, headers and body'],
    [[200, [], [], 1],         'the response has 4 elements; want status, headers and body'],
    [[200,     ['X'],            []],                     'the headers have an odd number of elements'],
    [[200,     {},               []],                     'the headers are a reference to HASH; want an array'],
    [[200,     undef,            []],                     'the headers are undef; want an array'],
    [[200,     ['X-A' => undef], []],                     'the value of the header X-A is undefined'],
    [[200,     [undef, 'x'],     []],                     'a header name is undefined'],
    [[0,       [],               []],                     'the status is "0"; want a number of three digits'],
    [['abc',   [],               []],                     'the status is "abc"; want'],
    [["200\n", [],               []],                     'the status is "200\x{a}"; want'],
    [[undef,   [],               []],                     'the status is undef; want'],
    [[[],      [],               []],                     'the status is an array of 0; want'],
    [[200,     [],               undef],                  'the body is undef; want an array or a handle'],
    [[200,     [],               {}],                     'the body is a reference to HASH; want an array or a handle'],
    [[200,     [],               'text'],                 'the body is "text"; want an array or a handle'],
    [[200,     [],               ["\x{263a}"]],           'the body holds a wide character: encode it'],
    [[200,     [],               ["\x{263a}" x 200_000]], 'the body holds a wide character: encode it'],
    [[200,     ['X' => "\x{263a}"],    []],               'a header holds a wide character: encode it'],
    [[200,     ['X' => 'x' x 210_000], []],               'the headers are larger than'],
);
{
    my $slot = Slot->new(sub { return $breaches[substr $_[0]{PATH_INFO}, 1][0] });
    for my $i (0 .. $#breaches) {
        my $want     = $breaches[$i][1];
        my $response = $slot->call(PATH_INFO => "/$i");
        is_deeply(
            [@{$response}{qw(status body flags)}],
            [500, 'Internal Server Error', END_RESPONSE | FAILED],
            "500: $want"
        );
        my $log = $slot->log;
        like($log, qr/\Athe app broke the PSGI contract: \Q$want\E/, "log: $want");
        is($log =~ tr/\n//, 1, 'in one line');
    }
}

my @deaths = (
    ['a message',               sub { die "no good\n" },      qr/\Athe app failed: no good\n\z/],
    ['a message without line',  sub { die 'no good' },        qr/\Athe app failed: no good at \S+ line \d+[.]\n\z/],
    ['an object with text',     sub { die bless [], 'Text' }, qr/\Athe app failed: text of an object\n\z/],
    ['an object that is false', sub { die bless [], 'Text::False' }, qr/\Athe app failed: an object of Text::False/],
    [
        'an object that dies as text',
        sub { die bless [], 'Text::Dies' },
        qr/\Athe app failed: an object of Text::Dies that has no text\n\z/
    ],
    ['a hash',          sub { die {code => 1} },  qr/\Athe app failed: HASH/],
    ['wide characters', sub { die "\x{263a}\n" }, qr/\Athe app failed: \xe2\x98\xba\n\z/],
    [
        'a destructor that evals', sub { my $guard = bless [], 'Guard'; die "lost?\n" },
        qr/\Athe app failed: lost[?]\n\z/
    ],
    ['a body element that dies', sub { [200, [], [bless [], 'Text::Dies']] },      qr/\Athe app failed: dies as text/],
    ['a header that dies',       sub { [200, [X => bless [], 'Text::Dies'], []] }, qr/\Athe app failed: dies as text/],
    ['next out of the app',      sub { next }, qr/: the app left its code by next or last\n\z/],
    ['last out of the app',      sub { last }, qr/: the app left its code by next or last\n\z/],
);
{
    my $slot = Slot->new(sub { return $deaths[substr $_[0]{PATH_INFO}, 1][1]->() });
    for my $i (0 .. $#deaths) {
        my ($name, undef, $want) = @{$deaths[$i]};
        is($slot->call(PATH_INFO => "/$i")->{status}, 500, "death by $name: 500");
        like($slot->log, $want, "death by $name: log");
    }
}

done_testing;

sub upgraded { my ($text) = @_; utf8::upgrade($text); return $text }

package Text;    ## no critic (ProhibitMultiplePackages)
use overload '""' => sub { 'text of an object' }, fallback => 1;

package Text::False;    ## no critic (ProhibitMultiplePackages)
use overload '""' => sub { '' }, bool => sub { 0 }, fallback => 1;

package Text::Dies;     ## no critic (ProhibitMultiplePackages)
use overload '""' => sub { die "dies as text\n" }, fallback => 1;

package Guard;          ## no critic (ProhibitMultiplePackages)

sub DESTROY {
    eval { 1 };
    return;
}

package Callable;       ## no critic (ProhibitMultiplePackages)
use overload '&{}' => sub { return \&app };
sub app { return [200, [], ["called for $_[0]{PATH_INFO}"]] }

package Callback;       ## no critic (ProhibitMultiplePackages)
use overload '&{}' => sub { return $_[0][0] };
