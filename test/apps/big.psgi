# Takes in and gives out more than memory should hold.
use strict;
use warnings;

use Digest::MD5 ();
use Plack::App::File;

my $PIECE = 64 << 10;

# piece is the piece of a generated body with that number.
sub piece {
    my ($number) = @_;
    return sprintf '%08d%s', $number, 'x' x ($PIECE - 8);
}

my $files = Plack::App::File->new(root => $ENV{TEST_FOLDER})->to_app;

my %app = (
    '/pid'    => sub { return [200, ['Content-Type' => 'text/plain'], [$$]] },
    '/digest' => sub {
        my ($env)  = @_;
        my $digest = Digest::MD5->new;
        my $length = 0;
        while (my $count = $env->{'psgi.input'}->read(my $piece, $PIECE)) {
            $digest->add($piece);
            $length += $count;
        }
        return [200, ['Content-Type' => 'text/plain'], [$length, q{ }, $digest->hexdigest]];
    },
    '/handle' => sub {
        my ($env)  = @_;
        my $pieces = $env->{QUERY_STRING};
        my $header = ['Content-Type' => 'text/plain', 'Content-Length' => $pieces * $PIECE];
        return [200, $header, Pieces->new(sub { $_[0] < $pieces ? piece($_[0]) : undef })];
    },
    '/stream' => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            $writer->write(piece($_)) for 0 .. $env->{QUERY_STRING} - 1;
            $writer->close;
        };
    },
);

package Pieces {    ## no critic (ProhibitMultiplePackages)
    sub new     { my ($class, $make) = @_; return bless {make => $make, at => 0}, $class }
    sub getline { my ($self) = @_; return $self->{make}->($self->{at}++) }
    sub close   { }    ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
}

sub {
    my ($env) = @_;
    return ($app{$env->{PATH_INFO}} // $files)->($env);
};
