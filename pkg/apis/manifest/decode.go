package manifest

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/regcred/csi-driver-regcred/internal/suggest"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// maxAliased bounds how many nodes are read through aliases, so that a few
// lines of nested aliases cannot stand for billions.
const maxAliased = 10_000

// Decode fills the struct that into points to and returns every mistake:
// unknown fields, duplicate keys, values of a wrong type. Fields without a
// mistake are set. A field of type any takes whatever is there and stays nil.
func (o *Object) Decode(into any) []*connector.FieldError {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	d := &decoder{quiet: group != "regcred.dev"}
	d.value("", o.node, reflect.ValueOf(into).Elem())
	o.doubtful = d.doubtful
	return d.mistakes
}

// Doubtful reports whether a mistake that Decode found leaves nothing to be
// said about the field: the value that is missing there may be the one that
// could not be read.
func (o *Object) Doubtful(path string) bool {
	return slices.ContainsFunc(o.doubtful, func(d string) bool { return within(d, path) || within(path, d) })
}

// within reports whether path is parent itself or below it.
func within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (rest == "" || parent == "" || rest[0] == '.' || rest[0] == '[')
}

type decoder struct {
	quiet    bool // quote nothing
	aliased  int
	inAlias  int
	mistakes []*connector.FieldError
	doubtful []string
}

// maxMistakes are told of one object: more tell nobody more, and a file of
// nonsense must not fill the log.
const maxMistakes = 50

// wrong notes a mistake whose value could not be read.
func (d *decoder) wrong(path, format string, args ...any) {
	d.note(connector.Field(path, format, args...), path)
}

// note takes down a mistake and the paths of which nothing more can be said.
// After the last one that is told nothing more can be said of the object.
func (d *decoder) note(mistake *connector.FieldError, doubtful ...string) {
	d.mistakes = append(d.mistakes, mistake)
	d.doubtful = append(d.doubtful, doubtful...)
	if d.full() {
		d.mistakes = append(d.mistakes, more(mistake))
		d.doubtful = []string{""}
	}
}

// more stands for the mistakes that are not told, at the last one that is.
func more(last *connector.FieldError) *connector.FieldError {
	return connector.Field(last.Path, "is not the last mistake: mend those that are told first")
}

func (d *decoder) full() bool { return len(d.mistakes) >= maxMistakes }

func (d *decoder) value(path string, n *yaml.Node, out reflect.Value) {
	if d.full() {
		return
	}
	if n.Kind == yaml.AliasNode {
		d.inAlias++
		defer func() { d.inAlias-- }()
		n = n.Alias
	}
	if d.inAlias > 0 {
		if d.aliased++; d.aliased == maxAliased {
			d.wrong(path, "too much comes from aliases: write it out")
		}
		if d.aliased >= maxAliased {
			return
		}
	}
	if n.ShortTag() == "!!null" {
		return
	}
	if out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		d.value(path, n, out.Elem())
		return
	}
	switch out.Addr().Interface().(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		d.custom(path, n, out)
		return
	}
	switch out.Kind() {
	case reflect.Struct:
		d.object(path, n, out)
	case reflect.Map:
		d.mapping(path, n, out)
	case reflect.Slice:
		if out.Type().Elem().Kind() == reflect.Uint8 {
			d.bytes(path, n, out)
		} else {
			d.list(path, n, out)
		}
	case reflect.Interface: // whatever is there
	default:
		d.scalar(path, n, out)
	}
}

// custom decodes a type that reads its own JSON.
func (d *decoder) custom(path string, n *yaml.Node, out reflect.Value) {
	var value any
	err := n.Decode(&value)
	if n.ShortTag() == "!!timestamp" { // a plain date is text here, as in Kubernetes
		value = n.Value
	}
	data, marshalErr := json.Marshal(value)
	if err == nil && marshalErr == nil {
		err = json.Unmarshal(data, out.Addr().Interface())
	}
	switch {
	case err == nil && marshalErr == nil:
	case d.quiet || marshalErr != nil:
		d.wrong(path, "is not a valid value for this field")
	default:
		d.wrong(path, "%s", strings.TrimPrefix(err.Error(), connector.ErrInvalid.Error()+": "))
	}
}

func (d *decoder) object(path string, n *yaml.Node, out reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrong(path, "is %s: write an object", describe(n))
		return
	}
	fields := fieldsOf(out.Type(), nil)
	d.entries(path, join, n, func(key, value *yaml.Node) {
		if field, ok := fields[key.Value]; ok {
			at := join(path, key.Value)
			d.value(at, value, out.FieldByIndex(field))
			d.optional(at, value, out.Type().FieldByIndex(field))
		} else {
			d.unknown(path, key, slices.Sorted(maps.Keys(fields)))
		}
	})
}

// optional refuses an empty text where nothing could be written instead: it
// comes from a template that had no value, and must not mean the default. What
// Kubernetes itself defines has rules of its own.
func (d *decoder) optional(path string, n *yaml.Node, field reflect.StructField) {
	_, options, _ := strings.Cut(field.Tag.Get("json"), ",")
	if n = resolve(n); !d.quiet && within(path, "spec") && isText(n) && n.Value == "" && strings.HasPrefix(options, "omit") &&
		field.Type.Kind() == reflect.String {
		d.wrong(path, "is empty: give it a value or leave it out")
	}
}

