# Requests that are longer than a roll.
use 5.014;
use warnings;

use lib 'test/lib';
use Cwd qw(abs_path);
use Deployment;
use Gate;
use Load;
use Test::More;
use Time::HiRes qw(time);

my $lib = abs_path('test/lib');
my $app = <<"APP";
use lib '$lib';
use Gate;
sub {
    my (\$env) = \@_;
    my \$me = "\$env->{'thralld.generation'} \$\$";
    Gate::wait_at(\$env) if \$env->{PATH_INFO} eq '/wait';
    return [200, ['Content-Type' => 'text/plain'], [\$me]] if \$env->{PATH_INFO} ne '/stream';
    return sub {
        my \$writer = \$_[0]->([200, ['Content-Type' => 'text/plain']]);
        \$writer->write('begun, ');
        Gate::wait_at(\$env);
        \$writer->write(\$me);
        \$writer->close;
    };
};
APP

my %toml = (workers => 3, probation => 0, keepalive_timeout => '60s', stop_timeout => '120s');

# at_the_gate starts a request and waits until it is being run.
sub at_the_gate {
    my ($daemon, $target) = @_;
    my $gate       = Gate->new($daemon);
    my $connection = Connection->new($daemon);
    $connection->get($target, $gate->field);
    $gate->wait_for_app;
    return ($gate, $connection);
}

sub booted {
    my ($daemon) = @_;
    return $daemon->wait_for_status(sub { $_[0]{stable} && @{$_[0]{worker_list}} == 3 });
}

subtest 'a roll goes on around requests that take long' => sub {
    my $daemon = Deployment->new(app => $app, toml => \%toml);
    booted($daemon);
    my ($wait, $waiting)     = at_the_gate($daemon, '/wait');
    my ($stream, $streaming) = at_the_gate($daemon, '/stream');
    my $load = Load->new($daemon);
    my ($exit, $output) = $daemon->reload;
    is $exit, 0, 'the reload ends before the requests do' or diag $output;
    my $status = $daemon->wait_for_status(sub { @{$_[0]{worker_list}} == 5 });    # the idle one has ended
    is_deeply [map { $_->{generation} } grep { $_->{state} eq 'ready' } @{$status->{worker_list}}], [2, 2, 2],
        'all workers are new';
    my @old = grep { $_->{generation} == 1 } @{$status->{worker_list}};
    is_deeply [sort map { $_->{doing}[0]{line} } @old], ['GET /stream', 'GET /wait'], 'beside the two that are busy';
    is_deeply [map { $_->{state} } @old],               [qw(retiring retiring)],      'and will end';

    # And once more, while they still run.
    is [$daemon->reload]->[0], 0, 'nor does the next reload wait for them';
    my $then = $daemon->wait_for_status(sub { @{$_[0]{generations}} == 2 });
    is_deeply [map { $_->{number} } @{$then->{generations}}], [1, 3], 'generation 1 lives for them';
    $_->open for $wait, $stream;
    my ($plain, $streamed) = map { $_->response } $waiting, $streaming;
    is $plain->{status}, 200, 'the request is answered';
    like $plain->{body}, qr/\A1 /, 'by the worker that ran it all the time';
    ok $streamed->{whole}, 'the stream comes to its end';
    like $streamed->{body}, qr/\Abegun, 1 /, 'all of it';
    $waiting->get('/');
    like $waiting->response->{body}, qr/\A3 /, 'the next request on the same connection goes to a new worker';
    $daemon->wait_for_status(sub { @{$_[0]{generations}} == 1 && @{$_[0]{worker_list}} == 3 });
    pass 'then nothing is left of generation 1';
    is_deeply $load->stop->{failures}, [], 'no other request failed';
    is_deeply [grep { $_->{msg} eq 'worker exited' && $_->{requests_lost} } $daemon->log_events], [], 'none was lost';
    is $daemon->stop, 0, 'it ends well';
};

subtest 'a request is cut after stop_timeout, and not before' => sub {
    my $daemon = Deployment->new(app => $app, toml => {%toml, stop_timeout => '1500ms'});
    booted($daemon);
    my ($wait, $waiting) = at_the_gate($daemon, '/wait');
    my $load  = Load->new($daemon);
    my $began = time;
    $daemon->hup;
    my $response = $waiting->response;
    my $took     = time - $began;
    is $response->{status}, 502, 'it fails';
    cmp_ok $took, '>=', 1.5, 'not before';
    cmp_ok $took, '<',  25,  'and not long after';
    my $event = $daemon->wait_for_log(sub { $_[0]{msg} eq 'worker exited' && $_[0]{requests_lost} });
    is_deeply [@{$event}{qw(level cause status)}], ['warn', 'retired', 'killed by signal 15 (SIGTERM)'],
        'the log says that a request was lost';
    $daemon->wait_for_status(sub {
        @{$_[0]{generations}} == 1 && !grep { $_->{generation} != 2 } @{$_[0]{worker_list}};
    });
    is_deeply $load->stop->{failures}, [], 'no other request failed';
    is $daemon->stop, 0, 'it ends well';
};

done_testing;
