// Package client speaks to the REST API: one method per operation, the shapes
// of package resource, and errors that come back as the *ra.Error they were on
// the other side. The command line uses nothing else, so whatever it can do, a
// program can.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

// Client calls the API of one server. Fill the fields, then use it; it is safe
// for concurrent use.
type Client struct {
	HTTP  *http.Client
	Base  string      // "https://pki.example.org", without a path
	Token secret.Text // not needed on a trusted connection
}

// maxAnswer bounds what is read of one answer that is not a file.
const maxAnswer = 64 << 20

// call makes one call. in, unless nil, is sent as JSON; out, unless nil, takes
// the answer. Errors are *ra.Error: what the server said, or Unreachable.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any, header ...string) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
		header = append(header, "Content-Type", "application/json")
	}
	resp, err := c.send(ctx, method, path, query, body, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return c.decode(resp.Body, out)
}

// decode reads an answer into out: JSON, or the bytes as they are.
func (c *Client) decode(from io.Reader, out any) error {
	b, err := io.ReadAll(io.LimitReader(from, maxAnswer))
	if err != nil {
		return c.cutOff(err)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return c.notOurs(err)
	}
	return nil
}

// send makes one call and gives the answer when it is a good one.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body io.Reader, header []string) (*http.Response, error) {
	target := strings.TrimRight(c.Base, "/") + "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The address of the server is not understood.").WithField("server").WithRemedy("Write it as https://HOST or https://HOST:PORT.").WithCause(err)
	}
	if c.Token.IsSet() {
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ra.Errorf(ra.Unreachable, "The server at %s does not answer.", c.Base).WithRemedy("Check the address and that the server runs there.").WithCause(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.problem(resp)
}

// problem reads an answer that is not a good one.
func (c *Client) problem(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" {
		return c.notOurs(fmt.Errorf("status %s", resp.Status))
	}
	var p resource.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil {
		return c.notOurs(err)
	}
	return p.Err()
}

func (c *Client) notOurs(err error) error {
	return ra.Errorf(ra.Unreachable, "What answers at %s is not the API of Chancery.", c.Base).WithRemedy("Check the address; a proxy in between may have answered instead.").WithCause(err)
}

func (c *Client) cutOff(err error) error {
	return ra.Errorf(ra.Unreachable, "The server's answer was cut off.").WithRemedy("Try again.").WithCause(err)
}

// get, post and the others are call with the answer's type.
func get[T any](ctx context.Context, c *Client, path string, query any) (out T, err error) {
	err = c.call(ctx, http.MethodGet, path, values(query), nil, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, in any, header ...string) (out T, err error) {
	if in == nil {
		in = struct{}{}
	}
	err = c.call(ctx, http.MethodPost, path, nil, in, &out, header...)
	return out, err
}

func patch[T any](ctx context.Context, c *Client, path string, in any) (out T, err error) {
	err = c.call(ctx, http.MethodPatch, path, nil, in, &out)
	return out, err
}

func (c *Client) remove(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil, nil)
}

// at makes a path of its parts; the parts after the first are escaped.
func at(base string, parts ...string) string {
	for _, p := range parts {
		base += "/" + url.PathEscape(p)
	}
	return base
}

// values writes a query struct as parameters, by the names in its tags. What
// is zero is left out.
func values(query any) url.Values {
	out := url.Values{}
	if query == nil {
		return out
	}
	v := reflect.ValueOf(query)
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := f.Tag.Get("query")
		x := v.FieldByIndex(f.Index)
		if name == "" || x.IsZero() {
			continue
		}
		switch it := x.Interface().(type) {
		case string:
			out.Set(name, it)
		case int:
			out.Set(name, strconv.Itoa(it))
		case bool:
			out.Set(name, strconv.FormatBool(it))
		case time.Time:
			out.Set(name, it.UTC().Format(time.RFC3339))
		case []string:
			out.Set(name, strings.Join(it, ","))
		default:
			panic(fmt.Sprintf("client: a query cannot hold %T", it))
		}
	}
	return out
}

// All walks a list over all its pages. list gives the page behind a cursor. An
// error ends the walk and is the last thing given.
func All[T any](list func(after string) (resource.Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := ""; ; {
			page, err := list(after)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			after = page.Next
		}
	}
}

// Collect gives all items of a list.
func Collect[T any](list func(after string) (resource.Page[T], error)) ([]T, error) {
	var out []T
	for item, err := range All(list) {
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

// fileTo copies a file the server gives to w.
func (c *Client) fileTo(ctx context.Context, path string, query any, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, path, values(query), nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return c.cutOff(err)
	}
	return nil
}
