package file

import (
	"fmt"

	"github.com/handrail-dev/handrail/engine"
	"github.com/handrail-dev/handrail/steps"
)

// Kind is the step kind.
type Kind struct{}

// New makes the kind.
func New() *Kind { return &Kind{} }

// Define declares the kind.
func (*Kind) Define() engine.Kind {
	return engine.Kind{
		Name: "file",
		Doc: "Looks at and changes files of this machine. Relative paths are taken against the folder in which Handrail was started, or that of -C. " +
			"A destination gets its name in one step, when it is complete and on disk.",
		Operations: append(reading(), changing()...),
	}
}

func result(name string, t engine.Type, doc string) engine.Field {
	return engine.Field{Name: name, Doc: doc, Shape: engine.Of(t)}
}

func texts(name, doc string) engine.Field {
	return engine.Field{Name: name, Doc: doc, Shape: engine.ListOf(engine.Of(engine.TypeText))}
}

func pathResult() engine.Field { return result("path", engine.TypePath, "The absolute path.") }
func sumResult(doc string) engine.Field {
	return result("sha256", engine.TypeText, doc+" In hexadecimal.")
}

func dumpShape() engine.Shape {
	return engine.RecordOf(
		result("made", engine.TypeTime, "When it was made."),
		result("database", engine.TypeText, "The database of its tables; null when it holds whole databases."),
		texts("databases", "The databases that it holds under their names; none when it holds tables."),
		result("server", engine.TypeText, "The server that it was taken from, with its version."),
		result("rows", engine.TypeInteger, "Rows of all its tables."),
		engine.Field{Name: "tables", Doc: "Its tables, in its order.", Shape: engine.ListOf(engine.RecordOf(
			result("name", engine.TypeText, "The table; with its database when the dump holds databases."),
			result("rows", engine.TypeInteger, "How many rows of it there are.")))},
	)
}

func reading() []engine.Operation {
	read := func(name, doc string, params engine.Shape, example string, results ...engine.Field) engine.Operation {
		return engine.Operation{Name: name, Key: name, Class: engine.ClassRead, Risk: engine.RiskReads, Doc: doc,
			Params: params, Result: engine.RecordOf(results...), Example: example, Judge: engine.ByParams(judgeOf(name))}
	}
	return []engine.Operation{
		read("stat", "Says what there is at a path. Nothing there is no error: `exists` is false.", steps.Params[statParams](),
			`{id: room, file: {stat: /backups}, expect: exists && free > 10000000000}`,
			pathResult(),
			result("exists", engine.TypeBool, "The path leads to something. False for a symbolic link that leads nowhere."),
			result("type", engine.TypeText, "file, folder, other (a pipe, a socket, a device) or absent; of what a symbolic link leads to."),
			result("size", engine.TypeInteger, "Bytes, of a file; else null."),
			result("mode", engine.TypeText, "The permissions in octal, such as 0640; null when absent."),
			result("uid", engine.TypeInteger, "The owner's number; null when absent."),
			result("gid", engine.TypeInteger, "The group's number; null when absent."),
			result("modified", engine.TypeTime, "When it was written to last; null when absent."),
			result("age", engine.TypeDuration, "How long ago that was; null when absent."),
			result("link", engine.TypeText, "What the path says, if it is a symbolic link; else null."),
			result("free", engine.TypeInteger, "Bytes that are free on its file system; null when absent."),
			result("used_percent", engine.TypeInteger, "How full its file system is, as df says it; null when absent.")),
		read("checksum", "Reads a file and says its SHA-256, and whether a checksum file (NAME.sha256) or manifest (NAME.manifest.json) beside it agrees. "+
			"Fails if the file is written to meanwhile.", steps.Params[checksumParams](),
			`{id: sum, file: {checksum: /backups/latest.tar.zst}, expect: proven}`,
			pathResult(), result("size", engine.TypeInteger, "Bytes."), sumResult("The SHA-256."),
			result("proven", engine.TypeBool, "There is at least one checksum file or manifest beside it, and all there are agree."),
			result("proof", engine.TypeText, "Why it is proven, or why not."),
			engine.Field{Name: "dump", Shape: dumpShape(), Doc: "What the manifest says of a dump that sql.dump has made; null if it is none. It is worth as much as proven says."},
			result("modified", engine.TypeTime, "When it was written to last.")),
		read("read", "Reads a text file of at most 1 MiB.", steps.Params[readParams](),
			`{id: version, file: {read: /etc/app/version}, expect: trim(text) == '4.2'}`,
			pathResult(), result("text", engine.TypeText, "All of it, as it stands."),
			result("size", engine.TypeInteger, "Bytes."), sumResult("The SHA-256.")),
	}
}

