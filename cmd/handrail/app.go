package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/handrail-dev/handrail/cmd/internal/secrets"
	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/engine/journal"
	"github.com/handrail-dev/handrail/engine/playbook"
)

// app is one invocation.
type app struct {
	surroundings
	screen io.Writer // stderr itself, which may be a terminal
	masker secrets.Masker
	dir    string // -C
	output string // -o

	untrusted bool     // --untrusted: see untrusted.go
	guarded   []string // files that a stranger's playbook must not be read from

	mu       sync.Mutex
	onSignal func() // what the next signal does

	catalogue func() *playbook.Catalogue
	store     *journal.Store
	points    points // where tests kill the process
}

func newApp(s surroundings) *app {
	a := &app{surroundings: s, screen: s.stderr}
	a.stdout, a.stderr = masked{a, s.stdout, new(sync.Mutex)}, masked{a, s.stderr, new(sync.Mutex)}
	a.catalogue = sync.OnceValue(loadCatalogue)
	return a
}

// masked is a stream in which no secret is seen, and nothing that a stranger could do harm with. Whoever writes to it writes
// whole lines.
type masked struct {
	app  *app
	to   io.Writer
	turn *sync.Mutex // a run tells of its steps, and a signal is answered, at the same time
}

func (m masked) Write(p []byte) (int, error) {
	text := m.app.masker.Text(string(p))
	if m.app.untrusted {
		text = view.Harmless(text)
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	if _, err := io.WriteString(m.to, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// listen takes in signals until stop is called. A signal ends the context, unless a run has said what
// it does instead.
func (a *app) listen(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.onSignal = func() { cancel(ended(exitInterrupted)) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-a.signals:
				if s == syscall.SIGHUP || s == syscall.SIGPIPE {
					continue
				}
				a.mu.Lock()
				f := a.onSignal
				a.mu.Unlock()
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// takeSignals lets f say what a signal does, until giveBack is called.
func (a *app) takeSignals(f func()) (giveBack func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.onSignal
	a.onSignal = f
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.onSignal = before
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "handrail",
		Short:         "Runs disaster-recovery and maintenance playbooks, and survives its own crashes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVarP(&a.dir, "directory", "C", "", "folder against which relative paths are taken")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		_, err := a.base() // a folder that is not there is not found out by what it does not hold
		return err
	}
	root.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		meant := ""
		c.SuggestionsMinimumDistance = 2
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			meant = "; is " + strings.Join(near, " or ") + " meant?"
		}
		return fmt.Errorf("there is no command %s%s See them with: handrail --help", args[0], cmp.Or(meant, "."))
	}
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; see: %s --help", err, c.CommandPath())
	})
	for _, add := range []func() *cobra.Command{
		a.listCommand, a.describeCommand, a.validateCommand, a.lintCommand, a.planCommand, a.diffCommand, a.runCommand, a.resumeCommand,
		a.runsCommand, a.drillsCommand, a.showCommand, a.logsCommand, a.approveCommand, a.rejectCommand, a.resolveCommand,
		a.cancelCommand, a.unlockCommand, a.pruneCommand, a.auditCommand, a.keyCommand, a.schemaCommand, a.kindsCommand, a.initCommand, a.doctorCommand, a.versionCommand,
	} {
		c := add()
		c.Args = explained(c.Args)
		root.AddCommand(c)
	}
	return root
}

// explained says how a command is written, where it was given other words than it takes.
func explained(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		return nil
	}
	return func(c *cobra.Command, args []string) error {
		if check(c, args) == nil {
			return nil
		}
		return fmt.Errorf("give it as: %s; see: %s --help", strings.TrimSuffix(c.UseLine(), " [flags]"), c.CommandPath())
	}
}

// outputFlag adds -o to a command, for text and JSON and whatever more there is.
func (a *app) outputFlag(c *cobra.Command, more ...string) {
	forms := append([]string{"text", "json"}, more...)
	named := strings.Join(forms[:len(forms)-1], ", ") + " %s " + forms[len(forms)-1]
	c.Flags().StringVarP(&a.output, "output", "o", "text", fmt.Sprintf(named, "or"))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if !slices.Contains(forms, a.output) {
			return fmt.Errorf("-o %s: there are %s", a.output, fmt.Sprintf(named, "and"))
		}
		if check != nil {
			return check(c, args)
		}
		return nil
	}
}

