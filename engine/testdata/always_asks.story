# What cleans up can ask how far the run came, also of a step that was never begun.
tx a
tx b
always
  idem z with=steps.b.state
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
fail a
  a is failed, effect none: it broke
  phase always, then failed
  intended z attempt 1 token r1/z class idempotent
  -> execute z with=pending (sync before)
done z
  z is ok
  run ends failed
  finished failed
