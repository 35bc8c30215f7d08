package Thralld::Stack;

use strict;
use warnings;

use Thralld::App;
use Thralld::Memory;

# layout returns where this perl keeps its stack, as text for ParseLayout in Go, or
# why that cannot be told. It takes a fork of the template for itself.
sub layout {
    my $text = eval {
        my $memory = Thralld::Memory->new;
        find_line($memory);
        find_stack($memory);
        one($memory);
        find_names($memory);
        find_file($memory);
        verify($memory);
        join q{ }, map { "$_=$memory->{layout}{$_}" } sort keys %{$memory->{layout}};
    };
    return $text if defined $text;
    (my $why = Thralld::App::message($@)) =~ s/\s+\z//;
    return "unavailable: $why";
}

# the returns the one thing that was found; lists are told apart by their elements.
sub the {
    my ($what, @found) = @_;
    my %different = map { (ref $_ ? "@{$_}" : $_) => $_ } @found;
    return (values %different)[0] if keys %different == 1;
    die "found $what of this perl in ", (@found ? 'more than one place' : 'no place'), "\n";
}

# common returns the first index at which each list holds what its first element says.
# Behind a short body follows another one, which may hold the same.
sub common {
    my ($what, @lists) = @_;
    my %times;
    for (@lists) {
        my ($want, @list) = @{$_};
        $times{$_}++ for grep { $list[$_] eq $want } 0 .. $#list;
    }
    my ($first) = sort { $a <=> $b } grep { $times{$_} == @lists } keys %times;
    return defined $first ? $first : the($what);
}

# find_line finds PL_curcop, which points to what holds the line being run. Each look
# is part of the statement that it looks for; and these statements are not alike, as
# something else may point to a fixed place in each.
sub find_line {
    my ($memory) = @_;
    my ($handle, $from, $length) = @{$memory}{qw(handle from length)};
    my (@lines, @images);
    ## no critic (ProhibitMixedBooleanOperators) one line, one statement
    sysseek $handle, $from, 0 and push @lines, __LINE__ and sysread $handle, $images[0], $length;
    sysread $handle, $images[1], $length if sysseek($handle, $from, 0) && push @lines, __LINE__;
    (undef, undef, $lines[2]) = (sysseek($handle, $from, 0), sysread($handle, $images[2], $length), __LINE__);
    @images = map { [unpack 'J*', $_] } @images;

    my @found;
    for my $i (0 .. $#{$images[0]}) {
        next if $images[0][$i] == $images[1][$i];
        my @statements = map { [$lines[$_], unpack 'l*', $memory->bytes($images[$_][$i], 64)] } 0 .. 2;
        my $at         = eval { common('it', @statements) };
        push @found, [$memory->{from} + 8 * $i, 4 * $at] if defined $at;
    }
    @{$memory->{layout}}{qw(curcop cop_line)} = @{the('the current line', @found)};
    return;
}

# find_stack finds PL_curstackinfo. sort runs its code on a stack of its own, which
# leads back to the one it came from. Twice, as copies of what is sought may lie about.
sub find_stack {
    my ($memory) = @_;
    my @area = @{$memory}{qw(from length)};
    my (@outside, @inside);
    for my $time (0, 1) {
        $outside[$time] = $memory->bytes(@area);
        my @sorted = sort { $inside[$time] ||= $memory->bytes(@area); $a <=> $b } 2, 1;
    }
    my @images = map { [unpack 'J*', $_] } @outside, @inside;
    my @found;
    for my $i (0 .. $#{$images[0]}) {
        my ($outer, $outer_again, $inner, $inner_again) = map { $_->[$i] } @images;
        next if $outer == $inner || $outer != $outer_again || $inner != $inner_again;
        my @info = $memory->words($inner, 8);
        push @found, map { [$memory->{from} + 8 * $i, 8 * $_] } grep { $outer && $info[$_] == $outer } 0 .. $#info;
    }
    @{$memory->{layout}}{qw(curstackinfo si_prev)} = @{the('the stack', @found)};
    return;
}

# Four calls and an eval follow each other here, the calls on different lines.
sub one {
    my ($memory) = @_;
    return two($memory);
}

sub two {
    my ($memory) = @_;
    return eval { three($memory) } || die $@;
}

sub three {
    my ($memory) = @_;
    return find_contexts($memory);
}

