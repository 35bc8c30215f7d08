// Package config turns thrall.toml, the command line and the environment into
// one value, [Config], or into the list of everything that is wrong with them.
//
// # Story
//
// The fields of Config carry tags, and the tags are the only place where a key
// is described: its name, default, range, option letter and one line of help.
// [Keys] reads them. The command line, --help, the defaults and the check of
// thrall.toml.example are all made from that list, so a new field is a new key,
// a new option and a new line of help at once. A field that is a list of structs, such
// as [Listener], is a key that is written as tables; its struct has tags, too, and
// [Tables] reads them. Tables stand in thrall.toml alone.
//
// [Load] lays four layers over each other. From the weakest to the strongest:
//
//	defaults  <  environment variables  <  thrall.toml  <  command line
//
// # Words
//
// A key is a name in thrall.toml (max_queue). Its flag is the same word on the
// command line (--max-queue). A table is one [[listener]] with the keys below it. A [Setting] is a key's value as text, from the
// command line or the environment. An origin says where a value came from:
// "default", "/srv/app/thrall.toml:12", "--workers", "PLACK_ENV".
//
// # Invariant
//
// A Config that Load returned is whole and checked: every value is of its type
// and in its range, and every path in it is absolute. Otherwise the error is a
// [Mistakes], one for each thing wrong, so that a person mends the file in one
// sitting.
//
// # Traps
//
// The TOML library stops at the first syntax error and keeps the line numbers of
// values to itself. So the file is first cut into statements, each with its line
// (see statements), and each is decoded alone: a slip on line 3 hides nothing on
// line 30. This is sound because the header of a table is a statement like any other,
// below which the reader notes whose keys follow, and because no table is within
// another one.
package config
