package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

//go:embed view/*.html
var viewFiles embed.FS

// view names a file of view/ and fixes the type it is drawn from.
type view[T any] string

// show draws the view inside the layout and sends it.
func (w view[T]) show(v *visit, status int, data T) error { return v.show(string(w), status, data) }

// page is a parsed view with the layout and the partials.
type page struct{ *template.Template }

// frame is what the layout draws around a view.
type frame struct {
	View    string
	Menu    []menuSection
	Waits   map[string]int // how much waits behind an entry of the menu, by its path
	Path    string
	Person  string
	Notice  string
	Assets  assets
	Refresh int // seconds until the script looks again; 0: never
	Search  string
	Data    any
}

// parseViews parses every view with the layout and the partials; it panics on
// a mistake in one of them.
func parseViews(now func() time.Time, a assets) map[string]*page {
	base := template.Must(template.New("base").Funcs(functions(now, a)).ParseFS(viewFiles, "view/layout.html", "view/part_*.html"))
	files, err := fs.Glob(viewFiles, "view/*.html")
	if err != nil {
		panic(err)
	}
	out := map[string]*page{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "view/"), ".html")
		if name == "layout" || strings.HasPrefix(name, "part_") {
			continue
		}
		out[name] = &page{template.Must(template.Must(base.Clone()).ParseFS(viewFiles, file))}
	}
	return out
}

// waiter is a view whose subject changes by itself while it is looked at.
type waiter interface{ refreshAfter() int }

// show draws into memory first, so that a failure half-way is a whole error
// page and not half a page.
func (v *visit) show(name string, status int, data any) error {
	p := v.views[name]
	if p == nil {
		return fmt.Errorf("there is no view %q", name)
	}
	f := frame{View: name, Path: v.r.URL.Path, Assets: v.assets, Data: data, Search: v.query("q")}
	if v.admin != nil {
		f.Menu, f.Person, f.Notice = v.menu(), v.admin.DisplayName, v.notice()
		f.Waits = map[string]int{"/differences": v.menuDifferences()}
		if f.Person == "" {
			f.Person = v.admin.Name
		}
	}
	if w, ok := data.(waiter); ok {
		f.Refresh = w.refreshAfter()
	}
	var b bytes.Buffer
	if err := p.ExecuteTemplate(&b, "layout", f); err != nil {
		return fmt.Errorf("draw view %s: %w", name, err)
	}
	v.written = true
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if v.r.Method == http.MethodHead {
		return nil
	}
	if _, err := v.w.Write(b.Bytes()); err != nil {
		v.Log.Debug("browser went away", "error", err)
	}
	return nil
}

// download sends a file.
func (v *visit) download(name, contentType string, content []byte) error {
	v.written = true
	h := v.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileName(name)))
	if _, err := v.w.Write(content); err != nil {
		v.Log.Debug("browser went away", "error", err)
	}
	return nil
}

// fileName keeps of a name what every system takes.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, s)
	return clipBytes(strings.Trim(s, "-."), 80)
}

func clipBytes(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
