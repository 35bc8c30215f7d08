# A page as Dancer2 makes it: a route with a parameter, a template with a list.
package Page;    ## no critic (RequireFilenameMatchesPackage) the app is the file

use strict;
use warnings;

use Cwd qw(abs_path);
use Dancer2;
use File::Basename qw(dirname);

set appdir   => dirname(abs_path(__FILE__));
set views    => dirname(abs_path(__FILE__)) . '/views';
set template => 'tiny';
set logger   => 'null';

get '/:title?' => sub {
    my $title = route_parameters->get('title') || 'News';
    return template page => {title => $title, items => [map { {name => "item $_", price => $_ * 3} } 1 .. 20]};
};

to_app;
