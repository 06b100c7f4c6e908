package connector_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

func TestCheckRepository(t *testing.T) {
	const form = "is not a repository or pattern: write lower-case segments without host, tag or digest, for example team/app, team/* or team/**"
	for repository, want := range map[string]string{
		"app": "", "team/app": "", "a.b/c_d/e__f/g--h": "", "*": "", "**": "", "team/**": "", "go-*": "", "*/app*": "", "a*b/**/c": "",
		"": form, "Team/app": form, "a//b": form, "/a": form, "a/": form, "team/app:v1": form, "a..b": form, "a___b": form, "-a": form,
		"team/**b":               "uses ** beside other characters: ** stands alone between slashes, * within a segment",
		strings.Repeat("a", 255): "", strings.Repeat("a", 256): "is longer than 255 characters",
		"a*a*a*a*a*a*a*a*": "", "a*a*a*a*a*a*a*a*a*": "has more than 8 asterisks: write ** for any segments",
	} {
		err := connector.CheckRepository(repository)
		if (err == nil) != (want == "") || err != nil && (err.Error() != want || !errors.Is(err, connector.ErrInvalid)) {
			t.Errorf("%q: %v", repository, err)
		}
	}
}

// FuzzCheckRepository holds names to what clients accept.
func FuzzCheckRepository(f *testing.F) {
	for _, seed := range []string{"team/app", "a.b_c-d", "a__b", "a---b", "a..b", "A", "a/", "**"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.Contains(name, "*") {
			return
		}
		// The host keeps the first segment from being read as one, and counts
		// with the length of the name.
		_, err := reference.WithName("h.io/" + name)
		if len(name) > 200 {
			return
		}
		if got := connector.CheckRepository(name); (got == nil) != (err == nil) {
			t.Errorf("%q: %v, and clients say %v", name, got, err)
		}
	})
}
