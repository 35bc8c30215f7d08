# Notes what it is asked, and goes on for as long as somebody listens.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Gate;

my @PLAIN = ('Content-Type' => 'text/plain');
my $PIECE = 'x' x 50_000;

sub note_that { return print {*STDERR} "noted: @_\n" }

my %app = (
    '/hello'  => sub { return [200, [@PLAIN], ['hello']] },
    '/wait'   => sub { my ($env) = @_; Gate::wait_at($env); return [200, [@PLAIN], ['waited']] },
    '/stream' => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, [@PLAIN]]);
            $writer->write($PIECE) while 1;
        };
    },
    '/wait-and-stream' => sub {
        my ($env) = @_;
        return sub {
            Gate::wait_at($env);
            my $writer = $_[0]->([200, [@PLAIN]]);
            my $count  = 0;
            eval { $writer->write($PIECE) while ++$count < 1000; 1 } or note_that("write said: $@");
            note_that($count < 1000 ? 'it was told in time' : 'it was not told');
            $writer->close;
        };
    },
    '/endless'          => sub { return [200, [@PLAIN], Endless->new] },
    '/wait-and-endless' => sub { my ($env) = @_; Gate::wait_at($env); return [200, [@PLAIN], Endless->new] },
    '/nothing-yet'      => sub { return [200, [@PLAIN], Endless->new(q{})] },
    '/array'            => sub { return [200, [@PLAIN], [('x' x 1_000_000) x 50]] },
    '/file'             => sub {
        open my $body, '<', $_[0]{HTTP_X_FILE} or die "open: $!\n";
        return [200, [@PLAIN], $body];
    },
);

package Endless {    ## no critic (ProhibitMultiplePackages)
    sub new { my ($class, $piece) = @_; return bless {piece => $piece // $PIECE}, $class }
    sub getline { my ($self) = @_; return $self->{piece} }

    sub close {
        print {*STDERR} "noted: the body was closed\n";
    }                ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
}

sub {
    my ($env) = @_;
    note_that("asked for $env->{REQUEST_URI}");
    return $app{$env->{PATH_INFO}}->($env);
};
