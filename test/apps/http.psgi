# Bodies of every kind, by path, and an echo.
use strict;
use warnings;

my @PLAIN = ('Content-Type' => 'text/plain', 'X-Kind' => 'some');

sub stream {
    my (@headers) = @_;
    return sub {
        my $writer = $_[0]->([200, [@PLAIN, @headers]]);
        $writer->write($_) for qw(a b c);
        $writer->close;
    };
}

my %app = (
    '/array'  => sub { return [200, [@PLAIN],                        [qw(a b c)]] },
    '/empty'  => sub { return [200, [@PLAIN],                        []] },
    '/large'  => sub { return [200, [@PLAIN],                        ['x' x 500_000]] },
    '/told'   => sub { return [200, [@PLAIN, 'Content-Length' => 3], [qw(a b c)]] },
    '/object' => sub { return [200, [@PLAIN],                        Body->new(qw(a b c))] },
    '/file'   => sub {
        open my $body, '<', __FILE__ or die "open the app: $!\n";
        return [200, [@PLAIN], $body];
    },
    '/missing' => sub { return [404, [@PLAIN], ['nothing here']] },
    '/nothing' => sub { return [204, [],       []] },
    '/delayed' => sub {
        return sub { $_[0]->([200, [@PLAIN], [qw(a b c)]]) }
    },
    '/stream'        => sub { return stream() },
    '/stream-length' => sub { return stream('Content-Length' => 3) },
    '/die'           => sub { die "no answer\n" },

    '/echo' => sub {
        my ($env) = @_;
        my $body = do { local $/ = undef; readline $env->{'psgi.input'} };
        return [200, [@PLAIN], ["$env->{REQUEST_METHOD} " . ($body // q{})]];
    },
    '/ignore' => sub { return [200, [@PLAIN], ['ignored']] },
    '/host'   => sub { return [200, [@PLAIN], [$_[0]{HTTP_HOST} // 'none']] },
);

package Body {    ## no critic (ProhibitMultiplePackages)
    sub new     { my ($class, @pieces) = @_; return bless [@pieces], $class }
    sub getline { my ($self) = @_; return shift @{$self} }
    sub close { print {*STDERR} "the body was closed\n" }  ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
}

sub {
    my ($env) = @_;
    return [200, [@PLAIN], ["$env->{REQUEST_METHOD} *"]] if $env->{PATH_INFO} eq q{};
    return $app{$env->{PATH_INFO}}->($env);
};
