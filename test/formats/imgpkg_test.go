package formats

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// imgpkgLogin is what imgpkg gets out of its variables for one registry.
type imgpkgLogin struct {
	Address string
	Login   credential
}

// imgpkgEnvs is what every registry.env means, in the order in which imgpkg
// asks its registries: by name, as text and backwards.
var imgpkgEnvs = map[string][]imgpkgLogin{
	"imgpkg-anonymous": {{Address: "open.example"}},
	"imgpkg-emptied":   {{"own.example", credential{}}, {"*.example", basic("kept", "kept")}},
	"imgpkg-forms": {
		{"quotes.example", basic("o'neil", "'$(id)`\\\"!#'")},
		{"open.example", credential{}},
		{"odd.example", basic("rö<b>ot", `p:ä&ss "word" \ <>`)},
		{"named.example", credential{User: "00000000-0000-0000-0000-000000000000", Identity: "s3cr3t-named-refresh"}},
		{"index.docker.io", basic("hubber", "hub")},
		{"bearer.example:5000", credential{Registry: "s3cr3t-bearer"}},
		{"acr.example", credential{Identity: "s3cr3t-refresh"}},
		{"[fd00::1]:5000", basic("six", "six")},
	},
	"imgpkg-globs": {
		{"public.shadow.example", credential{}},
		{"own.shadow.example", basic("own", "own")},
		{"*.shadow.example", basic("wide", "wide")},
		{"*.lab.example", credential{}},
		{"*.docker.io", basic("hubber", "hub")},
		{"*.dkr.ecr.*.amazonaws.com", basic("AWS", "ecr")},
	},
	"imgpkg-nothing": nil,
	"imgpkg-order": {
		{"reg.lab.example", basic("fewer", "fewer")},
		{"reg.examples", basic("wide", "wide")},
		{"reg.example", basic("literal", "literal")},
		{"*.corp.example", basic("more", "more")},
	},
	"imgpkg-paths": {
		{"reg.example/v2/x", basic("v", "v")},
		{"reg.example/team/app", basic("app", "app")},
		{"reg.example/team", basic("team", "team")},
		{"reg.example/public", credential{}},
		{"reg.example", basic("rest", "rest")},
		{"index.docker.io/library", basic("hub", "hub")},
	},
	"imgpkg-rivals": {
		{"shared.example", basic("first", "first")},
		{"quiet.example", credential{}},
		{"own.example", basic("second", "own")},
		{"declared.example", basic("second", "declared")},
		{"*.example", basic("wide", "wide")},
	},
}

// shells read the file as the documentation says, and print their environment.
var shells = map[string][]string{
	"sh":   {"sh", "-euc", `set -a; . "$1"; env -0`, "sh"},
	"dash": {"dash", "-euc", `set -a; . "$1"; env -0`, "dash"},
	"bash": {"bash", "-euc", `set -a; . "$1"; env -0`, "bash"},
}

// TestRegistryEnv reads the file with real shells and by systemd's rules, and
// the variables by those of imgpkg's source: five names, each with a suffix,
// any other one an error.
func TestRegistryEnv(t *testing.T) {
	seen := 0
	for name, v := range volumes(t) {
		data, ok := v["registry.env"]
		if !ok {
			continue
		}
		seen++
		want, ok := imgpkgEnvs[name]
		if !ok {
			t.Errorf("%s: say in imgpkgEnvs what it means", name)
			continue
		}
		file := write(t, "registry.env", data)
		for shell, command := range shells {
			t.Run(name+"/"+shell, func(t *testing.T) {
				run := exec.CommandContext(t.Context(), command[0], append(command[1:], file)...)
				run.Env = []string{"PATH=/usr/bin:/bin"}
				out, err := run.Output()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, readImgpkg(t, strings.Split(string(out), "\x00"))); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
		t.Run(name+"/systemd", func(t *testing.T) {
			if diff := cmp.Diff(want, readImgpkg(t, systemdEnvironment(t, data))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if seen != len(imgpkgEnvs) {
		t.Errorf("%d files, %d meanings: a case of imgpkgEnvs has gone", seen, len(imgpkgEnvs))
	}
}

func readImgpkg(t *testing.T, environment []string) []imgpkgLogin {
	t.Helper()
	bySuffix := map[string]*imgpkgLogin{}
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, "IMGPKG_REGISTRY_")
		if !ours {
			continue
		}
		i := strings.LastIndexByte(rest, '_')
		if i < 0 {
			t.Fatalf("%s has no number", name)
		}
		if bySuffix[rest[i:]] == nil {
			bySuffix[rest[i:]] = &imgpkgLogin{}
		}
		switch login := bySuffix[rest[i:]]; rest[:i] {
		case "HOSTNAME":
			host, path, _ := strings.Cut(value, "/")
			if short, versioned := strings.CutPrefix(path, "v2/"); versioned {
				path = short
			}
			login.Address = strings.TrimSuffix(host+"/"+path, "/")
		case "USERNAME":
			login.Login.User = value
		case "PASSWORD":
			login.Login.Password = value
		case "IDENTITY_TOKEN":
			login.Login.Identity = value
		case "REGISTRY_TOKEN":
			login.Login.Registry = value
		default:
			t.Fatalf("imgpkg refuses all variables because of %s", name)
		}
	}
	var logins []imgpkgLogin
	for _, login := range bySuffix {
		logins = append(logins, *login)
	}
	slices.SortFunc(logins, func(a, b imgpkgLogin) int { return strings.Compare(b.Address, a.Address) })
	for i := 1; i < len(logins); i++ {
		if logins[i].Address == logins[i-1].Address {
			t.Errorf("imgpkg takes one of two %s at random", logins[i].Address)
		}
	}
	return logins
}

// systemdEnvironment reads the file by the rules of systemd.exec(5),
// EnvironmentFile=: a quote opens a literal where a value begins or a literal
// ended; between single quotes a backslash stands for itself.
func systemdEnvironment(t *testing.T, data []byte) []string {
	t.Helper()
	var all []string
	for line := range bytes.Lines(data) {
		text := strings.TrimSuffix(string(line), "\n")
		if strings.HasPrefix(text, "#") {
			continue
		}
		name, rest, assigned := strings.Cut(text, "=")
		if !assigned {
			t.Fatalf("%q is no assignment", text)
		}
		var value strings.Builder
		for rest != "" {
			literal, after, closed := strings.Cut(rest[1:], rest[:1])
			if rest[0] != '\'' && rest[0] != '"' || !closed || rest[:1] == `"` && strings.ContainsAny(literal, "\\`$") {
				t.Fatalf("%s: %q is read in another way", name, rest)
			}
			value.WriteString(literal)
			rest = after
		}
		all = append(all, name+"="+value.String())
	}
	return all
}
