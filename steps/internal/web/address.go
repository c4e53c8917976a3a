package web

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// ParseURL reads the URL of a request. Its error never holds the text: that may be a secret.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL such as https://host/path")
	case u.User != nil:
		return nil, errors.New("a URL may not hold a user or password, which end up in logs: use an Authorization header")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.Fragment != "":
		return nil, errors.New("what stands behind # is never sent: leave it out")
	}
	return u, nil
}

// Shown is a URL as it may be printed: values of its query that look like credentials are masked, and
// so are those named.
func Shown(u *url.URL, secret ...string) string {
	if u.RawQuery == "" {
		return u.String()
	}
	parts := strings.Split(u.RawQuery, "&")
	for i, part := range parts {
		name, _, has := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || has && (slices.Contains(secret, plain) || LooksSecret(plain)) {
			parts[i] = name + "=" + engine.Masked
		}
	}
	bare := *u
	bare.RawQuery, bare.User = "", nil
	return bare.String() + "?" + strings.Join(parts, "&")
}

// LooksSecret says whether a header or parameter of this name holds a credential by custom.
func LooksSecret(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	for _, word := range []string{"authorization", "cookie", "token", "secret", "password", "passwd", "apikey", "accesskey", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return slices.Contains([]string{"key", "sig", "auth", "pass", "pwd", "code"}, name)
}

// sameHost says whether a redirect leads to where the request went: the same host and port, by the same
// scheme or from http to https on the usual ports.
func sameHost(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	if from.Scheme == to.Scheme {
		return port(from) == port(to)
	}
	return from.Scheme == "http" && to.Scheme == "https" && port(from) == "80" && port(to) == "443"
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
