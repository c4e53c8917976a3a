package exec

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/handrail-dev/handrail/engine"
)

// trap is a piece of a shell's text that is known to go wrong.
type trap struct {
	form    *regexp.Regexp
	rule    engine.Rule
	message string
}

// traps are looked for in the text of a shell, with its comments taken out. They are made at their first use:
// making them takes longer than many a command.
var traps = sync.OnceValue(func() []trap {
	return []trap{
		{regexp.MustCompile(`(?i)\|\|\s*(true\b|:(\s|;|$)|echo\b)`), engine.RuleSwallowed, "what comes after || makes the failure before it a success"},
		{regexp.MustCompile(`\bset\s+\+e\b`), engine.RuleSwallowed, "after set +e a failure is passed over"},
		{regexp.MustCompile(`\b(mysql|mariadb-|pg_)dump(all)?\b[^|;&\n]*\|`), engine.RuleSwallowed, "of a pipe a shell sees only the last program: a dump that fails is compressed and called a success"},
		{regexp.MustCompile(`\bsleep\s+[0-9]`), engine.RuleSleeps, "time passes, and nothing is asked; make a step of it that waits until a probe says yes"},
		{regexp.MustCompile(`(?i)\bredis-cli\b[^|;&\n]*\s(keys|save)\b`), engine.RuleBlocks, "the server answers nobody else meanwhile"},
		{regexp.MustCompile(`(?i)\bredis-cli\b[^|;&\n]*\sflush(all|db)\b`), engine.RuleFlush, "the keys of everybody are removed"},
		{regexp.MustCompile(`(?i)\ballkeys-l[rf]u\b|\ballkeys-random\b`), engine.RuleEvicts, "the server may then remove any key, live ones too"},
		{regexp.MustCompile(`(?i)\bredis-cli\b[^|;&\n]*\sconfig\s+(set|get|rewrite)\b`), engine.RuleRenamed, "a hardened server has CONFIG under another name, or not at all"},
		{regexp.MustCompile(`\bfind\b[^|;&\n]*(-delete\b|-exec\s+rm\b)`), engine.RuleForgetsBackups, "files go by their age alone; file.prune keeps the last copy that is proven"},
		{regexp.MustCompile(`(?is)\b(start\s+transaction|begin)\b[^'"]*?;.*?\b(create\s+table|alter\s+table|drop\s+table|truncate|optimize\s+table|analyze\s+table)\b`), engine.RuleImplicitCommit, "a statement in the transaction commits what came before it"},
		{regexp.MustCompile(`(?i)\b(update|delete\s+from)\s+[^;'"|]*?(;|'|"|$)`), engine.RuleNoWhere, "it changes every row of the table"},
		{regexp.MustCompile(`(?i)\binto\s+outfile\b`), engine.RuleServerFile, "the file is written on the database's machine"},
		{regexp.MustCompile(`\bappendonly\.aof\b`), engine.RuleFails, "Redis 7 keeps its append-only file in the folder appendonlydir"},
		{regexp.MustCompile(`\bcp\b[^|;&\n]*\.rdb\b[^|;&\n]*:[^\s]*\.rdb\b`), engine.RuleFails, "where the append-only file is on, Redis reads that one at its start, and not the .rdb that was put beside it"},
		{regexp.MustCompile(`\b(docker|kubectl|oc)\s+exec\s+(-it|-ti|-t)\b|\bread\s+-p\b`), engine.RuleFails, "it wants a terminal, and a run by schedule has none; ask with an approve step"},
		{regexp.MustCompile(`--cluster\s+create\b`), engine.RuleFails, "it asks a question at the terminal, and fails on a cluster that is there already; redis.cluster does neither"},
		{regexp.MustCompile(`(?i)\bgroup_replication_bootstrap_group\s*=\s*(on|1)\b`), engine.RuleSplits, "if another member lives, there are two groups from now on"},
		{regexp.MustCompile(`\bwhile\s+(true|:)`), engine.RuleEndless, "the loop has no end, and a step that has none holds its lock; let a schedule start it again"},
		{regexp.MustCompile(`hooks\.slack\.com/services/\S`), engine.RuleClear, "whoever has the address of the hook can write there"},
		{regexp.MustCompile(`date \+%s[^|;&\n]*(last|backup)`), engine.RuleClockAsPosition, "the next backup will begin at the time of a clock, and not where this one has ended"},
		{regexp.MustCompile("--lastbackupts[= ]*[\"']?(\\$\\(date|`date)"), engine.RuleClockAsPosition, "the tool wants the position of the last backup, and gets the time of now"},
		{regexp.MustCompile(`(^|\s)-p[^\s$-][^\s]*|--password=[^\s$"']+|\b(MYSQL_PWD|PGPASSWORD|REDISCLI_AUTH)=[^\s$"']+`), engine.RuleClear, "a password stands in the text, and every user of the machine sees it in the list of processes"},
		{regexp.MustCompile(`[a-z]+://[^\s:/@$]+:[^\s:/@$]+@`), engine.RuleClear, "a password stands in the address"},
		{regexp.MustCompile(`\bdocker\s+(run|pull)\b[^|;&\n]*\s[a-z0-9./-]+:latest\b`), engine.RuleUntagged, "the image is another one tomorrow"},
	}
})

