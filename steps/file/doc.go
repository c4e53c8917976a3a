// Package file is the step kind `file`: it looks at files, copies, archives and extracts them, prunes old
// backups, changes a setting, and publishes a name such as `latest`. The files are those of this machine.
//
// It guarantees that a name never leads to a file that is not whole: what is written is on disk BEFORE it
// gets its name, and the name is durable BEFORE the step is called done. What an attempt that was cut off
// has left under a temporary name is removed by the next. A source that is written to meanwhile fails the
// step, because what was read of it may never have existed. A failed archive leaves nothing that looks like
// a backup. Prune never removes the last backup that is proven by a checksum file beside it. Extract never
// leaves its folder, and refuses an archive that tries BEFORE anything is written.
//
// It never writes in a dry-run: the operations get a file system that cannot (see package disk). It never
// follows a destination that is a symbolic link, but for a settings file, whose link is kept; and it never
// makes the folder of a destination, because one that is missing is most often a volume that is not mounted.
package file
