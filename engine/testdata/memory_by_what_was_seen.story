# What was seen BEFORE a transaction goes along when its marker is asked for, also in a loop that is over.
tx a prepares
tx b each=inputs.names with=item prepares
tx c
----
start names=x,y
  run_started
  -> prepare a (sync before)
seen a 10:00
  prepared a
  intended a attempt 1 token r1/a class transactional
  -> execute a seen=10:00 (sync before)
done a
  a is ok
  items of b: x y
  -> prepare b[x] (sync before)
seen b[x] 10:01
  prepared b[x]
  intended b[x] attempt 1 token r1/b[x] class transactional
  -> execute b[x] seen=10:01 with=x (sync before)
done b[x]
  b[x] is ok
  -> prepare b[y] (sync before)
seen b[y] 10:02
  prepared b[y]
  intended b[y] attempt 1 token r1/b[y] class transactional
  -> execute b[y] seen=10:02 with=y (sync before)
done b[y]
  b[y] is ok
  intended c attempt 1 token r1/c class transactional
  -> execute c (sync before)
crash
resume
  run_resumed
  -> check memory r1/a seen=10:00 r1/b[x] seen=10:01 r1/b[y] seen=10:02 (sync before)
forgot
  memory_checked
  -> settle c epoch 1
