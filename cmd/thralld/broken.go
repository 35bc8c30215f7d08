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
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="1">
<title>The application does not load</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 56rem; padding: 0 1.5rem; color: #222; background: #fff }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 1rem }
pre { font-size: .9rem; margin: 0; padding: 1rem 1.25rem; white-space: pre-wrap; overflow-wrap: anywhere;
  color: #611; background: #fdf0f0; border-left: 4px solid #c33; border-radius: 4px }
p { font-size: .9rem; color: #666 }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 } pre { color: #fcc; background: #2a1616 } p { color: #999 }
}
</style>
</head>
<body>
<h1>The application does not load</h1>
<pre>%s</pre>
<p>Correct it and save: thralld loads it again by itself, and this page follows. Until then no request reaches the application.</p>
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
