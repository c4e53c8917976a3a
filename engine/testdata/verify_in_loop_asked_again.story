# Each proof of a loop is proved again on resume, and still sees its item.
read v each=inputs.names with=item grades unread
tx a
tx b
----
start names=x,y
  run_started
  items of v: x y
  -> execute v[x] with=x (sync before)
grade v[x] ok
  v[x] is ok (graded ok)
  -> execute v[y] with=y
grade v[y] ok
  v[y] is ok (graded ok)
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class transactional
  -> execute b (sync before)
crash
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  -> settle b epoch 1
  -> ask again v[x] with=x
  -> ask again v[y] with=y
grade v[x] ok
  v[x] asked again is ok
grade v[y] ok
  v[y] asked again is ok
