# Does what PSGI forbids, by path.
use strict;
use warnings;

my @PLAIN = ('Content-Type' => 'text/plain');
my $file  = __FILE__;
my $kept;

sub stream {
    my ($headers, @pieces) = @_;
    return sub {
        my $writer = $_[0]->([200, [@PLAIN, @{$headers}]]);
        $writer->write($_) for @pieces;
        $writer->close;
    };
}

sub file {
    open my $body, '<', $file or die "open $file: $!\n";
    return $body;
}

my %app = (
    '/hello' => sub { return [200, [@PLAIN], ['hello']] },

    # What is no response at all.
    '/undef'         => sub { return },
    '/a-number'      => sub { return 42 },
    '/a-hash'        => sub { return {status => 200} },
    '/two-elements'  => sub { return [200, [@PLAIN]] },
    '/four-elements' => sub { return [200, [@PLAIN], [], 1] },
    '/status-0'      => sub { return [0,        [@PLAIN],                     []] },
    '/status-undef'  => sub { return [undef,    [@PLAIN],                     []] },
    '/status-words'  => sub { return ['200 OK', [@PLAIN],                     []] },
    '/status-1xx'    => sub { return [102,      [],                           []] },
    '/status-1000'   => sub { return [1000,     [@PLAIN],                     []] },
    '/headers-hash'  => sub { return [200,      {@PLAIN},                     []] },
    '/headers-odd'   => sub { return [200,      [@PLAIN, 'X-Odd'],            []] },
    '/value-undef'   => sub { return [200,      [@PLAIN, 'X-Undef' => undef], []] },
    '/body-undef'    => sub { return [200,      [@PLAIN],                     undef] },
    '/body-string'   => sub { return [200,      [@PLAIN],                     'text'] },
    '/body-number'   => sub { return [200,      [@PLAIN],                     42] },
    '/body-hash'     => sub { return [200,      [@PLAIN],                     {}] },
    '/body-useless'  => sub { return [200, [@PLAIN], bless [], 'Useless'] },

    # What would split a response, or does not belong in one.
    '/value-crlf'        => sub { return [200, [@PLAIN, 'X-Split'                  => "a\r\nSet-Cookie: evil=1"], []] },
    '/value-lf'          => sub { return [200, [@PLAIN, 'X-Split'                  => "a\nSet-Cookie: evil=1"],   []] },
    '/value-nul'         => sub { return [200, [@PLAIN, 'X-Split'                  => "a\0b"],                    []] },
    '/name-crlf'         => sub { return [200, [@PLAIN, "X-Split: a\r\nSet-Cookie" => 'evil=1'],                  []] },
    '/name-colon'        => sub { return [200, [@PLAIN, 'X-Split:'                 => 'a'],                       []] },
    '/name-empty'        => sub { return [200, [@PLAIN, q{}                        => 'a'],                       []] },
    '/name-status'       => sub { return [200, [@PLAIN, Status                     => '200 OK'],                  []] },
    '/transfer-encoding' => sub { return [200, [@PLAIN, 'Transfer-Encoding'        => 'gzip'],    ['abc']] },
    '/bad-chunks'        => sub { return [200, [@PLAIN, 'Transfer-Encoding'        => 'chunked'], ['not chunks']] },
    '/stream-crlf'       => sub { return stream(['X-Split' => "a\r\nSet-Cookie: evil=1"], 'x') },

    # Characters where bytes belong.
    '/wide-array'    => sub { return [200, [@PLAIN],                         ["\x{263a}"]] },
    '/wide-large'    => sub { return [200, [@PLAIN],                         [('x' x 100_000) x 3, "\x{263a}"]] },
    '/wide-header'   => sub { return [200, [@PLAIN, 'X-Wide' => "\x{263a}"], ['x']] },
    '/wide-handle'   => sub { return [200, [@PLAIN],                         Pieces->new("\x{263a}")] },
    '/wide-midway'   => sub { return [200, [@PLAIN],                         Pieces->new('begun', "\x{263a}")] },
    '/wide-stream'   => sub { return stream([], 'begun', "\x{263a}") },
    '/wide-1st-byte' => sub { return stream(['X-Wide' => "\x{263a}"], 'x') },

    # A Content-Length that is not the body's.
    '/array-short'  => sub { return [200, [@PLAIN, 'Content-Length' => 9],       ['abc']] },
    '/array-long'   => sub { return [200, [@PLAIN, 'Content-Length' => 2],       ['abc']] },
    '/file-short'   => sub { return [200, [@PLAIN, 'Content-Length' => 1e6],     file()] },
    '/file-long'    => sub { return [200, [@PLAIN, 'Content-Length' => 2],       file()] },
    '/length-words' => sub { return [200, [@PLAIN, 'Content-Length' => 'many'],  ['abc']] },
    '/length-twice' => sub { return [200, [@PLAIN, ('Content-Length' => 3) x 2], ['abc']] },
    '/handle-short' => sub { return [200, [@PLAIN, 'Content-Length' => 9],       Pieces->new(qw(a b c))] },
    '/handle-long'  => sub { return [200, [@PLAIN, 'Content-Length' => 2],       Pieces->new(qw(a b c))] },
    '/stream-short' => sub { return stream(['Content-Length' => 9], qw(a b c)) },
    '/stream-long'  => sub { return stream(['Content-Length' => 2], qw(a b c)) },

    # A body that fails.
    '/handle-dies'       => sub { return [200, [@PLAIN], Pieces->new('begun', undef)] },
    '/handle-dies-first' => sub { return [200, [@PLAIN], Pieces->new(undef)] },

    # The responder and the writer.
    '/never' => sub {
        return sub { }
    },
    '/twice' => sub {
        return sub { $_[0]->([200, [@PLAIN], ['first']]) for 1, 2 }
    },
    '/twice-stream' => sub {
        return sub {
            my $writer = $_[0]->([200, [@PLAIN]]);
            $writer->write('first');
            $_[0]->([200, [@PLAIN], ['second']]);
        };
    },
    '/keep' => sub {
        return sub { $kept = $_[0] }
    },
    '/late' => sub {
        my $said = eval { $kept->([200, [@PLAIN], ['late']]); 'nothing' } // $@;
        return [200, [@PLAIN], [$said]];
    },
    '/respond-undef' => sub {
        return sub { $_[0]->() }
    },
    '/respond-one' => sub {
        return sub { $_[0]->([200]) }
    },
    '/respond-body' => sub {
        return sub { $_[0]->([200, [@PLAIN], 'text']) }
    },
    '/lost' => sub {
        return sub { $_[0]->([200, [@PLAIN]])->write('begun'); return }
    },
    '/hoarded' => sub {
        return sub { $kept = $_[0]->([200, [@PLAIN]]); $kept->write('begun') }
    },
);

# A body of these pieces, that dies where one is undef.
package Pieces {    ## no critic (ProhibitMultiplePackages)
    sub new { my ($class, @pieces) = @_; return bless [@pieces], $class }

    sub getline {
        my ($self) = @_;
        return if !@{$self};
        return shift @{$self} // die "the body died\n";
    }
    sub close { print {*STDERR} "a body was closed\n" }    ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
}

sub {
    my ($env) = @_;
    return $app{$env->{PATH_INFO}}->($env);
};