func (a *app) json() bool { return a.output == "json" }

// say writes a line for the person, beside the answer. A screen that is gone stops nothing.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", args...)
}

// complain says what is wrong; mistakes in files come with their lines.
func (a *app) complain(err error) {
	found := playbook.Diagnostics(err)
	for i, d := range found {
		if i > 0 {
			a.say("")
		}
		a.say("%s", strings.TrimRight(d.Render(), "\n"))
	}
	if len(found) == 0 {
		a.say("handrail: %s", why(err))
	}
}

// why is the text of an error. Of a request that is not possible a person wants to know the reason alone.
func why(err error) string {
	return strings.TrimPrefix(err.Error(), engine.ErrNotPossible.Error()+": ")
}

func (a *app) lookup(name string) string {
	v, _ := a.env(name)
	return v
}

// base is the folder against which relative paths are taken.
func (a *app) base() (string, error) {
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return "", fmt.Errorf("find the current folder: %w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("-C %s: there is no such folder", a.dir)
	}
	return dir, nil
}

// in takes a relative path against -C.
func (a *app) in(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.dir, path)
}

// me is who runs this process.
func (a *app) me() engine.Person {
	p := engine.Person{PID: os.Getpid(), User: a.lookup("USER")}
	if u, err := user.Current(); err == nil {
		p.User = u.Username
	}
	if behind := a.lookup("SUDO_USER"); behind != "" && behind != p.User {
		p.User = behind + " as " + p.User
	}
	if p.Host = a.lookup("HANDRAIL_HOST"); p.Host == "" {
		p.Host, _ = os.Hostname() // empty says it all
	}
	return p
}

// state is the state folder.
func (a *app) state() (*journal.Store, error) {
	if a.store != nil {
		return a.store, nil
	}
	path := a.lookup("HANDRAIL_STATE")
	switch {
	case path != "":
	case a.lookup("XDG_STATE_HOME") != "":
		path = filepath.Join(a.lookup("XDG_STATE_HOME"), "handrail")
	case os.Geteuid() == 0:
		path = "/var/lib/handrail"
	case a.lookup("HOME") != "":
		path = filepath.Join(a.lookup("HOME"), ".local", "state", "handrail")
	default:
		return nil, errors.New("there is no place for the state of runs: set HANDRAIL_STATE to a folder")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	a.store = journal.OpenStore(path)
	return a.store, nil
}

// Where locks are kept for the whole host: the second is for machines where only root may use the first.
const (
	hostLocks  = "/var/lock/handrail"
	spareLocks = "/tmp/handrail-locks"
)

// locks are where runs lock each other out: for the whole host, and in the state folder, so that a reboot
// that empties the first frees nothing.
func (a *app) locks(s *journal.Store) *journal.Locks {
	var folders []journal.LockFolder
	shared := func(path string) { folders = append(folders, journal.LockFolder{Path: path, Shared: true}) }
	if named := a.lookup("HANDRAIL_LOCKS"); named != "" {
		shared(named)
	} else {
		host := usable(hostLocks)
		if host {
			shared(hostLocks)
		}
		// A user for whom the first was not usable may have locks in the second.
		if _, err := os.Lstat(spareLocks); err == nil || !host {
			shared(spareLocks)
		}
	}
	own := journal.LockFolder{Path: filepath.Join(s.Path(), "locks")}
	return journal.NewLocks(append(folders, own), journal.RunStanding)
}

// usable: the folder is there, or can be made by this user.
func usable(dir string) bool {
	if info, err := os.Lstat(dir); err == nil {
		return info.IsDir()
	}
	return writable(filepath.Dir(dir))
}

// terminal tells whether a stream is one, and how to ask for its width.
func terminal(stream any) (fd int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// style says how a stream is written to. NO_COLOR is obeyed.
func (a *app) style(stream io.Writer) view.Style {
	if m, ok := stream.(masked); ok {
		stream = m.to
	}
	_, tty := terminal(stream)
	return view.Style{Colour: tty && a.lookup("NO_COLOR") == "" && a.lookup("TERM") != "dumb"}
}

// attended: somebody sits at a terminal who can be asked.
func (a *app) attended() bool {
	_, in := terminal(a.stdin)
	_, out := terminal(a.screen)
	return in && out
}