// unknown notes an unknown field. A key that resembles no known one may be
// content that slipped out of its place, and is not quoted from a Secret.
func (d *decoder) unknown(path string, key *yaml.Node, known []string) {
	if d.full() {
		return
	}
	meant := suggest.Closest(key.Value, known)
	at := join(path, key.Value)
	switch {
	case meant != "":
		d.note(connector.Field(at, "unknown field; did you mean %s?", meant), at, join(path, meant))
	case len(known) == 0 && !d.quiet:
		d.note(connector.Field(at, "unknown field: there are none here; write {}"), at)
	case d.quiet:
		d.note(connector.Field(path, "line %d holds an unknown field", key.Line), at)
	default:
		d.note(connector.Field(at, "unknown field; known are %s", strings.Join(known, ", ")), at)
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, out reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrong(path, "is %s: write an object", describe(n))
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	d.entries(path, index, n, func(key, value *yaml.Node) {
		item := reflect.New(out.Type().Elem()).Elem()
		d.value(index(path, key.Value), value, item)
		out.SetMapIndex(reflect.ValueOf(key.Value).Convert(out.Type().Key()), item)
	})
}

// entries visits the entries of a mapping, each key once; at gives the path of
// an entry.
func (d *decoder) entries(path string, at func(path, key string) string, n *yaml.Node, visit func(key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && !d.full(); i += 2 {
		key := resolve(n.Content[i])
		first, again := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			d.wrong(path, "line %d: a key must be text", key.Line)
		case key.ShortTag() == "!!merge":
			d.wrong(path, "line %d: merge keys (<<) are not read here: write the fields out", key.Line)
		case again && d.quiet:
			d.wrong(path, "a key of line %d comes again in line %d: keep one", first, key.Line)
		case again:
			d.wrong(at(path, key.Value), "comes twice, in lines %d and %d: keep one", first, key.Line)
		default:
			seen[key.Value] = key.Line
			visit(key, n.Content[i+1])
		}
	}
}

func (d *decoder) list(path string, n *yaml.Node, out reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(path, "is %s: write a list", describe(n))
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(index(path, strconv.Itoa(i)), item, out.Index(i))
	}
}

func (d *decoder) bytes(path string, n *yaml.Node, out reflect.Value) {
	if !isText(n) {
		d.wrong(path, "is %s: write text in base64", describe(n))
		return
	}
	data, err := base64.StdEncoding.DecodeString(n.Value)
	if err != nil { // its text is kept back: it tells of the content
		d.wrong(path, "is not base64: encode it, or use the field for plain text")
		return
	}
	out.SetBytes(data)
}

func (d *decoder) scalar(path string, n *yaml.Node, out reflect.Value) {
	tag := n.ShortTag()
	switch out.Kind() {
	case reflect.String:
		switch {
		case !isText(n) && n.Kind == yaml.ScalarNode:
			d.wrong(path, "is %s: put it in quotes", describe(n))
		case !isText(n):
			d.wrong(path, "is %s: write text", describe(n))
		case n.Style == 0 && isOldBool(n.Value):
			d.wrong(path, "is read as true or false by other tools: put it in quotes")
		default:
			out.SetString(n.Value)
		}
	case reflect.Bool:
		if tag != "!!bool" {
			d.wrong(path, "is %s: write true or false", describe(n))
			return
		}
		out.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int, reflect.Int32, reflect.Int64:
		var number int64
		if tag != "!!int" || n.Decode(&number) != nil || out.OverflowInt(number) {
			d.wrong(path, "is %s: write a whole number within its range", describe(n))
			return
		}
		out.SetInt(number)
	default:
		d.wrong(path, "cannot be read: its type %s is not supported", out.Type())
	}
}

// isOldBool reports whether YAML 1.1, and so kubectl, takes a plain word for a
// boolean.
func isOldBool(word string) bool {
	switch strings.ToLower(word) {
	case "yes", "no", "on", "off", "y", "n":
		return true
	}
	return false
}

// isText reports whether a node is text; a plain date counts as text.
func isText(n *yaml.Node) bool {
	tag := n.ShortTag()
	return n.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!timestamp")
}

// describe names the type of a node, never its value.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isText(n):
		return "text"
	}
	switch n.ShortTag() {
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!null":
		return "empty"
	default:
		return "of a type that has no place here"
	}
}

// fieldsOf maps the JSON names of a struct to their fields, inlined structs
// included.
func fieldsOf(t reflect.Type, at []int) map[string][]int {
	fields := map[string][]int{}
	for f := range t.Fields() {
		field := append(slices.Clone(at), f.Index...)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(fields, fieldsOf(f.Type, field))
		case f.IsExported() && name != "" && name != "-":
			fields[name] = field
		}
	}
	return fields
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

func index(path, key string) string { return path + "[" + key + "]" }
