package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/klog/v2"
)

// document is a file as it was read last.
type document struct {
	file
	sum     [sha256.Size]byte // of its bytes; zero when they could not be read
	exposed bool              // everybody on the node can read it
}

// Load reads the directory once, so that the Source answers before Run is
// called. Mistakes in manifests are no error; a directory that cannot be
// listed is.
func (s *Source) Load(ctx context.Context) error {
	if err := s.look(ctx, func(string) error { return nil }); err != nil {
		return fmt.Errorf("reading the manifests in %s: %w", s.dir, err)
	}
	return nil
}

// look reads what there is, puts it in force and tells of the changes. When
// the directory itself cannot be listed everything stays as it is.
func (s *Source) look(ctx context.Context, enter func(dir string) error) error {
	found, err := list(s.dir, enter)
	if err != nil {
		return plain(err)
	}
	read := make(map[string]*document, len(found.names))
	for _, name := range found.names {
		if d := s.open(name); d != nil {
			read[name] = d
		}
	}
	for name, d := range s.read { // what cannot be seen is not gone
		if slices.ContainsFunc(found.failed, func(sub string) bool { return strings.HasPrefix(name, sub+"/") }) {
			read[name] = d
		}
	}
	warnExposed(ctx, s.read, read)
	s.read = read
	s.enforce(ctx, found.problems)
	return nil
}

// open reads one file again, or returns nil when it is gone.
func (s *Source) open(name string) *document {
	previous := s.read[name]
	if previous == nil {
		previous = &document{}
	}
	data, mode, err := read(s.dir + "/" + name)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return &document{file: unreadable(name, err).after(previous.file)}
	}
	d := &document{file: previous.file, sum: sha256.Sum256(data), exposed: mode.Perm()&0o004 != 0}
	if d.sum != previous.sum {
		d.file = parse(name, data, s.convert).after(previous.file)
	}
	return d
}

// enforce makes what was read the current state.
func (s *Source) enforce(ctx context.Context, problems []Problem) {
	before := s.current.Load()
	parsed := make(map[string]file, len(s.read))
	for name, d := range s.read {
		parsed[name] = d.file
	}
	now := merge(slices.Sorted(maps.Keys(parsed)), parsed, before)
	now.problems = append(now.problems, problems...)
	slices.SortStableFunc(now.problems, compareProblems)
	s.current.Store(now)

	log := klog.FromContext(ctx)
	for _, p := range news(before.problems, now.problems) {
		log.Error(p.Err, "Manifest is not in force as written", "file", p.File, "line", p.Line, "object", p.Object)
	}
	changed := changes(before, now)
	if len(changed) > 0 {
		log.V(1).Info("Manifests changed", "directory", s.dir, "changes", len(changed))
	}
	s.tell(changed)
}

// warnExposed warns once of each file with a Secret that everybody can read.
func warnExposed(ctx context.Context, before, now map[string]*document) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		d, was := now[name], before[name]
		holdsSecret := slices.ContainsFunc(d.items, func(it item) bool { return it.id.kind == kindSecret })
		if d.exposed && holdsSecret && (was == nil || !was.exposed) {
			klog.FromContext(ctx).Info("Every user of the node can read a Secret's manifest; take the permission away, for example by chmod 0600", "file", name)
		}
	}
}
