package files

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/regcred/csi-driver-regcred/internal/suggest"
	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// file is what one file gave.
type file struct {
	objects  int // with those that could not be named
	items    []item
	problems []Problem
	// complete: every object of the file could be named. If not, one that is
	// missing may just be illegible.
	complete bool
}

// item is one object of a file: valid, or with mistakes.
type item struct {
	id             id
	document, line int
	value          any   // *connector.Connector, *connector.Object, labels or nothing; nil when not valid
	err            error // why not
}

// nothing stands for a valid object of which only the form counts.
type nothing struct{}

// parse reads the objects of one file.
func parse(name string, data []byte, opts v1alpha1.Options) file {
	if len(data) == 0 {
		return unreadable(name, connector.Errorf(connector.ErrInvalid, "the file is empty: delete it to remove its objects"))
	}
	objects, err := manifest.Parse(data)
	if err != nil {
		return unreadable(name, err)
	}
	f := file{objects: len(objects), complete: true}
	for _, o := range objects {
		f.add(name, o, opts)
	}
	return f
}

// unreadable is a file that gave nothing that could be told.
func unreadable(name string, err error) file {
	return file{problems: []Problem{{File: name, Err: err}}}
}

// add takes up one object, or its mistakes.
func (f *file) add(name string, o *manifest.Object, opts v1alpha1.Options) {
	var i id
	if _, known := apiVersion(o.Kind); known {
		i.kind = o.Kind
	}
	mistakes := checkType(o)
	it := item{document: o.Document, line: o.Line("")}
	if len(mistakes) == 0 {
		i, mistakes = identify(o)
		value, others := convert(o, opts)
		it.value, mistakes = value, join(o, mistakes, others)
	}
	it.id = i
	texts := make([]string, len(mistakes))
	for n, mistake := range mistakes {
		p := Problem{File: name, Document: o.Document, Line: o.Line(mistake.Path), Object: i.kind, Err: mistake}
		if i.name != "" {
			p.Object = i.String()
		}
		f.problems = append(f.problems, p)
		texts[n] = mistake.Error()
	}
	if i.name == "" {
		f.complete = false
		return
	}
	if len(mistakes) > 0 {
		it.value, it.err = nil, wrong(i, texts)
	}
	f.items = append(f.items, it)
}

// wrong tells what is wrong with an object. Who asks for a Connector says
// which one; an object that it refers to is named here.
func wrong(i id, mistakes []string) error {
	text := strings.Join(mistakes, "; ")
	if i.kind != v1alpha1.KindConnector && i.kind != v1alpha1.KindClusterConnector {
		text = i.String() + " has mistakes: " + text
	}
	return connector.Errorf(connector.ErrPrecondition, "%s", text)
}

// word is what may be quoted from an object whose kind is not known.
var word = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9./]{0,62}$`)

// checkType tells what is wrong with an object of which nothing else can be
// said: it is not known what fields it has.
func checkType(o *manifest.Object) []*connector.FieldError {
	if mistakes := o.CheckType(); len(mistakes) > 0 {
		return mistakes
	}
	version, known := apiVersion(o.Kind)
	switch {
	case !known && word.MatchString(o.Kind):
		if meant := suggest.DidYouMean(o.Kind, kinds()); meant != "" {
			return []*connector.FieldError{connector.Field("kind", "%s is not read here%s", o.Kind, meant)}
		}
		return []*connector.FieldError{connector.Field("kind", "%s is not read here; known are %s and lists of them", o.Kind, strings.Join(kinds(), ", "))}
	case !known:
		return []*connector.FieldError{connector.Field("kind", "is no kind")}
	case version != o.APIVersion:
		return []*connector.FieldError{connector.Field("apiVersion", "write %s for a %s", version, o.Kind)}
	}
	return nil
}

// identify names an object of a known type. The name is empty when it cannot
// be told.
func identify(o *manifest.Object) (id, []*connector.FieldError) {
	i := id{kind: o.Kind, namespace: o.Namespace, name: o.Name}
	var mistakes []*connector.FieldError
	if len(validation.IsDNS1123Subdomain(o.Name)) > 0 {
		mistakes = append(mistakes, connector.Field("metadata.name", "is missing or no name: write lower-case letters, digits, dashes and dots, at most 253"))
	}
	switch o.Kind {
	case kindNamespace, v1alpha1.KindClusterConnector:
		if o.Namespace != "" {
			mistakes = append(mistakes, connector.Field("metadata.namespace", "a %s has no namespace: leave it out", o.Kind))
		}
	default:
		if len(validation.IsDNS1123Label(o.Namespace)) > 0 {
			mistakes = append(mistakes, connector.Field("metadata.namespace", "is missing or no namespace: write lower-case letters, digits and dashes, at most 63"))
		}
	}
	if len(mistakes) > 0 {
		return id{kind: o.Kind}, mistakes
	}
	return i, nil
}

// join tells of the name what the conversion has not found to be the reason for
// another mistake, or to be the same one.
func join(o *manifest.Object, named, converted []*connector.FieldError) []*connector.FieldError {
	if len(named) == 0 {
		return converted
	}
	all := slices.DeleteFunc(named, func(mistake *connector.FieldError) bool { return o.Doubtful(mistake.Path) })
	for _, mistake := range converted {
		if !slices.ContainsFunc(all, func(told *connector.FieldError) bool { return told.Path == mistake.Path }) {
			all = append(all, mistake)
		}
	}
	return o.InOrder(all)
}

func convert(o *manifest.Object, opts v1alpha1.Options) (any, []*connector.FieldError) {
	switch o.Kind {
	case kindSecret:
		return readSecret(o)
	case kindConfigMap:
		return readConfigMap(o)
	case kindNamespace:
		return readNamespace(o)
	case kindServiceAccount:
		return readServiceAccount(o)
	default:
		return v1alpha1.Read(o, opts)
	}
}
