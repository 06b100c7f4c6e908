package files

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// snapshot is what is in force at one time. It is never altered.
type snapshot struct {
	values   map[id]any
	broken   map[id]error // there, but never valid
	problems []Problem
}

// merge makes what is in force from all files, by name in order. An object
// with mistakes keeps its last valid generation; of two files that give the
// same object the first wins.
func merge(names []string, files map[string]file, last *snapshot) *snapshot {
	s := &snapshot{values: map[id]any{}, broken: map[id]error{}}
	from := map[id]string{} // file and line
	for _, name := range names {
		s.problems = append(s.problems, files[name].problems...)
		for _, it := range files[name].items {
			if first, twice := from[it.id]; twice {
				s.problems = append(s.problems, Problem{
					File: name, Document: it.document, Line: it.line, Object: it.id.String(),
					Err: connector.Errorf(connector.ErrInvalid, "the object is also in %s, which counts: keep one", first),
				})
				continue
			}
			from[it.id] = fmt.Sprintf("%s:%d", name, it.line)
			if value := it.value; value != nil {
				s.values[it.id] = value
			} else if value, ok := last.values[it.id]; ok {
				s.values[it.id] = value
			} else {
				s.broken[it.id] = it.err
			}
		}
	}
	slices.SortStableFunc(s.problems, compareProblems)
	return s
}

// after takes over what the file gave before and what it may still mean to
// give, if it could not be read in full.
func (f file) after(previous file) file {
	if f.complete {
		return f
	}
	there := make(map[id]bool, len(f.items))
	for _, it := range f.items {
		there[it.id] = true
	}
	for _, it := range previous.items {
		if !there[it.id] {
			f.items = append(f.items, it)
		}
	}
	return f
}

// changes lists, in order, what is in force now and was not before, what
// differs and what is gone.
func changes(before, now *snapshot) []connector.Change {
	all := map[id]any{}
	maps.Copy(all, before.values)
	maps.Copy(all, now.values)
	var list []connector.Change
	for _, i := range slices.SortedFunc(maps.Keys(all), compareIDs) {
		if reflect.DeepEqual(before.values[i], now.values[i]) {
			continue
		}
		if c, tell := i.change(); tell {
			list = append(list, c)
		}
	}
	return list
}
