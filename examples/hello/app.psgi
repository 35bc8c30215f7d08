# A PSGI application that needs nothing but perl: it shows that thralld works, and what a worker
# tells an application. Serve it with `thralld app.psgi`.
use 5.014;
use warnings;

my $PAGE = do { local $/ = undef; readline DATA };

my $app = sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return page($env) if $path eq '/' || $path eq q{};
    return text(200, "Hello, World!\n") if $path eq '/text';
    return text(404, "There is nothing here. Try / or /text.\n");
};

# page fills in the page below. What came from the client is escaped as all the rest: a page that
# shows a request would else show whatever markup somebody puts into it.
sub page {
    my ($env) = @_;
    my %value = (
        worker     => $$,
        generation => $env->{'thralld.generation'} // 'unknown, this is not thralld',
        request    => $env->{'thralld.request_id'} // 'unknown, this is not thralld',
        perl       => sprintf('%vd', $^V),
        protocol   => $env->{SERVER_PROTOCOL},
        address    => $env->{REMOTE_ADDR}     // 'a unix socket',
        agent      => $env->{HTTP_USER_AGENT} // 'none given',
    );
    my $html    = $PAGE =~ s/\[%(\w+)%\]/escape($value{$1})/egr;
    my @headers = (
        'Content-Type'   => 'text/html; charset=utf-8',
        'Content-Length' => length $html,
        'Cache-Control'  => 'no-store',
    );
    return [200, \@headers, [$html]];
}

sub text {
    my ($status, $text) = @_;
    return [$status, ['Content-Type' => 'text/plain', 'Content-Length' => length $text], [$text]];
}

sub escape {
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', q{"} => '&quot;', q{'} => '&#39;');
    return $text =~ s/([&<>"'])/$entity{$1}/gr;
}

$app;

__DATA__
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>thralld works</title>
<style>
  :root { color-scheme: light dark; --ink: #1d2433; --paper: #f6f4ef; --card: #fff; --line: #ddd8cc; --accent: #b3541e; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e8e6e1; --paper: #16181d; --card: #1f2229; --line: #343842; --accent: #f0975a; }
  }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
         font: 17px/1.5 system-ui, sans-serif; }
  main { max-width: 34rem; margin: 1rem; padding: 2rem 2.5rem; background: var(--card); border: 1px solid var(--line);
         border-top: 4px solid var(--accent); border-radius: 6px; }
  h1 { margin: 0 0 .5rem; font-size: 1.7rem; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 1.5rem 0;
       padding: 1.2rem 0; border: solid var(--line); border-width: 1px 0; }
  dt { opacity: .7; }
  dd { margin: 0; overflow-wrap: anywhere; }
  code, dd { font-family: ui-monospace, monospace; font-size: .92em; }
  a { color: var(--accent); }
</style>
</head>
<body>
<main>
  <h1>It works.</h1>
  <p>thralld serves this page from a Perl worker. Reload it, and another worker may answer.</p>
  <dl>
    <dt>worker</dt><dd>[%worker%]</dd>
    <dt>generation</dt><dd>[%generation%]</dd>
    <dt>request</dt><dd>[%request%]</dd>
    <dt>perl</dt><dd>[%perl%]</dd>
    <dt>protocol</dt><dd>[%protocol%]</dd>
    <dt>your address</dt><dd>[%address%]</dd>
    <dt>your browser</dt><dd>[%agent%]</dd>
  </dl>
  <p>The code is <code>examples/hello/app.psgi</code>. Serve your own with
  <code>thralld app.psgi</code>. There is also <a href="text">a page without any HTML</a>.</p>
</main>
</body>
</html>
