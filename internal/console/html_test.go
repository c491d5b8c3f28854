package console

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// flaws looks at a page the way a careful reader of WCAG would: what it finds
// is a sentence each.
func flaws(page string) []string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	c := &careful{ids: map[string]int{}, labels: map[string]bool{}}
	c.collect(doc)
	c.walk(doc)
	for id, n := range c.ids {
		if n > 1 {
			c.say("the ID %q stands %d times", id, n)
		}
	}
	if c.h1 != 1 {
		c.say("there are %d headings of the first level", c.h1)
	}
	if !c.title {
		c.say("there is no title")
	}
	return append(c.found, unbalanced(page)...)
}

type careful struct {
	ids    map[string]int
	labels map[string]bool // IDs that a label is for
	found  []string
	h1     int
	title  bool
}

func (c *careful) say(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for child := range n.ChildNodes() {
		b.WriteString(text(child))
	}
	return b.String()
}

func (c *careful) collect(n *html.Node) {
	for d := range n.Descendants() {
		if d.Type != html.ElementNode {
			continue
		}
		if id := attr(d, "id"); id != "" {
			c.ids[id]++
		}
		if d.Data == "label" && attr(d, "for") != "" {
			c.labels[attr(d, "for")] = true
		}
	}
}

func (c *careful) walk(n *html.Node) {
	for d := range n.Descendants() {
		if d.Type != html.ElementNode {
			continue
		}
		switch d.Data {
		case "h1":
			c.h1++
		case "title":
			c.title = c.title || strings.TrimSpace(text(d)) != ""
		case "input", "select", "textarea":
			c.input(d)
		case "button", "a":
			if strings.TrimSpace(text(d)) == "" && attr(d, "aria-label") == "" && attr(d, "title") == "" {
				c.say("a %s says nothing", d.Data)
			}
		case "th":
			if attr(d, "scope") == "" {
				c.say("a table head has no scope: %q", text(d))
			}
		case "script", "style":
			if d.Data == "style" || attr(d, "src") == "" {
				c.say("there is an inline %s", d.Data)
			}
		}
		for _, a := range d.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				c.say("there is an inline %s on %s", a.Key, d.Data)
			}
			if (a.Key == "aria-describedby" || a.Key == "list" || a.Key == "aria-controls") && c.ids[a.Val] == 0 {
				c.say("%s names %q, which is not there", a.Key, a.Val)
			}
			if strings.Contains(a.Val, "ZgotmplZ") {
				c.say("%s of %s was refused by the template engine", a.Key, d.Data)
			}
		}
	}
	for id := range c.labels {
		if c.ids[id] == 0 {
			c.say("a label is for %q, which is not there", id)
		}
	}
}

func (c *careful) input(n *html.Node) {
	if attr(n, "type") == "hidden" || has(n, "aria-label") || c.labels[attr(n, "id")] {
		return
	}
	for up := n.Parent; up != nil; up = up.Parent {
		if up.Data == "label" {
			return
		}
	}
	c.say("the input %q has no label", attr(n, "name"))
}

// voids are the elements without an end.
var voids = []string{"meta", "link", "input", "br", "hr", "img", "wbr"}

// unbalanced looks for tags that do not pair, which a browser would silently
// put right, perhaps not as meant.
func unbalanced(page string) []string {
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				return []string{fmt.Sprintf("not closed: %v", open)}
			}
			return nil
		case html.StartTagToken:
			name, _ := z.TagName()
			if !slices.Contains(voids, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return []string{fmt.Sprintf("</%s> closes %v", name, open)}
			}
			open = open[:len(open)-1]
		}
	}
}

// visible is the text of a page's main part, for the messages of tests.
func visible(page string) string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return page
	}
	for d := range doc.Descendants() {
		if d.Type == html.ElementNode && d.Data == "main" {
			return strings.Join(strings.Fields(text(d)), " ")
		}
	}
	return page
}

// viewOf is the name of the view a page was drawn from.
func viewOf(page string) string {
	_, rest, ok := strings.Cut(page, `<body data-view="`)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, `"`)
	return name
}
