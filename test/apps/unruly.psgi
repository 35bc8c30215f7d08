# Does what a well-behaved app would not, while it is loaded and by path.
use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(sleep ualarm);

BEGIN { print "printed at compile time\n" }
print "printed while loading\n";
print {*STDERR} "complained while loading\n";
chdir '/' or die "chdir: $!\n";

my %caught;
$SIG{$_} = sub { $caught{$_[0]}++ }
    for qw(TERM HUP INT USR1 USR2);    ## no critic (RequireLocalizedPunctuationVars)

sub answer { return [200, ['Content-Type' => 'text/plain'], [@_]] }

sub fork_or_die { return fork // die "fork: $!\n" }

my %app = (
    '/hello' => sub { return answer('hello') },
    '/print' => sub { print 'printed while running'; system 'echo', 'printed by a program'; return answer('clean') },
    '/cwd'   => sub { return answer(POSIX::getcwd()) },
    '/chdir' => sub { chdir '/usr' or die "chdir: $!\n"; return answer(POSIX::getcwd()) },
    '/lazy'  => sub { require Lazy;                      return answer(Lazy::word()) },
    '/big'   => sub {
        my ($env) = @_;
        return answer(
            length do { local $/ = undef; readline $env->{'psgi.input'} }
        );
    },

    '/fork-and-exit' => sub {
        my $pid = fork_or_die();
        exit 3 if !$pid;
        waitpid $pid, 0;
        return answer('the child said ', $? >> 8);
    },
    '/fork-and-return' => sub {
        my $pid = fork_or_die();
        waitpid $pid, 0 if $pid;
        return answer($pid ? 'the parent' : 'the child');
    },
    '/fork-and-die' => sub {
        my $pid = fork_or_die();
        die "the child died\n" if !$pid;
        waitpid $pid, 0;
        return answer('the parent');
    },
    '/fork-and-stream' => sub {
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            my $pid    = fork_or_die();
            waitpid $pid, 0 if $pid;
            $writer->write($pid ? 'the parent' : 'the child');
            $writer->close;
        };
    },
    '/fork-and-leave' => sub {
        my $pid = fork_or_die();
        return answer($pid) if $pid;
        sleep 0.05;
        print {*STDERR} "a child lived on\n";
        POSIX::_exit(0);
    },
    '/program' => sub { return answer(scalar `echo from a program; exit 2`, $? >> 8) },

    '/alarm' => sub {
        my $slept = eval {
            local $SIG{ALRM} = sub { die "alarm\n" };
            ualarm 20_000;
            sleep 30;
            'slept';
        };
        return answer($slept // "woken by $@");
    },
    '/alarm-later' => sub {
        $SIG{ALRM} = sub { die "alarm between requests\n" };    ## no critic (RequireLocalizedPunctuationVars)
        ualarm 500_000;                                         # not before the response is out
        return answer('alarm is set');
    },
    '/signals' => sub {
        kill $_ => $$ for qw(TERM HUP USR1);
        return answer(join q{ }, map { "$_=" . ($caught{$_} // 0) } qw(TERM HUP USR1));
    },
    '/children-ignored' => sub {
        local $SIG{CHLD} = 'IGNORE';
        my $pid = fork_or_die();
        POSIX::_exit(0) if !$pid;
        waitpid $pid, 0;
        return answer('the child is gone');
    },
    '/broken-pipe' => sub {
        pipe my $read_end, my $write_end or die "pipe: $!\n";
        close $read_end;
        my $written = syswrite $write_end, 'x';
        return answer(defined $written ? 'written' : "an error: $!");
    },
);

sub {
    my ($env) = @_;
    return $app{$env->{PATH_INFO}}->($env);
};
