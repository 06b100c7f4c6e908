package files

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Checked is what Validate found.
type Checked struct {
	// Files and Objects were read, those with mistakes included.
	Files, Objects int
	// Problems are all mistakes, by place.
	Problems []Problem
	// Connectors are the Connectors and ClusterConnectors without mistakes, by
	// place.
	Connectors []Located
	// Source answers from the valid objects. It watches nothing.
	Source *Source
}

// Located is a Connector and where it is written.
type Located struct {
	*connector.Connector
	File           string
	Document, Line int
}

// Problem is err, said of the Connector as a whole.
func (l Located) Problem(err error) Problem {
	return Problem{File: l.File, Document: l.Document, Line: l.Line, Object: connectorID(l.Ref).String(), Err: err}
}

// Validate reads files, and the manifests of directories, as a Source would.
func Validate(opts v1alpha1.Options, paths ...string) Checked {
	var problems []Problem
	parsed := map[string]file{}
	for _, path := range paths {
		names, failed := expand(path)
		problems = append(problems, failed...)
		if len(names)+len(failed) == 0 {
			problems = append(problems, Problem{File: path, Err: connector.Errorf(connector.ErrInvalid,
				"holds no manifest: name a directory with files *.yaml, *.yml or *.json that do not begin with a dot, or the files themselves")})
		}
		for _, name := range names {
			if data, _, err := read(name); err != nil {
				parsed[name] = unreadable(name, err)
			} else {
				parsed[name] = parse(name, data, opts)
			}
		}
	}
	names := slices.Sorted(maps.Keys(parsed))
	now := merge(names, parsed, &snapshot{})
	checked := Checked{Files: len(names), Problems: append(problems, now.problems...), Source: &Source{convert: opts}}
	slices.SortStableFunc(checked.Problems, compareProblems)
	checked.Source.current.Store(now)
	for _, name := range names {
		checked.Objects += parsed[name].objects
		for _, it := range parsed[name].items {
			if c, ok := it.value.(*connector.Connector); ok && now.values[it.id] == it.value {
				checked.Connectors = append(checked.Connectors, Located{Connector: c, File: name, Document: it.document, Line: it.line})
			}
		}
	}
	return checked
}

// expand returns the manifests of a directory, or the file itself.
func expand(path string) (names []string, problems []Problem) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, []Problem{{File: path, Err: plain(err)}}
	}
	if !info.IsDir() {
		return []string{filepath.Clean(path)}, nil
	}
	found, err := list(path, func(string) error { return nil })
	if err != nil {
		return nil, []Problem{{File: path, Err: fmt.Errorf("listing the directory: %w", plain(err))}}
	}
	for _, name := range found.names {
		names = append(names, filepath.Join(path, name))
	}
	for _, p := range found.problems {
		p.File = filepath.Join(path, p.File)
		problems = append(problems, p)
	}
	return names, problems
}
