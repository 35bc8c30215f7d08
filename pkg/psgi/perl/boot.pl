# thralld gives this program to perl on its standard input. The modules of the
# runtime follow it, behind __END__, each after a line "==== NAME"; so a worker
# needs no file of thralld's on the disk.
use strict;
use warnings;

BEGIN {
    if ($] < 5.014) {
        print STDERR "thralld needs perl 5.14 or newer, and $^X is perl $]\n";
        kill KILL => $$;
    }
}

my (undef, %source) = do { local $/; split /^==== (\S+)\n/m, <DATA> };
close DATA;    # or every message of the app would end in "<DATA> line 1."

my $embedded = sub {
    my (undef, $name) = @_;
    my $text = delete $source{$name};
    return if !defined $text;
    $INC{$name} = "thralld/$name";
    $text = qq{#line 1 "thralld/$name"\n$text};
    open my $fh, '<', \$text or die "cannot read $name: $!\n";
    return $fh;
};
unshift @INC, $embedded;
require Thralld::Template;
@INC = grep { !ref || $_ != $embedded } @INC;

open STDIN, '<', '/dev/null' or die "cannot open /dev/null: $!\n";
Thralld::Template->new($ARGV[0], $embedded)->run;
