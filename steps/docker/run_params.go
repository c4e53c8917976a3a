package docker

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-connections/nat"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

type healthcheck struct {
	Test        steps.Texts   `param:"test" need:"yes" doc:"The command as a list; one text is run by the container's shell."`
	Interval    time.Duration `param:"interval" doc:"How long between two checks; the engine's 30s if not given."`
	Timeout     time.Duration `param:"timeout" doc:"How long one check may take; the engine's 30s if not given."`
	StartPeriod time.Duration `param:"start_period" doc:"How long failures do not count after the start."`
	Retries     int64         `param:"retries" doc:"How many failures in a row make it unhealthy; the engine's 3 if not given."`
}

type runSpec struct {
	Name        string                  `param:"name" need:"yes" doc:"The container's name."`
	Image       string                  `param:"image" doc:"The image. It must be given, unless like is."`
	Like        string                  `param:"like" doc:"A container whose image, command, environment, mounts, networks and so on hold wherever this step says nothing else. Environment, labels and volumes of the step are added to its own. When it is gone, one that was made of it by the same words is taken as it is."`
	Command     steps.Texts             `param:"command" doc:"The command and its arguments, in place of the image's; one text is one argument."`
	Entrypoint  steps.Texts             `param:"entrypoint" doc:"In place of the image's entrypoint."`
	Env         map[string]engine.Value `param:"env" doc:"Environment variables. Whoever may inspect the container can read them."`
	Ports       []string                `param:"ports" doc:"Published ports: 8080:80, 127.0.0.1:8080:80, 53:53/udp."`
	Volumes     []string                `param:"volumes" doc:"Mounts: /on/the/host:/in/the/container, name:/in/the/container, either with :ro."`
	VolumesFrom []string                `param:"volumes_from" doc:"Containers whose mounts this one gets, too, at the same places; name:ro for reading only."`
	Network     string                  `param:"network" doc:"The network; without it the engine's default. host and none are networks, too."`
	Aliases     []string                `param:"aliases" doc:"Further names of the container in its network."`
	Labels      map[string]string       `param:"labels" doc:"Labels. Those that begin with handrail. are set by Handrail."`
	Restart     string                  `param:"restart" default:"no" doc:"The restart policy: no, always, unless-stopped, on-failure, or on-failure:5."`
	Healthcheck *healthcheck            `param:"healthcheck" doc:"How the engine checks the container's health, in place of the image's check."`
	User        string                  `param:"user" doc:"The user, as name, uid or uid:gid."`
	Dir         string                  `param:"dir" doc:"The working folder in the container."`
	Hostname    string                  `param:"hostname" doc:"The host name in the container."`
	Memory      *steps.Size             `param:"memory" doc:"The most memory that it may use."`
	CPUs        float64                 `param:"cpus" doc:"The most processors that it may use, such as 1.5."`
	ReadOnly    bool                    `param:"read_only" default:"false" doc:"The container's own files cannot be written."`
	Init        bool                    `param:"init" default:"false" doc:"A small init process reaps children and passes signals on."`

	// What follows says how the step goes about it. It is no part of the configuration.

	Pull      string         `param:"pull" enum:"never,missing,always" default:"never" doc:"Whether the image is pulled first. Without it a missing image is an error, and nothing is done."`
	Healthy   time.Duration  `param:"healthy" doc:"How long it may take to become healthy, or to run steadily where it has no health check."`
	Detach    *bool          `param:"detach" default:"true" doc:"false is the same as wait: exit."`
	Wait      string         `param:"wait" enum:"start,exit" default:"start" doc:"exit: it is a job. The step lasts until it ends, and its exit code is the step's; then the step is unrepeatable."`
	KillAfter *time.Duration `param:"kill_after" default:"5s" doc:"How long a job has to end by itself after SIGTERM, when the step is cut short."`
}

type runParams struct {
	Run runSpec `param:"run" need:"yes" doc:"The container."`
}

// job: the step lasts until the container has ended.
func (p runSpec) job() bool { return p.Wait == "exit" || p.Detach != nil && !*p.Detach }

// Words that say how the step pulls.
const (
	pullNever   = "never"
	pullMissing = "missing"
	pullAlways  = "always"
)

