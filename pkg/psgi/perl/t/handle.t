use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use Fcntl qw(SEEK_CUR);
use File::Temp ();
use Slot qw(answer_of);
use Test::More;
use Thralld::Frame qw(:all);

my @TEXT = ('Content-Type' => 'text/plain');

subtest 'an object with getline is read to its end and closed once' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT], Body->new('one', 'two', 'three')] });
    my $response = $slot->call;
    is($response->{body},  'onetwothree',                   'body');
    is($response->{flags}, STREAM | END_RESPONSE | CLEANUP, 'each piece is to go out at once, and it ends');
    is($slot->finish,      "closed\n",                      'closed once');
};

my @pieces = (
    ['the line 0 is data',            ['a', '0', 'b'],               'a0b'],
    ['nothing at all',                [],                            ''],
    ['an empty piece is not the end', ['a', '', '', 'b'],            'ab'],
    ['empty pieces come first',       ['', '', 'b'],                 'b'],
    ['a piece larger than a frame',   ['x' x 300_000, 'y'],          'x' x 300_000 . 'y'],
    ['bytes marked as characters',    ["caf\xe9", upgraded("\xe9")], "caf\xe9\xe9"],
);
for (@pieces) {
    my ($name, $pieces, $want) = @{$_};
    my $slot     = Slot->new(sub { [200, [@TEXT], Body->new(@{$pieces})] });
    my $response = $slot->call;
    ok($response->{body} eq $want, "$name: the body arrives");
    is($response->{flags} & ABORT, 0,          "$name: it is complete");
    is($slot->finish,              "closed\n", "$name: closed once, and nothing else is logged");
}

subtest 'a body whose first piece is all that its head promises goes out in one frame' => sub {
    my $slot
        = Slot->new(sub { [200, [@TEXT, 'CONTENT-length' => 3], Body->new('one', sub { print STDERR "end\n"; undef })] }
        );
    $slot->request;
    my $head = $slot->next_frame;
    is_deeply([@{$head}{qw(type flags body)}], [HEAD, END_RESPONSE | CLEANUP, 'one'], 'the frame');
    is($slot->next_frame->{type}, IDLE,            'and the next one says that the worker is free');
    is($slot->finish,             "end\nclosed\n", 'after the body was read to its end and closed');
};

my @promises = (
    ['more than the first piece' => [6],                                   'one', 'two'],
    ['less than the first piece' => [2],                                   'one'],
    ['two lengths'               => [3, 'Content-Length' => 3],            'one'],
    ['a transfer coding'         => [3, 'Transfer-Encoding' => 'chunked'], 'one'],
    ['more than fits a frame'    => [140_000],                             'x' x 140_000],
);
for (@promises) {
    my ($name, $promise, @pieces) = @{$_};
    my $slot = Slot->new(sub { [200, [@TEXT, 'Content-Length' => @{$promise}], Body->new(@pieces)] });
    $slot->request;
    is($slot->next_frame->{flags},       STREAM,     "$name: the first frame is not the last");
    is($slot->response->{flags} & ABORT, 0,          "$name: Go has the last word");
    is($slot->finish,                    "closed\n", "$name: nothing is logged");
}

subtest 'a piece after all that the head promises is logged, and not sent' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT, 'Content-Length' => 3], Body->new('one', '', 'two', 'three')] });
    my $response = $slot->call;
    is($response->{body}, 'one', 'the body');
    is($slot->finish, "the app broke the PSGI contract: the body is longer than its Content-Length\nclosed\n", 'log');
};

subtest 'a death after all that the head promises is logged, and no more' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT, 'Content-Length' => 3], Body->new('one', sub { die "too late\n" })] });
    my $response = $slot->call;
    is_deeply([@{$response}{qw(status flags)}], [200, END_RESPONSE | CLEANUP], 'the response is whole');
    is($slot->finish, "the app failed after its response had begun: too late\nclosed\n", 'log');
};

