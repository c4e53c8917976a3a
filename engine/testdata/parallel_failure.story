# A failure stops what has not begun; what is under way ends; resume takes up the rest.
parallel p
  tx a
  block b
    tx b1
    tx b2
  read c
tx after
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  intended b1 attempt 1 token r1/b1 class transactional
  -> execute c (sync before)
  -> execute a (sync before)
  -> execute b1 (sync before)
fail a
  a is failed, effect none: it broke
done c
  c is ok
done b1
  b1 is ok
  run ends failed
  finished failed
state
  p failed, effect none
  . a failed, effect none: it broke
  . b pending
  . . b1 ok
  . . b2 pending
  . c pending
  after pending
resume
  run_resumed
  -> check memory r1/b1 (sync before)
forgot
  memory_checked
  intended a attempt 2 token r1/a class transactional
  -> execute c (sync before)
  -> execute a
  intended b2 attempt 1 token r1/b2 class transactional
  -> execute b2 (sync before)
done a
  a is ok
done b2
  b2 is ok
done c
  c is ok
  intended after attempt 1 token r1/after class transactional
  -> execute after (sync before)
done after
  after is ok
  run ends ok
  finished ok
