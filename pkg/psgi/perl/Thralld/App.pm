package Thralld::App;

use strict;
use warnings;

use File::Basename qw(dirname);
use overload ();
use Scalar::Util qw(blessed reftype);

# new takes app, eval, env, include, module, default_middleware and quiet.
sub new {
    my ($class, %option) = @_;
    return bless {%option}, $class;
}

# prepare sets up what the app finds when it is loaded: @INC, $0, @ARGV, methods
# on plain handles, and the modules asked for. It dies with Perl's message.
sub prepare {
    my ($self) = @_;
    require IO::File;
    @ARGV = ();
    $SIG{PIPE} = sub { };    # a lost connection is an error, not a death; what the app executes starts with the default

    my @lib = $self->is_file ? grep { -d } dirname($self->{app}) . '/lib' : ();
    unshift @INC, @{$self->{include}}, @lib;

    my $title = \$0;
    tie my $shown, 'Thralld::App::Title', $self->is_file ? $self->{app} : '-e', $title;
    { no warnings 'once'; *0 = \$shown; }
    $self->{title} = $title;

    load_module($_) for @{$self->{module}};
    return;
}

# load_module does what perl's -M does: NAME, or NAME=WHAT,IT,EXPORTS.
sub load_module {
    my ($name, $import) = split /=/, $_[0], 2;
    my @import = defined $import ? split /,/, $import : ();
    require(path_of($name));
    eval 'package main; $name->import(@import); 1' or die $@;    ## no critic (ProhibitStringyEval)
    return;
}

# path_of is where perl looks for a module.
sub path_of {
    my ($name) = @_;
    $name =~ s{::|'}{/}g;
    return "$name.pm";
}

# is_file tells a path from the name of a class.
sub is_file { return $_[0]{app} =~ m{/} }

# show_title sets what ps shows; the app's $0 stays.
sub show_title {
    my ($self, $what) = @_;
    ${$self->{title}} = "thralld: $what, $self->{app}";
    return;
}

# load returns the app as a code reference. The second call returns the same.
# It dies with Perl's message, which names file and line.
sub load {
    my ($self) = @_;
    return $self->{code} if defined $self->{code};
    my $app
        = length $self->{eval} ? $self->load_eval
        : $self->is_file       ? load_file($self->{app})
        :                        load_class($self->{app});
    return $self->{code} = $self->wrap($self->check($app));
}

# load_file runs a file in a package of its own; what it returns is the app.
sub load_file {
    my ($file) = @_;
    open my $fh, '<', $file or die "cannot read $file: $!\n";
    close $fh;
    (my $package = $file) =~ s/([^A-Za-z0-9])/sprintf '_%02x', ord $1/ge;
    my $app = eval "package Thralld::Sandbox::$package;"    ## no critic (ProhibitStringyEval)
        . 'my $app = do $file; die $@ if !defined $app && $@; $app';
    die $@ if $@;
    return $app;
}

# load_class loads a class that is an app (its file returns one) or makes one.
sub load_class {
    my ($class) = @_;
    my $path    = path_of($class);
    my $app     = require $path;
    return $app if ref $app;
    return $class->to_app if $class->can('to_app');
    return $class->to_psgi_app if $class->can('to_psgi_app');
    return $class->psgi_app if $class->can('psgi_app');
    die "$class ($INC{$path}) is no PSGI app: its file returns none, and it has no method to_app\n";
}

# load_eval runs the code of -e inside a builder block, around the app if one was named.
sub load_eval {
    my ($self) = @_;
    my $file   = $self->{app};
    my $app    = eval join "\n",    ## no critic (ProhibitStringyEval)
        'package main; no strict; no warnings; use Plack::Builder; builder {', '#line 1 "-e"',
        $self->{eval}, $self->is_file ? '; Thralld::App::load_file($file) }' : '}';
    die $@ if $@;
    return $app;
}

sub check {
    my ($self, $app) = @_;
    $app = $app->to_app if blessed $app && !is_code($app) && $app->can('to_app');
    return $app if is_code($app);
    my $got  = !defined $app ? 'undef' : ref $app ? 'a reference to ' . ref $app : qq{"$app"};
    my $what = length $self->{eval} ? 'the code of -e' : $self->{app};
    die "$what returned $got; its last value has to be the app, a code reference\n";
}

# is_code is true for what can be called: a code reference or an object that overloads &{}.
sub is_code {
    my ($thing) = @_;
    return 0 if !ref $thing;
    return 1 if reftype $thing eq 'CODE';
    return blessed $thing && defined overload::Method($thing, '&{}');
}

# wrap adds what plackup adds in the development environment, where Plack is there.
sub wrap {
    my ($self, $app) = @_;
    return $app if $self->{env} ne 'development' || !$self->{default_middleware};
    for my $name ('Lint', 'StackTrace', $self->{quiet} ? () : 'AccessLog') {
        my $class = "Plack::Middleware::$name";
        local $SIG{__DIE__};    # that Plack is not there is no matter for the app
        next if !eval { require(path_of($class)) };
        $app = $class->wrap($app);
    }
    return $app;
}

# message makes one string of bytes of whatever was thrown. It never dies, and
# leaves $@ to the app, which may be at work on it.
sub message {
    my ($error) = @_;
    local ($@, $SIG{__DIE__});
    my $text = defined $error ? eval { "$error" } : undef;
    if (!defined $text || $text !~ /\S/) {
        $text = ref $error ? 'an object of ' . ref($error) . ' that has no text' : 'unknown error';
    }
    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/\s+\z//;
    return $text;
}

# The app's $0 is its file, as under plackup, while ps shows what the process
# is. An app that sets $0 sets both.
package Thralld::App::Title;    ## no critic (ProhibitMultiplePackages)

sub TIESCALAR { my ($class, $value, $title) = @_; return bless [$value, $title], $class }
sub FETCH     { return $_[0][0] }
sub STORE     { my ($self, $value) = @_; $self->[0] = ${$self->[1]} = $value; return }

1;

__END__

=head1 NAME

Thralld::App - finds, loads and wraps the PSGI app

=head1 DESCRIPTION

What C<plackup> does between its command line and the server: C<@INC>, C<$0>,
C<-M>, C<-e>, a file or a class, and the middleware of the development
environment. Uses Plack only for C<-e> and for that middleware.

=cut
