package Visitors;

use 5.014;
use warnings;

use Carp qw(croak);
use HTTP::Tiny ();
use IO::Handle ();
use JSON::PP ();
use POSIX ();

my $SECONDS = 30;

sub new {
    my ($class, $daemon, %option) = @_;
    my $self = bless {owner => $$, visitors => []}, $class;
    my ($url, $one_each) = ($daemon->url($option{target}), $option{one_each});
    for (1 .. $option{count} // 2) {
        pipe my $ours,   my $theirs or croak "make a pipe: $!";
        pipe my $ending, my $end or croak "make a pipe: $!";
        my $pid = fork // croak "fork: $!";
        if (!$pid) {
            close $ours;
            close $_ for $end, map { $_->{end} } @{$self->{visitors}};
            visit($url, $one_each, $theirs, $ending);
            POSIX::_exit(0);
        }
        close $theirs;
        close $ending;
        push @{$self->{visitors}}, {pid => $pid, told => $ours, end => $end};
    }

    # Each says when it has had its first answer.
    sysread $_->{told}, my $first, 1 for @{$self->{visitors}};
    return $self;
}

# visit asks again and again on a kept connection, until the test ends it, or the test has ended. POST,
# as HTTP::Tiny would ask again by itself where a GET was not answered.
sub visit {
    my ($url, $one_each, $tell, $ending) = @_;
    alarm 120;
    my $client = HTTP::Tiny->new(timeout => $SECONDS, keep_alive => !$one_each, proxy => undef, http_proxy => undef);
    my (%status, %body, %wrong);
    $ending->blocking(0);
    my $count = 0;
    until (defined sysread $ending, my $nothing, 1) {
        my $response = $client->post($url);
        $status{$response->{status}}++;
        $body{$response->{content}}++ if $response->{status} == 200;
        $wrong{substr $response->{content}, 0, 200}++ if $response->{status} != 200;
        syswrite $tell, q{.} if !$count++;
    }
    syswrite $tell, JSON::PP::encode_json({status => \%status, body => \%body, wrong => \%wrong});
    return;
}

sub leave {
    my ($self) = @_;
    my %all = (status => {}, body => {}, wrong => {});
    for my $visitor (splice @{$self->{visitors}}) {
        close $visitor->{end};
        my $text = do { local $/ = undef; readline $visitor->{told} };
        waitpid $visitor->{pid}, 0;
        my $seen = JSON::PP::decode_json($text // q{});
        for my $what (keys %all) {
            $all{$what}{$_} += $seen->{$what}{$_} for keys %{$seen->{$what}};
        }
    }
    return \%all;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($@, $!, $?);
    for my $visitor (@{$self->{visitors}}) {
        kill KILL => $visitor->{pid};
        waitpid $visitor->{pid}, 0;
    }
    return;
}

1;

__END__

=head1 NAME

Visitors - clients that ask without a pause, until the test has seen enough

=head1 SYNOPSIS

    my $visitors = Visitors->new($daemon, count => 2, target => '/pid');
    $daemon->signal('HUP');
    ...
    my $seen = $visitors->leave;
    is_deeply [keys %{$seen->{status}}], [200], 'nobody has noticed';

=head1 DESCRIPTION

Each is a process of its own, with one connection that it keeps, or with C<one_each> one for each request.

=head1 METHODS

=over

=item Visitors->new($daemon, %options)

Returns when each has had an answer. The options: C<count>, how many, 2 unless told; C<target>, what they
ask for; C<one_each>.

=item leave

Ends them, and returns what they have seen, counted: C<status>; C<body>, those of 200; C<wrong>, those of
the others, with HTTP::Tiny's words where there was no answer (status 599).

=back

=cut
