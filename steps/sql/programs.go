package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
	"github.com/handrail-dev/handrail/steps/internal/container"
	"github.com/handrail-dev/handrail/steps/internal/host"
	"github.com/handrail-dev/handrail/steps/internal/remote"
)

// Containers is the kind by which the engine is reached in whose containers a program that dumps may run.
type Containers interface {
	steps.Kind
	steps.Connector
}

// programSettings say where the programs run that dump a server. What they write comes here.
type programSettings struct {
	SSH       *remote.Settings        `param:"ssh" doc:"on another machine, which is reached over ssh; the settings are those of a target of type ssh"`
	Container string                  `param:"container" doc:"in this container, by name or id; it must run"`
	Docker    map[string]engine.Value `param:"docker" doc:"the Docker engine of the container; the settings are those of a target of type docker, and {} is the usual one"`
	User      string                  `param:"user" doc:"the user in the container, as name, uid or uid:gid; without it, the container's own"`
	Address   string                  `param:"address" doc:"the server's address as the program there sees it, such as 127.0.0.1:3306; otherwise the target's"`
	TLS       *tlsFiles               `param:"tls" doc:"if the target's tls names files: where they are there"`
}

// tlsFiles are those of the machine or the container in which a program runs.
type tlsFiles struct {
	CA   string `param:"ca" doc:"file with the authorities to trust, PEM"`
	Cert string `param:"cert" doc:"file with the client's certificate, PEM"`
	Key  string `param:"key" doc:"file with the client's key, PEM"`
}

// programsShape is that of the settings of a target, in which those of an engine are as its kind declares them.
func programsShape(settings engine.Shape, containers Containers) engine.Shape {
	fields := append([]engine.Field(nil), settings.Fields...)
	for i, f := range fields {
		if f.Name != "programs" {
			continue
		}
		inner := append([]engine.Field(nil), f.Shape.Fields...)
		for j, g := range inner {
			if g.Name == "docker" {
				inner[j].Shape = containers.Define().Targets[0].Settings
			}
		}
		fields[i].Shape.Fields = inner
	}
	settings.Fields = fields
	return settings
}

// check finds what contradicts itself.
func (s *programSettings) check(tls *tlsSettings) error {
	bad := func(path, why string) error { return engine.Problem{Path: "programs" + path, Message: why} }
	switch {
	case s == nil:
		return nil
	case s.SSH != nil && s.Container != "":
		return bad(".container", "say ssh or container, not both")
	case s.SSH == nil && s.Container == "":
		return bad("", "say where the programs run: ssh, or container")
	case s.SSH != nil && (s.Docker != nil || s.User != ""):
		return bad("", "docker and user are those of a container")
	case s.TLS != nil && tls == nil:
		return bad(".tls", "the target itself has no tls")
	case s.TLS == nil && tls != nil && (tls.CA != "" || tls.Cert != "" || tls.Key != ""):
		return bad("", "the files of the target's tls are not there where the programs run; say by `tls` here where they are")
	}
	return nil
}

// seen are the address and the TLS settings with which a program reaches the server from where it runs.
func (s *programSettings) seen(address string, tls *tlsSettings) (string, *tlsSettings) {
	if s == nil {
		return address, tls
	}
	if s.Address != "" {
		address = s.Address
	}
	if s.TLS != nil && tls != nil {
		tls = &tlsSettings{CA: steps.Path(s.TLS.CA), Cert: steps.Path(s.TLS.Cert), Key: steps.Path(s.TLS.Key), ServerName: tls.ServerName}
	}
	return address, tls
}

// programPlace is where the programs of a target run. It is opened when the first of them is needed.
type programPlace struct {
	settings   *programSettings // nil: this machine
	containers Containers
	access     steps.Access

	mu     sync.Mutex
	runner host.Runner
	conn   io.Closer
}

func (p *programPlace) elsewhere() bool { return p.settings != nil }

func (p *programPlace) String() string {
	switch {
	case p.settings == nil:
		return "on this machine"
	case p.settings.SSH != nil:
		return "on " + p.settings.SSH.Address + ", over ssh"
	}
	return "in container " + p.settings.Container
}

