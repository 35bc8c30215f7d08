# Responses of every shape that PSGI allows, by path. It is an object that can be called, as an app may be.
use strict;
use warnings;

use IO::File ();

my @PLAIN = ('Content-Type' => 'text/plain');
my $file  = $ENV{TEST_FILE};

sub file {
    my ($mode) = @_;
    open my $handle, $mode, $file or die "open $file: $!\n";
    return $handle;
}

my %response = (
    '/text'    => sub { return [200,                 [@PLAIN], ['text']] },
    '/string'  => sub { return ['404',               [@PLAIN], ['not there']] },
    '/status'  => sub { return [$_[0]{QUERY_STRING}, [@PLAIN], ['status']] },
    '/untyped' => sub { return [200,                 [],       ['<html>']] },
    '/headers' => sub { return [200, ['Set-Cookie' => 'a=1', 'X-Two' => 2, 'set-cookie' => 'b=2', 'X-Zero' => 0], []] },
    '/length'   => sub { return [200, [@PLAIN, 'Content-Length' => 4],                        ['text']] },
    '/close'    => sub { return [200, [@PLAIN, 'Connection' => 'close', 'Keep-Alive' => 'x'], ['bye']] },
    '/software' => sub { return [200, [@PLAIN, 'Server' => 'mine', 'Date' => 'today'],        []] },
    '/bodiless' => sub {
        return [$_[0]{QUERY_STRING}, ['Content-Type' => 'text/plain', 'Content-Length' => 4, ETag => '"x"'], ['text']];
    },
    '/die'  => sub { die "the app has died of this\n" },
    '/mark' => sub { print {*STDERR} "mark $_[0]{QUERY_STRING}\n"; return [200, [@PLAIN], ['marked']] },

    '/none'     => sub { return [200, [@PLAIN], []] },
    '/empty'    => sub { return [200, [@PLAIN], [q{}]] },
    '/many'     => sub { return [200, [@PLAIN], ['a', q{}, '0', undef, "\xff\0", 'z']] },
    '/upgraded' => sub { utf8::upgrade(my $body = "\xe4"); return [200, [@PLAIN], [$body]] },
    '/large'    => sub {
        return [200, [@PLAIN], [map { chr(97 + $_) x 100_000 } 0 .. 9]];
    },
    '/lines'     => sub { return [200, [@PLAIN], Lines->new("one\n", '0', q{}, q{}, "two\n", q{}, 'x' x 300_000)] },
    '/silent'    => sub { return [200, [@PLAIN], Lines->new()] },
    '/separator' => sub { return [200, [@PLAIN], Separator->new] },
    '/path'      => sub { return [200, [@PLAIN], WithPath->new('from getline')] },
    '/memory'    => sub { open my $body, '<',  \"in\nmemory"; return [200, [@PLAIN], $body] },
    '/pipe'      => sub { open my $body, '-|', 'printf', 'a\nb'; return [200, [@PLAIN], $body] },
    '/glob'      => sub { return [200, [@PLAIN], file('<')] },
    '/iofile'    => sub { return [200, [@PLAIN], IO::File->new($file, 'r')] },
    '/layer'     => sub { return [200, [@PLAIN], file('<:crlf')] },
    '/position'  => sub { my $body = file('<'); readline $body;   return [200, [@PLAIN], $body] },
    '/at-end'    => sub { my $body = file('<'); seek $body, 0, 2; return [200, [@PLAIN], $body] },
    '/fds'       => sub { return [200, [@PLAIN], [scalar(() = glob '/proc/self/fd/*')]] },
    '/chunked'   => sub {
        return [200, [@PLAIN, 'Transfer-Encoding' => 'chunked'], ["3\r\none\r\n", "4\r\n two\r\n0\r\n\r\n"]];
    },
    '/unlinked' => sub {
        my $body = IO::File->new_tmpfile;
        print {$body} 'nowhere to be found' or die "write: $!\n";
        seek $body, 0, 0;
        return [200, [@PLAIN], $body];
    },
);

# A body that is no more than PSGI asks for: getline and close.
package Lines {    ## no critic (ProhibitMultiplePackages)
    sub new     { my ($class, @lines) = @_; return bless {lines => \@lines}, $class }
    sub getline { my ($self) = @_; return shift @{$self->{lines}} }
    sub close   { print {*STDERR} "a body was closed\n" }  ## no critic (ProhibitBuiltinHomonyms ProhibitAmbiguousNames)
}

# A body that tells what $/ is.
package Separator {    ## no critic (ProhibitMultiplePackages)
    use parent -norequire, 'Lines';
    sub getline { my ($self) = @_; return $self->{told}++ ? undef : ref $/ ? ref($/) . " ${$/}" : 'a string' }
}

# A body with a path that is not there, or not for the server.
package WithPath {    ## no critic (ProhibitMultiplePackages)
    use parent -norequire, 'Lines';
    sub path { return '/nonexistent' }
}

package Callable {    ## no critic (ProhibitMultiplePackages)
    use overload '&{}' => sub {
        return sub { my ($env) = @_; return $response{$env->{PATH_INFO}}->($env) }
        },
        fallback => 1;
}

bless [], 'Callable';
