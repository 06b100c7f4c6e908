package distributiontoken

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// dockerHubAPI is where Docker Hub's registry answers.
const dockerHubAPI = "registry-1.docker.io"

// tokenServer is what a registry's challenge names.
type tokenServer struct {
	realm   *url.URL
	service string
}

// discover asks a registry who gives tokens for it
// (https://distribution.github.io/distribution/spec/auth/token/).
func discover(ctx context.Context, client *http.Client, registry connector.Registry) (tokenServer, error) {
	host := registry.Host
	if (connector.Key{Host: host}).HostGlob() {
		return tokenServer{}, skipBecause("RegistryIsGlob", "registry host %q is a pattern and cannot be asked for a token: declare the hosts one by one", host)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL(registry)+"/v2/", http.NoBody)
	if err != nil {
		return tokenServer{}, issuers.Terminate("RegistryInvalid", "registry host %q makes no URL", host)
	}
	answer, err := issuers.Call(client, req)
	if err != nil {
		return tokenServer{}, err
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return readChallenge(answer.Header, registry)
	case http.StatusOK:
		return tokenServer{}, skipBecause("NoChallenge", "host %s answers /v2/ without asking for a login: pods need no credential for it", host)
	case http.StatusNotFound:
		return tokenServer{}, skipBecause("NotARegistry", "host %s does not know /v2/, so it is no registry: check spec.address", host)
	default:
		return tokenServer{}, answer.Failure("asking registry "+host+" for its token server", errorFields()...)
	}
}

func baseURL(r connector.Registry) string {
	host := r.Host
	if host == connector.DockerHub {
		host = dockerHubAPI
	}
	if r.PlainHTTP {
		return "http://" + host
	}
	return "https://" + host
}

func readChallenge(header http.Header, registry connector.Registry) (tokenServer, error) {
	challenges, err := issuers.ParseChallenges(header)
	if err != nil {
		return tokenServer{}, issuers.Terminate("ChallengeInvalid", "registry %s: %w", registry.Host, err)
	}
	bearer, ok := issuers.FindChallenge(challenges, "bearer")
	if !ok {
		if _, basic := issuers.FindChallenge(challenges, "basic"); basic {
			return tokenServer{}, issuers.Terminate("BasicChallenge", "registry %s asks for a user name and password, not for tokens: use issuer secret instead of distributionToken", registry.Host)
		}
		return tokenServer{}, issuers.Terminate("ChallengeInvalid", "registry %s answers 401 without a Bearer challenge: its token authentication is not set up", registry.Host)
	}
	realm, err := checkRealm(bearer.Params["realm"], registry)
	if err != nil {
		return tokenServer{}, err
	}
	return tokenServer{realm: realm, service: bearer.Params["service"]}, nil
}

// checkRealm judges the URL that the registry sends the login to. Where it may
// lead is the guarded client's matter; here it must not be weaker than the
// registry itself.
func checkRealm(text string, registry connector.Registry) (*url.URL, error) {
	realm, err := url.Parse(text)
	if err == nil {
		_, err = connector.CanonicalHost(realm.Host) // errors name the host: it must not be a page of text
	}
	switch {
	case err != nil, strings.Contains(realm.Host, "*"), realm.Opaque != "", realm.User != nil, realm.Fragment != "":
		return nil, issuers.Terminate("RealmInvalid", "registry %s names no valid token server: its Bearer challenge needs realm=\"https://HOST/PATH\"", registry.Host)
	case strings.EqualFold(realm.Scheme, "https"), strings.EqualFold(realm.Scheme, "http") && registry.PlainHTTP:
		return realm, nil
	default:
		return nil, issuers.Terminate("RealmRefused", "registry %s uses https and sends logins to a token server without it (%s): set an https realm in the registry's configuration", registry.Host, origin(realm))
	}
}

// origin is what may be told of a realm that is refused: its scheme can be
// anything.
func origin(realm *url.URL) string {
	if strings.EqualFold(realm.Scheme, "http") {
		return "http://" + realm.Host
	}
	return "host " + realm.Host
}
