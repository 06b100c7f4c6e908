package driver

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// presentable checks what a caller is told: one printable line that fits an
// event.
func presentable(t *testing.T, text string) {
	t.Helper()
	if len(text) > maxMessage || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%d bytes that are not fit to be shown: %.300q", len(text), text)
	}
}

// look-alikes of the letters in attribute names.
const cyrillicE, fullwidthA, zeroWidth, rightToLeft = "е", "ａ", "\u200b", "\u202e"

// TestHostileAttributes: what a pod's author can write is taken as it is meant
// or refused in one short line, whatever it is.
func TestHostileAttributes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("A long value. ", 40_000)
	tests := map[string]struct {
		attributes map[string]string
		want       string // the whole message, or
		field      string // its beginning; neither = it is accepted
	}{
		"long connectors":               {map[string]string{"connectors": long}, "connectors: is longer than 4096 bytes", ""},
		"10,000 connectors":             {map[string]string{"connectors": strings.Repeat("a,", 10_000) + "a"}, "connectors: is longer than 4096 bytes", ""},
		"100 connectors":                {map[string]string{"connectors": strings.Repeat("a,", 100) + "a"}, "connectors: names 101 items; at most 64", ""},
		"connectors with a line break":  {map[string]string{"connectors": "a\nlevel=info msg=\"granted\""}, `connectors: "a\nlevel=info msg=\"granted\"" is not a connector: write name, namespace/name or cluster:name`, ""},
		"connectors with an escape":     {map[string]string{"connectors": "a\x1b[2J"}, `connectors: "a\x1b[2J" is not a connector: write name, namespace/name or cluster:name`, ""},
		"connectors of other letters":   {map[string]string{"connectors": "h" + fullwidthA + "rbor"}, `connectors: "hａrbor" is not a connector: write name, namespace/name or cluster:name`, ""},
		"a hidden letter":               {map[string]string{"connectors": "harbor" + zeroWidth}, `connectors: "harbor\u200b" is not a connector: write name, namespace/name or cluster:name`, ""},
		"a way up":                      {map[string]string{"connectors": "../harbor"}, `connectors: "../harbor" is not a connector: write name, namespace/name or cluster:name`, ""},
		"a zero byte":                   {map[string]string{"connectors": "harbor\x00"}, `connectors: "harbor\x00" is not a connector: write name, namespace/name or cluster:name`, ""},
		"an attribute of other letters": {map[string]string{"connectors": "a", "fil" + cyrillicE + ".mode": "0444"}, "fil" + cyrillicE + `.mode: is not a volume attribute; did you mean "file.mode"?`, ""},
		"an attribute from the right":   {map[string]string{"connectors": "a", rightToLeft + "edom.elif": "0444"}, "edom.elif: is not a volume attribute", ""},
		"an attribute in upper case":    {map[string]string{"connectors": "a", "File.Mode": "0444"}, `File.Mode: is not a volume attribute; did you mean "file.mode"?`, ""},
		"an attribute with a blank":     {map[string]string{"connectors": "a", "\tfile.mode": "0444"}, `file.mode: is not a volume attribute; did you mean "file.mode"?`, ""},
		"an attribute with lines":       {map[string]string{"connectors": "a", "x\n\"forged log line\" pod=\"a/b\"": "y"}, `x "forged log line" pod="a/b": is not a volume attribute`, ""},
		"a long attribute":              {map[string]string{"connectors": "a", long: "y"}, "", "A long value. A long"},
		"many attributes":               {many(1000), "volumeAttributes: there are 1001; at most 128 have a meaning", ""},
		"128 long attributes":           {manyLong(127, long), "", "attribute"},
		"a key of the kubelet's":        {map[string]string{"connectors": "a", kubeletPrefix + "ephemeral": "false"}, `csi.storage.k8s.io/ephemeral: is not "true": use an inline csi volume, not a PersistentVolume`, ""},
		"repositories of nobody":        {map[string]string{"connectors": "a", "repositories.b\n": "x"}, `repositories.b : no connector is written "b\n" in this volume: write repositories.a`, ""},
		"repositories of a long name":   {map[string]string{"connectors": "a", "repositories." + long: "x"}, "", "repositories.A long value."},
		"long repositories":             {map[string]string{"connectors": "a", "repositories": long}, "repositories: is longer than 4096 bytes", ""},
		"a repository with a quote":     {map[string]string{"connectors": "a", "repositories": `team/app","*`}, "", `repositories: "team/app\"" is not a repository`},
		"long actions":                  {map[string]string{"connectors": "a", "actions": strings.Repeat("pull,", 800) + "admin"}, "", `actions: "pull,pull,`},
		"a mode of 7777":                {map[string]string{"connectors": "a", "file.mode": "7777"}, `file.mode: "7777" allows more than reading: files of this volume are read-only, so only 0400, 0440 and 0444 make sense`, ""},
		"a mode of -1":                  {map[string]string{"connectors": "a", "file.mode": "-1"}, `file.mode: "-1" is not an octal mode: write, for example, "0440" in quotes`, ""},
		"a mode of 2^64":                {map[string]string{"connectors": "a", "file.mode": "2000000000000000000000"}, `file.mode: "2000000000000000000000" is not an octal mode: write, for example, "0440" in quotes`, ""},
		"a mode with an underscore":     {map[string]string{"connectors": "a", "file.mode": "04_44"}, `file.mode: "04_44" is not an octal mode: write, for example, "0440" in quotes`, ""},
		"a mode of other digits":        {map[string]string{"connectors": "a", "file.mode": "０４４４"}, `file.mode: "０４４４" is not an octal mode: write, for example, "0440" in quotes`, ""},
		"a mount path with a line":      {map[string]string{"connectors": "a", "mount.path": "/etc\nca = [\"/evil\"]"}, `mount.path: "/etc\nca = [\"/evil\"]" is not the absolute path of a volumeMount`, ""},
		"a mount path in a long way":    {map[string]string{"connectors": "a", "mount.path": "/" + strings.Repeat("a/", 1000) + "b"}, "", ""},
		"a mount path beyond limits":    {map[string]string{"connectors": "a", "mount.path": "/" + long}, "mount.path: is longer than 4096 bytes", ""},
		"no time":                       {map[string]string{"connectors": "a", "token.expiration": "9999999h"}, `token.expiration: "9999999h" is not a positive duration: write, for example, "90s" or "1h30m"`, ""},
		"a negative time":               {map[string]string{"connectors": "a", "token.minimum": "-1h"}, `token.minimum: "-1h" is not a positive duration: write, for example, "90s" or "1h30m"`, ""},
		"a configuration of no use":     {map[string]string{"connectors": "a", "configuration.names": "!../../etc/passwd"}, `configuration.names: "!../../etc/passwd" is not a file of the volume: write, for example, "!config.json"`, ""},
		"a configuration with a line":   {map[string]string{"connectors": "a", "configuration.names": "!a\nb"}, "", `configuration.names: "!a`},
		"the older spelling, forged":    {map[string]string{"connector.name": "a", "connector.namespace": "../other"}, `connector.name: "../other/a" is not a connector: write name, namespace/name or cluster:name`, ""},
		"two spellings of one":          {map[string]string{"connectors": "a", "repositories": "x", "repositories.a": "y"}, `repositories.a: is given beside repositories, which means the same connector: keep one of both`, ""},
	}
	opts, volumes := options(t)
	f := start(t, opts, volumes)
	client := f.node(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req := publishRequest(opts.KubeletDir)
			delete(req.VolumeContext, "connectors")
			maps.Copy(req.VolumeContext, test.attributes)
			_, err := client.NodePublishVolume(t.Context(), req)
			told := status.Convert(err)
			presentable(t, told.Message())
			if test.want == "" && test.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if told.Code() != codes.InvalidArgument {
				t.Errorf("the code is %s", told.Code())
			}
			if test.want != "" && told.Message() != test.want || !strings.HasPrefix(told.Message(), test.field) {
				t.Errorf("got %q\nwant %q", told.Message(), test.want+test.field)
			}
		})
	}
	// Nothing of it breaks a line of the log. klog writes the lines of a text
	// one below the other, each indented.
	for line := range strings.Lines(f.logs.String()) {
		if !slices.ContainsFunc([]string{"I", "E", "W"}, func(level string) bool { return strings.HasPrefix(line, level) }) {
			t.Errorf("the log has the line %.200q", line)
		}
	}
}

