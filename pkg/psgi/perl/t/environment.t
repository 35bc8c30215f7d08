use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';

use File::Temp ();
use JSON::PP ();
use Slot qw(answer_of);
use Test::More;
use Thralld::Frame qw(:all);

# seen runs code with the environment of a request in a worker, and returns what it returned.
sub seen {
    my ($code, %request) = @_;
    my $app      = sub { return [200, [], [JSON::PP->new->latin1->allow_nonref->encode($code->($_[0]))]] };
    my $response = answer_of($app, %request);
    return JSON::PP->new->latin1->allow_nonref->decode($response->{body}) if $response->{status} == 200;
    return fail("status $response->{status}: $response->{log}");
}

# input is seen with a body, first in the frame and then in a spool file.
sub input {
    my ($body, $code) = @_;
    my $spool = File::Temp->new;
    print {$spool} $body;
    $spool->flush;
    my $inline  = seen(sub { $code->($_[0]{'psgi.input'}) }, REQUEST_METHOD => 'POST', body       => $body);
    my $spooled = seen(sub { $code->($_[0]{'psgi.input'}) }, REQUEST_METHOD => 'POST', spool_file => "$spool");
    is_deeply($spooled, $inline, 'a spooled body reads as one in the frame');
    return $inline;
}

subtest 'the environment has every key of PSGI, of its type' => sub {
    my $env = seen(sub {
        my ($env) = @_;
        return {map { $_ => ref $env->{$_} || $env->{$_} } keys %{$env}};
    });
    my %want = (
        REQUEST_METHOD           => 'GET',
        SCRIPT_NAME              => '',
        PATH_INFO                => '/',
        REQUEST_URI              => '/',
        QUERY_STRING             => '',
        SERVER_NAME              => 'localhost',
        SERVER_PORT              => 5000,
        SERVER_PROTOCOL          => 'HTTP/1.1',
        'psgi.version'           => 'ARRAY',
        'psgi.url_scheme'        => 'http',
        'psgi.input'             => 'GLOB',
        'psgi.errors'            => 'GLOB',
        'psgi.multithread'       => '',
        'psgi.multiprocess'      => 1,
        'psgi.run_once'          => '',
        'psgi.nonblocking'       => '',
        'psgi.streaming'         => 1,
        'psgix.input.buffered'   => 1,
        'psgix.harakiri'         => 1,
        'psgix.cleanup'          => 1,
        'psgix.cleanup.handlers' => 'ARRAY',
        'psgix.logger'           => 'CODE',
        'psgix.informational'    => 'CODE',
        'thralld.generation'     => 3,
    );
    is_deeply($env,                                \%want, 'nothing is missing and nothing else is there');
    is_deeply(seen(sub { $_[0]{'psgi.version'} }), [1, 1], 'psgi.version');
};

subtest 'values are bytes, as they were sent' => sub {
    my $path = "/caf\xc3\xa9\xff";
    is(seen(sub { $_[0]{PATH_INFO} },                        PATH_INFO => $path), $path, 'PATH_INFO');
    is(seen(sub { utf8::is_utf8($_[0]{PATH_INFO}) ? 1 : 0 }, PATH_INFO => $path), 0, 'it is not marked as characters');
};

subtest 'a request sees nothing of the one before' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my $seen  = join ',', $env->{mine} || 'none', "@{$env->{'psgi.version'}}", scalar keys %{$env};
        $env->{mine}         = 'left behind';
        $env->{PATH_INFO}    = '/changed';
        $env->{'psgi.input'} = undef;
        push @{$env->{'psgi.version'}}, 2;
        delete $env->{'psgi.errors'};
        return [200, [], [$seen]];
    });
    my $first = $slot->call->{body};
    like($first, qr/^none,1 1,/, 'the first has what it should');
    is($slot->call->{body}, $first, 'the second has the same');
};

