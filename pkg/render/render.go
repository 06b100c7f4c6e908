package render

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Marker is the file at a volume's root by which the driver knows it again;
// no configuration may render it.
const Marker = ".csi.regcred.dev"

// Render makes a volume's files. The error wraps connector.ErrInvalid when the
// pod asked for something that does not exist, and connector.ErrPrecondition
// when a configuration cannot carry a credential; it names the configuration,
// the connector and what to change, never a secret.
func Render(in Input) (Files, error) {
	r, err := newRendering(in)
	return r.files, err
}

// rendering is what became of an Input.
type rendering struct {
	*plan
	files   Files
	omitted []Omission
	placed  []placed
}

func newRendering(in Input) (rendering, error) {
	wanted, err := chosen(in.Configurations)
	if err != nil {
		return rendering{}, err
	}
	p, err := newPlan(in)
	if err != nil {
		return rendering{}, err
	}
	p.settle(wanted)
	r := rendering{plan: p}
	var c content
	for _, configuration := range wanted {
		out, err := configuration.render(p)
		if err != nil {
			return rendering{}, err
		}
		c.add("configuration "+configuration.name, out.files...)
		r.omitted = append(r.omitted, out.omitted...)
		r.placed = append(r.placed, out.placed...)
	}
	c.add("every volume", trustBundle(p)...)
	report, err := reportFile(p, r.omitted)
	if err != nil {
		return rendering{}, err
	}
	c.add("every volume", report)

	if err := c.exclude(in.Exclude, wanted, p); err != nil {
		return rendering{}, err
	}
	r.files, err = c.files()
	return r, err
}

// content collects files and remembers who rendered each.
type content []rendered

type rendered struct {
	File
	by string
}

func (c *content) add(by string, files ...File) {
	for _, f := range files {
		*c = append(*c, rendered{File: f, by: by})
	}
}

// files checks the whole and returns it sorted.
func (c content) files() (Files, error) {
	slices.SortStableFunc(c, func(a, b rendered) int { return cmp.Compare(a.Path, b.Path) })
	by := make(map[string]string, len(c))
	files := make(Files, 0, len(c))
	for _, f := range c {
		if err := checkPath(f.Path); err != nil {
			return nil, connector.Errorf(connector.ErrInvalid, "%s renders %w", f.by, err)
		}
		if other, taken := by[f.Path]; taken {
			// What is the same in two formats serves both.
			if last := files[len(files)-1]; other != f.by && last.Secret == f.Secret && bytes.Equal(last.Data, f.Data) {
				continue
			}
			return nil, connector.Errorf(connector.ErrInvalid, "%s and %s both render %s: leave one of them away, or the file out with \"!%s\"", other, f.by, f.Path, f.Path)
		}
		by[f.Path] = f.by
		files = append(files, f.File)
	}
	for _, f := range files {
		if other, shared := c.beside(f); shared {
			return nil, connector.Errorf(connector.ErrInvalid, "%s needs the directory %s for a program alone, and %s renders %s: mount them as two volumes", by[f.Path], path.Dir(f.Path), other.by, other.Path)
		}
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if other, isFile := by[dir]; isFile {
				return nil, connector.Errorf(connector.ErrInvalid, "%s renders the file %s, and %s needs a directory of that name: mount them as two volumes", other, dir, by[f.Path])
			}
		}
	}
	return files, nil
}

// beside finds a file in the directory of a program.
func (c content) beside(program File) (rendered, bool) {
	if !program.Program {
		return rendered{}, false
	}
	i := slices.IndexFunc(c, func(f rendered) bool {
		return f.Path != program.Path && strings.HasPrefix(f.Path, path.Dir(program.Path)+"/")
	})
	if i < 0 {
		return rendered{}, false
	}
	return c[i], true
}

// checkPath keeps files inside the volume and away from names that its layout
// uses: ".." prefixes belong to the atomic switch, the marker to the driver.
func checkPath(name string) error {
	if name == "" || path.IsAbs(name) || path.Clean(name) != name || name == "." {
		return fmt.Errorf("%q, which is not a clean relative path", name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(segment, "..") || len(segment) > 255 || hasControl(segment) {
			return fmt.Errorf("%q, which is not a usable file name", name)
		}
	}
	if name == Marker || strings.HasPrefix(name, Marker+"/") {
		return fmt.Errorf("%q, which is reserved", name)
	}
	return nil
}

// exclude drops the files that the pod does not want: by path, or whole
// directories. Files come and go with a credential or a CA, so what could be
// there tomorrow is no mistake today: a renewal must not fail for it.
func (c *content) exclude(names []string, wanted []configuration, p *plan) error {
	all := slices.Clone(*c)
	for _, written := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(written, "!"), "/")
		if name == ReportName {
			return connector.Errorf(connector.ErrInvalid, "\"!%s\" in configuration.names: every volume carries this file, by which its content is explained: leave the item away", name)
		}
		matches := func(f rendered) bool { return f.Path == name || strings.HasPrefix(f.Path, name+"/") }
		if !slices.ContainsFunc(all, matches) && !mayRender(wanted, p, name) && !p.emptied() {
			return connector.Errorf(connector.ErrInvalid, "\"!%s\" in configuration.names leaves out a file that the volume does not have; it has %s", name, strings.Join(all.paths(), ", "))
		}
		*c = slices.DeleteFunc(*c, matches)
	}
	return nil
}

// mayRender reports whether a path is among those that the configurations
// render at times.
func mayRender(wanted []configuration, p *plan, name string) bool {
	possible := []string{trustFile}
	for _, c := range wanted {
		possible = append(possible, c.paths(p)...)
		if top, _, _ := strings.Cut(name, "/"); c.hostDirectories && exactHost(top) {
			return true
		}
	}
	return slices.ContainsFunc(possible, func(path string) bool {
		return path == name || path == name+"/" || (strings.HasSuffix(path, "/") && strings.HasPrefix(name, path))
	})
}

func (c content) paths() []string {
	var paths []string
	for _, f := range c {
		paths = append(paths, f.Path)
	}
	slices.Sort(paths)
	return paths
}

// encodeJSON writes indented JSON with a final newline and without the
// escapes that are meant for HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding JSON: %w", err)
	}
	return b.Bytes(), nil
}