# find_contexts finds the contexts of these calls, which all have the same size and
# point to the line of the call; and how many contexts there are: a loop is one, too,
# while perl also counts without loops.
sub find_contexts {
    my ($memory) = @_;
    my ($handle, $layout) = @{$memory}{qw(handle layout)};
    my $at    = $memory->word($layout->{curstackinfo});
    my @lines = reverse map { (CORE::caller $_)[2] } 0 .. 4;
    my @info;
    sysseek $handle, $at, 0 and sysread $handle, $info[0], 64;
    for my $once (1) { sysseek $handle, $at, 0 and sysread $handle, $info[1], 64 }

    my @found;
    for my $i (0 .. 7) {
        my @words = $memory->words((unpack 'J*', $info[0])[$i], 512);
        my @line  = map { $memory->number($_ + $layout->{cop_line}) } @words;
        for my $first (grep { $line[$_] == $lines[0] } 0 .. $#line - 4) {
            for my $size (4 .. ($#line - $first) >> 2) {
                next if grep { $line[$first + $_ * $size] != $lines[$_] } 1 .. 4;
                push @found, [$i, $first, $size];
            }
        }
    }
    my ($i, $first, $size) = @{the('the calls', @found)};
    @{$layout}{qw(si_cxstack cx_size cx_oldcop)} = (8 * $i, 8 * $size, 8 * ($first % $size));
    my $index = int $first / $size;
    $layout->{si_cxix} = 4 * common('the depth', map { [$index + 4 + $_, unpack 'l*', $info[$_]] } 0, 1);

    my @contexts = map { $memory->bytes((unpack 'J*', $info[0])[$i] + 8 * $size * ($index + $_), 8 * $size) } 0 .. 4;
    my @types    = map { ord($_) & 15 } @contexts;
    $layout->{cx_eval} = splice @types, 2, 1;
    $layout->{cx_sub}  = the('the type of subs', @types);
    my %sub = (0 => \&one, 1 => \&two, 3 => \&three, 4 => \&find_contexts);
    $layout->{cx_cv} = 8 * common('the sub', map { [0 + $sub{$_}, unpack 'J*', $contexts[$_]] } keys %sub);
    return 1;
}

# find_names finds the way from a sub to its glob, and from both to their names and
# their package's.
sub find_names {
    my ($memory) = @_;
    my $layout = $memory->{layout};
    my %wide;
    keys %wide = 1000;
    my @body = $memory->words($memory->body(0 + \%wide), 8);
    $layout->{hv_max} = 8 * the('the size of a hash', grep { $body[$_] == 1023 || $body[$_] == 2047 } 0 .. $#body);

    my $stash = 0 + \%Thralld::Stack::;
    my %glob  = (one => \*one, two => \*two, three => \*three);
    my %code  = (one => \&one, two => \&two, three => \&three);
    my %in    = map { $_ => [$memory->words($memory->body(0 + $code{$_}), 16)] } keys %code;
    my %out   = map { $_ => [$memory->words($memory->body(0 + $glob{$_}), 16)] } keys %glob;
    $layout->{cv_gv}    = 8 * common('the name of a sub',     map { [0 + $glob{$_}, @{$in{$_}}] } keys %in);
    $layout->{cv_stash} = 8 * common('the package of a sub',  map { [$stash, @{$in{$_}}] } keys %in);
    $layout->{gv_stash} = 8 * common('the package of a glob', map { [$stash, @{$out{$_}}] } keys %out);
    $layout->{gv_name}  = 8 * common('the name of a glob',    map { [$_,     names($memory, @{$out{$_}})] } keys %out);
    $layout->{cv_type}  = the('the type of a sub',  map { $memory->type(0 + $_) } values %code);
    $layout->{gv_type}  = the('the type of a glob', map { $memory->type(0 + $_) } values %glob);

    my %stash = ('Thralld::Stack' => $stash, 'Thralld::App' => 0 + \%Thralld::App::, main => 0 + \%main::);
    for my $behind (0, 1) {
        my $name = eval {
            common(
                'the name of a package',
                map {
                    my $at = $behind ? $memory->behind($stash{$_}) : $memory->body($stash{$_});
                    [$_, names($memory, $memory->words($at, 16))]
                } keys %stash
            );
        };
        next if !defined $name;
        @{$layout}{qw(hv_name hv_name_behind)} = (8 * $name, $behind);
        return;
    }
    die "found the name of a package of this perl in no place\n";
}

sub names {
    my ($memory, @words) = @_;
    return map { $memory->key($_) } @words;
}

# find_file finds how a statement names its file: by text with threads, by a glob
# without.
sub find_file {
    my ($memory) = @_;
    my ($handle, $layout) = @{$memory}{qw(handle layout)};
    sysseek $handle, $layout->{curcop}, 0 and sysread $handle, my $cop, 8;
    my @words   = $memory->words(unpack('J', $cop), 16);
    my $by_glob = grep { $memory->glob_name($_) eq '_<' . __FILE__ } @words;
    my ($file, @names)
        = $by_glob
        ? ('_<' . __FILE__, map { $memory->glob_name($_) } @words)
        : (__FILE__, map { $memory->text($_) } @words);
    $layout->{cop_file}    = 8 * common('the file of a line', [$file, @names]);
    $layout->{cop_file_gv} = $by_glob ? 1 : 0;
    return;
}

# verify dies unless what is read in other places is what caller says.
sub verify {
    my ($memory) = @_;
    my $check    = sub { compare($memory) };
    my @sorted   = sort { $check->(); $a <=> $b } 2, 1;
    ## no critic (ProhibitStringyEval) a stack with an eval of text, and with subs that nobody refers to
    eval <<'END' or die $@;
package Thralld::Stack::Elsewhere;
sub inner { $_[0]->() for 1 }
# line 70001 "some other file"
sub outer { inner(@_) }
outer($check);
1;
END
    return;
}

# compare looks at the same calls twice. Above them, frames sees itself.
sub compare {
    my ($memory) = @_;
    my (@want, @call);
    push @want, "$call[3] $call[1] $call[2]" while @call = CORE::caller scalar @want;
    my @got = map { join q{ }, @{$_} } $memory->frames;
    splice @got, 0, @got - @want if @got > @want;
    for my $i (grep { $got[$_] ne $want[$_] } 0 .. $#got) {
        die "the stack as it was read is not that of this perl: $got[$i]; want $want[$i]\n";
    }
    die "the stack as it was read is too short\n" if @got < @want;
    return;
}

1;

__END__

=head1 NAME

Thralld::Stack - finds where this perl keeps its stack

=head1 DESCRIPTION

The Go process shows what Perl a worker is running, without the worker taking
part: it reads perl's structs in the worker's memory. Where they are and what
they look like differs between versions and builds of perl; so a fork of the
template looks around in its own memory for what it knows to be there: the line
that it runs, the calls that it has made, the names of its subs. As the workers
are forks of the same template, what holds for it holds for them.

The layout is numbers by name. C<curcop> and C<curstackinfo> are addresses, the
others offsets in bytes, sizes and types, with the names that perl's own headers
have for them. Nothing is taken on trust: in the end another stack is read, and
compared with what C<caller> says.

=cut
