# Reads psgi.input in the way that the path names, and tells in JSON what came of it.
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use JSON::PP ();
use Plack::Request;

my $PIECE = 10_000;

my $json = JSON::PP->new->canonical->ascii->allow_nonref;

sub read_all {
    my ($input) = @_;
    my $all = q{};
    while (1) {
        my $count = $input->read(my $piece, $PIECE) // die "read: $!\n";
        return $all if !$count;
        die "read says $count and brings " . length($piece) . "\n" if $count != length $piece;
        $all .= $piece;
    }
}

my %way = (
    pieces => sub {
        my ($input) = @_;
        my $all = read_all($input);
        return {digest => md5_hex($all), length => length $all, after_end => $input->read(my $more, 1)};
    },

    offset => sub {
        my ($input) = @_;
        my $buffer  = 'abc';
        my @counts  = ($input->read($buffer, 4, 3), $input->read($buffer, 2, 9), $input->read($buffer, 1, -1));
        return {counts => \@counts, buffer => $buffer};
    },

    rewind => sub {
        my ($input) = @_;
        my $first = read_all($input);
        $input->seek(0, 0) or die "seek: $!\n";
        my $second = read_all($input);
        $input->seek(-3, 2) or die "seek from the end: $!\n";
        my $end = read_all($input);
        $input->seek(2, 0) or die "seek: $!\n";
        $input->read(my $middle, 3);
        my $at = $input->tell;
        return {same => $first eq $second ? 1 : 0, end => $end, middle => $middle, at => $at};
    },

    lines => sub {
        my ($input) = @_;
        my $line    = $input->getline;
        my $next    = readline $input;
        my $char    = getc $input;
        my $more    = eof($input) ? 0 : 1;
        my @rest    = $input->getlines;
        return {lines => [$line, $next, $char, @rest], more => $more, eof => $input->eof ? 1 : 0};
    },

    builtins => sub {
        my ($input) = @_;
        binmode $input or die "binmode: $!\n";
        my $count  = read $input, my $buffer, 5;
        my $opened = $input->opened ? 1 : 0;
        local $/ = undef;
        my $rest = <$input>;
        return {count => $count, buffer => $buffer, rest => $rest, opened => $opened, eof => eof $input ? 1 : 0};
    },

    closed => sub {
        my ($input) = @_;
        close $input or die "close: $!\n";
        no warnings;    ## no critic (ProhibitNoWarnings): that it is closed is the point
        return {read => $input->read(my $buffer, 1)};
    },

    ignored => sub { return {} },

    form => sub {
        my (undef, $env) = @_;
        my $request = Plack::Request->new($env);
        return {
            parameters => $request->body_parameters->as_hashref_mixed,
            content    => md5_hex($request->content),
            again      => md5_hex(Plack::Request->new($env)->content),
            uploads    => {map { $_ => md5_of($request->upload($_)->path) } keys %{$request->uploads}},
        };
    },
);

sub md5_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "open $path: $!\n";
    my $digest = Digest::MD5->new->addfile($file)->hexdigest;
    close $file or die "close $path: $!\n";
    return $digest;
}

sub {
    my ($env) = @_;
    my $way   = $way{substr $env->{PATH_INFO}, 1};
    my $told  = $way->($env->{'psgi.input'}, $env);
    return [200, ['Content-Type' => 'application/json'], [$json->encode($told)]];
};
