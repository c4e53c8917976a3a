package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// command is one command that is known as far as its words are.
type command struct {
	spec
	// name is the command in capitals, with its subcommand: "CONFIG|SET".
	name string
	// listed: the table knows it.
	listed bool
}

// spoken is the name as a person writes it.
func (c command) spoken() string { return strings.Replace(c.name, "|", " ", 1) }

// scripted: it runs code of its own, so an error does not say that nothing was changed.
func (c command) scripted() bool {
	switch c.name {
	case "EVAL", "EVALSHA", "FCALL", "DEBUG", "MIGRATE":
		return true
	}
	return false
}

// wipes: it takes the markers of finished steps along.
func (c command) wipes() bool {
	return c.name == "FLUSHALL" || c.name == "FLUSHDB" || c.name == "SWAPDB"
}

// commandOf looks the words of a command up. Words may be [engine.Unknown], but not those that name the
// command. path is where the words stand in the parameters.
func commandOf(path string, words engine.List) (command, *engine.Problem) {
	if len(words) == 0 {
		return command{}, &engine.Problem{Path: path, Message: "a command is missing, such as [GET, key]"}
	}
	head, bad := nameWord(path, words, 0)
	if bad != nil {
		return command{}, bad
	}
	name := head
	if containers()[head] {
		if len(words) > 1 {
			sub, bad := nameWord(path, words, 1)
			if bad != nil {
				return command{}, bad
			}
			name = head + "|" + sub
		} else if _, plain := commands()[head]; !plain {
			return command{}, &engine.Problem{Path: path, Message: head + " needs a subcommand, such as " + anySub(head)}
		}
	}
	s, listed := commands()[name]
	if !listed {
		return unlisted(path, head, name)
	}
	c := command{spec: s, name: name, listed: true}
	if s.refused != "" {
		return c, &engine.Problem{Path: wordPath(path, 0), Message: c.spoken() + " cannot be a step: " + s.refused}
	}
	if bad := narrow(path, &c, words); bad != nil {
		return c, bad
	}
	return c, nil
}

