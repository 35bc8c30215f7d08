# Listeners come and go by reload, and connections stay.
use 5.014;
use warnings;

use lib 'test/lib';
use Cwd qw(abs_path);
use Deployment;
use Gate;
use IO::Socket::INET ();
use Test::More;

my $lib = abs_path('test/lib');
my $app = <<"APP";
use lib '$lib';
use Gate;
sub {
    my (\$env) = \@_;
    Gate::wait_at(\$env) if \$env->{PATH_INFO} eq '/wait';
    return [200, ['Content-Type' => 'text/plain'], [\$\$]];
};
APP

my %toml = (watch => 'true', workers => 5, keepalive_timeout => '60s');

# What stays and what goes; each is listened on at an address that is unlike its words for TCP.
my @stays = qw(127.0.0.1:0 stays.sock);
my @goes  = qw(127.0.0.2:0 goes.sock);
my @comes = qw(127.0.0.3:0 comes.sock);

my $daemon = Deployment->new(app => $app, toml => {%toml, listen => [paths(@stays, @goes)]}, configured => 1);

# paths makes it clear that a word is a path.
sub paths {
    return map { /:/ ? $_ : "./$_" } @_;
}

# addresses are those that are listened on now, by their words.
sub addresses {
    my ($status) = @_;
    my %at;
    for my $address (@{$status->{listeners}}) {
        my $words = $address =~ m{([^/]+[.]sock)\z} ? $1 : $address =~ s/:\d+\z/:0/r;
        $at{$words} = $address;
    }
    return \%at;
}

sub configured_to {
    my (@words) = @_;
    my $event = $daemon->reload_by(sub { $daemon->configure(%toml, listen => [paths(@words)]) });
    is $event->{msg}, 'reloaded',                'the reload is done' or diag $daemon->log_text;
    is $event->{why}, 'thrall.toml has changed', 'as the file was saved';
    return addresses($daemon->status);
}

sub reachable {
    my ($address) = @_;
    return eval { $daemon->to($address) };
}

my $first = $daemon->wait_for_status(sub { $_[0]{stable} && @{$_[0]{worker_list}} == 5 });
my $at    = addresses($first);
is_deeply [sort keys %{$at}], [sort @stays, @goes], 'it listens on all of them';

# On each a connection that waits for its next request, and one with a request that is being run.
my (%idle, %running);
for my $words (@stays, @goes) {
    my $idle = $idle{$words} = $daemon->to($at->{$words});
    $idle->get('/');
    is $idle->response->{status}, 200, "$words answers";
    my $gate    = Gate->new($daemon);
    my $running = $daemon->to($at->{$words});
    $running->get('/wait', $gate->field);
    $gate->wait_for_app;
    $running{$words} = [$gate, $running];
}

subtest 'some go and others come' => sub {
    my $now = configured_to(@stays, @comes);
    is_deeply [sort keys %{$now}], [sort @stays, @comes], 'thralld status says so';
    is $now->{$_}, $at->{$_}, "$_ is where it was" for @stays;
    for my $words (@stays, @comes) {
        my $new = $daemon->to($now->{$words});
        $new->get('/');
        is $new->response->{status}, 200, "$words takes connections";
    }
    ok !reachable($at->{$_}),              "$_ takes none any more" for @goes;
    ok !-e $daemon->folder . '/goes.sock', 'the file of the socket is gone';
};

for my $words (@stays, @goes) {
    subtest "connections to $words live on" => sub {
        my ($gate, $running) = @{$running{$words}};
        $gate->open;
        my $response = $running->response;
        is $response->{status}, 200, 'the request that was running is answered';
        ok $response->{whole}, 'to the end';
        for my $connection ($idle{$words}, $running) {
            $connection->get('/');
            my $next = $connection->response;
            is $next && $next->{status}, 200, 'there may be another one on the same connection';
        }
    };
}

subtest 'what went comes back' => sub {
    my $now = configured_to(@stays, @goes);
    is_deeply [sort keys %{$now}], [sort @stays, @goes], 'thralld status says so';
    for my $words (@stays, @goes) {
        my $new = $daemon->to($now->{$words});
        $new->get('/');
        is $new->response->{status}, 200, "$words takes connections";
    }
    ok !-e $daemon->folder . '/comes.sock', 'what had come has gone';
};

my $last = $daemon->status;
is_deeply [map { $_->{pid} } @{$last->{worker_list}}], [map { $_->{pid} } @{$first->{worker_list}}],
    'for all that no worker was replaced';
is $daemon->stop, 0, 'it ends well';
is_deeply [glob $daemon->folder . '/*.sock'], [], 'and removes its sockets';

done_testing;
