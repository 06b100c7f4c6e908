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
