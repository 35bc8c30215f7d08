# A page as Mojolicious makes it: a route with a parameter, a template with a list.
use strict;
use warnings;

use Mojolicious::Lite;

app->secrets(['not a secret: nothing is signed']);
app->log->level('fatal');

get '/:title' => {title => 'News'} => sub {
    my ($c) = @_;
    return $c->render(template => 'page', items => [map { {name => "item $_", price => $_ * 3} } 1 .. 20]);
};

app->start('psgi');

__DATA__

@@ page.html.ep
<!DOCTYPE html>
<html>
  <head><title><%= $title %></title></head>
  <body>
    <h1><%= $title %></h1>
    <ul>
    % for my $item (@$items) {
      <li><%= $item->{name} %>: <%= $item->{price} %></li>
    % }
    </ul>
  </body>
</html>
