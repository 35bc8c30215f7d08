package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"sync/atomic"

	"github.com/thralld/thralld/pkg/psgi"
)

// facade is the app as the server sees it: the workers, or, while a developer's edit
// is broken, a page that says so.
type facade struct {
	psgi.App
	broken atomic.Pointer[string] // the page; nil: the app answers
}

// Call implements psgi.App.
func (f *facade) Call(ctx context.Context, r *psgi.Request) (*psgi.Response, error) {
	page := f.broken.Load()
	if page == nil {
		return f.App.Call(ctx, r)
	}
	return &psgi.Response{
		Status: 500,
		Header: psgi.Header{
			{Name: "Content-Type", Value: "text/html; charset=utf-8"},
			{Name: "Cache-Control", Value: "no-store"},
		},
		Body: &pageBody{text: []byte(*page)}, Whole: true,
	}, nil
}

// show makes the facade answer with the error of a reload; nil ends that.
func (f *facade) show(err error) {
	if err == nil {
		f.broken.Store(nil)
		return
	}
	page := fmt.Sprintf(brokenPage, html.EscapeString(err.Error()))
	f.broken.Store(&page)
}

// brokenPage asks again by itself: once the next save is good, the app is back.
const brokenPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="1">
<title>The application does not load</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 3em auto; max-width: 60em; padding: 0 1em; color: #222; background: #fff }
pre { padding: 1em; overflow: auto; white-space: pre-wrap; color: #611; background: #fee; border-left: 4px solid #c33 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } pre { color: #fcc; background: #311 } }
</style>
</head>
<body>
<h1>The application does not load</h1>
<pre>%s</pre>
<p>Correct it and save: thralld loads it again by itself. The code of before is kept aside meanwhile.</p>
</body>
</html>
`

// pageBody is a body of one piece.
type pageBody struct{ text []byte }

func (b *pageBody) Next() ([]byte, error) {
	if b.text == nil {
		return nil, io.EOF
	}
	text := b.text
	b.text = nil
	return text, nil
}

func (b *pageBody) Close() error { return nil }
