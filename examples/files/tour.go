package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gomono.dev/examples/files/modules/files"
	"gomono.dev/mono"
)

// tour starts the App, uses it as its clients do, and stops it.
func tour(ctx context.Context, app *mono.App, site *files.Module, stdout io.Writer) (err error) {
	var base string
	site.Serving = func(url string) { base = url }
	if err := app.Start(ctx); err != nil {
		return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
	}
	defer func() { err = errors.Join(err, app.Stop(context.WithoutCancel(ctx))) }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	v := &visitor{base: base, out: stdout, client: &http.Client{}}
	defer v.client.CloseIdleConnections()
	metadata := "filename " + base64.StdEncoding.EncodeToString([]byte("hello.txt")) + ",filetype " + base64.StdEncoding.EncodeToString([]byte("text/plain"))
	upload := v.send(ctx, "POST", "/files/", "", "Tus-Resumable", "1.0.0", "Upload-Length", "12", "Upload-Metadata", metadata)
	v.send(ctx, "PATCH", upload, "Hello, ", "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	v.send(ctx, "HEAD", upload, "", "Tus-Resumable", "1.0.0")
	v.send(ctx, "PATCH", upload, "mono!", "Tus-Resumable", "1.0.0", "Upload-Offset", "7", "Content-Type", "application/offset+octet-stream")
	v.send(ctx, "GET", "/list?prefix=hel", "")
	v.send(ctx, "GET", "/files/hello.txt", "", "Range", "bytes=7-")
	v.send(ctx, "DELETE", "/files/hello.txt", "")
	v.send(ctx, "GET", "/files/hello.txt", "")
	return v.err
}

// visitor sends requests and prints the answers.
type visitor struct {
	base   string
	client *http.Client
	out    io.Writer
	err    error // the first one; nothing is sent after it
}

// send sends a request, and prints it with its answer. A header is a name and a value. It
// returns the path of the answer's Location.
func (v *visitor) send(ctx context.Context, method, path, body string, header ...string) (location string) {
	if v.err != nil {
		return ""
	}
	location, v.err = v.ask(ctx, method, path, body, header)
	return location
}

func (v *visitor) ask(ctx context.Context, method, path, body string, header []string) (location string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, v.base+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	got, err := v.client.Do(request)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	if err != nil {
		return "", err
	}
	shown, _, _ := strings.Cut(path, "?upload=")
	fmt.Fprintf(v.out, "%s %s %s\n  %s", method, shown, body, got.Status)
	if offset := got.Header.Get("Upload-Offset"); offset != "" {
		fmt.Fprintf(v.out, " offset %s", offset)
	}
	fmt.Fprintf(v.out, " %s\n", bytes.TrimSpace(content))
	if to := got.Header.Get("Location"); to != "" {
		target, err := request.URL.Parse(to)
		if err != nil {
			return "", err
		}
		location = (&url.URL{Path: target.Path, RawQuery: target.RawQuery}).String()
	}
	return location, nil
}
