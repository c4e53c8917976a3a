# A step that was to wipe its target and was cut off, or has failed, may have wiped it: what was done there before is not asked for. It is when the
# step has surely changed nothing. A person's "not done" says that it is to be done, and not that it has wiped nothing.
tx a on=db
tx b on=db
idem c on=db wipes
tx d on=db
once e on=db wipes
tx f on=db
tx g on=db wipes
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
done b
  b is ok
  intended c attempt 1 token r1/c class idempotent
  -> execute c wiped (sync before)
fail c none
  c is failed, effect none: it broke
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/a r1/b (sync before)
forgot
  memory_checked
  intended c attempt 2 token r1/c class idempotent
  -> execute c wiped (sync before)
crash
resume
  run_resumed
  intended c attempt 3 token r1/c class idempotent
  -> execute c again wiped (sync before)
fail c unknown
  c is failed, effect unknown: it broke
  run ends failed
  finished failed
resume
  run_resumed
  intended c attempt 4 token r1/c class idempotent
  -> execute c wiped (sync before)
fail c none
  c is failed, effect none: it broke
  run ends failed
  finished failed
resume
  run_resumed
  intended c attempt 5 token r1/c class idempotent
  -> execute c wiped (sync before)
done c
  c is ok
  intended d attempt 1 token r1/d class transactional
  -> execute d wiped (sync before)
crash
resume
  run_resumed
  -> settle d epoch 5 (sync before)
settle d not-done
  settled d: not done
  intended d attempt 2 token r1/d class transactional
  -> execute d wiped (sync before)
done d
  d is ok
  intended e attempt 1 token r1/e class unrepeatable
  -> execute e wiped (sync before)
crash
resume
  run_resumed
  -> settle e epoch 6 (sync before)
settle e cannot
  settled e: unknown
  e is in doubt: it is not known whether the effect happened
  waiting: step e is in doubt
resolve e not-done
  resolved e
  intended e attempt 2 token r1/e class unrepeatable
  -> execute e wiped (sync before)
fail e none
  e is failed, effect none: it broke
  run ends failed
  finished failed
resume
  run_resumed
  intended e attempt 3 token r1/e class unrepeatable
  -> execute e wiped (sync before)
done e
  e is ok
  intended f attempt 1 token r1/f class transactional
  -> execute f wiped (sync before)
done f
  f is ok
  intended g attempt 1 token r1/g class transactional
  -> execute g wiped (sync before)
crash
resume
  run_resumed
  -> settle g epoch 8 (sync before)
settle g not-done
  settled g: not done
  intended g attempt 2 token r1/g class transactional
  -> execute g wiped (sync before)
fail g none
  g is failed, effect none: it broke
  run ends failed
  finished failed
resume
  run_resumed
  -> check memory r1/f (sync before)
forgot
  memory_checked
  intended g attempt 3 token r1/g class transactional
  -> execute g wiped (sync before)
done g
  g is ok
  run ends ok
  finished ok
