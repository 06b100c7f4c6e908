package render_test

import (
	"encoding/pem"
	"fmt"
	"maps"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// canary begins every secret of the cases, so that tests can search for them.
const canary = "s3cr3t-"

var (
	issuedAt  = time.Date(2026, 11, 22, 4, 0, 0, 123, time.UTC)
	expiresAt = time.Date(2026, 11, 22, 6, 0, 0, 0, time.FixedZone("CET", 3600))
	renewAt   = time.Date(2026, 11, 22, 4, 35, 0, 0, time.UTC)
)

// certificate stands for a PEM certificate; only its frame is looked at.
func certificate(name string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("certificate of " + name)})
}

func secret(text string) connector.Secret { return connector.NewSecret(canary + text) }

func key(text string) connector.Key {
	k, err := connector.ParseKey(text)
	if err != nil {
		panic(err)
	}
	return k
}

func basic(host, user, password string) connector.Entry {
	return connector.Entry{Key: key(host), Username: user, Password: secret(password)}
}

func anonymous(host string) connector.Entry { return connector.Entry{Key: key(host), Anonymous: true} }

// source is a connector ci/NAME with entries and no registries.
func source(name string, entries ...connector.Entry) render.Source {
	return render.Source{
		Connector: connector.Ref{Namespace: "ci", Name: name}, Written: name, Issuer: "secret", RenewAt: renewAt,
		Credential: &connector.Credential{
			ID: "id-" + name, Entries: entries, IssuedAt: issuedAt, ExpiresAt: expiresAt, Grain: connector.GrainIdentity,
		},
	}
}

func with(s render.Source, registries ...render.Registry) render.Source {
	s.Registries = registries
	return s
}

func hosts(names ...string) []render.Registry {
	var all []render.Registry
	for _, name := range names {
		all = append(all, render.Registry{Host: name})
	}
	return all
}

func emptied(s render.Source, why string) render.Source {
	s.Credential, s.Emptied, s.RenewAt = nil, why, time.Time{}
	return s
}

func input(configuration string, sources ...render.Source) render.Input {
	return render.Input{Configurations: []string{configuration}, Sources: sources}
}

// corp is a registry with everything that can be said about one.
func corp() render.Source {
	return with(
		source("corp", basic("registry.corp.example:5000", "robot", "corp"), basic("docker.io", "hubber", "hub")),
		render.Registry{
			Host: "registry.corp.example:5000", CA: append(certificate("corp"), certificate("corp sub")...),
			ClientCertificate: certificate("client"), ClientKey: secret("client-key"),
			Mirrors: []string{"https://cache.corp.example/corp"},
		},
		render.Registry{Host: "docker.io", Mirrors: []string{
			"https://cache.corp.example", "http://plain.corp.example:8080/", "https://cache.corp.example/dockerhub",
			"https://user:" + canary + "mirror@cache.corp.example", "http://undeclared.example:3128", "ftp://cache.corp.example",
		}},
		render.Registry{Host: "cache.corp.example", CA: certificate("corp")},
		render.Registry{Host: "plain.corp.example:8080", PlainHTTP: true},
		render.Registry{Host: "lab.corp.example", InsecureSkipVerify: true},
		render.Registry{Host: "both.corp.example", InsecureSkipVerify: true, PlainHTTP: true},
		render.Registry{Host: "[fd00::1]:5000", CA: certificate("six")},
		render.Registry{Host: "my_registry:5000", PlainHTTP: true},
		render.Registry{Host: "127.0.0.1:5001", CA: certificate("loop")},
		render.Registry{Host: "half.corp.example", ClientCertificate: certificate("half")},
	)
}

// hub is Docker Hub behind a proxy that opens TLS.
func hub() render.Source {
	return with(source("hub", basic("docker.io", "hubber", "hub")), render.Registry{
		Host: "docker.io", CA: certificate("hub"), InsecureSkipVerify: true,
		ClientCertificate: certificate("client"), ClientKey: secret("client-key"), Mirrors: []string{"https://mirror.example"},
	})
}

