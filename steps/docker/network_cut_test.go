package docker

import (
	"context"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// TestNetworkThatTheEngineIsStillMakingIsWaitedFor: the engine goes on with the request of a client that was killed, and refuses
// a second one meanwhile, because the subnets overlap, before the network can be seen.
func TestNetworkThatTheEngineIsStillMakingIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		s := w.networkStep(name, engine.Record{"subnet": w.subnet()}).prepared()
		op, ok := s.op.(networking)
		if !ok {
			t.Fatalf("%T", s.op)
		}
		options, err := op.options(s.env)
		w.must(err)
		begun, ended := make(chan struct{}), make(chan struct{})
		go func() { // the client that was killed
			defer close(ended)
			close(begun)
			_, _ = w.plain.NetworkCreate(context.Background(), op.Network, options)
		}()
		<-begun
		s.env.Again = true
		if r := s.ok(); r["changed"] != true {
			t.Errorf("%s: %v", name, r)
		}
		<-ended
	}
}
