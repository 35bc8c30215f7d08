# A reload with a thrall.toml that cannot be applied: nothing changes, and everything that is wrong with
# it is told at once.
use 5.014;
use warnings;

use lib 'test/lib';
use Deployment;
use IO::Socket::INET ();
use Load;
use Test::More;

my $app = 'sub { [200, ["Content-Type" => "text/plain"], ["ok $$ $ENV{PLACK_ENV}"]] }';

my %toml
    = (listen => ['127.0.0.1:0'], workers => 2, probation => 0, keepalive_timeout => '60s', max_reqs_per_child => 0);
my $daemon = Deployment->new(app => $app, toml => \%toml, configured => 1);
my $before = running();
my $load   = Load->new($daemon);

# running is what a reload could have changed.
sub running {
    my $status = $daemon->wait_for_status(sub { $_[0]{stable} && @{$_[0]{worker_list}} == 2 });
    return {
        map({ $_ => $status->{$_} } qw(workers target stable listeners app healthy)),
        pids => [sort map { $_->{pid} } @{$status->{worker_list}}],
    };
}

# refused reloads, and tests that it comes to nothing but a message, which it returns.
sub refused {
    my ($exit, $output) = $daemon->reload;
    is $exit, 1, 'thralld reload says that it failed';
    is_deeply running(), $before, 'nothing has changed';
    my $last = $daemon->status->{last_reload};
    is $last->{outcome}, 'failed', 'thralld status tells how it ended';
    my ($failed, @told) = map { s/\Athralld: //r } grep { !/\Aloading/ } split /\n/, $output;
    is $failed, 'reload failed; what ran before runs on:', 'what that means';
    my $told = join "\n", @told;
    is $last->{error}, $told, 'and why';
    return $told;
}

# Twenty keys, each wrong in its own way: what it is given, and what is said of it.
my @wrong = (
    ['worker = 3',                    qr/worker: .*workers/],
    ['workers = 0',                   qr/workers: got 0, want/],
    ['port = 70000',                  qr/port: got 70000, want/],
    ['timeout = -5',                  qr/timeout: got -5, want/],
    ['keepalive_timeout = "soon"',    qr/keepalive_timeout: got "soon", want/],
    ['max_body_bytes = "1 elephant"', qr/max_body_bytes: got "1 elephant", want/],
    ['max_header_bytes = 12',         qr/max_header_bytes: got 12B, want/],
    ['log_level = "loud"',            qr/log_level: got "loud", want/],
    ['preload = "yes"',               qr/preload: got "yes", want/],
    ['path = "shop"',                 qr/path: got "shop", want/],
    ['listen = ["nowhere"]',          qr/listen: got "nowhere"/],
    ['include = "lib"',               qr/include: got "lib", want/],
    ['modules = ["Foo Bar"]',         qr/modules: got "Foo Bar", want/],
    ['threads = 65',                  qr/threads: got 65, want/],
    ['host = "a:80"',                 qr/host: got "a:80", want/],
    ['umask = "rw"',                  qr/umask: got "rw", want/],
    ['ssl_verify_mode = 2',           qr/ssl_verify_mode: got 2, want/],
    ['main_thread_delay = "1h"',      qr/main_thread_delay: got 1h, want/],
    ['min_workers = 1001',            qr/min_workers: got 1001, want/],
    ['max_requests = "many"',         qr/max_requests: got "many", want/],
);

subtest 'twenty mistakes are told at once' => sub {
    $daemon->write('thrall.toml', join q{}, map { "$_->[0]\n" } @wrong);
    my @told = split /\n/, refused();
    is @told, @wrong, 'a line for each' or diag explain \@told;
    for my $number (1 .. @wrong) {
        my ($text, $expected) = @{$wrong[$number - 1]};
        my ($line) = grep { /thrall[.]toml:$number: / } @told;
        like $line, qr/thrall[.]toml:$number: $expected/, $text;
    }
};

for my $case (@wrong) {
    subtest "$case->[0] alone changes nothing" => sub {
        $daemon->write('thrall.toml', "stop_timeout = 7\n$case->[0]\n");
        like refused(), qr/thrall[.]toml:2: $case->[1]/, 'it is told';
    };
}

for my $case (
    ["workers = 2\nenv = \"devel\nport = 1\n", qr/thrall[.]toml:2: .*is not TOML: strings cannot contain newlines/],
    ["workers = 2\nworkers = 3\n",             qr/thrall[.]toml:2: .*workers/],
    ["[workers]\n",                            qr/thrall[.]toml:1: /],
    ["\xff\xfe\n",                             qr/thrall[.]toml:1: /],
    )
{
    subtest 'what is no TOML of ours changes nothing: ' . $case->[0] =~ s/[^ -~]/./gr => sub {
        $daemon->write('thrall.toml', $case->[0]);
        like refused(), $case->[1], 'it is told where';
    };
}

subtest 'a file that is not there any more changes nothing' => sub {
    unlink $daemon->folder . '/thrall.toml' or die "unlink: $!\n";
    my ($exit, $output) = $daemon->reload;
    is $exit, 1, 'thralld reload says that it failed';
    like $output, qr/thrall[.]toml.*no such file/i, 'and why';
    $daemon->reload_by_hup;
    is_deeply running(), $before, 'nothing has changed';
};

subtest 'keys that need a restart are refused by name' => sub {
    $daemon->configure(%toml, timeout => 9, watch => 'true', umask => '027', workers => 3, pid => 'thralld.pid');
    my @told = split /\n/, refused();
    is @told, 3, 'those that changed' or diag explain \@told;
    like $told[$_], qr/thrall[.]toml:\d+: @{[qw(watch pid umask)[$_]]}: .* needs a restart/, 'by name' for 0 .. 2;
};

subtest 'listeners that cannot be opened' => sub {
    my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!\n";
    my $path  = $daemon->folder;
    $daemon->configure(
        %toml,
        workers => 3,
        listen  => ['127.0.0.1:0', '127.0.0.1:' . $taken->sockport, "$path/new.sock", "$path/missing/x.sock"],
    );
    my @told = split /\n/, refused();
    is @told, 2, 'are told at once' or diag explain \@told;
    like $told[0], qr/port @{[$taken->sockport]} is already in use/, 'a port that somebody has';
    like $told[1], qr/missing/,                                      'a folder that there is not';
    ok !-e "$path/new.sock", 'what could be opened is closed again';
};

subtest 'broken code beside changed settings: neither is applied' => sub {
    $daemon->write('app.psgi', "die 'broken';\n");
    $daemon->configure(
        %toml,
        workers   => 3,
        listen    => ['127.0.0.1:0', "$daemon->{folder}/new.sock"],
        log_level => 'debug'
    );
    like refused(), qr/broken at \S+app[.]psgi line 1/, 'the code is told';
    ok !-e "$daemon->{folder}/new.sock", 'and the listener is closed again';
    is_deeply [grep { $_->{level} eq 'debug' } $daemon->log_events], [], 'log_level is as it was';
    $daemon->write('app.psgi', $app);
};

subtest 'the corrected file works' => sub {
    $daemon->configure(%toml, workers => 3, env => 'test');
    my ($exit, $output) = $daemon->reload;
    is $exit, 0, 'thralld reload says so' or diag $output;
    my $status = $daemon->wait_for_status(sub { @{$_[0]{worker_list}} == 3 });
    is $status->{workers}, 3, 'there are three workers';
    is_deeply [grep { $_->{generation} != $status->{target} } @{$status->{worker_list}}], [], 'all new';
    like $daemon->get('/')->{content}, qr/ test\z/, 'with the new environment';
};

my $seen = $load->stop;
is_deeply $seen->{failures}, [], "of $seen->{requests} requests none failed";
is $daemon->stop, 0, 'it ends well';

done_testing;
