package notify_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/tls"
	"encoding/base64"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/notify"
	"github.com/handrail-dev/handrail/steps/steptest"
)

// channel is a server that keeps what is posted to it.
type channel struct {
	*httptest.Server
	mu     sync.Mutex
	posted []string
	header http.Header
}

func newChannel(t testing.TB, answer http.HandlerFunc) *channel {
	t.Helper()
	c := &channel{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.posted, c.header = append(c.posted, r.URL.Path+" "+string(body)), r.Header
		c.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *channel) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.posted, "\n")
}

func (c *channel) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.posted)
}

func (c *channel) reset(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posted = nil
}

const token = "/services/T0SECRET0/B0SECRET0/xyzSECRETxyz"

func secretURL(c *channel) engine.Secret { return engine.NewSecret("SLACK_URL", c.URL+token) }

func letter(p *postOffice, more engine.Record) engine.Record {
	m := engine.Record{
		"smtp": p.addr, "from": "Ops <ops@example.com>", "to": engine.List{"a@example.com", "B <b@example.com>"},
		"subject": "Größe: the restore begins", "text": "Line one.\n.\nLine three, ünicode.", "starttls": false,
	}
	for k, v := range more {
		m[k] = v
	}
	return engine.Record{"mail": m}
}

func TestContract(t *testing.T) {
	c := newChannel(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no team at "+r.URL.Path+" of "+r.Host+" for "+r.Header.Get("Authorization"), http.StatusNotFound)
	})
	office := newPostOffice(t, nil, map[string]string{"AUTH": "535 wrong password hunter22-and-more"})
	secret := engine.NewSecret("TOKEN", "Bearer hook-secret-1")
	headers := engine.Record{"Authorization": secret}
	posted := func(op string, params engine.Record, bad ...steptest.Bad) steptest.Case {
		return steptest.Case{Operation: op, Params: engine.Record{op: params}, Setup: c.reset, Fingerprint: c.state, Effect: c.count, Bad: bad}
	}
	bad := func(op, path string, params engine.Record) steptest.Bad {
		return steptest.Bad{Params: engine.Record{op: params}, Path: op + "." + path}
	}
	badMail := func(path string, v engine.Value) steptest.Bad {
		key, _, _ := strings.Cut(path, "[")
		return steptest.Bad{Params: letter(office, engine.Record{key: v}), Path: "mail." + path}
	}
	steptest.Run(t, steptest.Suite{Kind: notify.New(), Cases: []steptest.Case{
		posted("slack", engine.Record{"url": secretURL(c), "text": "restore begins"},
			bad("slack", "url", engine.Record{"url": engine.NewSecret("U", "hooks.slack.com/abc"), "text": "x"}),
			bad("slack", "url", engine.Record{"url": engine.NewSecret("U", "https://u:p@hooks.slack.com/abc"), "text": "x"}),
			bad("slack", "url", engine.Record{"url": engine.NewSecret("U", "http://a:b c/\x00"), "text": "x"}),
			bad("slack", "text", engine.Record{"url": "http://a/", "text": " "}),
		),
		posted("webhook", engine.Record{"url": secretURL(c), "json": engine.Record{"key": secret, "n": int64(1)}, "headers": headers},
			bad("webhook", "headers.A", engine.Record{"url": "http://a/", "json": "x", "headers": engine.Record{"A": "x\ny"}}),
			bad("webhook", "tls", engine.Record{"url": "http://a/", "json": "x", "tls": engine.Record{"key": "k"}}),
		),
		posted("alertmanager", engine.Record{"url": secretURL(c), "labels": engine.Record{"alertname": "Failover"}, "annotations": engine.Record{"summary": "s"},
			"ends_in": time.Hour, "headers": headers},
			bad("alertmanager", "labels", engine.Record{"url": "http://a/", "labels": engine.Record{"severity": "page"}}),
		),
		{Operation: "mail", Params: letter(office, engine.Record{"user": "ops", "password": engine.NewSecret("P", "hunter22-and-more")}),
			Setup: office.reset, Fingerprint: office.state, Effect: office.count, Bad: []steptest.Bad{
				badMail("smtp", "mail.example.com"), badMail("from", "nobody"), badMail("to", engine.List{}),
				badMail("to[1]", engine.List{"a@example.com", "b\r\nRCPT TO: <c@example.com>"}),
				badMail("subject", "a\r\nBcc: c@example.com"), badMail("user", "without a password"),
				{Params: letter(office, engine.Record{"smtp": "mail.example.com:25", "user": "u", "password": "p"}), Path: "mail.starttls"},
			}},
	}})
}

