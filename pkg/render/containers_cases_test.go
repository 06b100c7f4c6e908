package render_test

import (
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// containersCases are the golden volumes for podman, buildah and skopeo.
func containersCases() map[string]render.Input {
	known := emptied(with(source("gone"), hosts("single.example:5000")...), "expired")
	known.Claims = []string{"single.example:5000"}
	return map[string]render.Input{
		"containers-auth-forms":     input("containers-auth", withoutBearer(tokens())),
		"containers-auth-globs":     input("containers-auth", globs()),
		"containers-auth-rivals":    input("containers-auth", rivals()...),
		"containers-auth-anonymous": input("containers-auth", source("open", anonymous("open.example"), anonymous("open.example/team"), anonymous("*.nowhere.example"))),
		"containers-auth-paths":     input("containers-auth", paths(), source("later", basic("tree.example/other", "later", "later"))),
		"containers-auth-hub": input("containers-auth",
			source("hub", basic("docker.io", "hubber", "hub"), anonymous("docker.io/library"), basic("index.docker.io/team", "team", "team"))),
		"containers-auth-hub-path": input("containers-auth", source("hub", basic("registry-1.docker.io/team/app", "team", "team"))),
		"containers-auth-emptied": input("containers-auth", known,
			source("later", basic("single.example:5000/team", "later", "single"), basic("other.example", "later", "other"))),
		"containers-registries":        input("containers-registries", corp()),
		"containers-registries-plain":  input("containers-registries", source("harbor", basic("harbor.example.com", "robot", "harbor"))),
		"containers-registries-rivals": input("containers-registries", rivals()...),
		"containers-registries-ports": input("containers-registries", with(source("ports", basic("lab.example", "a", "a")),
			render.Registry{Host: "lab.example", InsecureSkipVerify: true, Mirrors: []string{"https://cache.example/lab"}},
			render.Registry{Host: "lab.example:5000", CA: certificate("lab")},
			render.Registry{Host: "lab.example.org:5000"})),
		"containers-registries-mirrors": input("containers-registries", with(source("mirrors", basic("mirror.example", "m", "m")),
			render.Registry{Host: "mirror.example", InsecureSkipVerify: true},
			render.Registry{Host: "plain.example", PlainHTTP: true},
			render.Registry{Host: "cache", PlainHTTP: true, Mirrors: []string{"https://mirror.example/cache"}},
			render.Registry{Host: "ghcr.io", Mirrors: []string{
				"https://mirror.example/ghcr", "http://plain.example/", "https://plain.example", "https://MIRROR.example/a/b/?x=" + canary + "query",
				"https://mirror.example/Upper", "http://cache", "https://[fd00::2]:5000", "https://my_mirror:5000", "https://under_score.example/hub",
				"https://registry-1.docker.io", "https://registry-1.docker.io/ghcr", "http://undeclared.example:3128",
			}},
		)),
		"containers-both": {Configurations: []string{"containers-auth", "containers-registries"}, Sources: anonymousFirst()},
	}
}

// withoutBearer leaves out what auth.json cannot carry.
func withoutBearer(s render.Source) render.Source {
	var entries []connector.Entry
	for _, e := range s.Credential.Entries {
		if e.RegistryToken.IsZero() {
			entries = append(entries, e)
		}
	}
	s.Credential.Entries = entries
	return s
}

// paths has what only a file with path keys can say.
func paths() render.Source {
	return with(source("paths",
		basic("tree.example", "root", "root"),
		anonymous("tree.example/public"), anonymous("tree.example/public/open"), basic("tree.example/public/paid", "paid", "paid"),
		basic("tree.example/team/app", "app", "app"), basic("tree.example/team", "team", "team"),
		// Globs that change nothing for anybody.
		basic("idle.example/ro*", "wide", "wide"), basic("idle.example/deep/*/x", "wide", "wide"), basic("idle.*/*", "wide", "wide"), basic("idle.*", "wide", "wide"),
		basic("port.example:5000/team/app", "port", "port"), anonymous("port.example:5000/team/app/open"), anonymous("port.example:5000/other"),
		anonymous("quiet.example/pub-*"), anonymous("quiet.example"),
		// A literal host comes before a longer path on a glob.
		basic("literal.example/team", "literal", "literal"), basic("*.example/team/app", "never", "never"),
		// All of it is covered by the absence before it, under which no login is.
		anonymous("shut.example/*"), basic("shut.*/team", "never", "never"),
		connector.Entry{Key: key("acr.example/team"), IdentityToken: secret("refresh")},
	), hosts("idle.example", "literal.example", "shut.example")...)
}
