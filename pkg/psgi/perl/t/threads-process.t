use strict;
use warnings;

use Config;
use File::Basename qw(dirname);
use File::Temp ();
use lib dirname(__FILE__) . '/lib';

use Generation;
use Test::More;
use Thralld::Threads;
use Threaded qw(answers quit raw release running step worker);

my @TEXT = ('Content-Type' => 'text/plain');

my %app = (
    step => sub { my ($env) = @_; step(); [200, [@TEXT], ["$env->{PATH_INFO} in " . threads->tid]] },
    who  => sub { [200, [@TEXT], [threads->tid]] },
);

subtest 'exit in a thread ends the process' => sub {
    my $slot = worker(3, sub { exit 7 if $_[0]{PATH_INFO} eq '/exit'; $app{step}->(@_) });
    $slot->request(PATH_INFO => '/step');
    running(1);
    $slot->request(PATH_INFO => '/exit');
    is($slot->next_frame, undef, 'no response');
    is($slot->leave >> 8, 7,     'the status is that of the app');
};

subtest 'END blocks run once' => sub {
    Blocks::arm();
    my $slot = worker(3, $app{who});
    $slot->call;
    quit($slot, 3);
    $slot->leave;
    is($slot->log, "END has run\n", 'when the worker ends');
};

subtest 'lines of the log name the request of their thread' => sub {
    my $slot = worker(
        4,
        sub {
            my ($env) = @_;
            step();
            print STDERR 'a line ', "of $env->{PATH_INFO}", "\n";
            print STDERR 'x' x 10_000, "\n";
            return [200, [], []];
        }
    );
    $slot->request(PATH_INFO => "/$_", 'thralld.request_id' => "id/$_") for 1 .. 4;
    running(4);
    release(4);
    answers($slot, 4);
    my $text = raw($slot);
    my %printed;
    my $marked = qr/\x1e([^\x1f]+)\x1f([^\x1e]*)\x1e\x1f/;
    $printed{$1} .= $2 while $text =~ s/\A$marked//;
    is($text, '', 'each piece of the text is marked');
    is_deeply(
        \%printed,
        {map { ("id/$_" => "a line of /$_\n" . 'x' x 10_000 . "\n") } 1 .. 4},
        'with the request that printed it'
    );
};

subtest 'a child that comes back into the runtime' => sub {
    my $slot = worker(
        2,
        sub {
            my $pid = fork;
            die "fork: $!\n" if !defined $pid;
            return [200, [@TEXT], ['from the child']] if !$pid;
            waitpid $pid, 0;
            return [200, [@TEXT], ["the child ended with $?"]];
        }
    );
    is($slot->call->{body}, 'the child ended with 0', 'ends there');
    is($slot->call->{body}, 'the child ended with 0', 'and the worker lives');
};

my $folder = File::Temp->newdir;

# file writes a file of the app and returns its path.
sub file {
    my ($name, $source) = @_;
    open my $fh, '>', "$folder/$name" or die "cannot write $name: $!\n";
    print {$fh} $source;
    close $fh or die "cannot write $name: $!\n";
    return "$folder/$name";
}

subtest 'what each thread has of the process' => sub {
    my $app = file('thread.psgi', <<'EOT');
        sub {
            my ($env) = @_;
            pipe my $read, my $write; close $read;
            my $wrote = syswrite $write, 'x';
            sleep 1;
            [200, [], [join ' ', rand, $0, defined $wrote ? 'wrote' : 0 + $!, threads->get_stack_size]]
        }
EOT
    my $worker = Generation->new(app => $app, threads => 2, thread_stack_size => 1 << 20)->worker;
    $worker->request for 1 .. 2;
    my @got = map { [split / /, $_->{body}] } values %{answers($worker, 2)};
    isnt($got[0][0], $got[1][0], 'random numbers of its own');
    is_deeply([@{$_}[1 .. 3]], [$app, 32, 1 << 20], '$0, no death by SIGPIPE, the stack that was asked for') for @got;
};