subtest 'psgi.errors goes to the log, line by line' => sub {
    my $app = sub {
        my ($env) = @_;
        my $result = $env->{'psgi.errors'}->print('one ', "line\n");
        $env->{'psgi.errors'}->printf("%s line\n", 'another');
        print {$env->{'psgi.errors'}} "a third\n";
        return [200, [], [$result]];
    };
    my $response = answer_of($app);
    is($response->{body}, 1,                                   'print returns true');
    is($response->{log},  "one line\nanother line\na third\n", 'all is logged before the response');
};

subtest 'psgi.input: read, with and without an offset' => sub {
    my $seen = input(
        'hello world',
        sub {
            my ($input) = @_;
            my $buffer  = '';
            my @counts  = ($input->read($buffer, 5), $input->read($buffer, 6, 5), $input->read(my $none, 10));
            return [@counts, $buffer];
        }
    );
    is_deeply($seen, [5, 6, 0, 'hello world'], 'counts and bytes');
};

subtest 'psgi.input: seek goes back to the start' => sub {
    my $seen = input(
        'hello',
        sub {
            my ($input) = @_;
            $input->read(my $first, 100);
            my $end = $input->eof ? 1 : 0;
            $input->seek(0, 0);
            $input->read(my $second, 100);
            return [$first, $end, $second];
        }
    );
    is_deeply($seen, ['hello', 1, 'hello'], 'the body is read twice');
};

subtest 'psgi.input: getline, getlines and <>' => sub {
    my $seen
        = input("a\nb\nc\nd", sub { my ($input) = @_; return [$input->getline, scalar <$input>, $input->getlines] });
    is_deeply($seen, ["a\n", "b\n", "c\n", 'd'], 'line by line');
};

subtest 'psgi.input: bytes stay bytes, also after binmode' => sub {
    my $bytes = join '', map { chr } 0 .. 255;
    my $seen  = input("\r\n$bytes", sub { my ($input) = @_; binmode $input; local $/; return scalar <$input> });
    is($seen, "\r\n$bytes", 'all 256 of them');
};

subtest 'psgi.input: an empty body is a handle at its end' => sub {
    my $seen = input(
        '',
        sub {
            my ($input) = @_;
            my $count = $input->read(my $buffer, 10);
            return [$count, $buffer, $input->eof ? 1 : 0, $input->seek(0, 0) ? 1 : 0, defined $input->getline ? 1 : 0];
        }
    );
    is_deeply($seen, [0, '', 1, 1, 0], 'read, eof, seek, getline');
};

subtest 'psgi.input: what the app does to it stays in its request' => sub {
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my $input = $env->{'psgi.input'};
        my $body  = do { local $/; <$input> };
        binmode $input, ':encoding(UTF-16)';
        close $input;
        return [200, [], [$body]];
    });
    is($slot->call(body => 'first')->{body},  'first',  'the first body');
    is($slot->call(body => 'second')->{body}, 'second', 'the second body');
};

subtest 'psgi.input: an app that closes the body of a request that has none closes no other' => sub {
    my $kept;
    my $slot = Slot->new(sub {
        my ($env) = @_;
        my $input = $env->{'psgi.input'};
        my $open  = join ' ', defined fileno $input || $input->opened ? 'open' : 'closed', $input->read(my $buffer, 1);
        close $kept if $kept;
        $kept = $input;
        close $input if $env->{PATH_INFO} eq '/close';
        return [200, [], [$open]];
    });
    is($slot->call(PATH_INFO => $_)->{body}, 'open 0', $_) for qw(/keep /keep /close /keep /close /close);
};

subtest 'a spool file that is gone is a 500, and the app does not run' => sub {
    my $response = answer_of(sub { [200, [], ['ran']] }, spool_file => '/nonexistent/spool');
    is($response->{status}, 500, 'status');
    like($response->{log}, qr{cannot open the request's body /nonexistent/spool: No such file}, 'log');
    is($response->{again}{status}, 200, 'the worker lives');
};

done_testing;
