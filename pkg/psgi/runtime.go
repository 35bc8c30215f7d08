package psgi

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
)

//go:embed perl/boot.pl perl/Thralld/*.pm
var perlFiles embed.FS

// Program returns the Perl runtime as one program, to be given to perl on its
// standard input with the descriptor of the control socket as its argument.
// What it does next is told in a frame of TypeBoot.
func Program() []byte {
	program := append(mustRead("perl/boot.pl"), "\n__END__\n"...)
	modules, err := fs.Glob(perlFiles, "perl/Thralld/*.pm")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range modules {
		program = fmt.Appendf(program, "==== Thralld/%s\n", path.Base(name))
		program = append(program, mustRead(name)...)
	}
	return program
}

func mustRead(name string) []byte {
	b, err := perlFiles.ReadFile(name)
	if err != nil {
		panic(err) // embedded: it is there or the program does not build
	}
	return b
}

// Boot says what a template and its workers run.
type Boot struct {
	App               string   // the absolute path of a file, or the name of a class
	Eval              string   // code in place of App, or around it
	Env               string   // the value of PLACK_ENV
	Include           []string // folders put in front of @INC
	Modules           []string // loaded before the app, as perl's -M
	DefaultMiddleware bool     // in development: Lint, StackTrace and AccessLog
	Quiet             bool     // no AccessLog in development
	Preload           bool     // load the app once, in the template
	Generation        int      // thralld.generation in the app
	Threads           int      // requests that a worker runs at a time; 0 and 1 are one, without perl's threads
	ThreadStackSize   int64    // bytes for each of several threads; 0: what perl was built with
	// Slots holds, for each slot, the numbers that its socket and its log pipe
	// have in the template.
	Slots [][2]int
}

// AppendBoot appends the frame that tells a template what to run.
func AppendBoot(dst []byte, b *Boot) []byte {
	list := []string{
		"app", b.App, "eval", b.Eval, "env", b.Env,
		"default_middleware", perlBool(b.DefaultMiddleware), "quiet", perlBool(b.Quiet),
		"preload", perlBool(b.Preload), "generation", strconv.Itoa(b.Generation),
		"threads", strconv.Itoa(max(b.Threads, 1)), "thread_stack_size", strconv.FormatInt(b.ThreadStackSize, 10),
	}
	for _, dir := range b.Include {
		list = append(list, "include", dir)
	}
	for _, module := range b.Modules {
		list = append(list, "module", module)
	}
	for _, s := range b.Slots {
		list = append(list, "slot", fmt.Sprintf("%d:%d", s[0], s[1]))
	}
	return AppendList(dst, TypeBoot, 0, 0, list...)
}

func perlBool(b bool) string {
	if b {
		return "1"
	}
	return ""
}
