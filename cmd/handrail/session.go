package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/objective"
	"github.com/handrail-dev/handrail/engine/playbook"
	"github.com/handrail-dev/handrail/steps"
)

// session is a run in the hands of this process.
type session struct {
	app     *app
	store   *journal.Store
	journal *journal.Journal
	run     *engine.Run
	loaded  *loaded
	origin  journal.Origin
	pinned  journal.Pinned // of a run that was taken over
	by      engine.Person

	recorded  map[string]bool // requests in the inbox that the journal holds already
	inboxDone chan struct{}
	progress  view.Progress // nil until the run is driven
	executor  *steps.Executor
	shared    *sharedLocks // nil: the locks are this host's alone
	early     []engine.Stamped
	heard     time.Time       // when the last event was
	pace      *objective.Pace // nil: the playbook promises nothing
	paced     time.Time       // when it was last looked at
}

// record applies an event and makes it durable.
func (s *session) record(e engine.Event) error {
	stamped := engine.Stamped{At: s.app.now().UTC(), Event: e}
	s.hearTime(stamped.At)
	if err := s.run.Apply(stamped); err != nil {
		return err
	}
	if err := s.journal.Append([]engine.Stamped{stamped}, true); err != nil {
		return err
	}
	s.run.Synced()
	s.early = append(s.early, stamped)
	return nil
}

// close gives the run up. Whatever mattered is durable.
func (s *session) close() {
	s.closeTargets()
	if err := s.journal.Close(); err != nil {
		var fault *journal.Fault
		if !errors.As(err, &fault) { // a dead journal has said why already
			s.app.say("warning: %s", err)
		}
	}
}

