package setting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"chancery/internal/ra"
)

// Sources says where a program's own configuration comes from. A later source
// wins over an earlier one: default, file, environment, flag.
type Sources struct {
	// File is the path of a YAML (or JSON) mapping of names to values; empty
	// when there is no file.
	File string
	// Prefix begins the environment variables, such as "CHANCERY_".
	Prefix string
	// LookupEnv is os.LookupEnv or a stand-in; nil when there is no environment.
	LookupEnv func(string) (string, bool)
	// Flags is a parsed set that Flags added to; nil when there are none.
	Flags *pflag.FlagSet
	// Stdin is what a flag's "-" reads; nil when nothing may.
	Stdin io.Reader
}

// Effective is one value of a program's configuration and where it came from.
type Effective struct {
	Name   string
	Value  string // as people read it; a mask for secrets
	Origin string // "default", "file", "environment" or "flag"
	Key    string // the file key, variable or flag that gave it; empty for defaults
}

// String is one line for a listing.
func (e Effective) String() string {
	s := fmt.Sprintf("%s = %s (%s", e.Name, brief(e.Value), e.Origin)
	if e.Key != "" {
		s += " " + e.Key
	}
	return s + ")"
}

// Configure fills d with its defaults and then from the sources, and lists
// every value with its origin. A secret is never written into the file: the key
// "token_file" (variable CHANCERY_TOKEN_FILE) names a file that holds it, as it
// may for certificates and texts of several lines; paths in the configuration
// file are relative to its folder. The environment may also carry the value
// itself. A list in the environment is parted by commas, or by line breaks when
// it has any. An empty variable counts as absent. Errors are ra.Invalid with
// every bad key as Field, unknown keys of the file among them; d then has the
// defaults.
func Configure(d Describer, from Sources) ([]Effective, error) {
	Defaults(d)
	keys, origins := map[string]string{}, map[string]string{}
	note := func(x *field, origin, key string) { origins[x.Name], keys[x.Name] = origin, key }
	bad := faults{
		key: func(x *field) string {
			if key := keys[x.Name]; key != "" {
				return key
			}
			return x.Name
		},
		fill: from.ways,
	}
	in := &input{stdin: from.Stdin}
	var list []Effective
	err := update(d, &bad, func(form *Form) {
		if from.File != "" {
			form.readFile(from.File, in, &bad, func(x *field, key string) { note(x, "file", key) })
		}
		if from.LookupEnv != nil {
			form.readEnv(from.Prefix, from.LookupEnv, in, &bad, func(x *field, key string) { note(x, "environment", key) })
		}
		if from.Flags != nil {
			form.readFlags(from.Flags, in, &bad, func(x *field) { note(x, "flag", dashedFlag(x)) })
		}
		for _, x := range form.fields {
			origin := origins[x.Name]
			if origin == "" {
				origin = "default"
			}
			list = append(list, Effective{x.Name, WithoutPassword(x.display()), origin, keys[x.Name]})
		}
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// ways tells how to give a missing field.
func (s Sources) ways(x *field) string {
	var ways []string
	if s.Flags != nil {
		ways = append(ways, dashedFlag(x))
	}
	if s.LookupEnv != nil {
		ways = append(ways, variable(s.Prefix, x.Name))
	}
	if s.File != "" {
		key := x.Name
		if x.Secret {
			key += fileSuffix
		}
		ways = append(ways, key+" in "+s.File)
	}
	return "Set " + strings.Join(ways, " or ") + "."
}

// fileSuffix, after a name, makes the key that names a file with the value.
const fileSuffix = "_file"

// readEnv fills fields from environment variables.
func (f *Form) readEnv(prefix string, lookup func(string) (string, bool), in *input, bad *faults, found func(*field, string)) {
	for _, x := range f.fields {
		key := variable(prefix, x.Name)
		text, _ := lookup(key)
		path := ""
		if x.fromFile() {
			path, _ = lookup(key + strings.ToUpper(fileSuffix))
		}
		switch {
		case text != "" && path != "":
			found(x, key)
			bad.add(x, &flaw{what: "is given both as a value and as a file", remedy: "Unset one of the two variables."})
		case path != "":
			found(x, key+strings.ToUpper(fileSuffix))
			f.fill(x, path, in, bad)
		case text != "":
			found(x, key)
			if x.isList() && !strings.Contains(text, "\n") {
				text = strings.ReplaceAll(text, ",", "\n")
			}
			bad.add(x, x.value.set(text))
		}
	}
}

// fill reads a field's value from a file.
func (f *Form) fill(x *field, path string, in *input, bad *faults) {
	text, err := in.read(x, path)
	if err != nil {
		bad.merge(x, err)
		return
	}
	bad.add(x, x.value.set(text))
}

// readFile fills fields from a YAML mapping.
func (f *Form) readFile(path string, in *input, bad *faults, found func(*field, string)) {
	raw, err := in.bytes(path)
	if err != nil {
		e := ra.Errorf(ra.Invalid, "The configuration file %s cannot be read.", path).WithCause(err)
		if errors.Is(err, fs.ErrNotExist) {
			e = ra.Errorf(ra.NotFound, "There is no configuration file %s.", path).WithCause(err)
		}
		bad.put("", e.WithRemedy("Check the path and that the service account may read the file."))
		return
	}
	pairs, err := mapping(raw)
	if err != nil {
		bad.put("", ra.Errorf(ra.Invalid, "The configuration file %s is not a list of names and values: %s.", path, err).
			WithRemedy("Write one \"name: value\" per line, in YAML."))
		return
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		if bad.count >= maxFaults {
			return
		}
		x, named := f.find(p.key), false
		if x == nil {
			if y := f.find(strings.TrimSuffix(p.key, fileSuffix)); y != nil && y.fromFile() {
				x, named = y, true
			}
		}
		if x == nil {
			bad.put(printable(p.key), f.unknown(p.key))
			continue
		}
		found(x, p.key)
		switch {
		case seen[x.Name]:
			bad.add(x, &flaw{what: "is given twice", remedy: "Leave one of them."})
		case p.node.ShortTag() == "!!null":
			x.reset()
		case named && p.node.Kind == yaml.ScalarNode:
			name := p.node.Value
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(path), name)
			}
			f.fill(x, name, in, bad)
		case x.Secret:
			bad.add(x, &flaw{what: "must not stand in the configuration file", remedy: "Write it to a file of its own and name that under " + x.Name + fileSuffix + "."})
		default:
			bad.add(x, x.readNode(p.node))
		}
		seen[x.Name] = true
	}
}

// readNode fills a field from a YAML scalar or, for a list, a sequence.
func (x *field) readNode(n *yaml.Node) *flaw {
	if list, ok := x.value.(listValue); ok {
		if n.Kind != yaml.SequenceNode {
			return &flaw{what: "must be a list", remedy: "Write one item per line, each after a hyphen."}
		}
		var items []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return &flaw{what: "must be a list of texts", remedy: "Write one item per line, each after a hyphen."}
			}
			items = append(items, item.Value)
		}
		return list.setItems(items)
	}
	if n.Kind != yaml.ScalarNode {
		return &flaw{what: "must be a single value", remedy: "Write it on one line, after the name."}
	}
	return x.take(n.Value)
}

// pair is one line of a configuration file.
type pair struct {
	key  string
	node *yaml.Node
}

// mapping takes a YAML document apart, which must be one mapping with plain
// keys and without aliases. Errors hold no bytes of the document.
func mapping(raw []byte) ([]pair, error) {
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("it is larger than %d KiB", maxDocument>>10)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil // empty, or comments only
	}
	if err != nil {
		return nil, errors.New("it is not YAML")
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds more than one document")
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	top := doc.Content[0]
	if top.ShortTag() == "!!null" {
		return nil, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, errors.New("it begins with something else")
	}
	var out []pair
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, node := top.Content[i], top.Content[i+1]
		if key.Kind != yaml.ScalarNode || node.Kind == yaml.AliasNode {
			return nil, fmt.Errorf("line %d holds a key or an alias that has no meaning here", key.Line)
		}
		out = append(out, pair{key.Value, node})
	}
	return out, nil
}
