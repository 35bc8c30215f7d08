# Responses by callback, by path.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Gate;

my @PLAIN = ('Content-Type' => 'text/plain');

sub note_that { return print {*STDERR} "noted: @_\n" }

my %stream = (
    '/whole'  => sub { my ($respond) = @_; $respond->([200, [@PLAIN], ['in', ' one']]) },
    '/handle' => sub {
        my ($respond) = @_;
        open my $body, '<', \"from\na handle" or die "open a string: $!\n";
        $respond->([201, [@PLAIN], $body]);
    },
    '/pieces' => sub {
        my ($respond, $env) = @_;
        my $writer = $respond->([200, [@PLAIN]]);
        for my $piece (qw(one two)) {
            Gate::wait_at($env);
            $writer->write($piece);
        }
        Gate::wait_at($env);
        $writer->close;
    },
    '/values' => sub {
        my ($respond) = @_;
        my $writer    = $respond->([200, [@PLAIN]]);
        my @values    = map { $writer->write($_) ? 'true' : 'false' } 'a', '0', q{}, "\xff\0", 'z';
        $writer->close;
        note_that("write returned @values");
    },
    '/large' => sub {
        my ($respond) = @_;
        my $writer = $respond->([200, [@PLAIN]]);
        $writer->write($_ x 700_000) for qw(a b);
        $writer->close;
    },
    '/length' => sub {
        my ($respond) = @_;
        my $writer = $respond->([200, [@PLAIN, 'Content-Length' => 6]]);
        $writer->write($_) for qw(abc def);
        $writer->close;
    },
    '/nothing' => sub { my ($respond) = @_; $respond->([200, [@PLAIN]])->close },
    '/writer'  => sub {
        my ($respond) = @_;
        my $writer = $respond->([200, [@PLAIN]]);
        $writer->write(join q{ }, map { $writer->can($_) ? "has $_" : "no $_" } qw(write close poll_cb));
        $writer->close;
    },
    '/after-close' => sub {
        my ($respond) = @_;
        my $writer = $respond->([200, [@PLAIN]]);
        $writer->write('all');
        $writer->close;
        note_that('closed again') if eval    { $writer->close;         1 };
        note_that("write died: $@") if !eval { $writer->write('more'); 1 };
    },
    '/busy-after-close' => sub {
        my ($respond, $env) = @_;
        my $writer = $respond->([200, [@PLAIN]]);
        $writer->close;
        Gate::wait_at($env);
    },
    '/die-first'  => sub { die "died before the response\n" },
    '/die-midway' => sub { my ($respond) = @_; $respond->([200, [@PLAIN]])->write('begun'); die "died midway\n" },
    '/die-midway-length' => sub {
        my ($respond) = @_;
        $respond->([200, [@PLAIN, 'Content-Length' => 100]])->write('begun');
        die "died midway\n";
    },
    '/die-at-the-end' => sub {
        my ($respond) = @_;
        my $writer = $respond->([200, [@PLAIN]]);
        $writer->write('all');
        $writer->close;
        die "died at the end\n";
    },
);

package Callback {    ## no critic (ProhibitMultiplePackages): an object that can be called
    use overload '&{}' => sub { my ($self) = @_; return $self->[0] }, fallback => 1;
}

sub {
    my ($env)    = @_;
    my $stream   = $stream{$env->{PATH_INFO}};
    my $calls    = 0;
    my $callback = sub {
        note_that('the callback is called again') if $calls++;
        return $stream->($_[0], $env);
    };
    return $env->{QUERY_STRING} eq 'object' ? bless [$callback], 'Callback' : $callback;
};
