use strict;
use warnings;

use File::Basename qw(basename dirname);
use JSON::PP ();
use Socket qw(AF_UNIX SOCK_SEQPACKET PF_UNSPEC);
use Test::More;
use Thralld::Frame qw(:all);
use Time::HiRes qw(ualarm);

my $folder = dirname(__FILE__) . '/../../testdata/frames';
my @golden = map { golden($_) } sort glob "$folder/*.hex";
ok(@golden > 20, 'there are golden frames');

my @types = qw(REQUEST QUIT CANCEL ACK READY HEAD BODY INFO IDLE LOG FAIL BOOT SPAWN CALIBRATE LOADED
    SPAWNED LAYOUT);
my %flags = map { ($_ eq 'END_RESPONSE' ? 'END' : $_) => Thralld::Frame->can($_)->() }
    qw(END_RESPONSE STREAM CLEANUP LEAVING ABORT SPOOLED FILE FAILED);

# What Perl makes of the content, for each type that it sends.
my %made = (
    READY   => sub { frame_process(READY,   $_->{id}, $_->{pid}) },
    SPAWNED => sub { frame_process(SPAWNED, $_->{id}, $_->{pid}) },
    INFO    => sub { info_frame(@{$_}{qw(id status)}, flat($_->{header})) },
    LOG     => sub { frame_list(LOG, $_->{id}, @{$_->{list}}) },
    HEAD    => sub {
        my $body = $_->{file} ? file_ref(@{$_->{file}}{qw(fd offset length)}) : $_->{body};
        return head_frame(flags($_), @{$_}{qw(id status app_time_us)}, $body, flat($_->{header}));
    },
    map {
        my $type = $_;
        $type => sub { frame(Thralld::Frame->can($type)->(), flags($_), @{$_}{qw(id payload)}) }
    } qw(BODY IDLE FAIL LOADED LAYOUT),
);

# What Perl understands of the bytes, for each type that it receives.
my %understood = (
    REQUEST => sub {
        my ($flags, $id, $body, $layout, $text) = unpack REQUEST_LAYOUT, $_->{bytes};
        my @env = unpack $layout, $text;
        return {flags => $flags, id => $id, ($flags & SPOOLED ? 'spool_file' : 'body') => $body, env => \@env};
    },
    BOOT => sub { return {flags => 0, id => 0, list => [unpack LIST_LAYOUT, $_->{bytes}]} },
);

for (@golden) {
    my ($name, $type) = @{$_}{qw(name type)};
    is_deeply(
        [frame_header($_->{bytes})],
        [Thralld::Frame->can($type)->(), flags($_), $_->{id}],
        "$name: type, flags and id are understood"
    );
    if (my $make = $made{$type}) {
        my $bytes = $make->();
        ok(utf8::downgrade($bytes, 1), "$name: is made of bytes");
        is(unpack('H*', $bytes), unpack('H*', $_->{bytes}), "$name: is made");
    }
    elsif (my $understand = $understood{$type}) {
        my %want = (flags => flags($_), id => $_->{id});
        $want{env} = flat($_->{env}) if $_->{env};
        for my $key (qw(body spool_file list)) {
            $want{$key} = $_->{$key} if defined $_->{$key};
        }
        is_deeply($understand->(), \%want, "$name: is understood");
    }
    else {
        is(length $_->{bytes}, 8, "$name: has no content");
    }
}

is_deeply([sort keys %{{map { $_->{type} => 1 } @golden}}], [sort @types], 'golden frames use every type');
is_deeply(
    [sort keys %{{map { $_ => 1 } map { @{$_->{flags}} } @golden}}],
    [sort keys %flags],
    'golden frames use every flag'
);
is(MAX_FRAME, json("$folder/limits.json")->{max_frame}, 'the largest frame is that of the golden frames');

subtest 'frames keep their borders on the way' => sub {
    my ($ours, $theirs) = pair();
    ok(send_frame($ours, $_), 'is sent') for 'first frame', 'x' x MAX_FRAME;
    close $ours;
    read_frame($theirs, my $frame);
    is($frame, 'first frame', 'the first arrives');
    read_frame($theirs, $frame);
    is(length $frame, MAX_FRAME, 'the largest one arrives whole');
    ok(!read_frame($theirs, $frame), 'the end is seen');
};

subtest 'a signal does not end the wait for a frame' => sub {
    my ($ours, $theirs) = pair();
    local $SIG{ALRM} = sub { send_frame($ours, 'late') };
    ualarm 50_000;
    ok(read_frame($theirs, my $frame), 'a frame is read');
    is($frame, 'late', 'it is the one that was sent by the handler');
};

subtest 'a frame for nobody is an answer, not a death' => sub {
    my ($ours, $theirs) = pair();
    close $theirs;
    ok(!send_frame($ours, 'frame'), 'send_frame tells');
};

done_testing;

sub pair {
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_SEQPACKET, PF_UNSPEC or die "socketpair: $!\n";
    return ($ours, $theirs);
}

sub golden {
    my ($path) = @_;
    (my $stem = $path) =~ s/[.]hex\z//;
    my $hex = slurp($path);
    $hex =~ s/#.*//g;
    $hex =~ s/\s+//g;
    return {%{json("$stem.json")}, name => basename($stem), bytes => pack 'H*', $hex};
}

sub json { return JSON::PP->new->utf8->decode(slurp($_[0])) }

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or die "cannot read $path: $!\n";
    local $/;
    return scalar readline $fh;
}

sub flags {
    my ($golden) = @_;
    my $flags = 0;
    $flags |= $flags{$_} for @{$golden->{flags}};
    return $flags;
}

sub flat {
    return [map { @{$_} } @{$_[0]}];
}
