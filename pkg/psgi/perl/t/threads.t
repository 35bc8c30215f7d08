use strict;
use warnings;

use Config;
use File::Basename qw(dirname);
use File::Temp ();
use lib dirname(__FILE__) . '/lib';

use Generation;
use Slot;
use Test::More;
use Thralld::Frame qw(:all);
use Thralld::Threads;

my @TEXT = ('Content-Type' => 'text/plain');

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

my %app = (
    step => sub { my ($env) = @_; step(); [200, [@TEXT], ["$env->{PATH_INFO} in " . threads->tid]] },
    who  => sub { [200, [@TEXT], [threads->tid]] },
);

subtest 'as many requests as threads run at the same time in one process' => sub {
    my $slot = worker(4, sub { step(); [200, [@TEXT], [join ' ', $$, threads->tid, $_[0]{'psgi.multithread'}]] });
    $slot->request for 1 .. 4;
    running(4);
    release(4);
    my %tid;
    for my $frame (values %{answers($slot, 4)}) {
        my ($pid, $tid, $multithread) = split / /, $frame->{body};
        is($pid,         $slot->{pid}, 'in the worker');
        is($multithread, 1,            'psgi.multithread is true');
        $tid{$tid} = 1;
    }
    is(keys %tid, 4, 'each in a thread of its own');
};

subtest 'a worker that is told to quit' => sub {
    my $slot = worker(4, $app{step});
    $slot->request for 1 .. 2;
    running(2);
    quit($slot, 4);
    release(2);
    is(keys %{answers($slot, 2)}, 2, 'answers what it runs');
    is($slot->leave,              0, 'and ends well');
};

subtest 'a worker of whose threads all wait' => sub {
    my $slot = worker(3, $app{who});
    $slot->ready;
    quit($slot, 3);
    is($slot->leave, 0,  'ends well');
    is($slot->log,   '', 'without a word');
};

subtest 'a worker with more requests than threads' => sub {
    my $slot = worker(2, $app{who});
    $slot->request for 1 .. 9;
    quit($slot, 2);
    is(keys %{answers($slot, 9)}, 9, 'answers all that was queued before it was told to quit');
    is($slot->leave,              0, 'and ends well');
};

subtest 'a worker whose Go process is gone' => sub {
    my $idle = worker(3, $app{who});
    $idle->ready;
    delete $idle->{socket};
    is($idle->leave, 0, 'ends with all its threads');

    my $streams = worker(
        2,
        sub {
            return sub { my $writer = $_[0]->([200, []]); $writer->write('x') while 1 }
        }
    );
    $streams->request    for 1 .. 2;
    $streams->next_frame for 1 .. 4;
    delete $streams->{socket};
    is($streams->leave, 0, 'ends also when they all stream');
};

# An app that streams until its client has left, and says then who has left.
my $endless = sub {
    my ($env) = @_;
    return $app{who}->() if $env->{PATH_INFO} eq '/who';
    return sub {
        my $writer = $_[0]->([200, [@TEXT]]);
        step();
        $writer->write('x') while 1;
    };
};

# aborted reads on until the end of a response and returns its flags.
sub aborted {
    my ($slot, $id) = @_;
    while (my $frame = $slot->next_frame) {
        $slot->tell(ACK, $frame->{id}) if $frame->{type} == BODY;
        return $frame->{flags} & ABORT if $frame->{id} == $id && $frame->{flags} & END_RESPONSE;
    }
    return;
}

subtest 'that a client has left is read by an idle thread' => sub {
    my $slot = worker(3, $endless);
    my $id   = $slot->request;
    running(1);
    $slot->tell(CANCEL, $id);
    release(1);
    ok(aborted($slot, $id), 'and ends the response, in another');
};

subtest 'that a client has left is read by whichever thread looks' => sub {
    my $slot = worker(2, $endless);
    my @id   = map { $slot->request } 1, 2;
    running(2);
    release(2);
    $slot->tell(CANCEL, $id[1]);
    ok(aborted($slot, $id[1]), 'the second response ends');
    my $more = $slot->request(PATH_INFO => '/who');
    $slot->tell(CANCEL, $id[0]);
    ok(aborted($slot, $id[0]), 'and so does the first');
};

subtest 'that a client left whose response was complete already' => sub {
    my $slot = worker(2, $app{who});
    for (1 .. 100) {
        $slot->call;
        $slot->tell(CANCEL, $slot->{id});
    }
    is($slot->call->{status}, 200, 'touches nobody');
    quit($slot, 2);
    is($slot->leave, 0, 'and the worker ends well');
};

