# A CGI script, run as a program and compiled, and the files beside it.
use strict;
use warnings;

use Plack::App::File;
use Plack::App::URLMap;
use Plack::App::WrapCGI;

my $folder = $ENV{TEST_FOLDER};
my $map    = Plack::App::URLMap->new;
$map->map('/run'      => Plack::App::WrapCGI->new(script => "$folder/script.cgi", execute => 1)->to_app);
$map->map('/compiled' => Plack::App::WrapCGI->new(script => "$folder/script.cgi")->to_app);
$map->map('/files'    => Plack::App::File->new(root => $folder)->to_app);
$map->to_app;