// rivals are two connectors that speak for the same hosts.
func rivals() []render.Source {
	first := with(source("first", basic("shared.example", "first", "first"), anonymous("quiet.example")),
		render.Registry{Host: "shared.example", CA: certificate("first")},
		render.Registry{Host: "declared.example", InsecureSkipVerify: true, Mirrors: []string{"https://evil.example"}})
	second := with(source("second",
		basic("shared.example", "second", "second"), basic("quiet.example", "second", "quiet"),
		basic("declared.example", "second", "declared"), basic("own.example", "second", "own")),
		render.Registry{Host: "shared.example", InsecureSkipVerify: true, CA: certificate("second"), Mirrors: []string{"https://evil.example"}},
		render.Registry{Host: "declared.example", CA: certificate("declared")})
	second.Connector, second.Written = connector.Ref{Name: "second"}, "cluster:second"
	return []render.Source{first, second}
}

// anonymousFirst is a connector without any credential, with everything else
// that can be said of its hosts, before one that has a login for each.
func anonymousFirst() []render.Source {
	open := with(source("open", anonymous("docker.io"), anonymous("cache.example"), anonymous("plain.example:5000")),
		render.Registry{Host: "docker.io", Mirrors: []string{"https://cache.example"}},
		render.Registry{Host: "cache.example", CA: certificate("cache")},
		render.Registry{Host: "plain.example:5000", PlainHTTP: true})
	open.Issuer, open.RenewAt = "anonymous", time.Time{}
	open.Credential.ExpiresAt, open.Credential.LongLived, open.Credential.Static, open.Credential.Grain = time.Time{}, true, true, connector.GrainNone
	later := with(source("later", basic("docker.io", "later", "hub"), basic("cache.example", "later", "cache"),
		basic("plain.example:5000", "later", "plain"), basic("own.example", "later", "own")),
		render.Registry{Host: "docker.io", Mirrors: []string{"https://evil.example"}})
	return []render.Source{open, later}
}

// tokens has every form of entry.
func tokens() render.Source {
	return source("tokens",
		basic("docker.io", "hubber", "hub"),
		connector.Entry{Key: key("acr.example"), IdentityToken: secret("refresh")},
		connector.Entry{Key: key("named.example"), Username: "00000000-0000-0000-0000-000000000000", IdentityToken: secret("named-refresh")},
		connector.Entry{Key: key("bearer.example:5000"), RegistryToken: secret("bearer")},
		basic("odd.example", "rö<b>ot", "p:ä&ss \"word\" \\ <>"),
		anonymous("open.example"),
	)
}

// globs has keys that must be expanded, shadowed and cut.
func globs() render.Source {
	return with(source("globs",
		basic("*.dkr.ecr.*.amazonaws.com", "AWS", "ecr"),
		basic("*.docker.io", "hubber", "hub"),
		basic("*.shadow.example", "wide", "wide"),
		anonymous("public.shadow.example"),
		basic("path.example/team/app", "path", "path"),
		basic("same.example/team-a", "same", "same"), basic("same.example/team-b", "same", "same"),
		basic("rest.example/team", "rest", "rest"), anonymous("rest.example"),
		basic("a.whole.example", "whole", "whole"), basic("*.whole.example/team", "never", "never"),
	), hosts("1.dkr.ecr.us-east-1.amazonaws.com", "2.dkr.ecr.eu-west-1.amazonaws.com", "docker.io",
		"public.shadow.example", "private.shadow.example", "a.whole.example")...)
}

func scoped() render.Source {
	s := source("scoped", connector.Entry{Key: key("scoped.example"), RegistryToken: secret("scoped")})
	s.Issuer = "distributionToken"
	s.Credential.Granted = connector.Scope{Repositories: []string{"team/app"}, Actions: []connector.Action{connector.Pull}}
	s.Credential.Grain = connector.GrainRepository
	s.Credential.Warnings = []string{"host scoped.example has two logins: the first counts"}
	s.Credential.Fields = map[string]connector.Secret{"uuid": connector.NewSecret("1234"), "created": connector.NewSecret("today")}
	return s
}

func forever() render.Source {
	s := source("forever", basic("forever.example", "admin", "for-ever"))
	s.Credential.LongLived, s.Credential.Static, s.Credential.ExpiresAt, s.RenewAt = true, true, time.Time{}, time.Time{}
	return s
}