func newStep(t testing.TB, k *notify.Kind, op string, params engine.Record) (steps.Operation, *steps.Env) {
	t.Helper()
	o, err := k.Decode(op, params)
	if err != nil {
		t.Fatal(err)
	}
	call := engine.Call{Step: "x", Kind: "notify", Operation: op, Class: engine.ClassAdvisory, Attempt: 1, Token: "run-1/x", Params: params}
	env, _ := steptest.Env(t, k, call, steps.Target{}, steps.Full)
	return o, env
}

func send(t testing.TB, op string, params engine.Record) engine.Outcome {
	t.Helper()
	o, env := newStep(t, notify.New(), op, params)
	return o.Execute(t.Context(), env)
}

func TestWhatIsPosted(t *testing.T) {
	for op, c := range map[string]struct {
		params engine.Record
		want   string
	}{
		"slack":   {engine.Record{"text": `restore of "orders" <begins>`}, token + ` {"text":"restore of \"orders\" <begins>"}`},
		"webhook": {engine.Record{"json": engine.Record{"key": engine.NewSecret("K", "hook-secret"), "n": int64(9007199254740993)}}, token + ` {"key":"hook-secret","n":9007199254740993}`},
	} {
		ch := newChannel(t, nil)
		c.params["url"] = secretURL(ch)
		o := send(t, op, engine.Record{op: c.params})
		if o.Err != "" || o.Result["status"] != int64(200) || ch.state() != c.want {
			t.Errorf("%s: %+v, posted %s", op, o, ch.state())
		}
		if key := ch.header.Get("Idempotency-Key"); key != "run-1/x" {
			t.Errorf("%s: key %q", op, key)
		}
	}
}

func TestAnAlertIsRaisedAndEnded(t *testing.T) {
	for _, path := range []string{"", "/prefix/", "/api/v2/alerts"} {
		c := newChannel(t, nil)
		o := send(t, "alertmanager", engine.Record{"alertmanager": engine.Record{
			"url": c.URL + path, "labels": engine.Record{"alertname": "Failover", "n": "1"}, "annotations": engine.Record{"summary": "s"}, "ends_in": time.Hour,
		}})
		if o.Err != "" {
			t.Fatal(o.Err)
		}
		at, body, _ := strings.Cut(c.state(), " ")
		if want := strings.TrimSuffix(strings.TrimSuffix(path, "/"), "/api/v2/alerts") + "/api/v2/alerts"; at != want {
			t.Errorf("%q was posted to, not %q", at, want)
		}
		var alerts []struct {
			Labels, Annotations map[string]string
			StartsAt, EndsAt    time.Time
		}
		if err := json.Unmarshal([]byte(body), &alerts); err != nil || len(alerts) != 1 {
			t.Fatalf("%s: %v", body, err)
		}
		a := alerts[0]
		if a.Labels["alertname"] != "Failover" || a.Labels["n"] != "1" || a.Annotations["summary"] != "s" || a.EndsAt.Sub(a.StartsAt) != time.Hour {
			t.Errorf("%s", body)
		}
	}
}

// noToken fails if anything of a secret URL stands in a text.
func noToken(t *testing.T, text string) {
	t.Helper()
	for _, part := range []string{"SECRET", "services/", "127.0.0.1"} {
		if strings.Contains(text, part) {
			t.Errorf("%q of the URL stands in %q", part, text)
		}
	}
}

