package issuers

import (
	"net/http"
)

const maxRedirects = 3

// sameOriginOnly follows redirects within one origin. Any other could carry a
// login, or a look at the driver's network, to where nobody meant it to go.
func sameOriginOnly(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if len(via) > maxRedirects {
		return Terminate("RedirectRefused", "host %s redirects more than %d times", from.Host, maxRedirects)
	}
	if req.URL.Scheme == from.Scheme && req.URL.Host == from.Host && req.URL.User == nil {
		return nil
	}
	if from.Scheme == "http" && req.URL.Scheme == "https" && req.URL.Hostname() == from.Hostname() {
		return Terminate("RedirectRefused", "host %s redirects to https: use https in the Connector", from.Host)
	}
	return Terminate("RedirectRefused", "host %s redirects to another origin, which is not followed: write the final address in the Connector", from.Host)
}
