# Nothing is undone or cleaned up while a step is in doubt.
once a
always
  idem z
----
start
  run_started
  intended a attempt 1 token r1/a class unrepeatable
  -> execute a (sync before)
lost a
  a is in doubt: connection lost
  -> settle a epoch 0 (sync before)
cancel
  cancel_asked
settle a
  settled a: unknown
  a is in doubt: it is not known whether the effect happened
  waiting: step a is in doubt
resolve a skip
  resolved a
  phase always, then cancelled
  intended z attempt 1 token r1/z class idempotent
  -> execute z (sync before)
done z
  z is ok
  run ends cancelled
  finished cancelled