subtest 'a handle that has nothing yet is asked again, with pauses' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], Body->new(('') x 9, sub { sprintf '%.2f', (times)[0] })] });
    my $head = do { $slot->request; $slot->next_frame };
    is_deeply([$head->{type}, $head->{flags}, $head->{body}], [HEAD, STREAM, ''],
        'the head does not wait for the body');
    cmp_ok($slot->response->{body}, '<', 1, 'the worker does not spin');
};

subtest 'HEAD closes the handle and does not read it' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT], Body->new(sub { print STDERR "read\n"; 'x' })] });
    my $response = $slot->call(REQUEST_METHOD => 'HEAD');
    is($response->{body}, '',         'no body');
    is($slot->finish,     "closed\n", 'closed, not read');
};

subtest 'a death in getline before anything was sent is a 500' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT], Body->new(sub { die "disk on fire\n" })] });
    my $response = $slot->call;
    is($response->{status}, 500,                                      'status');
    is($slot->finish,       "the app failed: disk on fire\nclosed\n", 'log, and closed once');
};

subtest 'a death in getline later cuts the response' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT], Body->new('one', sub { die "disk on fire\n" })] });
    my $response = $slot->call;
    is($response->{status},        200,   'the head was out');
    is($response->{flags} & ABORT, ABORT, 'the client learns that the body is not whole');
    is($slot->finish, "the app failed after its response had begun: disk on fire\nclosed\n", 'log, and closed once');
};

subtest 'a death in close is logged, and no more' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT], Body::Stuck->new('one')] });
    my $response = $slot->call;
    is($response->{body}, 'one',                                             'the response is complete');
    is($slot->finish,     "closing the response body failed: it is stuck\n", 'log');
};

subtest 'a wide character in a piece' => sub {
    my $slot     = Slot->new(sub { [200, [@TEXT], Body->new("\x{263a}")] });
    my $response = $slot->call;
    is($response->{status}, 500, 'in the first one it is a 500');
    is($slot->finish,       "the app failed: wide character in the response body: encode it\nclosed\n", 'log');

    $slot     = Slot->new(sub { [200, [@TEXT], Body->new('a', "\x{263a}")] });
    $response = $slot->call;
    is($response->{flags} & ABORT, ABORT, 'in a later one it cuts the response');
};

subtest 'an object without getline is a 500' => sub {
    my $response = answer_of(sub { [200, [@TEXT], bless {}, 'Nothing'] });
    is($response->{status}, 500, 'status');
    like($response->{log}, qr/Can't locate object method "getline" via package "Nothing"/, 'log');
};

subtest 'a client that leaves ends the reading, and the handle is closed' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], Body::Endless->new('tick')] });
    my $id   = $slot->request;
    is($slot->next_frame->{type}, HEAD, 'the response begins');
    $slot->tell(CANCEL, $id);
    my $response = $slot->response;
    is($response->{flags} & ABORT, ABORT,      'it is cut');
    is($slot->finish,              "closed\n", 'closed once');
};

subtest 'a client that leaves while the handle has nothing' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], Body::Endless->new('')] });
    my $id   = $slot->request;
    is($slot->next_frame->{type}, HEAD, 'the response begins');
    $slot->tell(CANCEL, $id);
    is($slot->response->{flags} & ABORT, ABORT,      'it is cut');
    is($slot->finish,                    "closed\n", 'closed once');
};

subtest 'the input record separator is a size while a handle is read' => sub {
    my $slot = Slot->new(sub { [200, [@TEXT], Body->new(sub { ref $/ ? ${$/} : 'a string' })] });
    is($slot->call->{body}, 65_536, 'of 64 KiB');
    $slot = Slot->new(sub { local $/ = 'x'; [200, [@TEXT], [$/]] });
    is($slot->call->{body}, 'x', 'and the app has its own otherwise');
};

