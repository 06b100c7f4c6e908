package manifest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Object is one object of a file, parsed but not yet typed.
type Object struct {
	// Document is the number of its document in the file, from 1.
	Document int
	// APIVersion, Kind, Namespace and Name are empty when they are missing
	// or no text.
	APIVersion, Kind, Namespace, Name string

	node *yaml.Node
	// doubtful are the paths that Decode could not read.
	doubtful []string
}

func newObject(document int, node *yaml.Node, listed typeMeta) *Object {
	o := &Object{Document: document, APIVersion: listed.apiVersion, Kind: listed.kind, node: node}
	for path, field := range map[string]*string{
		"apiVersion": &o.APIVersion, "kind": &o.Kind, "metadata.namespace": &o.Namespace, "metadata.name": &o.Name,
	} {
		if n, whole := o.find(path); whole && isText(n) {
			*field = n.Value
		}
	}
	return o
}

// CheckType reports what is wrong with apiVersion and kind, without which
// nothing else can be said of an object.
func (o *Object) CheckType() []*connector.FieldError {
	if o.node.Kind != yaml.MappingNode {
		return []*connector.FieldError{connector.Field("apiVersion", "the document is %s: write an object with apiVersion, kind and metadata", describe(o.node))}
	}
	var mistakes []*connector.FieldError
	if o.APIVersion == "" {
		mistakes = append(mistakes, connector.Field("apiVersion", "is missing: write, for example, regcred.dev/v1alpha1"))
	}
	if o.Kind == "" {
		mistakes = append(mistakes, connector.Field("kind", "is missing: write, for example, Connector"))
	}
	return mistakes
}

// Line returns the line of a field, or of the closest parent that is there.
func (o *Object) Line(path string) int {
	n, _ := o.find(path)
	return n.Line
}

// InOrder sorts mistakes by line, and keeps as many as are told of one object.
func (o *Object) InOrder(mistakes []*connector.FieldError) []*connector.FieldError {
	if len(mistakes) > maxMistakes {
		mistakes = append(slices.Clip(mistakes[:maxMistakes]), more(mistakes[maxMistakes-1]))
	}
	lines := make(map[string]int, len(mistakes))
	for _, m := range mistakes {
		lines[m.Path] = o.Line(m.Path)
	}
	slices.SortStableFunc(mistakes, func(a, b *connector.FieldError) int { return cmp.Compare(lines[a.Path], lines[b.Path]) })
	return mistakes
}

// find walks a path such as spec.registries[0].host as far as the document
// goes, and reports whether it got to the end.
func (o *Object) find(path string) (found *yaml.Node, whole bool) {
	found = resolve(o.node)
	for path != "" {
		var step string
		step, path = cutStep(path)
		at, child := member(found, step)
		if child == nil {
			return found, false
		}
		// A block's own line is that of its first entry: the key says better
		// where it begins.
		found = resolve(child)
		if at != nil && found.Kind != yaml.ScalarNode {
			found = &yaml.Node{Kind: found.Kind, Content: found.Content, Tag: found.Tag, Value: found.Value, Line: at.Line}
		}
	}
	return found, true
}

// cutStep cuts the first field, key or index off a path.
func cutStep(path string) (step, rest string) {
	if inner, ok := strings.CutPrefix(path, "["); ok {
		step, rest, _ = strings.Cut(inner, "]")
	} else if end := strings.IndexAny(path, ".["); end >= 0 {
		step, rest = path[:end], path[end:]
	} else {
		step = path
	}
	return step, strings.TrimPrefix(rest, ".")
}

// member returns the named child of a mapping, with its key, or the numbered
// one of a list.
func member(n *yaml.Node, step string) (key, value *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	if i, err := strconv.Atoi(step); err == nil && n.Kind == yaml.SequenceNode && i >= 0 && i < len(n.Content) {
		return nil, n.Content[i]
	}
	return nil, nil
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
