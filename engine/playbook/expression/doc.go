// Package expression is the expression language of a playbook: the grammar of expr-lang/expr, checked
// and evaluated over the values of package engine.
//
// The text is read by expr's own parser. What follows is done here and not by expr's checker and
// virtual machine, because those know neither exact decimals nor open records: they give nil for a
// column that does not exist, fail on a DECIMAL column times an integer, and look at the clock.
//
// It guarantees that
//   - an expression that compiles uses only names, fields and functions that exist as far as shapes
//     declare them, on types that go together;
//   - at run time an unknown column is an error, never null; integers do not overflow silently;
//     decimals are exact; what cannot be compared is an error and not false;
//   - the same scope gives the same value: there is no clock, no randomness, no map order;
//   - one evaluation is bounded in work and memory.
//
// It never touches the outside, and never evaluates the value of an expression as an expression.
package expression