subtest 'a pipe is read, not handed over' => sub {
    my $slot     = Slot->new(sub { open my $pipe, '-|', 'echo from a child' or die; [200, [@TEXT], $pipe] });
    my $response = $slot->call;
    is($response->{body},  "from a child\n", 'body');
    is($response->{flags}, END_RESPONSE,     'nobody waits for its pieces');
};

subtest 'an in-memory handle is read, not handed over' => sub {
    my $response = answer_of(sub { open my $fh, '<', \"in memory\n" or die; [200, [@TEXT], $fh] });
    is($response->{body}, "in memory\n", 'body');
};

my $file = File::Temp->new;
print {$file} map { "line $_\n" } 1 .. 10_000;
$file->flush;
my $size = -s $file;

subtest 'a file is handed over, and closed when it has been opened' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        return [200, [@TEXT], ['no file']] if $env->{PATH_INFO} ne '/';
        open my $fh, '<', "$file" or die "open: $!\n";
        return [200, [@TEXT], $fh];
    });
    my $response = $slot->call;
    is($response->{flags}, END_RESPONSE | FILE, 'flags');
    my ($fd, $offset, $length) = unpack 'N Q> Q>', $response->{body};
    is($offset, 0,     'from its beginning');
    is($length, $size, 'to its end');
    open my $theirs, '<', "/proc/$slot->{pid}/fd/$fd" or die "open: $!\n";
    is(readline $theirs,                          "line 1\n", 'the descriptor is the file');
    is($slot->call(PATH_INFO => '/next')->{body}, 'no file',  'the worker serves the next request meanwhile');
    ok(-e "/proc/$slot->{pid}/fd/$fd", 'and keeps the file');
    $slot->tell(ACK, 1);
    $slot->call(PATH_INFO => '/next');
    is(readlink("/proc/$slot->{pid}/fd/$fd") || 'closed', 'closed', 'it is closed after the acknowledgement')
        or diag $slot->log;
};

subtest 'a file that has been read from goes on from there' => sub {
    my $response = answer_of(sub { open my $fh, '<', "$file" or die; readline $fh; [200, [@TEXT], $fh] });
    is_deeply([(unpack 'N Q> Q>', $response->{body})[1, 2]], [7, $size - 7], 'offset and length');
};

subtest 'an object is handed over unless it has methods of its own' => sub {
    my $response = answer_of(sub { require IO::File; [200, [@TEXT], IO::File->new("$file", 'r')] });
    is($response->{flags} & FILE, FILE, 'IO::File');
    $response = answer_of(sub {
        @With::Path::ISA = 'IO::Handle';
        no warnings 'once';
        *With::Path::path = sub { '/etc/passwd' };
        open my $fh, '<', "$file" or die;
        readline $fh;
        [200, [@TEXT], bless $fh, 'With::Path'];
    });
    is($response->{flags} & FILE, FILE, 'a class that adds nothing to reading, as Plack::Util::set_io_path');
    is_deeply(
        [(unpack 'N Q> Q>', $response->{body})[1, 2]],
        [7, $size - 7],
        'and what counts is the handle, not its path'
    );
    $response = answer_of(sub {
        @With::Getline::ISA = 'IO::Handle';
        no warnings 'once';
        *With::Getline::getline = sub { my $line = readline $_[0]; defined $line ? uc $line : undef };
        open my $fh, '<', "$file" or die;
        [200, [@TEXT], bless $fh, 'With::Getline'];
    });
    is($response->{flags} & FILE, 0, 'a class with a getline of its own');
    like($response->{body}, qr/\ALINE 1\n/, 'which is called');
};

subtest 'an object that has a path, but is no handle, is read' => sub {
    no warnings 'once';
    @Counted::ISA  = 'Body';
    *Counted::path = sub { "$file" };
    my $slot     = Slot->new(sub { [200, [@TEXT], Counted->new('what getline says')] });
    my $response = $slot->call;
    is($response->{flags} & FILE, 0,                   'it is not handed over');
    is($response->{body},         'what getline says', 'as the file may hold something else');
    is($slot->finish,             "closed\n",          'closed once');
};

