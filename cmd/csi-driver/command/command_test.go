package command

import (
	"bytes"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   []string
		code   int
		stderr string // its first line
	}{
		{"version", []string{"version"}, exitGood, ""},
		{"help", []string{"--help"}, exitGood, ""},
		{"help of a command", []string{"node", "--help"}, exitGood, ""},
		{"help by name", []string{"help"}, exitGood, ""},
		{"help of a command by name", []string{"help", "render"}, exitGood, ""},
		{"help of nothing known", []string{"help", "rendr"}, exitUsage, `csi-driver: unknown command "rendr"; did you mean "render"?`},
		{"help of too much", []string{"help", "render", "x"}, exitUsage, `csi-driver: unknown command "render x"; did you mean "render"?`},
		{"no command", []string{}, exitUsage, "csi-driver: a command is missing"},
		{"unknown command", []string{"nod"}, exitUsage, `csi-driver: unknown command "nod"; did you mean "node"?`},
		{"unknown flag", []string{"node", "--nope"}, exitUsage, "csi-driver: unknown flag: --nope"},
		{"misspelt flag", []string{"render", "--connector", "x"}, exitUsage, `csi-driver: unknown flag: --connector; did you mean "--connectors"?`},
		{"argument of version", []string{"version", "x"}, exitUsage, `csi-driver: unexpected argument "x"`},
		{"no source", []string{"node"}, exitUsage, "csi-driver: --connectors-dir is required: name a directory of Connector manifests"},
		{
			"permission without an API server",
			[]string{"node", "--connectors-dir", "/x", "--require-use-permission"},
			exitUsage,
			"csi-driver: --require-use-permission needs an API server to ask; it does not go with --connectors-dir",
		},
		{"no such directory", []string{"node", "--connectors-dir", "/none"}, exitFailed, "csi-driver: reading the manifests in /none: no such file or directory"},
		{"negative linger", []string{"node", "--connectors-dir", "/x", "--linger", "-1s"}, exitUsage, "csi-driver: --linger must not be negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := program().Run(t.Context(), tc.args, &stdout, &stderr)
			first, _, _ := strings.Cut(stderr.String(), "\n")
			if code != tc.code || first != tc.stderr {
				t.Errorf("exit code %d, stderr %q", code, stderr.String())
			}
			if code == exitGood && stdout.Len() == 0 {
				t.Error("nothing is printed")
			}
		})
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	var stderr bytes.Buffer
	code := Program{}.Run(t.Context(), []string{"node", "--allowed-hosts", "http://x", "--audience", "nohost", "--linger", "-1s", "--token-source", "x"}, &bytes.Buffer{}, &stderr)
	for _, name := range []string{"--allowed-hosts", "--audience", "--linger", "--connectors-dir", "--token-source"} {
		if !strings.Contains(stderr.String(), name) {
			t.Errorf("%s is not named in %q", name, stderr.String())
		}
	}
	if code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}

func TestUsageShowsNoError(t *testing.T) {
	got := run(t, program(), "--help")
	if _, usage, _ := strings.Cut(got.stdout, "Usage:\n"); !strings.HasPrefix(usage, "  csi-driver [command]\n\n") {
		t.Error(got.stdout)
	}
	if got := run(t, program(), "version", "--help"); !strings.Contains(got.stdout, "Usage:\n  csi-driver version [flags]\n\n") {
		t.Error(got.stdout)
	}
}
