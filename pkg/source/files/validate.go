package files

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
)

// Validate returns the mistakes in files, and in the manifests of directories,
// as a Source would find them.
func Validate(opts v1alpha1.Options, paths ...string) []Problem {
	var problems []Problem
	parsed := map[string]file{}
	for _, path := range paths {
		names, failed := expand(path)
		problems = append(problems, failed...)
		for _, name := range names {
			if data, _, err := read(name); err != nil {
				parsed[name] = unreadable(name, err)
			} else {
				parsed[name] = parse(name, data, opts)
			}
		}
	}
	problems = append(problems, merge(slices.Sorted(maps.Keys(parsed)), parsed, &snapshot{}).problems...)
	slices.SortStableFunc(problems, compareProblems)
	return problems
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
