# What an app prints and complains of is in the log, line by line, and each line knows where it came from.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Daemon;
use Gate;
use Test::More;

my $app    = 'test/apps/errors.psgi';
my $daemon = Daemon->new(args => ['--workers=2', $app]);

sub asking {
    my ($target, @fields) = @_;
    my $connection = Connection->new($daemon);
    $connection->get($target, @fields);
    return $connection;
}

# id_of asks for a page, and returns the id of that request.
sub id_of {
    my ($target, $body) = @_;
    my $response = asking($target)->response;
    is $response->{body}, $body // 'done', "$target is answered";
    return $response->{fields}{'x-id'}[0];
}

sub lines_of {
    my ($id) = @_;
    return map { $_->{msg} }
        grep { ($_->{request_id} // q{}) eq $id && ($_->{logger} // q{}) eq 'app' } $daemon->log_events;
}

subtest 'psgi.errors prints, and returns true' => sub {
    my $id = id_of('/errors', 'true');
    is_deeply [lines_of($id)], ['by print, of two', 'by printf', 'with-separators!', 'by the builtin!'],
        'line by line, with its request';
};

subtest 'STDERR is cut in lines, whatever is printed at once' => sub {
    my $id    = id_of('/stderr');
    my @lines = lines_of($id);
    is_deeply [@lines[0 .. 3]], ['by warn', 'in pieces', 'two lines', 'at once'], 'lines';
    is $lines[5],                                    "tab\tand \e[1mcolour", 'other characters are kept';
    is scalar(grep { $_ eq 'by a program' } @lines), 1,                      'what a program prints is there, too';
    my @events = grep { ($_->{request_id} // q{}) eq $id } $daemon->log_events;
    is_deeply [grep { $_->{generation} != 1 || $_->{worker} !~ /\A[01]\z/ } @events], [],
        'each with worker and generation';
    is_deeply [grep { $_->{level} ne 'info' } @events], [], 'STDERR has no level: info';
};

subtest 'a line is logged when it is whole, not when its request is over' => sub {
    my $gate   = Gate->new($daemon);
    my $client = asking('/unfinished', $gate->field);
    my $there  = $daemon->wait_for_log(qr/a whole line/);
    ok $there->{request_id}, 'while the request is run';
    $daemon->wait_for_log(qr/a line that at the gate/);
    $gate->open;
    is $client->response->{body}, 'done', 'the end of a line may come later';
};

subtest 'a line without end is cut, and nothing of it is lost' => sub {
    my $id    = id_of('/long');
    my @lines = lines_of($id);
    is join(q{}, @lines), 'x' x 100_000, 'all of it';
    cmp_ok @lines, '>', 1, 'in several events';
};

subtest 'requests at the same time are told apart' => sub {
    my @clients = map { asking("/many?$_") } 1 .. 20;
    my @wrong;
    for my $number (1 .. 20) {
        my $response = shift(@clients)->response;
        my @lines    = lines_of($response->{fields}{'x-id'}[0]);
        push @wrong, $number if "@lines" ne join q{ }, map { "line $_ of $number" } 1 .. 50;
    }
    is_deeply \@wrong, [], 'each has its own lines, all of them, in order';
};

subtest 'a request that prints nothing has nothing in the log' => sub {
    my $id = id_of('/quiet');
    is_deeply [lines_of($id)], [], 'not a line';
};

subtest 'an app may redirect STDERR for a while' => sub {
    my $id = id_of('/redirected');
    $daemon->wait_for_log(qr/back again/);
    unlike $daemon->log_text, qr/into nothing/, 'what goes elsewhere is not in the log';
};

subtest 'each line of the log is one JSON object with time, level and message' => sub {
    my @bad = grep { !$_->{time} || !$_->{level} || !defined $_->{msg} } $daemon->log_events;
    is_deeply \@bad, [], 'all of them';
};

done_testing;
