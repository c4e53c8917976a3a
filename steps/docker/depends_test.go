package docker

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	apicontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/steptest"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func factOf(i engine.Impact, name string) string {
	for _, f := range i.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func TestAPlanSaysWhoDependsOnAContainer(t *testing.T) {
	w := newWorld(t)
	_, err := w.plain.NetworkCreate(context.Background(), w.name("net"), network.CreateOptions{})
	w.must(err)
	label := func(service, on string) apicontainer.Config {
		return apicontainer.Config{Labels: map[string]string{labelProject: w.name("p"), labelService: service, labelDepends: on}}
	}
	in := func(more func(*apicontainer.HostConfig)) *apicontainer.HostConfig {
		h := &apicontainer.HostConfig{NetworkMode: apicontainer.NetworkMode(w.name("net"))}
		if more != nil {
			more(h)
		}
		return h
	}
	db := w.create("db", in(func(h *apicontainer.HostConfig) { h.Binds = []string{w.name("data") + ":/data"} }), label("db", ""))
	w.must(w.plain.ContainerStart(context.Background(), db, apicontainer.StartOptions{}))
	web := w.create("web", in(nil), label("web", "cache:service_started:false,db:service_healthy:true"))
	side := w.create("side", &apicontainer.HostConfig{NetworkMode: apicontainer.NetworkMode("container:" + db)}, apicontainer.Config{})
	near := w.create("near", in(nil), label("dbx", "dbs:service_started:false"))
	reader := w.create("reader", &apicontainer.HostConfig{Binds: []string{w.name("data") + ":/d"}}, apicontainer.Config{})
	alone := w.create("alone", nil, apicontainer.Config{})
	i := w.step("stop", engine.Record{"stop": db}).preview()
	lean := factOf(i, "depends on "+db)
	w.says(lean, web+" (created, by depends_on of its Compose file)", side+" (created, lives in its network)")
	if got := factOf(i, "in a network with "+db); got != near {
		t.Errorf("in a network with it: %q", got)
	}
	if got := factOf(i, "shares a volume with "+db); got != reader {
		t.Errorf("shares a volume with it: %q", got)
	}
	if all := strings.Join(i.Warnings, "\n"); !strings.Contains(all, "depend on "+db) || strings.Contains(all, alone) {
		t.Errorf("warnings %s", all)
	}
	if i := w.step("remove", engine.Record{"remove": engine.List{alone}}).preview(); len(i.Facts) != 1 || len(i.Warnings) != 0 {
		t.Errorf("of one on which nobody depends: %+v", i)
	}
}

func TestAPlanSaysWhoDependsInTheComposeFile(t *testing.T) {
	w := newWorld(t)
	file := w.composeFile(twoServices)
	i := w.compose("stop", file, engine.Record{"services": engine.List{"db"}}).preview()
	if got := factOf(i, "depends on it in the file"); got != "web depends on db" || !strings.Contains(strings.Join(i.Warnings, "\n"), "web depends on db") {
		t.Errorf("facts %v, warnings %v", i.Facts, i.Warnings)
	}
	if i := w.compose("stop", file, nil).preview(); factOf(i, "depends on it in the file") != "" {
		t.Errorf("with all of them: %v", i.Facts)
	}
}

// counting stands before the engine, and keeps what it is asked.
type counting struct {
	mu    sync.Mutex
	asked []string
}

func (w *world) counting() (*counting, steps.Target) {
	w.t.Helper()
	c := &counting{}
	dial := w.plain.Dialer()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/_ping") && !strings.HasSuffix(r.URL.Path, "/version") {
			c.mu.Lock()
			c.asked = append(c.asked, r.Method+" "+r.URL.Path)
			c.mu.Unlock()
		}
		proxy.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(s.Close)
	return c, steps.Target{Name: "engine", Type: "docker", Settings: engine.Record{"host": "tcp://" + s.Listener.Addr().String()}}
}

// TestAPlanAsksNoMoreThanItsPageSays: what stands before the engine counts.
func TestAPlanAsksNoMoreThanItsPageSays(t *testing.T) {
	w := newWorld(t)
	one, two := w.up("one"), w.up("two")
	file := w.composeFile(twoServices)
	w.compose("up", file, nil).prepared().ok()
	c, target := w.counting()
	for _, x := range []struct {
		operation string
		counted   int
		params    engine.Record
	}{
		{"inspect", 2, engine.Record{"inspect": engine.List{one, two}}},
		{"logs", 1, engine.Record{"logs": one}},
		{"start", 2, engine.Record{"start": engine.List{one, two}}},
		{"stop", 2, engine.Record{"stop": engine.List{one, two}}},
		{"restart", 2, engine.Record{"restart": engine.List{one, two}}},
		{"kill", 1, engine.Record{"kill": one}},
		{"remove", 1, engine.Record{"remove": one}},
		{"run", 0, engine.Record{"run": engine.Record{"name": w.name("new"), "image": servers.Image}}},
		{"run", 0, engine.Record{"run": engine.Record{"name": w.name("new"), "like": one}}},
		{"exec", 0, engine.Record{"exec": engine.Record{"container": one, "argv": engine.List{"true"}}}},
		{"pull", 1, engine.Record{"pull": servers.Image}},
		{"network", 0, engine.Record{"network": w.name("net")}},
		{"volume", 0, engine.Record{"volume": w.name("data")}},
		{"compose", 4, engine.Record{"compose": "down", "file": engine.List{file}, "project": w.name("p"), "volumes": true}},
	} {
		e := steps.NewExecutor([]steps.Kind{New()}, []steps.Target{target}, steps.ReadOnly)
		if _, err := e.Reach(t.Context(), "docker", target.Name); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.asked = nil
		c.mu.Unlock()
		if _, err := e.Preview(t.Context(), engine.Call{Step: x.operation, Kind: "docker", Operation: x.operation, Target: target.Name, Params: x.params,
			Class: engine.ClassIdempotent, Attempt: 1, Epoch: 1, Token: "plan/" + x.operation}); err != nil {
			t.Fatalf("%s: %v", x.operation, err)
		}
		w.must(e.Close())
		c.mu.Lock()
		if most := steptest.Bound(t, "docker."+x.operation, x.counted); len(c.asked) > most || len(c.asked) == 0 {
			t.Errorf("docker.%s: %d requests, and docs/plan.md says %d at most:\n%s", x.operation, len(c.asked), most, strings.Join(c.asked, "\n"))
		}
		c.mu.Unlock()
	}
}
