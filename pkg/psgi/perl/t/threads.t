use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp ();
use lib dirname(__FILE__) . '/lib';

use Config;
use Test::More $Config{useithreads} ? () : (skip_all => 'this perl is built without threads');
use Thralld::Frame qw(:all);
use Threaded qw(answers quit release running step worker);

my @TEXT = ('Content-Type' => 'text/plain');

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

done_testing;
