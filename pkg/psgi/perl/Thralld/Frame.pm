package Thralld::Frame;

use strict;
use warnings;

use Errno qw(EINTR);
use Exporter qw(import);
use Fcntl qw(F_SETFD FD_CLOEXEC);
use Socket qw(MSG_NOSIGNAL);

# The same names and numbers as in frame.go; golden frames hold both to it.
use constant {
    MAX_FRAME => 200 << 10,
    MAX_PIECE => 128 << 10,

    REQUEST => 1,
    QUIT    => 2,
    CANCEL  => 3,
    ACK     => 4,

    READY => 16,
    HEAD  => 17,
    BODY  => 18,
    INFO  => 19,
    IDLE  => 20,
    LOG   => 21,
    FAIL  => 22,

    BOOT      => 32,
    SPAWN     => 33,
    CALIBRATE => 34,
    LOADED    => 48,
    SPAWNED   => 49,
    LAYOUT    => 50,

    END_RESPONSE => 1 << 0,
    STREAM       => 1 << 1,
    CLEANUP      => 1 << 2,
    LEAVING      => 1 << 3,
    ABORT        => 1 << 4,
    SPOOLED      => 1 << 5,
    FILE         => 1 << 6,
    FAILED       => 1 << 7,

    # What unpack makes of a REQUEST: flags, id, body, the layout of the environment, and
    # its text, which the layout unpacks; and of a list.
    # What pack makes a HEAD of: type, flags, id, status, microseconds, body, headers.
    # Perl reads them anew for each string: blanks cost time.
    REQUEST_LAYOUT => 'xCx2NN/aN/aa*',
    LIST_LAYOUT    => 'x8(N/a)*',
    HEAD_LAYOUT    => 'CCx2NnNN/a*(N/a*)*',
};

our @EXPORT_OK = qw(
    MAX_FRAME MAX_PIECE
    REQUEST QUIT CANCEL ACK READY HEAD BODY INFO IDLE LOG FAIL
    BOOT SPAWN CALIBRATE LOADED SPAWNED LAYOUT
    END_RESPONSE STREAM CLEANUP LEAVING ABORT SPOOLED FILE FAILED
    REQUEST_LAYOUT LIST_LAYOUT HEAD_LAYOUT
    open_descriptor read_frame send_frame frame_header
    frame frame_list frame_process head_frame info_frame file_ref
);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

# open_descriptor makes a handle of an inherited descriptor; what the app
# executes does not inherit it.
sub open_descriptor {
    my ($fd) = @_;
    open my $handle, '+<&=', $fd or die "cannot open descriptor $fd: $!\n";
    binmode $handle or die "binmode on descriptor $fd: $!\n";
    fcntl $handle, F_SETFD, FD_CLOEXEC or die "fcntl on descriptor $fd: $!\n";
    return $handle;
}

# read_frame waits for one frame and puts it in its second argument; false when
# the other side is gone.
sub read_frame {
    my ($socket) = @_;
    while (1) {
        my $n = sysread $socket, $_[1], MAX_FRAME;
        return $n if defined $n;
        return 0 if $! != EINTR;
    }
}

# send_frame waits until the frame is on its way; false when the other side is
# gone. The frame must hold bytes only.
sub send_frame {
    my ($socket, $frame) = @_;
    until (defined send $socket, $frame, MSG_NOSIGNAL) {
        return 0 if $! != EINTR;
    }
    return 1;
}

# frame_header returns type, flags and id.
sub frame_header { return unpack 'C C x2 N', $_[0] }

# frame makes any frame of its parts.
sub frame {
    my ($type, $flags, $id, $payload) = @_;
    return pack 'C C x2 N a*', $type, $flags, $id, $payload;
}

# frame_list makes a frame whose payload is a list of strings.
sub frame_list {
    my ($type, $id, @list) = @_;
    return pack 'C x3 N (N/a*)*', $type, $id, @list;
}

# frame_process makes a frame that names a process.
sub frame_process {
    my ($type, $id, $pid) = @_;
    return pack 'C x3 N N', $type, $id, $pid;
}

# head_frame makes the head of a response; time in microseconds.
sub head_frame {
    my ($flags, $id, $status, $time, $body, $headers) = @_;
    return pack HEAD_LAYOUT, HEAD, $flags, $id, $status, $time, $body, @{$headers};
}

# info_frame makes an informational response.
sub info_frame {
    my ($id, $status, $headers) = @_;
    return pack 'C x3 N n (N/a*)*', INFO, $id, $status, @{$headers};
}

# file_ref is the body of a head that carries FILE: descriptor, offset, length.
sub file_ref {
    my ($fd, $offset, $length) = @_;
    return pack 'N Q>2', $fd, $offset, $length;
}

1;

__END__

=head1 NAME

Thralld::Frame - the frames between the Go process and Perl

=head1 DESCRIPTION

Pure functions that make frames, and the two that move them. Twin of frame.go,
where the layout is described; golden frames in testdata/frames are read by the
tests of both.

=cut
