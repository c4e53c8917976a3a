package playbooks_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestDrillBringsTheNodeBackWhateverTheServiceDoes(t *testing.T) {
	settings := servers.Docker(t)
	host, _ := engine.Reveal(settings["host"])
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	name := "hr-drill-" + strings.ToLower(rand.Text()[:10])
	if _, err := c.ContainerCreate(t.Context(), &apicontainer.Config{Image: servers.Image, Cmd: []string{"sleep", "600"}, StopSignal: "KILL"}, nil, nil, nil, name); err != nil {
		t.Fatal(err)
	}
	defer c.ContainerRemove(context.Background(), name, apicontainer.RemoveOptions{Force: true}) //nolint:errcheck // it goes with the machine
	if err := c.ContainerStart(t.Context(), name, apicontainer.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	up := func() bool {
		r, err := c.ContainerInspect(context.Background(), name)
		return err == nil && r.State.Running
	}
	var down, depends atomic.Int64 // how often the service was asked while the node was down; whether it needs the node
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if up() {
			return
		}
		down.Add(1)
		if depends.Load() == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer service.Close()

	w := open(t, "cache-failover-drill", steps.Target{Name: "engine", Type: "docker", Settings: settings})
	w.yes = true
	given := map[string]any{"container": name, "health": service.URL, "looks": 2}
	w.ends(w.run(given), engine.RunOK)
	if down.Load() != 2 || !up() {
		t.Errorf("asked %d times while the node was down; it is up: %v", down.Load(), up())
	}
	depends.Store(1)
	w.ends(w.run(given), engine.RunFailed)
	if !up() {
		t.Error("the node was left down")
	}
}

func TestStackHealthIsGraded(t *testing.T) {
	target, db := numbering(t)
	cache := servers.Redis(t)
	var ill [2]atomic.Bool
	var urls []any
	for i := range ill {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if ill[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		defer s.Close()
		urls = append(urls, s.URL)
	}
	w := open(t, "stack-health", target, steps.Target{Name: "cache", Type: "redis", Settings: cache.Settings()})
	given := map[string]any{"health": urls}
	w.ends(w.run(given), engine.RunOK)
	mustExec(t, db, "UPDATE document_numbering_configs SET max_value = 10 WHERE id = 4")
	w.ends(w.run(given), engine.RunDegraded)
	mustExec(t, db, "UPDATE document_numbering_configs SET max_value = 999999 WHERE id = 4")
	ill[0].Store(true)
	w.ends(w.run(given), engine.RunDegraded)
	ill[1].Store(true)
	w.ends(w.run(given), engine.RunFailed)
}
