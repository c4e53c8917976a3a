package remote

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// Past is what became of an attempt.
type Past struct {
	// NeverStarted: nothing was started for it, and nothing will be.
	NeverStarted bool
	// Ended: Code is how.
	Ended bool
	Code  int
	// Size is how much it has written to stdout and stderr.
	Size [2]int64
	// Dead: nothing of it is alive. Alive are those of which it is known that they are.
	Dead  bool
	Alive []string
	// Waited: it was alive when it was looked for.
	Waited bool
	// Evidence says in words what was found.
	Evidence string
}

// Settle finds out what became of an attempt. What is still alive of it is waited for; say is told so. The
// last keep bytes of stdout and stderr are written out. An error says that it could not be asked, or, with
// a Past that is not Dead, that ctx ended while it was waited for.
func (c *Conn) Settle(ctx context.Context, t Trace, keep int64, stdout, stderr io.Writer, say func(string)) (Past, error) {
	f := &following{c: c, trace: t, claim: true, waiting: say}
	// Only how it stands: what was written is taken in when it is known how much that is.
	f.seen = [2]int64{1 << 50, 1 << 50}
	code, err := f.once(ctx, 1)
	if err != nil {
		return Past{}, err
	}
	p := Past{Waited: code == codeAlive}
	if p.Waited {
		say(fmt.Sprintf("waiting for what an earlier attempt has started on %s", c.Address()))
		if code, err = f.toEnd(ctx); err != nil {
			p.Alive = []string{fmt.Sprintf("the command in %s on %s", t.Folder, c.Address())}
			return p, err
		}
	}
	switch code {
	case codeFresh:
		p.NeverStarted, p.Dead = true, true
		p.Evidence = "it was prepared, and never started; now it cannot be any more"
		c.forget(t)
		return p, nil
	case codeNoTraces:
		p.Evidence = sayLost(code, c.Address(), t)
		return p, nil
	}
	end, err := c.end(ctx, t)
	if err != nil {
		return p, err
	}
	f.stdout, f.stderr = stdout, stderr
	f.seen = [2]int64{max(0, end.size[0]-keep), max(0, end.size[1]-keep)}
	if _, err := f.once(ctx, 1); err != nil {
		return p, err
	}
	p.Size, p.Alive, p.Dead = end.size, end.alive, len(end.alive) == 0
	if code != codeEnded || !end.known {
		p.Evidence = sayLost(code, c.Address(), t)
		return p, nil
	}
	p.Ended, p.Code, p.Evidence = true, end.code, fmt.Sprintf("it ended with code %d", end.code)
	c.forget(t)
	return p, nil
}

// carriers are the processes there that carry a token, as "pid name".
func (c *Conn) carriers(ctx context.Context, token string) ([]string, error) {
	a, err := c.ask(ctx, shell, strings.NewReader(script(survivorsText, given{{"token", token}})))
	switch {
	case err != nil:
		return nil, err
	case a.code != 0:
		return nil, fmt.Errorf("look for processes on %s: code %d: %s", c.Address(), a.code, a.errs)
	case strings.TrimSpace(a.out) == "":
		return nil, nil
	}
	return strings.Split(strings.TrimSpace(a.out), "\n"), nil
}