// newRun makes the folder and the journal of a run, takes its locks, and records that it started.
func (a *app) newRun(ctx context.Context, l *loaded, r *reach, inputs engine.Record, patience time.Duration, plan string) (*session, error) {
	store, err := a.state()
	if err != nil {
		return nil, err
	}
	if err := a.sign(store); err != nil {
		return nil, err
	}
	base, err := a.base()
	if err != nil {
		return nil, err
	}
	s := &session{app: a, store: store, loaded: l, by: a.me(), recorded: map[string]bool{},
		origin: journal.Origin{Playbook: l.file, Dir: base}}
	if l.env != nil {
		s.origin.Environment, s.origin.EnvFile = l.env.Name, l.env.File
	}
	pinned := journal.Pinned{Playbook: l.src, Nested: l.nested, Environment: l.envSrc, Inputs: inputs, Origin: s.origin}
	if err := s.create(pinned); err != nil {
		return nil, err
	}
	started := a.now().UTC()
	id := s.journal.Run()
	holder := journal.HolderOf(id, l.pb.Name, store.Path(), s.by, started)
	s.openTargets(r, id)
	if err := s.takeLocks(ctx, r, l.pb.EveryLock(), holder, patience); err != nil {
		s.closeTargets()
		err = errors.Join(err, a.locks(store).Release(context.WithoutCancel(ctx), id, store.Path()))
		return nil, errors.Join(err, store.Discard(s.journal))
	}
	e := engine.RunStarted{Run: id, Playbook: l.pb.Name, PlaybookDigest: l.pb.Digest, Nested: l.pb.NestedDigests(), Inputs: engine.Typed{V: inputs},
		Started: started, By: s.by, Version: version, Environment: s.origin.Environment, Plan: plan}
	if l.env != nil {
		e.EnvDigest = l.env.Digest
	}
	s.run = engine.NewRun(l.pb, engine.Given{Secrets: r.secrets, Inputs: secretInputs(inputs), Targets: r.shown})
	if err := s.record(e); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// sign has the heads of journals signed, if there is a key for it.
func (a *app) sign(store *journal.Store) error {
	keys, err := a.signingKeys()
	if err == nil {
		store.SignWith(keys)
	}
	return err
}

// create makes a run under an id that nobody has.
func (s *session) create(p journal.Pinned) error {
	for range 100 {
		var random [4]byte
		if _, err := io.ReadFull(s.app.random, random[:]); err != nil {
			return fmt.Errorf("make the id of the run: %w", err)
		}
		var err error
		s.journal, err = s.store.Create(journal.NewID(s.app.now(), random), s.by, p)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.New("no id could be found for the run")
}

// told is what the journal says of a run before its playbook is loaded.
type told struct {
	started *engine.RunStarted
	digest  string // of the playbook that it runs under now
	nested  map[string]string
}

func (t *told) hear(e engine.Stamped) {
	switch e := e.Event.(type) {
	case engine.RunStarted:
		t.started, t.digest, t.nested = &e, e.PlaybookDigest, e.Nested
	case engine.PlaybookAdopted:
		t.digest, t.nested = e.Digest, e.Nested
	}
}

// replayer gives the events of a run.
type replayer func(func(engine.Stamped) error) error

// listenTo replays the journal to find out what the run was started with.
func listenTo(id string, replay replayer, also func(engine.Stamped)) (told, error) {
	var t told
	err := replay(func(e engine.Stamped) error {
		t.hear(e)
		if also != nil {
			also(e)
		}
		return nil
	})
	if err == nil && t.started == nil {
		err = fmt.Errorf("run %s: %w", id, journal.ErrNotBegun)
	}
	return t, err
}

// loadPinned loads what a run was started with.
func (a *app) loadPinned(store *journal.Store, id string, t told) (*loaded, journal.Pinned, error) {
	pinned, err := store.Pinned(id, t.digest, t.nested)
	if err != nil {
		return nil, pinned, err
	}
	l := &loaded{src: pinned.Playbook, nested: pinned.Nested, envSrc: pinned.Environment, file: pinned.Origin.Playbook}
	if pinned.Environment != nil {
		if l.env, err = playbook.LoadEnvironment(pinned.Origin.EnvFile, pinned.Environment, a.catalogue()); err != nil {
			return nil, pinned, fmt.Errorf("run %s: its pinned environment does not load: %w", id, err)
		}
		if t.started != nil && l.env.Digest != t.started.EnvDigest {
			return nil, pinned, &journal.Fault{Doing: "trust the pinned copy", Path: store.Folder(id, "environment.yaml"),
				Err: errors.New("it was changed after the run had started")}
		}
	}
	if l.pb, err = playbook.LoadTree(l.file, l.src, a.catalogue(), l.env, pinnedFinder(l.nested)); err != nil {
		return nil, pinned, fmt.Errorf("run %s: its pinned playbook does not load: %w", id, err)
	}
	return l, pinned, nil
}

// takeOver opens the journal of a run that nobody has in hand, and replays it. What of the journal had to
// be cut off is recorded.
func (a *app) takeOver(id string) (*session, error) {
	return a.takeOverWith(id, func(*loaded, journal.Pinned) (engine.Given, error) { return engine.Given{}, nil })
}

func (a *app) takeOverWith(id string, give func(*loaded, journal.Pinned) (engine.Given, error)) (_ *session, err error) {
	store, err := a.state()
	if err != nil {
		return nil, err
	}
	if err := a.sign(store); err != nil {
		return nil, err
	}
	s := &session{app: a, store: store, by: a.me(), recorded: map[string]bool{}}
	if s.journal, err = store.Open(id, s.by); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	waiting, err := store.Requests(id)
	if err != nil {
		return nil, err
	}
	t, err := listenTo(id, s.journal.Replay, func(e engine.Stamped) { s.noteRecorded(waiting, e) })
	if err != nil {
		return nil, err
	}
	l, pinned, err := a.loadPinned(store, id, t)
	if err != nil {
		return nil, err
	}
	s.loaded, s.origin, s.pinned = l, pinned.Origin, pinned
	g, err := give(l, pinned)
	if err != nil {
		return nil, err
	}
	s.run = engine.NewRun(l.pb, g)
	if err := s.journal.Replay(s.run.Apply); err != nil {
		return nil, replayFault(store, id, err)
	}
	s.run.Synced()
	s.heard = s.run.Heard()
	if torn := s.journal.Repaired(); torn != nil {
		if err := s.record(*torn); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// replayFault: events that cannot follow each other are a journal that cannot be trusted.
func replayFault(store *journal.Store, id string, err error) error {
	var fault *journal.Fault
	if errors.As(err, &fault) {
		return err
	}
	return &journal.Fault{Doing: "replay the journal", Path: store.Folder(id, "journal.jsonl"), Err: err}
}

// lookAt replays the journal of a run, whoever has it in hand.
func (a *app) lookAt(id string) (*engine.Run, *journal.Store, error) {
	store, err := a.state()
	if err != nil {
		return nil, nil, err
	}
	r, err := store.Read(id)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	var events []engine.Stamped
	t, err := listenTo(id, r.Replay, func(e engine.Stamped) { events = append(events, e) })
	if err != nil {
		return nil, nil, err
	}
	l, _, err := a.loadPinned(store, id, t)
	if err != nil {
		return nil, nil, err
	}
	run := engine.NewRun(l.pb, engine.Given{})
	for _, e := range events {
		if err := run.Apply(e); err != nil {
			return nil, nil, replayFault(store, id, err)
		}
	}
	return run, store, nil
}
