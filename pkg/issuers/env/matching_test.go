package env_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// TestImgpkgCases are the cases that were tried with imgpkg's own code, with
// what regcred does about each. Theirs is what imgpkg did where it differs;
// README.md tells why.
func TestImgpkgCases(t *testing.T) {
	const unknownPattern = `Secret "vars": key "IMGPKG_REGISTRY_HOSTNAME_1" holds a pattern that is not known: * stands for characters within a label or segment, and nothing else does`
	tests := []struct {
		name    string
		entries []string // variables, or hosts that get the login "u<number>:p"
		asked   string
		want    string // the entry that serves it; none when there is none
		refused string // the error when there is no list at all
		warning string
		theirs  string
	}{
		{name: "a literal before a pattern", entries: []string{"reg.io", "*.io"}, asked: "reg.io/a/b", want: "reg.io u0:p"},
		{name: "a literal before a pattern that could be nothing", entries: []string{"reg.io", "reg.io*"}, asked: "reg.io/a/b", want: "reg.io u0:p", theirs: "reg.io*"},
		{name: "a pattern that stands for nothing", entries: []string{"reg.io*"}, asked: "reg.io/a/b", want: "reg.io* u0:p"},
		{name: "the longer path", entries: []string{"reg.io/team", "reg.io"}, asked: "reg.io/team/x", want: "reg.io/team u0:p"},
		{name: "the longer path, written last", entries: []string{"reg.io", "reg.io/team", "reg.io/team/x"}, asked: "reg.io/team/x", want: "reg.io/team/x u2:p"},
		{name: "a literal host before a path behind a pattern", entries: []string{"*.io/team", "reg.io"}, asked: "reg.io/team/x", want: "reg.io u1:p"},
		{name: "paths by whole segments", entries: []string{"reg.io/team"}, asked: "reg.io/team-evil/x", want: "none", theirs: "reg.io/team"},
		{name: "a path serves its own repository", entries: []string{"reg.io/team"}, asked: "reg.io/team", want: "reg.io/team u0:p"},
		{name: "a literal path before a pattern in it", entries: []string{"reg.io/team/*", "reg.io/team"}, asked: "reg.io/team/app", want: "reg.io/team u1:p"},
		{name: "a pattern in a path", entries: []string{"reg.io/team/*"}, asked: "reg.io/team/app", want: "reg.io/team/* u0:p", theirs: "none"},
		{name: "a pattern in a path needs its segment", entries: []string{"reg.io/team/*"}, asked: "reg.io/team", want: "none"},
		{name: "brackets", entries: []string{"reg.io", "reg[0-9].io"}, asked: "reg.io/x", refused: unknownPattern, theirs: "an error at any image that an earlier entry does not serve"},
		{name: "brackets around a dot", entries: []string{"reg.io", "reg[.]io"}, asked: "reg.io/x", refused: unknownPattern, theirs: "likewise"},
		{name: "a question mark", entries: []string{"reg.io", "reg?.io"}, asked: "reg1.io/x", refused: unknownPattern, theirs: "none"},
		{name: "Docker Hub, too many labels", entries: []string{"*.*.docker.io"}, asked: "docker.io/library/busybox", want: "none"},
		{name: "Docker Hub as docker.io", entries: []string{"docker.io"}, asked: "docker.io/library/busybox", want: "docker.io u0:p", theirs: "none"},
		{name: "Docker Hub as index.docker.io", entries: []string{"index.docker.io"}, asked: "docker.io/library/busybox", want: "docker.io u0:p"},
		{name: "Docker Hub as docker login writes it", entries: []string{"https://index.docker.io/v1/"}, asked: "docker.io/library/busybox", want: "docker.io u0:p"},
		{name: "Docker Hub by a pattern", entries: []string{"*.docker.io"}, asked: "docker.io/library/busybox", want: "*.docker.io u0:p"},
		{name: "ECR", entries: []string{"*.dkr.ecr.*.amazonaws.com"}, asked: "1.dkr.ecr.us-east-1.amazonaws.com/x", want: "*.dkr.ecr.*.amazonaws.com u0:p"},
		{name: "ECR elsewhere", entries: []string{"*.dkr.ecr.*.amazonaws.com"}, asked: "1.dkr.ecr.cn-north-1.amazonaws.com.cn/x", want: "none"},
		{name: "no port is not every port", entries: []string{"reg.io"}, asked: "reg.io:5000/x", want: "none"},
		{name: "a port", entries: []string{"*.io:5000"}, asked: "reg.io:5000/x", want: "*.io:5000 u0:p"},
		{
			name:    "one host twice",
			entries: []string{"HOSTNAME=reg.io", "USERNAME=first", "PASSWORD=p", "HOSTNAME_0=reg.io", "USERNAME_0=second", "PASSWORD_0=p"},
			asked:   "reg.io/x", want: "reg.io first:p",
			warning: `Ambiguous: Secret "vars" key "IMGPKG_REGISTRY_HOSTNAME" and Secret "vars" key "IMGPKG_REGISTRY_HOSTNAME_0" hold different logins for reg.io; the first is used`,
			theirs:  "the same, by chance",
		},
		{
			name: "an unknown variable", entries: []string{"HOSTNAME=reg.io", "FOO=1"}, asked: "reg.io/x",
			refused: `Secret "vars" holds keys that are no variable: "IMGPKG_REGISTRY_FOO"; after IMGPKG_REGISTRY_ come HOSTNAME, USERNAME, PASSWORD, IDENTITY_TOKEN, REGISTRY_TOKEN, and for each further registry _ and a suffix`,
		},
		{
			name: "the variable of the Azure helper", entries: []string{"HOSTNAME=reg.io", "AZURE_CR_CONFIG=/x"}, asked: "reg.io/x", want: "reg.io anonymous",
			warning: `Secret "vars": "IMGPKG_REGISTRY_AZURE_CR_CONFIG" left out: they say nothing here`,
		},
		{name: "a host alone", entries: []string{"HOSTNAME_0=reg.io", "HOSTNAME_1=*.io", "USERNAME_1=u", "PASSWORD_1=p"}, asked: "reg.io/x", want: "reg.io anonymous"},
		{
			name: "both tokens", entries: []string{"HOSTNAME=reg.io", "IDENTITY_TOKEN=i", "REGISTRY_TOKEN=r"}, asked: "reg.io/x", want: "reg.io registry token r",
			warning: `Secret "vars": "IMGPKG_REGISTRY_IDENTITY_TOKEN" left out: clients prefer "IMGPKG_REGISTRY_REGISTRY_TOKEN"`,
			theirs:  "both, of which its client takes the registry token",
		},
		{name: "a scheme and the API's root", entries: []string{"https://reg.io/v2/team"}, asked: "reg.io/team/x", want: "reg.io/team u0:p"},
		{name: "more literal characters", entries: []string{"*.*.io", "registry.*.io"}, asked: "registry.corp.io/x", want: "registry.*.io u1:p"},
		{name: "the most literal characters of three", entries: []string{"*.corp.io", "reg.*.io*", "reg.corp.i*"}, asked: "reg.corp.io/x", want: "reg.corp.i* u2:p"},
		{name: "equals", entries: []string{"reg.*.io", "*.abc.io"}, asked: "reg.abc.io/x", want: "reg.*.io u0:p"},
		{name: "equals, the other way round", entries: []string{"*.abc.io", "reg.*.io"}, asked: "reg.abc.io/x", want: "*.abc.io u0:p"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := issue(t, secretOnly, variables(logins(test.entries)...))
			if test.refused != "" {
				if err == nil || err.Error() != test.refused {
					t.Errorf("error is %v, want %s", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			host, repository, _ := strings.Cut(test.asked, "/")
			if got := chosen(c.Entries, host, repository); got != test.want {
				t.Errorf("%s is served by %s, want %s", test.asked, got, test.want)
			}
			var warnings []string
			if test.warning != "" {
				warnings = []string{test.warning}
			}
			if diff := gocmp.Diff(warnings, c.Warnings); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// logins gives every bare host a login of its own.
func logins(entries []string) []string {
	var lines []string
	for i, e := range entries {
		if strings.Contains(e, "=") {
			lines = append(lines, e)
			continue
		}
		n := string(rune('0' + i))
		lines = append(lines, "HOSTNAME_"+n+"="+e, "USERNAME_"+n+"=u"+n, "PASSWORD_"+n+"=p")
	}
	return lines
}

// chosen applies the rule of the vocabulary, as every configuration does.
func chosen(entries []connector.Entry, host, repository string) string {
	matching := slices.DeleteFunc(slices.Clone(entries), func(e connector.Entry) bool { return !e.Key.Matches(host, repository) })
	slices.SortStableFunc(matching, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
	if len(matching) == 0 {
		return "none"
	}
	return cmp.Or(shown(matching[0]), "none")
}
