package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// TestAnEngineThatSaysNothing: it takes connections, as one does whose process hangs.
func TestAnEngineThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the kernel takes the connections; nobody reads them
	w := newWorld(t)
	w.at(engine.Record{"host": "tcp://" + l.Addr().String()}).
		unreachable("the Docker engine at tcp://"+l.Addr().String(), "takes connections and has not answered for 15s", "journalctl -u docker", "systemctl restart docker")
}

// TestAnEngineThatAnswersNoMore: it is there, and hangs in what it is asked.
func TestAnEngineThatAnswersNoMore(t *testing.T) {
	over := make(chan struct{})
	ctx, cancel := context.WithCancelCause(context.Background())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.41")
			return
		}
		cancel(errors.New("somebody has had enough"))
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(over); s.Close() })
	w := newWorld(t)
	a := w.at(engine.Record{"host": "tcp://" + s.Listener.Addr().String()}).step("restart", engine.Record{"restart": "web"})
	c, err := connect(ctx, a.env)
	w.must(err)
	_, _, err = c.look(ctx, "web")
	if err == nil {
		t.Fatal("there was an answer")
	}
	w.says(err.Error(), "waiting for the Docker engine at tcp://"+s.Listener.Addr().String()+" was ended: somebody has had enough")
}