func TestWhatFailsSaysWhyAndNothingOfTheURL(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"500 that repeats the URL": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			fmt.Fprintf(w, "cannot post to http://%s%s", r.Host, r.URL.Path)
		}, "Slack answered 500 Internal Server Error: cannot post to •••"},
		"404": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "no_service")
		}, "Slack answered 404 Not Found: no_service"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login?from="+r.URL.Path, http.StatusFound)
		}, "Slack answered 302 Found; redirects are not followed"},
		"hangs up": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, "Slack: the connection was closed before the answer had come; it may have been taken all the same"},
		"speaks no HTTP": {func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(conn, "%s\r\n\r\n", r.URL.Path)
				_ = conn.Close()
			}
		}, "Slack: "},
	} {
		ch := newChannel(t, c.answer)
		o := send(t, "slack", engine.Record{"slack": engine.Record{"url": secretURL(ch), "text": "x"}})
		if !strings.HasPrefix(o.Err, c.want) {
			t.Errorf("%s: %q", name, o.Err)
		}
		noToken(t, o.Err)
		if ch.count() != 1 {
			t.Errorf("%s: posted %d times", name, ch.count())
		}
	}
}

func TestWhatCannotBeReachedSaysNothingOfTheURL(t *testing.T) {
	c := newChannel(t, nil)
	url := secretURL(c)
	c.Close()
	o := send(t, "slack", engine.Record{"slack": engine.Record{"url": url, "text": "x"}})
	if !strings.HasPrefix(o.Err, "Slack: connection refused by") || o.Effect != engine.EffectNone {
		t.Errorf("%+v", o)
	}
	noToken(t, o.Err)
	o = send(t, "slack", engine.Record{"slack": engine.Record{"url": engine.NewSecret("U", "https://SECRET.invalid/services/"), "text": "x"}})
	if o.Err == "" || strings.Contains(o.Err, "SECRET") || strings.Contains(o.Err, "secret.invalid") {
		t.Errorf("%q", o.Err)
	}
}

func TestADryRunTellsNobody(t *testing.T) {
	c, office := newChannel(t, nil), newPostOffice(t, nil, nil)
	for op, params := range map[string]engine.Record{
		"slack":        {"slack": engine.Record{"url": secretURL(c), "text": "x"}},
		"webhook":      {"webhook": engine.Record{"url": secretURL(c), "json": "x"}},
		"alertmanager": {"alertmanager": engine.Record{"url": secretURL(c), "labels": engine.Record{"alertname": "x"}}},
		"mail":         letter(office, nil),
	} {
		o, env := newStep(t, notify.New(), op, params)
		env.Access = steps.ReadOnly
		if out := o.Execute(t.Context(), env); !strings.Contains(out.Err, "a dry-run sends") || out.Effect != engine.EffectNone {
			t.Errorf("%s: %+v", op, out)
		}
	}
	if c.count() != 0 || office.heard() != "" {
		t.Errorf("posted %q, heard %q", c.state(), office.heard())
	}
}

func TestAPreviewShowsTheTextAndNotTheURL(t *testing.T) {
	c := newChannel(t, nil)
	for _, given := range []engine.Value{secretURL(c), c.URL + "/hook"} {
		op, env := newStep(t, notify.New(), "slack", engine.Record{"slack": engine.Record{"url": given, "text": "restore begins"}})
		impact, err := op.Preview(t.Context(), env)
		if err != nil || impact.Would != "tell Slack: restore begins" {
			t.Errorf("%+v, %v", impact, err)
		}
		if _, secret := given.(engine.Secret); secret {
			noToken(t, fmt.Sprintf("%+v", impact))
		} else if impact.Facts[0].Value != "Slack at "+strings.TrimPrefix(c.URL, "http://") {
			t.Errorf("%+v", impact.Facts)
		}
	}
}