// roles are the parts that operations play in keeping data safe.
var roles = map[string]engine.Role{"copy": engine.RoleBackup, "archive": engine.RoleBackup, "extract": engine.RoleRestore, "prune": engine.RolePrune}

func changing() []engine.Operation {
	change := func(name string, risk engine.Risk, doc string, params engine.Shape, example string, results ...engine.Field) engine.Operation {
		return engine.Operation{Name: name, Key: name, Class: engine.ClassIdempotent, Risk: risk, Role: roles[name], Doc: doc,
			Params: params, Result: engine.RecordOf(results...), Example: example, Judge: engine.ByParams(judgeOf(name))}
	}
	changed := result("changed", engine.TypeBool, "False: it was as wanted before, and was left alone.")
	return []engine.Operation{
		change("copy", engine.RiskDestroys, "Copies a file. One that is at the destination is replaced in one step, and its owner and mode are kept.",
			steps.Params[copyParams](), `{id: saved, file: {copy: {from: /var/lib/redis/dump.rdb, to: /backups/dump.rdb, mode: 640}}}`,
			pathResult(), result("size", engine.TypeInteger, "Bytes."), sumResult("The SHA-256 of the content."), changed),
		change("archive", engine.RiskDestroys, "Packs files and folders into one file, tar.gz or tar.zst, with a checksum file (NAME.sha256) beside it. "+
			"Each source stands in it under its own last name. Fails if a source is written to meanwhile. Sockets are left out; symbolic links are kept as such, and must not lead out of what is packed.",
			steps.Params[archiveParams](), `{id: packed, file: {archive: {from: [/var/lib/redis/appendonlydir, /var/lib/redis/dump.rdb], to: /backups/redis.tar.zst, exclude: ["*.tmp"]}}, timeout: 1h}`,
			pathResult(), result("size", engine.TypeInteger, "Bytes of the archive."), sumResult("The SHA-256 of the archive."),
			result("count", engine.TypeInteger, "How many files it holds, folders and links left out."),
			result("content", engine.TypeInteger, "Bytes of these files before they were packed."),
			texts("left_out", "The sockets that were left out.")),
		change("extract", engine.RiskDestroys, "Unpacks an archive (tar, tar.gz or tar.zst) into a folder, which is made if it is not there. The archive is read through first: "+
			"one that does not agree with the checksum file beside it, is cut short, would leave the folder, or holds devices is refused BEFORE anything is written. Owners are kept where the engine runs as root; set-user-id bits never are.",
			steps.Params[extractParams](), `{id: unpacked, file: {extract: {from: /backups/redis.tar.zst, to: /var/lib/redis, overwrite: true}}, timeout: 1h}`,
			pathResult(), result("count", engine.TypeInteger, "How many files the archive holds."),
			result("size", engine.TypeInteger, "Bytes of these files, unpacked."),
			result("written", engine.TypeInteger, "How many files, links and folders were new or replaced."),
			result("replaced", engine.TypeInteger, "How many of them were there with other content."), changed),
		change("prune", engine.RiskIrreversible, "Removes old backups of a folder, with their checksum files. It never removes the last one that is proven by the checksum file or manifest beside it; "+
			"if none is proven it removes nothing and fails. What a symbolic link of the folder (latest) leads to stays.",
			steps.Params[pruneParams](), `{id: pruned, file: {prune: {folder: /backups, match: "numbering-*.tar.zst", keep: 7, older_than: 720h}}}`,
			pathResult(), texts("removed", "The names of the backups that were removed, oldest first."),
			result("count", engine.TypeInteger, "How many were removed."),
			result("size", engine.TypeInteger, "Bytes that this freed; without those that an attempt that was cut off had removed."),
			texts("kept", "The names of those that stay, newest first."),
			result("proven", engine.TypeText, "The newest that is proven; null if nothing was to be removed, or with proven: false."), changed),
		change("replace", engine.RiskChanges, "Sets a key of a settings file, or exchanges a text that stands in it exactly once. Mode and owner are kept. The rest of the file stays byte for byte.",
			steps.Params[replaceParams](), `{id: retention, file: {replace: {file: /etc/backup.conf, key: retention_days, value: 30}}}`,
			pathResult(), result("line", engine.TypeInteger, "The line that has it now."),
			result("old", engine.TypeText, "What stood there; null if nothing, or where the new value is a secret."),
			result("new", engine.TypeText, "What stands there; null where it is a secret."), sumResult("The SHA-256 of the file afterwards."), changed),
		change("publish", engine.RiskChanges, "Makes a name such as latest lead to a file or folder, in one step: who opens the name meanwhile gets the old one or the new. "+
			"A file with a checksum file or manifest beside it that does not agree is not published.",
			steps.Params[publishParams](), `{id: published, file: {publish: {from: "/backups/${{ inputs.name }}.tar.zst", as: /backups/latest.tar.zst}}}`,
			pathResult(), result("target", engine.TypePath, "What the name leads to, or was copied from."),
			result("old", engine.TypeText, "What a symbolic link of that name said before; null if there was none."), changed),
	}
}

