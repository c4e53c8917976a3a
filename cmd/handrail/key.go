package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func (a *app) keyCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "key FILE", Short: "Make a key that signs journals", Args: cobra.ExactArgs(1),
		Long: "Writes a new Ed25519 key into FILE, for HANDRAIL_SIGNING_KEY, and prints the public one, for `handrail audit --key`.\n" +
			"Keep the file from those whose work the journal is to prove, and the public key where they cannot change it.",
		RunE: func(_ *cobra.Command, args []string) error { return a.makeKey(args[0], name) },
	}
	c.Flags().StringVar(&name, "name", "", "the name that signatures carry (default: handrail@HOST)")
	return c
}

func (a *app) makeKey(file, name string) error {
	if name == "" {
		name = "handrail@" + a.me().Host
	}
	if strings.ContainsRune(name, '+') || strings.ContainsFunc(name, unicode.IsSpace) {
		return errors.New("--name: a name has no spaces and no +")
	}
	private, public, err := note.GenerateKey(a.random, name)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	f, err := os.OpenFile(a.in(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	_, err = fmt.Fprintln(f, private)
	if err := errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	a.say("sign with it: export HANDRAIL_SIGNING_KEY=%s", a.in(file))
	_, err = fmt.Fprintln(a.stdout, public)
	return err
}
