package Threaded;

use strict;
use warnings;

use Exporter qw(import);
use Slot;
use Thralld::Frame qw(:all);

our @EXPORT_OK = qw(answers quit raw release running step worker);

# Apps say in one pipe that they run, and go on when there is a byte in the other.
pipe my $began,   my $begin or die "pipe: $!\n";
pipe my $to_stop, my $go or die "pipe: $!\n";

sub step { syswrite $begin, '.'; sysread $to_stop, my $byte, 1; return }
sub release { my ($n) = @_; syswrite $go, '.' x $n; return }

# running waits until that many requests run.
sub running {
    my ($n) = @_;
    local $SIG{ALRM} = sub { die "no $n requests run\n" };
    alarm Slot::LIMIT;
    $n -= sysread $began, my $bytes, $n while $n > 0;
    alarm 0;
    return;
}

# worker is a slot with threads.
sub worker {
    my ($threads, $app) = @_;
    return Slot->new($app, threads => $threads);
}

# quit does what the Go process does: one frame for each thread.
sub quit {
    my ($slot, $threads) = @_;
    $slot->tell(QUIT) for 1 .. $threads;
    return;
}

# answers collects the heads of that many responses of one frame, by id.
sub answers {
    my ($slot, $n) = @_;
    my %answer;
    for (1 .. $n) {
        my $frame = $slot->next_frame or die "the worker is gone\n";
        $answer{$frame->{id}} = $frame;
    }
    return \%answer;
}

# raw is what a worker has printed, with the marks.
sub raw {
    my ($worker) = @_;
    my $text = '';
    while (sysread $worker->{output}, my $part, 65_536) { $text .= $part }
    return $text;
}

1;

__END__

=head1 NAME

Threaded - a worker with threads under test, and apps that run until they are released

=cut
