package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/handrail-dev/handrail/engine"
)

// reach says how far a command came before it failed.
type reach int

const (
	notSent reach = iota // it never left this machine
	refused              // the server answered with an error
	lost                 // it was sent, or may have been, and no answer came
)

// fault is a failed command in words for a person.
type fault struct {
	node  string // the server's address
	doing string
	reach reach
	code  string // of the server's answer: READONLY, OOM
	cause error
}

func (f *fault) Unwrap() error { return f.cause }

func (f *fault) Error() string {
	text := fmt.Sprintf("redis %s: ", f.node)
	if f.doing != "" {
		text += f.doing + ": "
	}
	return text + f.sentence()
}

// remedies say, for the first word of a server's error, what it means and what to do next.
var remedies = map[string]string{
	"READONLY":    "it is a replica and takes no writes; nothing was changed; let the target point to its master (ROLE names it)",
	"LOADING":     "it is still loading its data from disk; nothing was changed; try again when INFO persistence says loading:0",
	"NOAUTH":      "it asks for a password; give `password` (and `user`) in the target's settings",
	"WRONGPASS":   "it does not accept the user and password; check `user` and `password` in the target's settings",
	"NOPERM":      "the user may not do this; nothing was changed; give the right with ACL SETUSER, or let the target use another user",
	"OOM":         "its memory is used up (maxmemory) and it may evict nothing; nothing was changed; free keys or raise maxmemory, then resume",
	"MISCONF":     "it refuses writes because it could not save its data to disk; nothing was changed; look at the server's log and at the disk's space and rights",
	"BUSY":        "it is busy with a script; nothing was changed; wait for the script, or end it with SCRIPT KILL",
	"MASTERDOWN":  "it is a replica that has lost its master; nothing was changed; restore the link, or act on another server",
	"NOREPLICAS":  "it has fewer good replicas than min-replicas-to-write asks for; nothing was changed; bring the replicas back first",
	"WRONGTYPE":   "the key holds another type of value than the command is for; look with TYPE",
	"CLUSTERDOWN": "its cluster is down; nothing was changed",
	"MOVED":       "it is one node of a cluster, and the key lives on another; nothing was changed; make the target a `cluster` one, which finds the right node",
	"ASK":         "it is one node of a cluster, and the key is moving to another; nothing was changed; make the target a `cluster` one, which follows it",
	"TRYAGAIN":    "the keys are being moved to another node of the cluster; nothing was changed; try again when the resharding is over",
	"CROSSSLOT":   "the keys live in different slots of a cluster; nothing was changed; give them one {tag}",
	"EXECABORT":   "it refused one of the commands, and so all of them; nothing was changed",
	"DENIED":      "it is in protected mode and takes connections from its own machine only; set a password or `bind` there",
	"UNKILLABLE":  "the script has written and cannot be killed",
}

// passing are the errors that may be gone a moment later.
func passing(code string) bool {
	switch code {
	case "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "MAXCLIENTS":
		return true
	}
	return false
}

func (f *fault) sentence() string {
	said := f.cause.Error()
	if f.reach == refused {
		if remedy, ok := remedies[f.code]; ok {
			return fmt.Sprintf("%s (%s)", remedy, said)
		}
		switch {
		case f.code == "MAXCLIENTS":
			return "it has as many clients as it allows; nothing was changed; try again, or raise maxclients (" + said + ")"
		case strings.Contains(said, "unknown command"):
			return "it does not know this command; if it was renamed there, say so under `rename` in the target's settings (" + said + ")"
		}
		return said
	}
	var dial *net.OpError
	switch {
	case errors.As(f.cause, new(refusal)):
		return said
	case f.reach == notSent && errors.As(f.cause, &dial) && dial.Op == "dial":
		return fmt.Sprintf("cannot be reached; nothing was sent; check the address, and that the server runs (%v)", dial.Err)
	case f.reach == notSent && errors.Is(f.cause, context.DeadlineExceeded):
		return "no connection within its timeout; nothing was sent; check that the server runs and answers"
	case f.reach == notSent:
		return fmt.Sprintf("no connection; nothing was sent (%s)", said)
	case errors.Is(f.cause, context.Canceled):
		return "stopped before the server's answer was there"
	case errors.Is(f.cause, context.DeadlineExceeded), errors.Is(f.cause, os.ErrDeadlineExceeded), isTimeout(f.cause):
		return "no answer within the time allowed (the step's timeout, or `timeout` of the target)"
	}
	return fmt.Sprintf("the connection was lost before the answer was there (%s)", said)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// faultOf wraps an error of the client. sent says that the connection stood when the command was sent.
func faultOf(node, doing string, err error, sent bool) *fault {
	var known *fault
	if errors.As(err, &known) {
		return known
	}
	f := &fault{node: node, doing: doing, cause: err}
	var said goredis.Error
	var dial *net.OpError
	switch {
	case errors.As(err, new(refusal)):
	case errors.As(err, &said):
		f.reach, f.code = refused, codeOf(said.Error())
	case errors.As(err, &dial) && dial.Op == "dial":
	case sent:
		f.reach = lost
	}
	return f
}

// codeOf is the first word of a server's error, if it is one of the words by which Redis tells errors
// apart. Errors from inside a script have it in front as well.
func codeOf(said string) string {
	said = strings.TrimPrefix(said, "-")
	if strings.Contains(said, "max number of clients") {
		return "MAXCLIENTS"
	}
	if strings.HasPrefix(said, "ERR ACL failure in script") || strings.Contains(said, "NOPERM") {
		return "NOPERM"
	}
	word, _, _ := strings.Cut(said, " ")
	if word == strings.ToUpper(word) && word != "ERR" {
		return word
	}
	return ""
}

// transient: the same command may well be taken a moment later, and this one had no effect.
func (f *fault) transient() bool {
	switch f.reach {
	case refused:
		return passing(f.code)
	case notSent:
		return !errors.As(f.cause, new(refusal))
	case lost:
	}
	return false
}

var shown = regexp.MustCompile(`^(MOVED|ASK) [0-9]+ \S*:[0-9]+$`)

// unbegun: a cluster's answer that a script, too, gets only BEFORE it has begun; by its text, since a script may
// end in an error that begins with the same word.
func (f *fault) unbegun() bool {
	said := f.cause.Error()
	return shown.MatchString(said) || strings.HasPrefix(said, "TRYAGAIN Multiple keys request during rehashing") ||
		strings.HasPrefix(said, "CLUSTERDOWN ") || strings.HasPrefix(said, "CROSSSLOT Keys in request")
}

// failure is the outcome of a fault that left no effect, or of an error of another kind.
func failure(err error) engine.Outcome {
	o := engine.Failure(err)
	var f *fault
	if errors.As(err, &f) {
		o.Transient = f.transient()
	}
	return o
}