// clockInText is where a shell's SQL reads the server's clock to choose rows.
var clockInText = regexp.MustCompile(`(?i)\bwhere\b[^;"]*?\b(curdate\s*\(|now\s*\(|current_timestamp\b|current_date\b)`)

// remarks are what is known to go wrong with a program that can be run.
func remarks(r engine.Record) []engine.Remark {
	var out []engine.Remark
	if text, ok := r["shell"].(string); ok {
		out = append(out, inText("shell", text)...)
	}
	argv, _ := r["argv"].(engine.List)
	for i, a := range argv {
		path := fmt.Sprintf("argv[%d]", i)
		switch x := a.(type) {
		case string:
			if i == shellText(argv) {
				out = append(out, inText(path, x)...)
			} else if i > 0 && passwordArgument.MatchString(x) {
				out = append(out, engine.Remark{Rule: engine.RuleClear, Path: path, Message: "a password stands in the arguments, and every user of the machine sees it"})
			}
		case engine.Unknown:
			if i == shellText(argv) {
				out = append(out, engine.Remark{Rule: engine.RuleSpliced, Path: path, Message: "a value becomes part of the shell's text; use `shell:`, with the value in env"})
			}
		}
	}
	return out
}

var passwordArgument = regexp.MustCompile(`^(-p\S+|--password=\S+)$`)

// shellText is the argument that a shell takes for its text; -1: no shell is started.
func shellText(argv engine.List) int {
	if len(argv) < 3 {
		return -1
	}
	name, _ := argv[0].(string)
	switch filepath.Base(name) {
	case "sh", "bash", "dash", "ash", "ksh", "zsh":
	default:
		return -1
	}
	for i, a := range argv[1:] {
		option, ok := a.(string)
		if !ok || !strings.HasPrefix(option, "-") {
			return -1
		}
		if strings.HasSuffix(option, "c") && i+2 < len(argv) {
			return i + 2
		}
	}
	return -1
}

// inText looks for traps in a shell's text.
func inText(path, text string) []engine.Remark {
	bare := uncommented(text)
	var out []engine.Remark
	for _, t := range traps() {
		at := t.form.FindStringIndex(bare)
		if at == nil || t.rule == engine.RuleNoWhere && strings.Contains(strings.ToLower(bare[at[0]:at[1]]), "where") {
			continue
		}
		if t.rule == engine.RuleNoWhere && !isSQL(bare[at[0]:at[1]]) {
			continue
		}
		out = append(out, engine.Remark{Rule: t.rule, Path: path, Offset: at[0], Message: t.message})
	}
	for _, at := range clockInText.FindAllStringIndex(bare, -1) {
		out = append(out, engine.Remark{Rule: engine.RuleClock, Path: path, Offset: at[0], Message: "the server's clock chooses the rows"})
	}
	return out
}

// isSQL: it begins as an UPDATE or DELETE does, and not as apt-get update.
func isSQL(text string) bool {
	words := strings.Fields(strings.ToLower(text))
	return len(words) > 2 && (words[0] == "delete" || words[0] == "update" && words[2] == "set")
}

// uncommented blanks what stands behind a #, so that places stay the same.
func uncommented(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if at := strings.Index(line, "#"); at == 0 || at > 0 && (line[at-1] == ' ' || line[at-1] == '\t') {
			lines[i] = line[:at] + strings.Repeat(" ", len(line)-at)
		}
	}
	return strings.Join(lines, "\n")
}
