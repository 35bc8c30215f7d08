package Thralld::Log;

use strict;
use warnings;

# Perl would look for it when the first layer is put on, by the app's @INC, of which a
# folder may be closed to it.
use PerlIO::via ();

# The request that is being run, if any.
our $id;

# How many bytes are marked and written at a time; 0 is all. What threads write
# to a pipe stays in one piece up to 4096 bytes.
our $run = 0;

# What CLONE_SKIP has taken the layer off: handles, and the layers above it.
our @detached;

my $pipe = '';    # device and inode of the worker's log
my @handles;

# attach makes a handle mark what is printed to it with the request that is
# being run, as long as it leads to the log: the Go process cannot know how far
# this process was when a line was printed.
sub attach {
    my ($handle) = @_;
    $pipe = _identity($handle);
    binmode $handle, ':via(Thralld::Log)' or die "cannot mark log lines: $!\n";
    $handle->autoflush(1);
    push @handles, $handle;
    return;
}

# CLONE_SKIP is called by perl before it copies itself for a thread, ours or one of
# the app. A layer that is written in Perl does not survive that: perl calls its
# PUSHED while half of the copy is missing. So it is taken off.
sub CLONE_SKIP {
    for my $handle (@handles) {
        my @layers = PerlIO::get_layers($handle, output => 1);
        my ($at) = grep { $layers[$_] =~ /^via\(Thralld::Log\)/ } 0 .. $#layers;
        next if !defined $at || tied *{$handle};
        my @above = @layers[$at + 1 .. $#layers];
        binmode $handle, ':pop' for 0 .. grep { $_ ne 'utf8' } @above;
        push @detached, [$handle, @above];
    }
    return 0;    # objects are copied
}

# CLONE is called by perl in the copy.
sub CLONE { return reattach() }

# reattach puts the layer back.
sub reattach {
    while (my $detached = shift @detached) {
        my ($handle, @above) = @{$detached};
        binmode $handle, join ':', ':via(Thralld::Log)', @above;
    }
    return;
}

sub _identity { return join ':', (stat $_[0])[0, 1] }

# PUSHED, UTF8, WRITE and FLUSH are what PerlIO::via calls.
sub PUSHED { my ($class) = @_; return bless [], $class }
sub UTF8   { return 0 }

# WRITE puts a run of output between RS ID US and RS US. What would look like such
# a mark in the output itself loses its RS.
sub WRITE {
    my ($self, $buffer, $fh) = @_;
    local ($!, $,, $\) = (0, '', '');
    my $length = length $buffer;
    if (defined $id && _identity($fh) eq $pipe) {
        $buffer =~ tr/\x1e/?/;
        return _write_runs($buffer, $fh) ? $length : -1 if $run;
        $buffer = "\x1e$id\x1f$buffer\x1e\x1f";
    }
    return print({$fh} $buffer) ? $length : -1;
}

sub _write_runs {
    my ($buffer, $fh) = @_;
    for (my $at = 0; $at < length $buffer; $at += $run) {
        my $text = substr $buffer, $at, $run;
        return 0 if !print({$fh} "\x1e$id\x1f$text\x1e\x1f") || !$fh->flush;
    }
    return 1;
}

sub FLUSH {
    my ($self, $fh) = @_;
    return !$fh || $fh->flush ? 0 : -1;
}

1;

__END__

=head1 NAME

Thralld::Log - marks what the app prints with the request that printed it

=head1 DESCRIPTION

A layer on STDOUT and STDERR of a worker. They stay real handles on real
descriptors; what other programs write to them, and what is written around
PerlIO, goes through unmarked. A handle that the app redirects elsewhere marks
nothing.

=cut
