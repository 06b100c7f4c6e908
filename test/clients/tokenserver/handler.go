package tokenserver

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// answer is the response of both flows; token is left out of the POST's.
type answer struct {
	Token        string `json:"token,omitempty"`
	AccessToken  string `json:"access_token"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	IssuedAt     string `json:"issued_at"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// refusal is an answer that is not a token.
type refusal struct {
	status     int
	code, text string
}

func (r *refusal) Error() string { return r.text }

func unauthorized(text string) error {
	return &refusal{http.StatusUnauthorized, "UNAUTHORIZED", text}
}

func bad(text string, args ...any) error {
	return &refusal{http.StatusBadRequest, "UNSUPPORTED", fmt.Sprintf(text, args...)}
}

// ServeHTTP answers one request for a token.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.admit(w, r) {
		return
	}
	var reply answer
	var err error
	switch r.Method {
	case http.MethodGet:
		reply, err = s.get(r)
	case http.MethodPost:
		reply, err = s.post(r)
	default:
		err = &refusal{http.StatusMethodNotAllowed, "UNSUPPORTED", "use GET or POST"}
	}
	w.Header().Set("Content-Type", "application/json")
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		if refused.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+s.config.Service+`"`)
		}
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{ // the client may be gone
			map[string]any{"code": refused.code, "message": refused.text, "detail": nil},
		}})
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(reply) // the client may be gone
}

// admit counts the request, lets it wait and fails it, as the settings say.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	var gate chan struct{}
	s.change(func() { s.requests++; gate = s.hold })
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return false
		}
	}
	s.mu.Lock()
	fail, only := s.failure, s.only
	s.mu.Unlock()
	if fail != nil {
		maps.Copy(w.Header(), fail.header)
		w.WriteHeader(fail.status)
		_, _ = io.WriteString(w, fail.body) // the client may be gone
		return false
	}
	if only != "" && r.Method != only {
		w.Header().Set("Allow", only)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	}
	return true
}

// get is the flow of distribution's token specification.
func (s *Server) get(r *http.Request) (answer, error) {
	query := r.URL.Query()
	if err := s.checkService(query.Get("service")); err != nil {
		return answer{}, err
	}
	name, password, _ := r.BasicAuth() // absent = the anonymous user ""
	if err := s.authenticate(name, password); err != nil {
		return answer{}, err
	}
	reply, err := s.issue(name, query["scope"])
	if err != nil {
		return answer{}, err
	}
	reply.Token = reply.AccessToken
	if query.Get("offline_token") == "true" {
		reply.RefreshToken = s.newRefreshToken(name)
	}
	return reply, nil
}

// post is the flow of distribution's OAuth2 specification.
func (s *Server) post(r *http.Request) (answer, error) {
	header := r.Header.Get("Content-Type") // BuildKit and regctl add a charset
	if kind, _, err := mime.ParseMediaType(header); err != nil || kind != "application/x-www-form-urlencoded" {
		return answer{}, bad("content type %q", header)
	}
	if err := r.ParseForm(); err != nil {
		return answer{}, bad("malformed form")
	}
	form := r.PostForm
	if err := s.checkService(form.Get("service")); err != nil {
		return answer{}, err
	}
	if form.Get("client_id") == "" {
		return answer{}, bad("client_id is missing")
	}
	name, refresh := form.Get("username"), ""
	switch grant := form.Get("grant_type"); grant {
	case "password":
		if err := s.authenticate(name, form.Get("password")); err != nil {
			return answer{}, err
		}
		if form.Get("access_type") == "offline" {
			refresh = s.newRefreshToken(name)
		}
	case "refresh_token":
		refresh = form.Get("refresh_token")
		s.mu.Lock()
		owner, known := s.refresh[refresh]
		s.mu.Unlock()
		if !known {
			return answer{}, unauthorized("unknown refresh token")
		}
		name = owner
	default:
		return answer{}, bad("grant_type %q", grant)
	}
	reply, err := s.issue(name, strings.Fields(form.Get("scope")))
	reply.RefreshToken = refresh
	return reply, err
}

func (s *Server) checkService(service string) error {
	if service != s.config.Service {
		return bad("service %q is not served here", service)
	}
	return nil
}

func (s *Server) authenticate(name, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.users[name]
	if known == nil || subtle.ConstantTimeCompare([]byte(known.password), []byte(password)) == 0 {
		return unauthorized("authentication required")
	}
	return nil
}

func (s *Server) newRefreshToken(name string) string {
	token := rand.Text()
	s.change(func() { s.refresh[token] = name })
	return token
}

// claims are those of distribution's token specification.
type claims struct {
	jwt.Claims
	Access []Access `json:"access"`
}

// issue signs a token for what is both asked and granted, and says nothing of
// the rest.
func (s *Server) issue(name string, scopes []string) (answer, error) {
	access, err := intersect(scopes, s.grants(name))
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	life := s.life
	s.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Second)
	expiry := now.Add(life)
	raw, err := jwt.Signed(s.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: s.config.Issuer, Subject: name, Audience: jwt.Audience{s.config.Service}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(expiry),
		},
		Access: access,
	}).Serialize()
	if err != nil {
		return answer{}, fmt.Errorf("signing: %w", err)
	}
	s.change(func() {
		s.issued = append(s.issued, Token{User: name, Raw: raw, Access: access, IssuedAt: now, ExpiresAt: expiry})
	})
	return answer{
		AccessToken: raw, Scope: scopeOf(access), ExpiresIn: int(life.Seconds()), IssuedAt: now.Format(time.RFC3339),
	}, nil
}

// intersect reads scopes such as repository:team/app:pull,push; a name may
// hold a colon for its port.
func intersect(scopes []string, grants map[string][]string) ([]Access, error) {
	access := []Access{}
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		colon := strings.LastIndex(rest, ":")
		if kind == "" || colon <= 0 || colon == len(rest)-1 {
			return nil, bad("scope %q", scope)
		}
		name := rest[:colon]
		var actions []string
		for action := range strings.SplitSeq(rest[colon+1:], ",") {
			if kind == "repository" && slices.Contains(grants[name], action) {
				actions = append(actions, action)
			}
		}
		if len(actions) > 0 {
			access = append(access, Access{Type: kind, Name: name, Actions: actions})
		}
	}
	return access, nil
}

func scopeOf(access []Access) string {
	scopes := make([]string, len(access))
	for i, a := range access {
		scopes[i] = a.Type + ":" + a.Name + ":" + strings.Join(a.Actions, ",")
	}
	return strings.Join(scopes, " ")
}
