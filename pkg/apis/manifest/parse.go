package manifest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Parse splits a file into its objects; the items of List kinds count as
// objects of their own. Empty documents give none. The error wraps
// connector.ErrInvalid and means that the file is no YAML from some place on:
// what comes after is unknown.
func Parse(data []byte) ([]*Object, error) {
	var objects []*Object
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for document := 1; ; document++ {
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, connector.Errorf(connector.ErrInvalid, "document %d is not YAML: %s", document, syntaxProblem(err))
		}
		if content := root.Content[0]; content.ShortTag() != "!!null" {
			objects = append(objects, open(newObject(document, content, typeMeta{}))...)
		}
	}
}

// syntaxProblem tells what the parser found. Its texts are constants but for
// the one that quotes the name of an alias, which may be a password that
// begins with an asterisk.
func syntaxProblem(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(text, "unknown anchor") {
		return "a value that begins with * must be put in quotes, or it names an anchor"
	}
	return text
}

// typeMeta is what the items of a typed list may leave out.
type typeMeta struct{ apiVersion, kind string }

// open returns the items of a list, and any other object as it is.
func open(o *Object) []*Object {
	kind, isList := strings.CutSuffix(o.Kind, "List")
	items, whole := o.find("items")
	if !isList || !whole || items.Kind != yaml.SequenceNode {
		return []*Object{o}
	}
	var listed typeMeta
	if kind != "" {
		listed = typeMeta{apiVersion: o.APIVersion, kind: kind}
	}
	objects := make([]*Object, 0, len(items.Content))
	for _, item := range items.Content {
		objects = append(objects, newObject(o.Document, resolve(item), listed))
	}
	return objects
}
