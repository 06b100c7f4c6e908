package connector_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// longest is more than any error of this package says, whatever it was given.
const longest = 2048

// invalid checks the error of a parser: its class, and that it is one short
// line.
func invalid(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, connector.ErrInvalid) {
		t.Errorf("%v is not ErrInvalid", err)
	}
	for _, field := range connector.FieldErrors("field", err) {
		if text := field.Error(); len(text) > longest || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("an error of %d bytes: %.100q", len(text), text)
		}
	}
}

// FuzzDuration: what is accepted is longer than zero, is what Go reads, and
// comes back from its own JSON.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{`"90s"`, `"1h30m"`, `"1.5h"`, `"0s"`, `"-1s"`, `"1.h"`, `"1µs"`, `"9999999h"`, `60`, `null`, `"1h" x`, `"` + strings.Repeat("1", 40) + `s"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d connector.Duration
		if err := d.UnmarshalJSON(data); err != nil {
			invalid(t, err)
			return
		}
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			t.Fatalf("%q is accepted: %v", data, err)
		}
		if want, err := time.ParseDuration(text); err != nil || want != d.Duration || want <= 0 {
			t.Errorf("%q is read as %s, and Go reads %s, %v", text, d, want, err)
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again connector.Duration
		if err := json.Unmarshal(written, &again); err != nil || again != d {
			t.Errorf("%s is written as %s and read as %s, %v", d, written, again, err)
		}
	})
}

// FuzzCertificates: whatever stands around certificates, only they come out,
// and they come out as they are when read again.
func FuzzCertificates(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	block := func(kind string, content []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	}
	good := block("CERTIFICATE", der)
	for _, seed := range [][]byte{
		good, slices.Concat([]byte("a comment\n"), good, block("PRIVATE KEY", private), good, []byte("more")),
		block("CERTIFICATE", der[:len(der)-1]), block("CERTIFICATE", append(slices.Clone(der), 0)), good[:len(good)/2], nil,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"Secret": "hunter2"}, Bytes: der}),
		bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := connector.Certificates(text)
		if err != nil {
			invalid(t, err)
			return
		}
		count := 0
		for rest := out; len(rest) > 0; count++ {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				t.Fatalf("%q is left over", rest)
			}
			if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
				t.Errorf("block %s with headers %v", block.Type, block.Headers)
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				t.Error(err)
			}
		}
		if again, err := connector.Certificates(out); err != nil || !bytes.Equal(again, out) || count == 0 {
			t.Errorf("%d certificates; read again they differ: %v", count, err)
		}
	})
}

// FuzzParseRef: a reference is two names, and reads the same wherever it is
// read again.
func FuzzParseRef(f *testing.F) {
	for _, seed := range [][2]string{
		{"harbor", "ci"},
		{"shared/hub", "ci"},
		{"cluster:mirror", "ci"},
		{"a/b/c", "ci"},
		{"cluster:a/b", ""},
		{"cluster:cluster:x", "ci"},
		{"/x", ""},
		{"a/", "ci"},
		{"", "ci"},
		{"harbor", ""},
		{"hårbor", "ci"},
		{"а", "ci"},
		{strings.Repeat("A", 5000), "ci"},
		{"../x", "ci"},
		{"a\nb", "ci"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, written, namespace string) {
		ref, err := connector.ParseRef(written, namespace)
		if err != nil {
			invalid(t, err)
			return
		}
		if !connector.IsName(ref.Name) || !ref.Cluster() && !connector.IsName(ref.Namespace) {
			t.Fatalf("%q in %q is read as %#v", written, namespace, ref)
		}
		if ref.Cluster() != strings.HasPrefix(written, "cluster:") {
			t.Errorf("%q is read as %s", written, ref)
		}
		for _, elsewhere := range []string{"", namespace, "other"} {
			if again, err := connector.ParseRef(ref.String(), elsewhere); err != nil || again != ref {
				t.Errorf("%s is read as %s, %v in %q", ref, again, err, elsewhere)
			}
		}
	})
}

// lines cuts a text into at most 70 lines, so that the limit of 64 is met.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	all := strings.Split(text, "\n")
	return all[:min(len(all), 70)]
}

func pairs(text string) map[string]string {
	found := map[string]string{}
	for _, line := range lines(text) {
		key, value, _ := strings.Cut(line, "=")
		found[key] = value
	}
	return found
}

