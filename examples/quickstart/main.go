// Quickstart is the small world in which `make demo` shows Handrail: a shop's SQLite database with
// invoices to book, and an embedded Redis that counts them.
//
//	quickstart stage FOLDER   makes the database, starts Redis, writes environments/demo.yaml, and
//	                          serves until it is told to end
//	quickstart proof FOLDER   counts how often each effect happened; exit code 1 unless once
//	quickstart idle           is what the demo's container runs
//
// Nothing in the tables or in Redis keeps an effect from happening twice (there is no unique key), so
// that a repetition would show. It never touches anything outside FOLDER.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "stage":
		return stage(ctx, args[1], out)
	case len(args) == 2 && args[0] == "proof":
		return proof(ctx, args[1], out)
	case len(args) == 1 && args[0] == "idle":
		fmt.Fprintln(out, "started") // once per start: the proof counts these lines
		<-ctx.Done()
		return nil
	}
	return errors.New("usage: quickstart stage FOLDER | proof FOLDER | idle")
}

// stage writes the environment file last: when it is there, all is ready.
func stage(ctx context.Context, folder string, out io.Writer) error {
	database := filepath.Join(folder, "shop.db")
	if err := makeShop(ctx, database); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	cache, err := startRedis()
	if err != nil {
		return fmt.Errorf("start the embedded Redis: %w", err)
	}
	defer cache.Close()
	if err := writeEnvironment(folder, database, cache.Addr()); err != nil {
		return fmt.Errorf("write the environment: %w", err)
	}
	fmt.Fprintf(out, "the shop is open: %s, Redis at %s\n", database, cache.Addr())
	<-ctx.Done()
	return nil
}

func writeEnvironment(folder, database, cache string) error {
	text := fmt.Sprintf(`# Where the demo's targets are. Written by quickstart.
targets:
  shop:   {sqlite: {file: %q}}
  cache:  {redis: {address: %q}}
  engine: {docker: {}}
`, database, cache)
	if err := os.WriteFile(filepath.Join(folder, "redis.addr"), []byte(cache), 0o600); err != nil {
		return err
	}
	dir := filepath.Join(folder, "environments")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary := filepath.Join(dir, ".demo.yaml")
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, "demo.yaml"))
}
