# Bodies that are files, or name one, by path. TEST_FOLDER has the files.
use strict;
use warnings;

use Plack::Middleware::XSendfile;
use Plack::Util;

my @PLAIN  = ('Content-Type' => 'text/plain');
my $folder = $ENV{TEST_FOLDER};

sub file {
    my ($name) = @_;
    open my $handle, '<', "$folder/$name" or die "open $name: $!\n";
    Plack::Util::set_io_path($handle, "$folder/$name");
    return $handle;
}

my %response = (
    '/pid'      => sub { return [200, [@PLAIN], [$$]] },
    '/handle'   => sub { return [200, [@PLAIN, 'Accept-Ranges'    => 'bytes'],                       file('large')] },
    '/string'   => sub { return [200, [@PLAIN, 'Accept-Ranges'    => 'bytes'],                       ['0123456789']] },
    '/sendfile' => sub { return [200, [@PLAIN, 'X-Sendfile'       => "$folder/$_[0]{QUERY_STRING}"], ['not this']] },
    '/accel'    => sub { return [200, [@PLAIN, 'X-Accel-Redirect' => "/protected/$_[0]{QUERY_STRING}"], []] },
    '/stream'   => sub {
        return sub {
            my $writer = $_[0]->([200, [@PLAIN, 'X-Sendfile' => "$folder/large"]]);
            $writer->write("piece $_\n") for 1 .. 1000;
            $writer->close;
        };
    },
    '/type' => sub { return [200, [@PLAIN], [$_[0]{HTTP_X_SENDFILE_TYPE} // 'none']] },
);
my $middleware
    = Plack::Middleware::XSendfile->wrap(sub { return [200, [@PLAIN], file('large')] }, variation => 'X-Sendfile',);

sub {
    my ($env) = @_;
    return $middleware->($env) if $env->{PATH_INFO} eq '/middleware';
    return [200, [@PLAIN], ["the app at $env->{PATH_INFO}"]] if !$response{$env->{PATH_INFO}};
    return $response{$env->{PATH_INFO}}->($env);
};
