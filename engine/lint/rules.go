package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/handrail-dev/handrail/engine"
)

// The rules that look beyond the parameters of one operation.
const (
	ruleUnapproved engine.Rule = "destroys-unapproved"
	ruleUnverified engine.Rule = "destroys-unverified"
	ruleNoDoneIf   engine.Rule = "no-done-if"
	ruleUnproved   engine.Rule = "change-unproved"
	ruleOverRTO    engine.Rule = "over-rto"
	ruleNoLock     engine.Rule = "no-lock"
	ruleTorn       engine.Rule = "torn-change"
	ruleStaleNote  engine.Rule = "stale-note"
)

// RuleLoads is the rule that a file breaks which cannot be loaded at all.
const RuleLoads engine.Rule = "does-not-load"

// Severity is how much a finding weighs.
type Severity int

// The severities, in rising order.
const (
	Note    Severity = iota // worth a look
	Warning                 // will go wrong one day
	Error                   // goes wrong when it is needed most
)

var severityNames = [...]string{"note", "warning", "error"}

func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Severity) UnmarshalText(b []byte) error {
	for i, name := range severityNames {
		if name == string(b) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("unknown severity %q: it is one of %s", b, strings.Join(severityNames[:], ", "))
}

// About is what is to be known of a rule.
type About struct {
	Rule     engine.Rule
	Code     string // stays the same when a rule is renamed
	Severity Severity
	Title    string
	Harm     string // what goes wrong
	Remedy   string // what to write
}

// Of finds a rule by its name. A rule that nobody has described is one that cannot be loaded away.
func Of(r engine.Rule) About {
	for _, a := range Rules() {
		if a.Rule == r {
			return a
		}
	}
	return About{Rule: r, Code: "HR000", Severity: Error, Title: string(r)}
}

// Rules are all rules, in the order of their codes.
func Rules() []About {
	return slices.Concat(rulesOfStatements(), rulesOfServers(), rulesOfOrder())
}

func rulesOfStatements() []About {
	return []About{
		{RuleLoads, "HR001", Error, "the file cannot be loaded",
			"It will not run at all. Among the reasons are traps that the language itself refuses: DDL and COMMIT inside `transaction:`, a template inside a statement, `retry` of what may not be repeated.",
			"What stands in the message; `handrail validate` shows it with the line and a caret."},
		{ruleStaleNote, "HR002", Warning, "a note about lint that is about nothing",
			"A note `# lint: RULE because …` that finds nothing any more, or gives no reason, hides the next finding from whoever reads it.",
			"Take it away, or say why."},

		{engine.RuleNoWhere, "HR101", Error, "UPDATE or DELETE without WHERE",
			"All rows of the table are changed.",
			"Write the WHERE. If all rows are meant, say so with `WHERE TRUE`."},
		{engine.RuleClock, "HR102", Error, "the server's clock chooses rows more than once",
			"NOW() or CURDATE() in two statements are two times. With midnight between them, rows are copied that are not deleted, or deleted that were not copied; in the server's time zone, which may not be yours.",
			"Take the time once, in `vars:` with `now()`, and hand it to both statements as an argument."},
		{engine.RuleImplicitCommit, "HR103", Error, "a statement commits the transaction around it",
			"CREATE, ALTER, DROP, TRUNCATE, OPTIMIZE and ANALYZE commit what came before them on MySQL and MariaDB. A later ROLLBACK takes back only half.",
			"Put it before or behind the transaction, as a step of its own."},
		{engine.RuleServerFile, "HR104", Warning, "a file is written where the server runs",
			"SELECT … INTO OUTFILE writes on the database's machine, under a name that must not exist yet: it fails the second time, and nobody has a checksum of it.",
			"`sql.export` writes on this machine, complete or not at all, with count and SHA-256."},

		{engine.RuleFails, "HR105", Error, "as it is written it does not work",
			"A setting that newer servers do not have, a file that Redis 7 keeps elsewhere, a question that nobody is there to answer: the procedure was never tried on what runs today.",
			"What stands in the message."},
		{engine.RuleSplits, "HR106", Error, "a group may be split in two",
			"Bootstrapping a replication group while another member lives makes two groups of it, and both take writes.",
			"First a `verify` that no member is ONLINE; then say so in a note beside the step."},
		{engine.RuleDoubles, "HR107", Warning, "a second run does it a second time",
			"INSERT … SELECT takes the same rows again when the playbook is run again, by a schedule and by a person.",
			"Leave out what is there already (NOT EXISTS, or an outer join), or ask before it: `when:`, `done_if:`."},
		{ruleTorn, "HR108", Note, "two changes that belong together are two transactions",
			"A change and its audit row in two steps: after a failure between them the one is there and the other is not.",
			"One `sql.transaction` with both."},
	}
}

func rulesOfServers() []About {
	return []About{
		{engine.RuleBlocks, "HR201", Error, "nobody else is served meanwhile",
			"KEYS looks at every key, SAVE writes the whole data, DEBUG SLEEP sleeps: all while no other client is answered.",
			"`redis.count` or `redis.sweep` in place of KEYS, `redis.snapshot` in place of SAVE."},
		{engine.RuleFlush, "HR202", Error, "everything is removed, whoever it belongs to",
			"FLUSHALL and FLUSHDB remove all keys of all users; in a cluster they reach one shard and say OK.",
			"`redis.sweep` with a pattern and a condition."},
		{engine.RuleEvicts, "HR203", Warning, "the server may drop any key",
			"Under an allkeys policy the server removes live data when memory is short, reservations and markers among it.",
			"`volatile-lru` or `noeviction`, and an alarm on memory."},
		{engine.RuleRenamed, "HR204", Note, "hardened servers have this command under another name",
			"Guides for hardening rename or disable CONFIG, DEBUG, FLUSHALL. The step then fails when it is needed.",
			"Say `rename: {CONFIG: …}` in the settings of the target, and let `handrail doctor` try it."},

		{engine.RuleUntagged, "HR301", Warning, "an image without a tag, or `latest`",
			"Tomorrow another program runs under the same name.",
			"Name the version, better the digest."},

		{engine.RuleSpliced, "HR401", Error, "a value becomes part of a program's text",
			"Whatever is in the value is executed: a quote, a `;`, a `$(…)`.",
			"`exec.argv` hands values over as they are; a shell gets them as environment variables."},
		{engine.RuleClear, "HR402", Error, "a secret stands in the file",
			"Whoever can read the repository has it, and so has everybody who ever could; on a command line every user of the machine sees it.",
			"`${{ secrets.NAME }}`, and where it comes from in the environment file."},
		{engine.RuleSwallowed, "HR403", Error, "a failure is swallowed",
			"A check that ends well whatever it has found; a pipe of which only the last program is asked; a step after which the run goes on as if it had not failed.",
			"Let it fail. If less than all will do, say how much with `tolerate:`."},
		{engine.RuleClockAsPosition, "HR404", Error, "the time of day stands in for a position",
			"A backup tool wants the position of the last backup in the log of changes, not the time at which somebody looked at a clock: what lies between is in no backup.",
			"Take the position from the last backup itself, as a step's output."},
	}
}

func rulesOfOrder() []About {
	return []About{
		{ruleUnapproved, "HR501", Warning, "a destructive step that nobody is asked about",
			"What is gone cannot be asked back; the tired operator meant the other environment.",
			"An `approve` step before it that says what will be lost, or an `undo`."},
		{ruleUnverified, "HR502", Error, "a destructive step before its backup is verified",
			"The copy that would save the day is found to be empty on that day.",
			"A `verify` between the copy and the step: sizes, checksums, counts."},
		{engine.RuleForgetsBackups, "HR503", Error, "old copies are removed before the new one is proven",
			"After a few days of failing backups the last good one is gone.",
			"`verify` first, then `file.prune`, which never removes the last proven copy."},
		{ruleNoDoneIf, "HR504", Warning, "nothing says after a crash whether it has happened",
			"The step may not be run twice. If the engine dies in it, a person has to find out by hand, at night.",
			"`done_if:` with a probe that shows the effect, or `effect: idempotent` if a second run does no harm."},
		{engine.RuleSleeps, "HR505", Warning, "a wait by the clock",
			"It is too short on the day when everything is slow, and too long on all others.",
			"`wait: {until: […]}` with a probe and a timeout."},
		{ruleUnproved, "HR506", Warning, "a change that nothing proves",
			"A command that returned is no proof: the service may be down, the rows elsewhere.",
			"A `verify` step at the end that asks the system."},
		{engine.RuleEndless, "HR507", Warning, "it may go on for ever",
			"A run that waits without end holds its lock, and nobody is told.",
			"A `timeout:`, or fewer attempts."},
		{ruleOverRTO, "HR508", Warning, "the timeouts add up to more than the recovery time objective",
			"Each step keeps its own limit, and the promise is broken all the same.",
			"Shorter timeouts, fewer attempts, steps side by side, or an honest objective."},
		{ruleNoLock, "HR509", Warning, "two runs may be alive at once",
			"The schedule starts it while the operator's run is half done.",
			"`locks: [name]`, the same name in every playbook that touches the same thing."},
	}
}
