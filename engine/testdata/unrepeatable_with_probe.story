# A no of done_if permits a repeat only when the first attempt is shown dead.
once a done_if
once b done_if
once c done_if
----
start
  run_started
  -> done_if a (sync before)
no a
  done_if_asked a
  intended a attempt 1 token r1/a class unrepeatable
  -> execute a (sync before)
crash
resume
  run_resumed
  -> settle a epoch 1 (sync before)
settle a no
  settled a: unknown
  a is in doubt: it is not known whether the effect happened
  waiting: step a is in doubt
resolve a not-done
  resolved a
  -> done_if a (sync before)
no a
  done_if_asked a
  intended a attempt 2 token r1/a class unrepeatable
  -> execute a (sync before)
crash
resume
  run_resumed
  -> settle a epoch 2 (sync before)
settle a no dead
  settled a: not done
  intended a attempt 3 token r1/a class unrepeatable
  -> execute a (sync before)
done a
  a is ok
  -> done_if b (sync before)
no b
  done_if_asked b
  intended b attempt 1 token r1/b class unrepeatable
  -> execute b (sync before)
crash
resume
  run_resumed
  -> settle b epoch 3 (sync before)
settle b yes
  settled b: done
  b is ok (done_if says that it is done)
  -> done_if c (sync before)
no c
  done_if_asked c
  intended c attempt 1 token r1/c class unrepeatable
  -> execute c (sync before)
crash
resume
  run_resumed
  -> settle c epoch 4 (sync before)
settle c cannot
  settled c: unknown
  c is in doubt: it is not known whether the effect happened
  waiting: step c is in doubt
state
  a ok
  b ok
  c in doubt: it is not known whether the effect happened
