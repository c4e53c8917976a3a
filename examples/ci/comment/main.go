// Command comment puts a page into a pull request of GitHub or a merge request of GitLab: as one comment, which is brought up
// to date each time in place of being followed by another one.
//
//	comment -file comment.md            in a job of GitHub Actions or GitLab CI, which say where they are
//	comment -file comment.md -head OWNER:BRANCH -sha COMMIT      on GitHub, when a job only knows the branch
//
// It knows its comment by a line that nobody sees, and by its author: whoever writes that line into a comment of their own gets
// nothing written into it. The token comes from the environment (GITHUB_TOKEN, GITLAB_TOKEN) and from nowhere else; it is in
// no argument, is sent to the forge that the job names and to no other (a redirection is an error), and is never printed.
//
// Exit codes: 0 the comment is there, 1 it could not be written, 2 the command line or the environment lacks something.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"unicode/utf8"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stderr))
}

// options are what the command line says.
type options struct {
	file, name, author string
	pull               int
	head, sha          string
}

func run(ctx context.Context, args []string, env func(string) string, stderr io.Writer) int {
	say := func(format string, a ...any) {
		_, _ = fmt.Fprintln(stderr, "comment: "+hidden(fmt.Sprintf(format, a...), env)) // there is nobody else to tell
	}
	var o options
	f := flag.NewFlagSet("comment", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.file, "file", "", "the page, in Markdown")
	f.StringVar(&o.name, "name", "handrail", "tells this comment from others of the same author")
	f.StringVar(&o.author, "author", "github-actions[bot]", "GitHub: who the token belongs to")
	f.IntVar(&o.pull, "pull", 0, "GitHub: the number of the pull request; otherwise that of the event")
	f.StringVar(&o.head, "head", "", "GitHub: OWNER:BRANCH of the pull request, when its number is not known")
	f.StringVar(&o.sha, "sha", "", "GitHub: with -head, the commit that the page is about")
	if err := f.Parse(args); err != nil {
		return 2
	}
	page, err := os.ReadFile(o.file)
	if err != nil {
		say("read the page: %v", err)
		return 2
	}
	forge, err := forgeOf(o, env)
	if err != nil {
		say("%v", err)
		return 2
	}
	body := withMarker(o.name, string(page), forge.limit())
	where, err := put(ctx, forge, marker(o.name), body)
	if err != nil {
		say("%v", err)
		return 1
	}
	say("%s", where)
	return 0
}

// hidden takes the token out of a text, should a forge ever have sent it back.
func hidden(s string, env func(string) string) string {
	for _, name := range tokens {
		if t := env(name); t != "" {
			s = strings.ReplaceAll(s, t, "•••")
		}
	}
	return s
}

// tokens are the names of the variables that hold one. It is never changed.
var tokens = []string{"GITHUB_TOKEN", "GITLAB_TOKEN"}

// marker is the line by which the comment is known. A page cannot end it early: names have no dashes that could.
func marker(name string) string {
	return "<!-- comment of " + strings.ReplaceAll(name, "--", "") + " -->"
}

// withMarker is the page behind its marker, cut to what the forge takes.
func withMarker(name, page string, limit int) string {
	const note = "\n\n… what is missing here had no room; it is in the log of the job.\n"
	body := marker(name) + "\n" + strings.ToValidUTF8(strings.ReplaceAll(page, "\x00", ""), "\uFFFD")
	if len(body) <= limit {
		return body
	}
	cut := limit - len(note)
	for cut > 0 && !utf8.RuneStart(body[cut]) {
		cut--
	}
	return body[:cut] + note
}

// put writes the comment anew, or over the one that is there.
func put(ctx context.Context, f forge, marker, body string) (string, error) {
	request, err := f.request(ctx)
	if err != nil {
		return "", err
	}
	const pages = 100 // of a hundred comments each
	for page := 1; page <= pages; page++ {
		comments, err := f.comments(ctx, request, page)
		if err != nil {
			return "", fmt.Errorf("look for the comment: %w", err)
		}
		for _, c := range comments {
			if !c.own || !strings.HasPrefix(c.body, marker) {
				continue
			}
			if c.body == body {
				return "the comment is up to date", nil
			}
			if err := f.update(ctx, request, c.id, body); err != nil {
				return "", fmt.Errorf("bring the comment up to date: %w", err)
			}
			return "the comment was brought up to date", nil
		}
		if len(comments) < perPage {
			if err := f.create(ctx, request, body); err != nil {
				return "", fmt.Errorf("write the comment: %w", err)
			}
			return "the comment was written", nil
		}
	}
	return "", fmt.Errorf("look for the comment: there are more than %d comments", pages*perPage)
}
