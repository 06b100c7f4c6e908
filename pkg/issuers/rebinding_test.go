package issuers

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// nameServer answers each look-up of a name with the next of its lists of
// addresses; the last one is for good.
type nameServer struct {
	mu      sync.Mutex
	answers map[string][]string // one list per look-up, separated by blanks
	asked   map[string]int
}

// resolver serves the answers over UDP on loopback.
func (s *nameServer) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			answer, err := s.answer(buf[:n])
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := conn.WriteTo(answer, from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *nameServer) answer(packet []byte) ([]byte, error) {
	var query dnsmessage.Message
	if err := query.Unpack(packet); err != nil {
		return nil, err
	}
	q := query.Questions[0]
	query.Response, query.RecursionAvailable, query.Additionals = true, true, nil
	for _, text := range s.next(q) {
		addr, err := netip.ParseAddr(text)
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		switch {
		case err != nil:
			return nil, err
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			query.Answers = append(query.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			query.Answers = append(query.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return query.Pack()
}

// next counts a look-up by its question of type A; the one of type AAAA comes
// beside it.
func (s *nameServer) next(q dnsmessage.Question) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := q.Name.String() + q.Type.String()
	lists := s.answers[strings.TrimSuffix(q.Name.String(), ".")]
	if len(lists) == 0 {
		return nil
	}
	n := min(s.asked[key], len(lists)-1)
	s.asked[key]++
	return strings.Fields(lists[n])
}

// TestRebinding lets names change their minds. What counts is where a
// connection goes, and it goes nowhere else.
func TestRebinding(t *testing.T) {
	const (
		refusedLink     = "is refused: it is a link-local or metadata address"
		refusedLoopback = "is refused: it is a loopback address"
		inside          = " inside an IPv6 address"
		// Go's resolver takes no decimal number for a name.
		noAddress = "has no address in DNS"
	)
	tests := map[string]struct {
		answers []string
		allowed string   // --allowed-hosts
		host    string   // of the URL, by default rebind.test
		want    []string // of each call in turn; empty = it reaches the server
	}{
		"steady":                             {answers: []string{"127.0.0.1"}, want: []string{"", ""}},
		"allowed first, metadata later":      {answers: []string{"127.0.0.1", "169.254.169.254"}, want: []string{"", refusedLink, refusedLink}},
		"metadata first, allowed later":      {answers: []string{"169.254.169.254", "127.0.0.1"}, want: []string{refusedLink, ""}},
		"loopback that nobody named":         {answers: []string{"127.0.0.1"}, allowed: "127.0.0.2", want: []string{refusedLoopback}},
		"private first, loopback later":      {answers: []string{"127.0.0.1", "127.0.0.1"}, allowed: "10.0.0.0/8", want: []string{refusedLoopback, refusedLoopback}},
		"metadata beside an allowed one":     {answers: []string{"169.254.169.254 127.0.0.1"}, want: []string{""}},
		"an allowed one beside metadata":     {answers: []string{"127.0.0.1 169.254.169.254"}, want: []string{""}},
		"a closed one, then forbidden":       {answers: []string{"127.0.0.2 127.0.0.1"}, allowed: "127.0.0.2", want: []string{"cannot be reached: connection refused"}},
		"forbidden, then a closed one":       {answers: []string{"127.0.0.1 127.0.0.2"}, allowed: "127.0.0.2", want: []string{refusedLoopback}},
		"metadata only, several":             {answers: []string{"192.0.0.192 100.100.100.200 168.63.129.16"}, want: []string{"is refused: it is a metadata address"}},
		"IPv4-mapped":                        {answers: []string{"::ffff:169.254.169.254"}, want: []string{refusedLink}},
		"NAT64":                              {answers: []string{"64:ff9b::a9fe:a9fe"}, want: []string{refusedLink + inside}},
		"6to4":                               {answers: []string{"2002:a9fe:a9fe::1"}, want: []string{refusedLink + inside}},
		"unspecified, which is this host":    {answers: []string{"0.0.0.0"}, want: []string{"is refused: it is an unspecified address"}},
		"IPv6 unspecified":                   {answers: []string{"::"}, want: []string{"is refused: it is an unspecified address"}},
		"AWS over IPv6":                      {answers: []string{"fd00:ec2::254"}, want: []string{"is refused: it is a metadata address"}},
		"a decimal host":                     {answers: []string{"169.254.169.254"}, host: "2852039166", want: []string{noAddress}},
		"an octal host":                      {answers: []string{"127.0.0.1"}, allowed: "10.0.0.0/8", host: "0177.0.0.1", want: []string{noAddress}},
		"a hexadecimal host":                 {answers: []string{"169.254.169.254"}, host: "0xa9fea9fe", want: []string{refusedLink}},
		"a short host":                       {answers: []string{"127.0.0.1"}, allowed: "10.0.0.0/8", host: "127.1", want: []string{noAddress}},
		"a name in punycode":                 {answers: []string{"169.254.169.254"}, host: "xn--e1afmkfd.test", want: []string{refusedLink}},
		"a trailing dot":                     {answers: []string{"127.0.0.1", "169.254.169.254"}, host: "rebind.test.", want: []string{"", refusedLink}},
		"named, and yet metadata":            {answers: []string{"169.254.169.254"}, allowed: "rebind.test,169.254.0.0/16", want: []string{refusedLink}},
		"named, so loopback":                 {answers: []string{"127.0.0.1"}, allowed: "rebind.test", want: []string{""}},
		"named with a dot, so loopback":      {answers: []string{"127.0.0.1"}, allowed: "rebind.test", host: "rebind.test.", want: []string{""}},
		"no address":                         {answers: []string{""}, want: []string{noAddress}},
		"an allowed name that means another": {answers: []string{"127.0.0.1"}, allowed: "other.test,10.0.0.0/8", want: []string{refusedLoopback}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := cmp.Or(test.host, "rebind.test")
			shows := certify(t, nil, strings.TrimSuffix(host, "."))
			var reached atomic.Int32
			server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{shows}}, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
			hosts, err := ParseAllowedHosts(cmp.Or(test.allowed, "127.0.0.0/8"))
			if err != nil {
				t.Fatal(err)
			}
			guard, err := NewGuard(Policy{AllowLoopback: true, AllowedHosts: hosts, Proxy: &httpproxy.Config{}})
			if err != nil {
				t.Fatal(err)
			}
			names := &nameServer{answers: map[string][]string{strings.TrimSuffix(host, "."): test.answers}, asked: map[string]int{}}
			guard.resolver = names.resolver(t)
			trust := Trust{Registry: connector.Registry{Host: "elsewhere.test"}, CA: authority(shows)}
			for n, want := range test.want {
				before := reached.Load()
				err := get(t, guard, ClientOptions{Registries: []Trust{trust}}, "https://"+at(t, host, server)+"/")
				if want == "" {
					if err != nil || reached.Load() != before+1 {
						t.Errorf("call %d: %v", n+1, err)
					}
					continue
				}
				if typed, ok := errors.AsType[*Error](err); !ok || !strings.HasPrefix(typed.Error(), "host "+host) || !strings.HasSuffix(typed.Error(), want) {
					t.Errorf("call %d: %v, want … %q", n+1, err, want)
				}
				if reached.Load() != before {
					t.Errorf("call %d reached the server", n+1)
				}
			}
		})
	}
}
