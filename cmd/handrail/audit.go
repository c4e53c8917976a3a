package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/handrail-dev/handrail/cmd/internal/view"
	"github.com/handrail-dev/handrail/engine/journal"
)

// auditFlags say what a journal is held against beside its own hash chain.
type auditFlags struct {
	key  string // a public key, or the file that has it
	head string // a signed head that was kept elsewhere
}

func (a *app) auditCommand() *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use: "audit RUN", Short: "Check the hash chain of a run's journal", Args: cobra.ExactArgs(1),
		Long: "Checks every line of a run's journal. docs/verify-journal.sh does the same with sha256sum alone.\n" +
			"Where runs are signed (HANDRAIL_SIGNING_KEY names the file of a key, made with `handrail key`), a head lies beside\n" +
			"each journal that says how long it was; it shows whether lines were cut off. --key, or HANDRAIL_AUDIT_KEY, is the public key.",
		ValidArgsFunction: a.completeRuns,
		RunE:              func(_ *cobra.Command, args []string) error { return a.audit(args[0], f) },
	}
	c.Flags().StringVar(&f.key, "key", "", "the public key with which the head must be signed, or the file that has it")
	c.Flags().StringVar(&f.head, "head", "", "a signed head that was kept elsewhere, in place of the one beside the journal")
	a.outputFlag(c)
	return c
}

func (a *app) audit(typed string, f auditFlags) error {
	s, err := a.state()
	if err != nil {
		return err
	}
	id, err := s.Resolve(typed)
	if err != nil {
		return err
	}
	head, err := a.signedHead(s, id, f)
	if err != nil {
		return err
	}
	r, err := s.Read(id)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	report, err := r.VerifyAgainst(id, head)
	if err != nil {
		return err
	}
	if a.json() {
		return view.WriteJSON(a.stdout, map[string]any{"id": id, "lines": report.Lines, "events": report.Events,
			"bytes": report.Bytes, "torn_bytes": report.Torn, "head": report.Head,
			"signed_lines": head.Lines, "signed_by": append([]string{}, head.Signers...), "signature_checked": head.Verified})
	}
	if report.Torn > 0 {
		a.say("behind the last line are %d bytes of a write that was never acknowledged; the next resume keeps them aside", report.Torn)
	}
	_, err = fmt.Fprintf(a.stdout, "run %s: %d lines with %d events, the chain holds\nhead %s\n%s", id, report.Lines, report.Events, report.Head, signedText(head, report))
	return err
}

// signedText says what the signed head of a journal is worth.
func signedText(h journal.Head, r journal.Report) string {
	if h.Lines == 0 {
		return "it is not signed: that lines were cut off its end, or all of it written anew, would not be seen\n"
	}
	by := "signed by " + strings.Join(h.Signers, ", ")
	if !h.Verified {
		by += " (not checked: give the public key with --key)"
	}
	if rest := r.Lines - h.Lines; rest > 0 {
		return fmt.Sprintf("%s up to line %d; %d behind it are not covered\n", by, h.Lines, rest)
	}
	return by + ", to its end\n"
}

// signedHead finds what the journal is held against. With a key there must be a head that it has signed.
func (a *app) signedHead(s *journal.Store, id string, f auditFlags) (journal.Head, error) {
	key, err := a.auditKey(f.key)
	if err != nil {
		return journal.Head{}, err
	}
	where := s.Folder(id, "head.note")
	b, err := s.Head(id)
	if f.head != "" {
		where = f.head
		if b, err = readFile(a.in(f.head)); err != nil {
			return journal.Head{}, fmt.Errorf("the signed head: %w", err)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if key == nil {
			return journal.Head{}, nil
		}
		err = errors.New("there is none: the run was not signed, or the head was removed")
	}
	var h journal.Head
	if err == nil {
		h, err = journal.ReadHead(b, key)
	}
	if err != nil {
		return h, &journal.Fault{Doing: "trust the signed head", Path: where, Err: err}
	}
	return h, nil
}

// auditKey is the public key that signed heads are checked with; nil: none is known.
func (a *app) auditKey(given string) (note.Verifier, error) {
	if given == "" {
		given = a.lookup("HANDRAIL_AUDIT_KEY")
	}
	if given == "" {
		keys, err := a.signingKeys()
		return keys.Verifier, err
	}
	if b, err := os.ReadFile(a.in(given)); err == nil {
		given = strings.TrimSpace(string(b))
	}
	key, err := note.NewVerifier(given)
	if err != nil {
		return nil, fmt.Errorf("%s is neither a public key nor the file of one: %w", given, err)
	}
	return key, nil
}

// signingKeys sign the heads of journals; none, if none are configured.
func (a *app) signingKeys() (journal.Keys, error) {
	file := a.lookup("HANDRAIL_SIGNING_KEY")
	if file == "" {
		return journal.Keys{}, nil
	}
	keys, err := journal.ReadKeys(a.in(file))
	if err != nil {
		return keys, fmt.Errorf("HANDRAIL_SIGNING_KEY: %w", err)
	}
	return keys, nil
}
