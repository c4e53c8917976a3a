# A loop goes over its items, two at a time, and identifies them by key.
tx a each=inputs.names at_once=2 with=item
read b with=steps.a.state
----
start names=x,y,z
  run_started
  items of a: x y z
  intended a[x] attempt 1 token r1/a[x] class transactional
  intended a[y] attempt 1 token r1/a[y] class transactional
  -> execute a[x] with=x (sync before)
  -> execute a[y] with=y (sync before)
done a[x]
  a[x] is ok
  intended a[z] attempt 1 token r1/a[z] class transactional
  -> execute a[z] with=z (sync before)
done a[z]
  a[z] is ok
crash
resume
  run_resumed
  -> check memory r1/a[x] r1/a[z] (sync before)
forgot
  memory_checked
  -> settle a[y] epoch 1
settle a[y] not-done
  settled a[y]: not done
  intended a[y] attempt 2 token r1/a[y] class transactional
  -> execute a[y] with=y (sync before)
done a[y]
  a[y] is ok
  -> execute b with=ok (sync before)
done b
  b is ok
  run ends ok
  finished ok
state
  a ok
  . a[x] ok
  . a[y] ok
  . a[z] ok
  b ok