// open gives what runs programs there. Under a read-only access that is nothing but the proof that the place can
// be reached.
func (p *programPlace) open(ctx context.Context) (host.Runner, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.runner != nil:
		return p.runner, nil
	case p.settings == nil:
		p.runner = host.Local{}
		return p.runner, nil
	case p.settings.SSH != nil:
		c, err := remote.Open(ctx, *p.settings.SSH, p.access)
		if err != nil {
			return nil, fmt.Errorf("where the programs run that dump: %w", err)
		}
		p.runner, p.conn = remote.Jobs{Conn: c}, c
		return p.runner, nil
	}
	settings := engine.Record{}
	for name, v := range p.settings.Docker {
		settings[name] = v
	}
	conn, err := p.containers.Connect(ctx, steps.Target{Name: "programs.docker", Type: "docker", Settings: settings}, p.access)
	if err != nil {
		return nil, fmt.Errorf("where the programs run that dump: %w", err)
	}
	e, ok := conn.(container.Engine)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T runs no programs in containers", conn), conn.Close())
	}
	if err := runs(ctx, e, p.settings.Container); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.runner, p.conn = container.Runner{Engine: e, Container: p.settings.Container, User: p.settings.User}, conn
	return p.runner, nil
}

// runs: a container is there and runs.
func runs(ctx context.Context, e container.Engine, name string) error {
	s, err := e.ContainerInspect(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("where the programs run that dump: container %s: %w", name, e.Explain(ctx, err))
	case s.ContainerJSONBase == nil || s.State == nil || !s.State.Running:
		return fmt.Errorf("where the programs run that dump: container %s does not run; start it in a step before", name)
	}
	return nil
}

func (p *programPlace) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close()
	p.conn, p.runner = nil, nil
	return err
}

// piped lets a program find its settings at /dev/stdin: what sshd gives it there is a socket, which cannot be
// opened by that name.
func (p *programPlace) piped(j host.Job) host.Job {
	if p.settings != nil && p.settings.SSH != nil && j.Stdin != nil {
		j.Argv = append([]string{"sh", "-c", `cat | "$@"`, "handrail-dump"}, j.Argv...)
	}
	return j
}

// endLeft sends a signal to whatever carries the token of the first argument in its environment. It is given the
// token as an argument, so that it does not find itself.
const endLeft = `all=
for d in /proc/[0-9]*; do
  if tr '\000' '\n' <"$d/environ" 2>/dev/null | grep -qxF "` + host.TokenVariable + `=$1" 2>/dev/null; then all="$all ${d#/proc/}"; fi
done
[ -z "$all" ] || kill -"$2" $all 2>/dev/null
exit 0`

// alone ends what an earlier attempt has left running there: a dump that nobody takes in waits for ever for somebody
// who does, with a transaction open at the server. It only reads, so that ending it loses nothing.
func (p *programPlace) alone(ctx context.Context, r host.Runner, token string, say func(string)) error {
	left, err := r.Survivors(ctx, token)
	if err != nil {
		return fmt.Errorf("look for a program that an earlier attempt has left running %s: %w", p, err)
	}
	for _, signal := range []string{"TERM", "KILL"} {
		if len(left) == 0 {
			return nil
		}
		say(fmt.Sprintf("an earlier attempt has left a program running %s: it is ended (SIG%s)", p, signal))
		if _, err := r.Run(ctx, host.Job{Argv: []string{"sh", "-c", endLeft, "handrail-end", token, signal}, KillAfter: endLimit}); err != nil {
			return fmt.Errorf("end a program that an earlier attempt has left running %s: %w", p, err)
		}
		wait, cancel := context.WithTimeout(ctx, endLimit)
		left, err = host.AwaitGone(wait, r, token, func(string) {})
		cancel()
		if err != nil && len(left) == 0 {
			return err
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("%s, which an earlier attempt has left running %s, could not be ended; end it by hand", left[0], p)
}

// afterLost bounds the attempt to end a program to which the connection was lost.
const afterLost = 20 * time.Second

// abandoned ends a program whose end was not seen, as far as that can be done now. The next attempt does it otherwise.
func (p *programPlace) abandoned(ctx context.Context, r host.Runner, token string, say func(string)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterLost)
	defer cancel()
	if err := p.alone(ctx, r, token, say); err != nil {
		say("handrail: " + strings.ReplaceAll(err.Error(), "\n", " "))
	}
}