subtest 'a thread of the app that does not end' => sub {
    my $slot = worker(
        2,
        sub {
            threads->create(sub { sleep 1 while 1 });
            [200, [], []];
        }
    );
    $slot->call;
    quit($slot, 2);
    is($slot->leave, 0, 'does not keep the worker');
};

subtest 'a signal for which the app has set a handler when it was loaded' => sub {
    my $app = file('signal.psgi', <<'EOT');
        $SIG{USR1} = sub { print STDERR "noted\n" };
        $SIG{TERM} = sub { print STDERR "bye\n"; exit 3 };
        sub { [200, [], ['hello']] }
EOT
    my $generation = Generation->new(app => $app, threads => 2);
    my $worker     = $generation->worker;
    is($worker->call->{body}, 'hello', 'the worker is ready');
    kill USR1 => $worker->{spawned};
    vec(my $ready = '', fileno $worker->{output}, 1) = 1;
    is(select($ready, undef, undef, Slot::LIMIT), 1,       'the handler runs, although all threads wait');
    is($worker->call->{body},                     'hello', 'the worker lives');
    kill TERM => $worker->{spawned};
    my $log = '';
    $log .= $worker->log while $log !~ /bye/ && select my $more = $ready, undef, undef, Slot::LIMIT;
    like($log, qr/^bye$/m, 'and ends, if that is what a handler wants');
};

subtest 'one thread is none' => sub {
    my $app = file('one.psgi', 'sub { [200, [], [join " ", grep { /^threads/ } sort keys %INC, "psgi.multithread"]] }');
    is(Generation->new(app => $app)->worker->call->{body},               '', 'perl loads nothing for it');
    is(Generation->new(app => $app, threads => 2)->worker->call->{body}, 'threads.pm threads/shared.pm', 'but for two');
};

# Perl can copy neither a layer that is written in Perl nor what lies on it.
subtest 'an app that has put a layer on STDERR' => sub {
    my $app = file('layer.psgi', <<'EOT');
        binmode STDERR, ':encoding(UTF-8)';
        sub { print STDERR "\x{263a}\n"; [200, [], ['hello']] }
EOT
    my $worker = Generation->new(app => $app, threads => 2)->worker;
    is($worker->call('thralld.request_id' => 'id')->{body}, 'hello', 'runs in threads');
    is(raw($worker), "\x1eid\x1f\xe2\x98\xba\n\x1e\x1f",             'with its layer and ours');
};

subtest 'an app that starts a thread of its own, in a worker without' => sub {
    my $app = file('own.psgi', <<'EOT');
        use threads;
        binmode STDERR, ':encoding(UTF-8)';
        sub {
            threads->create(sub { print STDERR "in it\n" })->join if $_[0]{PATH_INFO} eq '/thread';
            print STDERR "\x{263a}\n";
            [200, [], ['hello']];
        }
EOT
    my $worker = Generation->new(app => $app)->worker;
    is($worker->call(PATH_INFO => '/thread', 'thralld.request_id' => 'a')->{body}, 'hello', 'is answered');
    like(raw($worker), qr/\x1ea\x1fin it\n\x1e\x1f/, 'what the thread prints is that of its request');
    $worker->call('thralld.request_id' => 'b');
    is(raw($worker), "\x1eb\x1f\xe2\x98\xba\n\x1e\x1f", 'and the next request prints as ever');
};

subtest 'a perl without threads' => sub {
    local ((tied %Config)->{useithreads}) = undef;
    ok(!eval { Thralld::Threads::enable(4); 1 }, 'refuses');
    like($@, qr/\Athreads = 4: this perl \(\Q$^X\E, version 5[.]\d+[.]\d+\) is built without threads[.] Set/, 'why');
    like($@, qr/set threads = 1 .*or set the key perl/is, 'and what to do');
};

done_testing;

package Blocks;    ## no critic (ProhibitMultiplePackages)

my $armed;
sub arm { return $armed = $$ }
END { print STDERR "END has run\n" if $armed && $armed != $$ }
