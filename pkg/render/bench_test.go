package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// BenchmarkManyHosts is two connectors with as many logins as a Secret may
// hold, for the same hosts.
func BenchmarkManyHosts(b *testing.B) {
	var entries []connector.Entry
	for i := range 1000 {
		entries = append(entries, basic(fmt.Sprintf("registry-%d.example", i), "robot", "password"))
	}
	in := render.Input{Configurations: []string{"docker-config"}, Sources: []render.Source{source("a", entries...), source("b", entries...)}}
	for b.Loop() {
		if _, err := render.Render(in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRender is the work for one changed volume.
func BenchmarkRender(b *testing.B) {
	for _, configurations := range [][]string{{"docker-config"}, {"docker-config", "dockerd", "buildkitd", "fields"}, {"docker-helper"}} {
		for _, count := range []int{1, 3} {
			in := render.Input{Configurations: configurations}
			for i := range count {
				host := fmt.Sprintf("registry-%d.example:5000", i)
				in.Sources = append(in.Sources, with(source(fmt.Sprintf("c%d", i), basic(host, "robot", "password")), render.Registry{
					Host: host, CA: certificate(host), Mirrors: []string{"https://mirror.example/" + host},
				}))
			}
			b.Run(fmt.Sprintf("configurations=%s/sources=%d", strings.Join(configurations, "+"), count), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := render.Render(in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
