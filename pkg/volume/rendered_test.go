package volume

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// Whatever the files are made from tells renderings apart.
func TestRenderedOnlyOnceForTheSame(t *testing.T) {
	credential := &connector.Credential{Static: true, Entries: []connector.Entry{{
		Key: connector.Key{Host: "reg.test"}, Username: "u", Password: connector.NewSecret("p"),
	}}}
	input := func(change func(*render.Input)) render.Input {
		in := render.Input{
			Configurations: []string{"docker-config", "buildkitd"},
			Sources: []render.Source{{
				Connector: connector.Ref{Namespace: "ci", Name: "reg"}, Written: "reg", Issuer: "secret", Credential: credential,
				Registries: []render.Registry{{Host: "reg.test"}},
			}},
		}
		change(&in)
		return in
	}
	var r rendered
	for name, change := range map[string]func(*render.Input){
		"plain":      func(*render.Input) {},
		"mirror":     func(in *render.Input) { in.Sources[0].Registries[0].Mirrors = []string{"https://mirror.test"} },
		"plain HTTP": func(in *render.Input) { in.Sources[0].Registries[0].PlainHTTP = true },
		"mount path": func(in *render.Input) { in.MountPath = "/elsewhere" },
		"excluded":   func(in *render.Input) { in.Exclude = []string{"!buildkitd.toml"} },
		"other":      func(in *render.Input) { in.Sources[0].Connector.Name = "other" },
	} {
		for range 2 {
			got, err := r.render(input(change))
			if err != nil {
				t.Fatal(name, err)
			}
			want, err := render.Render(input(change))
			if err != nil {
				t.Fatal(name, err)
			}
			if diff := cmp.Diff(want, got.files); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// Contents that differ in anything that a pod sees have different digests.
func TestDigests(t *testing.T) {
	file := func(path, data string) render.File { return render.File{Path: path, Data: []byte(data)} }
	known := map[digest]int{{}: -1}
	for i, files := range []render.Files{
		nil,
		{file("a", "bc")},
		{file("ab", "c")},
		{file("a", "")},
		{file("a", ""), file("b", "c")},
		{file("a", "b"), file("c", "")},
		{file("a", "b"), file("c", "d")},
		{file("a", "d"), file("c", "b")},
		{file("c", "b"), file("a", "d")},
		{file("a", "b\x00\x00\x00\x00\x00\x00\x00\x01c\x00\x00\x00\x00\x00\x00\x00\x01d")},
	} {
		sum := digestOf(files)
		if other, there := known[sum]; there {
			t.Errorf("contents %d and %d have one digest", other, i)
		}
		known[sum] = i
		if sum != digestOf(files) {
			t.Errorf("content %d has two digests", i)
		}
	}
}