for my $layer (':encoding(UTF-8)', ':utf8', ':crlf') {
    my $response = answer_of(sub { open my $fh, "<$layer", "$file" or die; [200, [@TEXT], $fh] });
    is($response->{flags} & FILE, 0, "$layer: the layer translates, so the file is not handed over");
    ok($response->{body} =~ /\Aline 1\n.*line 10000\n\z/s, "$layer: its text arrives");
}

subtest 'a file with wide characters under a layer' => sub {
    my $wide = File::Temp->new;
    print {$wide} "\xe2\x98\xba";
    $wide->flush;
    my $response = answer_of(sub { open my $fh, '<:encoding(UTF-8)', "$wide" or die; [200, [@TEXT], $fh] });
    is($response->{status}, 500, 'is a 500');
    like($response->{log}, qr/wide character/, 'log');
};

subtest 'a directory is no file' => sub {
    my $response = answer_of(sub { open my $fh, '<', '/' or die; [200, [@TEXT], $fh] });
    is($response->{flags} & FILE, 0, 'it is not handed over');
};

subtest 'a worker that is told to quit keeps the file until it has been opened' => sub {
    my $slot = Slot->new(sub { open my $fh, '<', "$file" or die; [200, [@TEXT], $fh] });
    my ($fd) = unpack 'N', $slot->call->{body};
    $slot->tell(QUIT);
    is($slot->call->{status}, 200, 'it still serves what is queued');
    ok(-e "/proc/$slot->{pid}/fd/$fd", 'the first file is open');
    $slot->tell(ACK, $_) for 1, 2;
    is($slot->leave, 0, 'then it ends');
};

subtest 'a worker that leaves by itself keeps the file until it has been opened' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        $env->{'psgix.harakiri.commit'} = 1;
        open my $fh, '<', "$file" or die;
        return [200, [@TEXT], $fh];
    });
    my $response = $slot->call;
    is($response->{flags}, END_RESPONSE | FILE | LEAVING, 'flags');
    my ($fd) = unpack 'N', $response->{body};
    open my $theirs, '<', "/proc/$slot->{pid}/fd/$fd" or die "open: $!\n";
    is(readline $theirs, "line 1\n", 'the descriptor is still the file');
    $slot->tell(ACK, 1);
    is($slot->leave, 0, 'then it ends');
};

subtest 'a file with a header that is refused' => sub {
    my $slot     = Slot->new(sub { open my $fh, '<', "$file" or die; [200, ['X' => "\x{263a}"], $fh] });
    my $response = $slot->call;
    is($response->{status}, 500,                   'is a 500');
    is($response->{flags},  END_RESPONSE | FAILED, 'without the file');
    like($slot->finish, qr/a header holds a wide character/, 'and the worker can quit: nothing is held');
};

done_testing;

sub upgraded { my ($text) = @_; utf8::upgrade($text); return $text }

package Body;    ## no critic (ProhibitMultiplePackages)

sub new { my ($class, @pieces) = @_; return bless {pieces => \@pieces}, $class }

sub getline {
    my ($self) = @_;
    my $piece = shift @{$self->{pieces}};
    return ref $piece ? $piece->() : $piece;
}

sub close { print STDERR "closed\n"; return }

package Body::Endless;    ## no critic (ProhibitMultiplePackages)
use parent -norequire => 'Body';
sub getline { my ($self) = @_; return $self->{pieces}[0] }

package Body::Stuck;      ## no critic (ProhibitMultiplePackages)
use parent -norequire => 'Body';
sub close { die "it is stuck\n" }

package My::Handle;       ## no critic (ProhibitMultiplePackages)
use parent 'IO::File';
