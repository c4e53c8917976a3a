package web

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// dialPatience is how long a connection may take. A host that is down often says nothing at all.
const dialPatience = 10 * time.Second

// wire knows whether anything of a request was handed to the network. net/http writes in a goroutine of
// its own, which may still be about to write when an error is returned; so the wire is sealed first and
// asked then: what was not written BEFORE that never will be.
type wire struct {
	// sending is called once, BEFORE the first byte of the request; after its error nothing is sent.
	sending func() error

	mu      sync.Mutex
	begun   bool // the connection stands, TLS included; what is written now is the request
	sealed  bool
	touched bool // a write of the request was tried
	bytes   int64
	whole   bool
	refused error
}

var errSealed = errors.New("the request was given up")

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialPatience}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wiredConn{Conn: c, wire: w}, nil
}

// trace learns from net/http when the connection stands.
func (w *wire) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { w.begin() },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.whole = info.Err == nil
		},
	}
}

func (w *wire) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed || w.begun {
		return
	}
	if w.sending != nil {
		if err := w.sending(); err != nil {
			w.refused, w.sealed = err, true
			return
		}
	}
	w.begun = true
}

// seal lets nothing more through, and says what went through.
func (w *wire) seal() (touched, whole bool, bytes int64, refused error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sealed = true
	return w.touched, w.whole, w.bytes, w.refused
}

type wiredConn struct {
	net.Conn
	wire *wire
}

// Write asks for leave first, and writes outside the lock: a server that reads nothing must not keep
// the one who gives up from sealing.
func (c *wiredConn) Write(p []byte) (int, error) {
	w := c.wire
	w.mu.Lock()
	if w.sealed {
		w.mu.Unlock()
		return 0, errSealed
	}
	request := w.begun
	if request {
		w.touched = true
	}
	w.mu.Unlock()
	n, err := c.Conn.Write(p)
	if request {
		w.mu.Lock()
		w.bytes += int64(n)
		w.mu.Unlock()
	}
	return n, err
}
