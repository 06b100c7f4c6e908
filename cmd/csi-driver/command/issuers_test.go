package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIssuers(t *testing.T) {
	list := run(t, program(), "issuers")
	if list.code != exitGood || strings.Count(list.stdout, "\n") != len(program().Issuers)+1 {
		t.Errorf("%+v", list)
	}
	for _, d := range program().Issuers {
		t.Run(d.Kind, func(t *testing.T) {
			if !strings.Contains(list.stdout, "\n"+d.Kind+" ") {
				t.Error("it is not listed")
			}
			got := run(t, program(), "issuers", strings.ToUpper(d.Kind))
			for field := range d.Config.Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if !strings.Contains(got.stdout, "\n  "+name+" (") {
					t.Errorf("field %s is not printed", name)
				}
			}
			if d.Config.NumField() == 0 && !strings.Contains(got.stdout, "  There are no fields: write "+d.Kind+": {}") {
				t.Error("it is not said that there are no fields")
			}
			_, example, found := strings.Cut(got.stdout, "\nExample:\n\n")
			if !found || got.code != exitGood || got.stderr != "" {
				t.Fatalf("%+v", got)
			}
			path := filepath.Join(t.TempDir(), "example.yaml")
			if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := run(t, program(), "validate", path); got.code != exitGood {
				t.Errorf("the example has mistakes:\n%s", got.stdout)
			}
		})
	}
}

// The kind whose fields have every shape that is printed.
func TestIssuerIsDescribed(t *testing.T) {
	golden(t, "issuers-secret.golden", run(t, program(), "issuers", "secret").stdout)
}

func TestUnknownIssuer(t *testing.T) {
	for args, want := range map[string]string{
		"secert":    `there is no issuer "secert"; did you mean "secret"?`,
		"zzzzzzzz":  `there is no issuer "zzzzzzzz" (known: ` + kinds() + `)`,
		"secret xx": `unexpected argument "xx": name one kind`,
	} {
		got := run(t, program(), append([]string{"issuers"}, strings.Fields(args)...)...)
		first, _, _ := strings.Cut(got.stderr, "\n")
		if got.code != exitUsage || got.stdout != "" || first != "csi-driver: "+want {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

func kinds() string {
	var all []string
	for _, d := range program().Issuers {
		all = append(all, d.Kind)
	}
	return strings.Join(all, ", ")
}
