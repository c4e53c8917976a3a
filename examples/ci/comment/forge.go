package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const perPage = 100

// comment is one that is there. own: the token's owner has written it.
type comment struct {
	id   int64
	body string
	own  bool
}

// forge is where the request is.
type forge interface {
	limit() int // the most bytes of a comment
	request(ctx context.Context) (int, error)
	comments(ctx context.Context, request, page int) ([]comment, error)
	create(ctx context.Context, request int, body string) error
	update(ctx context.Context, request int, id int64, body string) error
}

func forgeOf(o options, env func(string) string) (forge, error) {
	need := func(names ...string) (map[string]string, error) {
		found := map[string]string{}
		for _, n := range names {
			if found[n] = env(n); found[n] == "" {
				return nil, fmt.Errorf("the environment variable %s is not set", n)
			}
		}
		return found, nil
	}
	switch {
	case env("GITLAB_CI") != "":
		v, err := need("CI_API_V4_URL", "CI_PROJECT_ID", "CI_MERGE_REQUEST_IID", "GITLAB_TOKEN")
		if err != nil {
			return nil, err
		}
		iid, err := strconv.Atoi(v["CI_MERGE_REQUEST_IID"])
		if err != nil {
			return nil, fmt.Errorf("CI_MERGE_REQUEST_IID: %q is no number", v["CI_MERGE_REQUEST_IID"])
		}
		return &gitlab{api: newAPI(v["CI_API_V4_URL"], "PRIVATE-TOKEN", v["GITLAB_TOKEN"]), project: v["CI_PROJECT_ID"], iid: iid}, nil
	case env("GITHUB_ACTIONS") != "":
		v, err := need("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")
		if err != nil {
			return nil, err
		}
		if o.pull == 0 && o.head == "" {
			if o.pull, err = pullOfEvent(env("GITHUB_EVENT_PATH")); err != nil {
				return nil, err
			}
		}
		return &github{api: newAPI(v["GITHUB_API_URL"], "Authorization", "Bearer "+v["GITHUB_TOKEN"]), repo: v["GITHUB_REPOSITORY"], options: o}, nil
	}
	return nil, errors.New("this is neither a job of GitHub Actions (GITHUB_ACTIONS) nor of GitLab CI (GITLAB_CI)")
}

// pullOfEvent is the number of the pull request that the job was started for.
func pullOfEvent(file string) (int, error) {
	var event struct {
		Number int `json:"number"`
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &event)
	}
	if err != nil || event.Number == 0 {
		return 0, errors.New("the event of this job names no pull request; give it with -pull, or with -head and -sha")
	}
	return event.Number, nil
}

type github struct {
	*api
	repo string
	options
}

// limit is counted in characters there; bytes are never fewer.
func (g *github) limit() int { return 65536 }

// request is the number of the pull request. By its branch it is found only if it is open and still stands at the commit
// that the page is about: another push has a page of its own.
func (g *github) request(ctx context.Context) (int, error) {
	if g.head == "" {
		return g.pull, nil
	}
	var found []struct {
		Number int
		Head   struct{ SHA string }
	}
	query := url.Values{"state": {"open"}, "head": {g.head}, "per_page": {strconv.Itoa(perPage)}}
	if err := g.call(ctx, http.MethodGet, "/repos/"+g.repo+"/pulls?"+query.Encode(), nil, &found); err != nil {
		return 0, fmt.Errorf("look for the pull request: %w", err)
	}
	for _, p := range found {
		if p.Head.SHA == g.sha {
			return p.Number, nil
		}
	}
	return 0, fmt.Errorf("no open pull request of %s stands at commit %s", g.head, g.sha)
}

func (g *github) comments(ctx context.Context, request, page int) ([]comment, error) {
	var found []struct {
		ID   int64
		Body string
		User struct{ Login string }
	}
	path := fmt.Sprintf("/repos/%s/issues/%d/comments?per_page=%d&page=%d", g.repo, request, perPage, page)
	err := g.call(ctx, http.MethodGet, path, nil, &found)
	out := make([]comment, len(found))
	for i, c := range found {
		out[i] = comment{c.ID, c.Body, c.User.Login == g.author}
	}
	return out, err
}

func (g *github) create(ctx context.Context, request int, body string) error {
	return g.call(ctx, http.MethodPost, fmt.Sprintf("/repos/%s/issues/%d/comments", g.repo, request), map[string]string{"body": body}, nil)
}

func (g *github) update(ctx context.Context, _ int, id int64, body string) error {
	return g.call(ctx, http.MethodPatch, fmt.Sprintf("/repos/%s/issues/comments/%d", g.repo, id), map[string]string{"body": body}, nil)
}

type gitlab struct {
	*api
	project string
	iid     int
	me      int64 // whose the token is
}

func (g *gitlab) limit() int { return 1_000_000 }

func (g *gitlab) request(ctx context.Context) (int, error) {
	var user struct{ ID int64 }
	if err := g.call(ctx, http.MethodGet, "/user", nil, &user); err != nil {
		return 0, fmt.Errorf("ask whose the token is: %w", err)
	}
	g.me = user.ID
	return g.iid, nil
}

func (g *gitlab) notes(request int) string {
	return fmt.Sprintf("/projects/%s/merge_requests/%d/notes", url.PathEscape(g.project), request)
}

func (g *gitlab) comments(ctx context.Context, request, page int) ([]comment, error) {
	var found []struct {
		ID     int64
		Body   string
		Author struct{ ID int64 }
	}
	err := g.call(ctx, http.MethodGet, fmt.Sprintf("%s?sort=asc&order_by=created_at&per_page=%d&page=%d", g.notes(request), perPage, page), nil, &found)
	out := make([]comment, len(found))
	for i, c := range found {
		out[i] = comment{c.ID, c.Body, c.Author.ID == g.me && g.me != 0}
	}
	return out, err
}

func (g *gitlab) create(ctx context.Context, request int, body string) error {
	return g.call(ctx, http.MethodPost, g.notes(request), map[string]string{"body": body}, nil)
}

func (g *gitlab) update(ctx context.Context, request int, id int64, body string) error {
	return g.call(ctx, http.MethodPut, fmt.Sprintf("%s/%d", g.notes(request), id), map[string]string{"body": body}, nil)
}

// api talks to a forge.
type api struct {
	base, header, token string
	client              *http.Client
}

func newAPI(base, header, token string) *api {
	return &api{strings.TrimSuffix(base, "/"), header, token, &http.Client{
		Timeout: time.Minute,
		// A header of its own is kept when a redirection leads to another host; the token must not go there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call asks one question. An answer that is no success is an error with what the forge said of it.
func (a *api) call(ctx context.Context, method, path string, send, into any) error {
	var body io.Reader
	if send != nil {
		b, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set(a.header, a.token)
	r.Header.Set("Accept", "application/json")
	if send != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	const most = 64 << 20 // a hundred comments of the greatest length
	b, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s %s was answered with %s%s", method, path, answer.Status, said(b))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s %s: the answer is not what was asked for: %w", method, path, err)
	}
	return nil
}

// said is what a forge says of a failure, in one short line.
func said(b []byte) string {
	var told struct{ Message any }
	if json.Unmarshal(b, &told) != nil || told.Message == nil {
		return ""
	}
	line := strings.Join(strings.Fields(fmt.Sprint(told.Message)), " ")
	return ": " + line[:min(len(line), 300)]
}
