package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

func imgpkgCases(all map[string]render.Input) {
	all["imgpkg-forms"] = input("imgpkg-env", tokens(), source("quotes", basic("quotes.example", "o'neil", "'$(id)`\\\"!#'"), basic("[fd00::1]:5000", "six", "six")))
	// Globs stay, also of hosts that nobody declared.
	all["imgpkg-globs"] = input("imgpkg-env", with(source("globs",
		basic("*.dkr.ecr.*.amazonaws.com", "AWS", "ecr"), basic("*.docker.io", "hubber", "hub"), anonymous("*.lab.example"),
		basic("*.shadow.example", "wide", "wide"), basic("own.shadow.example", "own", "own"), anonymous("public.shadow.example"),
	), hosts("1.dkr.ecr.us-east-1.amazonaws.com", "docker.io", "own.shadow.example")...))
	all["imgpkg-paths"] = input("imgpkg-env", source("paths",
		basic("reg.example", "rest", "rest"), basic("reg.example/team", "team", "team"), basic("reg.example/team/app", "app", "app"),
		anonymous("reg.example/public"), basic("docker.io/library", "hub", "hub"), basic("reg.example/v2/x", "v", "v")))
	// imgpkg would take reg.example* for reg.example, and *.wide.example before
	// a longer name for what both serve: declared hosts are written out.
	all["imgpkg-order"] = input("imgpkg-env", with(source("order",
		basic("reg.example", "literal", "literal"), basic("reg.example*", "wide", "wide"),
		basic("*.corp.example", "more", "more"), basic("reg.*.example", "fewer", "fewer"),
	), hosts("reg.examples", "reg.corp.example", "reg.lab.example")...))
	all["imgpkg-rivals"] = input("imgpkg-env", append(rivals(),
		source("globs", basic("*.example", "wide", "wide")), source("late", basic("*.example", "late", "late")))...)
	gone := emptied(source("gone"), "expired")
	gone.Claims = []string{"*.corp.example", "own.example"}
	all["imgpkg-emptied"] = input("imgpkg-env", gone, source("globs", basic("*.corp.example", "wide", "wide"), basic("*.example", "kept", "kept")))
	all["imgpkg-anonymous"] = input("imgpkg-env", source("open", anonymous("open.example")))
	all["imgpkg-nothing"] = input("imgpkg-env", emptied(source("gone"), "expired"))
}

// What imgpkg cannot be told is refused, with the variable and what to change.
func TestImgpkgRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		source render.Source
		want   string
	}{
		"glob in a path": {
			source("a", basic("reg.example/team/*", "u", "p")),
			"configuration imgpkg-env: connector ci/a: registry reg.example/team/*: IMGPKG_REGISTRY_HOSTNAME cannot hold a glob in a path: leave the path's end out, which serves everything below it, or write an entry for each repository",
		},
		"absence with a glob in its path": {
			source("a", anonymous("*.example/team/*")),
			"configuration imgpkg-env: connector ci/a: registry *.example/team/*: IMGPKG_REGISTRY_HOSTNAME cannot hold a glob in a path: leave the path's end out, which serves everything below it, or write an entry for each repository",
		},
		"no repository": {
			source("a", basic("reg.example/Team%41", "u", "p")),
			"configuration imgpkg-env: connector ci/a: registry reg.example/Team%41: IMGPKG_REGISTRY_HOSTNAME: the path is no repository: write lower-case segments without tag or digest",
		},
		"IPv6 without a port": {
			source("a", basic("[fd00::1]", "u", "p")),
			"configuration imgpkg-env: connector ci/a: registry [fd00::1]: IMGPKG_REGISTRY_HOSTNAME: imgpkg takes the brackets of an IPv6 address without a port for a pattern: add the port",
		},
		"control character": {
			source("a", basic("*.example", "u", "p\n")),
			"configuration imgpkg-env: connector ci/a: registry *.example: the password holds a control character (a final newline?) or is not UTF-8: remove it where the password is stored",
		},
		"globs in another order": {
			source("a", basic("*.corp.example", "u", "p"), basic("reg.*.example", "u", "q")),
			"configuration imgpkg-env: connector ci/a: IMGPKG_REGISTRY_HOSTNAME cannot be reg.*.example: it serves hosts that *.corp.example of connector ci/a serves first, and imgpkg would not choose that: list the hosts that it is for in spec.registries",
		},
		"a glob that may stand for nothing": {
			source("a", basic("reg.example", "u", "p"), basic("reg.example*", "u", "q")),
			"configuration imgpkg-env: connector ci/a: IMGPKG_REGISTRY_HOSTNAME cannot be reg.example*: imgpkg would prefer it to reg.example: list the hosts that it is for in spec.registries",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files, err := render.Render(input("imgpkg-env", test.source))
			if files != nil || err == nil || err.Error() != test.want {
				t.Errorf("%v, error\n%v\nwant\n%s", files, err, test.want)
			}
		})
	}
}

func TestExplainImgpkg(t *testing.T) {
	s := with(source("a", basic("*.example", "w", "w"), basic("reg.example", "a", "a"), basic("reg.example/team", "t", "t"), anonymous("open.example")), hosts("reg.example")...)
	got, err := render.Explain(input("imgpkg-env", s))
	if err != nil {
		t.Fatal(err)
	}
	at := func(entry string, from ...connector.Key) render.Placement {
		return render.Placement{File: "registry.env", Entry: entry, Connector: s.Connector, From: from}
	}
	exact := at("reg.example", key("reg.example"))
	exact.Rules = []connector.Rule{connector.LiteralHost}
	if diff := cmp.Diff([]render.Placement{
		at("reg.example/team", key("reg.example/team")), exact, at("open.example"), at("*.example", key("*.example")),
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
}

// Leaving the file out leaves it out.
func TestImgpkgExcluded(t *testing.T) {
	in := input("imgpkg-env", source("harbor", basic("harbor.example.com", "robot", "harbor")))
	in.Exclude = []string{"!registry.env"}
	files, err := render.Render(in)
	if err != nil || len(files) != 1 || files[0].Path != render.ReportName {
		t.Errorf("%v, %v", files, err)
	}
}
