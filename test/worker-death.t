# Workers that die: who notices, who does not, and what the log knows about it.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Cwd qw(abs_path);
use Daemon;
use File::Temp ();
use Gate;
use Test::More;

my $app = 'test/apps/fragile.psgi';

sub asking {
    my ($daemon, $target, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($target, @fields);
    return $connection;
}

sub exited {
    my ($daemon, $pid) = @_;
    return $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker exited' && $_[0]{pid} == $pid });
}

subtest 'one that is killed before it has answered: 502, and the log tells all there is to know' => sub {
    my $daemon = Daemon->new(args => ['--workers=1', $app]);
    my $gate   = Gate->new($daemon);
    my $pid    = $daemon->get('/pid')->{content};
    my $client = asking($daemon, '/wait', $gate->field);
    my $there  = $gate->wait_for_app;
    kill KILL => $pid;
    my $response = $client->response;
    is $response->{status}, 502,             'the status';
    is $response->{body},   "Bad Gateway\n", 'in so many words';

    my $event = exited($daemon, $pid);
    is $event->{level},      'warn',                         'the daemon has coped';
    is $event->{worker},     $there->{worker},               'worker';
    is $event->{generation}, 1,                              'generation';
    is $event->{cause},      'crashed',                      'cause';
    is $event->{status},     'killed by signal 9 (SIGKILL)', 'how it ended';
    is_deeply $event->{requests_lost}, [$there->{request_id}],        'which request it was running';
    is_deeply $event->{last_lines},    ['last words', $there->{msg}], 'its last lines';
    my $failed = $daemon->wait_for_log(sub { $_[0]{msg} eq 'request failed' });
    is_deeply [@{$failed}{qw(request_id status target)}], [$there->{request_id}, 502, '/wait'], 'the request, too';

    my $next = $daemon->get('/pid');
    is $next->{status},    200,  'the next request is served';
    isnt $next->{content}, $pid, 'by another process';
};

subtest 'one that is killed after it has begun to answer: the connection is cut' => sub {
    my $daemon = Daemon->new(args => ['--workers=1', $app]);
    my $gate   = Gate->new($daemon);
    my $pid    = $daemon->get('/pid')->{content};
    my $client = asking($daemon, '/stream', $gate->field);
    my $there  = $gate->wait_for_app;
    kill KILL => $pid;
    my $response = $client->response;
    is $response->{body}, 'begun', 'what came before';
    ok !$response->{whole}, 'has no end';
    is $daemon->wait_for_log(qr/response cut/)->{request_id}, $there->{request_id}, 'the log says so';
    is_deeply exited($daemon, $pid)->{requests_lost}, [$there->{request_id}], 'and which worker it was';
};

subtest 'one that ends by its own doing is no different' => sub {
    my $daemon   = Daemon->new(args => ['--workers=1', $app]);
    my %words_of = (
        '/exit'  => 'exited with status 3',
        '/_exit' => 'exited with status 4',
        '/segv'  => qr/\Akilled by signal 11 [(]SIGSEGV[)]/,
    );
    for my $path (sort keys %words_of) {
        my $pid = $daemon->get('/pid')->{content};
        is asking($daemon, $path)->response->{status}, 502, "$path: 502";
        my $event = exited($daemon, $pid);
        is $event->{cause}, 'crashed', 'the cause';
        like $event->{status}, qr/$words_of{$path}/, 'how it ended';
    }
};

subtest 'requests that wait behind one that is lost are not lost' => sub {
    my $daemon  = Daemon->new(args => ['--workers=1', $app]);
    my $gate    = Gate->new($daemon);
    my $pid     = $daemon->get('/pid')->{content};
    my $lost    = asking($daemon, '/wait', $gate->field);
    my @waiting = map { asking($daemon, "/task?$_") } 1 .. 20;
    $gate->wait_for_app;
    kill KILL => $pid;
    is $lost->response->{status}, 502, 'one is lost';
    my @bodies = map { $_->response->{body} } @waiting;
    is_deeply [map { s/ by \d+//r } @bodies], [1 .. 20], 'the others are served by the next worker';
    is $daemon->stop, 0, 'the daemon ends, and all that its workers printed is in the log';
    my @ran = map { $_->{msg} =~ /\Aran (\d+)\z/ } $daemon->log_events;
    is_deeply [sort { $a <=> $b } @ran], [1 .. 20], 'each once';
};

subtest 'an idle one is replaced, and no client notices' => sub {
    my $daemon = Daemon->new(args => ['--workers=1', $app]);
    my $pid    = $daemon->get('/pid')->{content};
    kill KILL => $pid;
    is exited($daemon, $pid)->{requests_lost}, undef, 'no request is lost';
    my $response = $daemon->get('/pid');
    is $response->{status},    200,  'the next one is served, although there may be no worker yet';
    isnt $response->{content}, $pid, 'by the next worker';
};

subtest 'one that is killed while it cleans up has answered already' => sub {
    my $daemon = Daemon->new(args => ['--workers=1', $app]);
    my $gate   = Gate->new($daemon);
    my $pid    = asking($daemon, '/cleanup', $gate->field)->response->{body};
    $gate->wait_for_app;
    kill KILL => $pid;
    is exited($daemon, $pid)->{requests_lost}, undef, 'no request was lost';
    is $daemon->get('/pid')->{status},         200,   'the next one is served';
};

subtest 'kill -9 of all workers under load: 200 or 502, and never a wrong answer' => sub {
    my $workers = 3;
    my $daemon  = Daemon->new(args => ["--workers=$workers", $app]);
    my (%status, @wrong, %pid);
    my $number = 0;
    for my $round (1 .. 4) {
        my @clients = map { $number++; [$number, asking($daemon, "/task?$number")] } 1 .. 40;
        my ($first) = shift @clients;
        for my $client ($first, @clients) {
            my ($expected, $connection) = @{$client};
            my $response = $connection->response;
            $status{$response->{status}}++;
            my ($got, $pid) = $response->{body} =~ /\A(\d+) by (\d+)\z/;
            push @wrong, "$expected got $response->{body}"
                if $response->{status} == 200 && ($got // q{}) ne $expected || !$response->{whole};
            next if $client != $first;

            # One answer is there, so that others are being worked on.
            my %alive;
            for my $event ($daemon->log_events) {
                $alive{$event->{pid}} = 1 if $event->{msg} eq 'worker ready';
                delete $alive{$event->{pid}} if $event->{msg} eq 'worker exited';
            }
            kill KILL => keys %alive;
        }
    }
    is_deeply \@wrong,                                    [], 'every answer is whole and its own';
    is_deeply [grep { !/\A(?:200|502)\z/ } keys %status], [], 'the others are 502' or diag explain \%status;
    is $daemon->stop, 0, 'it ends well after all that';
    my @lost = map { @{$_->{requests_lost} // []} } grep { $_->{msg} eq 'worker exited' } $daemon->log_events;
    is @lost, $status{502} // 0, 'as many as the log says were being run';
    cmp_ok scalar @lost, '<=', 4 * $workers, 'one for each worker at most';
    my %ran;
    $ran{$_->{msg}}++ for grep { $_->{msg} =~ /\Aran / } $daemon->log_events;
    is_deeply [grep { $ran{$_} > 1 } keys %ran], [], 'and no request was run twice';
};

subtest 'the process that forks workers may die, too' => sub {
    my $folder     = File::Temp->newdir;
    my $daemon     = Daemon->new(cwd => $folder, args => ['--workers=1', abs_path($app)]);
    my ($template) = map { /\A(\d+) thralld: template/ ? $1 : () } Daemon->processes($folder);
    ok $template, 'there is one';
    my $pid = $daemon->get('/pid')->{content};
    kill KILL => $template;
    $daemon->wait_for_log(qr/template exited/);
    is $daemon->get('/pid')->{content}, $pid, 'its workers do not mind';
    kill KILL => $pid;
    exited($daemon, $pid);
    isnt $daemon->get('/pid')->{content}, $pid, 'and when one is needed, there is another template';
};

subtest 'an app that cannot be loaded any more leaves the workers that are there alone' => sub {
    my $folder = File::Temp->newdir;
    my $daemon = Daemon->new(args => ['--workers=2', $app], env => {TEST_FORBIDDEN => "$folder/forbidden"});
    $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker ready' && $_[0]{worker} == $_ }) for 0, 1;
    open my $forbidden, '>', "$folder/forbidden" or die "forbid: $!\n";
    close $forbidden or die "forbid: $!\n";
    kill KILL => $daemon->get('/pid')->{content};
    my $event = $daemon->wait_for_log(sub { ($_[0]{cause} // q{}) eq 'failed to boot' });
    is $event->{level}, 'error', 'somebody must act';
    like $event->{error}, qr/loading is forbidden/, 'on what Perl says';
    is $daemon->get('/pid')->{status}, 200, 'meanwhile the other worker serves';
    unlink "$folder/forbidden" or die "allow: $!\n";
    my $failed = grep { $_->{msg} eq 'worker ready' } $daemon->log_events;
    ok $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker ready' && --$failed < 0 }), 'once it can be loaded, it is';
};

done_testing;