func many(n int) map[string]string {
	attributes := map[string]string{"connectors": "a"}
	for i := range n {
		attributes[fmt.Sprint("attribute", i)] = "x"
	}
	return attributes
}

func manyLong(n int, text string) map[string]string {
	attributes := map[string]string{"connectors": "a"}
	for i := range n {
		attributes[fmt.Sprint("attribute", i, text[:5_000])] = "x"
	}
	return attributes
}

// TestForgedTokens: the key under which the kubelet hands over tokens counts in
// the configured channel alone; what a pod's author writes there is not even
// read.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	forged := map[string]string{
		"good claims":      kubeletTokens(t, map[string]string{Name: sign(t, podClaims(Name)), "vault": sign(t, podClaims("vault"))}),
		"another's claims": kubeletTokens(t, map[string]string{"vault": sign(t, map[string]any{"aud": "vault", "sub": "system:serviceaccount:prod:admin"})}),
		"no JSON":          "{",
		"deep JSON":        strings.Repeat(`{"a":`, 100_000),
		"much JSON":        `{"a":"` + strings.Repeat("x", 1<<20) + `"}`,
	}
	right := kubeletTokens(t, map[string]string{Name: sign(t, podClaims(Name))})
	for name, forgery := range forged {
		for _, source := range []TokenSource{TokensInSecrets, TokensInVolumeContext} {
			for _, delivered := range []string{"", right} {
				r := rules{kubeletDir: "/k", tokenSource: source}
				clean, attacked := publishRequest("/k"), publishRequest("/k")
				for _, req := range []*csi.NodePublishVolumeRequest{clean, attacked} {
					if delivered != "" {
						channel(req, source)[ctxTokens] = delivered
					}
				}
				channel(attacked, other(source))[ctxTokens] = forgery
				want, err := r.spec(clean)
				if err != nil {
					t.Fatal(err)
				}
				got, err := r.spec(attacked)
				if err != nil {
					t.Errorf("%s beside %s: %v", name, source, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s beside %s: %s", name, source, diff)
				}
				if left := attacked.VolumeContext[ctxTokens] + attacked.Secrets[ctxTokens]; left != "" {
					t.Errorf("%s beside %s: tokens are left in the request", name, source)
				}
			}
		}
	}
	// In the right channel, but not by the kubelet: claims must be the pod's.
	for name, forgery := range forged {
		r := rules{kubeletDir: "/k", tokenSource: TokensInVolumeContext}
		req := publishRequest("/k")
		req.VolumeContext[ctxTokens] = forgery
		spec, err := r.spec(req)
		switch {
		case name == "good claims":
			if err != nil || len(spec.Tokens) != 2 {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil:
			t.Errorf("%s is accepted: %v", name, spec.Tokens)
		default:
			presentable(t, status.Convert(asStatus(err)).Message())
		}
	}
}

func other(source TokenSource) TokenSource {
	if source == TokensInSecrets {
		return TokensInVolumeContext
	}
	return TokensInSecrets
}

func channel(req *csi.NodePublishVolumeRequest, source TokenSource) map[string]string {
	if source == TokensInSecrets {
		return req.Secrets
	}
	return req.VolumeContext
}

// FuzzSpec turns requests into Specs: a wrong one is refused in one short line
// with a code that promises that nothing was done, and tells no token; a right
// one stays below the kubelet's directory and asks for no more than reading.
func FuzzSpec(f *testing.F) {
	good := sign(f, podClaims(Name))
	tokens := kubeletTokens(f, map[string]string{Name: good})
	const target = "/k/pods/u1/volumes/kubernetes.io~csi/registry/mount"
	f.Add("csi-1", target, "ci", "2000", "connectors=harbor", tokens, "", true)
	f.Add("csi-1", target, "ci", "", "connectors=a,b/c,cluster:d\nrepositories.a=x\nfile.mode=0440\nmount.path=/etc/x", "", tokens, false)
	f.Add("", "/k/../etc", "../ci", "-1", "x\x00=y\n=", "{", "[]", true)
	f.Add("csi\n1", "/k/a\nb", "ci\n", "0x1", "connectors=harbor\ncsi.storage.k8s.io/pod.name=other", `{"a":null}`, "", false)
	f.Add("csi-1", "/k//a/", "ci", "4294967295", "connectors=\xff", `{"":{"token":"`+good+`"}}`, "", true)
	f.Add("csi-1", "/k/"+strings.Repeat("a", 5000), "ci", "", "connectors=harbor\n"+strings.Repeat("k", 5000)+"=x", `{"`+strings.Repeat("a", 5000)+`":{"token":"x"}}`, "", true)
	f.Fuzz(func(t *testing.T, id, target, namespace, group, attributes, secrets, inContext string, inSecrets bool) {
		r := rules{kubeletDir: "/k", tokenSource: TokensInVolumeContext}
		if inSecrets {
			r.tokenSource = TokensInSecrets
		}
		req := publishRequest("/k")
		req.VolumeId, req.TargetPath = id, target
		req.VolumeCapability.GetMount().VolumeMountGroup = group
		delete(req.VolumeContext, "connectors")
		for line := range strings.SplitSeq(attributes, "\n") {
			key, value, _ := strings.Cut(line, "=")
			req.VolumeContext[key] = value
		}
		req.VolumeContext[ctxPodNamespace] = namespace
		req.Secrets[ctxTokens], req.VolumeContext[ctxTokens] = secrets, inContext
		raw := inContext
		if inSecrets {
			raw = secrets
		}
		spec, err := r.spec(req)
		if err != nil {
			told := status.Convert(asStatus(err))
			presentable(t, told.Message())
			if !slices.Contains([]codes.Code{codes.InvalidArgument, codes.PermissionDenied, codes.FailedPrecondition}, told.Code()) {
				t.Errorf("%v is %s", err, told.Code())
			}
			for _, token := range tokensIn(raw) {
				if len(token) > 20 && strings.Contains(told.Message(), token) {
					t.Errorf("a token is told: %q", told.Message())
				}
			}
			return
		}
		if !strings.HasPrefix(spec.Place.Target, "/k/") || filepath.Clean(spec.Place.Target) != spec.Place.Target || strings.ContainsRune(spec.Place.Target, 0) {
			t.Errorf("the target is %q", spec.Place.Target)
		}
		if spec.Place.FileMode&^fs.FileMode(0o444) != 0 || spec.Place.FileMode&0o400 == 0 || spec.Place.GID < 0 {
			t.Errorf("mode %o and group %d", spec.Place.FileMode, spec.Place.GID)
		}
		if spec.Place.ID == "" || !connector.IsName(spec.Subject.Namespace) || len(spec.Attributes.Uses) == 0 {
			t.Errorf("accepted: %+v", spec)
		}
		if req.VolumeContext[ctxTokens]+req.Secrets[ctxTokens] != "" {
			t.Error("tokens are left in the request")
		}
		if shown := fmt.Sprintf("%v %+v %#v", spec, spec, spec); slices.ContainsFunc(tokensIn(raw), func(token string) bool { return len(token) > 20 && strings.Contains(shown, token) }) {
			t.Error("a token is printed")
		}
		// The order of a map plays no part.
		again, err := r.spec(func() *csi.NodePublishVolumeRequest { channel(req, r.tokenSource)[ctxTokens] = raw; return req }())
		if err != nil || !cmp.Equal(spec, again, cmp.AllowUnexported(connector.Secret{})) {
			t.Errorf("read again: %v", err)
		}
	})
}

// tokensIn are the texts that could be tokens.
func tokensIn(raw string) []string {
	var sent map[string]podToken
	if json.Unmarshal([]byte(raw), &sent) != nil {
		return []string{raw}
	}
	var all []string
	for _, token := range sent {
		all = append(all, token.Token)
	}
	return all
}

// FuzzOneLine: whatever an error says, what is told is one line that fits an
// event, is valid UTF-8, and stays the same when told again.
func FuzzOneLine(f *testing.F) {
	for _, seed := range []string{"plain", "a\nb\r\n\x1b[31m", strings.Repeat("é", 800), "\xff\xfe", "\u2028\u202e", strings.Repeat("\n", 1000), "x" + strings.Repeat("世", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := oneLine(text)
		presentable(t, got)
		if again := oneLine(got); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
		failure := status.Convert(asStatus(issuers.Terminate("Reason", "%s", text)))
		if failure.Message() != got || failure.Code() != codes.FailedPrecondition {
			t.Errorf("told as %v", failure)
		}
	})
}

// FuzzEndpoint: what is accepted as the CSI socket is one absolute path.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{"unix:///csi/csi.sock", "unix:/csi.sock", "/csi.sock", "csi.sock", "tcp://1.2.3.4:5", "unix://", "unix:////a", "/a/../b", "/" + strings.Repeat("a", 200), "unix:unix:///a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		o := Options{Volumes: &fakeVolumes{}, NodeID: "n", KubeletDir: "/k", TokenSource: TokensInSecrets, Endpoint: endpoint}
		mistakes := o.check() // there is one more: no Gatherer
		accepted := mistakes != nil && !strings.Contains(mistakes.Error(), "--endpoint")
		if path := SocketPath(endpoint); accepted && (!filepath.IsAbs(path) || filepath.Clean(path) != path || len(path) > maxSocketPath) {
			t.Errorf("%q is accepted as %q", endpoint, path)
		}
	})
}
