# request_timeout: a request that never ends costs its client an answer and its worker the life, and
# nobody else anything.
use 5.014;
use warnings;

use lib 'test/lib';
use Site;
use Test::More;
use Time::HiRes qw(time);
use Visitors;

my $APP = <<'END';
use strict;
use warnings;

# A time that no test waits for, in pieces as a signal ends one.
sub hang { print {*STDERR} "hanging\n"; select undef, undef, undef, 60 while 1 }

sub {
    my ($env) = @_;
    my $path  = $env->{PATH_INFO};
    my @plain = ('Content-Type' => 'text/plain');
    local $SIG{TERM} = $env->{QUERY_STRING} eq 'deaf' ? 'IGNORE' : 'DEFAULT';
    hang() if $path eq '/hang';
    if ($path eq '/stream') {
        return sub {
            my $writer = $_[0]->([200, [@plain]]);
            $writer->write('begun');
            hang();
        };
    }
    push @{$env->{'psgix.cleanup.handlers'}}, \&hang if $path eq '/cleanup';
    return [200, [@plain], [$$]];
};
END

my $LIMIT = 2;

# What a machine may be late by. The app would hang without end.
my $LATE = 20;

sub site {
    my ($workers, @args) = @_;
    my $site = Site->new(later => 1, files => {'app.psgi' => $APP});
    $site->start(["--workers=$workers", "--request-timeout=$LIMIT", @args, $site->path('app.psgi')]);
    $site->wait_until(sub { $site->pids == $workers }, "$workers workers");
    return $site;
}

# overran waits until the log has told of a request that took too long, and of the end of its worker.
sub overran {
    my ($site, $request) = @_;
    my $event  = $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'request overran' && $_[0]{request} eq $request });
    my $exited = $site->exited($event->{pid});
    is $exited->{cause}, 'overran', 'the cause';
    return ($event, $exited);
}

subtest 'its client is told, and its worker is ended' => sub {
    my $site     = site(2);
    my $visitors = Visitors->new($site->daemon, target => '/pid');
    my $began    = time;
    my $response = $site->ask('/hang?a=1')->response;
    my $took     = time - $began;
    is $response->{status}, 504, 'the status';
    cmp_ok $took, '>=', $LIMIT,         'not before its time';
    cmp_ok $took, '<',  $LIMIT + $LATE, 'nor long after';
    my ($event, $exited) = overran($site, 'GET /hang');
    is $event->{level}, 'warn', 'the daemon has coped';
    my $hanging = $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'hanging' });
    is_deeply [@{$event}{qw(request_id worker)}], [@{$hanging}{qw(request_id worker)}],
        'which request, and which worker';
    is $exited->{status}, 'killed by signal 15 (SIGTERM)', 'TERM is enough for most';
    $site->wait_until(sub { $site->pids == 2 }, 'the next worker');
    my $seen = $visitors->leave;
    is_deeply [keys %{$seen->{status}}], [200], 'no other client notices' or diag explain $seen;
    my $failed = $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'request failed' });
    is_deeply [@{$failed}{qw(request_id status target)}], [$hanging->{request_id}, 504, '/hang?a=1'],
        'the request is in the log';
    is $site->status->{problem}, q{}, 'it is no failure of the app to live';
};

subtest 'one that heeds no TERM is killed, and nobody waits for that' => sub {
    my $site   = site(1);
    my $client = $site->ask('/hang?deaf');
    $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'hanging' });
    my $waiting = $site->ask('/pid');
    is $client->response->{status},  504, 'its client is told at once';
    is $waiting->response->{status}, 200, 'a request that waits behind it is run by another worker';
    is_deeply [$site->logged('worker exited')], [], 'while the first one still hangs';
    my (undef, $exited) = overran($site, 'GET /hang');
    is $exited->{status}, 'killed by signal 9 (SIGKILL)', 'five seconds after TERM it is killed';
};

subtest 'in the middle of a stream the connection is cut' => sub {
    my $site     = site(1);
    my $response = $site->ask('/stream')->response;
    is_deeply [@{$response}{qw(status body whole)}], [200, 'begun', 0], 'there is no end to it';
    my ($event) = overran($site, 'GET /stream');
    is $site->daemon->wait_for_log(qr/response cut/)->{request_id}, $event->{request_id}, 'the log says so';
    is $site->ask('/pid')->response->{status},                      200, 'the next request is answered';
};

subtest 'a cleanup handler has no more time than that' => sub {
    my $site     = site(1);
    my $response = $site->ask('/cleanup')->response;
    is $response->{status}, 200, 'the client has its answer';
    my $pid     = $response->{body};
    my $hanging = $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'hanging' });
    my $exited  = $site->exited($pid);
    is $exited->{cause}, 'overran', 'its worker is ended';
    my $event = $site->daemon->wait_for_log(sub { $_[0]{msg} eq 'request overran' });
    is $event->{request_id},  $hanging->{request_id}, 'the log names the request';
    is $event->{request},     'GET /cleanup',         'and its path';
    isnt $site->body('/pid'), $pid,                   'another one serves';
};

done_testing;
