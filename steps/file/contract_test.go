package file_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps/file"
	"github.com/handrail-dev/handrail/steps/steptest"
)

func TestContract(t *testing.T) {
	dir := t.TempDir()
	secret := engine.NewSecret("password", "very-secret-value")
	setup := func(t testing.TB) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir, "a", "content", "data/x", "1", "data/y/z", "2", "app.conf", "user = me\npassword = old\n",
			"old/b-1", "1", "old/b-2", "2", "old/b-3", "3")
		for i, name := range []string{"b-3", "b-2", "b-1"} {
			prove(t, filepath.Join(dir, "old"), name)
			age(t, i+1, dir, "old", name)
		}
		newStep(t, dir, "archive", engine.Record{"from": engine.List{"data"}, "to": "packed.tar.zst"}).mustDo()
	}
	is := func(name, want string) func() int {
		return func() int {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
				return 0
			}
			return 1
		}
	}
	there := func(name string, want bool) func() int {
		return func() int {
			if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
				return 0
			}
			return 1
		}
	}
	of := func(operation string, params engine.Value) steptest.Case {
		return steptest.Case{Operation: operation, Params: engine.Record{operation: params}, Setup: setup, Dir: dir,
			Fingerprint: func() string { return tree(t, dir) }}
	}
	with := func(c steptest.Case, effect func() int, bad ...steptest.Bad) steptest.Case {
		c.Effect, c.Bad = effect, bad
		return c
	}
	bad := func(operation, path string, params engine.Value) steptest.Bad {
		return steptest.Bad{Params: engine.Record{operation: params}, Path: path}
	}
	steptest.Run(t, steptest.Suite{Kind: file.New(), Cases: []steptest.Case{
		with(of("stat", "a"), nil, bad("stat", "stat", ""), bad("stat", "stat", "a\x00b")),
		with(of("checksum", "old/b-1"), nil, bad("checksum", "checksum", "")),
		with(of("read", "a"), nil, bad("read", "read", "")),
		with(of("copy", engine.Record{"from": "a", "to": "c", "mode": "0600"}), is("c", "content"),
			bad("copy", "copy.to", engine.Record{"from": "a", "to": ""}),
			bad("copy", "copy.from", engine.Record{"to": "a"}),
			bad("copy", "copy.mode", engine.Record{"from": "a", "to": "b", "mode": "rw"}),
			bad("copy", "copy.mode", engine.Record{"from": "a", "to": "b", "mode": "4755"})),
		with(of("archive", engine.Record{"from": engine.List{"data", "a"}, "to": "new.tar.gz"}), there("new.tar.gz", true),
			bad("archive", "archive.to", engine.Record{"from": "a", "to": "b.zip"}),
			bad("archive", "archive.from", engine.Record{"from": engine.List{}, "to": "b.tgz"}),
			bad("archive", "archive.from[1]", engine.Record{"from": engine.List{"x/a", "y/a"}, "to": "b.tgz"}),
			bad("archive", "archive.exclude", engine.Record{"from": "a", "to": "b.tgz", "exclude": "["}),
			bad("archive", "archive.exclude[0]", engine.Record{"from": "a", "to": "b.tgz", "exclude": engine.List{"["}})),
		with(of("extract", engine.Record{"from": "packed.tar.zst", "to": "new"}), is("new/data/y/z", "2"),
			bad("extract", "extract.to", engine.Record{"from": "a", "to": ""})),
		with(of("extract", engine.Record{"from": "packed.tar.zst", "to": "old"}), is("old/data/y/z", "2")),
		with(of("prune", engine.Record{"folder": "old", "match": "b-*", "keep": int64(2)}), there("old/b-1", false),
			bad("prune", "prune", engine.Record{"folder": "a", "match": "*"}),
			bad("prune", "prune.keep", engine.Record{"folder": "a", "match": "*", "keep": int64(0)}),
			bad("prune", "prune.keep", engine.Record{"folder": "a", "match": "*", "keep": int64(-1), "older_than": time.Hour}),
			bad("prune", "prune.older_than", engine.Record{"folder": "a", "match": "*", "older_than": -time.Hour}),
			bad("prune", "prune.match", engine.Record{"folder": "a", "match": "a/*", "keep": int64(1)}),
			bad("prune", "prune.match", engine.Record{"folder": "a", "match": "[", "keep": int64(1)})),
		with(of("replace", engine.Record{"file": "app.conf", "key": "password", "value": secret}),
			is("app.conf", "user = me\npassword = very-secret-value\n"),
			bad("replace", "replace", engine.Record{"file": "a"}),
			bad("replace", "replace.value", engine.Record{"file": "a", "key": "b"}),
			bad("replace", "replace.value", engine.Record{"file": "a", "key": "b", "value": "x\ny"}),
			bad("replace", "replace.value", engine.Record{"file": "a", "key": "b", "value": engine.List{}}),
			bad("replace", "replace.section", engine.Record{"file": "a", "text": "b", "with": "c", "section": "d"}),
			bad("replace", "replace.text", engine.Record{"file": "a", "text": "", "with": "c"})),
		with(of("replace", engine.Record{"file": "app.conf", "text": "me\n", "with": "you\n"}), is("app.conf", "user = you\npassword = old\n")),
		with(of("publish", engine.Record{"from": "old/b-3", "as": "latest"}), is("latest", "3"),
			bad("publish", "publish.as", engine.Record{"from": "a", "as": ""})),
		with(of("publish", engine.Record{"from": "old/b-3", "as": "latest", "how": "copy"}), is("latest", "3")),
	}})
}
