package Folder;

use 5.014;
use warnings;

use Carp qw(croak);
use File::Path qw(make_path);
use File::Temp ();
use parent -norequire, 'File::Temp::Dir';

# new makes a folder that is removed when the object goes. In quotes it is its path.
sub new {
    my ($class, $name) = @_;
    return bless File::Temp->newdir("test-$name-XXXXXX", TMPDIR => 1), $class;
}

# write makes or replaces a file, with the folders on the way to it, and returns its path.
sub write {    ## no critic (ProhibitBuiltinHomonyms): a method
    my ($self, $name, $content) = @_;
    my $path = "$self/$name";
    make_path("$self/$1") if $name =~ m{(.*)/};
    open my $file, '>:raw', $path or croak "create $path: $!";
    print {$file} $content or croak "write $path: $!";
    close $file or croak "write $path: $!";
    return $path;
}

# content is what is in a file, which may have gone meanwhile.
sub content {
    my ($path) = @_;
    open my $file, '<', $path or return q{};
    local $/ = undef;
    my $content = readline($file) // q{};
    close $file;
    return $content;
}

1;

__END__

=head1 NAME

Folder - a folder for the files of a test

=head1 SYNOPSIS

    my $folder = Folder->new('name');
    my $app    = $folder->write('app.psgi', 'sub { [200, [], ["hello"]] }');
    like Folder::content("$folder/log"), qr/ready/;

=cut
