package sql_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// relay stands between a client and a server, and cuts the line at a word that the client sends.
type relay struct {
	address string
	server  string

	mu      sync.Mutex
	word    string // in capitals; empty: nothing is cut
	deliver bool   // the word still reaches the server
	shut    bool   // nobody is let in any more
	cut     int
	open    []net.Conn
	done    sync.WaitGroup
}

func newRelay(t testing.TB, server string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: l.Addr().String(), server: server}
	r.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.done.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.cutAll()
		r.done.Wait()
	})
	return r
}

// cutAt cuts the next line on which the word is sent.
func (r *relay) cutAt(word string, deliver, shut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.word, r.deliver, r.shut = word, deliver, false
	if shut {
		r.word = "!" + word
	}
}

// cutAll cuts every line that there is.
func (r *relay) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.open {
		_ = c.Close()
	}
}

// cutSoFar is how many lines were cut at a word.
func (r *relay) cutSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cut
}

func (r *relay) letNobodyIn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = true
}

func (r *relay) letIn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = false
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	r.mu.Lock()
	shut := r.shut
	r.mu.Unlock()
	if shut {
		return
	}
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		return
	}
	defer server.Close()
	r.mu.Lock()
	r.open = append(r.open, client, server)
	r.mu.Unlock()
	var muted atomic.Bool
	back, swallowed := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(back)
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			switch {
			case n > 0 && muted.Load():
				select {
				case swallowed <- struct{}{}:
				default:
				}
			case n > 0:
				_, _ = client.Write(buf[:n])
			}
			if err != nil {
				_ = client.Close()
				return
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		cut, deliver := r.cuts(buf[:n])
		if cut && deliver { // the server has carried it out when the line is cut
			muted.Store(true)
			_, _ = server.Write(buf[:n])
			select {
			case <-swallowed:
			case <-back:
			}
		}
		if err != nil || cut {
			break
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	_ = client.Close()
	_ = server.Close()
	<-back
}

func (r *relay) cuts(sent []byte) (cut, deliver bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	word, shut := strings.CutPrefix(r.word, "!")
	if word == "" || !bytes.Contains(sent, []byte(word)) {
		return false, false
	}
	r.word, r.shut = "", shut
	r.cut++
	return true, r.deliver
}

// through is the same database, reached through a relay.
func (g ground) through(t testing.TB) (ground, *relay) {
	r := newRelay(t, g.target.Settings["address"].(string))
	settings := engine.Record{}
	for k, v := range g.target.Settings {
		settings[k] = v
	}
	settings["address"] = r.address
	g.target.Settings = settings
	return g, r
}
