# A crash beside a step that is expected to fail: what is known of it is asked like that of any other, and a refusal leaves no marker that a
# resume would miss.
read a fails=broke
tx b fails=broke
idem c fails=broke
tx d fails=broke
once e fails=broke
----
start
  run_started
  -> execute a (sync before)
fail a
  a is ok (fails as expected: it broke) {error: it broke}
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
fail b
  b is ok (fails as expected: it broke) {error: it broke}
  intended c attempt 1 token r1/c class idempotent
  -> execute c (sync before)
crash
resume
  run_resumed
  intended c attempt 2 token r1/c class idempotent
  -> execute c again (sync before)
fail c
  c is ok (fails as expected: it broke) {error: it broke}
  intended d attempt 1 token r1/d class transactional
  -> execute d (sync before)
crash
resume
  run_resumed
  -> settle d epoch 2 (sync before)
settle d not-done
  settled d: not done
  intended d attempt 2 token r1/d class transactional
  -> execute d (sync before)
fail d
  d is ok (fails as expected: it broke) {error: it broke}
  intended e attempt 1 token r1/e class unrepeatable
  -> execute e (sync before)
crash
resume
  run_resumed
  -> settle e epoch 3 (sync before)
settle e
  settled e: unknown
  e is in doubt: it is not known whether the effect happened
  waiting: step e is in doubt
resolve e not-done
  resolved e
  intended e attempt 2 token r1/e class unrepeatable
  -> execute e (sync before)
fail e
  e is ok (fails as expected: it broke) {error: it broke}
  run ends ok
  finished ok
state
  a ok
  b ok
  c ok
  d ok
  e ok
