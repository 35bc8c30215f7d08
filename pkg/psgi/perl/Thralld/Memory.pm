package Thralld::Memory;

use strict;
use warnings;

# How far from PL_sv_undef the interpreter's variables are looked for: with threads
# they are in one struct of some KiB, without in the data of perl or of libperl.
use constant {
    SPAN => 64 << 10,
    PAGE => 4096,
};

# new opens the memory of this process, so what forks has to open its own.
sub new {
    my ($class) = @_;
    die "this perl does not have pointers of 64 bits\n" if length(pack 'P', 'x') != 8 || length(pack 'J', 0) != 8;
    open my $handle, '<:raw', '/proc/self/mem' or die "cannot read /proc/self/mem: $!\n";
    my $self = bless {handle => $handle, layout => {}}, $class;

    my $page = 0 + \undef;
    $page -= $page % PAGE;
    my ($from, $to) = ($page, $page);
    $from -= PAGE while $page - $from < SPAN && length $self->bytes($from - PAGE, 1);
    $to   += PAGE while $to - $page < SPAN   && length $self->bytes($to,          1);
    @{$self}{qw(from length)} = ($from, $to - $from);
    return $self;
}

# bytes reads memory: less than $length, or nothing, where there is none.
sub bytes {
    my ($self, $at, $length) = @_;
    my $bytes = q{};
    return $bytes if $at < PAGE || $at >= 1 << 56 || !sysseek $self->{handle}, $at, 0;
    sysread $self->{handle}, $bytes, $length or $bytes = q{};
    return $bytes;
}

# words reads memory as up to $count pointers.
sub words {
    my ($self, $at, $count) = @_;
    return unpack 'J*', $self->bytes($at, 8 * $count);
}

# word reads a pointer, 0 where there is none.
sub word {
    my ($self, $at) = @_;
    return unpack 'J', $self->bytes($at, 8) . "\0" x 8;
}

# number reads 32 bits, 0 where there are none.
sub number {
    my ($self, $at) = @_;
    return unpack 'l', $self->bytes($at, 4) . "\0" x 4;
}

# text reads what a C string holds.
sub text {
    my ($self, $at) = @_;
    return unpack 'Z*', $self->bytes($at, PAGE - $at % PAGE) . $self->bytes($at + PAGE - $at % PAGE, PAGE);
}

# key reads a HEK, as perl shares the names of things: a hash of 32 bits, the length
# of the name, the name and a NUL. It is empty where there is none.
sub key {
    my ($self, $at) = @_;
    my $length = $self->number($at + 4);
    return q{} if $length < 1 || $length > PAGE;
    my $name = $self->bytes($at + 8, $length + 1);
    return length $name == $length + 1 && chop $name eq "\0" ? $name : q{};
}

# body returns where the part of a value is that differs from type to type, and type
# what type that is.
sub body { return $_[0]->word($_[1]) }
sub type { return $_[0]->number($_[1] + 12) & 0xff }

# frames returns the stack, innermost first, as lists of sub, file and line. The first
# has no sub; the others are calls of theirs, as caller tells them.
sub frames {
    my ($self) = @_;
    my $layout = $self->{layout};
    my @frames = ([q{}, $self->place($self->word($layout->{curcop}))]);
    my $info   = $self->word($layout->{curstackinfo});
    while ($info) {
        my $stack = $self->word($info + $layout->{si_cxstack});
        for my $i (reverse 0 .. $self->number($info + $layout->{si_cxix})) {
            my $context = $self->bytes($stack + $i * $layout->{cx_size}, $layout->{cx_size});
            my $type    = ord($context) & 15;
            next if $type != $layout->{cx_sub} && $type != $layout->{cx_eval};
            my ($cop, $cv) = map { unpack "x$_ J", $context } @{$layout}{qw(cx_oldcop cx_cv)};
            push @frames, [$type == $layout->{cx_sub} ? $self->name($cv) : '(eval)', $self->place($cop)];
        }
        $info = $self->word($info + $layout->{si_prev});
    }
    return @frames;
}

# place returns file and line.
sub place {
    my ($self, $cop) = @_;
    my $layout = $self->{layout};
    my $file   = $self->word($cop + $layout->{cop_file});
    my $name   = $layout->{cop_file_gv} ? substr $self->glob_name($file), 2 : $self->text($file);
    return ($name, $self->number($cop + $layout->{cop_line}));
}

# name returns the full name of a sub: that of its glob, or its own, where perl has
# done without a glob.
sub name {
    my ($self, $cv) = @_;
    my ($layout, $body) = ($self->{layout}, $self->body($cv));
    my ($name, $stash) = ($self->word($body + $layout->{cv_gv}), $self->word($body + $layout->{cv_stash}));
    if ($self->type($name) == $layout->{gv_type}) {
        $stash = $self->word($self->body($name) + $layout->{gv_stash});
        $name  = $self->glob_name($name);
    }
    else {
        $name = $self->key($name);
    }
    return $self->package_name($stash) . "::$name";
}

sub glob_name {
    my ($self, $gv) = @_;
    return $self->key($self->word($self->body($gv) + $self->{layout}{gv_name}));
}

# package_name reads the name of a stash, which perl 5.36 and later have in its body,
# and others behind its buckets.
sub package_name {
    my ($self, $stash) = @_;
    my $layout = $self->{layout};
    my $at     = $layout->{hv_name_behind} ? $self->behind($stash) : $self->body($stash);
    return $self->key($self->word($at + $layout->{hv_name}));
}

# behind returns the end of a hash's buckets.
sub behind {
    my ($self, $hv) = @_;
    return $self->word($hv + 16) + 8 * (1 + $self->word($self->body($hv) + $self->{layout}{hv_max}));
}

1;

__END__

=head1 NAME

Thralld::Memory - a process's own memory, and perl's stack in it

=head1 DESCRIPTION

Reads the memory of the process it runs in, through the file that Linux offers
for it, so that an address that leads nowhere is an empty answer and no crash.
With the layout that L<Thralld::Stack> fills in, C<frames> reads perl's stack
there: it is the twin of C<Layout.Read> in pkg/stack, and proves to
L<Thralld::Stack> that a layout is right.

=cut
