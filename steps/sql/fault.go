package sql

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/handrail-dev/handrail/engine"
)

// reach says how far a statement came before it failed.
type reach int

const (
	notSent reach = iota // it never left this machine
	refused              // the server answered with an error
	lost                 // it was sent, or may have been, and no answer came
)

// fault is a failed statement in words for a person.
type fault struct {
	where string // "mysql 127.0.0.1:3306"
	doing string
	reach reach
	sort  faultSort
	said  string // the sentence, with what to do next
	terse string // the same without the server's own words, which may repeat the statement
	cause error
}

// faultSort is what code branches on.
type faultSort int

const (
	plainFault  faultSort = iota
	busyFault             // gone a moment later: deadlock, lock wait, too many connections
	rightsFault           // the user may not do it, or the server takes no writes
	earlyFault            // the statement was not begun: syntax, unknown table or column
	doubleFault           // a row with that key is there
	absentFault           // there is no such table
	gonePoint             // there is no such savepoint
	stopped               // it was interrupted on purpose, or ran into a limit of time
)

func (f *fault) Unwrap() error { return f.cause }

func (f *fault) Error() string {
	text := f.where + ": "
	if f.doing != "" {
		text += f.doing + ": "
	}
	return text + f.said
}

// is says whether err is a fault of a sort.
func is(err error, sort faultSort) bool {
	var f *fault
	return errors.As(err, &f) && f.reach == refused && f.sort == sort
}

func reachOf(err error) reach {
	var f *fault
	if errors.As(err, &f) {
		return f.reach
	}
	return notSent
}

// faultOf wraps an error of a driver.
func (c *Conn) faultOf(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault
	if errors.As(err, &known) {
		return err
	}
	f := &fault{where: c.where, doing: doing, reach: lost, cause: err}
	var no refusal
	var cut interrupted
	var mute silence
	var dial *net.OpError
	switch {
	case errors.As(err, &mute):
		f.reach, f.sort = notSent, busyFault
		f.said = fmt.Sprintf("took the connection and did not greet %s; nothing was sent; is it a database that listens at this address, and does it answer others?", mute.lasted)
	case errors.As(err, &cut):
		f.reach, f.sort, f.said = refused, stopped, "the statement was stopped"
	case errors.As(err, &no):
		f.reach, f.said = notSent, no.why
	case c.d.answer(err, f):
		f.reach = refused
	case f.said != "": // the server has ended the connection, and what was sent on it may have happened
	case errors.Is(err, driver.ErrBadConn):
		f.reach, f.said = notSent, "the connection was gone; nothing was sent"
	case errors.As(err, &dial) && dial.Op == "dial":
		f.reach, f.sort = notSent, busyFault
		if dial.Timeout() {
			f.said = "no connection within the time allowed; nothing was sent; check the address in the target's settings, and that the server runs and can be reached from here"
			return f
		}
		f.said = fmt.Sprintf("cannot be reached; nothing was sent; check the address in the target's settings, and that the server runs (%v)", dial.Err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		f.said = "no answer within the time allowed"
	case errors.Is(err, context.Canceled):
		f.said = "stopped before the answer was there"
	default:
		f.said = fmt.Sprintf("the connection was lost before the answer was there (%v)", err)
	}
	return f
}

// discreet leaves out what a server repeats of a statement in which a secret stands.
func discreet(err error, r rendered) error {
	var f *fault
	if !r.secret || !errors.As(err, &f) || f.terse == "" {
		return err
	}
	quiet := *f
	quiet.cause = nil
	quiet.said = f.terse + "; what the server says besides is left out, because a secret stands in the statement"
	return &quiet
}

// untrusted says what is wrong with the TLS of a server, or with that of this side.
func untrusted(err error, f *fault) bool {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var remote *net.OpError
	switch {
	case errors.As(err, &verify):
		f.said = fmt.Sprintf("its TLS certificate is not to be trusted; check `tls` in the target's settings (%v)", verify.Err)
	case errors.As(err, &alert):
		f.said = fmt.Sprintf("the two sides do not agree on TLS; check `tls` in the target's settings (%v)", alert)
	case errors.As(err, &remote) && remote.Op == "remote error":
		f.said = fmt.Sprintf("it does not accept the TLS of this side; check `cert` and `key` under `tls` in the target's settings (%v)", remote.Err)
	default:
		return false
	}
	f.sort = earlyFault
	return true
}

// failure is the outcome of an error that left no effect.
func failure(err error) engine.Outcome {
	o := engine.Failure(err)
	var f *fault
	if errors.As(err, &f) {
		o.Transient = f.sort == busyFault || f.reach == lost
	}
	return o
}
