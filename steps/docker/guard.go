package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
)

// errRefused is what a read-only connection answers to anything that is not known to read.
var errRefused = errors.New("the connection is read-only")

// refusedError says what was refused.
type refusedError struct{ what string }

func (r refusedError) Error() string { return errRefused.Error() + ": " + r.what }
func (refusedError) Unwrap() error   { return errRefused }

// readPaths are the requests that read, without the version prefix. Anything not listed writes, or
// may one day: /containers/x/archive mounts the container, /containers/x/attach/ws reaches its stdin.
var readPaths = regexp.MustCompile(`^/(_ping|version|info|events|networks|volumes|` +
	`containers/json|` +
	`containers/[^/]+/(json|logs|top)|` +
	`images/.+/json|` +
	`exec/[^/]+/json|` +
	`networks/[^/]+|` +
	`volumes/[^/]+)$`)

var versionPrefix = regexp.MustCompile(`^/v[0-9]+\.[0-9]+/`)

// reads says whether a request is known to change nothing.
func reads(req *http.Request) bool {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return false
	}
	if req.Body != nil && req.Body != http.NoBody || req.Header.Get("Upgrade") != "" {
		return false
	}
	path := versionPrefix.ReplaceAllString(req.URL.Path, "/")
	if strings.Contains(path, "..") || strings.Contains(path, "//") || req.URL.RawPath != "" {
		return false
	}
	return readPaths.MatchString(path)
}

// guard lets only reading requests through.
type guard struct{ next http.RoundTripper }

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if !reads(req) {
		return nil, refusedError{fmt.Sprintf("%s %s was not sent to the Docker engine", req.Method, req.URL.Path)}
	}
	return g.next.RoundTrip(req.WithContext(context.WithValue(req.Context(), passed{}, true)))
}

// passed marks the context of a request that the guard has let through.
type passed struct{}

// dial opens connections to the engine.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// guarded dials only for requests that came through the guard. The client opens its hijacked
// connections (exec, attach) by the dialer and not by the transport; without this they would go
// around the guard.
func guarded(next dial) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if ctx.Value(passed{}) == nil {
			return nil, refusedError{"a hijacked connection to the Docker engine was not opened"}
		}
		return next(ctx, network, address)
	}
}
