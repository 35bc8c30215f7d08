# What an app reads from psgi.input, wherever the daemon has put the request's body.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Digest::MD5 qw(md5_hex);
use File::Temp ();
use JSON::PP qw(decode_json);
use Test::More;

my $INLINE = 64 << 10;    # larger bodies go through a file

my $spool  = File::Temp->newdir;
my $daemon = Daemon->new(args => ['--workers=1', "--spool-dir=$spool", 'test/apps/input.psgi']);

# read_as posts a body to the app, which reads it in one of its ways.
sub read_as {
    my ($way, $body, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->request(POST => "/$way", body => $body, fields => \@fields);
    return told($connection->response);
}

sub told {
    my ($response) = @_;
    is $response->{status}, 200, 'the app has an answer' or diag $daemon->log_text;
    return decode_json($response->{body});
}

# body makes a body in which no two places look alike, of all bytes that there are.
sub body {
    my ($length) = @_;
    my $all      = join q{}, map { chr } 0 .. 255;
    my $body     = q{};
    $body .= length($body) . $all while length $body < $length;
    return substr $body, 0, $length;
}

# in_chunks frames a body in chunks of odd sizes.
sub in_chunks {
    my ($body) = @_;
    my $framed = q{};
    for (my $at = 0; $at < length $body; $at += 7777) {
        my $piece = substr $body, $at, 7777;
        $framed .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }
    return "${framed}0\r\n\r\n";
}

my %body_of = (
    'in memory' => body(1000),
    'in a file' => body($INLINE + 1000),
);

subtest 'bodies of every size are read in pieces, to their end' => sub {
    for my $length (0, 1, 10_000, $INLINE - 1, $INLINE, $INLINE + 1, 300_000, 2_000_000) {
        my $body = body($length);
        my $told = read_as(pieces => $body);
        is $told->{length},    $length,        "$length bytes";
        is $told->{digest},    md5_hex($body), 'unchanged';
        is $told->{after_end}, 0,              'behind the end read returns 0';
    }
};

subtest 'bodies in chunks are no different' => sub {
    for my $length (0, 1, $INLINE, $INLINE + 1, 300_000) {
        my $body       = body($length);
        my $connection = Connection->new($daemon);
        $connection->send("POST /pieces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" . in_chunks($body));
        my $told = told($connection->response);
        is $told->{length}, $length,        "$length bytes";
        is $told->{digest}, md5_hex($body), 'unchanged';
    }
};

subtest 'a request without a body has an input that is empty' => sub {
    my $connection = Connection->new($daemon);
    for my $method (qw(GET POST)) {
        $connection->request($method => '/pieces');
        my $told = told($connection->response);
        is $told->{length},    0, "$method: nothing to read";
        is $told->{after_end}, 0, 'and no error';
    }
};

for my $where (sort keys %body_of) {
    my $body = $body_of{$where};

    subtest "read with an offset puts the bytes there, $where" => sub {
        my $told = read_as(offset => '0123456' . $body);
        is_deeply $told->{counts}, [4, 2, 1], 'the counts are of what was read';
        is $told->{buffer}, "abc0123\0\0" . '46',
            'a gap is filled with zeros, and a negative offset counts from the end';
    };

    subtest "seek goes anywhere, $where" => sub {
        my $told = read_as(rewind => 'ABCDEF' . $body . 'XYZ');
        is $told->{same},   1,     'to the start: all of it comes again';
        is $told->{end},    'XYZ', 'near the end';
        is $told->{middle}, 'CDE', 'into the middle';
        is $told->{at},     5,     'and tell says where';
    };

    subtest "lines and characters are read as from any handle, $where" => sub {
        (my $rest = $body) =~ tr/\r\n//d;
        my $told = read_as(lines => "one\r\ntwo\nxyz\n$rest");
        is_deeply $told->{lines}, ["one\r\n", "two\n", 'x', "yz\n", $rest], 'lines keep their ends';
        is_deeply [@{$told}{qw(more eof)}], [1, 1], 'eof is true at the end, and not before';
    };

    subtest "Perl's own functions work on it, $where" => sub {
        my $told = read_as(builtins => "12345$body");
        is_deeply [@{$told}{qw(count buffer)}], [5, '12345'], 'read';
        is $told->{rest}, $body, 'readline';
        is_deeply [@{$told}{qw(opened eof)}], [1, 1], 'eof, and it counts as open';
    };

    subtest "reading from it once it is closed is an error, $where" => sub {
        is read_as(closed => $body)->{read},   undef,          'read returns undef';
        is read_as(pieces => $body)->{digest}, md5_hex($body), 'the next request has an input of its own';
    };

    subtest "a body that the app does not read is in nobody's way, $where" => sub {
        my $connection = Connection->new($daemon);
        for my $way (qw(ignored pieces ignored)) {
            $connection->request(POST => "/$way", body => $body);
            my $told = told($connection->response);
            is $told->{length}, length $body, 'the next request is read from its start' if $way eq 'pieces';
        }
    };

    subtest "Plack::Request reads forms and uploads, and content again, $where" => sub {
        my $form = join "\r\n", '--border', 'Content-Disposition: form-data; name="word"', q{}, 'yes',
            '--border', 'Content-Disposition: form-data; name="file"; filename="x.bin"', q{}, $body,
            '--border--', q{};
        my $told = read_as(form => $form, 'Content-Type: multipart/form-data; boundary=border');
        is $told->{parameters}{word}, 'yes',          'a parameter';
        is $told->{uploads}{file},    md5_hex($body), 'a file';
        is $told->{content},          md5_hex($form), 'the content, after that';
        is $told->{again},            md5_hex($form), 'and for the next who asks';
    };
}

subtest 'large bodies leave no file behind' => sub {
    my ($folder) = glob "$spool/*";
    ok $folder && -d $folder, 'the spool folder is there';
    is_deeply [glob "$spool/*/*"], [], 'and empty';
    $daemon->stop;
    is_deeply [glob "$spool/*"], [], 'it goes with the daemon';
};

done_testing;
