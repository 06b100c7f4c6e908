package issuers_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func TestParseAllowedHosts(t *testing.T) {
	got, err := issuers.ParseAllowedHosts("*.example.com:443, 10.0.0.0/8", "localhost,[::1]:5000,fd00::/8,127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"*.example.com:443", "10.0.0.0/8", "localhost", "[::1]:5000", "fd00::/8", "127.0.0.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = issuers.ParseAllowedHosts("https://r.io,10.0.0.1/8,a b,r.io")
	const mistakes = `allowed host "https://r.io": write host, host:port or a CIDR such as 10.0.0.0/8
allowed host "10.0.0.1/8": the CIDR has bits beyond its length: write 10.0.0.0/8
allowed host "a b": write host, host:port or a CIDR such as 10.0.0.0/8`
	if !errors.Is(err, connector.ErrInvalid) {
		t.Fatalf("error is %v", err)
	}
	if diff := cmp.Diff(mistakes, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestParseAudiences(t *testing.T) {
	got, err := issuers.ParseAudiences("sts.example.com=sts.example.com,*.sts.example.com:443", "https://x/?a=b=h.io", "sts.example.com=extra.io,sts.example.com")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"sts.example.com": {"sts.example.com", "*.sts.example.com:443", "extra.io"},
		"https://x/?a=b":  {"h.io"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = issuers.ParseAudiences("aud", "=h", "aud=", "aud=10.0.0.0/8", "aud=http://h")
	const mistakes = `audience "aud": write AUD=HOST or AUD=HOST,HOST
audience "=h": write AUD=HOST or AUD=HOST,HOST
audience "aud=": write AUD=HOST or AUD=HOST,HOST
audience "aud": "10.0.0.0/8" is a CIDR: name the hosts that may see the token
audience "aud": allowed host "http://h": write host, host:port or a CIDR such as 10.0.0.0/8`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(mistakes, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestCheckAudiences(t *testing.T) {
	guard, err := issuers.NewGuard(issuers.Policy{
		Audiences:        map[string][]string{"sts": {"sts.example.com"}, "api": {"h.io"}},
		RefusedAudiences: []string{"api"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		audiences []string
		want      string
	}{
		"none":    {nil, ""},
		"bound":   {[]string{"sts"}, ""},
		"empty":   {[]string{""}, "the empty audience is refused: name the audience that the provider expects"},
		"unbound": {[]string{"quay"}, `audience "quay" is bound to no host: add --audience quay=HOST to the driver (chart value tokenAudiences)`},
		"refused, though bound": {
			[]string{"api"},
			`audience "api" is the API server's: a token for it opens the cluster and is never sent anywhere; choose another audience at the provider`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := guard.CheckAudiences(test.audiences); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
