# A step says which targets it wipes: what was done there before it is not asked for, and the steps that write there are told, until one of
# them has left a marker again.
tx a on=db
tx b on=shop
once c on=box wipes=db
idem d on=db
tx e on=db
tx f on=db
tx g on=shop wipes
tx h on=db
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
  intended c attempt 1 token r1/c class unrepeatable
  -> execute c (sync before)
done c
  c is ok
  intended d attempt 1 token r1/d class idempotent
  -> execute d wiped (sync before)
done d
  d is ok
  intended e attempt 1 token r1/e class transactional
  -> execute e wiped (sync before)
done e
  e is ok
  intended f attempt 1 token r1/f class transactional
  -> execute f (sync before)
crash
resume
  run_resumed
  -> check memory r1/b r1/e (sync before)
forgot
  memory_checked
  -> settle f epoch 1
settle f not-done
  settled f: not done
  intended f attempt 2 token r1/f class transactional
  -> execute f (sync before)
done f
  f is ok
  intended g attempt 1 token r1/g class transactional
  -> execute g wiped (sync before)
done g
  g is ok
  intended h attempt 1 token r1/h class transactional
  -> execute h (sync before)
crash
resume
  run_resumed
  -> check memory r1/e r1/f (sync before)
forgot
  memory_checked
  -> settle h epoch 2
settle h not-done
  settled h: not done
  intended h attempt 2 token r1/h class transactional
  -> execute h (sync before)
done h
  h is ok
  run ends ok
  finished ok
