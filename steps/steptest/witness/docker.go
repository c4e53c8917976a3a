package witness

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// DockerEvents are what a Docker engine tells of those things in whose names, labels or commands one of the marks stands. The engine
// may be used by others meanwhile, so a mark must be a name that the test alone has. What the engine does by itself to find out
// whether a container is well is left out.
func DockerEvents(host string, marks ...string) Watch {
	return func(t testing.TB) func() []string {
		t.Helper()
		if len(marks) == 0 {
			t.Fatal("nothing tells the events of this test from those of others")
		}
		c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		stream, errs := c.Events(ctx, events.ListOptions{})
		// The stream is open when a mark of the witness comes through it; until then another one is made.
		for open := false; !open; {
			witnessMark(ctx, t, c)
			select {
			case m := <-stream:
				open = strings.HasPrefix(m.Actor.ID, markPrefix)
			case err := <-errs:
				t.Fatalf("the events of Docker: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
		}
		return func() []string {
			t.Helper()
			defer func() { cancel(); _ = c.Close() }()
			last := witnessMark(ctx, t, c)
			var found []string
			for {
				var m events.Message
				select {
				case m = <-stream:
				case err := <-errs:
					t.Fatalf("the events of Docker: %v", err)
				}
				if m.Actor.ID == last {
					return found
				}
				if text := told(m); !byItself(ctx, c, m) && slices.ContainsFunc(marks, func(mark string) bool { return strings.Contains(text, mark) }) {
					found = append(found, text)
				}
			}
		}
	}
}

const markPrefix = "handrail-witness-"

// witnessMark makes a volume of a name of its own, and removes it: the engine tells of both.
func witnessMark(ctx context.Context, t testing.TB, c *client.Client) string {
	t.Helper()
	name := markPrefix + strings.ToLower(rand.Text())
	_, err := c.VolumeCreate(ctx, volume.CreateOptions{Name: name})
	if err == nil {
		err = c.VolumeRemove(ctx, name, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func told(m events.Message) string {
	attributes, err := json.Marshal(m.Actor.Attributes)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %s %s %s", m.Type, m.Action, m.Actor.ID, attributes)
}

// byItself: it is what comes of a start or an end, of which the engine tells by another event as well when somebody wants it; or
// the engine asks a container for its health, by a command in it.
func byItself(ctx context.Context, c *client.Client, m events.Message) bool {
	action := string(m.Action)
	switch {
	case m.Type == events.VolumeEventType:
		return action == "mount" || action == "unmount"
	case m.Type == events.NetworkEventType:
		return action == "disconnect" && !runs(ctx, c, m.Actor.Attributes["container"])
	case m.Type != events.ContainerEventType:
		return false
	case strings.HasPrefix(action, "health_status"), action == "exec_die", action == "die":
		return true
	}
	_, command, isExec := strings.Cut(action, ": ")
	if !isExec || !strings.HasPrefix(action, "exec_") {
		return false
	}
	is, err := c.ContainerInspect(ctx, m.Actor.ID)
	if err != nil || is.Config == nil || is.Config.Healthcheck == nil || len(is.Config.Healthcheck.Test) < 2 {
		return false
	}
	test := is.Config.Healthcheck.Test[1:]
	if is.Config.Healthcheck.Test[0] == "CMD-SHELL" {
		test = append([]string{"/bin/sh", "-c"}, test...)
	}
	return strings.TrimSpace(command) == strings.Join(test, " ")
}

func runs(ctx context.Context, c *client.Client, container string) bool {
	is, err := c.ContainerInspect(ctx, container)
	return err == nil && is.State != nil && is.State.Running
}
