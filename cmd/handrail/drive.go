package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"

	"golang.org/x/term"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/local"
	"github.com/handrail-dev/handrail/internal/mask"
)

// drive carries the run on until it ends, waits or is stopped; it says how it stands, and frees its locks
// when it has come to its final state.
func (s *session) drive(ctx context.Context) (engine.RunState, error) {
	s.pacer()
	s.progress = s.newProgress()
	for _, e := range s.early {
		s.progress.Event(e)
	}
	s.begin()
	state, err := s.driveWith(ctx)
	s.progress.Close()
	if err == nil && state.Final() {
		s.freeShared(context.WithoutCancel(ctx))
	}
	s.closeTargets()
	if err != nil {
		return state, coded{exitJournal, err}
	}
	if state.Final() {
		s.remember()
		s.freeHere(context.WithoutCancel(ctx))
	}
	return state, s.tell(state)
}

func (s *session) driveWith(ctx context.Context) (engine.RunState, error) {
	inbox, stop := context.WithCancel(ctx)
	s.inboxDone = make(chan struct{})
	requests := s.requests(inbox)
	defer func() { stop(); <-s.inboxDone }()
	signals := make(chan local.Signal, 2)
	defer s.app.takeSignals(s.stopper(signals))()
	if ctx.Err() != nil { // a signal came before there was a driver to tell
		signals <- local.Drain
	}
	events, executor := withCrashPoints(&s.app.points, s.journal, s.executor)
	d := &local.Driver{
		Run: s.run, Journal: events, Executor: executor, Clock: s.app.clock(), Random: rand.Float64,
		Requests: requests, Signals: signals, Observe: s.observe, Mask: s.app.masker.Text, MaskEnd: s.app.masker.End, Logs: s.log,
	}
	if s.shared != nil {
		d.Holds = s.holds
	}
	if s.app.attended() && !s.app.json() {
		d.Person = s.person
	}
	// The context does not end with a signal: the driver is told instead, and ends in order.
	return d.Drive(context.WithoutCancel(ctx))
}

// stopper turns the first signal into an orderly end, the second into a hasty one, and the third into one that
// waits for nothing, as a SIGKILL does: what was under way is found out by the next resume.
func (s *session) stopper(to chan<- local.Signal) func() {
	count := 0
	return func() {
		count++
		switch count {
		case 1:
			s.app.say("stopping: what reads ends now, an effect under way is finished and recorded; once more cancels it")
			to <- local.Drain
		case 2:
			s.app.say("cancelling what is under way; once more leaves it where it is")
			to <- local.Abort
		case 3:
			s.app.say("leaving at once; what is under way may go on without this process. Find out what became of it with: handrail resume %s", s.run.ID())
			if s.app.leave != nil {
				s.app.leave(int(exitInterrupted))
			}
		}
	}
}

func (s *session) observe(n local.Notice) {
	switch {
	case n.Event != nil:
		s.hearTime(n.Event.At)
		s.progress.Event(*n.Event)
		if s.pace != nil {
			s.pace.Hear(*n.Event)
		}
	case n.Started != nil:
		s.progress.Begun(n.Started, s.app.now())
	case n.Progress != nil:
		s.progress.Done(n.Progress.Step, n.Progress.Done, n.Progress.Total, n.Progress.Unit)
	}
	s.keepPace()
}

func (s *session) newProgress() view.Progress {
	if s.app.json() {
		return &view.JSON{W: s.app.stdout}
	}
	style := s.app.style(s.app.stderr)
	fd, tty := terminal(s.app.screen)
	if !tty || s.app.lookup("TERM") == "dumb" {
		return view.NewPlain(s.app.stderr, style, s.loaded.pb)
	}
	width := func() int {
		w, _, err := term.GetSize(fd)
		if err != nil || w <= 0 {
			return 80
		}
		return w
	}
	return view.NewLive(s.app.stderr, style, s.loaded.pb, s.run.View().Started, s.app.now, width)
}

func (s *session) person(ctx context.Context, c engine.AskPerson) engine.Event {
	s.progress.Hold()
	defer s.progress.Release()
	return s.app.askPerson(ctx, c, s.by)
}

// log opens the log of a step, behind the masker.
func (s *session) log(step string) (io.WriteCloser, error) {
	f, err := s.journal.Log(step)
	if err != nil {
		return nil, err
	}
	return maskedLog{s.app.masker.Writer(f), f}, nil
}

type maskedLog struct {
	*mask.Writer
	file journal.File
}

// Close writes what the masker still held back.
func (l maskedLog) Close() error { return errors.Join(l.Flush(), l.file.Close()) }

// tell says how the run stands now that this process leaves it, and gives its outputs.
func (s *session) tell(state engine.RunState) error {
	shown := view.Shown{Run: s.run, State: state, Reason: s.run.View().Reason, Now: s.app.now(), Folder: s.store.Folder(s.run.ID())}
	if err := view.Ended(s.app.stderr, s.app.style(s.app.stderr), shown); err != nil {
		return nil // a screen that is gone does not make a run fail
	}
	if !s.app.json() {
		view.WriteOutputs(s.app.stdout, s.run.Outputs())
	}
	return nil
}
