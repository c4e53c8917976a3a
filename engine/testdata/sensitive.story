# A sensitive result is used but not recorded; after a crash a read is asked again.
read s sensitive
tx a with=steps.s.n
tx b with=steps.s.n
----
start
  run_started
  -> execute s (sync before)
done s n=7
  s is ok
  intended a attempt 1 token r1/a class transactional
  -> execute a with=7 (sync before)
crash
resume
  run_resumed
  -> ask again s (sync before)
done s n=8
  s asked again is ok
  -> settle a epoch 1
settle a not-done
  settled a: not done
  intended a attempt 2 token r1/a class transactional
  -> execute a with=8 (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b with=8 (sync before)
done b
  b is ok
  run ends ok
  finished ok
