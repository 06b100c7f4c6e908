package clients

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// fetchToken gets a token from the world's token server as a client would.
func fetchToken(t *testing.T, w *world.World, user, password, scope string) string {
	t.Helper()
	query := url.Values{"service": {w.Tokens.Config().Service}, "scope": {scope}}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/token?"+query.Encode(), nil)
	request.SetBasicAuth(user, password)
	recorder := httptest.NewRecorder()
	w.Tokens.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("the token server answers %d: %s", recorder.Code, recorder.Body)
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Token
}
