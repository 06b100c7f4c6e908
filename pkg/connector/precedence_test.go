package connector

import "testing"

func TestDecide(t *testing.T) {
	for _, tc := range []struct {
		first, second string
		by            Rule
		text          string
	}{
		{"harbor.example.com", "*.example.com/team/app", LiteralHost, "rule 1: no glob in the host"},
		{"harbor.example.com/team", "harbor.example.com/team*/app", LiteralPath, "rule 2: no glob in the path"},
		{"harbor.example.com/a/b", "harbor.example.com/longer-than-both", MoreSegments, "rule 3: more path segments"},
		{"*.example.com", "*.*.com", MoreCharacters, "rule 4: more literal characters"},
		{"*.example.com", "*.example.net", ListOrder, "rule 5: list order"},
		{"harbor.example.com", "harbor.example.com", ListOrder, "rule 5: list order"},
	} {
		first, err := ParseKey(tc.first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseKey(tc.second)
		if err != nil {
			t.Fatal(err)
		}
		want := -1
		if tc.by == ListOrder {
			want = 0
		}
		for _, turn := range []struct {
			a, b Key
			want int
		}{{first, second, want}, {second, first, -want}} {
			order, by := Decide(turn.a, turn.b)
			if order != turn.want || by != tc.by || by.String() != tc.text || Compare(turn.a, turn.b) != order {
				t.Errorf("%s, %s: %d by %s", turn.a, turn.b, order, by)
			}
		}
	}
	if got := Rule(0).String(); got != "no rule" {
		t.Error(got)
	}
}
