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

# is_of is whether an event is a line that the app printed for that request.
sub is_of {
    my ($event, $id) = @_;
    return ($event->{request_id} // q{}) eq $id && ($event->{logger} // q{}) eq 'app';
}

# lines_of are the lines of a request, once the last of them is there: an answer and what the worker printed
# before it come by different ways.
sub lines_of {
    my ($id, $last) = @_;
    $daemon->wait_for_log(sub { is_of($_[0], $id) && $_[0]{msg} =~ $last });
    return map { $_->{msg} } grep { is_of($_, $id) } $daemon->log_events;
}

subtest 'psgi.errors prints, and returns true' => sub {
    my $id = id_of('/errors', 'true');
    is_deeply [lines_of($id, qr/\Aby the builtin/)],
        ['by print, of two', 'by printf', 'with-separators!', 'by the builtin!'],
        'line by line, with its request';
};

subtest 'STDERR is cut in lines, whatever is printed at once' => sub {
    my $id    = id_of('/stderr');
    my @lines = lines_of($id, qr/\Aby a program\z/);
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
    my $id   = id_of('/long');
    my $left = 100_000;
    $daemon->wait_for_log(sub { is_of($_[0], $id) && ($left -= length $_[0]{msg}) <= 0 });
    my @lines = lines_of($id, qr//);
    is join(q{}, @lines), 'x' x 100_000, 'all of it';
    cmp_ok @lines, '>', 1, 'in several events';
};

subtest 'requests at the same time are told apart' => sub {
    my @clients = map { asking("/many?$_") } 1 .. 20;
    my @wrong;
    for my $number (1 .. 20) {
        my $response = shift(@clients)->response;
        my @lines    = lines_of($response->{fields}{'x-id'}[0], qr/\Aline 50 /);
        push @wrong, $number if "@lines" ne join q{ }, map { "line $_ of $number" } 1 .. 50;
    }
    is_deeply \@wrong, [], 'each has its own lines, all of them, in order';
};

subtest 'a request that prints nothing has nothing in the log' => sub {
    my $id = id_of('/quiet');
    lines_of(id_of('/errors', 'true'), qr/\Aby the builtin/) for 1 .. 2;    # what came before is there, too
    is_deeply [grep { is_of($_, $id) } $daemon->log_events], [], 'not a line';
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
