# Complains, in every way that there is, by path.
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Gate;

my %app = (
    '/errors' => sub {
        my ($env)  = @_;
        my $errors = $env->{'psgi.errors'};
        my $all    = $errors->print('by print', ", of two\n") && $errors->printf("by %s\n", 'printf');
        local ($,, $\) = (q{-}, "!\n");
        $all &&= $errors->print('with', 'separators');
        $all &&= print {$errors} 'by the builtin';
        $errors->autoflush(1);
        return $all ? 'true' : 'false';
    },
    '/stderr' => sub {
        warn "by warn\n";
        print {*STDERR} 'in ', 'pieces', "\n", "two lines\nat once\n", "\xe4 and \xc3\xa4\n", "tab\tand \e[1mcolour\n";
        system 'echo by a program >&2';
        return 'done';
    },
    '/unfinished' => sub {
        my ($env) = @_;
        print {*STDERR} "a whole line\n", 'a line that ';
        Gate::wait_at($env);
        return 'done';
    },
    '/long' => sub { print {*STDERR} 'x' x 100_000, "\n"; return 'done' },
    '/many' => sub { my ($env) = @_; print {*STDERR} "line $_ of $env->{QUERY_STRING}\n" for 1 .. 50; return 'done' },
    '/quiet'      => sub { return 'done' },
    '/redirected' => sub {
        open my $old, '>&', \*STDERR or die "dup: $!\n";
        open STDERR,  '>',  '/dev/null' or die "redirect: $!\n";
        print {*STDERR} "into nothing\n";
        open STDERR, '>&', $old or die "restore: $!\n";
        print {*STDERR} "back again\n";
        return 'done';
    },
);

sub {
    my ($env) = @_;
    return [
        200, ['Content-Type' => 'text/plain', 'X-Id' => $env->{'thralld.request_id'}],
        [$app{$env->{PATH_INFO}}->($env)]
    ];
};
