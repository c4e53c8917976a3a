package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/handrail-dev/handrail/engine"
)

// hub is a registry that serves one image with one layer, of random content so that no engine has it yet.
type hub struct {
	*httptest.Server
	mu       sync.Mutex
	blobs    map[string][]byte
	manifest []byte
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

func newHub(w *world) *hub {
	r := &hub{blobs: map[string][]byte{}}
	r.fill(w)
	r.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		m := r.manifest
		switch name := path.Base(req.URL.Path); {
		case req.URL.Path == "/v2/":
		case strings.Contains(req.URL.Path, "/manifests/") && (name == "1" || name == digest.FromBytes(m).String()):
			out.Header().Set("Content-Type", manifestType)
			out.Header().Set("Docker-Content-Digest", digest.FromBytes(m).String())
			_, _ = out.Write(m)
		case strings.Contains(req.URL.Path, "/blobs/") && r.blobs[name] != nil:
			_, _ = out.Write(r.blobs[name])
		default:
			http.NotFound(out, req)
		}
	}))
	w.t.Cleanup(r.Close)
	return r
}

// fill makes a new image under the same tag.
func (r *hub) fill(w *world) {
	w.t.Helper()
	content := make([]byte, 4<<20)
	_, _ = rand.Read(content)
	var layer, zipped bytes.Buffer
	files := tar.NewWriter(&layer)
	w.must(files.WriteHeader(&tar.Header{Name: "random", Mode: 0o644, Size: int64(len(content))}))
	_, err := files.Write(content)
	w.must(err)
	w.must(files.Close())
	zip := gzip.NewWriter(&zipped)
	_, err = zip.Write(layer.Bytes())
	w.must(err)
	w.must(zip.Close())
	config := w.json(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest.FromBytes(layer.Bytes()).String()}}})
	r.mu.Lock()
	defer r.mu.Unlock()
	describe := func(kind string, b []byte) map[string]any {
		d := digest.FromBytes(b).String()
		r.blobs[d] = b
		return map[string]any{"mediaType": kind, "size": len(b), "digest": d}
	}
	r.manifest = w.json(map[string]any{"schemaVersion": 2, "mediaType": manifestType,
		"config": describe("application/vnd.docker.container.image.v1+json", config),
		"layers": []any{describe("application/vnd.docker.image.rootfs.diff.tar.gzip", zipped.Bytes())}})
}

func (w *world) json(v any) []byte {
	w.t.Helper()
	b, err := json.Marshal(v)
	w.must(err)
	return b
}

func TestPullBringsWhatTheRegistryHas(t *testing.T) {
	w := newWorld(t)
	r := newHub(w)
	ref := strings.TrimPrefix(r.URL, "http://") + "/" + w.prefix + ":1"
	ids := map[string]bool{} // a tag that moves on leaves the image before it behind
	t.Cleanup(func() {
		for id := range ids {
			if _, err := w.plain.ImageRemove(context.Background(), id, image.RemoveOptions{Force: true}); err != nil {
				t.Errorf("remove the test's image: %v", err)
			}
		}
	})
	pull := func(policy string) engine.Record {
		t.Helper()
		s := w.step("pull", engine.Record{"pull": engine.List{ref}, "policy": policy})
		out := s.ok()
		ids[out["images"].(engine.List)[0].(engine.Record)["id"].(string)] = true
		if len(out["changed"].(engine.List)) > 0 {
			w.says(strings.Join(s.seat.progress, " "), "bytes")
		}
		return out
	}
	i := w.step("pull", engine.Record{"pull": ref}).preview()
	if i.Standing != engine.StandingWould || i.Facts[0].Value != "not on the engine" {
		t.Errorf("preview %+v", i)
	}
	for _, c := range []struct {
		policy  string
		newer   bool
		changed int
	}{{"missing", false, 1}, {"missing", true, 0}, {"always", false, 1}, {"always", false, 0}} {
		if c.newer {
			r.fill(w)
		}
		out := pull(c.policy)
		if n := len(out["changed"].(engine.List)); n != c.changed || n+len(out["already"].(engine.List)) != 1 {
			t.Errorf("%+v: %v", c, out)
		}
	}
	if i := w.step("pull", engine.Record{"pull": ref, "policy": "missing"}).preview(); i.Standing != engine.StandingAlready {
		t.Errorf("preview %+v", i)
	}
	w.step("pull", engine.Record{"pull": strings.TrimSuffix(ref, ":1") + ":2"}).failed(engine.EffectNone, "the registry has no such image")
}