// FuzzSelector holds selectors to Kubernetes: the same are valid, and they
// choose the same.
func FuzzSelector(f *testing.F) {
	f.Add("tier=ci\na.example/b=", "env In dev,test\nold DoesNotExist", "tier=ci\na.example/b=\nenv=dev")
	f.Add("", "env NotIn dev", "")
	f.Add("", "env Exists x\nenv In\nenv Near a\n Exists", "env=")
	f.Add("bad key!=a b", "", "")
	f.Add(strings.Repeat("k", 5000)+"="+strings.Repeat("v", 5000), "a\rb In x", "")
	f.Fuzz(func(t *testing.T, matchLabels, expressions, of string) {
		ours := connector.Selector{MatchLabels: pairs(matchLabels)}
		theirs := &metav1.LabelSelector{MatchLabels: ours.MatchLabels}
		for _, line := range lines(expressions) {
			var values []string
			key, rest, _ := strings.Cut(line, " ")
			operator, list, some := strings.Cut(rest, " ")
			if some {
				values = lines(strings.ReplaceAll(list, ",", "\n"))
			}
			ours.MatchExpressions = append(ours.MatchExpressions, connector.Requirement{Key: key, Operator: operator, Values: values})
			theirs.MatchExpressions = append(theirs.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: values})
		}
		valid := ours.Validate()
		if valid != nil {
			invalid(t, valid)
		}
		selector, err := metav1.LabelSelectorAsSelector(theirs)
		tooMuch := ours.Empty() || len(ours.MatchLabels) > 64 || len(ours.MatchExpressions) > 64 ||
			slices.ContainsFunc(ours.MatchExpressions, func(r connector.Requirement) bool { return len(r.Values) > 64 })
		if want := err == nil && !tooMuch; (valid == nil) != want {
			t.Fatalf("%v; Kubernetes says %v", valid, err)
		}
		if valid == nil {
			if got, want := ours.Matches(pairs(of)), selector.Matches(labels.Set(pairs(of))); got != want {
				t.Errorf("chosen: %v; Kubernetes says %v", got, want)
			}
		}
	})
}

func scopeOf(repositories, actions string) connector.Scope {
	s := connector.Scope{Repositories: lines(repositories)}
	for _, action := range lines(actions) {
		s.Actions = append(s.Actions, connector.Action(action))
	}
	return s
}

// FuzzNarrow: a volume gets exactly what it asks for, or nothing; what it got
// is within the limit and can be asked for again.
func FuzzNarrow(f *testing.F) {
	f.Add("team/**", "pull\npush", "team/app\nteam/base", "pull")
	f.Add("", "", "a", "push")
	f.Add("a*b\n**/c", "pull", "", "")
	f.Add("team", "", "team-evil", "")
	f.Fuzz(func(t *testing.T, repositories, actions, wantRepositories, wantActions string) {
		if len(repositories)+len(wantRepositories) > 1000 {
			return
		}
		limit, want := scopeOf(repositories, actions), scopeOf(wantRepositories, wantActions)
		got, err := limit.Narrow(want)
		if err != nil {
			if !errors.Is(err, connector.ErrDenied) {
				t.Errorf("%v is not ErrDenied", err)
			}
			return
		}
		if diff := cmp.Diff(sorted(got.Repositories, want.Repositories, limit.Repositories), got.Repositories); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(sorted(got.Actions, want.Actions, limit.Actions), got.Actions); diff != "" {
			t.Error(diff)
		}
		again, err := limit.Narrow(got)
		if err != nil || !cmp.Equal(again, got) {
			t.Errorf("asked again for %v: %v, %v", got, again, err)
		}
	})
}

// sorted is the wish, or the limit where nothing is wished, as a set.
func sorted[T ~string](got, want, limit []T) []T {
	if len(want) == 0 {
		want = limit
	}
	set := slices.Compact(slices.Sorted(slices.Values(want)))
	if len(set) == 0 {
		return got[:0]
	}
	return set
}

