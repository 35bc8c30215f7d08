# bench/worker.pl: what a request costs a worker, counted and not timed. It runs a
# worker of the runtime, with its log and its socket, in this process. Another one
# plays the Go process: it sends one request after the other, each when the one
# before is answered, and at last QUIT.
#
#   bench/worker.pl APP [REQUESTS [KIND]]        default 1000 and hello
#
# APP is the file of an app. KIND is what its requests are:
#
#   hello       GET /, as curl sends it
#   headers     GET /, with 20 header fields of a browser behind a proxy
#   post        POST /, with a body of 4 KB
#   URI         GET of a path that begins with a slash, as curl sends it
#
# The instructions of one request are the difference of two runs:
#
#   for n in 500 1500; do
#       PERL_HASH_SEED=0 valgrind --tool=callgrind --callgrind-out-file=/tmp/worker.$n \
#           perl -Ipkg/psgi/perl bench/worker.pl bench/apps/hello.psgi $n hello
#   done 2>&1 | awk '/Collected/ { n[++i] = $NF } END { print (n[2] - n[1]) / 1000 }'
#
# The other process is not counted, as it is executed anew. With the same perl and
# the same PERL_HASH_SEED counts are equal to about one instruction in a thousand.
use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/../pkg/psgi/perl";

use Fcntl qw(F_SETFD);
use Socket qw(AF_UNIX SOCK_SEQPACKET PF_UNSPEC);
use Thralld::App;
use Thralld::Frame qw(:all);

if ($ARGV[0] && $ARGV[0] eq '--feed') {
    feed(@ARGV[1 .. 3]);
    exit 0;
}

my ($app, $requests, $kind) = (@ARGV, (undef, 1000, 'hello')[@ARGV .. 2]);
die "usage: bench/worker.pl APP [REQUESTS [KIND]]\n" if !defined $app || !-f $app || $requests !~ /\A[0-9]+\z/;
request($kind);    # dies if there is no such kind

socketpair my $socket, my $feeder, AF_UNIX, SOCK_SEQPACKET, PF_UNSPEC or die "socketpair: $!\n";
my $pid = fork;
die "fork: $!\n" if !defined $pid;
if (!$pid) {
    fcntl $feeder, F_SETFD, 0 or die "fcntl: $!\n";
    close $socket;
    exec $^X, "$FindBin::Bin/$FindBin::Script", '--feed', fileno $feeder, $requests, $kind or die "exec: $!\n";
}
close $feeder;
open my $log, '>&', \*STDERR or die "dup: $!\n";

$ENV{PLACK_ENV} = 'deployment';    # as Go sets it; Mojolicious knows a PSGI server by it
require Thralld::Template;
my %option = (app => abs_path($app), eval => '', include => [], module => [], env => 'deployment');
my $loaded = Thralld::App->new(%option);
$loaded->prepare;
my %template = (app => $loaded, slots => [[$socket, $log]], generation => 1, threads => 1, stack_size => 0);
bless(\%template, 'Thralld::Template')->become_worker(0);

# feed is the other process.
sub feed {
    my ($fd, $count, $what) = @_;
    my $worker = open_descriptor($fd);
    my $frame  = request($what);
    my $answer = '';
    read_frame($worker, $answer) or die "the worker has died\n";
    die "the worker is not ready: $answer\n" if (frame_header($answer))[0] != READY;
    for my $id (1 .. $count) {
        substr $frame, 4, 4, pack 'N', $id;
        send_frame($worker, $frame) or die "the worker has died\n";
        1 until is_last($worker, $id);
    }
    return send_frame($worker, frame(QUIT, 0, 0, ''));
}

# is_last reads a frame, and tells whether the worker is free after it.
sub is_last {
    my ($worker, $want) = @_;
    read_frame($worker, my $answer) or die "the worker died at request $want\n";
    my ($type, $flags, $id) = frame_header($answer);
    die "request $want failed: $answer\n" if $id != $want || $type == HEAD && $flags & FAILED;
    return $type == IDLE || ($type == HEAD || $type == BODY) && ($flags & (END_RESPONSE | CLEANUP)) == END_RESPONSE;
}

# request makes the frame of a request, with the fields and in the order that the Go
# process has them.
sub request {
    my ($what) = @_;
    my ($method, $path, $body, @fields) = ('GET', '/', '', HTTP_USER_AGENT => 'curl/8.5.0', HTTP_ACCEPT => '*/*');
    if ($what eq 'headers') {
        @fields = (
            HTTP_USER_AGENT                => 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
            HTTP_ACCEPT                    => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
            HTTP_ACCEPT_LANGUAGE           => 'en-GB,en;q=0.5',
            HTTP_ACCEPT_ENCODING           => 'gzip, deflate, br, zstd',
            HTTP_REFERER                   => 'https://www.example.com/articles',
            HTTP_COOKIE                    => 'session=6f1c7a52b0d94c1f9f7f; theme=dark; seen=17,18,19,23',
            HTTP_DNT                       => '1',
            HTTP_UPGRADE_INSECURE_REQUESTS => '1',
            HTTP_SEC_FETCH_DEST            => 'document',
            HTTP_SEC_FETCH_MODE            => 'navigate',
            HTTP_SEC_FETCH_SITE            => 'same-origin',
            HTTP_SEC_FETCH_USER            => '?1',
            HTTP_PRIORITY                  => 'u=0, i',
            HTTP_CACHE_CONTROL             => 'max-age=0',
            HTTP_IF_NONE_MATCH             => '"5e3f-5f1c7a52b0d94"',
            HTTP_X_FORWARDED_FOR           => '203.0.113.7',
            HTTP_X_FORWARDED_PROTO         => 'https',
            HTTP_X_FORWARDED_HOST          => 'www.example.com',
            HTTP_VIA                       => '1.1 proxy.example.com',
        );
    }
    elsif ($what eq 'post') {
        ($method, $body) = ('POST', join '&', map { "field_$_=" . 'x' x 242 } 100 .. 115);
        push @fields, CONTENT_TYPE => 'application/x-www-form-urlencoded', CONTENT_LENGTH => length $body;
    }
    elsif ($what =~ m{\A/}) {
        $path = $what;
    }
    elsif ($what ne 'hello') {
        die "KIND is $what; want hello, headers, post or a path\n";
    }
    my @env = (
        REQUEST_METHOD       => $method,
        SCRIPT_NAME          => '',
        PATH_INFO            => $path,
        REQUEST_URI          => $path,
        QUERY_STRING         => '',
        SERVER_NAME          => 'localhost',
        SERVER_PORT          => '5000',
        SERVER_PROTOCOL      => 'HTTP/1.1',
        SERVER_SOFTWARE      => 'thralld',
        SERVER_ADDR          => '127.0.0.1',
        REMOTE_ADDR          => '127.0.0.1',
        REMOTE_PORT          => '50412',
        'psgi.url_scheme'    => 'http',
        'thralld.request_id' => 'be2b7a797960000000000001',
        HTTP_HOST            => 'localhost:5000',
        @fields,
    );
    return pack 'C C x2 N N/a* N/a* a*', REQUEST, 0, 0, $body, join('', map { 'a' . length } @env), join '', @env;
}
