// Package compose reads Compose files, as the Compose command would, and finds that command.
//
// It guarantees that a mistake in a file is reported with file and line where the file has it, that what it
// reads comes from local files and the variables that it is given, never from the engine's own environment
// or from the network, and that it starts nothing.
package compose
