package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// stateAbsent is the state of a container that is not there; the engine has no word for it.
const stateAbsent = "absent"

const stateExited = apicontainer.StateExited

// shown is a container as the engine shows it now.
type shown struct {
	name, id       string
	state, health  string
	image, imageID string
	created        time.Time
	started        time.Time // zero: never
	finished       time.Time // zero: never
	exitCode       int64
	oomKilled      bool
	trouble        string // why the engine could not start it
	restarts       int64
	restartPolicy  string
	tty            bool
	labels         map[string]string
	networks       map[string]string
	lastCheck      string // what the last health check printed

	raw apicontainer.InspectResponse
}

// look asks for a container by name or id. found is false when there is none.
func (c *connection) look(ctx context.Context, name string) (s shown, found bool, err error) {
	r, err := c.ContainerInspect(ctx, name)
	if notFound(err) {
		steps.Saw(ctx, "container "+name, stateAbsent)
		return shown{name: name, state: stateAbsent}, false, nil
	}
	if err != nil {
		return shown{}, false, fmt.Errorf("look at container %s: %w", name, c.explain(ctx, err))
	}
	s = readShown(r)
	steps.Saw(ctx, "container "+name, "container "+brief(s.id)+" of image "+brief(s.imageID))
	return s, true, nil
}

// brief is an id as it is shown: long enough that no other has it.
func brief(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 16)]
}

func readShown(r apicontainer.InspectResponse) shown {
	s := shown{raw: r, labels: map[string]string{}, networks: map[string]string{}, health: apicontainer.NoHealthcheck}
	if b := r.ContainerJSONBase; b != nil {
		s.name, s.id, s.imageID, s.restarts = strings.TrimPrefix(b.Name, "/"), b.ID, b.Image, int64(b.RestartCount)
		s.created = parseTime(b.Created)
		if b.HostConfig != nil {
			s.restartPolicy = string(b.HostConfig.RestartPolicy.Name)
			if s.restartPolicy == "" {
				s.restartPolicy = string(apicontainer.RestartPolicyDisabled)
			}
		}
		s.readState(b.State)
	}
	if r.Config != nil {
		s.image, s.tty = r.Config.Image, r.Config.Tty
		for k, v := range r.Config.Labels {
			s.labels[k] = v
		}
	}
	if r.NetworkSettings != nil {
		for name, n := range r.NetworkSettings.Networks {
			if n != nil {
				s.networks[name] = n.IPAddress
			}
		}
	}
	return s
}

func (s *shown) readState(st *apicontainer.State) {
	if st == nil {
		return
	}
	s.state, s.exitCode, s.oomKilled, s.trouble = st.Status, int64(st.ExitCode), st.OOMKilled, st.Error
	s.started, s.finished = parseTime(st.StartedAt), parseTime(st.FinishedAt)
	if st.Health != nil && st.Health.Status != "" {
		s.health = st.Health.Status
		if n := len(st.Health.Log); n > 0 && st.Health.Log[n-1] != nil {
			s.lastCheck = strings.TrimSpace(st.Health.Log[n-1].Output)
		}
	}
}

// parseTime reads the engine's times; it writes year 1 for never.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

func (s shown) running() bool { return s.state == apicontainer.StateRunning }

// up: there is a process of it, or will be at once.
func (s shown) up() bool {
	return s.running() || s.state == apicontainer.StatePaused || s.state == apicontainer.StateRestarting
}

func (s shown) paused() bool { return s.state == apicontainer.StatePaused }

// removing: a removal that was asked for before is under way.
func (s shown) removing() bool { return s.state == apicontainer.StateRemoving }

// joined: it is in a network, whether it runs or not.
func (s shown) joined(network string) bool {
	_, ok := s.networks[network]
	return ok
}

// containerShape declares what record gives.
func containerShape() engine.Shape {
	text, integer := engine.Of(engine.TypeText), engine.Of(engine.TypeInteger)
	when, truth := engine.Of(engine.TypeTime), engine.Of(engine.TypeBool)
	return engine.RecordOf(
		engine.Field{Name: "name", Shape: text, Doc: "Its name."},
		engine.Field{Name: "id", Shape: text, Doc: "Its full id; null when it is absent."},
		engine.Field{Name: "state", Shape: text, Doc: "created, running, paused, restarting, removing, exited, dead or absent."},
		engine.Field{Name: "health", Shape: text, Doc: "healthy, unhealthy, starting, or none where there is no health check."},
		engine.Field{Name: "image", Shape: text, Doc: "The image as it was named when the container was made."},
		engine.Field{Name: "image_id", Shape: text, Doc: "The id of that image."},
		engine.Field{Name: "created_at", Shape: when, Doc: "When it was made."},
		engine.Field{Name: "started_at", Shape: when, Doc: "When it was started last; null if never."},
		engine.Field{Name: "finished_at", Shape: when, Doc: "When it ended last; null if never."},
		engine.Field{Name: "exit_code", Shape: integer, Doc: "The exit code of its last end; 0 while it runs."},
		engine.Field{Name: "oom_killed", Shape: truth, Doc: "It was ended because it used too much memory."},
		engine.Field{Name: "error", Shape: text, Doc: "Why the engine could not start it; empty otherwise."},
		engine.Field{Name: "restart_count", Shape: integer, Doc: "How often its restart policy has restarted it."},
		engine.Field{Name: "restart_policy", Shape: text, Doc: "no, always, unless-stopped or on-failure."},
		engine.Field{Name: "labels", Shape: engine.MapOf(text), Doc: "Its labels."},
		engine.Field{Name: "networks", Shape: engine.MapOf(text), Doc: "Its networks, each with its address there."},
	)
}

func (s shown) record() engine.Record {
	return engine.Record{
		"name": s.name, "id": textOrNull(s.id), "state": s.state, "health": textOrNull(s.health),
		"image": textOrNull(s.image), "image_id": textOrNull(s.imageID),
		"created_at": timeOrNull(s.created), "started_at": timeOrNull(s.started), "finished_at": timeOrNull(s.finished),
		"exit_code": s.exitCode, "oom_killed": s.oomKilled, "error": s.trouble,
		"restart_count": s.restarts, "restart_policy": textOrNull(s.restartPolicy),
		"labels": texts(s.labels), "networks": texts(s.networks),
	}
}

func textOrNull(s string) engine.Value {
	if s == "" {
		return nil
	}
	return s
}

func timeOrNull(t time.Time) engine.Value {
	if t.IsZero() {
		return nil
	}
	return t
}

func texts(m map[string]string) engine.Record {
	out := make(engine.Record, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// says is what is known of a container in one line: "running, healthy, up 3 h, image redis:7".
func (s shown) says(now time.Time) string {
	if s.state == stateAbsent {
		return "there is no such container"
	}
	parts := []string{s.state}
	if s.health != apicontainer.NoHealthcheck && s.up() {
		parts = append(parts, s.health)
	}
	switch {
	case s.up() && !s.started.IsZero():
		parts = append(parts, "up "+span(now.Sub(s.started)))
	case !s.finished.IsZero():
		parts = append(parts, fmt.Sprintf("with code %d %s ago", s.exitCode, span(now.Sub(s.finished))))
	}
	return strings.Join(append(parts, "image "+s.image), ", ")
}

// span is a duration as people say it, in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int64(d/time.Second)))
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func (s shown) fact(now time.Time) engine.Fact {
	return engine.Fact{Name: s.name, Value: s.says(now)}
}
