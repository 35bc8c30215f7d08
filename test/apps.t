# Applications of the frameworks that there are, as their users have them: several requests at once, on
# several workers.
use 5.014;
use warnings;

use lib 'test/lib';
use Connection;
use Cwd qw(abs_path);
use Daemon;
use Folder;
use Test::More;

my $WORKERS = 3;
my $ROUNDS  = 50;

my $folder = Folder->new('apps');

# generate runs a framework's own generator in the folder.
sub generate {
    my (@command) = @_;
    my $output = `cd $folder && timeout 60 @command 2>&1`;
    is $?, 0, "$command[0] makes an app" or diag $output;
    return;
}

# serve starts the daemon as a user would, in the app's own folder.
sub serve {
    my ($app, %option) = @_;
    my @args = ("--workers=$WORKERS", '--log-level=debug', $app);
    return Daemon->new(args => \@args, cwd => "$folder", %option);
}

# answers_on_all_workers asks for all pages at once, until every worker has answered some of them, and
# checks each answer. A page is [method, target, status, content, body, header lines].
sub answers_on_all_workers {
    my ($daemon, @pages) = @_;
    my (%wrong, %worker);
    for (1 .. $ROUNDS) {
        my @asked;
        for my $page (@pages, @pages) {
            my ($method, $target, undef, undef, $body, @fields) = @{$page};
            push @asked, Connection->new($daemon);
            $asked[-1]->request($method, $target, body => $body, fields => \@fields);
        }
        for my $page (@pages, @pages) {
            my ($method, $target, $status, $content) = @{$page};
            my $response = shift(@asked)->response;
            next if $response->{status} == $status && $response->{body} =~ $content;
            $wrong{"$method $target: $response->{status} " . substr $response->{body}, 0, 500} = 1;
        }
        $worker{$_->{worker}} = 1 for grep { $_->{msg} eq 'request served' } $daemon->log_events;
        last if keys %worker == $WORKERS;
    }
    is_deeply [sort keys %wrong], [], 'each page is as it should be';
    is keys %worker,  $WORKERS, 'all workers had a part in it';
    is $daemon->stop, 0,        'and all of it ends well';
    return;
}

subtest 'Dancer2' => sub {
    generate(qw(dancer2 gen --application MyApp));
    answers_on_all_workers(
        serve('MyApp/bin/app.psgi'),
        [GET  => '/',              200, qr/Perl is dancing/i],
        [GET  => '/css/style.css', 200, qr/\bbody\b/],
        [GET  => '/nowhere',       404, qr/not found/i],
        [POST => '/',              404, qr/./, 'a=b'],
        [HEAD => '/',              200, qr/\A\z/],
    );
};

subtest 'Mojolicious::Lite' => sub {
    my $app = $folder->write('mojo.psgi', <<'END');
use Mojolicious::Lite -signatures;
get '/' => sub ($c) { $c->render(text => 'It is ' . $c->url_for('word', word => 'x')->to_abs) };
get '/word/:word' => sub ($c) { $c->render(template => 'word') } => 'word';
post '/form' => sub ($c) { $c->render(json => {got => $c->param('got'), size => $c->req->upload('file')->size}) };
get '/stream' => sub ($c) {
    $c->write_chunk('one ' => sub ($c, @) { $c->write_chunk('two' => sub ($c, @) { $c->finish }) });
};
get '/length' => sub ($c) {
    $c->res->headers->content_length(7);
    $c->write('one ' => sub ($c, @) { $c->write('two') });
};
app->start;
__DATA__
@@ word.html.ep
<p><%= $word %></p>
END
    my $large = 'x' x 300_000;
    my $form  = join "\r\n", '--b', 'Content-Disposition: form-data; name="got"', q{}, 'some', '--b',
        'Content-Disposition: form-data; name="file"; filename="f"', q{}, $large, '--b--', q{};
    answers_on_all_workers(
        serve($app),
        [GET  => '/',                   200, qr{\AIt is http://localhost/word/x\z}],
        [GET  => '/word/%3Cb%3E%C3%A4', 200, qr{<p>&lt;b&gt;\xc3\xa4</p>}],
        [POST => '/form',    200, qr/"size":300000/, $form, 'Content-Type: multipart/form-data; boundary=b'],
        [GET  => '/length',  200, qr/\Aone two\z/],
        [GET  => '/stream',  200, qr/\Aone two\z/],
        [GET  => '/nowhere', 404, qr/./],
    );
};

subtest 'Catalyst' => sub {
    generate(qw(catalyst.pl Shop));
    answers_on_all_workers(
        serve('Shop/shop.psgi'),
        [GET  => '/',                                200, qr/Welcome to the.*Catalyst/s],
        [GET  => '/static/images/catalyst_logo.png', 200, qr/\A\x89PNG/],
        [GET  => '/nowhere',                         404, qr/Page not found/],
        [POST => '/', 200, qr/Welcome/, 'a=b', 'Content-Type: application/x-www-form-urlencoded'],
        [HEAD => '/', 200, qr/\A\z/],
    );
};

subtest 'CGI scripts by Plack::App::WrapCGI, and Plack::App::File' => sub {
    my $script = $folder->write('script.cgi', <<'END');
#!/usr/bin/perl
use strict;
use warnings;
use CGI;
my $cgi = CGI->new;
if ($cgi->param('move')) {
    print $cgi->redirect('/elsewhere');
}
else {
    print $cgi->header(-type => 'text/plain', -status => $cgi->param('status') || 200);
    print join ' ', map { "$_=" . $cgi->param($_) } grep { $_ ne 'status' } sort $cgi->param;
    print " by $ENV{REQUEST_METHOD} at $ENV{SCRIPT_NAME}";
    print STDERR "a script complains\n";
}
END
    chmod oct 755, $script or die "chmod: $!\n";
    $folder->write('page.html', '<p>page</p>');
    $folder->write('large.bin', 'x' x 1_000_000);
    my $form   = 'Content-Type: application/x-www-form-urlencoded';
    my $daemon = serve(abs_path('test/apps/cgi.psgi'), env => {TEST_FOLDER => $folder});
    answers_on_all_workers(
        $daemon,
        (
            map { (
                [GET  => "$_?a=1&b=x%20y",    200, qr/\Aa=1 b=x y by GET at $_\z/],
                [GET  => "$_?a=1&status=404", 404, qr/\Aa=1 by GET/],
                [GET  => "$_?move=1",         302, qr/\A\z/],
                [POST => $_,                  200, qr/\Aa=2 c=3 by POST/,    'a=2&c=3',           $form],
                [POST => $_,                  200, qr/\Aa=x{30000} by POST/, 'a=' . 'x' x 30_000, $form],
            ) } qw(/run /compiled)
        ),
        [GET  => '/files/page.html',                200, qr{\A<p>page</p>\z}],
        [HEAD => '/files/page.html',                200, qr/\A\z/],
        [GET  => '/files/large.bin',                200, qr/\Ax{32000}/],
        [GET  => '/files/nowhere',                  404, qr/not found/],
        [GET  => '/files/%2e%2e/%2e%2e/etc/passwd', 403, qr/forbidden/],
    );
    like $daemon->log_text, qr/"a script complains"/, 'what a script prints to STDERR is in the log';
};

done_testing;