// ends is a file with logins that end on their own, and one that does not.
func ends() render.Source {
	s := source("ends",
		until(basic("hour.example", "hour", "hour"), expiresAt), until(basic("month.example", "month", "month"), expiresAt.AddDate(0, 1, 0)),
		basic("forever.example", "admin", "for-ever"), anonymous("open.example"))
	s.Credential.LongLived, s.Credential.Static, s.Credential.ExpiresAt = true, true, time.Time{}
	return s
}

func until(e connector.Entry, end time.Time) connector.Entry {
	e.ExpiresAt = end
	return e
}

// cases are the golden volumes, by folder name.
func cases() map[string]render.Input {
	all := map[string]render.Input{
		"docker-config-one":       input("docker-config", source("harbor", basic("harbor.example.com", "robot$ci", "harbor"))),
		"docker-config-forms":     input("docker-config", tokens()),
		"docker-config-globs":     input("docker-config", globs()),
		"docker-config-rivals":    input("docker-config", rivals()...),
		"docker-config-anonymous": input("docker-config", source("open", anonymous("open.example"), anonymous("*.nowhere.example"))),
		"anonymous-first":         {Configurations: []string{"docker-config", "dockerd", "buildkitd"}, Sources: anonymousFirst()},
		"docker-config-anonymous-path": input("docker-config",
			source("public", anonymous("reg.example/public"), anonymous("all.example/team"), anonymous("all.example")),
			source("later", basic("reg.example", "later", "later"))),
		// A glob that serves no declared host serves those of later connectors:
		// an absence has no login that a wrong host could be offered.
		"docker-config-anonymous-glob": input("docker-config",
			with(source("trust", basic("own.example", "own", "own")), render.Registry{Host: "own.example"}, render.Registry{Host: "kept.example", CA: certificate("kept")}),
			with(source("nobody", anonymous("*.example"), anonymous("*.lab.example")), hosts("a.lab.example")...),
			with(source("c", basic("reg.example", "c", "c"), basic("b.lab.example", "c", "lab")), hosts("reg.example")...)),
		// What is served by an entry before it is never chosen, so it is no
		// second login.
		"docker-config-covered": input("docker-config",
			with(source("covered", basic("a.example/team", "a", "a"), basic("*.example/team/app", "never", "never")), hosts("a.example")...)),
		"docker-config-ends": input("docker-config", ends()),
		"fields-ends": input("fields", source("ends",
			until(basic("a.example", "robot", "ends"), expiresAt.Add(-time.Hour)), until(basic("b.example", "robot", "ends"), expiresAt.Add(-time.Minute)))),
		"docker-config-report": input("docker-config", scoped(), forever()),
		"docker-config-six":    input("docker-config", source("six", basic("[fd00::1]:5000", "six", "six"))),
		"docker-helper": input("docker-helper", source("harbor", basic("docker.io", "hubber", "hub"),
			basic("harbor.example.com:5000", "robot$ci", "harbor"), basic("[fd00::1]:5000", "six", "six"), anonymous("open.example"),
			connector.Entry{Key: key("acr.example"), IdentityToken: secret("refresh")},
			connector.Entry{Key: key("named.example"), Username: "00000000-0000-0000-0000-000000000000", IdentityToken: secret("named-refresh")},
			basic("odd.example", "rö<b>ot", "p:ä&ss \"word\" \\ <>"))),
		"docker-helper-globs":     input("docker-helper", globs()),
		"docker-helper-rivals":    input("docker-helper", rivals()...),
		"docker-helper-anonymous": input("docker-helper", source("open", anonymous("open.example"))),
		"dockerd":                 input("dockerd", corp()),
		"dockerd-plain":           input("dockerd", source("harbor", basic("harbor.example.com", "robot", "harbor"))),
		"dockerd-hub": input("dockerd", with(source("hub", basic("docker.io", "hubber", "hub")), render.Registry{
			Host: "docker.io", CA: certificate("hub"), InsecureSkipVerify: true, PlainHTTP: true,
			ClientCertificate: certificate("client"), ClientKey: secret("client-key"),
		})),
		"dockerd-rivals":    input("dockerd", rivals()...),
		"certs-d":           input("certs-d", corp()),
		"certs-d-hub":       input("certs-d", hub()),
		"certs-d-plain":     input("certs-d", source("harbor", basic("harbor.example.com", "robot", "harbor"))),
		"certs-d-rivals":    input("certs-d", rivals()...),
		"containerd":        input("containerd", corp()),
		"containerd-hub":    input("containerd", hub()),
		"containerd-plain":  input("containerd", source("harbor", basic("harbor.example.com", "robot", "harbor"))),
		"containerd-rivals": input("containerd", rivals()...),
		// The trust of a mirror is another connector's; an equal URL counts once.
		"containerd-mirrors": input("containerd",
			with(source("hub", basic("docker.io", "hubber", "hub")),
				render.Registry{Host: "docker.io", Mirrors: []string{
					"https://z.example/dockerhub/", "https://lab.example", "https://[FD00:0::1]:5000", "https://z.example/dockerhub",
					"https://index.docker.io", "http://plain.example:8080", "https://a.example/%2e%2e/x", "https://a.example/a%23",
				}},
				render.Registry{Host: "lab.example", CA: certificate("evil"), InsecureSkipVerify: true}),
			with(source("mirrors", basic("z.example", "z", "z"), basic("lab.example", "lab", "lab"), basic("[fd00::1]:5000", "six", "six")),
				render.Registry{Host: "z.example", CA: certificate("z"), ClientCertificate: certificate("client"), ClientKey: secret("client-key")},
				render.Registry{Host: "lab.example", CA: certificate("lab"), InsecureSkipVerify: true},
				render.Registry{Host: "plain.example:8080", PlainHTTP: true})),
		// One directory serves docker, podman and containerd.
		"containerd-beside-certs-d": {Configurations: []string{"certs-d", "containerd"}, Exclude: []string{"!z.example/"}, Sources: []render.Source{
			with(source("a", basic("a.example:5000", "a", "a")),
				render.Registry{Host: "a.example:5000", CA: certificate("a"), ClientCertificate: certificate("client"), ClientKey: secret("client-key")},
				render.Registry{Host: "z.example", CA: certificate("z")}),
		}},
		"containerd-emptied": input("containerd", emptied(corp(), "expired")),
		"buildkitd":          input("buildkitd", corp()),
		"buildkitd-plain":    input("buildkitd", source("harbor", basic("harbor.example.com", "robot", "harbor"))),
		"buildkitd-rivals":   input("buildkitd", rivals()...),
		"buildkitd-mirrors": input("buildkitd", with(source("mirrors", basic("mirror.example", "m", "m")),
			render.Registry{Host: "mirror.example"},
			render.Registry{Host: "plain.example", PlainHTTP: true},
			render.Registry{Host: "ghcr.io", Mirrors: []string{"http://mirror.example/ghcr", "https://plain.example", "https://mirror.example/a/b/?x=" + canary + "query"}},
		)),
		// Nobody declares the hosts of these mirrors: no connector takes TLS from
		// what another one reaches with it, and loopback is no reason either.
		"buildkitd-mirrors-undeclared": input("buildkitd",
			with(source("first", basic("docker.io", "first", "first")), render.Registry{Host: "docker.io", Mirrors: []string{
				"https://cache.example", "https://localhost:5000", "https://127.0.0.1:5001/hub", "https://[::1]:5002", "http://localhost:5003",
			}}),
			with(source("second", basic("quay.io", "second", "second")), render.Registry{Host: "quay.io", Mirrors: []string{
				"http://cache.example/quay", "http://plain.example", "http://localhost:5000",
			}})),
		"fields-one":    input("fields", source("harbor", basic("harbor.example.com", "robot$ci", "harbor"))),
		"fields-token":  input("fields", scoped()),
		"fields-static": input("fields", forever()),
		"fields-hosts": input("fields", with(source("ecr", basic("*.dkr.ecr.*.amazonaws.com", "AWS", "ecr"), anonymous("public.ecr.aws")),
			hosts("2.dkr.ecr.eu-west-1.amazonaws.com", "1.dkr.ecr.us-east-1.amazonaws.com")...)),
		"fields-shadowed": {Configurations: []string{"docker-config", "fields"}, Sources: []render.Source{
			with(source("shadowed", anonymous("reg.example"), basic("*.example", "wide", "wide")), hosts("reg.example")...),
		}},
		"fields-precedence": input("fields", with(source("exact", basic("reg.example", "a", "a"), basic("*.example", "b", "b")), hosts("reg.example")...)),
		// The second's login is in its folder, and is lost in config.json.
		"fields-beside": {Configurations: []string{"docker-config", "fields"}, Sources: []render.Source{
			source("c", basic("reg.example", "c", "c")), source("d", basic("reg.example", "d", "d")),
		}},
		"fields-several": input("fields", source("harbor", basic("harbor.example.com", "robot", "harbor")),
			emptied(source("gone"), "expired"), rename(source("x", basic("harbor.example.com", "other", "other")), "team-a/x"),
			rename(source("y", connector.Entry{Key: key("acr.example"), IdentityToken: secret("refresh")}), "cluster:y")),
	}
	imgpkgCases(all)
	buildxCases(all)
	mounted := input("buildkitd", corp())
	mounted.MountPath = "/home/user/.config/buildkit"
	all["buildkitd-mount-path"] = mounted

	everything := []string{"docker-config", "dockerd", "buildkitd", "fields"}
	single := with(source("single", basic("single.example:5000", "single", "single")), render.Registry{
		Host: "single.example:5000", CA: certificate("single"), ClientCertificate: certificate("client"), ClientKey: secret("client-key"),
	}, render.Registry{Host: "docker.io", Mirrors: []string{"https://single.example:5000"}})
	all["everything"] = render.Input{Configurations: everything, Sources: []render.Source{single}}
	// The later connector's credential must not take the place of the
	// emptied one's.
	all["everything-emptied"] = render.Input{Configurations: everything, Sources: []render.Source{
		emptied(single, "consent withdrawn"), source("later", basic("single.example:5000", "later", "later"), basic("docker.io", "later", "later")),
	}}
	known := emptied(single, "expired")
	known.Claims = []string{"single.example:5000", "unlisted.example"}
	all["docker-config-emptied-claims"] = input("docker-config", known,
		source("later", basic("docker.io", "later", "hub"), basic("unlisted.example", "later", "unlisted"), basic("single.example:5000", "later", "later")))
	all["docker-helper-emptied"] = input("docker-helper", all["docker-config-emptied-claims"].Sources...)
	// A gap is for the hosts of a glob, too, that no host was declared for; a
	// glob that has declared hosts was only for these.
	gap := emptied(with(source("gap"), hosts("1.ecr.example")...), "expired")
	gap.Claims = []string{"*.corp.example", "*.ecr.example", "1.ecr.example", "a.corp.example"}
	all["docker-config-emptied-glob"] = render.Input{Configurations: []string{"docker-config", "buildkitd"}, Sources: []render.Source{
		with(source("before", basic("own.corp.example", "before", "own")), render.Registry{Host: "own.corp.example", CA: certificate("own")}), gap,
		with(source("later", basic("b.corp.example", "later", "b"), basic("2.ecr.example", "later", "ecr")),
			render.Registry{Host: "b.corp.example", InsecureSkipVerify: true, Mirrors: []string{"http://evil.example"}}),
	}}
	all["docker-config-emptied-unknown"] = input("docker-config", emptied(source("bare"), ""))
	all["excluded"] = render.Input{
		Configurations: everything, Sources: []render.Source{single},
		Exclude: []string{"daemon.json", "!certs.d/", "certs/single.example:5000.key", "ca.crt", "token"},
	}
	all["docker-helper-without-program"] = render.Input{
		Configurations: []string{"docker-helper"}, Sources: []render.Source{single}, Exclude: []string{"!bin/"},
	}
	maps.Copy(all, containersCases())
	return all
}

func rename(s render.Source, written string) render.Source {
	ref, err := connector.ParseRef(written, "ci")
	if err != nil {
		panic(fmt.Sprintf("%s: %v", written, err))
	}
	s.Connector, s.Written = ref, written
	return s
}
