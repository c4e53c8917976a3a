package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const token = "hunter2-hunter2"

// stand stands in for a forge. It keeps the comments, and what it was asked.
type stand struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	comments []map[string]any
	asked    []string
	fail     map[string]int // by method and path
}

func newStand(t *testing.T) *stand {
	s := &stand{t: t, fail: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	if r.Header.Get("Authorization") != "Bearer "+token && r.Header.Get("PRIVATE-TOKEN") != token {
		s.t.Errorf("%s %s came without the token", r.Method, r.URL)
	}
	if code := s.fail[r.Method+" "+r.URL.Path]; code != 0 {
		if code == http.StatusFound {
			w.Header().Set("Location", s.URL+"/elsewhere")
		}
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"message": "Resource not accessible by %s"}`, token)
		return
	}
	var sent struct{ Body string }
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s %s: %v, %s", r.Method, r.URL, err, r.Header.Get("Content-Type"))
		}
	}
	var answer any
	switch last := filepath.Base(r.URL.Path); {
	case r.Method == http.MethodGet && last == "user":
		answer = map[string]any{"id": 7}
	case r.Method == http.MethodGet && last == "pulls":
		answer = []any{map[string]any{"number": 4, "head": map[string]any{"sha": "old"}}, map[string]any{"number": 5, "head": map[string]any{"sha": "new"}}}
	case r.Method == http.MethodGet:
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		from := min((page-1)*size, len(s.comments))
		answer = s.comments[from:min(from+size, len(s.comments))]
	case r.Method == http.MethodPost:
		w.WriteHeader(http.StatusCreated)
		s.add(sent.Body, "github-actions[bot]", 7)
	default: // PATCH, PUT
		for _, c := range s.comments {
			if fmt.Sprint(c["id"]) == last {
				c["body"] = sent.Body
			}
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *stand) add(body, login string, author int) {
	s.comments = append(s.comments, map[string]any{"id": 1000 + len(s.comments), "body": body,
		"user": map[string]any{"login": login}, "author": map[string]any{"id": author}})
}

// bodies with the marker.
func (s *stand) marked() []string {
	var out []string
	for _, c := range s.comments {
		if b, _ := c["body"].(string); strings.HasPrefix(b, "<!-- comment of handrail -->") {
			out = append(out, b)
		}
	}
	return out
}

// says gives a command line, and looks whether the token is told.
func (s *stand) says(page string, where map[string]string, args ...string) (int, string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var said strings.Builder
	code := run(s.t.Context(), append([]string{"-file", file}, args...), func(name string) string { return where[name] }, &said)
	if strings.Contains(said.String(), token) {
		s.t.Errorf("the token is told: %s", said.String())
	}
	return code, said.String()
}

func (s *stand) onGitHub() map[string]string {
	event := filepath.Join(s.t.TempDir(), "event.json")
	if err := os.WriteFile(event, []byte(`{"number": 5}`), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_API_URL": s.URL, "GITHUB_REPOSITORY": "octo/shop", "GITHUB_TOKEN": token, "GITHUB_EVENT_PATH": event}
}

func (s *stand) onGitLab() map[string]string {
	return map[string]string{"GITLAB_CI": "true", "CI_API_V4_URL": s.URL + "/api/v4", "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "5", "GITLAB_TOKEN": token}
}

// TestOneCommentIsKeptUpToDate on both forges: written once, then brought up to date, whatever stands before it.
func TestOneCommentIsKeptUpToDate(t *testing.T) {
	for name, c := range map[string]struct {
		where          func(*stand) map[string]string
		create, update string
	}{
		"github": {(*stand).onGitHub, "POST /repos/octo/shop/issues/5/comments", "PATCH /repos/octo/shop/issues/comments/1250"},
		"gitlab": {(*stand).onGitLab, "POST /api/v4/projects/12/merge_requests/5/notes", "PUT /api/v4/projects/12/merge_requests/5/notes/1250"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			for i := range 249 { // so that it stands on the third page
				s.add(fmt.Sprintf("comment %d", i), "octocat", 1)
			}
			s.add("<!-- comment of handrail -->\nof somebody else", "mallory", 2)
			where := c.where(s)
			for i, step := range []struct{ page, said, asked string }{
				{"first | `page`\n", "the comment was written", c.create},
				{"second ✏️ page\n", "the comment was brought up to date", c.update},
				{"second ✏️ page\n", "the comment is up to date", "page=3"},
			} {
				code, said := s.says(step.page, where)
				if code != 0 || !strings.Contains(said, step.said) {
					t.Errorf("%d: exit code %d: %s", i, code, said)
				}
				if last := s.asked[len(s.asked)-1]; !strings.HasSuffix(last, step.asked) {
					t.Errorf("%d: the last question was %s", i, last)
				}
				if got := s.marked(); len(got) != 2 || got[0] != "<!-- comment of handrail -->\nof somebody else" || got[1] != "<!-- comment of handrail -->\n"+step.page {
					t.Errorf("%d: the comments are %q", i, got)
				}
			}
			for _, asked := range s.asked {
				if strings.Contains(asked, token) {
					t.Errorf("the token stands in an address: %s", asked)
				}
			}
		})
	}
}

// TestThePullRequestOfABranch is the open one that stands at the commit; no other gets the page.
func TestThePullRequestOfABranch(t *testing.T) {
	s := newStand(t)
	where := s.onGitHub()
	delete(where, "GITHUB_EVENT_PATH")
	if code, said := s.says("page", where, "-head", "octocat:patch-1", "-sha", "new"); code != 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
	if want := "GET /repos/octo/shop/pulls?head=octocat%3Apatch-1&per_page=100&state=open"; s.asked[0] != want {
		t.Errorf("it asked %s", s.asked[0])
	}
	if want := "POST /repos/octo/shop/issues/5/comments"; s.asked[len(s.asked)-1] != want {
		t.Errorf("it asked %s", s.asked)
	}
	before := len(s.asked)
	if code, said := s.says("page", where, "-head", "octocat:patch-1", "-sha", "another"); code != 1 || !strings.Contains(said, "no open pull request of octocat:patch-1 stands at commit another") || len(s.asked) != before+1 {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestAFailureIsSaid with what the forge said, and ends with an exit code of its own.
func TestAFailureIsSaid(t *testing.T) {
	const comments = "/repos/octo/shop/issues/5/comments"
	for _, c := range []struct {
		question string
		code     int
		want     string
	}{
		{"GET " + comments, 403, "look for the comment: GET " + comments + "?per_page=100&page=1 was answered with 403 Forbidden: Resource not accessible by •••"},
		{"POST " + comments, 422, "write the comment: POST " + comments + " was answered with 422 Unprocessable Entity: Resource"},
		{"GET " + comments, 302, "was answered with 302 Found"},
		{"GET " + comments, 500, "was answered with 500 Internal Server Error"},
	} {
		s := newStand(t)
		s.fail[c.question] = c.code
		code, said := s.says("page", s.onGitHub())
		if code != 1 || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit code %d: %s", c.question, code, said)
		}
		for _, asked := range s.asked {
			if strings.Contains(asked, "elsewhere") {
				t.Error("it has followed a redirection")
			}
		}
	}
	s := newStand(t)
	where := s.onGitLab()
	s.Close()
	if code, said := s.says("page", where); code != 1 || !strings.Contains(said, "ask whose the token is") {
		t.Errorf("nobody is there: exit code %d: %s", code, said)
	}
}

// TestWhatIsMissingIsNamed before anything is asked.
func TestWhatIsMissingIsNamed(t *testing.T) {
	s := newStand(t)
	for _, name := range []string{"GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"} {
		where := s.onGitHub()
		delete(where, name)
		if code, said := s.says("page", where); code != 2 || !strings.Contains(said, name+" is not set") {
			t.Errorf("%s: exit code %d: %s", name, code, said)
		}
	}
	where := s.onGitHub()
	delete(where, "GITHUB_EVENT_PATH")
	if code, said := s.says("page", where); code != 2 || !strings.Contains(said, "names no pull request") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if code, said := s.says("page", nil); code != 2 || !strings.Contains(said, "neither a job of GitHub Actions") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if code, said := s.says("page", s.onGitHub(), "-file", "nowhere"); code != 2 || !strings.Contains(said, "read the page") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if len(s.asked) > 0 {
		t.Errorf("it asked %s", s.asked)
	}
}

// TestAPageThatIsTooLongIsCut to what the forge takes, in whole characters, and says so.
func TestAPageThatIsTooLongIsCut(t *testing.T) {
	s := newStand(t)
	if code, said := s.says(strings.Repeat("é", 65536), s.onGitHub()); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	got := s.marked()[0]
	if len(got) > 65536 || len(got) < 65500 || strings.Contains(got, "\uFFFD") || !strings.HasSuffix(got, "it is in the log of the job.\n") {
		t.Errorf("%d bytes, which end with %q", len(got), got[len(got)-80:])
	}
}
