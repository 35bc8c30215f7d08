# What the tests of this package look into: situations.pl SITUATION. It prints the
# layout, as a template tells it; the pid of a fork of this process, as workers are;
# and "ready", which is part of the statement that the fork is in from then on.
use strict;
use warnings;
use Errno ();
use Thralld::App;
use Thralld::Stack;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
no warnings 'recursion';

$| = 1;
my $ready = "ready\n";

if (!fork) {
    print Thralld::Stack::layout(), "\n";
    kill KILL => $$;
}
wait;
pipe my $never, my $open or die;
if (my $pid = fork) {
    waitpid $pid, 0;
    exit;
}
syswrite STDOUT, "$$\n";
# line 50
main->can($ARGV[0])->();
exit;

package Shop::Cart;
# line 100 "lib/Shop/Cart.pm"
sub total {
    my ($class, @items) = @_;
    my $sum = 0;
    for my $item (@items) {
        $sum += Shop::Price->of($item);
    }
    return $sum;
}

package Shop::Price;
# line 200 "lib/Shop/Price.pm"
sub of {
    my ($class, $item) = @_;
    return ask($item) if $item > 1;
    return 1;
}

sub ask {
    while (1) {
        syswrite STDOUT, $ready and sleep 3600;
    }
}

package main;
# line 300 "app.psgi"
sub asleep { Shop::Cart->total(1, 2) }

sub in_select { syswrite STDOUT, $ready and select undef, undef, undef, 3600 }

sub in_sysread { syswrite STDOUT, $ready and sysread $never, my $byte, 1 }

sub busy {
    syswrite STDOUT, $ready;
    while (1) { spin($_) for 1 .. 3 }
}

sub spin { return $_[0] ? spin($_[0] - 1) : 0 }

# line 400
sub by_number { syswrite STDOUT, $ready and sysread $never, my $byte, 1; $a <=> $b }

sub in_sort {
    my @sorted = sort by_number 3, 1, 2;
}

sub in_sort_block {
    my @sorted = sort { inner($a, $b) } 3, 1, 2;
}

sub inner { syswrite STDOUT, $ready and sleep 3600 }

# line 500
sub Guard::DESTROY { syswrite STDOUT, $ready and sleep 3600 }

sub in_destroy {
    my $guard = bless [], 'Guard'; undef $guard; return;
}

# line 600
sub Tied::TIEHASH { bless {}, shift }
sub Tied::FETCH   { syswrite STDOUT, $ready and sleep 3600 }

sub in_tie {
    tie my %config, 'Tied';
    my $name = $config{name};
}

# line 700
sub deep { descend(250) }

sub descend {
    my ($left) = @_;
    syswrite STDOUT, $ready and sleep 3600 if !$left;
    descend($left - 1);
}

# line 800
sub in_eval {
    my $code = sub {
        eval { inner() };
    };
    eval qq{# line 7 "text"\n\$code->(); 1} or die;
}

# line 900
sub odd_names {
    no strict 'refs';
    *{"Sp\x{e4}t::n\nl"} = sub { inner() };
    my $named = \&{"Sp\x{e4}t::n\nl"};
    require Sub::Util;
    Sub::Util::set_subname("Sp\x{e4}t::n\nl", $named)->();
}

# line 1000
sub in_anonymous {
    package Some::Module;
    my $code = sub { main::inner() };
    $code->();
}

sub compiles {
    eval qq{# line 7 "text"\nBEGIN { main::inner() }};
}

# line 1100
sub gone_package {
    my $code = do { no strict 'refs'; \&{'Short::Lived::sub'} };
    eval 'package Short::Lived; sub lives { main::inner() } 1' or die;
    my $lives = \&Short::Lived::lives;
    undef *Short::Lived::lives;
    undef %Short::Lived::;
    delete $Short::{'Lived::'};
    $lives->();
}

# line 1200
sub executes {
    syswrite STDOUT, "here\n";
    exec '/bin/sh', '-c', 'echo ready; exec sleep 3600' or die;
}

# Waiting that reports how long it was, in seconds.
# line 1300
sub waits {
    require IO::Poll;
    pipe my $read, my $write;
    my $began = clock_gettime(CLOCK_MONOTONIC);
    my $slept = sleep 1;
    my ($found, $left) = select undef, undef, undef, 0.25;
    my $polled = do { IO::Poll::_poll(250, fileno $read, IO::Poll::POLLIN(), my @none) };
    my $rin = '';
    vec($rin, fileno $read, 1) = 1;
    ($found) = select $rin, undef, undef, 0.25;
    Time::HiRes::sleep(0.25);
    printf "slept %d selected %d polled %d for %.3f\n", $slept, $found, $polled, clock_gettime(CLOCK_MONOTONIC) - $began;
}
