use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use Generation;
use Test::More;
use Thralld::Frame qw(:all);
use Thralld::Memory;
use Thralld::Stack;

my $HELLO = 'sub { [200, [], ["hello"]] }';

# layout is what a generation answers when it is asked.
sub layout {
    my ($generation) = @_;
    $generation->{control}->tell(CALIBRATE);
    my $frame = $generation->{control}->next_frame;
    is($frame->{type}, LAYOUT, 'a LAYOUT frame');
    return $frame->{payload};
}

# apart is what the code returns in a process of its own.
sub apart {
    my ($code) = @_;
    my $pid    = open my $output, '-|';
    die "fork: $!\n" if !defined $pid;
    if (!$pid) {
        syswrite STDOUT, $code->();
        kill KILL => $$;
    }
    local $/;
    my $text = readline $output;
    close $output;
    return $text;
}

subtest 'a template finds out where perl keeps its stack' => sub {
    my $generation = Generation->new(eval => $HELLO);
    my $text       = layout($generation);
    my %layout     = $text =~ /\G(\w+)=([0-9]+)(?: |\z)/g;
    is_deeply(
        [sort keys %layout],
        [
            sort qw(curcop curstackinfo cop_line cop_file cop_file_gv si_cxstack si_cxix si_prev cx_size cx_sub cx_eval
                cx_oldcop cx_cv cv_type cv_gv cv_stash gv_type gv_name gv_stash hv_name hv_name_behind hv_max)
        ],
        'the layout is complete'
    ) or diag $text;
    is(layout($generation),               $text,   'asked again it says the same');
    is($generation->worker->call->{body}, 'hello', 'a worker is spawned thereafter');
    is($generation->log,                  '',      'nothing is in the log');
};

subtest 'nothing of it stays in the template' => sub {
    my $generation
        = Generation->new(eval => 'sub { [200, [], [join q{ }, grep { /Stack|Memory/ } sort keys %INC, @INC]] }');
    layout($generation);
    is($generation->worker->call->{body}, '', 'no module is loaded');
};

subtest 'what an app has made of its process when it is loaded does no harm' => sub {
    my $generation = Generation->new(
        preload => 1,
        eval    => <<'END',
$SIG{$_} = 'IGNORE' for qw(ALRM CHLD);
$SIG{__DIE__} = $SIG{__WARN__} = sub { print "a handler ran\n" };
END { print "END ran\n" }
BEGIN { *CORE::GLOBAL::caller = sub (;$) { return } }
$/ = \1; $\ = 'x'; $, = 'y'; $" = 'z'; @ARGV = 'file'; chdir '/';
sub { [200, [], ["hello"]] }
END
    );
    like(layout($generation), qr/\bcurcop=[0-9]+ /, 'the layout is found');
    is($generation->log, '', 'nothing is in the log');
};

subtest 'deep in calls the stack is found as well' => sub {
    no warnings 'recursion';
    my $deep;
    $deep = sub { $_[0] ? $deep->($_[0] - 1) : Thralld::Stack::layout() };
    like(apart(sub { $deep->($_) }), qr/\bcurcop=[0-9]+ /, "$_ calls") for 1, 5, 20;
};

subtest 'a perl that is not as it is expected to be' => sub {
    my @broken = (
        [
            name => 'other',
            'the stack as it was read is not that of this perl: other \S+ \d+; want Thralld::\S+ \S+ \d+'
        ],
        [key    => q{}, 'found the name of a glob of this perl in no place'],
        [number => 0,   'found the calls of this perl in no place'],
    );
    for (@broken) {
        my ($part, $result, $why) = @{$_};
        no strict 'refs';
        no warnings 'redefine';
        local *{"Thralld::Memory::$part"} = sub { $result };
        like(apart(\&Thralld::Stack::layout), qr/\Aunavailable: $why\z/, "$part is of no use");
    }
};

subtest 'an address that leads nowhere' => sub {
    my $memory = Thralld::Memory->new;
    for my $at (0, 1, 4096, 1 << 55, 1 << 62, ~0) {
        is($memory->bytes($at, 8), q{}, "$at: no bytes");
        is($memory->word($at),     0,   "$at: no word");
        is($memory->key($at),      q{}, "$at: no name");
    }
};

# address is where a string is that lives on.
sub address { return unpack 'J', pack 'P', $_[0] }

subtest 'a perl without threads names the file of a statement by a glob' => sub {
    my $glob      = do { no strict 'refs'; \*{"main::_<$INC{'Thralld/Stack.pm'}"} };
    my $statement = pack 'J2 L4 J10', 0, 0, 0, 77, 0, 0, 0 + $glob, (0) x 9;
    my $curcop    = pack 'J', address($statement);
    my $memory    = Thralld::Memory->new;
    @{$memory->{layout}}{qw(curcop cop_line gv_name)} = (address($curcop), 20, 32);
    Thralld::Stack::find_names($memory);
    Thralld::Stack::find_file($memory);
    is("@{$memory->{layout}}{qw(cop_file cop_file_gv)}", '32 1', 'the glob is found');
    is_deeply([$memory->place(address($statement))], [$INC{'Thralld/Stack.pm'}, 77], 'and read');
};

subtest 'a perl before 5.36 has the name of a package behind its buckets' => sub {
    my $key    = pack 'L l/a* x2', 0, 'Some::Package';
    my $array  = pack 'J8 J2', (0) x 8, 0, address($key);
    my $body   = pack 'J4',     0, 0, 0, 7;
    my $stash  = pack 'J L2 J', address($body), 1, 12, address($array);
    my $memory = Thralld::Memory->new;
    @{$memory->{layout}}{qw(hv_max hv_name hv_name_behind)} = (24, 8, 1);
    is($memory->package_name(address($stash)), 'Some::Package', 'it is read');
};

done_testing;
