package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

const (
	// mostHeaders bounds the headers of an answer, in bytes.
	mostHeaders = 256 << 10
	mostHops    = 10
)

// ErrReadOnly is what a dry-run says to every request that may write.
var ErrReadOnly = errors.New("a dry-run sends only GET and HEAD")

// ErrTooLarge says that the body of an answer is larger than the limit of its request.
var ErrTooLarge = errors.New("the answer is too large")

// Client sends requests.
type Client struct {
	Access steps.Access
	TLS    *TLS
	Dir    string   // the files of TLS are taken against it
	Proxy  *url.URL // nil: none, whatever the environment says
}

// Request is what to send.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header // Host stands for the host that is asked for
	Body   []byte
	// Follow lets redirects to the same host be followed.
	Follow bool
	Limit  int64 // of the answer's body, in bytes
	// Sending is called once, BEFORE the first byte is sent; after its error nothing is.
	Sending func() error
}

// Reply is an answer. That it is here means that a status came.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	URL    *url.URL // where the answer came from, AFTER redirects
	Took   time.Duration
	// Left says why a redirect was not followed, if it was not.
	Left string
	// BodyErr says why the body is not whole.
	BodyErr error
}

// Failure says that no answer came. Unless Sent, the server has seen nothing of the request.
type Failure struct {
	Sent  bool
	Whole bool  // all of the request was handed to the network
	Bytes int64 // that were
	Err   error
}

func (f *Failure) Error() string { return Explain(f.Err) }
func (f *Failure) Unwrap() error { return f.Err }

// Do sends a request and reads the answer. Its error is a [Failure].
func (c *Client) Do(ctx context.Context, r Request) (*Reply, error) {
	began := time.Now()
	config, err := c.TLS.Config(c.Dir)
	if err != nil {
		return nil, &Failure{Err: err}
	}
	var sent Failure
	for hop := 1; ; hop++ {
		w := &wire{sending: r.Sending}
		transport := &http.Transport{
			DialContext: w.dial, TLSClientConfig: config.Clone(), TLSHandshakeTimeout: dialPatience,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: mostHeaders,
			Protocols: new(http.Protocols),
		}
		transport.Protocols.SetHTTP1(true)
		if c.Proxy != nil {
			transport.Proxy = http.ProxyURL(c.Proxy)
		}
		reply, err := c.once(httptrace.WithClientTrace(ctx, w.trace()), transport, r)
		touched, whole, bytes, refused := w.seal()
		sent.Sent, sent.Whole, sent.Bytes = sent.Sent || touched, whole, sent.Bytes+bytes
		switch {
		case refused != nil:
			err = refused
		case err != nil && ctx.Err() != nil:
			err = ctx.Err()
		}
		if err != nil {
			sent.Err = err
			return nil, &sent
		}
		reply.Took = time.Since(began)
		next, left := follow(r, reply)
		if next == nil {
			reply.Left = left
			return reply, nil
		}
		if hop == mostHops {
			sent.Err = fmt.Errorf("more than %d redirects, the last to %s", mostHops, Shown(next.URL))
			return nil, &sent
		}
		next.Sending = nil
		r = *next
	}
}

// once sends a request and does not follow.
func (c *Client) once(ctx context.Context, t *http.Transport, r Request) (*Reply, error) {
	defer t.CloseIdleConnections()
	req := (&http.Request{
		Method: r.Method, URL: r.URL, Header: r.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "handrail")
	}
	if r.Body != nil {
		// Without GetBody there is nothing that net/http could send again.
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	}
	answer, err := guard{c.Access, t}.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	reply := &Reply{Status: answer.StatusCode, Header: answer.Header, URL: r.URL}
	if reply.Body, reply.BodyErr = io.ReadAll(io.LimitReader(answer.Body, r.Limit+1)); int64(len(reply.Body)) > r.Limit {
		reply.Body, reply.BodyErr = reply.Body[:r.Limit], ErrTooLarge
	}
	if reply.BodyErr != nil && ctx.Err() != nil {
		reply.BodyErr = ctx.Err()
	}
	return reply, nil
}

// guard is the last thing that every request passes. It does not know what the operations meant.
type guard struct {
	access steps.Access
	next   http.RoundTripper
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.access != steps.Full && (r.Method != http.MethodGet && r.Method != http.MethodHead || r.Body != nil) {
		return nil, ErrReadOnly
	}
	return g.next.RoundTrip(r)
}

// follow says where an answer sends the request, or why it is not sent there.
func follow(r Request, reply *Reply) (*Request, string) {
	switch reply.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, ""
	}
	location := reply.Header.Get("Location")
	to, err := r.URL.Parse(location)
	if err != nil || location == "" {
		return nil, "it sends the request on and does not say where"
	}
	to.Fragment = ""
	if to.User != nil {
		return nil, "it sends the request on to a URL with a user in it"
	}
	switch {
	case !r.Follow:
		return nil, "it sends the request on to " + Shown(to) + ", and redirects are not followed"
	case !sameHost(r.URL, to):
		return nil, fmt.Sprintf("it sends the request on to another host, %s://%s, which is not followed", to.Scheme, to.Host)
	}
	next := r
	next.URL = to
	kept := reply.Status == http.StatusTemporaryRedirect || reply.Status == http.StatusPermanentRedirect
	if !kept && r.Method != http.MethodGet && r.Method != http.MethodHead {
		next.Method, next.Body, next.Header = http.MethodGet, nil, r.Header.Clone()
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", KeyHeader} {
			next.Header.Del(name)
		}
	}
	return &next, ""
}

// IsJSON says whether a type of content is JSON.
func IsJSON(contentType string) bool {
	kind := mediaType(contentType)
	return kind == "application/json" || kind == "text/json" || len(kind) > 5 && kind[len(kind)-5:] == "+json"
}

// Headers are those of an answer as a playbook sees them.
func Headers(h http.Header) engine.Record {
	out := engine.Record{}
	for name, values := range h {
		out[lower(name)] = joined(values)
	}
	return out
}
