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
        pipe my $ours, my $theirs or croak "make a pipe: $!";
        my $pid = fork // croak "fork: $!";
        if (!$pid) {
            visit($url, $one_each, $theirs, $self->{owner});
            POSIX::_exit(0);
        }
        close $theirs;
        push @{$self->{visitors}}, {pid => $pid, told => $ours};
    }

    # Each says when it has had its first answer.
    sysread $_->{told}, my $first, 1 for @{$self->{visitors}};
    return $self;
}

# visit asks again and again on a kept connection, until the test ends it by TERM, or has ended. POST,
# as HTTP::Tiny would ask again by itself where a GET was not answered.
sub visit {
    my ($url, $one_each, $tell, $test) = @_;
    my $ended = 0;
    local $SIG{TERM} = sub { $ended = 1 };
    my $client = HTTP::Tiny->new(timeout => $SECONDS, keep_alive => !$one_each, proxy => undef, http_proxy => undef);
    my %seen   = map { $_ => {} } qw(status body wrong);
    my $count  = 0;
    until ($ended || getppid != $test) {
        my $response = $client->post($url);
        my ($status, $content) = @{$response}{qw(status content)};
        $seen{status}{$status}++;
        $seen{$status == 200 ? 'body' : 'wrong'}{substr $content, 0, 200}++;
        syswrite $tell, "\n" if !$count++;
    }
    syswrite $tell, JSON::PP::encode_json(\%seen);
    return;
}

sub leave {
    my ($self) = @_;
    my %all = (status => {}, body => {}, wrong => {});
    for my $visitor (splice @{$self->{visitors}}) {
        kill TERM => $visitor->{pid};
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