// FuzzParseActions: every list of the two words in any order, and nothing else.
func FuzzParseActions(f *testing.F) {
	for _, seed := range []string{"pull", "push,pull", "pull, pull", "", ",", "delete", "Pull", "pull\npush", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		actions, err := connector.ParseActions(list)
		if err != nil {
			invalid(t, err)
			return
		}
		if len(actions) == 0 || len(actions) > 2 || !slices.IsSorted(actions) {
			t.Fatalf("%q is read as %v", list, actions)
		}
		for word := range strings.SplitSeq(list, ",") {
			if !slices.Contains(actions, connector.Action(strings.TrimSpace(word))) {
				t.Errorf("%q is lost from %q", word, list)
			}
		}
		if slices.ContainsFunc(actions, func(a connector.Action) bool { return a != connector.Pull && a != connector.Push }) {
			t.Errorf("%q is read as %v", list, actions)
		}
	})
}

// FuzzHost: a canonical host stays itself, and is what a URL with it leads to.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{
		"reg.io", "REG.io:5000", "index.docker.io", "[::1]:5000", "[fe80::1%eth0]", "[:::]", "2130706433", "0x7f.1", "reg.io.", "пример.рф", "xn--e1afmkfd.xn--p1ai",
		"１２７.０.０.１", "a_b.io", "u:p@reg.io", "reg.io:99999", "reg.io:0", strings.Repeat("a b", 2000), "a.-b", "127.0.0.1:80", "*.io",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, written string) {
		host, err := connector.CanonicalHost(written)
		if err != nil {
			invalid(t, err)
			return
		}
		if again, err := connector.CanonicalHost(host); err != nil || again != host {
			t.Errorf("%q is read as %q and then as %q, %v", written, host, again, err)
		}
		name, port := connector.SplitPort(host)
		if joined := name + ":" + port; port != "" && joined != host || port == "" && name != host {
			t.Errorf("%q is split into %q and %q", host, name, port)
		}
		if number, err := strconv.Atoi(port); port != "" && (err != nil || number < 1 || number > 65535 || strconv.Itoa(number) != port) {
			t.Errorf("%q has port %q", host, port)
		}
		u, err := url.Parse("https://" + host + "/v2/")
		if err == nil && strings.HasPrefix(host, "[") && net.ParseIP(u.Hostname()).To16() == nil {
			t.Errorf("%q is no address", host)
		}
		if err != nil || u.Host != host || u.User != nil || u.Path != "/v2/" || u.Port() != port {
			t.Errorf("%q leads to %+v, %v", host, u, err)
		}
	})
}

// FuzzMatches holds the quick matcher of keys to one in other words, for the
// host and for the path.
func FuzzMatches(f *testing.F) {
	for _, seed := range [][3]string{
		{"*.docker.io", "docker.io", "library/a"},
		{"reg.io/team", "reg.io", "team-evil/x"},
		{"reg.io/t*m/*", "reg.io", "team/app/x"},
		{"*.io:5000", "reg.io:5000", "a"},
		{"*", "reg.io", "a"},
		{"a.*.c", "a.b.c", ""},
		{"[::1]:5000", "[::1]:5000", "a"},
		{"docker.io/library", "index.docker.io", "library"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, written, host, repository string) {
		k, err := connector.ParseKey(written)
		if err != nil || strings.Count(written, "*") > 6 || len(written)+len(host)+len(repository) > 80 {
			return
		}
		if host, err = connector.CanonicalHost(host); err != nil {
			return
		}
		names := []string{host}
		if host == connector.DockerHub {
			names = append(names, "index.docker.io", "registry-1.docker.io")
		}
		want := slices.ContainsFunc(names, func(name string) bool {
			pattern, port := connector.SplitPort(k.Host)
			label, itsPort := connector.SplitPort(name)
			return name == k.Host || k.HostGlob() && port == itsPort &&
				strings.Count(pattern, ".") == strings.Count(label, ".") && all(strings.Split(pattern, "."), strings.Split(label, "."))
		})
		if got := k.MatchesHost(host); got != want {
			t.Errorf("%s serves %s: %v", k, host, got)
		}
		if k.Path != "" {
			path, segments := strings.Split(k.Path, "/"), strings.Split(repository, "/")
			want = want && len(path) <= len(segments) && all(path, segments)
		}
		if got := k.Matches(host, repository); got != want {
			t.Errorf("%s serves %s/%s: %v", k, host, repository, got)
		}
	})
}

// all matches a path segment by segment.
func all(path, segments []string) bool {
	for i := range path {
		if !slowSegment(path[i], segments[i]) {
			return false
		}
	}
	return true
}
