package tmpfs

import (
	"cmp"
	"crypto/rand"
	"fmt"
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
	name  string
	dir   bool
	files render.Files
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
				return nil, fmt.Errorf("%w: two configurations write %s and %s; leave one out", connector.ErrInvalid, above, f.Path)
			}
		}
		// Sorting keeps the files of one directory together.
		name, _, dir := strings.Cut(f.Path, "/")
		if last := len(entries) - 1; last >= 0 && entries[last].name == name {
			entries[last].files = files[start : i+1]
			continue
		}
		start = i
		entries = append(entries, entry{name: name, dir: dir, files: files[i : i+1]})
	}
	return entries, nil
}

func checkPath(p string) error {
	if !fs.ValidPath(p) || p == "." || strings.ContainsRune(p, 0) {
		return fmt.Errorf("%w: %q is not a clean relative path", connector.ErrInvalid, p)
	}
	if strings.HasPrefix(p, reserved) || p == markerName || strings.HasPrefix(p, markerName+"/") {
		return fmt.Errorf("%w: the name %q is the driver's own", connector.ErrInvalid, p)
	}
	for element := range strings.SplitSeq(p, "/") {
		if len(element) > 255 {
			return fmt.Errorf("%w: %q is longer than a file name may be", connector.ErrInvalid, element)
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
		return access{}, fmt.Errorf("%w: file mode %O of volume %s is not one that anyone could read by", connector.ErrInvalid, uint32(place.FileMode), place.ID)
	}
	if place.GID < 0 {
		return access{}, fmt.Errorf("%w: group id %d of volume %s is negative", connector.ErrInvalid, place.GID, place.ID)
	}
	readers := mode & 0o044
	return access{mode: mode, dirMode: 0o700 | readers | readers>>2, gid: place.GID}, nil
}

// shape starts the name of whatever holds n files of this access.
func (a access) shape(prefix string, n int) string {
	return prefix + strconv.Itoa(n) + "-" + strconv.FormatUint(uint64(a.mode), 8) + "-" + strconv.Itoa(a.gid) + "-"
}

func (a access) newName(prefix string, n int) string { return a.shape(prefix, n) + rand.Text() }
