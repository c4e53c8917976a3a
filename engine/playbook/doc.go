// Package playbook reads playbooks, environments and inputs: YAML comes in, values of package engine
// and diagnostics with their place come out.
//
// It guarantees that
//   - what loads says only what the declarations of the kinds allow: no unknown or doubled key, no
//     value of another type, no expression that refers to what is not there or does not type-check;
//   - all mistakes of a file are reported together, each with file, line, column and the line itself;
//   - loading is bounded: in the size of the file, in depth, and in the size of each expression;
//   - the JSON Schema and the reference page come from the same declarations.
//
// It never opens a file, connects to anything, or knows a kind: kinds are data in a [Catalogue]. What
// it compiles from a playbook is the text of the playbook; a value that a run brings back is never
// compiled.
package playbook