func wordPath(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func nameWord(path string, words engine.List, i int) (string, *engine.Problem) {
	switch w := words[i].(type) {
	case string:
		if w != "" && !strings.ContainsAny(w, " \t\r\n|") {
			return strings.ToUpper(w), nil
		}
		return "", &engine.Problem{Path: wordPath(path, i),
			Message: fmt.Sprintf("%q is not the name of a command; write each word of the command as an entry of its own", w)}
	case engine.Unknown, engine.Secret:
		return "", &engine.Problem{Path: wordPath(path, i),
			Message: "the name of the command must be written out, because it decides what may be repeated"}
	}
	return "", &engine.Problem{Path: wordPath(path, i),
		Message: fmt.Sprintf("the name of a command is text, not %s", engine.TypeName(words[i]))}
}

// unlisted judges a name that the table lacks. It is a slip if it is close to one that the table has;
// otherwise it may be a module's, and is never repeated.
func unlisted(path, head, name string) (command, *engine.Problem) {
	at := wordPath(path, 0)
	if name != head {
		at = wordPath(path, 1)
	}
	if near := nearest(name); near != "" {
		return command{}, &engine.Problem{Path: at, Message: fmt.Sprintf("there is no command %s; did you mean %s?",
			strings.Replace(name, "|", " ", 1), strings.Replace(near, "|", " ", 1))}
	}
	return command{spec: spec{class: once, risk: destroys}, name: name}, nil
}

func anySub(head string) string {
	best := ""
	for name := range commands() {
		if strings.HasPrefix(name, head+"|") && (best == "" || name < best) {
			best = name
		}
	}
	return strings.Replace(best, "|", " ", 1)
}

// narrow takes the options of a command into account. An option that is not known yet counts as the worst
// that it could be.
func narrow(path string, c *command, words engine.List) *engine.Problem {
	has := func(from int, options ...string) bool { return hasOption(words, from, options...) }
	switch c.name {
	case "SET":
		if has(3, "NX", "GET") {
			c.class = once
		}
	case "ZADD":
		if len(words) > 2 && has(2, "INCR", "NX") {
			c.class = once
		}
	case "COPY", "RESTORE", "FUNCTION|LOAD":
		if knownOption(words, 2, "REPLACE") {
			c.class = repeat
		}
	case "SORT":
		if !has(2, "STORE") {
			c.class, c.risk = read, reads
		}
	case "XREAD":
		if has(1, "BLOCK") {
			return &engine.Problem{Path: path, Message: "XREAD with BLOCK waits inside the server; leave BLOCK out and use `wait: {until: …}`"}
		}
	case "XREADGROUP":
		if has(1, "BLOCK") {
			return &engine.Problem{Path: path, Message: "XREADGROUP with BLOCK waits inside the server; leave BLOCK out"}
		}
	case "ACL|LOG":
		if has(2, "RESET") {
			c.class, c.risk = repeat, destroys
		}
	case "REPLICAOF", "SLAVEOF":
		if len(words) != 3 || !is(words[1], "NO") || !is(words[2], "ONE") {
			c.risk = irreversible // the data of the other server replaces what is here
		}
	case "BITOP", "SDIFFSTORE", "SINTERSTORE", "SUNIONSTORE", "ZDIFFSTORE", "ZINTERSTORE", "ZUNIONSTORE", "ZRANGESTORE",
		"GEOSEARCHSTORE":
		if c.class == repeat && feedsItself(c, words) {
			c.class = once
		}
	}
	return nil
}

func is(w engine.Value, text string) bool {
	s, ok := w.(string)
	return ok && strings.EqualFold(s, text)
}

// hasOption: one of the words from the given one on is one of the options, or could turn out to be.
func hasOption(words engine.List, from int, options ...string) bool {
	for i := from; i < len(words); i++ {
		if _, open := words[i].(engine.Unknown); open {
			return true
		}
		for _, o := range options {
			if is(words[i], o) {
				return true
			}
		}
	}
	return false
}

func knownOption(words engine.List, from int, option string) bool {
	for i := from; i < len(words); i++ {
		if is(words[i], option) {
			return true
		}
	}
	return false
}

// feedsItself: the destination of a storing command is, or may be, one of its sources, so that a second run
// works on other data than the first.
func feedsItself(c *command, words engine.List) bool {
	first := c.keys.first
	if first >= len(words) {
		return false
	}
	if _, open := words[first].(engine.Unknown); open {
		return true
	}
	for _, w := range words[first+1:] {
		if _, open := w.(engine.Unknown); open || engine.Text(w) == engine.Text(words[first]) {
			return true
		}
	}
	return false
}

// keysOf are the keys of a command, as far as they are known.
func (c command) keysOf(words engine.List) []string {
	var at []int
	k := c.keys
	if k.first > 0 {
		last := k.last
		if last < 0 {
			last = len(words) + last
		}
		for i := k.first; i <= last && i < len(words); i += k.step {
			at = append(at, i)
		}
	}
	if k.num > 0 && k.num < len(words) {
		if n, err := strconv.Atoi(engine.Text(words[k.num])); err == nil {
			for i := k.num + 1; i <= k.num+n && i < len(words); i++ {
				at = append(at, i)
			}
		}
	}
	if c.name == "XREAD" || c.name == "XREADGROUP" {
		at = append(at, streamsAt(words)...)
	}
	var out []string
	for _, i := range at {
		if w, err := wire("", words[i]); err == nil {
			out = append(out, string(w))
		}
	}
	return out
}

// streamsAt is where the keys of XREAD stand: the first half of what follows STREAMS.
func streamsAt(words engine.List) []int {
	for i, w := range words {
		if is(w, "STREAMS") {
			var at []int
			for k := i + 1; k <= i+(len(words)-i-1)/2; k++ {
				at = append(at, k)
			}
			return at
		}
	}
	return nil
}

// keyed: the command goes to where its keys are. A number of keys that is not known yet may be any.
func (c command) keyed(words engine.List) bool {
	if c.keys.first > 0 || strings.HasPrefix(c.name, "XREAD") {
		return true
	}
	if c.keys.num == 0 || c.keys.num >= len(words) {
		return false
	}
	return engine.Text(words[c.keys.num]) != "0"
}

// anywhere: every node of a cluster answers the same, or passes it on to the others.
func (c command) anywhere() bool {
	switch c.name {
	case "PING", "ECHO", "TIME", "LOLWUT", "PUBLISH", "ACL|CAT", "ACL|GENPASS", "ACL|WHOAMI", "CLUSTER|INFO", "CLUSTER|KEYSLOT",
		"CLUSTER|NODES", "CLUSTER|REPLICAS", "CLUSTER|SHARDS", "CLUSTER|SLAVES", "CLUSTER|SLOTS":
		return true
	}
	return strings.HasPrefix(c.name, "COMMAND") || strings.HasSuffix(c.name, "|HELP")
}

// hashTag is the part of a key that decides its slot in a cluster: what is between the first { and the
// next }, unless that is empty.
func hashTag(key string) (string, bool) {
	_, rest, open := strings.Cut(key, "{")
	if !open {
		return "", false
	}
	tag, _, closed := strings.Cut(rest, "}")
	return tag, closed && tag != ""
}

// nearest is the listed name, or the container, that a slip of the pen would explain.
func nearest(name string) string {
	best, bestAt := "", len(name)/4+2
	try := func(known string) {
		if abs(len(known)-len(name)) > bestAt {
			return
		}
		if d := distance(name, known); d < bestAt || d == bestAt && best != "" && known < best {
			best, bestAt = known, d
		}
	}
	for known := range commands() {
		try(known)
	}
	for known := range containers() {
		try(known)
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance counts the letters to be changed, left out, added or swapped with their neighbour.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
