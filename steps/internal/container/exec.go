// Package container runs commands in the containers of a Docker engine.
//
// A command in a container is known by the id of its exec, which is there BEFORE it is started; its process
// does not end with its client. So the package can tell at any time whether a command was started, waits
// for its end, and ends it in its container, where its processes are found by the token in their
// environment.
//
// It opens no engine: whoever uses it brings an [Engine], and thereby what that lets through.
package container

import (
	"context"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	apicontainer "github.com/docker/docker/api/types/container"
)

const (
	// unreachableFor is how long an engine that does not answer is asked for the end of a command.
	unreachableFor = time.Minute
	// StartSettle is how long a request to start that was sent by a client now dead may still take
	// to be seen at work.
	StartSettle = 2 * time.Second
)

// Engine is what this package asks of a Docker engine.
type Engine interface {
	ContainerInspect(ctx context.Context, id string) (apicontainer.InspectResponse, error)
	ContainerExecCreate(ctx context.Context, id string, o apicontainer.ExecOptions) (apicontainer.ExecCreateResponse, error)
	ContainerExecAttach(ctx context.Context, exec string, o apicontainer.ExecAttachOptions) (types.HijackedResponse, error)
	ContainerExecStart(ctx context.Context, exec string, o apicontainer.ExecStartOptions) error
	// ExecState says how an exec stands. An error for which errdefs says "not found" means that the
	// engine does not know it any more.
	ExecState(ctx context.Context, exec string) (State, error)
	// Explain turns an error of the engine's client into a sentence for a person.
	Explain(ctx context.Context, err error) error
}

// State is what an engine says of an exec.
type State struct {
	Running  bool
	ExitCode *int64 // null until it has ended
	Pid      int64
}

// Ended: its exit code is known.
func (s State) Ended() bool { return !s.Running && s.ExitCode != nil }

// NotStarted: nobody has asked the engine to start it, as far as it knows.
func (s State) NotStarted() bool { return !s.Running && s.ExitCode == nil && s.Pid == 0 }

// NeverRan: the engine could not start the command, so it had no effect.
func (s State) NeverRan() bool {
	return s.Ended() && s.Pid == 0 && (*s.ExitCode == 126 || *s.ExitCode == 127)
}

// Unsure: what the engine says may not be how the command ended. It gives the code 126 to a command as soon
// as it cannot hand on its output to a client that is gone, and does not follow the process any more, which
// may be alive.
func (s State) Unsure() bool { return s.Ended() && s.Pid != 0 && *s.ExitCode == 126 }

// Code is the exit code; -1 while there is none.
func (s State) Code() int64 {
	if s.ExitCode == nil {
		return -1
	}
	return *s.ExitCode
}

// Started says whether an exec was started. A request to start may still be on its way to the engine, so
// "not started" counts only when it is said again a moment later.
func Started(ctx context.Context, e Engine, exec string) (s State, known bool) {
	deadline := time.Now().Add(StartSettle)
	err := Poll(ctx, func(ctx context.Context) (bool, error) {
		var err error
		s, err = e.ExecState(ctx, exec)
		return !s.NotStarted() || time.Now().After(deadline), err
	})
	return s, err == nil
}

// Await asks for the end of a command until the engine tells it. An engine that is away for a while is
// asked again.
func Await(ctx context.Context, e Engine, exec string) (State, error) {
	var s State
	answered := time.Now()
	err := Poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := e.ExecState(ctx, exec)
		switch {
		case err == nil:
			s, answered = now, time.Now()
			return s.Ended(), nil
		case cerrdefs.IsNotFound(err):
			return false, fmt.Errorf("the engine does not know the command's exec any more: %w", err)
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case time.Since(answered) > unreachableFor:
			return false, fmt.Errorf("the engine does not say how the command ended: %w", e.Explain(ctx, err))
		}
		return false, nil
	})
	return s, err
}
