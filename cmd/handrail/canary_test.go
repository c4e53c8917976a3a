package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handrail-dev/handrail/engine"
)

// canaries are the secrets of the test, with all that makes an encoding necessary.
var canaries = map[string]string{
	"env":    `E7-c"an/ary+é=&7yT`,
	"file":   `F8\canary <%>9qWz`,
	"input":  "I9 canary\t'4;kLm$(id)",
	"db":     `D3:p@ss/canary?x8Vb`,
	"header": "H5-canary-3nRs",
}

// traces are the forms in which a secret would still be readable.
func traces(secret string) []string {
	js, _ := json.Marshal(secret)
	out := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(js), `"`),
		hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))}
	// Half a secret is a secret still.
	return append(out, secret[len(secret)-8:], secret[:8])
}

// leaks says where in a text a canary can be read.
func leaks(t *testing.T, where, text string) {
	t.Helper()
	for name, secret := range canaries {
		for _, form := range traces(secret) {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s: the secret %s is there as %q: …%q…", where, name, form, text[max(0, i-40):min(len(text), i+len(form)+20)])
				break
			}
		}
	}
}

// canaryPlaybook hands every secret to somebody, who says it in every way, and looks from another child
// at what there is to be seen of them.
const canaryPlaybook = `inputs:
  pin: {type: secret, description: one of them}
  names: {type: string, description: an address that answers with a secret as the name of something}
targets: {db: mysql, lite: sqlite}
steps:
  - id: meant
    exec:
      argv: [sh, say.sh]
      env: {A: "${{ secrets.ENV }}", B: "${{ secrets.FILE }}", C: "${{ inputs.pin }}"}
      stdin: "${{ secrets.HEADER }}"
  - id: other
    exec: {shell: "env > seen; cat /proc/self/environ >> seen; ps axwwo args >> seen; cat /proc/$PPID/cmdline >> seen"}
  - id: asked
    on: lite
    sql: {query: "SELECT :a AS back, json_array(:b) AS list, hex(:c) AS hex", args: {a: "${{ secrets.ENV }}", b: "${{ secrets.FILE }}", c: "${{ inputs.pin }}"}}
  - id: wrong
    on: lite
    on_error: continue
    sql: {query: "SELECT abs(CASE WHEN :a = '' THEN 1 ELSE -9223372036854775808 END)", args: {a: "${{ secrets.ENV }}"}}
  - id: long
    on_error: continue
    exec: {argv: [sh, long.sh], env: {A: "${{ secrets.ENV }}"}}
  - id: leftover
    on_error: continue
    exec: {shell: "for i in 1 2 3 4 5 6 7 8 9; do cat many; done; exit 3"}
  - id: named
    http: {get: "${{ inputs.names }}"}
  - id: unreachable
    on: db
    sql: {query: SELECT 1}
`

// sayScript says the secrets raw, encoded, escaped, and each in two halves with time between them.
const sayScript = `read -r D
for s in "$A" "$B" "$C" "$D"; do
  printf '%s\n' "$s" | tee /dev/stderr
  printf '%s' "$s" | base64 -w0; echo
  printf 'user:%s' "$s" | base64 -w0; echo
  printf '%s' "$s" | od -An -tx1 | tr -d ' \n'; echo
  printf '%s' "$s" | head -c 7; sleep 0.3; printf '%s\n' "$s" | tail -c +8
  printf '%s' "$s" | head -c 7 >&2; sleep 0.3; printf '%s\n' "$s" | tail -c +8 >&2
done
cat encoded
`

func TestSecretsAreFoundNowhere(t *testing.T) {
	g := newGround(t)
	g.playbook("canary", canaryPlaybook)
	g.write("say.sh", sayScript)
	// One line without an end, of which the journal keeps the last two kilobytes: the cut goes through a secret.
	g.write("long.sh", `s=; for i in 1 2 3 4 5 6 7 8; do s="$s$A"; done; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do printf '%s' "$s"; done; exit 3`)
	// The same from a program that was not given the secret, and finds it in a file of its own.
	g.write("many", strings.Repeat(canaries["db"], 500))
	names := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]int{canaries["env"]: 1}) // what the other side misses, the test shows
	}))
	defer names.Close()
	g.write("pin.yaml", fmt.Sprintf("pin: %q\nnames: %s\n", canaries["input"], names.URL))
	g.write("file.secret", canaries["file"])
	var encoded strings.Builder
	for _, secret := range canaries {
		fmt.Fprintln(&encoded, strings.Join(traces(secret)[:7], "\n"))
	}
	g.write("encoded", encoded.String())
	targets := fmt.Sprintf("targets:\n  db: {mysql: {address: 127.0.0.1:1, user: ops, password: %q, database: d}}\n  lite: {sqlite: {file: %q}}\n",
		"${{ secrets.DB }}", filepath.Join(g.dir, "lite.db"))
	g.write("environments/default.yaml", targets+"secrets: {ENV: {env: CANARY_ENV}, FILE: {file: ../file.secret}, DB: {env: CANARY_DB}, HEADER: {env: CANARY_HEADER}}\n")
	command := func(args ...string) said {
		c := exec.CommandContext(t.Context(), "handrail", args...)
		c.Dir = g.dir
		c.Env = append(g.environ(), "CANARY_ENV="+canaries["env"], "CANARY_DB="+canaries["db"], "CANARY_HEADER="+canaries["header"])
		var out, errs strings.Builder
		c.Stdout, c.Stderr = &out, &errs
		_ = c.Run() // how it ended is in its state
		s := said{g, c.ProcessState.ExitCode(), out.String(), errs.String()}
		leaks(t, "handrail "+args[0], s.out+s.errors)
		return s
	}
	if lite, err := os.Create(filepath.Join(g.dir, "lite.db")); err != nil || lite.Close() != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"text", "json"} {
		command("plan", "canary", "--inputs", "pin.yaml", "-o", output)
		command("run", "canary", "--yes", "--inputs", "pin.yaml", "-o", output).is(1)
		command("show", g.last(), "-o", output).is(0)
		command("resume", g.last(), "-i", "pin=wrong", "-o", output).is(1)
	}
	logs := command("logs", g.last())
	if n := strings.Count(logs.out, engine.Masked); n < 30 {
		t.Errorf("the step was to say its secrets in many ways, and only %d were masked:\n%s", n, logs.out)
	}
	if !strings.Contains(command("show", g.last()).out, "127.0.0.1:1") {
		t.Error("the step that cannot reach its target was not reached")
	}
	seen, err := os.ReadFile(filepath.Join(g.dir, "seen"))
	if err != nil || !strings.Contains(string(seen), "HANDRAIL_TOKEN") {
		t.Fatal(err)
	}
	leaks(t, "what another child sees", string(seen))
	if err := filepath.WalkDir(g.state(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		leaks(t, strings.TrimPrefix(path, g.dir), string(b))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
