package tmpfs

import (
	"cmp"
	"crypto/rand"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

const (
	reserved         = ".." // no file of a volume may begin so
	generationPrefix = "..gen-"
	directoryPrefix  = "..dir-"
	dataLink         = "..data"
	dataNext         = "..data-next" // becomes dataLink by a rename
)

// entry is one name at a volume's root: a file, or a directory with all files
// below it.
type entry struct {
	name    string
	dir     bool
	program bool // the directory is where the program is mounted
	files   render.Files
	// carried names the directory in place that holds just these files.
	carried string
}

// arrange checks files and groups them by their first path element.
func arrange(files render.Files) ([]entry, error) {
	byPath := func(a, b render.File) int { return cmp.Compare(a.Path, b.Path) }
	if !slices.IsSortedFunc(files, byPath) {
		files = slices.SortedFunc(slices.Values(files), byPath)
	}
	entries := make([]entry, 0, len(files))
	start := 0
	for i, f := range files {
		if err := checkPath(f.Path); err != nil {
			return nil, err
		}
		for above := f.Path; above != "."; above = path.Dir(above) {
			at, taken := slices.BinarySearchFunc(files, above, func(f render.File, p string) int { return cmp.Compare(f.Path, p) })
			if taken && at != i {
				return nil, connector.Errorf(connector.ErrInvalid, "two configurations write %s and %s; leave one out", above, f.Path)
			}
		}
		// Sorting keeps the files of one directory together.
		name, _, dir := strings.Cut(f.Path, "/")
		if last := len(entries) - 1; last >= 0 && entries[last].name == name {
			entries[last].files = files[start : i+1]
			continue
		}
		start = i
		entries = append(entries, entry{name: name, dir: dir, program: f.Program, files: files[i : i+1]})
	}
	return entries, checkPrograms(entries)
}

// checkPrograms refuses what the mount of the program cannot show.
func checkPrograms(entries []entry) error {
	for _, e := range entries {
		for _, f := range e.files {
			if f.Program && (len(e.files) > 1 || !e.dir || path.Dir(f.Path) != e.name) {
				return connector.Errorf(connector.ErrInvalid, "the program %s needs a directory of its own", f.Path)
			}
		}
	}
	return nil
}

func checkPath(p string) error {
	if !fs.ValidPath(p) || p == "." || strings.ContainsRune(p, 0) {
		return connector.Errorf(connector.ErrInvalid, "%q is not a clean relative path", p)
	}
	if strings.HasPrefix(p, reserved) || p == markerName || strings.HasPrefix(p, markerName+"/") {
		return connector.Errorf(connector.ErrInvalid, "the name %q is the driver's own", p)
	}
	for element := range strings.SplitSeq(p, "/") {
		if len(element) > 255 {
			return connector.Errorf(connector.ErrInvalid, "%q is longer than a file name may be", element)
		}
	}
	return nil
}

// access is who may read a volume's files.
type access struct {
	mode, dirMode uint32
	gid           int
}

// accessOf derives the directories' mode: who reads a file may search its
// directory, and only the owner changes anything.
func accessOf(place volume.Place) (access, error) {
	mode := uint32(place.FileMode.Perm())
	if mode == 0 || place.FileMode != place.FileMode.Perm() {
		return access{}, connector.Errorf(connector.ErrInvalid, "file mode %O of volume %s is not one that anyone could read by", uint32(place.FileMode), place.ID)
	}
	if place.GID < 0 {
		return access{}, connector.Errorf(connector.ErrInvalid, "group id %d of volume %s is negative", place.GID, place.ID)
	}
	readers := mode & 0o044
	return access{mode: mode, dirMode: 0o700 | readers | readers>>2, gid: place.GID}, nil
}

// shape starts the name of whatever holds n files of this access.
func (a access) shape(prefix string, n int) string {
	return prefix + strconv.Itoa(n) + "-" + strconv.FormatUint(uint64(a.mode), 8) + "-" + strconv.Itoa(a.gid) + "-"
}

func (a access) newName(prefix string, n int) string { return a.shape(prefix, n) + rand.Text() }
