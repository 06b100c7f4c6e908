package issuers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Answer is a provider's answer, read whole. Its body may hold secrets, and
// text that its reader must not be shown: only Documented quotes from it.
type Answer struct {
	Status   int
	Header   http.Header
	Received time.Time

	body    []byte
	host    string
	secrets []connector.Secret
}

// Call sends a request through the guarded client and reads the whole answer.
// The secrets are those that the request carries; they are masked wherever the
// answer is quoted. An error is an *Error and names the host, never the URL's
// query or an address.
func Call(client *http.Client, req *http.Request, secrets ...connector.Secret) (*Answer, error) {
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "regcred")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, callError(req, err)
	}
	defer func() { _ = resp.Body.Close() }() // everything was read, or its error is told
	a := &Answer{Status: resp.StatusCode, Header: resp.Header, Received: time.Now(), host: req.URL.Host, secrets: secrets}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, callError(req, err)
	}
	return a, nil
}

// callError says in plain words why no answer came.
func callError(req *http.Request, err error) *Error {
	var (
		typed       *Error
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       *net.OpError
		errno       syscall.Errno
		timeout     net.Error
	)
	host := req.URL.Host
	switch {
	case errors.As(err, &typed):
		return typed
	case req.Context().Err() != nil:
		return Retry(0, "Cancelled", "calling host %s was cut off: %w", host, context.Cause(req.Context()))
	case errors.As(err, &certificate):
		return Terminate("CertificateNotTrusted", "host %s shows a certificate that is not trusted: %s; give its CA under spec.registries[].tls", host, x509Problem(certificate.Err))
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return Terminate("NotTLS", "host %s does not speak TLS: write http:// or plainHTTP: true in the Connector if that is meant", host)
	case errors.As(err, &alert) && alert.Op == "remote error": // its text is one of the TLS specification's
		return Retry(0, "TLSRefused", "host %s refuses the TLS connection (%s): it must speak TLS 1.2 or newer and HTTP/1.1; a client certificate that it asks for is given under spec.registries[].tls", host, strings.TrimPrefix(alert.Err.Error(), "tls: "))
	case errors.As(err, &dns) && dns.IsNotFound:
		return Retry(0, "HostNotFound", "host %s has no address in DNS", host)
	case errors.Is(err, errNoAnswer), errors.As(err, &timeout) && timeout.Timeout():
		return Retry(0, "Timeout", "host %s gave no complete answer in time", host)
	case errors.As(err, &errno):
		return Retry(0, "Unreachable", "host %s cannot be reached: %s", host, errno.Error())
	default:
		return Retry(0, "Unreachable", "the call to host %s failed before a complete answer came", host)
	}
}

// JSON reads the body of a good answer. The error quotes nothing of it.
func (a *Answer) JSON(into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return Terminate("BadAnswer", "host %s answers something other than the documented JSON: %s", a.host, a.outline())
	}
	return nil
}

// Failure classifies an answer that is not the wished one by its status. doing
// completes "…: what the provider says"; fields are those of the provider's
// documented error shape, see Documented.
func (a *Answer) Failure(doing string, fields ...string) *Error {
	e := Terminate("Refused", "%s: host %s answers %s", doing, a.host, a.Documented(fields...))
	if retryable(a.Status) {
		e.Class, e.Reason, e.After = Retryable, "ProviderFails", a.RetryAfter()
	}
	if a.Status == http.StatusTooManyRequests {
		e.Reason = "RateLimited"
	}
	if e.After > 0 {
		e.Message += "; asked to wait " + e.After.Round(time.Second).String()
	}
	e.Code = "HTTP " + strconv.Itoa(a.Status)
	return e
}

func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	default:
		return status >= http.StatusInternalServerError
	}
}

// maxRetryAfter bounds what a provider can make the driver wait.
const maxRetryAfter = time.Hour

// RetryAfter is the wait that the answer asks for, in seconds or as a date by
// the provider's own clock; zero when it asks for none.
func (a *Answer) RetryAfter() time.Duration {
	value := a.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(a.Received.Add(a.Skew()))), maxRetryAfter)
}

// Skew is how far the provider's clock is ahead of ours, by its Date header.
// The header has whole seconds and the way takes time: less than two seconds
// is no skew. More than a century is no clock.
func (a *Answer) Skew() time.Duration {
	date, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return 0
	}
	if skew := date.Sub(a.Received); skew.Abs() >= 2*time.Second && skew.Abs() <= century {
		return skew.Round(time.Second)
	}
	return 0
}

// outline is what may always be said: status, content type and length.
func (a *Answer) outline() string {
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || kind == "" {
		kind = "no content type"
	}
	return fmt.Sprintf("status %d, %s, %d bytes", a.Status, clean(kind, 64), len(a.body))
}
