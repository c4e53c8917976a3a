# A false when skips; an undecidable one fails with no effect.
tx a when=inputs.yes
block g when=inputs.no
  tx b
tx c when=steps.b.state
----
start yes=true no=false
  run_started
  entered a
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  skipped g: when inputs.no is false
  c is failed, effect none: when steps.b.state: steps.b.state is string pending, not true or false
  run ends failed
  finished failed
state
  a ok
  g skipped
  . b pending
  c failed, effect none: when steps.b.state: steps.b.state is string pending, not true or false