subtest 'a reader that is behind' => sub {
    my $slot = worker(
        2,
        sub {
            my ($env) = @_;
            return $app{who}->() if $env->{PATH_INFO} eq '/who';
            return sub { my $writer = $_[0]->([200, []]); $writer->write($_) for 1 .. 9; $writer->close }
        }
    );
    my $id   = $slot->request(PATH_INFO => '/stream');
    my $text = '';
    $text .= $slot->next_frame->{payload} for 0 .. 3;
    is(substr($text, -3), '123', 'a few pieces are sent ahead');
    for (1 .. 20) {
        my $other = $slot->request(PATH_INFO => '/who');
        is($slot->next_frame->{id}, $other, 'then only what other threads answer') or last;
    }
    for my $piece (4 .. 9) {
        $slot->tell(ACK, $id);
        is($slot->next_frame->{payload}, $piece, 'and a piece for each that was taken');
    }
    is($slot->next_frame->{flags}, END_RESPONSE | CLEANUP, 'the end waits for nobody');
};

subtest 'a file is open until the Go process has it, and no longer' => sub {
    my $folder = File::Temp->newdir;
    my $open   = sub {
        my ($slot) = @_;
        return scalar grep { (readlink || '') =~ /^\Q$folder\E/ } glob "/proc/$slot->{pid}/fd/*";
    };
    open my $fh, '>', "$folder/file" or die "open: $!\n";
    print {$fh} 'x' x 1000;
    close $fh or die "close: $!\n";
    for my $busy (0, 1) {
        my $slot = worker(
            3,
            sub {
                my ($env) = @_;
                return $app{step}->($env) if $env->{PATH_INFO} eq '/step';
                open my $file, '<', "$folder/file" or die "open: $!\n";
                return [200, [], $file];
            }
        );
        $slot->request(PATH_INFO => '/step') for 1 .. 2 * $busy;
        running(2) if $busy;
        my $id   = $slot->request;
        my $head = $slot->next_frame;
        is($head->{flags}, END_RESPONSE | FILE, 'a head that names it');
        is($open->($slot), 1,                   'open');
        $slot->tell(ACK, $id);
        release(2 * $busy);
        answers($slot, 2 * $busy);
        quit($slot, 3);
        is($slot->leave, 0, $busy ? 'ends, with the other threads busy' : 'ends, with the other threads idle');
    }
};

subtest 'harakiri: the worker ends after what its threads run' => sub {
    my $slot = worker(
        4,
        sub {
            my ($env) = @_;
            step();
            $env->{'psgix.harakiri.commit'} = $env->{PATH_INFO} eq '/last';
            return [200, [@TEXT], ['hello']];
        }
    );
    my $other = $slot->request(PATH_INFO => '/other');
    running(1);
    my @last = map { $slot->request(PATH_INFO => '/last') } 1, 2;
    running(2);
    release(3);
    my $answers = answers($slot, 3);
    is($answers->{$other}{body}, 'hello', 'another request is answered');
    is(scalar(grep { $_->{flags} & LEAVING } values %{$answers}),
        1, 'that the worker leaves is told once, however many threads want it');
    quit($slot, 4);    # as the Go process then does
    is($slot->leave, 0, 'the worker ends');
};

subtest 'harakiri decided by a cleanup handler' => sub {
    my $slot = worker(
        2,
        sub {
            my ($env) = @_;
            push @{$env->{'psgix.cleanup.handlers'}}, sub { $_[0]{'psgix.harakiri.commit'} = 1 };
            return [200, [@TEXT], ['bye']];
        }
    );
    is($slot->call->{frames}[-1]{flags}, LEAVING, 'is told when it is idle');
    quit($slot, 2);
    is($slot->leave, 0, 'the worker ends');
};

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

subtest 'one thread is none' => sub {
    my $app = file('one.psgi', 'sub { [200, [], [join " ", grep { /^threads/ } sort keys %INC, "psgi.multithread"]] }');
    is(Generation->new(app => $app)->worker->call->{body},               '', 'perl loads nothing for it');
    is(Generation->new(app => $app, threads => 2)->worker->call->{body}, 'threads.pm threads/shared.pm', 'but for two');
};

# raw is what a worker has printed, with the marks.
sub raw {
    my ($worker) = @_;
    my $text = '';
    while (sysread $worker->{output}, my $part, 65_536) { $text .= $part }
    return $text;
}

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