func TestOneThatNeverAnswersIsGivenUp(t *testing.T) {
	c := newChannel(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for op, params := range map[string]engine.Record{
		"slack": {"slack": engine.Record{"url": secretURL(c), "text": "x"}},
		"mail":  letter(&postOffice{addr: silent.Addr().String()}, nil),
	} {
		o, env := newStep(t, notify.NewImpatient(200*time.Millisecond), op, params)
		if out := o.Execute(t.Context(), env); !strings.Contains(out.Err, "no answer in time") {
			t.Errorf("%s: %+v", op, out)
		}
	}
}

func TestAMailArrivesAsItWasWritten(t *testing.T) {
	office := newPostOffice(t, nil, nil)
	o := send(t, "mail", letter(office, nil))
	if o.Err != "" || o.Result["accepted"] != int64(2) {
		t.Fatalf("%+v", o)
	}
	m, err := mail.ReadMessage(strings.NewReader(office.state()))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "Größe: the restore begins" {
		t.Errorf("subject %q, %v", subject, err)
	}
	text, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
	if err != nil || string(text) != "Line one.\n.\nLine three, ünicode." {
		t.Errorf("text %q, %v", text, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Address != "b@example.com" {
		t.Errorf("to %v, %v", to, err)
	}
	if heard := office.heard(); strings.Count(heard, "RCPT") != 2 {
		t.Errorf("%s", heard)
	}
	id := m.Header.Get("Message-Id")
	office.reset(t)
	send(t, "mail", letter(office, nil))
	if again, err := mail.ReadMessage(strings.NewReader(office.state())); err != nil || again.Header.Get("Message-Id") != id || id == "" {
		t.Errorf("the same token has another id: %v", err)
	}
}

func TestAPasswordGoesOutUnderTLSOnly(t *testing.T) {
	ca, config := certificate(t)
	dir := filepath.Dir(ca)
	login := engine.Record{"starttls": true, "user": "ops", "password": engine.NewSecret("P", "hunter22"), "tls": engine.Record{"ca": "ca.pem"}}
	mailTo := func(p *postOffice, more engine.Record) engine.Outcome {
		for k, v := range login {
			if _, ok := more[k]; !ok {
				more[k] = v
			}
		}
		op, env := newStep(t, notify.New(), "mail", letter(p, more))
		env.Dir = dir
		return op.Execute(t.Context(), env)
	}
	office := newPostOffice(t, config, nil)
	if o := mailTo(office, engine.Record{}); o.Err != "" || office.count() != 1 {
		t.Errorf("%+v", o)
	}
	if heard := office.heard(); !strings.Contains(heard, "AUTH tls=true") || !strings.Contains(heard, "MAIL tls=true") {
		t.Errorf("%s", heard)
	}
	plain := newPostOffice(t, nil, nil)
	if o := mailTo(plain, engine.Record{}); !strings.Contains(o.Err, "it offers no TLS") || strings.Contains(plain.heard(), "AUTH") || strings.Contains(plain.heard(), "MAIL") {
		t.Errorf("%+v, heard %s", o, plain.heard())
	}
	if o := mailTo(office, engine.Record{"tls": engine.Record{}}); !strings.Contains(o.Err, "an authority that is not trusted") {
		t.Errorf("%+v", o)
	}
	if o := mailTo(office, engine.Record{"tls": engine.Record{"ca": "ca.pem", "server_name": "other.test"}}); !strings.Contains(o.Err, "for another host") {
		t.Errorf("%+v", o)
	}
}

// certificate is one for 127.0.0.1 that httptest has, its file, and a server's settings with it.
func certificate(t testing.TB) (string, *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, &tls.Config{Certificates: s.TLS.Certificates}
}

func TestWhatAMailServerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		reply  map[string]string
		want   string
		effect engine.Effect
		mails  int
	}{
		"a recipient":       {map[string]string{"RCPT": "550 no such user"}, "for a@example.com: 550 \"no such user\"", engine.EffectNone, 0},
		"the sender":        {map[string]string{"MAIL": "553 not you"}, `553 "not you"`, engine.EffectNone, 0},
		"the text":          {map[string]string{"text": "554 spam"}, `554 "spam"`, engine.EffectNone, 1},
		"hangs up":          {map[string]string{"MAIL": ""}, "the connection was closed", engine.EffectNone, 0},
		"hangs up at last":  {map[string]string{"text": ""}, "it may have been taken all the same", engine.EffectUnknown, 1},
		"hangs up after it": {map[string]string{"QUIT": ""}, "", engine.EffectNone, 1},
	} {
		office := newPostOffice(t, nil, c.reply)
		o := send(t, "mail", letter(office, nil))
		if !strings.Contains(o.Err, c.want) || (c.want == "") != (o.Err == "") || o.Effect != c.effect || office.count() != c.mails {
			t.Errorf("%s: %+v, %d mails", name, o, office.count())
		}
	}
}
