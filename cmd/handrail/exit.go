package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/local"
)

// exitCode is what the command ends with.
type exitCode int

// The exit codes.
const (
	exitOK          exitCode = 0 // degraded too, unless --fail-on degraded
	exitFailed      exitCode = 1 // a step failed, or a plan could not judge every step
	exitWrong       exitCode = 2 // playbook, input or command line; nothing was begun
	exitWaits       exitCode = 3 // for a person: an approval, a step in doubt
	exitLocked      exitCode = 4 // another run has the lock, or another process the run
	exitInterrupted exitCode = 5 // can be resumed
	exitJournal     exitCode = 6 // cannot be written or trusted
)

// ended is an error that only carries an exit code: what there was to say was said.
type ended exitCode

func (e ended) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// coded gives an error an exit code of its own.
type coded struct {
	code exitCode
	err  error
}

func (c coded) Error() string { return c.err.Error() }
func (c coded) Unwrap() error { return c.err }

// codeOf is the exit code of an error.
func codeOf(err error) exitCode {
	var (
		e      ended
		c      coded
		fault  *journal.Fault
		locked *journal.LockedError
		owned  *journal.OwnedError
		shared *sharedLockedError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return exitCode(e)
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &fault), errors.Is(err, local.ErrJournal):
		return exitJournal
	case errors.As(err, &locked), errors.As(err, &owned), errors.As(err, &shared):
		return exitLocked
	}
	return exitWrong
}

// report says what went wrong, unless that was said.
func (a *app) report(err error) int {
	var said ended
	switch {
	case err == nil, errors.As(err, &said):
	case errors.Is(err, syscall.EPIPE): // nobody wants to read on
		return int(exitOK)
	default:
		a.complain(err)
		if next := remedy(err); next != "" {
			a.say("  %s", next)
		}
	}
	return int(codeOf(err))
}

// remedy says what to do about the disk on which a run's files are.
func remedy(err error) string {
	var fault *journal.Fault
	if !errors.As(err, &fault) {
		return ""
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space there; see: df -h " + filepath.Dir(fault.Path)
	case errors.Is(err, syscall.EROFS):
		return "its file system takes no writes: mount it writable (dmesg may say why it is not), or set HANDRAIL_STATE to another folder for a new run"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not write there: take the user whose run it is (handrail show), or set HANDRAIL_STATE to a folder of your own for a new run"
	case errors.Is(err, syscall.EIO):
		return "the disk fails: see dmesg, bring the folder to a sound disk, and point HANDRAIL_STATE to it"
	}
	return ""
}

// codeOfState is the exit code of a run that this process has driven.
func codeOfState(s engine.RunState, failOnDegraded bool) exitCode {
	switch s {
	case engine.RunOK:
		return exitOK
	case engine.RunDegraded:
		if failOnDegraded {
			return exitFailed
		}
		return exitOK
	case engine.RunFailed, engine.RunCancelled, engine.RunUndone:
		return exitFailed
	case engine.Waiting:
		return exitWaits
	case engine.Interrupted, engine.Running:
		return exitInterrupted
	}
	return exitFailed
}