func checkRun(params engine.Record) []engine.Problem {
	spec := part(params, "run")
	out := checkNames("name", spec["name"])
	if s, ok := spec["image"].(string); ok {
		if err := checkImage(s); err != nil {
			out = append(out, engine.Problem{Path: "image", Message: err.Error()})
		}
	}
	_, image := spec["image"]
	_, like := spec["like"]
	if _, known := params["run"].(engine.Record); known && !image && !like {
		out = append(out, engine.Problem{Path: "image", Message: "is missing; say it, or name a container by like"})
	}
	if like && spec["like"] == spec["name"] {
		out = append(out, engine.Problem{Path: "like", Message: "names the container itself; give the new one another name"})
	}
	out = append(out, checkName("like", "container", spec["like"])...)
	out = append(out, checkEach(spec, "volumes_from", checkVolumesFrom)...)
	out = append(out, checkEnv("env", spec["env"])...)
	out = append(out, checkLabels(spec)...)
	out = append(out, checkEach(spec, "ports", func(s string) error { _, err := nat.ParsePortSpec(s); return err })...)
	out = append(out, checkEach(spec, "volumes", func(s string) error { _, err := parseVolume(s, "/"); return err })...)
	if s, ok := spec["restart"].(string); ok {
		if _, err := parseRestart(s); err != nil {
			out = append(out, engine.Problem{Path: "restart", Message: err.Error()})
		}
	}
	out = append(out, checkRunWays(spec)...)
	return within("run", out)
}

// checkRunWays finds ways to go about it that contradict each other.
func checkRunWays(spec engine.Record) []engine.Problem {
	var out []engine.Problem
	detach, given := spec["detach"].(bool)
	job := spec["wait"] == "exit" || given && !detach
	if given && !detach && spec["wait"] == "start" {
		out = append(out, engine.Problem{Path: "wait", Message: "start contradicts detach: false"})
	}
	_, waits := spec["healthy"]
	if job && waits {
		out = append(out, engine.Problem{Path: "healthy", Message: "a job is waited for until it ends; it cannot be waited for until it is healthy"})
	}
	if policy, ok := spec["restart"].(string); job && ok && policy != "no" {
		out = append(out, engine.Problem{Path: "restart", Message: "a job ends; its restart policy can only be no"})
	}
	if d, known := durationOf(spec["healthy"]); known && d <= 0 {
		out = append(out, engine.Problem{Path: "healthy", Message: "must be longer than 0s; leave it out to not wait"})
	}
	if d, known := durationOf(spec["kill_after"]); known && d < 0 {
		out = append(out, engine.Problem{Path: "kill_after", Message: "cannot be negative"})
	}
	return out
}

func checkEach(spec engine.Record, name string, check func(string) error) []engine.Problem {
	var out []engine.Problem
	items, _ := spec[name].(engine.List)
	for i, e := range items {
		if s, ok := e.(string); ok {
			if err := check(s); err != nil {
				out = append(out, engine.Problem{Path: fmt.Sprintf("%s[%d]", name, i), Message: err.Error()})
			}
		}
	}
	return out
}

func checkVolumesFrom(s string) error {
	name, mode, given := strings.Cut(s, ":")
	if message := badName("container", name); message != "" {
		return errors.New(message)
	}
	if given && mode != "ro" && mode != "rw" {
		return fmt.Errorf("%q ends with %q; only ro and rw can stand there", s, mode)
	}
	return nil
}

// judgeRun: a service is moved to a stated condition; a job has an effect each time that it is run.
func judgeRun(params engine.Record) engine.Judgement {
	j := engine.Judgement{Class: engine.ClassIdempotent, Risk: engine.RiskChanges, Problems: checkRun(params), Remarks: remarks(params)}
	spec := part(params, "run")
	_, openWait := spec["wait"].(engine.Unknown)
	_, openDetach := spec["detach"].(engine.Unknown)
	_, open := params["run"].(engine.Unknown)
	detach, given := spec["detach"].(bool)
	if open || openWait || openDetach || spec["wait"] == "exit" || given && !detach {
		j.Class = engine.ClassUnrepeatable
	}
	return j
}

// parseVolume makes the engine's form of a mount: a path that begins with a dot is relative to dir.
func parseVolume(s, dir string) (string, error) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !strings.HasPrefix(parts[1], "/") {
		return "", fmt.Errorf("%q is not a mount such as /on/the/host:/in/the/container or name:/in/the/container:ro", s)
	}
	if len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" {
		return "", fmt.Errorf("%q ends with %q; only ro and rw can stand there", s, parts[2])
	}
	switch {
	case parts[0] == "." || strings.HasPrefix(parts[0], "./") || strings.HasPrefix(parts[0], "../"):
		parts[0] = filepath.Join(dir, parts[0])
	case !strings.HasPrefix(parts[0], "/"):
		if bad := badName("volume", parts[0]); bad != "" {
			return "", fmt.Errorf("%q is neither a path nor the name of a volume; a relative path begins with ./", parts[0])
		}
	}
	return strings.Join(parts, ":"), nil
}
