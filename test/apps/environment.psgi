# Answers with its environment in JSON. Bytes stand for themselves, as characters up to U+00FF.
use strict;
use warnings;

use JSON::PP ();
use Scalar::Util qw(blessed reftype);

my $json = JSON::PP->new->canonical->ascii->allow_nonref;

# What JSON cannot hold is told by its kind: "ARRAY[]", "GLOB".
sub shown {
    my ($value) = @_;
    return $value if !ref $value;
    return blessed $value // reftype $value if reftype $value ne 'ARRAY';
    return 'ARRAY[' . join(q{,}, @{$value}) . ']';
}

sub {
    my ($env) = @_;
    my %told  = map { $_ => shown($env->{$_}) } keys %{$env};
    my %about = (
        kind       => ref \$env eq 'REF' ? ref $env : 'none',
        tied       => tied %{$env}       ? 1        : 0,
        characters => [grep { utf8::is_utf8($env->{$_}) } sort keys %{$env}],
        undefined  => [grep { !defined $env->{$_} } sort keys %{$env}],
    );

    # What this request leaves behind, the next one must not find.
    $env->{'test.left'} = 'by an earlier request';
    delete $env->{'psgi.version'};
    $_ = 'changed' for @{$env}{qw(REQUEST_METHOD psgi.url_scheme psgi.streaming)};
    push @{$env->{'psgix.cleanup.handlers'}}, sub { };

    my $body = $json->encode({env => \%told, about => \%about});
    return [200, ['Content-Type' => 'application/json'], [$body]];
};