// decoderOf is what binds the parameters of an operation.
func decoderOf(operation string) func(engine.Record) (work, error) {
	switch operation {
	case "stat":
		return func(r engine.Record) (work, error) { p := &statParams{}; return p, steps.Bind(r, p) }
	case "checksum":
		return func(r engine.Record) (work, error) { p := &checksumParams{}; return p, steps.Bind(r, p) }
	case "read":
		return func(r engine.Record) (work, error) { p := &readParams{}; return p, steps.Bind(r, p) }
	case "copy":
		return func(r engine.Record) (work, error) { p := &copyParams{}; return &p.Copy, steps.Bind(r, p) }
	case "archive":
		return func(r engine.Record) (work, error) { p := &archiveParams{}; return &p.Archive, steps.Bind(r, p) }
	case "extract":
		return func(r engine.Record) (work, error) { p := &extractParams{}; return &p.Extract, steps.Bind(r, p) }
	case "prune":
		return func(r engine.Record) (work, error) { p := &pruneParams{}; return &p.Prune, steps.Bind(r, p) }
	case "replace":
		return func(r engine.Record) (work, error) { p := &replaceParams{}; return &p.Replace, steps.Bind(r, p) }
	case "publish":
		return func(r engine.Record) (work, error) { p := &publishParams{}; return &p.Publish, steps.Bind(r, p) }
	}
	return nil
}

// judgeOf finds what is wrong with the parameters of an operation, in what is known of them.
func judgeOf(operation string) func(engine.Record) engine.Judgement {
	return func(r engine.Record) engine.Judgement {
		j := engine.Judgement{Problems: problems(operation, r)}
		if inner, ok := r[operation].(engine.Record); ok && (operation == "archive" || operation == "extract") {
			j.Risk = engine.RiskDestroys
			if v, given := inner["overwrite"]; !given || v == false {
				j.Risk = engine.RiskChanges
			}
		}
		return j
	}
}

func problems(operation string, r engine.Record) []engine.Problem {
	f := finder{r: r}
	if inner, ok := r[operation].(engine.Record); ok {
		f.r, f.at = inner, operation+"."
	}
	switch operation {
	case "stat", "checksum", "read":
		f.path(operation)
	case "copy":
		judgeCopy(&f)
	case "archive":
		judgeArchive(&f)
	case "extract":
		f.path("from")
		f.path("to")
	case "prune":
		judgePrune(&f)
	case "replace":
		judgeReplace(&f)
	case "publish":
		f.path("from")
		f.path("as")
	}
	return f.found
}

// Decode makes the operation.
func (*Kind) Decode(operation string, r engine.Record) (steps.Operation, error) {
	decode := decoderOf(operation)
	if decode == nil {
		return nil, fmt.Errorf("file has no operation %q", operation)
	}
	w, err := decode(r)
	if err != nil {
		return nil, err
	}
	if found := problems(operation, r); len(found) > 0 {
		return nil, found[0]
	}
	return &step{name: operation, raw: r, work: w}, nil
}
