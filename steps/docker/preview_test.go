package docker

import (
	"errors"
	"strings"
	"testing"
	"time"

	apicontainer "github.com/docker/docker/api/types/container"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/steptest/servers"
)

func TestPreviewSaysWhatTheRealRunWouldDo(t *testing.T) {
	w := newWorld(t)
	up, down, gone := w.up("up"), w.create("down", &apicontainer.HostConfig{}, apicontainer.Config{}), w.name("gone")
	w.run("svc", nil).ok()
	for _, c := range []struct {
		name, operation string
		params          engine.Record
		standing        engine.Standing
		would           string
		count           int64
	}{
		{"restart", "restart", engine.Record{"restart": engine.List{up, down}, "healthy": time.Minute}, engine.StandingWould, "restart " + up + ", " + down + ", each healthy within 1m0s", 2},
		{"start one of two", "start", engine.Record{"start": engine.List{up, down}}, engine.StandingWould, "start " + down, 1},
		{"start none", "start", engine.Record{"start": up}, engine.StandingAlready, "already started", 0},
		{"stop none", "stop", engine.Record{"stop": down}, engine.StandingAlready, "already stopped", 0},
		{"remove none", "remove", engine.Record{"remove": gone}, engine.StandingAlready, "already removed", 0},
		{"stop a missing one", "stop", engine.Record{"stop": engine.List{up, gone}}, engine.StandingUnknown, "", 1},
		{"run what runs", "run", engine.Record{"run": engine.Record{"name": w.name("svc"), "image": servers.Image, "command": engine.List{"sleep", "600"}}}, engine.StandingAlready, "runs already", 0},
		{"run a foreign one", "run", engine.Record{"run": engine.Record{"name": up, "image": servers.Image}}, engine.StandingUnknown, "", 0},
		{"run a new one", "run", engine.Record{"run": engine.Record{"name": gone, "image": servers.Image}}, engine.StandingWould, "run " + gone, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := w.step(c.operation, c.params).preview()
			if i.Standing != c.standing || !strings.Contains(i.Would, c.would) {
				t.Errorf("%s: %q (%s)", i.Standing, i.Would, i.Why)
			}
			if f := i.Figures[0]; f.Value != c.count || f.Certainty != engine.FigureExact {
				t.Errorf("figure %+v", f)
			}
			if i.Standing == engine.StandingUnknown && (i.Why == "" || len(i.Warnings) == 0) {
				t.Error("unknown without a reason")
			}
			if len(i.Facts) == 0 || i.Facts[0].Value == "" {
				t.Error("it tells no facts")
			}
		})
	}
	i := w.step("inspect", engine.Record{"inspect": up}).preview()
	w.says(i.Facts[0].Value, "running", "up ", "image "+servers.Image)
}

func TestPreviewWarnsOfARestartPolicy(t *testing.T) {
	w := newWorld(t)
	n := w.create("always", &apicontainer.HostConfig{RestartPolicy: apicontainer.RestartPolicy{Name: "always"}}, apicontainer.Config{})
	w.step("start", engine.Record{"start": n}).ok()
	w.says(strings.Join(w.step("stop", engine.Record{"stop": n}).preview().Warnings, " "), "restart policy always")
}

func TestPreviewOfExecNamesTheCommand(t *testing.T) {
	w := newWorld(t)
	i := w.exec(w.up("up"), "rm -rf /data").preview()
	if i.Standing != engine.StandingWould || i.Details[0] != `sh -c "rm -rf /data"` {
		t.Errorf("%+v", i)
	}
	if i := w.exec(w.create("down", nil, apicontainer.Config{}), "true").preview(); i.Standing != engine.StandingUnknown {
		t.Errorf("%+v", i)
	}
}

func TestMistakesInParametersAreFoundWhenLoading(t *testing.T) {
	for _, c := range []struct {
		operation string
		params    engine.Record
		path      string
	}{
		{"restart", engine.Record{"restart": engine.List{}}, "restart"},
		{"restart", engine.Record{"restart": engine.List{"a", "a"}}, "restart[1]"},
		{"stop", engine.Record{"stop": "a/../b"}, "stop"},
		{"stop", engine.Record{"stop": "a", "grace": -time.Second}, "grace"},
		{"start", engine.Record{"start": "a", "healthy": time.Duration(0)}, "healthy"},
		{"logs", engine.Record{"logs": "a", "tail": int64(5000)}, "tail"},
		{"exec", engine.Record{"exec": engine.Record{"container": "a", "argv": engine.List{}}}, "exec.argv"},
		{"exec", engine.Record{"exec": engine.Record{"container": "a", "argv": engine.List{"x"}, "env": engine.Record{"HANDRAIL_TOKEN": "x"}}}, "exec.env.HANDRAIL_TOKEN"},
		{"run", engine.Record{"run": engine.Record{"name": "a", "image": "UPPER:1"}}, "run.image"},
		{"run", engine.Record{"run": engine.Record{"name": "a", "image": "b", "ports": engine.List{"x:y"}}}, "run.ports[0]"},
		{"run", engine.Record{"run": engine.Record{"name": "a", "image": "b", "volumes": engine.List{"x"}}}, "run.volumes[0]"},
		{"run", engine.Record{"run": engine.Record{"name": "a", "image": "b", "restart": "sometimes"}}, "run.restart"},
		{"run", engine.Record{"run": engine.Record{"name": "a", "image": "b", "wait": "exit", "healthy": time.Second}}, "run.healthy"},
		{"run", engine.Record{"run": engine.Record{"name": "a", "image": "b", "labels": engine.Record{"handrail.run": "x"}}}, "run.labels.handrail.run"},
		{"copy", engine.Record{"copy": engine.Record{"from": "a:/x", "to": "b:/x"}}, "copy.to"},
		{"copy", engine.Record{"copy": engine.Record{"from": "a:x", "to": "y"}}, "copy.from"},
		{"pull", engine.Record{"pull": engine.List{"UPPER:1"}}, "pull[0]"},
	} {
		op, ok := New().Define().Operation(c.operation)
		if !ok {
			t.Fatal(c.operation)
		}
		problems := op.Judge(engine.Proposal{Params: c.params}).Problems
		if len(problems) != 1 || problems[0].Path != c.path {
			t.Errorf("%s %v: %v, want one at %s", c.operation, c.params, problems, c.path)
		}
		var p engine.Problem
		if _, err := New().Decode(c.operation, c.params); !errors.As(err, &p) || p.Path != c.path {
			t.Errorf("%s %v decodes with %v", c.operation, c.params, err)
		}
		if problems := op.Judge(engine.Proposal{Params: engine.Record{op.Key: engine.Unknown{}}}).Problems; len(problems) > 0 {
			t.Errorf("%s: a template is a mistake: %v", c.operation, problems)
		}
	}
}

func TestEverythingThatIsDeclaredIsExplained(t *testing.T) {
	var check func(path string, s engine.Shape)
	check = func(path string, s engine.Shape) {
		for _, f := range s.Fields {
			if f.Doc == "" {
				t.Errorf("%s.%s has no doc", path, f.Name)
			}
			check(path+"."+f.Name, f.Shape)
		}
		if s.Elem != nil {
			check(path+"[]", *s.Elem)
		}
	}
	def := New().Define()
	check("target", def.Targets[0].Settings)
	for _, o := range def.Operations {
		if o.Doc == "" || o.Example == "" || o.Class == engine.ClassUnset || o.Judge == nil || o.Key == "" {
			t.Errorf("%s is not complete", o.Name)
		}
		check(o.Name, o.Params)
		check(o.Name, o.Result)
	}
}
