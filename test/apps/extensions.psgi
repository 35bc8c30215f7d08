# Uses PSGI's extensions, by path. Every answer begins with the worker's process id.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Gate;

my $LINK = '</style.css>; rel=preload';

sub note_that { return print {*STDERR} "noted: @_\n" }

sub answer { return [200, ['Content-Type' => 'text/plain'], [$$]] }

sub on_cleanup {
    my ($env, $handler) = @_;
    push @{$env->{'psgix.cleanup.handlers'}}, $handler;
    return;
}

sub inform {
    my ($env, @response) = @_;
    eval { $env->{'psgix.informational'}->(@response); 1 } or note_that("informational died: $@");
    return;
}

my %app = (
    '/'        => sub { return answer() },
    '/cleanup' => sub {
        my ($env) = @_;
        on_cleanup($env, sub { Gate::wait_at($env); note_that("cleaned up after $_[0]{QUERY_STRING}") });
        return answer();
    },
    '/cleanup-fails' => sub {
        my ($env) = @_;
        on_cleanup($env, sub { die "in the first handler\n" });
        on_cleanup($env, sub { note_that('the second handler'); return 'something' });
        return answer();
    },
    '/cleanup-of-a-stream' => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            $writer->write($$);
            $writer->close;
            on_cleanup($env, sub { note_that('cleaned up after a stream') });
        };
    },
    '/cleanup-of-the-dead' => sub {
        my ($env) = @_;
        on_cleanup($env, sub { note_that('cleaned up after a death') });
        die "dead\n";
    },
    '/leave' => sub {
        my ($env) = @_;
        $env->{'psgix.harakiri.commit'} = $env->{QUERY_STRING};
        return answer();
    },
    '/leave-by-cleanup' => sub {
        my ($env) = @_;
        on_cleanup($env, sub { $_[0]{'psgix.harakiri.commit'} = 1; note_that('the handler wants to leave') });
        return answer();
    },
    '/leave-with-a-file' => sub {
        my ($env) = @_;
        $env->{'psgix.harakiri.commit'} = 1;
        open my $body, '<', __FILE__ or die "open the app: $!\n";
        return [200, ['Content-Type' => 'text/plain'], $body];
    },
    '/leave-by-a-stream' => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            $writer->write($$);
            $env->{'psgix.harakiri.commit'} = 1;
            $writer->close;
        };
    },
    '/hint' => sub {
        my ($env) = @_;
        inform($env, 103, [Link => $LINK, Link => '</app.js>; rel=preload']);
        Gate::wait_at($env);
        inform($env, 102, []);
        return answer();
    },
    '/hint-late' => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            inform($env, 103, [Link => $LINK]);
            $writer->write($$);
            $writer->close;
        };
    },
    '/hint-wrong' => sub {
        my ($env) = @_;
        inform($env, @{$_}) for [101, []], [200, []], ['x', []], [103, ['odd']], [103, {}];
        inform($env, 103, ["X-Split" => "a\r\nSet-Cookie: b"]);
        return answer();
    },
    '/log' => sub {
        my ($env) = @_;
        $env->{'psgix.logger'}->({level => $_, message => "at level $_"}) for qw(debug info warn error fatal);
        $env->{'psgix.logger'}->({level => 'info', message => "two\nlines"});
        return answer();
    },
);

sub {
    my ($env) = @_;
    return $app{$env->{PATH_INFO}}->($env);
};
