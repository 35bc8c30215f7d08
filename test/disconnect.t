# Clients that leave, at every stage of their request.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use File::Temp ();
use Gate;
use Test::More;

my $spool = File::Temp->newdir;
my $daemon
    = Daemon->new(args => ['--workers=1', '--log-level=debug', "--spool-dir=$spool", 'test/apps/disconnect.psgi'],);

sub asking {
    my ($target, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($target, @fields);
    return $connection;
}

sub noted {
    my ($text, $id) = @_;
    return $daemon->wait_for_log(sub {
        my ($event) = @_;
        return $event->{msg} =~ /\Anoted: \Q$text\E/ && (!defined $id || $event->{request_id} eq $id);
    });
}

# left waits until the daemon has noticed that the client of a request has left.
sub left {
    my ($target) = @_;
    return $daemon->wait_for_log(sub { $_[0]{msg} eq 'client left' && $_[0]{target} eq $target });
}

# all_is_well: the one worker that there is serves the next request.
sub all_is_well {
    is asking('/hello')->response->{body}, 'hello', 'the next request is served';
    unlike $daemon->log_text, qr/worker exited/, 'by the same worker';
    return;
}

for my $way (qw(close reset)) {
    subtest "a client leaves during its upload, by $way" => sub {
        for my $sent (10, 200_000) {
            my $target     = "/hello?upload-$sent-$way";
            my $connection = Connection->new($daemon);
            $connection->send("POST $target HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" . 'x' x $sent);
            $connection->$way;
            left($target);
            unlike $daemon->log_text, qr/noted: asked for \Q$target\E/, "after $sent bytes: the app never hears of it";
        }
        all_is_well();
        is_deeply [glob "$spool/*/*"], [], 'no part of it is left on the disk';
    };

    subtest "a client leaves while it waits for a worker, by $way" => sub {
        my $gate  = Gate->new($daemon);
        my $first = asking('/wait', $gate->field);
        $gate->wait_for_app;
        my $leaving = asking("/hello?leaving-$way");
        my $staying = asking("/hello?staying-$way");
        $leaving->$way;
        left("/hello?leaving-$way");
        $gate->open;
        is $first->response->{body},   'waited', 'the request before it is served';
        is $staying->response->{body}, 'hello',  'and the one behind it';
        unlike $daemon->log_text, qr/noted: asked for .*leaving-$way/, 'the app never hears of it';
        all_is_well();
    };

    subtest "a client leaves while its request is run, by $way" => sub {
        my $gate    = Gate->new($daemon);
        my $leaving = asking("/wait?run-$way", $gate->field);
        $gate->wait_for_app;
        $leaving->$way;
        left("/wait?run-$way");
        my $next = asking('/hello');
        $gate->open;
        is $next->response->{body}, 'hello', 'what the app then returns is nobody else\'s answer';
        my $times = () = $daemon->log_text =~ /asked for .wait.run-$way/g;
        is $times, 1, 'and it was run once';
        all_is_well();
    };

    subtest "an app that streams to a client that has left is told by write, by $way" => sub {
        my $gate    = Gate->new($daemon);
        my $leaving = asking("/wait-and-stream?$way", $gate->field);
        my $id      = $gate->wait_for_app->{request_id};
        $leaving->$way;
        left("/wait-and-stream?$way");
        $gate->open;
        noted('write said: the client has left', $id);
        ok noted('it was told in time', $id), 'soon';
        all_is_well();
    };

    subtest "a body is not asked for more when its client has left, but closed, by $way" => sub {
        my $gate    = Gate->new($daemon);
        my $leaving = asking("/wait-and-endless?$way", $gate->field);
        my $id      = $gate->wait_for_app->{request_id};
        $leaving->$way;
        left("/wait-and-endless?$way");
        $gate->open;
        ok noted('the body was closed', $id), 'before the first piece';

        for my $target ("/endless?$way", "/nothing-yet?$way") {
            $leaving = asking($target);
            $id      = noted("asked for $target")->{request_id};
            $leaving->head;
            $leaving->$way;
            ok noted('the body was closed', $id), "in the middle of $target";
            my $closed
                = grep { $_->{msg} eq 'noted: the body was closed' && $_->{request_id} eq $id } $daemon->log_events;
            is $closed, 1, 'once';
        }
        all_is_well();
    };

    subtest "a client leaves in the middle of a response, by $way" => sub {
        my $file = File::Temp->new;
        truncate $file, 200 << 20 or die "make a large file: $!\n";
        for my $path (qw(/stream /array /file)) {
            my $leaving = asking("$path?$way", "X-File: $file");
            is $leaving->head->{status}, 200, "$path begins";
            $leaving->discard(1000);
            $leaving->$way;
            ok left("$path?$way"), 'the daemon notices';
            all_is_well();
        }
    };
}

subtest 'a stream whose client left is no failure of the app' => sub {
    my ($id) = map { $_->{request_id} }
        grep { $_->{msg} eq 'client left' && $_->{target} =~ m{\A/stream} } $daemon->log_events;
    ok $id, 'such a request';
    my @told = grep { ($_->{request_id} // q{}) eq $id && $_->{msg} !~ /\Anoted: / } $daemon->log_events;
    is_deeply [map { "$_->{level}: $_->{msg}" } @told], ['debug: client left'], 'is told in one line, for debugging';
};

subtest 'a client that leaves takes nothing from the others' => sub {
    my $gate = Gate->new($daemon);
    my $busy = asking('/wait', $gate->field);
    $gate->wait_for_app;
    my @others = map { asking("/hello?crowd-$_") } 1 .. 30;
    $others[$_]->close      for grep { $_ % 2 } 0 .. $#others;
    left("/hello?crowd-$_") for grep { !($_ % 2) } 1 .. 30;
    $gate->open;
    is $busy->response->{body}, 'waited', 'the one that all waited for';
    my @bodies = map { $others[$_]->response->{body} } grep { !($_ % 2) } 0 .. $#others;
    is_deeply \@bodies, [('hello') x 15], 'those who stayed';
    all_is_well();
    noted('asked for /hello?last') if asking('/hello?last')->response;    # behind all that the worker has noted
    my $asked = () = $daemon->log_text =~ /asked for .hello.crowd-/g;
    is $asked, 15, 'and nobody else was served';
};

done_testing;
